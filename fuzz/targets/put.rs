//! Owns the laws of puts over any body: what is spliced can be told apart from what came, nothing
//! else moves, no size law breaks, and each form gets the same verdicts.

use super::aggregate::framed;
use super::clients::{STYLES, Sent};
use super::envelope::insertion;
use super::tree::twins;
use bytes::Bytes;
use kinescope::domain::envelope::aggregate::Aggregated;
use kinescope::domain::envelope::unsplice;
use kinescope::wire::kinesis::form::WireForm;
use kinescope::wire::kinesis::put::{
    Insertions, Plan, PutBody, RecordVerdict as Verdict, SizeLaw, locate, look, record_bytes,
    splice,
};
use minicbor::Decoder;
use std::collections::HashMap;
use std::ops::Range;

/// A put that was prepared.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    pub body: Bytes,
    pub verdicts: Vec<Verdict>,
    pub injected_bytes: usize,
    /// Each record's data before and after, as bytes; nothing where it is not base64.
    pub before: Vec<Option<Vec<u8>>>,
    pub after: Vec<Option<Vec<u8>>>,
}

/// Prepares a put as the proxy does, and asserts what holds for any body. The second record has a
/// context of its own. Nothing if the body is not understood.
pub fn prepare(
    form: WireForm,
    body: &[u8],
    law: SizeLaw,
    aggregated: Aggregated,
) -> Option<Prepared> {
    let body = Bytes::copy_from_slice(body);
    let located = locate(form, &body).ok()?;
    let looks = look(&body, &located);
    let insertions =
        Insertions { common: insertion(""), own: HashMap::from([(1, insertion("a=\"1\""))]) };
    let plan = Plan::Inject { insertions: &insertions, law, aggregated };
    let spliced = splice(&body, &located, &looks, &plan);
    let new = spliced.body.to_bytes();
    assert_eq!(spliced.verdicts.len(), located.len());
    assert!(looks.iter().all(|look| look.payload_bytes() <= body.len()));

    let again = locate(form, &new).expect("a body of ours is understood");
    assert_eq!(named(&again), named(&located));
    unmoved(form, (&body, &located), (&new, &again), &spliced.verdicts);
    let [before, after] = [(&body, &located), (&new, &again)].map(|(body, put)| {
        (0..put.len()).map(|at| payload(form, body, put, at)).collect::<Vec<_>>()
    });
    let mut growth = 0;
    for (verdict, (before, after)) in spliced.verdicts.iter().zip(before.iter().zip(&after)) {
        if *verdict == Verdict::Injected {
            let (before, after) = (before.as_ref().unwrap(), after.as_ref().unwrap());
            assert_eq!(*unsplice(after), **before);
            assert!(after.len() > before.len() && after.len() <= law.record_bytes_max);
            growth += after.len() - before.len();
        } else {
            assert_eq!(after, before);
        }
    }
    assert_eq!(growth, spliced.injected_bytes);
    let all = || after.iter().flatten().map(Vec::len).sum::<usize>();
    assert!(growth == 0 || all() <= law.request_bytes_max);
    assert!(growth > 0 || new == body);

    // A resubmission is left as it is.
    let twice = splice(&new, &again, &look(&new, &again), &plan);
    assert_eq!((twice.injected_bytes, &twice.body.to_bytes()), (0, &new));
    let observed = splice(&body, &located, &looks, &Plan::Observe);
    assert_eq!((observed.injected_bytes, &observed.body.to_bytes()), (0, &body));
    for (seen, verdict) in observed.verdicts.iter().zip(&spliced.verdicts) {
        assert!(*verdict != Verdict::Injected || *seen == Verdict::Observed);
    }
    let (verdicts, injected_bytes) = (spliced.verdicts, spliced.injected_bytes);
    Some(Prepared { body: new, verdicts, injected_bytes, before, after })
}

fn named(put: &PutBody) -> (Option<&str>, Option<&str>, Option<&str>, bool, usize) {
    let stream = put.stream.as_ref().map(kinescope::domain::stream::StreamName::as_str);
    (stream, put.stream_arn.as_deref(), put.stream_id.as_deref(), put.dry_run, put.len())
}

fn payload(form: WireForm, body: &[u8], put: &PutBody, record: usize) -> Option<Vec<u8>> {
    let raw = record_bytes(body, put, record)?;
    if form == WireForm::Cbor {
        return Some(raw.to_vec());
    }
    let text: String = serde_json::from_slice(&[b"\"", raw, b"\""].concat()).ok()?;
    base64_simd::STANDARD.decode_to_vec(text).ok()
}

