//! Owns the tests of a subscription's answer between a server that plays Kinesis and a client, over
//! HTTP/2 in memory. Time is paused: a sleep ends once every task waits, and not before.

use super::*;
use crate::domain::time::Wall;
use crate::wire::kinesis::subscribe::Message;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream as wire;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prometheus::{IntCounterVec, Opts};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

/// Either side's flow-control window, in bytes.
const WINDOW: u32 = 64 << 10;

/// A frame, or the stream's reset.
type Sent = Result<Frame<Bytes>, std::io::Error>;

/// What the server sends, and when it is told that nobody listens any more.
#[derive(Debug)]
struct Script {
    frames: mpsc::Receiver<Sent>,
    sent_bytes: Arc<AtomicUsize>,
    gone: Option<oneshot::Sender<()>>,
}

impl HttpBody for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Sent>> {
        let sent = ready!(self.frames.poll_recv(cx));
        let data = sent.as_ref().and_then(|sent| sent.as_ref().ok()?.data_ref());
        self.sent_bytes.fetch_add(data.map_or(0, Bytes::len), Ordering::SeqCst);
        Poll::Ready(sent)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.gone.take().map(|gone| gone.send(()));
    }
}

/// A server, the data plane between two connections, and a client's answer.
struct World {
    frames: Option<mpsc::Sender<Sent>>,
    sent_bytes: Arc<AtomicUsize>,
    gone: oneshot::Receiver<()>,
    pieces: mpsc::Receiver<StreamPiece>,
    dropped: IntCounterVec,
    answer: Option<Incoming>,
    tasks: JoinSet<()>,
}

/// Serves one answer over HTTP/2 in memory and gives it as the client gets it.
async fn exchange<B>(body: B, tasks: &mut JoinSet<()>) -> Incoming
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (near, far) = tokio::io::duplex(16 << 10);
    let body = Arc::new(Mutex::new(Some(body)));
    let serve = service_fn(move |_: Request<Incoming>| {
        let body = Arc::clone(&body);
        async move { Ok::<_, Infallible>(Response::new(body.lock().await.take().unwrap())) }
    });
    tasks.spawn(async move {
        let mut server = server::conn::http2::Builder::new(TokioExecutor::new());
        server.timer(TokioTimer::new()).max_send_buf_size(WINDOW as usize);
        let _ = server.serve_connection(TokioIo::new(far), serve).await;
    });
    let mut client = client::conn::http2::Builder::new(TokioExecutor::new());
    client.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (mut send, connection) = client.handshake(TokioIo::new(near)).await.unwrap();
    tasks.spawn(async move {
        let _ = connection.await;
    });
    let request = Request::post("http://kinesis/").body(Empty::<Bytes>::new()).unwrap();
    let answer = send.send_request(request).await.unwrap().into_body();
    // Lives as long as the world, so that only the answer's own end is seen.
    tasks.spawn(async move {
        let _send = send;
        std::future::pending::<()>().await;
    });
    answer
}

async fn world(queue_max: usize, bytes_max: usize, strip: Option<strip::Change>) -> World {
    let mut tasks = JoinSet::new();
    let (frames, script) = mpsc::channel(1);
    let (told, gone) = oneshot::channel();
    let sent_bytes = Arc::<AtomicUsize>::default();
    let script = Script { frames: script, sent_bytes: Arc::clone(&sent_bytes), gone: Some(told) };
    let upstream = exchange(script, &mut tasks).await;
    let dropped = IntCounterVec::new(Opts::new("dropped", "d"), &["queue", "reason"]).unwrap();
    let (sink, pieces) = StreamSink::new(queue_max, bytes_max, dropped.clone());
    let clock = Clock::simulated(Wall::from_ms(0));
    let subscription = Subscription {
        stream: Some("orders".into()),
        shard: "shardId-000000000001".into(),
        consumer: "mail".into(),
        consumer_arn: "arn".into(),
        server: "kinesis".into(),
        started: clock.now(),
        request_id: None,
        parent: None,
    };
    let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let mut stream = EventStream::new(upstream, subscription, sink, clock, room);
    stream.strip = strip.map(Strip::new);
    let answer = exchange(stream, &mut tasks).await;
    World { frames: Some(frames), sent_bytes, gone, pieces, dropped, answer: Some(answer), tasks }
}

