//! Owns what an answer to a put says of each record, what an error answer says, and whether a
//! request may be sent a second time. Refuses to take a 200 for success of every record.

mod resend;

pub use resend::{Resend, resend};

use super::form::WireForm;
use super::read::walk::{Broken, Walk, members};
use std::borrow::Cow;

/// Longest error message that is looked at, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// A put's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutOutcome {
    /// Records that were stored: shard and sequence number, in order.
    pub stored: Vec<(String, String)>,
    /// Those that were not, inside a 200 too: the place in the request, and the error code.
    pub failed: Vec<(usize, String)>,
}

/// One record's outcome; PutRecord's answer is one itself.
#[derive(Debug, Default)]
struct Entry<'a> {
    shard: Option<Cow<'a, str>>,
    sequence: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
}

impl<'a> Entry<'a> {
    fn member(&mut self, walk: &mut Walk<'a>, key: &str) -> Result<(), Broken> {
        match key {
            "ShardId" => self.shard = walk.text()?,
            "SequenceNumber" => self.sequence = walk.text()?,
            "ErrorCode" => self.error = walk.text()?,
            _ => walk.skip()?,
        }
        Ok(())
    }

    fn count(self, place: usize, places: bool, outcome: &mut PutOutcome) -> Option<()> {
        match self {
            Self { error: Some(code), .. } => outcome.failed.push((place, code.into_owned())),
            Self { shard: Some(shard), sequence: Some(sequence), .. } if places => {
                outcome.stored.push((shard.into_owned(), sequence.into_owned()));
            }
            Self { shard: Some(_), sequence: Some(_), .. } => {}
            Self { .. } => return None,
        }
        Some(())
    }
}

/// Reads a 200's body of PutRecord or PutRecords.
#[must_use]
pub fn put_answer(form: WireForm, body: &[u8]) -> Option<PutOutcome> {
    read_answer(form, body, true)
}

/// The same without what was stored, of which only a span tells: no record that was stored costs an
/// allocation.
#[must_use]
pub fn put_failures(form: WireForm, body: &[u8]) -> Option<PutOutcome> {
    read_answer(form, body, false)
}

fn read_answer(form: WireForm, body: &[u8], places: bool) -> Option<PutOutcome> {
    let mut place = 0;
    let (mut outcome, mut single, mut many) = (PutOutcome::default(), Entry::default(), false);
    members(form, body, |walk, key| {
        if key != "Records" || walk.is_null()? {
            return single.member(walk, key);
        }
        many = true;
        walk.array(|walk| {
            let mut entry = Entry::default();
            walk.object(|walk, key| entry.member(walk, key))?;
            entry.count(place, places, &mut outcome).ok_or(Broken)?;
            place += 1;
            Ok(())
        })
    })?;
    if !many {
        single.count(place, places, &mut outcome)?;
    }
    Some(outcome)
}

/// The error's name out of an error body: `__type` without its namespace.
#[must_use]
pub fn error_type(form: WireForm, body: &[u8]) -> Option<String> {
    let kind = member(form, body, |key| key == "__type")?;
    let name = kind.rsplit('#').next().unwrap_or_default();
    let sane = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    sane.then(|| name.to_owned())
}

/// What an error body says, cut after a thousand bytes: to decide by, never to show, since it names
/// what it is about.
#[must_use]
pub fn error_message(form: WireForm, body: &[u8]) -> Option<String> {
    let mut message = member(form, body, |key| matches!(key, "message" | "Message"))?.into_owned();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    Some(message)
}

/// The last member of that name, as a reader that overwrites would take it.
fn member(form: WireForm, body: &[u8], named: impl Fn(&str) -> bool) -> Option<Cow<'_, str>> {
    let mut found = None;
    members(form, body, |walk, key| {
        if !named(key) {
            return walk.skip();
        }
        found = walk.text()?.or(found.take());
        Ok(())
    })?;
    found
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
            failed: vec![(1, "ProvisionedThroughputExceededException".into())],
        };
        assert_eq!(put_answer(WireForm::Json, body), Some(expected.clone()));
        let failures = PutOutcome { stored: vec![], ..expected };
        assert_eq!(put_failures(WireForm::Json, body), Some(failures));
        let single = br#"{"SequenceNumber":"49","ShardId":"s"}"#;
        assert_eq!(put_failures(WireForm::Json, single), Some(PutOutcome::default()));
        assert_eq!(put_failures(WireForm::Json, b"{}"), None);
    }

    #[test]
    fn both_forms_say_the_same() {
        // {"Records": [_ {"ShardId": "s", "SequenceNumber": (_ "4", "9")}, {"ErrorCode": "E"}]}
        let put =
            b"\xa1\x67Records\x9f\xbf\x67ShardId\x61s\x6eSequenceNumber\x7f\x614\x619\xff\xff\
            \xa1\x69ErrorCode\x61E\xff";
        let json = br#"{"Records":[{"ShardId":"s","SequenceNumber":"49"},{"ErrorCode":"E"}]}"#;
        let outcome = put_answer(WireForm::Cbor, put);
        assert_eq!(outcome.as_ref().map(|outcome| outcome.stored.len()), Some(1));
        assert_eq!(outcome, put_answer(WireForm::Json, json));
        let single = b"\xa2\x67ShardId\x61s\x6eSequenceNumber\x6249";
        let json = br#"{"ShardId":"s","SequenceNumber":"49","Records":null}"#;
        assert_eq!(put_answer(WireForm::Cbor, single), put_answer(WireForm::Json, json));
        let error = b"\xa2\x66__type\x70com.amazon.x#Bad\x67message\x63why";
        assert_eq!(error_type(WireForm::Cbor, error).as_deref(), Some("Bad"));
        assert_eq!(error_message(WireForm::Cbor, error).as_deref(), Some("why"));
        assert_eq!(put_answer(WireForm::Cbor, &put[..put.len() - 1]), None, "cut off");
        assert_eq!(error_type(WireForm::Cbor, b"<html>"), None);
    }

    #[test]
    fn error_messages_are_bounded() {
        let check = |body: &str, expected: Option<&str>| {
            assert_eq!(error_message(WireForm::Json, body.as_bytes()).as_deref(), expected);
        };
        check(r#"{"__type":"X","message":"why"}"#, Some("why"));
        check(r#"{"Message":"wh\u0079"}"#, Some("why"));
        check(r#"{"message":1}"#, None);
        let long = format!(r#"{{"message":"{}"}}"#, "é".repeat(5_000));
        let message = error_message(WireForm::Json, long.as_bytes()).unwrap();
        assert_eq!(message, "é".repeat(MESSAGE_BYTES_MAX / 2));
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
