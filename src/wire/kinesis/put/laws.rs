//! Owns the laws of puts over any bytes: transparent, within the size laws, idempotent, and the
//! same in both wire forms.

use super::tests::{Sent, java, json, payloads, put};
use super::*;
use crate::domain::envelope::{WHOLE_BYTES_MAX, unsplice};
use crate::wire::kinesis::record::Verdict;
use md5::Digest;
use md5::Md5;
use proptest::collection::vec;
use proptest::prelude::*;

/// The four ways in which clients write a put.
fn bodies(sent: &[Sent]) -> [(WireForm, Vec<u8>); 4] {
    [
        (WireForm::Json, json(sent, false)),
        (WireForm::Json, json(sent, true)),
        (WireForm::Cbor, java(sent, false)),
        (WireForm::Cbor, java(sent, true)),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let large = WHOLE_BYTES_MAX - 60..WHOLE_BYTES_MAX + 200;
    prop_oneof![
        3 => vec(any::<u8>(), 0..40),
        6 => "[ \n]{0,2}\\{(\"[a-z]{1,9}\" ?: ?\"[a-z]{0,40}\")?\\}[ \n]{0,2}".prop_map(String::into_bytes),
        2 => "(\\{(\"[a-z]{1,5}\":[0-9])?\\}\n){1,6}".prop_map(String::into_bytes),
        2 => vec("\\{\"[a-z]{1,9}\":[0-9]{0,400}1\\}", 1..4).prop_map(|data| aggregate(&data)),
        1 => large.prop_map(|bytes| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes)).into_bytes()),
    ]
}

/// A KPL aggregate of user records under one partition key.
fn aggregate(data: &[String]) -> Vec<u8> {
    fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
        out.push(number << 3 | 2);
        match (bytes.len() % 128, bytes.len() / 128) {
            (low, 0) => out.push(low as u8),
            (low, high) => out.extend([low as u8 | 0x80, high as u8]),
        }
        out.extend_from_slice(bytes);
    }
    let mut message = Vec::new();
    field(1, b"key", &mut message);
    for data in data {
        let mut record = vec![1 << 3, 0];
        field(3, data.as_bytes(), &mut record);
        field(3, &record, &mut message);
    }
    let checksum = Md5::digest(&message);
    [&[0xf3, 0x89, 0x9a, 0xc2][..], &message, &checksum].concat()
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    vec((proptest::option::of("[a-z\"é\\\\]{0,9}"), payload()), 0..5)
}

fn sizes(sent: &[Sent], payloads: &[Vec<u8>]) -> Vec<usize> {
    let key = |sent: &Sent| sent.0.as_ref().map_or(0, String::len);
    sent.iter().zip(payloads).map(|(sent, payload)| key(sent) + payload.len()).collect()
}

