//! Owns the tests of what only some kinds of receivers do.

use super::room::{alert, dead_url};
use super::*;

fn place(path: &str, text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("kinescope-{path}-{}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn webhooks_are_signed_by_both_keys_under_one_id() {
    let mut server = Server::start([Answer::Status(503)]).await;
    let keys = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n";
    let file = place("keys", keys);
    let kind = Kind::Webhook { url: given(&server.url), secret_file: Some(file.clone()) };
    let mut room = Delivered::start(vec![Receiver::new("hook", kind)], QUICK).await;
    room.offer("a");
    let (first, second) = (server.seen().await, server.seen().await);
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    let signature = second.headers["webhook-signature"].to_str().unwrap();
    assert_eq!(signature.split(' ').filter(|one| one.starts_with("v1,")).count(), 2);
    let at: u64 = second.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    assert!(room.clock.now().wall.as_seconds() - at < 60);
    room.end(&[("delivered hook", 1), ("retried hook", 1)]).await;
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn alertmanager_is_told_of_many_at_once_and_the_bad_one_is_found() {
    let mut server = Server::start(vec![Answer::Unless("bad"); 9]).await;
    let file = place("token", "t0ken\n");
    let url = given(&server.url.replace("/s3cret", "/prefix/"));
    let kind = Kind::Alertmanager { url, token_file: Some(file.clone()), renew_every: RENEW_EVERY };
    let mut room = Delivered::start(vec![Receiver::new("am", kind)], QUICK).await;
    let now = room.clock.now();
    let alerts = ["a", "bad", "c", "d"].map(|name| alert(name, now)).to_vec();
    room.notifier.offer(Notice { alerts, ..notice("g", now) });
    let mut told = Vec::new();
    while !told.iter().any(|names: &Vec<String>| names == &["c", "d"]) {
        let seen = server.seen().await;
        assert_eq!(seen.path, "/prefix/api/v2/alerts");
        assert_eq!(seen.headers["authorization"], "Bearer t0ken");
        let name =
            |alert: &serde_json::Value| alert["labels"]["alertname"].as_str().unwrap().to_owned();
        told.push(seen.json().as_array().unwrap().iter().map(name).collect());
    }
    let (left, right) = (vec!["a", "bad"], vec!["c", "d"]);
    assert_eq!(told, [vec!["a", "bad", "c", "d"], left, vec!["a"], vec!["bad"], right]);
    room.end(&[("delivered am", 1)]).await;
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn alertmanager_is_told_again_of_what_fires() {
    let mut server = Server::start([]).await;
    let kind =
        Kind::Alertmanager { url: given(&server.url), token_file: None, renew_every: RENEW_EVERY };
    let mut room = Delivered::start(vec![Receiver::new("am", kind)], QUICK).await;
    assert_eq!(room.notifier.renew_every(), Some(RENEW_EVERY));
    let now = room.clock.now();
    let over =
        AlertView { state: AlertState::Resolved, ends_at: Some(now.wall), ..alert("b", now) };
    room.notifier.renew([alert("a", now), over]);
    let told = server.seen().await.json();
    assert_eq!(told.as_array().unwrap().len(), 1);
    let time = |name: &str| told[0][name].as_str().unwrap().to_owned();
    assert_eq!(time("startsAt"), now.wall.to_string());
    assert!(time("endsAt") >= now.wall.plus(RENEW_EVERY * 4).to_string());
    room.until("renewed am", 1).await;
    room.end(&[("renewed am", 1)]).await;
}

#[tokio::test]
async fn alertmanager_is_not_told_of_what_was_let_go() {
    let (mut server, mut hook_server) = (Server::start([]).await, Server::start([]).await);
    let url = given(&server.url);
    let am = Kind::Alertmanager { url, token_file: None, renew_every: RENEW_EVERY };
    let receivers = vec![Receiver::new("am", am), hook("hook", &hook_server.url)];
    let mut room = Delivered::start(receivers, QUICK).await;
    let now = room.clock.now();
    room.offer("a");
    server.seen().await;
    hook_server.next().await;
    let annotations = [(LET_GO.to_owned(), "another may".to_owned())].into();
    let gone = AlertView { annotations, ..alert("a", now) };
    room.notifier.renew([gone.clone()]);
    let over = AlertView { state: AlertState::Resolved, ends_at: Some(now.wall), ..gone };
    room.notifier.offer(Notice { alerts: vec![over], ..notice("a", now) });
    assert_eq!(hook_server.next().await, "a");
    room.end(&[("delivered am", 2), ("delivered hook", 2)]).await;
    assert!(server.told.is_empty());
}

#[tokio::test]
async fn pagerduty_is_told_of_each_alert_by_its_incident() {
    let mut server = Server::start([]).await;
    let (url, routing_key) = (given(&server.url), given("R0UTE"));
    let mut room =
        Delivered::start(vec![Receiver::new("pd", Kind::PagerDuty { url, routing_key })], QUICK)
            .await;
    let now = room.clock.now();
    let alerts = ["a", "b"].map(|name| alert(name, now)).to_vec();
    room.notifier.offer(Notice { alerts: alerts.clone(), ..notice("g", now) });
    let keys = [server.seen().await.json(), server.seen().await.json()].map(|event| {
        assert_eq!(
            (&event["routing_key"], &event["event_action"]),
            (&"R0UTE".into(), &"trigger".into())
        );
        event["dedup_key"].as_str().unwrap().to_owned()
    });
    assert_eq!(keys, [0, 1].map(|n: usize| crate::wire::notify::incident_id(&alerts[n].labels)));
    room.end(&[("delivered pd", 1)]).await;
}

#[tokio::test]
async fn slack_says_no_with_200_and_many_groups_are_one_message() {
    let script = [Answer::Saying(200, "invalid_payload"), Answer::Saying(200, "ok")];
    let mut server =
        Server::start(script.into_iter().chain(vec![Answer::Saying(200, "ok"); 5])).await;
    let kind = Kind::Slack { url: given(&server.url) };
    let mut room = Delivered::start(vec![Receiver::new("slack", kind)], QUICK).await;
    room.offer("refused");
    server.seen().await;
    room.until("undeliverable slack", 1).await;
    for n in 0..10 {
        room.offer(&format!("g{n}"));
    }
    room.until("delivered slack", 10).await;
    let message = server.seen().await.json();
    assert!(message["text"].as_str().unwrap().ends_with("(and 9 more)"), "{message}");
    room.end(&[("delivered slack", 10), ("undeliverable slack", 1)]).await;
}

/// A thousand alerts of groups of their own, at once, with the store on disk.
#[tokio::test]
async fn a_storm_is_delivered_within_ten_seconds() {
    let (mut hook_server, mut am_server) = (Server::start([]).await, Server::start([]).await);
    let url = given(&am_server.url);
    let am = Kind::Alertmanager { url, token_file: None, renew_every: RENEW_EVERY };
    let receivers = vec![hook("hook", &hook_server.url), Receiver::new("am", am)];
    let folder = std::env::temp_dir().join(format!("kinescope-storm-{}", std::process::id()));
    let mut room = Delivered::kept(receivers, Timing::DEFAULT, Some(folder.clone())).await;
    let began = room.clock.now();
    for n in 0..WAITING_MAX {
        room.offer(&format!("g{n}"));
    }
    let mut posts = 0;
    let mut told = std::collections::BTreeSet::new();
    while told.len() < WAITING_MAX {
        told.insert(hook_server.next().await);
    }
    room.until("delivered am", WAITING_MAX as u64).await;
    let took = room.clock.now().since(began);
    while am_server.told.try_recv().is_ok() {
        posts += 1;
    }
    assert!(posts <= WAITING_MAX / 50, "an Alertmanager is told of many at once: {posts} requests");
    assert!(took < Duration::from_secs(10), "{took:?}");
    room.end(&[("delivered am", WAITING_MAX as u64), ("delivered hook", WAITING_MAX as u64)]).await;
    drop(room);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_fallback_is_told_of_what_is_refused() {
    let mut spare = Server::start([]).await;
    let mut server = Server::start([Answer::Status(404)]).await;
    let first = Receiver { fallback: Some("spare".to_owned()), ..hook("hook", &server.url) };
    let mut room = Delivered::start(vec![first, hook("spare", &spare.url)], QUICK).await;
    room.offer("a");
    assert_eq!((server.next().await, spare.next().await), ("a".to_owned(), "a".to_owned()));
    room.offer("b");
    assert_eq!(server.next().await, "b");
    let expected = [
        ("delivered hook", 1),
        ("delivered spare", 1),
        ("fallback hook", 1),
        ("undeliverable hook", 1),
    ];
    room.end(&expected).await;
    assert!(spare.told.is_empty());
}

#[tokio::test]
async fn the_fallback_is_told_of_what_fails_for_too_long() {
    let mut spare = Server::start([]).await;
    let first = Receiver {
        fallback: Some("spare".to_owned()),
        fallback_after: Duration::from_millis(20),
        ..hook("hook", &dead_url().await)
    };
    let mut room = Delivered::start(vec![first, hook("spare", &spare.url)], QUICK).await;
    room.offer("a");
    assert_eq!(spare.next().await, "a");
    room.until("delivered spare", 1).await;
    room.stop().await;
}
