//! Forms as Go's `Request.ParseForm` reads them: the fields of the body stand before those of the query.
//!
//! Must never fail on what Go takes; the first error is the one that is told.

use super::target::unescape;
use http::{HeaderMap, Method, header};

/// Fields in the order in which they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form(Vec<(Vec<u8>, Vec<u8>)>);

impl Form {
    /// The form of a request.
    ///
    /// # Errors
    /// Go's text about what cannot be read.
    pub(super) fn of(method: &Method, query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Self, String> {
        let mut form = Self::default();
        let mut first = Ok(());
        if matches!(*method, Method::POST | Method::PUT | Method::PATCH) && is_form(headers) {
            first = form.read(body);
        }
        let of_query = form.read(query.unwrap_or_default().as_bytes());
        first.and(of_query).map(|()| form)
    }

    fn read(&mut self, text: &[u8]) -> Result<(), String> {
        let mut first = Ok(());
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if pair.contains(&b';') {
                first = first.and(Err("invalid semicolon separator in query".to_owned()));
                continue;
            }
            let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            match unescape(key, true).and_then(|key| Ok((key, unescape(value, true)?))) {
                Ok(pair) => self.0.push(pair),
                Err(why) => first = first.and(Err(why)),
            }
        }
        first
    }

    /// The first value of a field; `None` when it is not there.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| &value[..])
    }

    /// The first value of a field, empty when it is not there.
    pub(super) fn value(&self, name: &str) -> &[u8] {
        self.get(name).unwrap_or_default()
    }

    /// A field with a number, zero when it is not there; `None` when it is none.
    pub(super) fn uint(&self, name: &str) -> Option<u64> {
        let Some(value) = self.get(name) else { return Some(0) };
        if !value.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// A field with a truth value, false when it is not there; `None` when it is none.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            None | Some(b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False") => Some(false),
            Some(b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True") => Some(true),
            Some(_) => None,
        }
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers) == "application/x-www-form-urlencoded"
}

/// The media type of a request's body, without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn form(method: Method, query: &str, body: &str) -> Result<Form, String> {
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        Form::of(&method, Some(query), &HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]), body.as_bytes())
    }

    #[test]
    fn fields_of_the_body_stand_first() {
        let both = form(Method::PUT, "value=q&ttl=5", "value=a+b%21").unwrap();
        assert_eq!((both.value("value"), both.uint("ttl"), both.uint("other")), (&b"a b!"[..], Some(5), Some(0)));
        assert_eq!(form(Method::DELETE, "", "value=x").unwrap().get("value"), None, "a DELETE has no form in its body");
    }

    #[test]
    fn numbers_and_truth_values_are_gos() {
        let form = form(Method::GET, "a=true&b=&c=F&d=-1&e=18446744073709551616&f", "").unwrap();
        assert_eq!(
            (form.flag("a"), form.flag("b"), form.flag("c"), form.flag("f")),
            (Some(true), None, Some(false), None)
        );
        assert_eq!((form.uint("d"), form.uint("e"), form.uint("f")), (None, None, None));
    }

    #[test]
    fn the_first_error_is_told() {
        assert_eq!(form(Method::PUT, "x=%zz", "y=%q").unwrap_err(), "invalid URL escape \"%q\"");
        assert_eq!(form(Method::GET, "a;b", "").unwrap_err(), "invalid semicolon separator in query");
    }
}
