//! Owns the bodies of PutRecord and PutRecords in JSON: finds each record's data and splices
//! context into those that allow it. Refuses a body it does not understand wholly: then nothing is
//! changed. All other bytes of the body stay as they came.

use super::form::WireForm;
use super::record::{self, Spot, Verdict};
use crate::domain::envelope::Insertion;
use crate::domain::envelope::aggregate::Aggregated;
use crate::domain::json::{Fault, Scanner, Text};
use crate::domain::stream::StreamName;
use crate::wire::segments::Segments;
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;

pub use super::record::Look;
pub use super::record::Verdict as RecordVerdict;

/// Why a body was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Not JSON, or not the shape that the operation has.
    #[error("the body is not the JSON of this operation")]
    NotJson(#[source] Fault),
    /// Not CBOR, or not the shape that the operation has.
    #[error("the body is not the CBOR of this operation")]
    NotCbor,
    /// A member that we rely on is there twice.
    #[error("a member of the body is there twice")]
    DuplicateKeys,
}

impl BodyFault {
    /// The label value `verdict` of the body's records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson(_) => "body_not_json",
            Self::NotCbor => "body_not_cbor",
            Self::DuplicateKeys => "body_duplicate_keys",
        }
    }
}

impl From<Fault> for BodyFault {
    fn from(fault: Fault) -> Self {
        Self::NotJson(fault)
    }
}

/// A put's body, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct PutBody {
    /// The stream, by name or from its ARN.
    pub stream: Option<StreamName>,
    /// `DryRun` was true: not traffic.
    pub dry_run: bool,
    /// Each record, in order.
    pub records: Vec<Slot>,
}

/// One record in the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// The string `Data`.
    data: Text,
    /// Bytes of the partition key.
    partition_key_bytes: usize,
}

/// The size laws of a put. Source: reference/wire-and-proxy.md 1.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLaw {
    /// Most bytes of one record, data and partition key together.
    pub record_bytes_max: usize,
    /// Most bytes of all records of a request together.
    pub request_bytes_max: usize,
}

impl Default for SizeLaw {
    /// 1 MiB a record, which every stream takes, and 10 MiB a request.
    fn default() -> Self {
        Self { record_bytes_max: 1 << 20, request_bytes_max: 10 << 20 }
    }
}

/// Understands a put's body.
///
/// # Errors
/// Why it is to be forwarded unread.
pub fn locate(form: WireForm, body: &[u8]) -> Result<PutBody, BodyFault> {
    match form {
        WireForm::Json => locate_json(body),
        WireForm::Cbor => Err(BodyFault::NotCbor),
    }
}

fn locate_json(body: &[u8]) -> Result<PutBody, BodyFault> {
    let mut put = PutBody { stream: None, dry_run: false, records: Vec::new() };
    let mut single = Record::default();
    let mut seen = Seen::default();
    let mut scanner = Scanner::new(body);
    scanner.object(|scanner, key| {
        if key.is(body, "StreamName") {
            seen.once(0);
            let name = scanner.text()?.unescaped(body).map(|name| StreamName::from(&*name));
            put.stream = name.or(put.stream.take());
        } else if key.is(body, "StreamARN") {
            seen.once(1);
            let arn = scanner.text()?;
            let name = arn.unescaped(body).and_then(|arn| StreamName::from_arn(&arn));
            put.stream = put.stream.take().or(name);
        } else if key.is(body, "DryRun") {
            seen.once(2);
            put.dry_run = body.get(scanner.value()?) == Some(b"true");
        } else if key.is(body, "Records") {
            seen.once(3);
            scanner.array(|scanner| {
                let mut record = Record::default();
                scanner.object(|scanner, key| record.member(body, scanner, &key))?;
                put.records.extend(record.slot());
                seen.doubled |= record.seen.doubled;
                Ok(())
            })?;
        } else {
            single.member(body, scanner, &key)?;
        }
        Ok(())
    })?;
    scanner.end()?;
    put.records.extend(single.slot());
    let doubled = seen.doubled || single.seen.doubled;
    if doubled { Err(BodyFault::DuplicateKeys) } else { Ok(put) }
}

/// Members met so far, one bit each.
#[derive(Default)]
struct Seen {
    bits: u8,
    doubled: bool,
}

impl Seen {
    fn once(&mut self, bit: u8) {
        self.doubled |= self.bits & 1 << bit != 0;
        self.bits |= 1 << bit;
    }
}

