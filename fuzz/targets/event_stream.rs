//! Owns the laws of event streams: however a body is cut, the same messages come out of it, and a
//! message without our insertions is a sound message.

use bytes::Bytes;
use kinescope::wire::kinesis::strip as records;
use kinescope::wire::kinesis::subscribe::{Broken, Decoded, Framer, Message, decode, strip};

/// The input's first byte: how many cuts follow, of two bytes each, and whether the checksums of
/// what is behind them are made right first, which no mutation would manage.
pub fn event_stream(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let cuts = usize::from(first & 7).min(rest.len() / 2);
    let (cuts, body) = rest.split_at(2 * cuts);
    let mut body = body.to_vec();
    if first & 8 != 0 {
        make_right(&mut body);
    }
    let body = Bytes::from(body);
    let cut = |pair: &[u8]| usize::from(pair[0]) << 8 | usize::from(pair[1]);
    let mut ends: Vec<usize> = cuts.chunks(2).map(|pair| cut(pair) % (body.len() + 1)).collect();
    ends.sort_unstable();
    let whole = run(&body, &[]);
    assert_eq!(run(&body, &ends), whole);
    if body.len() < 300 {
        assert_eq!(run(&body, &(1..body.len()).collect::<Vec<_>>()), whole);
    }
    let (messages, rest, _) = whole;
    assert_eq!([messages.concat(), rest.to_vec()].concat(), body);
    messages.iter().for_each(message);
}

/// The messages, what is left, and why it ended.
fn run(body: &Bytes, cuts: &[usize]) -> (Vec<Bytes>, Bytes, Option<Broken>) {
    let (mut framer, mut messages, mut rest, mut from) = (Framer::default(), vec![], vec![], 0);
    for end in cuts.iter().copied().chain([body.len()]) {
        let piece = body.slice(from..end);
        from = end;
        if framer.broken().is_some() {
            rest.push(piece);
            continue;
        }
        messages.extend(framer.push(&piece).iter().map(Message::joined));
    }
    let broken = framer.broken();
    let held = framer.rest();
    assert_eq!(framer.held_bytes(), 0);
    let rest = held.into_iter().chain(rest).collect::<Vec<_>>().concat();
    (messages, rest.into(), broken)
}

fn framed(bytes: &Bytes) -> Message {
    let mut messages = Framer::default().push(bytes);
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

fn message(bytes: &Bytes) {
    let message = framed(bytes);
    let decoded = decode(&message);
    if let Ok(Decoded::Exception { kind }) = &decoded {
        assert!(!kind.is_empty() && kind.len() <= 64);
    }
    let Some(stripped) = strip(&message) else { return };
    assert!(stripped.len() < bytes.len());
    let after = framed(&stripped);
    assert_eq!(strip(&after), None);
    let headers = |bytes: &[u8]| {
        let length = u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize;
        bytes[12..12 + length].to_vec()
    };
    assert_eq!(headers(&stripped), headers(bytes));
    let payload = |bytes: &Bytes| bytes.slice(12 + headers(bytes).len()..bytes.len() - 4);
    assert_eq!(records::event(&payload(bytes)), Some(payload(&stripped).to_vec()));
    match (decoded, decode(&after)) {
        (Ok(Decoded::Event(before)), Ok(Decoded::Event(after))) => {
            assert_eq!((before.behind, before.continuation), (after.behind, after.continuation));
            assert_eq!(before.child_shards, after.child_shards);
            assert_eq!(before.records.len(), after.records.len());
        }
        (Ok(before), Ok(after)) => assert_eq!(before, after),
        (before, after) => panic!("{before:?} became {after:?}"),
    }
}

/// Walks over the lengths as a framer would, and writes the checksums that they need.
fn make_right(body: &mut [u8]) {
    let mut at = 0;
    while let Some(prelude) = body.get_mut(at..at + 12) {
        let crc = crc32fast::hash(&prelude[..8]);
        prelude[8..].copy_from_slice(&crc.to_be_bytes());
        let total = u32::from_be_bytes(prelude[..4].try_into().unwrap()) as usize;
        let Some(message) = body.get_mut(at..at + total).filter(|message| message.len() >= 16)
        else {
            return;
        };
        let crc = crc32fast::hash(&message[..total - 4]);
        message[total - 4..].copy_from_slice(&crc.to_be_bytes());
        at += total;
    }
}
