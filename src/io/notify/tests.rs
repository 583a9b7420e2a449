//! Owns the tests of delivery, against a server that answers as scripted. Time is real, because a
//! paused clock jumps ahead while a socket is waited for; nothing here sleeps, all wait for events.

mod receivers;
mod room;

use super::*;
use crate::domain::backoff::Backoff;
use crate::domain::outbox::WAITING_MAX;
use crate::domain::time::Moment;
use room::{Answer, Delivered, PATIENCE, QUICK, Server, dead_url, given, hook, notice};

#[tokio::test]
async fn what_fails_for_now_is_delivered_once() {
    let mut server = Server::start([503, 429, 408].map(Answer::Status)).await;
    let mut room = Delivered::one(&server.url).await;
    room.offer("a");
    for expected in ["a", "a", "a", "a"] {
        assert_eq!(server.next().await, expected);
    }
    room.offer("b");
    assert_eq!(server.next().await, "b");
    room.end(&[("delivered hook", 2), ("retried hook", 3)]).await;
    assert!(server.told.is_empty());
}

#[tokio::test]
async fn what_is_refused_is_given_up_at_once() {
    let elsewhere = Server::start([]).await;
    let to = String::leak(elsewhere.url.clone());
    let script = [Answer::Status(400), Answer::With(307, "location", to)];
    let mut server = Server::start(script).await;
    let mut room = Delivered::one(&server.url).await;
    for group_key in ["a", "b", "c"] {
        room.offer(group_key);
        assert_eq!(server.next().await, group_key);
    }
    room.end(&[("delivered hook", 1), ("undeliverable hook", 2)]).await;
    assert!(elsewhere.told.is_empty(), "redirects are not followed");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_asked_again_after_a_reload() {
    let mut server = Server::start([Answer::Status(410)]).await;
    let mut room = Delivered::one(&server.url).await;
    room.offer("a");
    assert_eq!(server.next().await, "a");
    room.until("undeliverable hook", 1).await;
    room.offer("b");
    room.until("undeliverable hook", 2).await;
    assert!(server.told.is_empty(), "it is not asked");
    room.reload();
    room.offer("c");
    assert_eq!(server.next().await, "c");
    room.end(&[("delivered hook", 1), ("undeliverable hook", 2)]).await;
}

#[tokio::test]
async fn retry_after_is_honoured_and_capped() {
    let mut server = Server::start([Answer::With(503, "retry-after", "1")]).await;
    let mut room = Delivered::one(&server.url).await;
    room.offer("a");
    server.next().await;
    let first = room.clock.now();
    server.next().await;
    // The first attempt was seen a little before its answer was.
    assert!(room.clock.now().since(first) >= Duration::from_millis(950));
    room.end(&[("delivered hook", 1), ("retried hook", 1)]).await;

    let mut server = Server::start([Answer::With(503, "retry-after", "86400")]).await;
    let timing = Timing { retry_after_max: Duration::from_millis(5), ..QUICK };
    let mut room = Delivered::start(vec![hook("hook", &server.url)], timing).await;
    room.offer("a");
    server.next().await;
    server.next().await;
    room.end(&[("delivered hook", 1), ("retried hook", 1)]).await;
}

#[tokio::test]
async fn silence_is_a_failure_that_may_pass() {
    let mut server = Server::start([Answer::Never]).await;
    let timing = Timing { attempt_max: Duration::from_millis(200), ..QUICK };
    let mut room = Delivered::start(vec![hook("hook", &server.url)], timing).await;
    room.offer("a");
    server.next().await;
    server.next().await;
    room.stop().await;
    let counters = room.counters();
    assert!(counters["delivered hook"] == 1 && counters["retried hook"] >= 1, "{counters:?}");
}

#[tokio::test]
async fn dead_receiver_is_bounded_and_delays_no_other() {
    let mut server = Server::start([]).await;
    let receivers = vec![hook("dead", &dead_url().await), hook("hook", &server.url)];
    let hour = Duration::from_secs(3_600);
    let backoff = Backoff { initial: hour, max: hour, ..Backoff::NOTIFY };
    let mut room = Delivered::start(receivers, Timing { backoff, ..QUICK }).await;
    for n in 0..WAITING_MAX + 7 {
        room.offer(&n.to_string());
        assert_eq!(server.next().await, n.to_string());
    }
    room.stop().await;
    let counters = room.counters();
    let all = WAITING_MAX as u64 + 7;
    assert_eq!((counters["delivered hook"], counters["notify full"]), (all, 7));
    assert_eq!(counters["notify shutdown"], all - 7, "memory alone keeps nothing");
    room.offer("too late");
    assert_eq!(room.counters()["notify shutdown"], all - 7 + 2);
}

#[tokio::test]
async fn stop_tries_once_more_instead_of_waiting() {
    let mut server = Server::start([Answer::With(503, "retry-after", "600")]).await;
    let mut room = Delivered::one(&server.url).await;
    room.offer("a");
    server.next().await;
    room.until("retried hook", 1).await;
    room.offer("b");
    room.end(&[("delivered hook", 2), ("retried hook", 1)]).await;
}

#[tokio::test]
async fn stop_does_not_wait_for_a_receiver_that_hangs() {
    let mut server = Server::start([Answer::Never]).await;
    let timing = Timing { last_try_max: Duration::from_millis(10), ..QUICK };
    let mut room = Delivered::start(vec![hook("hook", &server.url)], timing).await;
    room.offer("a");
    server.next().await;
    room.end(&[("dropped hook", 1), ("notify shutdown", 1)]).await;
}

#[tokio::test]
async fn what_is_not_delivered_outlives_the_process() {
    let folder = std::env::temp_dir().join(format!("kinescope-notify-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    let dead = vec![hook("hook", &dead_url().await)];
    let mut room = Delivered::kept(dead, QUICK, Some(folder.clone())).await;
    room.offer("a");
    room.notifier.save_machine(b"board".to_vec());
    room.until("retried hook", 1).await;
    room.stop().await;
    assert!(!room.counters().contains_key("notify shutdown"));
    drop(room);

    let mut server = Server::start([]).await;
    let alive = vec![hook("hook", &server.url)];
    let mut room = Delivered::kept(alive.clone(), QUICK, Some(folder.clone())).await;
    assert_eq!(room.machine.as_deref(), Some(b"board".as_slice()));
    assert_eq!(server.next().await, "a");
    room.end(&[("delivered hook", 1)]).await;
    drop(room);
    let mut room = Delivered::kept(alive, QUICK, Some(folder.clone())).await;
    room.end(&[]).await;
    assert!(server.told.is_empty(), "told once");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_disk_that_comes_back_is_given_all_there_is() {
    let folder = std::env::temp_dir().join(format!("kinescope-regain-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::write(&folder, "a file, no folder").unwrap();
    let dead = vec![hook("hook", &dead_url().await)];
    let mut room = Delivered::kept(dead, QUICK, Some(folder.clone())).await;
    room.offer("a");
    room.notifier.save_machine(b"board".to_vec());
    room.until("retried hook", 1).await;
    assert!(room.scrape().contains("kinescope_alert_store_durable 0"));
    std::fs::remove_file(&folder).unwrap();
    let durable = async {
        while room.scrape().contains("kinescope_alert_store_durable 0") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, durable).await.unwrap();
    room.offer("b");
    room.stop().await;
    assert!(!room.counters().contains_key("notify shutdown"), "nothing is lost");
    drop(room);

    let mut server = Server::start([]).await;
    let alive = vec![hook("hook", &server.url)];
    let mut room = Delivered::kept(alive, QUICK, Some(folder.clone())).await;
    assert_eq!(room.machine.as_deref(), Some(b"board".as_slice()));
    let told = [server.next().await, server.next().await];
    assert!(told.contains(&"a".to_owned()) && told.contains(&"b".to_owned()), "{told:?}");
    room.end(&[("delivered hook", 2)]).await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_receiver_is_called_as_configured_now() {
    let mut server = Server::start([]).await;
    let room = Delivered::start(vec![hook("hook", &dead_url().await)], QUICK).await;
    room.offer("a");
    room.until("retried hook", 1).await;
    // Who is no receiver of this process, or another kind of one, is left to the next start.
    let other = Kind::Slack { url: given(&server.url) };
    room.settings.put(&[hook("other", &server.url), Receiver::new("hook", other)]);
    let before = room.counters()["retried hook"];
    room.until("retried hook", before + 1).await;
    assert!(server.told.is_empty());
    room.settings.put(&[hook("hook", &server.url)]);
    assert_eq!(server.next().await, "a");
    room.stop.cancel();
}

#[tokio::test]
async fn queues_are_told_of_while_something_waits() {
    let mut room = Delivered::one(&dead_url().await).await;
    assert!(room.scrape().contains("queue_length 0") && !room.scrape().contains("oldest"));
    room.offer("a");
    assert!(room.scrape().contains("queue_length 1") && room.scrape().contains("oldest"));
    room.stop().await;
}

#[tokio::test]
async fn files_are_read_at_each_attempt() {
    let mut old = Server::start((0..100_000).map(|_| Answer::Status(503))).await;
    let mut new = Server::start([]).await;
    let path = std::env::temp_dir().join(format!("kinescope-hook-url-{}", std::process::id()));
    std::fs::write(&path, format!("{}\n", old.url)).unwrap();
    let kind = Kind::Webhook { url: Place::File(path.clone()), secret_file: None };
    let room = Delivered::start(vec![Receiver::new("hook", kind)], QUICK).await;
    room.offer("a");
    assert_eq!(old.next().await, "a");
    let next = path.with_extension("next");
    std::fs::write(&next, &new.url).unwrap();
    std::fs::rename(&next, &path).unwrap();
    assert_eq!(new.next().await, "a");
    std::fs::remove_file(&path).unwrap();
    room.stop.cancel();
}

async fn attempt(url: &str) -> attempt::Failure {
    let receiver = hook("hook", url);
    let notices = [Arc::new(notice("a", Moment::default()))];
    let (client, clock) = (client::client(), Clock::system());
    let now = clock.now().wall;
    let message = message::compose(&receiver, &notices, "", now).await.unwrap();
    attempt::post(&client, &receiver.kind, message, PATIENCE, &clock).await.unwrap_err()
}

#[tokio::test]
async fn failures_and_debug_do_not_tell_the_url() {
    let url = dead_url().await;
    let failure = attempt(&url).await;
    assert_eq!(failure.to_string(), "no answer: connection refused");
    let server = Server::start([Answer::Quote(404), Answer::Quote(404)]).await;
    let quoted = attempt(&server.url).await;
    assert_eq!(quoted.to_string(), r#"answered 404 Not Found: "no such [secret]""#);
    for text in [format!("{failure:?}"), format!("{:?}", given(&url)), format!("{quoted:?}")] {
        assert!(!text.contains("s3cret") && !text.contains("127.0.0.1"), "{text}");
    }
}

#[tokio::test]
async fn https_speaks_tls() {
    let server = Server::start([]).await;
    let failure = attempt(&server.url.replace("http:", "https:")).await;
    assert_eq!(failure.to_string(), "no answer: tls handshake failed");
    assert!(server.told.is_empty());
}
