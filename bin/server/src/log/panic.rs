//! A panic is one line like any other. Installed by the daemon's `main` alone.

use super::format::{self, Level};
use super::output::Logger;
use serde_json::json;

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
    }));
}
