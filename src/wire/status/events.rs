//! Owns the live page's messages: server-sent events with the parts of the page that changed.
//! Refuses to know who listens.

use crate::wire::status::encode;
use crate::wire::status::page::Parts;
use serde::Serialize;
use std::collections::BTreeMap;

/// The answer's `content-type`.
pub const CONTENT_TYPE: &str = "text/event-stream";
/// What a stream begins with: a browser that lost it comes back after a second.
pub const HELLO: &str = "retry: 1000\n\n";
/// The engine did not answer: what the page shows is old.
pub const SILENT: &str = "event: silent\ndata: the engine did not answer\n\n";
/// Nothing changed but the time.
pub const SAME: &str = "event: same\ndata: \n\n";

#[derive(Serialize)]
struct Message<'a> {
    title: &'a str,
    as_of: &'a str,
    parts: BTreeMap<&'static str, &'a str>,
}

/// What brings a page that shows `before` to `now`: all of it where nothing was shown before;
/// `None` where no part differs.
#[must_use]
pub fn message(now: &Parts, before: Option<&Parts>) -> Option<String> {
    let shown = |id: &str, html: &str| {
        let parts = before.map_or(&[][..], |before| &before.html);
        parts.iter().any(|(shown, old)| *shown == id && old == html)
    };
    let parts: BTreeMap<_, _> = now
        .html
        .iter()
        .filter(|(id, html)| !shown(id, html))
        .map(|(id, html)| (*id, html.as_str()))
        .collect();
    if parts.is_empty() {
        return None;
    }
    // JSON escapes line ends, so that a message is one line.
    let json = encode(&Message { title: &now.title, as_of: &now.as_of, parts });
    Some(format!("event: page\ndata: {}\n\n", String::from_utf8_lossy(&json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(first: &str, second: &str) -> Parts {
        Parts {
            title: "t".to_owned(),
            as_of: "now".to_owned(),
            html: vec![("a", first.to_owned()), ("b", second.to_owned())],
        }
    }

    #[test]
    fn only_what_changed_is_sent_in_one_line() {
        let check = |now: &Parts, before: Option<&Parts>, expected: Option<&str>| {
            let message = message(now, before);
            let data = message.as_deref().map(|text| {
                text.strip_prefix("event: page\ndata: ").unwrap().strip_suffix("\n\n").unwrap()
            });
            assert_eq!(data, expected);
        };
        let old = parts("1\n2", "3");
        let all = r#"{"title":"t","as_of":"now","parts":{"a":"1\n2","b":"3"}}"#;
        check(&old, None, Some(all));
        check(&old, Some(&old), None);
        let changed = r#"{"title":"t","as_of":"now","parts":{"b":"4"}}"#;
        check(&parts("1\n2", "4"), Some(&old), Some(changed));
    }
}
