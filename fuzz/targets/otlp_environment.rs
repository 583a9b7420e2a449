//! Owns the laws of OpenTelemetry's variables and of `Retry-After`.

use kinescope::domain::time::Wall;
use kinescope::io::otlp::{Configured, Export, from_environment};
use kinescope::wire::notify::retry_after::parse;
use std::collections::BTreeMap;
use std::time::Duration;

/// Lines `NAME=value`.
pub fn otlp_environment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variables: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once('=')).collect();
    let get = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let read = || from_environment(get, Configured::default());
    assert_eq!(read(), read());
    let faults = match read() {
        Ok(reading) => {
            if let Export::On(config) = reading.export {
                assert!((1..=8_192).contains(&config.batch_max));
                assert!(!config.timeout.is_zero() && !config.schedule_delay.is_zero());
                assert!(
                    config.resource.iter().filter(|(key, _)| key == "service.name").count() >= 1
                );
                assert!(config.headers.values().all(http_is_sensitive));
            }
            reading.warnings
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            faults
        }
    };
    for fault in faults {
        assert!(
            variables.contains_key(fault.source_name.as_str()),
            "of a variable that is not set"
        );
    }
}

fn http_is_sensitive(value: &http::HeaderValue) -> bool {
    value.is_sensitive()
}

pub fn retry_after(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let now = Wall::from_ms(1_764_000_000_000);
    let wait = parse(&text, now);
    if let Ok(seconds) = text.trim().parse() {
        assert_eq!(wait, Some(Duration::from_secs(seconds)));
    } else if let Some(wait) = wait {
        // A date: an hour later it asks for an hour less.
        let later = parse(&text, now.plus(Duration::from_secs(3_600))).unwrap();
        assert_eq!(later, wait.saturating_sub(Duration::from_secs(3_600)));
    }
}