impl World {
    async fn send(&self, data: &Bytes) {
        self.frames.as_ref().unwrap().send(Ok(Frame::data(data.clone()))).await.unwrap();
    }

    /// The next `bytes` bytes that the client gets.
    async fn receive(&mut self, bytes: usize) -> Bytes {
        let mut got = Vec::new();
        while got.len() < bytes {
            got.extend(self.frame().await.unwrap().into_data().unwrap());
        }
        got.into()
    }

    async fn frame(&mut self) -> hyper::Result<Frame<Bytes>> {
        self.answer.as_mut().unwrap().frame().await.unwrap()
    }

    async fn receive_rest(&mut self) -> (Bytes, Option<HeaderMap>) {
        let all = self.answer.take().unwrap().collect().await.unwrap();
        let trailers = all.trailers().cloned();
        (all.to_bytes(), trailers)
    }

    async fn observed(&mut self) -> Bytes {
        match self.pieces.recv().await.unwrap().what {
            What::Message(message) => message.joined(),
            What::Ended { how } => panic!("ended: {how:?}"),
        }
    }

    async fn observed_end(&mut self) -> StreamEnd {
        match self.pieces.recv().await.unwrap().what {
            What::Ended { how } => how,
            What::Message(message) => panic!("more: {message:?}"),
        }
    }

    fn dropped(&self, reason: &str) -> u64 {
        self.dropped.with_label_values(&["observer", reason]).get()
    }
}

/// A message as Kinesis writes it.
pub(in crate::io::proxy) fn message(headers: &[(&str, &str)], payload: impl Into<Bytes>) -> Bytes {
    let text = |text: &str| wire::HeaderValue::String(text.to_owned().into());
    let headers =
        headers.iter().map(|(name, value)| wire::Header::new((*name).to_owned(), text(value)));
    let mut out = Vec::new();
    write_message_to(&wire::Message::new_from_parts(headers.collect(), payload), &mut out).unwrap();
    out.into()
}

fn encode(payload: impl Into<Bytes>) -> Bytes {
    message(&[], payload)
}

