//! Which connection an ordinary call to a plain upstream takes.

use super::super::connect::Connector;
use super::super::kept::KeptConnections;
use super::upstreams::http_1;
use super::*;

const IDLE_MAX: Duration = Duration::from_secs(50);

fn at(seconds: u64) -> Moment {
    Moment::default().plus(Duration::from_secs(seconds))
}

fn kept(connections_max: usize) -> KeptConnections {
    KeptConnections::new(Connector::new(&settings(), Clock::system()), IDLE_MAX, connections_max)
}

/// An answer that is read as it comes: it has no body.
async fn call(kept: &KeptConnections, address: SocketAddr, now: Moment) -> Response<Incoming> {
    call_with(Bytes::new(), kept, address, now).await
}

async fn call_with(
    body: Bytes,
    kept: &KeptConnections,
    address: SocketAddr,
    now: Moment,
) -> Response<Incoming> {
    let request = post(&format!("http://{address}/"), body);
    kept.request(request, address.to_string().parse().unwrap(), now).await.unwrap()
}

/// Reads an answer to its end, so that its connection waits again.
async fn end(answer: Response<Incoming>) {
    answer.into_body().collect().await.unwrap();
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn a_connection_waits_for_the_next_call_but_not_for_ever() {
    let (upstream, kept) = (http_1().await, kept(8));
    for (seconds, connections) in [(0, 1), (1, 1), (50, 1), (99, 1), (149, 2), (150, 2)] {
        end(call(&kept, upstream.address, at(seconds)).await).await;
        assert_eq!(upstream.connections(), connections, "at {seconds} s");
    }
}

#[tokio::test]
async fn one_whose_answer_is_not_read_is_passed_over() {
    let (upstream, kept) = (http_1().await, kept(8));
    let large = Bytes::from(vec![b'x'; 8 << 20]);
    let _unread = call_with(large, &kept, upstream.address, at(0)).await;
    end(call(&kept, upstream.address, at(0)).await).await;
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn more_than_the_bound_are_not_kept() {
    let (upstream, kept) = (http_1().await, kept(1));
    for round in 1..=2 {
        let (one, other) = tokio::join!(
            call(&kept, upstream.address, at(0)),
            call(&kept, upstream.address, at(0)),
        );
        end(one).await;
        end(other).await;
        assert_eq!(upstream.connections(), 1 + round, "the second round needs one new connection");
    }
}

#[tokio::test]
async fn each_upstream_has_its_own() {
    let (one, other, kept) = (http_1().await, http_1().await, kept(8));
    for _ in 0..2 {
        for upstream in [&one, &other] {
            end(call(&kept, upstream.address, at(0)).await).await;
        }
    }
    assert_eq!((one.connections(), other.connections()), (1, 1));
}