/// The members of a record while they are read.
#[derive(Default)]
struct Record {
    data: Option<Text>,
    partition_key_bytes: usize,
    seen: Seen,
}

impl Record {
    fn member(&mut self, body: &[u8], scanner: &mut Scanner<'_>, key: &Text) -> Result<(), Fault> {
        if key.is(body, "Data") {
            self.seen.once(0);
            self.data = Some(scanner.base64_text()?);
        } else if key.is(body, "PartitionKey") {
            self.seen.once(1);
            let text = scanner.text()?;
            // Escapes only shorten: the range is an upper bound, which is the safe side.
            self.partition_key_bytes = text.inner.len();
        } else {
            scanner.value()?;
        }
        Ok(())
    }

    fn slot(&mut self) -> Option<Slot> {
        let partition_key_bytes = self.partition_key_bytes;
        self.data.take().map(|data| Slot { data, partition_key_bytes })
    }
}

/// What a put became.
#[derive(Debug, Clone, PartialEq)]
pub struct Spliced {
    /// The body to send: the same `Bytes` if no record was changed.
    pub body: Segments,
    /// What became of each record, in order.
    pub verdicts: Vec<Verdict>,
    /// Payload bytes that were added.
    pub injected_bytes: usize,
}

/// What to do with a put's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan<'a> {
    /// Add context where it is allowed.
    Inject {
        /// What goes into which record.
        insertions: &'a Insertions,
        /// What may not be exceeded.
        law: SizeLaw,
        /// What is done to KPL aggregates.
        aggregated: Aggregated,
    },
    /// Look, change nothing.
    Observe,
}

/// What goes into which record of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insertions {
    /// For every record that has none of its own.
    pub common: Insertion,
    /// By the record's place in the request: one that was sent before keeps its first context.
    pub own: HashMap<usize, Insertion>,
}

impl Insertions {
    /// The insertion of one record.
    #[must_use]
    pub fn of(&self, record: usize) -> &Insertion {
        self.own.get(&record).unwrap_or(&self.common)
    }
}

/// Looks at every record of a put: one decoding each.
#[must_use]
pub fn look(body: &[u8], put: &PutBody) -> Vec<Look> {
    let mut scratch = Vec::new();
    let look = |slot: &Slot| record::look(&slot.base64(body).unwrap_or_default(), &mut scratch);
    put.records.iter().map(look).collect()
}

impl Slot {
    /// The base64 characters, unescaped (PHP writes `\/`).
    fn base64<'a>(&self, body: &'a [u8]) -> Option<std::borrow::Cow<'a, [u8]>> {
        if !self.data.escaped {
            return body.get(self.data.inner.clone()).map(Into::into);
        }
        Some(self.data.unescaped(body)?.into_owned().into_bytes().into())
    }
}

/// Splices a put's records.
#[must_use]
pub fn splice(body: &Bytes, put: &PutBody, looks: &[Look], plan: &Plan<'_>) -> Spliced {
    let mut edited = Edited::new(body, looks.len());
    let mut verdicts = Vec::with_capacity(looks.len());
    let (mut request_bytes, mut injected_bytes) = (0, 0);
    for (record, (slot, look)) in put.records.iter().zip(looks).enumerate() {
        let record_bytes = look.payload_bytes + slot.partition_key_bytes;
        request_bytes += record_bytes;
        verdicts.push(match (&look.spot, plan) {
            (Err(verdict), _) => verdict.clone(),
            (Ok(_), Plan::Observe) => Verdict::Observed,
            (Ok(spot), Plan::Inject { insertions, law, aggregated: _ }) => {
                let insertion = insertions.of(record);
                let growth = insertion.bytes(spot.empty).len();
                if record_bytes + growth > law.record_bytes_max {
                    Verdict::RecordTooLarge
                } else if request_bytes + injected_bytes + growth > law.request_bytes_max {
                    Verdict::RequestTooLarge
                } else if edited.splice(slot, look, *spot, insertion).is_some() {
                    injected_bytes += growth;
                    Verdict::Injected
                } else {
                    Verdict::NotBase64
                }
            }
        });
    }
    Spliced { body: edited.body().into(), verdicts, injected_bytes }
}

/// A body being written anew; nothing is allocated until the first edit.
struct Edited<'a> {
    old: &'a Bytes,
    /// Up to where the old body is in the new one, or replaced.
    from: usize,
    new: Vec<u8>,
    scratch: Vec<u8>,
    records: usize,
}

