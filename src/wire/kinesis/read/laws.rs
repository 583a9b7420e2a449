//! Owns the laws of answers over any records: both forms read the same, and stripping undoes
//! splicing. Refuses to look at one answer at a time: those are tested beside the code.

use super::*;
use crate::domain::envelope::aggregate::{self, Aggregated};
use crate::domain::envelope::{Insertion, splice};
use crate::wire::kinesis::{queue, strip};
use bytes::Bytes;
use md5::{Digest, Md5};
use minicbor::Encoder;
use minicbor::data::IanaTag;
use minicbor::encode::Error;
use proptest::prelude::*;
use std::convert::Infallible;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn spliced(payload: &[u8]) -> Option<Vec<u8>> {
    let context = TraceContext::parse(PARENT.as_bytes())?;
    let insertion = Insertion::new(&context, &TraceState::parse("a=1"));
    let aggregated = || aggregate::splice(payload, &insertion, Aggregated::Tags);
    splice(payload, &insertion).or_else(|_| aggregated()).ok()
}

/// A KPL aggregate of user records with one partition key.
fn aggregate_of(payloads: &[String]) -> Vec<u8> {
    let mut message = b"\x0a\x01k".to_vec();
    for payload in payloads {
        let length = payload.len() as u8;
        message.extend_from_slice(&[0x1a, length + 4, 0x08, 0x00, 0x1a, length]);
        message.extend_from_slice(payload.as_bytes());
    }
    [b"\xf3\x89\x9a\xc2", &message[..], &Md5::digest(&message)].concat()
}

/// A record, and how odd its writer is.
#[derive(Debug, Clone)]
struct Sample {
    payload: Vec<u8>,
    arrival_ms: u64,
    receives: u64,
    /// JSON: `\/` in base64. CBOR: indefinite lengths, chunks, seconds in place of milliseconds.
    odd: bool,
    carries: bool,
}

impl Sample {
    /// As Kinesis hands it out: with our insertion if it carries one. Without it, a record that
    /// would carry one is written plainly, since that is how it is written anew.
    fn delivered(&self, with: bool) -> (Vec<u8>, bool) {
        match spliced(&self.payload).filter(|_| self.carries) {
            Some(spliced) if with => (spliced, self.odd),
            Some(_) => (self.payload.clone(), false),
            None => (self.payload.clone(), self.odd),
        }
    }

    fn is_changed(&self) -> bool {
        self.carries && spliced(&self.payload).is_some()
    }
}

fn json(list: &str, samples: &[Sample], with: bool) -> Bytes {
    let record = |sample: &Sample| {
        let (payload, odd) = sample.delivered(with);
        let mut data = base64_simd::STANDARD.encode_to_string(&payload);
        if odd {
            data = data.replace('/', "\\/").replace('e', "\\u0065");
        }
        let Sample { arrival_ms, receives, .. } = sample;
        format!(
            r#" {{"Data" : "{data}","Else":[{{"Data":"e30="}}],"ApproximateArrivalTimestamp":{}.{:03},"SequenceNumber":"{receives}" , "ReceiveCount":{receives}}}"#,
            arrival_ms / 1_000,
            arrival_ms % 1_000,
        )
    };
    let records: Vec<String> = samples.iter().map(record).collect();
    let records = records.join(",\n");
    let body = format!(
        r#"{{"MillisBehindLatest":7,"{list}":[{records}],"ChildShards":[{{"ShardId":"c","ParentShards":["p"]}}],"NextShardIterator":"n"}} "#
    );
    body.into()
}

fn cbor(list: &str, samples: &[Sample], with: bool) -> Bytes {
    let mut encoder = Encoder::new(Vec::new());
    write_answer(&mut encoder, list, samples, with).unwrap();
    encoder.into_writer().into()
}

type Written = Result<(), Error<Infallible>>;

fn write_answer(to: &mut Encoder<Vec<u8>>, list: &str, samples: &[Sample], with: bool) -> Written {
    to.map(4)?.str("MillisBehindLatest")?.u64(7)?.str(list)?;
    to.array(samples.len() as u64)?;
    for sample in samples {
        write_record(to, sample, with)?;
    }
    to.str("ChildShards")?.array(1)?.map(2)?.str("ShardId")?.str("c")?;
    to.str("ParentShards")?.array(1)?.str("p")?;
    to.str("NextShardIterator")?.str("n")?;
    Ok(())
}

