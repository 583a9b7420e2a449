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
    message: Option<Cow<'a, str>>,
}

/// What an answer tells of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End<'a> {
    /// It was stored.
    Stored {
        /// Where.
        shard: &'a str,
    },
    /// It was not.
    Failed {
        /// Why.
        code: &'a str,
        /// The same in words.
        message: Option<&'a str>,
    },
}

impl<'a> Entry<'a> {
    fn member(&mut self, walk: &mut Walk<'a>, key: &str) -> Result<(), Broken> {
        match key {
            "ShardId" => self.shard = walk.text()?,
            "SequenceNumber" => self.sequence = walk.text()?,
            "ErrorCode" => self.error = walk.text()?,
            "ErrorMessage" => self.message = walk.text()?,
            _ => walk.skip()?,
        }
        Ok(())
    }

    fn told(&self) -> Option<End<'_>> {
        match self {
            Self { error: Some(code), message, .. } => {
                Some(End::Failed { code, message: message.as_deref() })
            }
            Self { shard: Some(shard), .. } => Some(End::Stored { shard }),
            Self { .. } => None,
        }
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
    read_answer(form, body, true, &mut |_, _| {})
}

/// The same without what was stored, of which only a span tells: no record that was stored costs an
/// allocation.
#[must_use]
pub fn put_failures(form: WireForm, body: &[u8]) -> Option<PutOutcome> {
    read_answer(form, body, false, &mut |_, _| {})
}

/// Either of them, and each record's end as it is met, with its place in the request.
#[must_use]
pub fn put_told(
    form: WireForm,
    body: &[u8],
    places: bool,
    tell: &mut dyn FnMut(usize, End<'_>),
) -> Option<PutOutcome> {
    read_answer(form, body, places, tell)
}

/// The shard that a sentence of Kinesis names: `Rate exceeded for shard shardId-… in stream …`.
#[must_use]
pub fn shard_of_message(message: &str) -> Option<&str> {
    const PREFIX: &str = "shardId-";
    let begin = message.find(PREFIX)?;
    let rest = message.get(begin..)?;
    let digits = rest.bytes().skip(PREFIX.len()).take_while(u8::is_ascii_digit).count();
    (1..=20).contains(&digits).then(|| rest.get(..PREFIX.len() + digits))?
}

fn read_answer(
    form: WireForm,
    body: &[u8],
    places: bool,
    tell: &mut dyn FnMut(usize, End<'_>),
) -> Option<PutOutcome> {
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
            if let Some(told) = entry.told() {
                tell(place, told);
            }
            entry.count(place, places, &mut outcome).ok_or(Broken)?;
            place += 1;
            Ok(())
        })
    })?;
    if !many {
        if let Some(told) = single.told() {
            tell(0, told);
        }
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
    fn each_records_end_is_told() {
        let body = br#"{"FailedRecordCount":1,"Records":[
            {"ErrorCode":"ProvisionedThroughputExceededException",
             "ErrorMessage":"Rate exceeded for shard shardId-000000000003 in stream orders under account 1."},
            {"SequenceNumber":"49","ShardId":"shardId-000000000000"}]}"#;
        let mut told = Vec::new();
        let tell = &mut |place, it: End<'_>| {
            told.push(match it {
                End::Stored { shard } => format!("{place} {shard}"),
                End::Failed { code, message } => {
                    format!("{place} {code} {:?}", message.and_then(shard_of_message))
                }
            });
        };
        assert_eq!(put_told(WireForm::Json, body, false, tell), put_failures(WireForm::Json, body));
        let throttled = "0 ProvisionedThroughputExceededException Some(\"shardId-000000000003\")";
        assert_eq!(told, [throttled, "1 shardId-000000000000"]);
        for other in ["Rate exceeded", "shardId-", "shardId-x", ""] {
            assert_eq!(shard_of_message(other), None, "{other}");
        }
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
