//! Owns the laws of a parent in headers: formats are never mixed, the first in force that names one
//! wins, and what says which are in force is read the same way twice.

use kinescope::domain::sampling::Sampler;
use kinescope::domain::trace::{Baggage, Parent, Propagators};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Lines `name: value`; those of one name are joined, as HTTP does.
pub fn propagation(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let joined = headers.entry(name.to_ascii_lowercase()).or_default();
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(value);
    }
    let parent = |propagators: &Propagators| -> Option<Parent> {
        propagators.parent(|name| headers.get(name).map(|value| Cow::from(value.as_str())))
    };
    let alone = |name| parent(&Propagators::parse(name).0);
    let formats = ["tracecontext", "xray", "datadog", "b3"];
    assert_eq!(parent(&Propagators::default()), formats.iter().find_map(|name| alone(name)));
    for found in formats.into_iter().filter_map(alone) {
        assert!(headers.keys().any(|name| Propagators::may_read(name)));
        super::trace_context::in_an_envelope(&found.context, &found.state);
        // Only W3C's format says that ids are random, or has a state.
        let w3c = found.format.as_str() == "tracecontext";
        assert!(w3c || !found.context.flags.random() && found.state.as_str().is_none());
        assert!(!found.undecided || !w3c && found.context.flags.sampled());
    }
    if let Some(kept) = headers.get("baggage").and_then(|value| Baggage::parse(value)) {
        let members: Vec<&str> = kept.as_str().split(',').collect();
        assert!((1..=Baggage::MEMBERS_MAX).contains(&members.len()));
        assert!(kept.as_str().len() <= Baggage::BYTES_MAX);
        assert!(members.iter().all(|member| text.contains(member)));
        assert_eq!(Baggage::parse(kept.as_str()).as_ref(), Some(&kept));
    }
}

/// `OTEL_PROPAGATORS`, `OTEL_TRACES_SAMPLER` and its argument, a line each.
pub fn tracing_variables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let (propagators, sampler, argument) = (next(), next(), next());
    let read = || (Propagators::parse(propagators), Sampler::parse(sampler, argument));
    assert_eq!(read(), read());
    let ((chosen, unknown), (_, unread)) = read();
    assert!(unknown.iter().all(|warning| warning.starts_with("OTEL_PROPAGATORS: ")));
    assert!(unread.iter().all(|warning| warning.starts_with("OTEL_TRACES_SAMPLER")));
    assert!(unread.len() <= 1);
    // Said twice, a name changes nothing.
    assert_eq!(Propagators::parse(&format!("{propagators},{propagators}")).0, chosen);
}