/// What stands between the data of the records that were injected is the same bytes.
fn unmoved(form: WireForm, old: (&[u8], &PutBody), new: (&[u8], &PutBody), verdicts: &[Verdict]) {
    let (mut old_from, mut new_from) = (0, 0);
    let injected = |(_, verdict): &(usize, &Verdict)| **verdict == Verdict::Injected;
    for (record, _) in verdicts.iter().enumerate().filter(injected) {
        let (old_data, new_data) = (data_at(old, record), data_at(new, record));
        let mut old_gap = &old.0[old_from..old_data.start];
        let mut new_gap = &new.0[new_from..new_data.start];
        if form == WireForm::Cbor {
            let mut header = minicbor::Encoder::new(Vec::new());
            header.bytes_len(new_data.len() as u64).unwrap();
            new_gap =
                new_gap.strip_suffix(header.writer().as_slice()).expect("the shortest header");
            assert_eq!(header_length(&old_gap[new_gap.len()..]), Some(old_data.len() as u64));
            old_gap = &old_gap[..new_gap.len()];
        }
        assert_eq!(new_gap, old_gap);
        (old_from, new_from) = (old_data.end, new_data.end);
    }
    assert_eq!(&new.0[new_from..], &old.0[old_from..]);
}

fn data_at((body, put): (&[u8], &PutBody), record: usize) -> Range<usize> {
    let raw = record_bytes(body, put, record).unwrap();
    let start = raw.as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.len()
}

/// The length that the header of a byte string says, if that is all there is.
fn header_length(header: &[u8]) -> Option<u64> {
    let mut number = header.to_vec();
    // A byte string's header is an unsigned number's, one bit apart.
    *number.first_mut()? ^= 0x40;
    let mut decoder = Decoder::new(&number);
    let length = decoder.u64().ok()?;
    (decoder.position() == header.len() && header.first()? >> 5 == 2).then_some(length)
}

/// Limits that bind: taken from the body so that a mutation moves them.
fn limits(body: &[u8]) -> [SizeLaw; 2] {
    let tight =
        SizeLaw { record_bytes_max: 64 + body.len() % 97, request_bytes_max: 2 * body.len() };
    [SizeLaw::default(), tight]
}

fn any_body(form: WireForm, body: &[u8]) {
    for (law, aggregated) in limits(body).into_iter().zip([Aggregated::Tags, Aggregated::Json]) {
        let seen = prepare(form, body, law, aggregated);
        // Data in chunks, which has a verdict of its own, comes with their headers.
        let chunked =
            |seen: &Prepared| seen.before.iter().flatten().any(|raw| raw.starts_with(b"\x5f"));
        for (form, twin) in twins(form, body) {
            let twin = prepare(form, &twin, law, aggregated);
            if seen.as_ref().is_some_and(chunked) {
                continue;
            }
            let same = |seen: &Option<Prepared>| {
                seen.clone().map(|seen| (seen.verdicts, seen.injected_bytes, seen.after))
            };
            assert_eq!(same(&twin), same(&seen), "{form:?}");
        }
    }
}

pub fn put_json(data: &[u8]) {
    any_body(WireForm::Json, data);
    let is_json = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).is_ok();
    if let Some(seen) = prepare(WireForm::Json, data, SizeLaw::default(), Aggregated::Tags) {
        assert_eq!(is_json(&seen.body), is_json(data));
    }
}

pub fn put_cbor(data: &[u8]) {
    any_body(WireForm::Cbor, data);
}

/// Records apart from each other by `\x1e`; one that begins with `\x1d` is an aggregate's message,
/// `\x1c` stands for 33,000 bytes of text. Whoever writes the put, the records come out alike.
pub fn put_forms(data: &[u8]) {
    let record = |(at, text): (usize, &[u8])| {
        let mut payload = Vec::new();
        for byte in text {
            match byte {
                0x1c if payload.len() < 200_000 => payload.resize(payload.len() + 33_000, b'x'),
                byte => payload.push(*byte),
            }
        }
        if let Some(message) = payload.strip_prefix(b"\x1d") {
            payload = framed(message);
        }
        Sent { key: "\"é/".repeat(at), payload }
    };
    let records: Vec<Sent> =
        data.split(|byte| *byte == 0x1e).take(6).enumerate().map(record).collect();
    let total: usize = records.iter().map(|sent| sent.payload.len()).sum();
    let tight = SizeLaw { record_bytes_max: total.max(80), request_bytes_max: total + 200 };
    for (law, aggregated) in [(SizeLaw::default(), Aggregated::Tags), (tight, Aggregated::Json)] {
        for single in [false, true] {
            let mut first = None;
            for style in STYLES {
                let body = style.put(&records, single);
                let seen = prepare(style.form(), &body, law, aggregated).expect("a client's body");
                let after: Vec<Vec<u8>> = seen.after.into_iter().flatten().collect();
                // Written by the same client, the new payloads make the same body.
                let anew = |(sent, payload): (&Sent, &Vec<u8>)| Sent {
                    key: sent.key.clone(),
                    payload: payload.clone(),
                };
                let anew: Vec<Sent> = records.iter().zip(&after).map(anew).collect();
                if style != super::clients::Style::Php {
                    assert!(style.put(&anew, single) == seen.body, "{style:?} moved");
                }
                let seen = (seen.verdicts, seen.injected_bytes, after);
                assert!(*first.get_or_insert_with(|| seen.clone()) == seen, "{style:?} differs");
            }
        }
    }
}