/// Until every task waits for another.
async fn quiet() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn messages_arrive_one_by_one_while_the_stream_stays_open() {
    let mut world = world(100, 1 << 20, None).await;
    for payload in ["one", "two", "three"] {
        let message = encode(payload);
        world.send(&message).await;
        assert_eq!(world.receive(message.len()).await, message);
        assert_eq!(world.observed().await, message);
    }
    // Half a message passes too, and is no message.
    let half = encode("never").slice(..9);
    world.send(&half).await;
    assert_eq!(world.receive(half.len()).await, half);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", http::HeaderValue::from_static("yes"));
    world.frames.take().unwrap().send(Ok(Frame::trailers(trailers.clone()))).await.unwrap();
    assert_eq!(world.receive_rest().await, (Bytes::new(), Some(trailers)));
    assert_eq!(world.observed_end().await, StreamEnd::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_is_felt_by_kinesis_at_once() {
    let mut world = world(100, 1 << 20, None).await;
    let message = encode("one");
    world.send(&message).await;
    assert_eq!(world.receive(message.len()).await, message);
    assert_eq!(world.observed().await, message);
    drop(world.answer.take());
    (&mut world.gone).await.unwrap();
    assert_eq!(world.observed_end().await, StreamEnd::Cut);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_breaks_the_clients() {
    let mut world = world(100, 1 << 20, None).await;
    let message = encode("one");
    world.send(&message).await;
    assert_eq!(world.receive(message.len()).await, message);
    assert_eq!(world.observed().await, message);
    let broken = Err(std::io::Error::other("planted"));
    world.frames.take().unwrap().send(broken).await.unwrap();
    assert!(world.frame().await.is_err());
    assert_eq!(world.observed_end().await, StreamEnd::Broken);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_stops_kinesis() {
    let mut world = world(100_000, 1 << 30, None).await;
    let frames = world.frames.take().unwrap();
    let block = encode(vec![7; 8 << 10]);
    let sent = block.clone();
    world
        .tasks
        .spawn(async move { while frames.send(Ok(Frame::data(sent.clone()))).await.is_ok() {} });
    world.receive(block.len()).await;
    quiet().await;
    let stopped_at = world.sent_bytes.load(Ordering::SeqCst);
    // Two connections, each with a window, a send buffer and a pipe.
    assert!(stopped_at < 8 * WINDOW as usize, "{stopped_at} bytes were sent to nobody");
    quiet().await;
    assert_eq!(world.sent_bytes.load(Ordering::SeqCst), stopped_at);
    world.receive(stopped_at).await;
    quiet().await;
    assert!(world.sent_bytes.load(Ordering::SeqCst) > stopped_at);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_copies_and_no_byte() {
    let mut world = world(1, 1 << 20, None).await;
    let message = encode("one");
    for _ in 0..3 {
        world.send(&message).await;
        assert_eq!(world.receive(message.len()).await, message);
    }
    assert_eq!((world.dropped("full"), world.dropped("bytes")), (2, 0));
    assert_eq!(world.observed().await, message);
    world.send(&message).await;
    assert_eq!(world.observed().await, message, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_spent_byte_bound_drops_whole_messages_and_no_byte() {
    let (small, large) = (encode("small"), encode(vec![7; 1_000]));
    let mut world = world(100, 200, None).await;
    for part in [large.slice(..90), large.slice(90..), small.clone()] {
        world.send(&part).await;
        assert_eq!(world.receive(part.len()).await, part);
    }
    assert_eq!((world.dropped("full"), world.dropped("bytes")), (0, 1));
    let first = world.pieces.recv().await.unwrap();
    assert!(matches!(&first.what, What::Message(message) if message.joined() == small));
    // Its share is held until the observer is done with it.
    let other = encode(vec![7; 130]);
    world.send(&other).await;
    assert_eq!(world.receive(other.len()).await, other);
    assert_eq!(world.dropped("bytes"), 2);
    drop(first);
    world.send(&other).await;
    assert_eq!(world.observed().await, other);
}

#[tokio::test(start_paused = true)]
async fn broken_frames_end_the_copies_and_not_the_stream() {
    for strip in [None, Some((|_| None) as strip::Change)] {
        let mut world = world(100, 1 << 20, strip).await;
        let message = encode("one");
        let body = [message.as_ref(), b"no event stream at all", message.as_ref()].concat();
        for part in [Bytes::from(body), message.clone()] {
            world.send(&part).await;
            assert_eq!(world.receive(part.len()).await, part);
        }
        world.frames = None;
        assert_eq!(world.observed().await, message);
        assert_eq!(world.observed_end().await, StreamEnd::Complete);
        assert_eq!(world.dropped("broken_frames"), 1);
    }
}

/// Strips messages whose payload begins with `x`, and panics at those that begin with `!`.
fn change(message: &Message) -> Option<Bytes> {
    let whole = message.joined();
    match whole.get(12)? {
        b'x' => Some(Bytes::from_static(b"stripped")),
        b'!' => panic!("planted"),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn stripped_messages_keep_their_order() {
    // Beyond the limit they are stripped on another thread; what is small must not overtake.
    let large = |first: u8| encode([vec![first], vec![7; 200 << 10]].concat());
    let (kept, panics) = (encode("kept"), encode("!"));
    let sent = [large(b'x'), encode("x"), kept.clone(), large(b'k'), panics.clone(), large(b'!')];
    let stripped = b"strippedstripped".as_slice();
    let expected =
        [stripped, &kept, &large(b'k'), &panics, &large(b'!'), &kept.slice(..7)].concat();
    let mut world = world(100, 8 << 20, Some(change)).await;
    let frames = world.frames.take().unwrap();
    let body = Bytes::from([sent.concat(), kept.slice(..7).to_vec()].concat());
    world.tasks.spawn(async move {
        for from in (0..body.len()).step_by(5_000) {
            let part = body.slice(from..body.len().min(from + 5_000));
            frames.send(Ok(Frame::data(part))).await.unwrap();
        }
    });
    let got = world.receive(expected.len()).await;
    assert!(got == expected, "{} bytes of {}", got.len(), expected.len());
    for message in sent {
        assert_eq!(world.observed().await, message, "the observer sees what Kinesis sent");
    }
    assert_eq!(world.observed_end().await, StreamEnd::Complete);
    assert_eq!(world.receive_rest().await, (Bytes::new(), None));
}
