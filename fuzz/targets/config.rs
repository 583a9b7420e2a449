//! Owns the laws of the configuration: every text is a configuration or a list of faults, each with
//! a place inside the text, and neither shows a secret.

use kinescope::app::config::{
    Config, Faults, Flags, Place, Receiver, SecretPlace, load_with, summary,
};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;

/// The file's text; behind a `\x1e`, if there is one, variables, `NAME=value` a line; behind a
/// second one the text of every rule file that is named.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split('\x1e');
    let file = parts.next().unwrap_or_default();
    let variables: BTreeMap<String, String> = parts
        .next()
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let rules = parts.next();
    let read = || -> Result<Config, Faults> {
        let open = |path: &Path| match rules {
            _ if path == Path::new("k.yaml") => Ok(file.to_owned()),
            Some(rules) => Ok(rules.to_owned()),
            None => Err(Error::from(ErrorKind::NotFound)),
        };
        load_with(Some(Path::new("k.yaml")), &variables, &Flags::default(), &open)
    };
    let seen = read();
    assert_eq!(read(), seen);
    match seen {
        Ok(config) => {
            let shown = format!("{config:?}\n{:?}", summary(&config));
            let given = |known: &Receiver| match known.kind.url() {
                SecretPlace::Given(url) => Some(url.reveal().to_owned()),
                SecretPlace::File(_) => None,
            };
            let urls = config.alerts.receivers.iter().filter_map(given);
            for url in urls.filter(|url| url.len() > 12) {
                assert!(!shown.contains(&url), "a secret is shown");
            }
        }
        Err(faults) => {
            assert!(!faults.0.is_empty());
            assert!(faults.0.is_sorted(), "faults are told in the order of their places");
            for fault in faults.0 {
                if let Place::File { file: name, line, column } = fault.place {
                    let text = if &*name == "k.yaml" { file } else { rules.unwrap_or_default() };
                    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
                    assert!(
                        line >= 1 && column >= 1 && line as usize <= lines + 1,
                        "{name}:{line}"
                    );
                }
                assert!(!fault.why.is_empty() && !fault.why.ends_with('.'));
            }
        }
    }
}
