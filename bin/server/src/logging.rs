//! From log flags to a logger.

use crate::flags::Given;
use crate::log::rotate::Rotation;
use crate::log::sink::Sink;
use crate::log::{Format, Level, Logger};
use std::path::Path;

/// Names that are no files.
const STREAMS: &[&str] = &["default", "stderr", "stdout", "systemd/journal"];

/// Makes the logger that the flags describe.
///
/// # Errors
/// etcd's texts.
pub fn logger(given: &Given) -> Result<Logger, String> {
    match given.text("logger") {
        "zap" => {}
        "capnslog" => return Err("--logger=capnslog is removed in v3.5".into()),
        other => return Err(format!("unknown logger option {other:?}")),
    }
    let level = given.text("log-level");
    let level = Level::parse(level).ok_or_else(|| format!("unrecognized level: {level:?}"))?;
    let format = match given.text("log-format") {
        "json" | "" => Format::Json,
        "console" => Format::Console,
        other => return Err(format!("unknown log format: {other}, supported values json, console")),
    };
    let texts = given.list("log-outputs");
    let outputs: Vec<&str> = texts.iter().map(String::as_str).collect();
    if outputs.len() > 1 && outputs.contains(&"default") {
        return Err("multi logoutput for \"default\" is not supported yet".into());
    }
    let rotation = rotation(given, &outputs)?;
    let mut sinks = Vec::new();
    for output in if outputs.is_empty() { vec!["default"] } else { outputs } {
        sinks.push(match output {
            "stdout" => Sink::stdout().map_err(|why| format!("cannot write logs to standard output: {why}"))?,
            // journald reads standard error
            "default" | "stderr" | "systemd/journal" => {
                Sink::stderr().map_err(|why| format!("cannot write logs to standard error: {why}"))?
            }
            path => Sink::file(Path::new(path), rotation.as_ref())
                .map_err(|why| format!("cannot write log file {path}: {why}; see --log-outputs"))?,
        });
    }
    Logger::new(level, format, sinks).map_err(|why| format!("cannot start the thread that writes logs: {why}"))
}

fn rotation(given: &Given, outputs: &[&str]) -> Result<Option<Rotation>, String> {
    if !given.flag("enable-log-rotation") {
        return Ok(None);
    }
    let files = outputs.iter().filter(|output| !STREAMS.contains(output)).count();
    if files != 1 || outputs.len() != 1 {
        return Err("--log-outputs requires a single file path when --log-rotate-config-json is defined".into());
    }
    let parsed = serde_json::from_str(given.text("log-rotation-config-json"));
    parsed.map(Some).map_err(|why| format!("improperly formatted log rotation config: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Logger, String> {
        let mut given = Given::default();
        for (flag, text) in pairs {
            given.set(flag, text).unwrap();
        }
        logger(&given)
    }

    #[test]
    fn what_etcd_says() {
        assert_eq!(with(&[]).unwrap().level(), Level::Info);
        let words = |pairs: &[(&str, &str)]| with(pairs).err().unwrap();
        assert_eq!(with(&[("log-level", "WARN")]).unwrap().level(), Level::Warn);
        assert_eq!(words(&[("log-level", "foo")]), "unrecognized level: \"foo\"");
        assert_eq!(words(&[("log-format", "foo")]), "unknown log format: foo, supported values json, console");
        assert_eq!(words(&[("logger", "capnslog")]), "--logger=capnslog is removed in v3.5");
        let both = words(&[("log-outputs", "default,stdout")]);
        assert_eq!(both, "multi logoutput for \"default\" is not supported yet");
        let text = "--log-outputs requires a single file path when --log-rotate-config-json is defined";
        assert_eq!(words(&[("enable-log-rotation", "true")]), text);
        assert_eq!(words(&[("enable-log-rotation", "true"), ("log-outputs", "stderr,a.log")]), text);
        assert!(words(&[("log-outputs", "/no/such/folder/x.log")]).contains("/no/such/folder/x.log"));
    }

    #[test]
    fn rotated_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log").display().to_string();
        let pairs = [("enable-log-rotation", "true"), ("log-outputs", path.as_str()), ("log-level", "warn")];
        let logger = with(&pairs).unwrap();
        logger.log(Level::Info, "below the level", &[]);
        logger.log(Level::Fatal, "above", &[]);
        assert!(logger.flush(std::time::Duration::from_secs(20)));
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
    }
}
