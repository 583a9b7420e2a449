//! Owns a request's body on its way out: pieces that are written as they lie in memory. Refuses to
//! copy what is large; small neighbours are joined, since a frame of their own costs them more.

use crate::wire::segments::Segments;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// From this on a piece is sent as it is: copying 4 KiB costs about what a frame costs.
const ALONE_BYTES_MIN: usize = 4 << 10;
/// Small neighbours are joined up to this, which is what one HTTP/2 frame takes.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// A body whose length is known, in pieces. Frames are never empty.
#[derive(Debug)]
pub struct PiecesBody {
    pieces: std::vec::IntoIter<Bytes>,
    bytes_left: usize,
}

impl From<Segments> for PiecesBody {
    fn from(segments: Segments) -> Self {
        let bytes_left = segments.bytes();
        Self { pieces: joined(segments).into_iter(), bytes_left }
    }
}

impl From<Bytes> for PiecesBody {
    fn from(whole: Bytes) -> Self {
        Self::from(Segments::from(whole))
    }
}

fn joined(segments: Segments) -> Segments {
    if segments.iter().len() < 2 {
        return segments;
    }
    let mut all = Segments::default();
    let mut small = Vec::new();
    let mut small_bytes = 0;
    for piece in segments {
        let alone = piece.len() >= ALONE_BYTES_MIN;
        if alone || small_bytes + piece.len() > JOINED_BYTES_MAX {
            all.push(concatenated(&mut small, small_bytes));
            small_bytes = 0;
        }
        if alone {
            all.push(piece);
        } else {
            small_bytes += piece.len();
            small.push(piece);
        }
    }
    all.push(concatenated(&mut small, small_bytes));
    all
}

fn concatenated(pieces: &mut Vec<Bytes>, bytes: usize) -> Bytes {
    if pieces.len() < 2 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(bytes);
    pieces.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
    whole.freeze()
}

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        self.bytes_left -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn segments(lengths: &[usize]) -> Segments {
        let mut segments = Segments::default();
        for (index, length) in lengths.iter().enumerate() {
            segments.push(Bytes::from(vec![u8::try_from(index % 251).unwrap(); *length]));
        }
        segments
    }

    /// Pieces of these lengths leave as frames of those, the same bytes, and the announced length
    /// is exact all along.
    async fn check(lengths: &[usize], frames: &[usize]) {
        let segments = segments(lengths);
        let whole = segments.to_bytes();
        let mut body = PiecesBody::from(segments);
        let mut sent = Vec::new();
        let mut seen = Vec::new();
        loop {
            let left = (whole.len() - sent.len()) as u64;
            assert_eq!(body.size_hint().exact(), Some(left));
            assert_eq!(body.is_end_stream(), left == 0);
            let Some(frame) = body.frame().await else { break };
            let piece = frame.unwrap().into_data().unwrap();
            seen.push(piece.len());
            sent.extend_from_slice(&piece);
        }
        assert_eq!(seen, frames);
        assert_eq!(sent, whole);
    }

    #[tokio::test]
    async fn frames() {
        check(&[], &[]).await;
        check(&[1], &[1]).await;
        check(&[100, 90, 1_200], &[1_390]).await;
        check(&[100, 90, 1 << 20], &[190, 1 << 20]).await;
        check(&[100, 4_096, 4_095, 1, 5_000, 7], &[100, 4_096, 4_096, 5_000, 7]).await;
        check(&[4_000; 6], &[16_000, 8_000]).await;
    }

    #[tokio::test]
    async fn a_large_piece_is_not_copied() {
        let large = Bytes::from(vec![7; 1 << 20]);
        let mut segments = Segments::default();
        [Bytes::from_static(b"{"), large.clone(), Bytes::from_static(b"}")]
            .into_iter()
            .for_each(|piece| segments.push(piece));
        let mut body = PiecesBody::from(segments);
        body.frame().await.unwrap().unwrap();
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(piece.as_ptr(), large.as_ptr());
    }
}
