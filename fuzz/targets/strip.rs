//! Owns the laws of stripping: only records of ours change, to what their producer wrote, once.

use super::tree::Tree;
use bytes::Bytes;
use kinescope::domain::envelope::unsplice;
use kinescope::wire::kinesis::form::WireForm;
use kinescope::wire::kinesis::read::records_answer;
use kinescope::wire::kinesis::strip;

fn laws(form: WireForm, data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let stripped = strip::records(form, &body).map(|segments| segments.to_bytes());
    if form == WireForm::Json {
        assert_eq!(strip::event(data).map(Bytes::from), stripped);
    }
    // By another reader of the body, record for record.
    if let Some(mut tree) = Tree::read(form, data) {
        let changed = without_ours(&mut tree).unwrap_or(false);
        assert_eq!(
            stripped.is_some(),
            changed,
            "something of ours was passed over, or not of ours taken"
        );
        if let Some(stripped) = &stripped {
            assert_eq!(Tree::read(form, stripped), Some(tree));
        }
    }
    let Some(stripped) = stripped else { return };
    assert!(stripped.len() < body.len());
    assert_eq!(strip::records(form, &stripped), None);
    let facts = |body: &[u8]| {
        let answer = records_answer(form, body)?;
        let records = answer.records.into_iter().map(|record| (record.sequence, record.arrival));
        Some((answer.behind, answer.next, answer.child_shards, records.collect::<Vec<_>>()))
    };
    assert_eq!(facts(&stripped), facts(&body));
}

/// Takes what is ours out of the records of an answer; says whether there was something. Nothing if
/// it is no answer.
fn without_ours(tree: &mut Tree) -> Option<bool> {
    let Tree::Map(members) = tree else { return None };
    let mut changed = false;
    let lists = members.iter_mut().filter(|(key, value)| {
        matches!(key.as_str(), "Records" | "QueueRecords") && *value != Tree::Null
    });
    for (_, value) in lists {
        let Tree::List(records) = value else { return None };
        for record in records {
            let Tree::Map(members) = record else { return None };
            for (_, value) in members {
                let Tree::Bytes(payload) = value else { continue };
                let original = unsplice(payload).into_owned();
                changed |= original != *payload;
                *payload = original;
            }
        }
    }
    Some(changed)
}

pub fn strip_json(data: &[u8]) {
    laws(WireForm::Json, data);
}

pub fn strip_cbor(data: &[u8]) {
    laws(WireForm::Cbor, data);
}