impl<'a> Edited<'a> {
    const fn new(old: &'a Bytes, records: usize) -> Self {
        Self { old, from: 0, new: Vec::new(), scratch: Vec::new(), records }
    }

    fn splice(
        &mut self,
        slot: &Slot,
        look: &Look,
        spot: Spot,
        insertion: &Insertion,
    ) -> Option<()> {
        let base64 = slot.base64(self.old)?;
        if self.new.capacity() == 0 {
            let growth = insertion.bytes(spot.empty).len() / 3 * 4 + 4;
            self.new.reserve_exact(self.old.len() + self.records * growth);
        }
        let Range { start, end } = slot.data.inner;
        self.new.extend_from_slice(self.old.get(self.from..start)?);
        self.from = start;
        let replaced =
            record::splice(&base64, look, spot, insertion, &mut self.scratch, &mut self.new)?;
        if slot.data.escaped {
            // Escaped base64 has other offsets than the body: all of it is written anew.
            self.new.extend_from_slice(base64.get(replaced..)?);
            self.from = end;
        } else {
            self.from += replaced;
        }
        Some(())
    }

    fn body(mut self) -> Bytes {
        if self.from == 0 {
            return self.old.clone();
        }
        self.new.extend_from_slice(self.old.get(self.from..).unwrap_or_default());
        self.new.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::envelope::unsplice;
    use crate::domain::trace::{TraceContext, TraceState};
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn insertion() -> Insertion {
        let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
        Insertion::new(&context, &TraceState::default())
    }

    fn put(body: &str) -> Result<Spliced, BodyFault> {
        put_with(body, SizeLaw::default())
    }

    fn put_with(body: &str, law: SizeLaw) -> Result<Spliced, BodyFault> {
        let body = Bytes::from(body.to_owned());
        let located = locate(WireForm::Json, &body)?;
        let looks = look(&body, &located);
        let insertions = Insertions { common: insertion(), own: HashMap::new() };
        let plan = Plan::Inject { insertions: &insertions, law, aggregated: Aggregated::Off };
        Ok(splice(&body, &located, &looks, &plan))
    }

    fn encode(payload: &[u8]) -> String {
        base64_simd::STANDARD.encode_to_string(payload)
    }

    fn payloads(body: &[u8]) -> Vec<Vec<u8>> {
        let located = locate(WireForm::Json, body).unwrap();
        let decode =
            |slot: &Slot| base64_simd::STANDARD.decode_to_vec(slot.base64(body).unwrap()).unwrap();
        located.records.iter().map(decode).collect()
    }

    #[test]
    fn verdict_of_every_payload() {
        let check = |payload: &[u8], verdict: &str| {
            let body =
                format!(r#"{{"StreamName":"s","Data":"{}","PartitionKey":"p"}}"#, encode(payload));
            let spliced = put(&body).unwrap();
            assert_eq!(spliced.verdicts.iter().map(Verdict::as_str).collect::<Vec<_>>(), [verdict]);
            let changed = spliced.body.to_bytes() != body.as_bytes();
            assert_eq!(changed, verdict == "injected", "{verdict}");
            if changed {
                assert_eq!(unsplice(&payloads(&spliced.body.to_bytes())[0]), payload);
            }
        };
        check(b"{\"a\":1}", "injected");
        check(b"{}", "injected");
        check(b" \n  {\"a\":\"long enough to have groups behind the insertion\"} ", "injected");
        check(b"", "empty");
        check(b"[1]", "not_object");
        check(b"17", "not_object");
        check(b"{\"a\":", "not_json");
        check(b"\x1f\x8b\x08\x00", "not_json");
        check(format!("{{\"traceparent\":\"{PARENT}\"}}").as_bytes(), "context_present");
        check(b"{\"traceparent\":\"\"}", "context_invalid");
    }

    #[test]
    fn bodies_of_every_client() {
        let data = encode(b"{\"a\":1}");
        let check = |body: String, stream: Option<&str>, injected: usize| {
            let located = locate(WireForm::Json, body.as_bytes()).unwrap();
            assert_eq!(located.stream.as_ref().map(StreamName::as_str), stream, "{body}");
            let spliced = put(&body).unwrap();
            let done = spliced.verdicts.iter().filter(|v| **v == Verdict::Injected).count();
            assert_eq!(done, injected, "{body}");
            assert!(serde_json::from_slice::<serde_json::Value>(&spliced.body.to_bytes()).is_ok());
        };
        check(
            format!(r#"{{"StreamName": "s", "Data": "{data}", "PartitionKey": "p"}}"#),
            Some("s"),
            1,
        );
        check(
            format!(
                r#"{{"Records":[{{"Data":"{data}","PartitionKey":"Data"}},{{"PartitionKey":"p","Data":"{data}"}}],"StreamName":"s"}}"#
            ),
            Some("s"),
            2,
        );
        check(
            format!(r#"{{"StreamARN":"arn:aws:kinesis:us-east-1:1:stream/t","Data":"{data}"}}"#),
            Some("t"),
            1,
        );
        check(r#"{"Records":[],"StreamName":"s"}"#.into(), Some("s"), 0);
        check(r#"{"StreamName":"s","PartitionKey":"p"}"#.into(), Some("s"), 0);
        check(r#"{"StreamName":"s","Data":"?","PartitionKey":"p"}"#.into(), Some("s"), 0);
    }

    #[test]
    fn escaped_base64_of_php() {
        let payload: &[u8] = b"{\"a\":\"???\\u00ff??????\"}";
        let escaped = encode(payload).replace('/', "\\/");
        assert!(escaped.contains("\\/"), "the payload has no slash to escape");
        let spliced = put(&format!(r#"{{"StreamName":"s","Data":"{escaped}"}}"#)).unwrap();
        assert_eq!(spliced.verdicts, [Verdict::Injected]);
        assert_eq!(unsplice(&payloads(&spliced.body.to_bytes())[0]), payload);
    }

    #[test]
    fn bodies_not_understood() {
        let check = |body: &str, fault: &str| {
            assert_eq!(put(body).map(|_| ()).map_err(BodyFault::as_str), Err(fault), "{body}");
        };
        check("", "body_not_json");
        check("[]", "body_not_json");
        check(r#"{"Data":"e30="#, "body_not_json");
        check(r#"{"Data":17}"#, "body_not_json");
        check(r#"{"Data":"e30=","Data":"e30="}"#, "body_duplicate_keys");
        check(
            r#"{"Records":[{"Data":"e30=","PartitionKey":"a","PartitionKey":"b"}]}"#,
            "body_duplicate_keys",
        );
        check(r#"{"StreamName":"a","StreamName":"b","Data":"e30="}"#, "body_duplicate_keys");
    }

    #[test]
    fn size_laws_keep_the_record_as_it_came() {
        let body = |key: &str| {
            format!(
                r#"{{"Records":[{{"Data":"e30=","PartitionKey":"{key}"}},{{"Data":"e30=","PartitionKey":"p"}}]}}"#
            )
        };
        let verdicts = |key: &str, record_bytes_max, request_bytes_max| {
            let spliced =
                put_with(&body(key), SizeLaw { record_bytes_max, request_bytes_max }).unwrap();
            spliced.verdicts.iter().map(Verdict::as_str).collect::<Vec<_>>()
        };
        let growth = insertion().bytes(true).len();
        assert_eq!(verdicts("pp", 3 + growth, 1_000), ["record_too_large", "injected"]);
        assert_eq!(verdicts("p", 1_000, 3 + 3 + growth), ["injected", "request_too_large"]);
    }

    proptest! {
        /// Whatever a record holds, the consumer's bytes are the producer's plus our insertion.
        #[test]
        fn transparent(payloads_in in proptest::collection::vec(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            "\\{\"[a-z]{1,9}\" ?: ?\"[a-z]{0,40}\"\\}[ \n]{0,2}".prop_map(String::into_bytes),
        ], 0..5)) {
            let records: Vec<String> = payloads_in.iter()
                .map(|payload| format!(r#"{{"Data":"{}","PartitionKey":"k"}}"#, encode(payload))).collect();
            let body = format!(r#"{{"Records":[{}],"StreamName":"s"}}"#, records.join(","));
            let spliced = put(&body).unwrap();
            let out = payloads(&spliced.body.to_bytes());
            for ((before, after), verdict) in payloads_in.iter().zip(&out).zip(&spliced.verdicts) {
                if *verdict == Verdict::Injected {
                    prop_assert_eq!(&*unsplice(after), &before[..]);
                } else {
                    prop_assert_eq!(after, before);
                }
            }
        }

        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = locate(WireForm::Json, &body);
        }
    }
}
