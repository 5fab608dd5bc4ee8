//! From tracing events to lines.

use super::format::{self, Level};
use super::logger::Logger;
use serde_json::Value;
use std::fmt::Debug;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Crates whose events are ours; those of others are shown from warnings on.
const OWN: &[&str] =
    &["conclave", "embed", "actors", "storage", "net", "tls", "raft", "messages", "model", "proxy", "srv"];

/// What passes on the notices of RocksDB.
const ENGINE: &str = "conclave::rocksdb";

/// Writes events to a logger.
pub struct Lines(pub Logger);

impl Lines {
    fn shows(&self, metadata: &Metadata<'_>) -> bool {
        let level = level(*metadata.level());
        let root = metadata.target().split("::").next().unwrap_or_default();
        // the engine repeats all its options at the finest level
        let least = match metadata.target().starts_with(ENGINE) {
            true => Level::Info,
            false => Level::Debug,
        };
        level >= self.0.level().max(least) && (level >= Level::Warn || OWN.contains(&root))
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.shows(metadata)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        use tracing::level_filters::LevelFilter;
        Some(match self.0.level() {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
            Level::Panic | Level::Fatal => LevelFilter::OFF,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let caller = format::caller(metadata.file(), metadata.line());
        self.0.write(level(*metadata.level()), &caller, &fields.message, &fields.rest);
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            name => self.rest.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::format::Format;
    use crate::log::sink::Sink;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn events_become_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let logger = Logger::new(Level::Debug, Format::Json, vec![Sink::file(&path, None).unwrap()]).unwrap();
        let subscriber = tracing_subscriber::registry().with(Lines(logger.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let why = std::io::Error::other("no \"luck\"");
            tracing::warn!("local-member-id" = "8e", n = 3, error = %why, "a {}", "b");
            tracing::trace!(target: "embed::node", "too fine");
            tracing::info!(target: "h2::proto", "somebody else's");
            tracing::debug!(target: "conclave::rocksdb", "a thousand of these");
            tracing::warn!(target: "h2::proto", "somebody else's warning");
        });
        assert!(logger.flush(std::time::Duration::from_secs(20)));
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["level"], "warn");
        assert_eq!(lines[0]["msg"], "a b");
        assert_eq!(lines[0]["local-member-id"], "8e");
        assert_eq!(lines[0]["n"], 3);
        assert_eq!(lines[0]["error"], "no \"luck\"");
        assert!(lines[0]["caller"].as_str().unwrap().starts_with("log/layer.rs:"));
    }
}