fn write_record(to: &mut Encoder<Vec<u8>>, sample: &Sample, with: bool) -> Written {
    let (payload, chunked) = sample.delivered(with);
    if sample.odd {
        to.begin_map()?
    } else {
        to.map(5)?
    };
    to.str("Data")?;
    if chunked {
        to.begin_bytes()?;
        for chunk in payload.chunks(5) {
            to.bytes(chunk)?;
        }
        to.end()?;
    } else {
        to.bytes(&payload)?;
    }
    // What is skipped may nest lengths of both kinds.
    to.str("Else")?.begin_array()?.array(3)?.begin_map()?.str("Data")?.bytes(b"{}")?.end()?;
    to.array(2)?.begin_array()?.null()?.end()?.bool(true)?.map(1)?.u8(1)?.f32(0.5)?.end()?;
    to.str("ApproximateArrivalTimestamp")?;
    match (sample.odd, sample.arrival_ms % 1_000) {
        (false, _) => to.tag(IanaTag::Timestamp)?.u64(sample.arrival_ms)?,
        (true, 0) => to.u64(sample.arrival_ms / 1_000)?,
        (true, _) => to.tag(IanaTag::Timestamp)?.f64(sample.arrival_ms as f64 / 1_000.0)?,
    };
    to.str("SequenceNumber")?.str(&sample.receives.to_string())?;
    to.str("ReceiveCount")?.u64(sample.receives)?;
    if sample.odd {
        to.end()?;
    }
    Ok(())
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let object =
        "[ \n]{0,3}\\{(\"[a-z]{1,4}\" ?: ?(-?[0-9]{1,5}|\"[a-zA-Zé ]{0,12}\"))?\\}[ \n]{0,3}";
    let large = (66_000_usize..70_000, any::<bool>()).prop_map(|(bytes, twice)| {
        let object = format!("{{\"long\":\"{}\"}}", "x".repeat(bytes));
        if twice { format!("{object}\n{object}\n") } else { object }
    });
    prop_oneof![
        4 => object.prop_map(String::into_bytes),
        2 => proptest::collection::vec(object, 1..4).prop_map(|lines| lines.join("\n").into_bytes()),
        2 => proptest::collection::vec(object, 1..4).prop_map(|records| aggregate_of(&records)),
        1 => large.prop_map(String::into_bytes),
        1 => Just(format!("{{\"traceparent\" :\"{PARENT}\",\"a\":1}}").into_bytes()),
        1 => Just(b"\xf3\x89\x9a\xc2 no aggregate".to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..80),
    ]
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let arrival_ms = prop_oneof![
        1_384_000_000_000_u64..4_000_000_000_000,
        (1_384_000_000_u64..4_000_000_000).prop_map(|seconds| seconds * 1_000),
    ];
    let sample = (payload(), arrival_ms, 1_u64..4, any::<bool>(), any::<bool>()).prop_map(
        |(payload, arrival_ms, receives, odd, carries)| Sample {
            payload,
            arrival_ms,
            receives,
            odd,
            carries,
        },
    );
    proptest::collection::vec(sample, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_forms_read_the_same(samples in samples()) {
        let from_json = records_answer(WireForm::Json, &json("Records", &samples, true)).unwrap();
        let from_cbor = records_answer(WireForm::Cbor, &cbor("Records", &samples, true)).unwrap();
        prop_assert_eq!(&from_json, &from_cbor);
        prop_assert_eq!(from_json.records.len(), samples.len());
        for (record, sample) in from_json.records.iter().zip(&samples) {
            prop_assert_eq!(record.arrival, Some(Wall::from_ms(sample.arrival_ms)));
            prop_assert!(!sample.is_changed() || record.verdict == "linked");
        }
        prop_assert_eq!(from_json.child_shards, ["c".into()]);
        prop_assert_eq!(from_json.behind, Some(Duration::from_millis(7)));
        prop_assert_eq!(from_json.next.as_deref(), Some("n"));
    }

    #[test]
    fn both_forms_of_a_receive_read_the_same(samples in samples()) {
        let from_json = queue::receive_answer(WireForm::Json, &json("QueueRecords", &samples, true));
        let from_cbor = queue::receive_answer(WireForm::Cbor, &cbor("QueueRecords", &samples, true));
        prop_assert_eq!(&from_json, &from_cbor);
        let again = samples.iter().filter(|sample| sample.receives > 1).count();
        prop_assert_eq!(from_json.unwrap().redelivered(), again);
    }

    #[test]
    fn strip_undoes_splice_and_leaves_the_rest(samples in samples(), queue in any::<bool>()) {
        let list = if queue { "QueueRecords" } else { "Records" };
        let changed = samples.iter().any(Sample::is_changed);
        for (form, render) in [
            (WireForm::Json, json as fn(&str, &[Sample], bool) -> Bytes),
            (WireForm::Cbor, cbor),
        ] {
            let stripped = strip::records(form, &render(list, &samples, true));
            let original = changed.then(|| render(list, &samples, false));
            prop_assert_eq!(stripped.map(|stripped| stripped.to_bytes()), original.clone());
            if let Some(original) = original {
                prop_assert_eq!(strip::records(form, &original), None);
            }
        }
        let event = strip::event(&json(list, &samples, true)).map(Bytes::from);
        prop_assert_eq!(event, changed.then(|| json(list, &samples, false)));
    }

    #[test]
    fn any_bytes_are_taken(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        samples in samples(),
        at in any::<proptest::sample::Index>(),
        cut in any::<bool>(),
    ) {
        for form in [WireForm::Json, WireForm::Cbor] {
            let mut whole = match form {
                WireForm::Json => json("Records", &samples, true),
                WireForm::Cbor => cbor("Records", &samples, true),
            }.to_vec();
            let at = at.index(whole.len());
            if cut {
                whole.truncate(at);
            } else {
                whole.splice(at..at, bytes.iter().copied());
            }
            for body in [&bytes, &whole] {
                let _ = (records_answer(form, body), records_request(form, body));
                let _ = (iterator_answer(form, body), iterator_request(form, body));
                let _ = (queue::receive_request(form, body), queue::receive_answer(form, body));
                let stripped = strip::records(form, &Bytes::from(body.clone()));
                prop_assert!(stripped.is_none_or(|stripped| stripped.bytes() < body.len()));
                let _ = strip::event(body);
            }
        }
    }
}
