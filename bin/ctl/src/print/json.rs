//! JSON as Go's `encoding/json` writes it: fields in order, empty ones left out, `<`, `>` and `&` escaped.

/// An object that is being written.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Opens one.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Goes on with one, behind what is written already.
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A number, always.
    pub fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        let text = value.to_string();
        self.name(name).extend_from_slice(text.as_bytes());
    }

    /// A number unless it is zero.
    pub fn some_number<N: std::fmt::Display + Default + PartialEq>(&mut self, name: &str, value: N) {
        if value != N::default() {
            self.number(name, value);
        }
    }

    /// A text, always.
    pub fn text(&mut self, name: &str, value: &str) {
        string(self.name(name), value);
    }

    /// A text unless it is empty.
    pub fn some_text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text(name, value);
        }
    }

    /// Bytes in base64 unless there are none.
    pub fn some_bytes(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.name(name);
            bytes(self.out, value);
        }
    }

    /// A switch, always.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A switch when it is on.
    pub fn some_flag(&mut self, name: &str, value: bool) {
        if value {
            self.flag(name, true);
        }
    }

    /// An object.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        object(self.out, fill);
    }

    /// An array.
    pub fn list<T>(&mut self, name: &str, items: &[T], each: impl Fn(&mut Vec<u8>, &T)) {
        self.name(name);
        list(self.out, items, each);
    }

    /// An array unless it is empty.
    pub fn some_list<T>(&mut self, name: &str, items: &[T], each: impl Fn(&mut Vec<u8>, &T)) {
        if !items.is_empty() {
            self.list(name, items, each);
        }
    }

    /// `null`.
    pub fn null(&mut self, name: &str) {
        self.name(name).extend_from_slice(b"null");
    }

    /// Closes it.
    pub fn close(self) {
        self.out.push(b'}');
    }
}

/// An object as a value.
pub fn object(out: &mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
    let mut object = Object::open(out);
    fill(&mut object);
    object.close();
}

/// An array as a value.
pub fn list<T>(out: &mut Vec<u8>, items: &[T], each: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        each(out, item);
    }
    out.push(b']');
}

/// A text as a value.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\x08' => out.extend_from_slice(b"\\b"),
            '\x0c' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// Bytes in base64 as a value.
pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for group in value.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= group.len() { letter } else { b'=' });
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(value: &[u8]) -> String {
        let mut out = Vec::new();
        bytes(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn base64_pads() {
        assert_eq!(base64(b"foo"), "\"Zm9v\"");
        assert_eq!(base64(b"x"), "\"eA==\"");
        assert_eq!(base64(b"\xff\xfe"), "\"//4=\"");
        assert_eq!(base64(b""), "\"\"");
    }

    #[test]
    fn escapes_as_go_does() {
        let mut out = Vec::new();
        string(&mut out, "a<b>&\"\\\n\x01\u{2028}é");
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\u0001\\u2028é\"");
    }

    #[test]
    fn empty_fields_are_left_out() {
        let mut out = Vec::new();
        object(&mut out, |o| {
            o.some_number("a", 0);
            o.some_text("b", "");
            o.some_flag("c", false);
            o.some_bytes("d", b"");
            o.number("e", 0);
            o.some_number("f", 7u64);
            o.list("g", &[1, 2], |out, n| out.extend_from_slice(n.to_string().as_bytes()));
        });
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"e":0,"f":7,"g":[1,2]}"#);
    }
}
