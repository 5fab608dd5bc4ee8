//! Lines beside the answer, on standard error: JSON where a program reads them, plain words where a person does.

use crate::print::json::Object;
use crate::term;

/// Says something that is not an error of the command. `fields` follow the message.
pub fn line(level: &str, message: &str, fields: &[(&str, &str)]) {
    if term::stderr_is_terminal() {
        let details: Vec<&str> = fields.iter().map(|(_, value)| *value).collect();
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
        eprintln!("{}", term::dim(&format!("{level}: {message}{details}")));
        return;
    }
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    object.text("level", level);
    object.text("ts", &timestamp());
    object.text("msg", message);
    for (name, value) in fields {
        match value.parse::<u64>() {
            Ok(number) => object.number(name, number),
            Err(_) => object.text(name, value),
        }
    }
    object.close();
    eprintln!("{}", String::from_utf8_lossy(&out));
}

/// For a person only.
pub fn note(text: &str) {
    if term::stderr_is_terminal() {
        eprintln!("{}", term::dim(text));
    }
}

fn timestamp() -> String {
    units::utc_micros(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
}
