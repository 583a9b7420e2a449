//! Owns the laws of the JSON scanner: it takes what serde_json takes, and its ranges are values.

use kinescope::domain::json::{Fault, Scanner};
use serde::de::IgnoredAny;

fn whole(text: &[u8]) -> Result<(), Fault> {
    let mut scanner = Scanner::new(text);
    scanner.value()?;
    scanner.end()
}

pub fn json(data: &[u8]) {
    let seen = whole(data);
    let taken = serde_json::from_slice::<IgnoredAny>(data).is_ok();
    match seen {
        Ok(()) => assert!(taken, "not JSON"),
        Err(Fault::TooDeep(at)) => assert!(at <= data.len()),
        Err(Fault::Syntax(at)) => assert!(!taken && at < data.len(), "JSON"),
        Err(Fault::Truncated) => assert!(!taken, "JSON"),
    }
    for end in [data.len() / 2, data.len().saturating_sub(1)] {
        // What ends too early is said to, or is nonsense already.
        let _ = whole(&data[..end]);
    }
    members(data, seen.is_ok());
    strings(data);
}

/// A walk over an object or an array sees what a step over it sees.
fn members(data: &[u8], is_json: bool) {
    let mut values = Vec::new();
    let mut scanner = Scanner::new(data);
    let first = scanner.peek();
    let walked = if first == Some(b'[') {
        scanner.array(|scanner| scanner.value().map(|range| values.push(range)))
    } else {
        scanner.object(|scanner, _| scanner.value().map(|range| values.push(range)))
    };
    let walked = walked.and_then(|()| scanner.end()).is_ok();
    assert!(walked || !is_json || !matches!(first, Some(b'{' | b'[')));
    let mut behind = 0;
    for range in values {
        assert!(behind <= range.start && range.end <= data.len());
        behind = range.end;
        whole(&data[range]).unwrap();
    }
}

/// Every string is what serde_json reads there, whichever way it is stepped over.
fn strings(data: &[u8]) {
    for at in data.iter().enumerate().filter(|(_, byte)| **byte == b'"').map(|(at, _)| at).take(64)
    {
        let (mut one, mut other) = (Scanner::new(&data[at..]), Scanner::new(&data[at..]));
        let Ok(text) = one.text() else { continue };
        let base64 = other.base64_text().unwrap();
        assert_eq!((&base64, other.at()), (&text, one.at()));
        let quoted = &data[at..at + one.at()];
        let read = serde_json::from_slice::<String>(quoted).ok();
        assert_eq!(text.unescaped(&data[at..]).as_deref(), read.as_deref());
        if let Some(read) = read {
            assert!(text.is(&data[at..], &read));
        }
    }
}