proptest! {
    /// Whatever a record holds, the consumer's bytes are the producer's plus our insertion, and
    /// nothing else in the body differs: written by its client with the new payloads, it is ours.
    #[test]
    fn transparent_and_alike_in_both_forms(sent in sent(), record in 0_usize..90_000, request in 0_usize..300_000) {
        let law = SizeLaw { record_bytes_max: record, request_bytes_max: request };
        let mut first = None;
        for (style, (form, body)) in bodies(&sent).into_iter().enumerate() {
            let spliced = put(form, &body, law).unwrap();
            let new = spliced.body.to_bytes();
            let after = payloads(form, &new);
            let rewritten: Vec<Sent> =
                sent.iter().zip(&after).map(|((key, _), payload)| (key.clone(), payload.clone())).collect();
            prop_assert_eq!(&new[..], &bodies(&rewritten)[style].1[..]);
            for (((_, before), after), verdict) in sent.iter().zip(&after).zip(&spliced.verdicts) {
                if *verdict == Verdict::Injected {
                    prop_assert_ne!(after, before);
                    prop_assert_eq!(&*unsplice(after), &before[..]);
                } else {
                    prop_assert_eq!(after, before);
                }
            }
            let seen = (spliced.verdicts, spliced.injected_bytes, after);
            prop_assert_eq!(first.get_or_insert_with(|| seen.clone()), &seen);
        }
    }

    /// What was within a law stays within it.
    #[test]
    fn size_laws_hold(sent in sent(), record in 0_usize..400, request in 0_usize..1_000) {
        let law = SizeLaw { record_bytes_max: record, request_bytes_max: request };
        let before: Vec<Vec<u8>> = sent.iter().map(|(_, payload)| payload.clone()).collect();
        let before = sizes(&sent, &before);
        for (form, body) in bodies(&sent) {
            let spliced = put(form, &body, law).unwrap();
            let after = sizes(&sent, &payloads(form, &spliced.body.to_bytes()));
            for (before, after) in before.iter().zip(&after) {
                prop_assert!(after == before || *after <= record);
            }
            let (before, after): (usize, usize) = (before.iter().sum(), after.iter().sum());
            prop_assert_eq!(after, before + spliced.injected_bytes);
            prop_assert!(after == before || after <= request);
        }
    }

    /// A put that was spliced and comes again, a resubmission, is left as it is.
    #[test]
    fn spliced_once_is_spliced_for_good(sent in sent(), request in 0_usize..2_000) {
        let law = SizeLaw { request_bytes_max: request, ..SizeLaw::default() };
        for (form, body) in bodies(&sent) {
            let once = put(form, &body, law).unwrap().body.to_bytes();
            let twice = put(form, &once, law).unwrap();
            prop_assert_eq!(twice.injected_bytes, 0);
            prop_assert_eq!(twice.body.to_bytes(), once);
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(body in vec(any::<u8>(), 0..80)) {
        for form in [WireForm::Json, WireForm::Cbor] {
            let _ = put(form, &body, SizeLaw::default());
        }
    }

    /// Near misses: a byte of a good body is another, or it ends early.
    #[test]
    fn damaged_bodies_are_read_without_panic(sent in sent(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        for (form, mut body) in bodies(&sent) {
            let at = at.index(body.len());
            body[at] = byte;
            body.truncate(if cut { at } else { body.len() });
            let _ = put(form, &body, SizeLaw::default());
        }
    }
}

/// Else the laws above would hold of aggregates for want of any.
#[test]
fn aggregates_are_spliced() {
    let event = format!("{{\"a\":\"{}\"}}", "x".repeat(2_000));
    let sent = [(Some("key".to_owned()), aggregate(&[event.clone(), event]))];
    for (form, body) in bodies(&sent) {
        let spliced = put(form, &body, SizeLaw::default()).unwrap();
        assert_eq!(spliced.verdicts, [Verdict::Injected]);
        let new = payloads(form, &spliced.body.to_bytes());
        assert_eq!(new[0].len(), sent[0].1.len() + spliced.injected_bytes);
        assert_eq!(&*unsplice(&new[0]), &sent[0].1[..]);
    }
}

/// A large record is kept by reference, and each line of the next gets an insertion.
#[test]
fn large_records_and_lines_are_spliced() {
    let large = format!("{{\"a\":[{}0]}}", "17,".repeat(200_000)).into_bytes();
    let lines = b"{\"a\":1}\n{\"b\":2}\n{}\n".to_vec();
    let sent = [(None, large), (None, lines)];
    for (form, body) in bodies(&sent) {
        let spliced = put(form, &body, SizeLaw::default()).unwrap();
        assert_eq!(spliced.verdicts, [Verdict::Injected; 2]);
        assert_eq!(spliced.body.iter().len(), 3);
        let new = payloads(form, &spliced.body.to_bytes());
        for ((_, before), after) in sent.iter().zip(&new) {
            assert_eq!(&*unsplice(after), &before[..]);
        }
        let lines = String::from_utf8(new[1].clone()).unwrap();
        assert!(lines.lines().all(|line| line.starts_with("{\"traceparent\"")), "{lines}");
    }
}
