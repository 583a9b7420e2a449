//! Tests of the page: what it says of the sample, of nothing, of too much, and of names that hold
//! HTML.

use super::*;
use crate::domain::lag::Lag;
use crate::domain::snapshot::CloudWatchView;
use crate::wire::status::counts::{Own, StreamCounts};
use crate::wire::status::sample;
use crate::wire::status::traces::tests as told;
use std::collections::BTreeMap;
use std::time::Duration;

/// A page, and the parts that tests turn at.
struct Rig {
    snapshot: Snapshot,
    identity: Identity,
    history: History,
    counts: Counts,
    configuration: Vec<(String, String)>,
    fleet: Option<String>,
}

fn rig(snapshot: Snapshot) -> Rig {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Rig {
        snapshot,
        identity: sample::identity(),
        history: History::default(),
        counts: Counts::default(),
        configuration: vec![pair("data plane", "127.0.0.1:4600, [::1]:4600")],
        fleet: None,
    }
}

impl Rig {
    fn html(&self) -> String {
        html(&Sight {
            snapshot: &self.snapshot,
            identity: &self.identity,
            history: &self.history,
            counts: &self.counts,
            configuration: &self.configuration,
            fleet: self.fleet.as_deref(),
        })
        .unwrap()
    }
}

/// The text of a document, blanks as one, as a reader takes it in.
fn text(html: &str) -> String {
    let mut text = String::new();
    for piece in html.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check(html: &str, expected: &[&str]) {
    let text = text(html);
    for expected in expected {
        assert!(text.contains(expected), "{expected} is not on the page:\n{text}");
    }
}

#[test]
fn says_whose_figures_it_shows_and_how_sure_they_are() {
    let html = rig(sample::snapshot()).html();
    let expected = [
        "(1 firing) inventory · Kinescope",
        "sidecar: this pod only",
        "what this sidecar saw of this pod",
        "service inventory region eu-west-1",
        "1 alert is firing; 1 of 2 consumers in trouble",
        "firing critical KinesisConsumerStopped stream orders, consumer inventory inventory is in trouble",
        "1 min ago",
        "1 resolved of late",
        "Consumers 1 stopped, 1 unknown",
        "stopped no read for 72 s, 14 times its usual 5 s",
        "≈ 1 min 24 s",
        "23 h 58 min",
        "2 shards: 1 stopped, 1 ok",
        "Rule 9 silent, on shardId-000000000001 : silence seconds 72.5, poll interval seconds 5",
        "ACTIVE, PROVISIONED",
        "125 /s 150 kB/s 1 min 21 s",
        "0.5 /s 1.8 × ≥ 62.5 % of shop, pod shop-7d",
        "This sidecar saw the traffic of its pod only",
        "The account does not pay for on-demand advantage, as of 0 s ago",
        "orders 50 min of what passed sidecars 200 /s 800 kB/s 600 /s 2 120.0 % 3 shards",
        "provisioned, 3 shards",
        "Worth knowing: aggregation, default retention, shards",
        "prices of us-east-1, list prices built into this program, 2026-11-23; 16 of them are to be \
         checked; those of eu-west-1 are not known here",
    ];
    check(&html, &expected);
}

#[test]
fn an_alert_and_its_consumer_are_one_trouble() {
    let mut rig = rig(sample::snapshot());
    let troubles =
        |rig: &Rig| rig.html().matches("data-says=").count() - rig.snapshot.consumers.len();
    assert_eq!(troubles(&rig), 1, "the alert");
    rig.snapshot.alerts.clear();
    assert_eq!(troubles(&rig), 1, "the consumer, which no alert is about");
    check(&rig.html(), &["No alert is firing; 1 of 2 consumers in trouble"]);
    rig.snapshot.consumers.remove(0);
    assert_eq!(troubles(&rig), 0);
    check(&rig.html(), &["No alert is firing; 1 consumer, none in trouble"]);
}

#[test]
fn what_was_before_becomes_curves_and_rates() {
    let mut rig = rig(sample::snapshot());
    let reading = |second, put, cpu| Counts {
        at: Duration::from_secs(second),
        streams: BTreeMap::from([(
            "orders".to_owned(),
            StreamCounts {
                put: Some(put),
                got: None,
                refused: BTreeMap::from([("InternalFailure".to_owned(), 3.0)]),
            },
        )]),
        dropped: vec![("spans".to_owned(), "full".to_owned(), 4.0)],
        dollars: Some(1.25),
        own: Own {
            cpu: Some(Duration::from_secs(cpu)),
            resident_bytes: Some(20 << 20),
            resident_bytes_peak: Some(30 << 20),
        },
        ..Counts::default()
    };
    for (second, lag) in [(3_580, 2), (3_585, 9)] {
        let mut then = sample::snapshot();
        then.now.mono = Duration::from_secs(second);
        let value = Duration::from_secs(lag);
        then.consumers[0].worst.lag = Some(Lag { value, inferred: false });
        rig.history.take(&then, reading(second, 100.0, 5));
    }
    rig.counts = reading(3_600, 150.0, 6);
    let expected = [
        "Records through this process",
        "refused since the start: InternalFailure 3 2.5 /s 0 /s —",
        "5.0 % of a core 6.0 s since the start",
        "20.0 MiB 30.0 MiB at most",
        "$1.25 since the start, at list price",
        "spans: 4 (full)",
        "Running for 1 h",
        "data plane 127.0.0.1:4600, [::1]:4600",
    ];
    check(&rig.html(), &expected);
    assert!(rig.html().contains("aria-label=\"lag over the last 20.0 s: 1 min 24 s at most\""));
}

#[test]
fn columns_of_which_nothing_is_known_are_left_out() {
    let mut rig = rig(sample::snapshot());
    check(&rig.html(), &["From CloudWatch, minutes late"]);
    assert!(!text(&rig.html()).contains("Records through this process"));
    for stream in &mut rig.snapshot.streams {
        stream.cloudwatch = CloudWatchView::default();
    }
    assert!(!text(&rig.html()).contains("CloudWatch, minutes"));
}

#[test]
fn traces_are_waterfalls_and_sagas_their_steps() {
    let html = fleet::html(&told::fleet(), &told::sagas(), Role::Hub, told::now(310_000)).unwrap();
    let expected = [
        "as of 20:05:10",
        "2 lines as a table",
        "shop writes orders 2 0 2",
        "mail reads orders 1 0 1 5 min 9 s ago",
        "partial shop → mail ORDER_CREATED 262 ms 20:00:00",
        "Time, 262 ms across",
        "shop → orders → mail ORDER_CREATED 20 ms 230 ms 12 ms",
        "shop → orders → nobody seen yet 10 ms — —",
        "Nobody was seen to read one of the records, yet or ever.",
        "stuck RESERVE_INVENTORY #741d2f9ca788aed8",
        "↩ REFUND_PAYMENT 3.0 s, saga",
        "every step before the one that failed was undone 4.0 s 5 min 6 s",
    ];
    check(&html, &expected);
    // From the put on: the stretch in the stream below, the put, the work.
    for bar in [
        "<rect class=\"lay\" x=\"30.5\" width=\"351.1\" y=\"3\" height=\"4\"/>",
        "<rect class=\"put\" x=\"0.0\" width=\"30.5\" height=\"10\"/>",
        "<rect class=\"work\" x=\"381.7\" width=\"18.3\" height=\"10\"/>",
    ] {
        assert!(html.contains(bar), "{bar} is not in {html}");
    }
    let at = |name: &str| html.find(name).unwrap();
    assert!(at("stuck</span>") < at("compensated</span>"), "what needs a look comes first");
}

#[test]
fn names_are_escaped_wherever_they_stand() {
    let evil = "<script>alert(1)</script>\"'";
    let mut rig = rig(sample::snapshot());
    rig.identity.service = evil.to_owned();
    rig.identity.region = evil.to_owned();
    rig.identity.revision = evil.to_owned();
    rig.configuration = vec![(evil.to_owned(), evil.to_owned())];
    rig.counts.dropped = vec![(evil.to_owned(), evil.to_owned(), 1.0)];
    rig.counts.refused = vec![(evil.to_owned(), 1.0)];
    let refused = BTreeMap::from([(evil.to_owned(), 1.0)]);
    let traffic = StreamCounts { refused, ..StreamCounts::default() };
    rig.counts.streams.insert(evil.to_owned(), traffic);
    for consumer in &mut rig.snapshot.consumers {
        consumer.consumer = evil.into();
        consumer.stream = evil.into();
        consumer.worst.reason = evil.to_owned();
        consumer.worst_shard = evil.into();
        for shard in &mut consumer.shards {
            shard.shard = evil.into();
            shard.assessment.reason = evil.to_owned();
        }
    }
    for stream in &mut rig.snapshot.streams {
        stream.stream = evil.into();
        if let Some(description) = &mut stream.description {
            description.mode = evil.to_owned();
            description.status = evil.to_owned();
        }
    }
    for load in &mut rig.snapshot.loads {
        load.stream = evil.into();
        for shard in &mut load.shards {
            shard.shard = evil.into();
            for by in shard.tops.iter_mut().filter_map(|top| top.by.as_mut()) {
                (by.service, by.pod) = (evil.into(), evil.into());
            }
        }
    }
    for alert in &mut rig.snapshot.alerts {
        alert.labels.values_mut().for_each(|value| evil.clone_into(value));
        alert.annotations.values_mut().for_each(|value| evil.clone_into(value));
    }
    let page = rig.html();
    assert!(page.contains("&#60;script&#62;"), "{page}");
    assert!(!page.contains("<script>alert") && !page.contains("\"'"), "{page}");
    assert!(page.contains("Capacity and cost") && page.contains("of them are to be checked"));
}

#[test]
fn the_hub_plans_for_the_fleet_and_says_what_is_amiss() {
    let mut rig = rig(sample::snapshot());
    rig.identity.role = Role::Hub;
    rig.identity.region = "us-east-1".to_owned();
    for view in &mut rig.snapshot.streams {
        if let Some(description) = &mut view.description {
            description.details.encrypted = Some(false);
        }
    }
    let html = rig.html();
    let expected = [
        "What the traffic of the last day, or as much of it as was measured, needs and costs",
        "Worth knowing: encryption off, too few shards, aggregation, default retention",
        "Encryption is off: records lie unencrypted",
        "2 shards are open, and the peak asks for 3",
        "Assumed: no readers but the 2 that were seen; every record has the average size.",
    ];
    check(&html, &expected);
    assert!(!html.contains("are not known here") && !html.contains("the traffic of its pod only"));
    rig.snapshot.account = None;
    check(&rig.html(), &["Whether the account pays for on-demand advantage is not known"]);
    rig.snapshot.loads.clear();
    rig.snapshot.streams[0].cloudwatch = CloudWatchView::default();
    assert!(!rig.html().contains("Capacity and cost"), "nothing was measured");
}

#[test]
fn an_empty_process_says_what_to_do_next() {
    let mut rig = rig(Snapshot::default());
    let expected = [
        "No alert is firing; no consumer has been seen yet",
        "Nothing has been seen yet. What to do next:",
        "AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4600",
        "No consumer has been seen reading yet",
        "No stream has been seen yet",
        "could not be had right now",
    ];
    check(&rig.html(), &expected);
    rig.identity.role = Role::Hub;
    check(&rig.html(), &["hub: the fleet", "Let sidecars report to this hub: hub.endpoint"]);
    let nothing = fleet::html(
        &crate::domain::fleet::Fleet::new(crate::domain::fleet::FleetLimits::default()),
        &crate::domain::saga::Sagas::new(Default::default(), Default::default()),
        Role::Hub,
        told::now(0),
    );
    check(&nothing.unwrap(), &["No trace has been seen yet", "No call of a traced service"]);
}

#[test]
fn what_aws_refuses_is_named_with_what_is_missing_for_it() {
    let mut rig = rig(sample::snapshot());
    assert!(!text(&rig.html()).contains("AWS refuses"));
    let refused = |action: &str, resources| (action.to_owned(), resources);
    rig.counts.refused = vec![
        refused("cloudwatch:GetMetricData", 1.0),
        refused("kinesis:ListShards", 3.0),
        refused("kinesis:Another", 1.0),
    ];
    let expected = [
        "AWS refuses what this process asks.",
        "cloudwatch:GetMetricData : figures of CloudWatch",
        "kinesis:ListShards (3 streams or tables): which shards",
        "kinesis:Another : what it would tell",
        "deploy/cloudformation/iam.yaml",
    ];
    check(&rig.html(), &expected);
}

#[test]
fn a_silent_engine_is_said_and_the_page_comes_again() {
    let html = silent_html(&sample::identity()).unwrap();
    check(&html, &["The engine did not answer within a second", "Records still pass"]);
    assert!(html.contains("<meta http-equiv=\"refresh\" content=\"5\">"));
}

#[test]
fn a_thousand_shards_fit_on_the_page_worst_first() {
    let mut rig = rig(sample::snapshot());
    let consumer = &mut rig.snapshot.consumers[0];
    let calm = consumer.shards[0].assessment.clone();
    let stopped = consumer.shards[1].assessment.clone();
    consumer.shards =
        (0..1_000).map(|n| sample::shard(&format!("s-{n}"), calm.clone(), 0)).collect();
    consumer.shards[777].assessment = stopped;
    let html = rig.html();
    check(&html, &["The 32 worst are shown; 968 more", "1000 shards: 1 stopped, 999 ok"]);
    let at = |name: &str| html.find(&format!("<code>{name}</code></th>"));
    assert!(at("s-777").is_some() && at("s-777") < at("s-0"), "the worst comes first");
    assert_eq!(at("s-31"), None);
    assert!(html.len() < 128 << 10, "{} bytes", html.len());
}

#[test]
fn a_hundred_consumers_of_many_shards_stay_a_page() {
    let mut rig = rig(sample::snapshot());
    let mut consumer = rig.snapshot.consumers[0].clone();
    let verdict = consumer.worst.clone();
    consumer.shards =
        (0..100).map(|n| sample::shard(&format!("shardId-{n:012}"), verdict.clone(), 0)).collect();
    rig.snapshot.consumers = vec![consumer; 150];
    let html = rig.html();
    check(
        &html,
        &["The 100 worst are shown; 50 more", "The 32 worst are shown", "The 4 worst are"],
    );
    assert!(html.len() < 512 << 10, "{} bytes", html.len());
}

#[test]
fn the_policy_names_what_the_page_holds() {
    let page = rig(Snapshot::default()).html();
    let between = |open: &str, close: &str| {
        let (_, rest) = page.split_once(open).unwrap();
        rest.split_once(close).unwrap().0.to_owned()
    };
    for text in [between("<style>", "</style>"), between("<script>", "</script>")] {
        let hash = base64_simd::STANDARD.encode_to_string(sha2::Sha256::digest(&text));
        assert!(content_security_policy().contains(&format!("'sha256-{hash}'")));
    }
    assert!(!page.contains("style="), "the policy forbids style attributes");
}
