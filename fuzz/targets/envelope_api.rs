//! Owns the laws of the envelope API's bodies: a report is whole or its fault names a field, and what
//! is told of an envelope is what stands in it.

use kinescope::domain::envelope::aggregate::Aggregated;
use kinescope::domain::envelope::examine;
use kinescope::wire::envelope_api::{RECORD_BYTES_MAX, extract, inject, report};
use serde_json::Value;

pub fn envelope_api(data: &[u8]) {
    match report(data) {
        Ok(report) => {
            assert!(report.duration.as_secs() <= 7 * 24 * 3_600);
            assert!(!report.stream.as_str().is_empty());
            let mut seen = std::collections::HashSet::new();
            assert!(report.contexts.iter().all(|context| seen.insert(context.clone())));
            // serde_json has no half of a surrogate pair; ours lets it pass where nobody reads it.
            if let Ok(body) = serde_json::from_slice::<Value>(data) {
                assert!(body["stream"].is_string() && body["durationMs"].is_number());
                assert_eq!(report.failure.is_some(), !body["error"].is_null());
            }
        }
        Err(fault) => {
            assert!(!fault.field.is_empty() && !fault.what.is_empty() && !fault.todo.is_empty());
            let told: Value = serde_json::from_slice(&fault.json()).unwrap();
            assert_eq!(told["field"].as_str(), Some(fault.field.as_str()));
        }
    }
    let found = extract(data);
    assert_eq!(found.contexts, examine(data).contexts);
    let told: Value = serde_json::from_slice(&found.json()).unwrap();
    assert_eq!(told["contexts"].as_array().unwrap().len(), found.contexts.len());
    let insertion = super::envelope::insertion("");
    match inject(data, &insertion, Aggregated::Tags, RECORD_BYTES_MAX) {
        Ok(with) => {
            assert_eq!(found.verdict, "injected");
            let context = (*insertion.context(), insertion.state().clone());
            assert!(extract(&with).contexts.contains(&context));
            assert!(inject(data, &insertion, Aggregated::Tags, with.len() - 1).is_err());
        }
        Err(verdict) => assert!(!verdict.as_str().is_empty()),
    }
}
