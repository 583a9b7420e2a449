//! Owns where a message of an event stream ends. Refuses to copy: a message is the pieces of the
//! body that it lies in; and to guess: after one broken prelude nothing more is called a message.

use bytes::{Buf, Bytes, BytesMut};

/// Both lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// The prelude and the message's own checksum: no message is shorter.
const FRAME_BYTES: usize = PRELUDE_BYTES + 4;
/// What the SDKs accept.
const HEADERS_BYTES_MAX: usize = 128 << 10;
/// What the SDKs accept.
const PAYLOAD_BYTES_MAX: usize = 24 << 20;

/// One complete message as the pieces of the body that it lies in; its own checksum unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pieces: Vec<Bytes>,
}

impl Message {
    /// The pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Bytes that the message holds in memory, as [`Framer::held_bytes`] counts them.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.pieces.iter().map(cost).sum()
    }

    /// The message in one piece; a copy only where it came in several.
    #[must_use]
    pub fn joined(&self) -> Bytes {
        if let [whole] = self.pieces.as_slice() {
            return whole.clone();
        }
        let mut joined = BytesMut::with_capacity(self.pieces.iter().map(Bytes::len).sum());
        self.pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
        joined.freeze()
    }
}

/// A piece's bytes and its handle: a body that came byte by byte costs more than its length.
fn cost(piece: &Bytes) -> usize {
    piece.len() + size_of::<Bytes>()
}

/// Why a stream can't be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The checksum of the lengths is wrong: the stream is damaged, or no event stream.
    #[error("the prelude's checksum does not match")]
    PreludeChecksum,
    /// Lengths that contradict each other.
    #[error("a message of {total_bytes} bytes can't hold headers of {headers_bytes} bytes")]
    Lengths {
        /// The message's length.
        total_bytes: usize,
        /// Its headers' length.
        headers_bytes: usize,
    },
    /// Longer than the protocol allows.
    #[error("a message of {total_bytes} bytes with headers of {headers_bytes} bytes is too large")]
    TooLarge {
        /// The message's length.
        total_bytes: usize,
        /// Its headers' length.
        headers_bytes: usize,
    },
}

/// Finds the messages in a body that comes in pieces cut anywhere.
#[derive(Debug, Default)]
pub struct Framer {
    prelude: [u8; PRELUDE_BYTES],
    prelude_bytes: usize,
    /// Bytes between what was seen of this message and its end; known with its prelude.
    missing: usize,
    /// What was seen of this message.
    pieces: Vec<Bytes>,
    held_bytes: usize,
    forgotten: bool,
    broken: Option<Broken>,
}

impl Framer {
    /// Takes the body's next piece in, and gives the messages that it completes.
    pub fn push(&mut self, data: &Bytes) -> Vec<Message> {
        let mut complete = Vec::new();
        let (mut cut, mut seen) = (0, 0);
        while seen < data.len() && self.broken.is_none() {
            let left = data.len() - seen;
            if self.prelude_bytes < PRELUDE_BYTES {
                let free = self.prelude.iter_mut().skip(self.prelude_bytes);
                let taken = free.zip(data.iter().skip(seen)).map(|(to, from)| *to = *from).count();
                (self.prelude_bytes, seen) = (self.prelude_bytes + taken, seen + taken);
                if self.prelude_bytes == PRELUDE_BYTES {
                    match message_bytes(&self.prelude) {
                        Ok(total_bytes) => self.missing = total_bytes - PRELUDE_BYTES,
                        Err(broken) => self.broken = Some(broken),
                    }
                }
                continue;
            }
            let taken = self.missing.min(left);
            (self.missing, seen) = (self.missing - taken, seen + taken);
            if self.missing == 0 {
                self.keep(data.slice(cut..seen));
                (cut, self.prelude_bytes) = (seen, 0);
                let forgotten = std::mem::take(&mut self.forgotten);
                let pieces = self.rest();
                complete.extend((!forgotten).then_some(Message { pieces }));
            }
        }
        if cut < data.len() {
            self.keep(data.slice(cut..));
        }
        complete
    }

    fn keep(&mut self, piece: Bytes) {
        if !self.forgotten {
            self.held_bytes += cost(&piece);
            self.pieces.push(piece);
        }
    }

    /// Why nothing more will come; then [`Framer::rest`] has what belongs to no message, and
    /// nothing more is to be pushed.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Gives up the message that is under way, if one is: its end is still found, but it will not
    /// be given. Says whether there was one to give up.
    pub fn forget(&mut self) -> bool {
        let under_way = self.prelude_bytes > 0 && !self.forgotten;
        self.forgotten = self.prelude_bytes > 0;
        self.rest();
        under_way
    }

    /// Bytes that are held for the message under way, with what their handles take.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// What was seen of the message under way, which is then held no longer.
    pub fn rest(&mut self) -> Vec<Bytes> {
        self.held_bytes = 0;
        std::mem::take(&mut self.pieces)
    }
}

