//! Owns `deliver: strip`: takes our insertions out of the answers of reads, so that the reader gets
//! the producer's bytes. Refuses to touch anything else.

use super::form::WireForm;
use super::read::payload::decode;
use super::read::walk::{Blob, members};
use crate::domain::envelope::unsplice;
use crate::wire::segments::Segments;
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// What an aggregate begins with: its user records may carry what its own first bytes do not show.
const AGGREGATE_MAGIC: &[u8] = b"\xf3\x89\x9a\xc2";
/// What our insertion makes of an object's beginning. The space before the colon is ours.
const INSERTED: &[u8] = b"{\"traceparent\" ";
/// Base64 characters that are decoded to see how a payload begins.
const HEAD_CHARS: usize = 64;

/// New bytes for a range of the body.
struct Edit {
    at: Range<usize>,
    with: Vec<u8>,
}

/// The answer of GetRecords or of a queue's receive with every record as its producer wrote it;
/// `None` when nothing of ours is in it: then the original is to be passed on.
#[must_use]
pub fn records(form: WireForm, body: &Bytes) -> Option<Segments> {
    let (mut segments, mut copied) = (Segments::default(), 0);
    for Edit { at, with } in edits(form, body)? {
        segments.push(body.slice(copied..at.start));
        segments.push(Bytes::from(with));
        copied = at.end;
    }
    segments.push(body.slice(copied..));
    Some(segments)
}

/// The JSON payload of one SubscribeToShardEvent with every record as its producer wrote it; `None`
/// when nothing of ours is in it: then the original is to be passed on.
#[must_use]
pub fn event(payload: &[u8]) -> Option<Vec<u8>> {
    let (mut stripped, mut copied) = (Vec::with_capacity(payload.len()), 0);
    for Edit { at, with } in edits(WireForm::Json, payload)? {
        stripped.extend_from_slice(payload.get(copied..at.start)?);
        stripped.extend_from_slice(&with);
        copied = at.end;
    }
    stripped.extend_from_slice(payload.get(copied..)?);
    Some(stripped)
}

/// In the order of the body, apart from each other and inside of it. None if the body is not an
/// answer, or if there is nothing to change.
fn edits(form: WireForm, body: &[u8]) -> Option<Vec<Edit>> {
    let (mut edits, mut scratch) = (Vec::new(), Vec::new());
    members(form, body, |walk, key| {
        if !matches!(key, "Records" | "QueueRecords") || walk.is_null()? {
            return walk.skip();
        }
        walk.array(|walk| {
            walk.object(|walk, key| {
                if key != "Data" {
                    return walk.skip();
                }
                edits.extend(walk.blob()?.and_then(|data| edit(form, &data, &mut scratch)));
                Ok(())
            })
        })
    })?;
    (!edits.is_empty()).then_some(edits)
}

fn edit(form: WireForm, data: &Blob<'_>, scratch: &mut Vec<u8>) -> Option<Edit> {
    let content = &*data.content;
    let payload = match form {
        WireForm::Json => {
            let head = content.get(..HEAD_CHARS).unwrap_or(content);
            may_be_ours(decode(head, scratch)?).then_some(())?;
            decode(content, scratch)?
        }
        WireForm::Cbor => may_be_ours(content).then_some(content)?,
    };
    let Cow::Owned(original) = unsplice(payload) else { return None };
    let removed = payload.len().checked_sub(original.len()).filter(|removed| *removed > 0)?;
    let changed = if data.in_place { changed(payload, &original) } else { original.len() };
    match form {
        WireForm::Json => {
            // Groups of three bytes are kept or written anew as a whole.
            let changed = changed.next_multiple_of(3);
            let (changed, end) = if removed.is_multiple_of(3) && changed < original.len() {
                (original.get(..changed)?, data.at.start + (changed + removed) / 3 * 4)
            } else {
                (&original[..], data.at.end)
            };
            let with = base64_simd::STANDARD.encode_to_string(changed).into_bytes();
            Some(Edit { at: data.at.start..end, with })
        }
        WireForm::Cbor => {
            let mut encoder = minicbor::Encoder::new(Vec::new());
            encoder.bytes_len(original.len().try_into().ok()?).ok()?;
            let mut with = encoder.into_writer();
            with.extend_from_slice(original.get(..changed)?);
            let end = data.at.end.checked_sub(original.len() - changed)?;
            Some(Edit { at: data.at.start..end, with })
        }
    }
}

/// Whether it is worth decoding the rest of a payload that begins like this. Of several objects the
/// first carries the insertion if any does; leading white space and a byte order mark stay leading.
fn may_be_ours(head: &[u8]) -> bool {
    let rest = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    // A head that ends too early to tell is one to read on.
    rest.starts_with(INSERTED) || INSERTED.starts_with(rest) || head.starts_with(AGGREGATE_MAGIC)
}

/// How many bytes of `original` are not simply the end of `payload`.
fn changed(payload: &[u8], original: &[u8]) -> usize {
    let same = payload.iter().zip(original).take_while(|(one, other)| one == other).count();
    let rest_stays = original.get(same..).is_some_and(|rest| payload.ends_with(rest));
    if rest_stays { same } else { original.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::envelope::{Insertion, splice};
    use crate::domain::trace::{TraceContext, TraceState};

    #[test]
    fn of_a_large_record_only_the_front_is_new() {
        let context = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = TraceContext::parse(context).unwrap();
        let insertion = Insertion::new(&context, &TraceState::default());
        let original = format!("{{\"a\":\"{}\"}}", "x".repeat(3_000));
        let payload = splice(original.as_bytes(), &insertion).unwrap();
        let base64 = base64_simd::STANDARD.encode_to_string(&payload);
        let json = format!(r#"{{"Records":[{{"Data":"{base64}"}},{{"Data":"e30="}}]}}"#);
        let mut cbor = minicbor::Encoder::new(Vec::new());
        cbor.map(1).unwrap().str("Records").unwrap().array(1).unwrap();
        cbor.map(1).unwrap().str("Data").unwrap().bytes(&payload).unwrap();
        for (form, body) in
            [(WireForm::Json, json.into_bytes()), (WireForm::Cbor, cbor.into_writer())]
        {
            let body = Bytes::from(body);
            let stripped = records(form, &body).unwrap();
            let [before, new, behind] = &stripped.iter().collect::<Vec<_>>()[..] else {
                panic!("three pieces: {form:?}")
            };
            assert!(new.len() < 16, "{form:?}: {}", new.len());
            assert!(body.starts_with(before) && body.ends_with(behind));
            assert_eq!(records(form, &stripped.to_bytes()), None);
        }
    }

    #[test]
    fn beginnings_worth_reading_on() {
        let check = |head: &[u8], expected| assert_eq!(may_be_ours(head), expected, "{head:?}");
        check(b"{\"traceparent\" :\"00-", true);
        check(b"\xef\xbb\xbf \r\n{\"traceparent\"  :", true);
        check(b"  \n ", true);
        check(b"{\"trac", true);
        check(b"\xf3\x89\x9a\xc2\x0a", true);
        check(b"{\"traceparent\":\"00-", false);
        check(b"{ \"traceparent\" :", false);
        check(b"{\"a\":1}", false);
        check(b"\x1f\x8b\x08", false);
    }
}
