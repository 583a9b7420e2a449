//! Owns what an answer to a put says of each record, and what an error answer is called. Refuses
//! to take a 200 for success of every record.

use super::form::WireForm;
use serde::Deserialize;
use std::borrow::Cow;

/// A put's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutOutcome {
    /// Records that were stored: shard and sequence number, in order.
    pub stored: Vec<(String, String)>,
    /// Error codes of records that were not, inside a 200 too.
    pub failed: Vec<String>,
}

/// Reads a 200's body of PutRecord or PutRecords.
#[must_use]
pub fn put_answer(form: WireForm, body: &[u8]) -> Option<PutOutcome> {
    if form == WireForm::Cbor {
        return None;
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        shard_id: Option<String>,
        sequence_number: Option<String>,
        error_code: Option<String>,
    }
    // One shape for both: buffering an untagged enum costs more than all that it reads.
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Raw {
        records: Option<Vec<Entry>>,
        shard_id: Option<String>,
        sequence_number: Option<String>,
    }
    let Raw { records, shard_id, sequence_number } = serde_json::from_slice(body).ok()?;
    let single = || vec![Entry { shard_id, sequence_number, error_code: None }];
    let mut outcome = PutOutcome::default();
    for entry in records.unwrap_or_else(single) {
        match entry {
            Entry { error_code: Some(code), .. } => outcome.failed.push(code),
            Entry { shard_id: Some(shard), sequence_number: Some(sequence), .. } => {
                outcome.stored.push((shard, sequence));
            }
            Entry { .. } => return None,
        }
    }
    Some(outcome)
}

/// The error's name out of an error body: `__type` without its namespace.
#[must_use]
pub fn error_type(form: WireForm, body: &[u8]) -> Option<String> {
    if form == WireForm::Cbor {
        return None;
    }
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, rename = "__type")]
        kind: Cow<'a, str>,
    }
    let raw: Raw<'_> = serde_json::from_slice(body).ok()?;
    let name = raw.kind.rsplit('#').next().unwrap_or_default();
    let sane = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    sane.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_failure_inside_a_200() {
        let body = br#"{"FailedRecordCount":1,"Records":[
            {"SequenceNumber":"49","ShardId":"shardId-000000000000"},
            {"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"}]}"#;
        let expected = PutOutcome {
            stored: vec![("shardId-000000000000".into(), "49".into())],
            failed: vec!["ProvisionedThroughputExceededException".into()],
        };
        assert_eq!(put_answer(WireForm::Json, body), Some(expected));
    }

    #[test]
    fn single_and_nonsense() {
        let one = put_answer(WireForm::Json, br#"{"SequenceNumber":"49","ShardId":"s"}"#).unwrap();
        assert_eq!(one.stored, [("s".into(), "49".into())]);
        assert_eq!(put_answer(WireForm::Json, b"{}"), None);
        assert_eq!(put_answer(WireForm::Json, b"<html>"), None);
    }

    #[test]
    fn error_names() {
        let check = |body: &str, expected: Option<&str>| {
            assert_eq!(error_type(WireForm::Json, body.as_bytes()).as_deref(), expected);
        };
        check(
            r#"{"__type":"ResourceNotFoundException","message":"no"}"#,
            Some("ResourceNotFoundException"),
        );
        check(
            r#"{"__type":"com.amazonaws.x#SerializationException"}"#,
            Some("SerializationException"),
        );
        check(r#"{"__type":"<script>"}"#, None);
        check("{}", None);
    }
}
