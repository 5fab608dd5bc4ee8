//! A panic is one line like any other. Installed by the daemon's `main` alone.

use super::format::{self, Level};
use super::logger::Logger;
use serde_json::json;
use std::time::Duration;

/// Time in which the line must reach the outputs.
const PATIENCE: Duration = Duration::from_millis(250);

/// Replaces the default hook, which writes raw text.
pub fn install(logger: Logger) {
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let place = info.location();
        let caller = format::caller(place.map(|p| p.file()), place.map(|p| p.line()));
        let thread = std::thread::current();
        let fields = [("thread", json!(thread.name().unwrap_or("unnamed")))];
        let msg = text.unwrap_or_else(|| "a panic without a message".to_owned());
        logger.write(Level::Panic, &caller, &msg, &fields);
        // a panic of the main thread ends the process behind this hook
        logger.flush(PATIENCE);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::format::Format;
    use crate::log::sink::Sink;

    #[test]
    fn a_panic_is_one_json_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let before = std::panic::take_hook();
        install(Logger::new(Level::Info, Format::Json, vec![Sink::file(&path, None).unwrap()]).unwrap());
        let caught = std::panic::catch_unwind(|| panic!("two\nlines of {}", "woe"));
        std::panic::set_hook(before);
        assert!(caught.is_err());
        let text = std::fs::read_to_string(path).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).expect("one JSON line");
        assert_eq!((line["level"].as_str(), line["msg"].as_str()), (Some("panic"), Some("two\nlines of woe")));
        assert!(line["caller"].as_str().unwrap().starts_with("log/panic.rs:"), "{text}");
    }
}