/// A message's whole length out of its prelude.
fn message_bytes(prelude: &[u8; PRELUDE_BYTES]) -> Result<usize, Broken> {
    let mut fields = prelude.as_slice();
    let (total_bytes, headers_bytes) = (fields.get_u32() as usize, fields.get_u32() as usize);
    if fields.get_u32() != crc32fast::hash(prelude.split_at(8).0) {
        return Err(Broken::PreludeChecksum);
    }
    let payload_bytes = total_bytes
        .checked_sub(FRAME_BYTES)
        .and_then(|rest| rest.checked_sub(headers_bytes))
        .ok_or(Broken::Lengths { total_bytes, headers_bytes })?;
    if headers_bytes > HEADERS_BYTES_MAX || payload_bytes > PAYLOAD_BYTES_MAX {
        return Err(Broken::TooLarge { total_bytes, headers_bytes });
    }
    Ok(total_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::encode;
    use super::*;
    use proptest::prelude::*;

    fn lengths(total: u32, headers: u32) -> Bytes {
        let mut prelude = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        prelude.extend(crc32fast::hash(&prelude).to_be_bytes());
        prelude.into()
    }

    /// Pushes `body` cut at `cuts`; the messages, what is left, and why it is broken.
    fn run(body: &Bytes, cuts: &[usize]) -> (Vec<Bytes>, Bytes, Option<Broken>) {
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
        ends.push(body.len());
        ends.sort_unstable();
        let (mut framer, mut messages, mut from) = (Framer::default(), vec![], 0);
        let mut behind = vec![];
        for end in ends {
            let piece = body.slice(from..end);
            from = end;
            if framer.broken().is_some() {
                behind.push(piece);
                continue;
            }
            messages.extend(framer.push(&piece).iter().map(Message::joined));
        }
        let rest = framer.rest().into_iter().chain(behind).collect::<Vec<_>>().concat();
        (messages, rest.into(), framer.broken())
    }

    #[test]
    fn lengths_that_cannot_be() {
        let check = |total, headers, expected: Option<Broken>| {
            assert_eq!(run(&lengths(total, headers), &[]).2, expected, "{total} {headers}");
        };
        let wrong = |total_bytes, headers_bytes| Broken::Lengths { total_bytes, headers_bytes };
        let large = |total_bytes, headers_bytes| Broken::TooLarge { total_bytes, headers_bytes };
        check(16, 0, None);
        check(15, 0, Some(wrong(15, 0)));
        check(0, 0, Some(wrong(0, 0)));
        check(20, 5, Some(wrong(20, 5)));
        check(u32::MAX, u32::MAX, Some(wrong(u32::MAX as usize, u32::MAX as usize)));
        let most = (24 << 20) + 16;
        check(most, 0, None);
        check(most + 1, 0, Some(large(most as usize + 1, 0)));
        check(most + (128 << 10), 128 << 10, None);
        check(most + (129 << 10), 129 << 10, Some(large(most as usize + (129 << 10), 129 << 10)));
        assert_eq!(
            run(&Bytes::from_static(b"<html></html>"), &[]).2,
            Some(Broken::PreludeChecksum)
        );
    }

    #[test]
    fn one_piece_is_not_copied() {
        let body = Bytes::from([encode(&[], b"{}"), encode(&[], b"{\"a\":1}")].concat());
        let messages = Framer::default().push(&body);
        let [one, two] = messages.as_slice() else { panic!("two messages") };
        assert_eq!(one.joined().as_ptr(), body.as_ptr());
        assert_eq!(two.joined().as_ptr(), body.slice(one.joined().len()..).as_ptr());
    }

    #[test]
    fn a_forgotten_message_is_held_no_longer_and_the_next_is_found() {
        let (one, two) = (encode(&[], b"long enough"), encode(&[], b"2"));
        let mut framer = Framer::default();
        assert!(!framer.forget(), "nothing was under way");
        assert_eq!(framer.push(&one.slice(..5)), []);
        assert_eq!(framer.held_bytes(), 5 + size_of::<Bytes>());
        assert!(framer.forget() && !framer.forget());
        assert_eq!(framer.held_bytes(), 0);
        assert_eq!(framer.push(&one.slice(5..)), []);
        assert_eq!(framer.push(&two), [Message { pieces: vec![two.clone()] }]);
    }

    proptest! {
        #[test]
        fn pieces_cut_anywhere_give_the_same_messages(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
            tail in 0..12_usize,
        ) {
            let messages: Vec<Bytes> = payloads.iter().map(|p| encode(&[("a", "b")], p)).collect();
            let unfinished = encode(&[], b"").slice(..tail);
            let body = Bytes::from([messages.concat(), unfinished.to_vec()].concat());
            prop_assert_eq!(run(&body, &cuts), (messages, unfinished, None));
        }

        #[test]
        fn whatever_comes_is_messages_and_a_rest(
            mut body in prop::collection::vec(any::<u8>(), 0..200),
            whole in prop::collection::vec(any::<u8>(), 0..20),
            at in any::<prop::sample::Index>(),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let at = at.index(body.len() + 1);
            body.splice(at..at, encode(&[], &whole));
            let (messages, rest, _) = run(&Bytes::from(body.clone()), &cuts);
            prop_assert_eq!([messages.concat(), rest.to_vec()].concat(), body);
        }

        #[test]
        fn a_damaged_prelude_stops_for_good(at in 0..12_usize, bit in 0..8_u8) {
            let good = encode(&[], b"{}");
            let mut bad = good.to_vec();
            bad[at] ^= 1 << bit;
            let body = Bytes::from([good.to_vec(), bad.clone(), good.to_vec()].concat());
            let (messages, rest, broken) = run(&body, &[]);
            prop_assert_eq!(messages, [good.clone()]);
            prop_assert_eq!(rest.as_ref(), [bad, good.to_vec()].concat());
            prop_assert_eq!(broken, Some(Broken::PreludeChecksum));
        }
    }
}
