//! Owns the tests of rates, skew, names and the sketch, as data.

use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn puts(records: u64, bytes: u64) -> Puts {
    Puts { records, bytes, throttled: 0 }
}

fn add(loads: &mut Loads, shard: &crate::domain::stream::ShardId, puts: Puts, second: u32) {
    loads.add((&"orders".into(), shard), puts, (None, None), SECOND * second);
}

/// Puts a second at each of `seconds`.
fn window(seconds: impl Iterator<Item = u32>, each: Puts) -> Window {
    let mut window = Window::default();
    seconds.for_each(|second| window.add(each, SECOND * second));
    window
}

#[test]
fn a_rate_is_over_whole_pieces() {
    let check = |window: Window, at: u32, expected: Option<f64>| {
        assert_eq!(window.rates(SECOND * at).map(|rates| rates.records), expected, "at {at}");
    };
    let steady = || window(3..60, puts(10, 1_000));
    check(steady(), 60, Some(10.0));
    check(window(3..8, puts(10, 0)), 8, None);
    check(window(3..10, puts(10, 0)), 10, Some(10.0));
    check(steady(), 75, Some(4.0));
    check(steady(), 200, Some(0.0));
}

#[test]
fn utilisation_is_of_the_nearer_limit() {
    let check = |records, bytes, expected| {
        let rates = Rates { records, bytes, throttled: 0.0 };
        assert_eq!(rates.utilization(), expected);
    };
    check(1_000.0, 10.0, 1.0);
    check(10.0, 500_000.0, 0.5);
    check(0.0, 0.0, 0.0);
}

#[test]
fn skew_is_how_often_the_fair_share() {
    let check = |each: &[u64], open: Option<u32>, expected: Option<f64>| {
        let mut loads = Loads::default();
        for (nth, records) in each.iter().enumerate() {
            let shard = format!("shardId-{nth}").as_str().into();
            for second in 0..20 {
                add(&mut loads, &shard, puts(*records, 0), second);
            }
        }
        let views = loads.views(|_| open, SECOND * 20);
        assert_eq!(views.first().and_then(|view| view.skew), expected, "{each:?}");
    };
    check(&[10, 10], None, Some(1.0));
    check(&[30, 10], None, Some(1.5));
    check(&[30], None, None);
    check(&[30], Some(4), Some(4.0));
    check(&[0, 0], None, None);
}

#[test]
fn shards_that_nobody_writes_to_are_forgotten() {
    let mut loads = Loads::default();
    for second in 0..20 {
        add(&mut loads, &"shardId-0".into(), puts(1, 1), second);
    }
    loads.forget(SECOND * 300);
    assert_eq!(loads.views(|_| None, SECOND * 300).len(), 1);
    loads.forget(SECOND * 400);
    let [idle] = &loads.views(|_| None, SECOND * 400)[..] else { panic!("its day is known") };
    assert_eq!((idle.shards.len(), idle.writers, idle.skew), (0, 0, None));
    loads.forget(SECOND * 90_000);
    assert_eq!(loads.views(|_| None, SECOND * 90_000), []);
}

#[test]
fn who_has_a_heavy_key_is_known_while_it_writes() {
    let writer = |pod: &str| Some(Writer { service: "shop".into(), pod: pod.into() });
    let mut loads = Loads::default();
    let (stream, shard) = ("orders".into(), "shardId-0".into());
    let mut tell = |by: Option<Writer>, share: Option<f64>, second: u32| {
        let top = share.map(|share| TopKey { share, keys: 1 });
        loads.add((&stream, &shard), puts(1, 1), (by, top), SECOND * second);
        let views = loads.views(|_| None, SECOND * second);
        let shown = views.iter().flat_map(|load| &load.shards).flat_map(|shard| &shard.tops);
        let shown =
            shown.map(|seen| (seen.by.as_ref().map_or("own", |by| &*by.pod), seen.top.share));
        shown.map(|(pod, share)| format!("{pod} {share}")).collect::<Vec<_>>().join(", ")
    };
    tell(None, None, 0);
    assert_eq!(tell(writer("a"), Some(0.5), 10), "a 0.5");
    assert_eq!(tell(None, Some(0.7), 10), "own 0.7, a 0.5");
    assert_eq!(tell(writer("a"), Some(0.9), 11), "a 0.9, own 0.7");
    assert_eq!(tell(writer("b"), None, 12), "a 0.9, own 0.7");
    for pod in ["c", "d", "e"] {
        tell(writer(pod), Some(0.3), 12);
    }
    assert_eq!(
        tell(writer("f"), Some(0.8), 13),
        "a 0.9, f 0.8, own 0.7, c 0.3",
        "the largest four"
    );
    assert_eq!(tell(writer("a"), None, 20), "f 0.8, own 0.7, c 0.3", "spread now");
    assert_eq!(tell(writer("b"), None, 72), "f 0.8, c 0.3", "the other said nothing for a minute");
}

#[test]
fn a_total_that_began_anew_is_all_new() {
    let check = |now: Puts, before: Puts, expected: Puts| assert_eq!(now.since(before), expected);
    check(puts(10, 100), puts(4, 40), puts(6, 60));
    check(puts(3, 30), puts(4, 40), puts(3, 30));
    check(puts(4, 40), puts(4, 40), Puts::default());
}

#[test]
fn what_is_heavy_is_found_among_many() {
    let mut sketch = Sketch::default();
    for round in 0..10_000_u64 {
        sketch.add(if round % 3 == 0 { 7 } else { 1_000 + round }, 1);
    }
    let heavy = sketch.heaviest(0.2, sketch.total());
    assert_eq!(heavy.iter().map(|it| it.key).collect::<Vec<_>>(), [7]);
    let share = heavy.first().map(|it| it.share).unwrap_or_default();
    assert!((0.333..0.4).contains(&share), "{share}");
    assert_eq!(sketch.top(0.2).map(|top| (top.keys, top.share >= 0.33)), Some((1, true)));
    assert_eq!(sketch.heaviest(0.2, 10 * sketch.total()), [], "of more it is less");
    sketch.halve();
    assert_eq!((sketch.total(), sketch.heaviest(0.2, 5_000).len()), (5_000, 1));
    assert_eq!((Sketch::default().heaviest(0.0, 0), Sketch::default().top(0.0)), (vec![], None));
}

#[test]
fn names_are_kept_while_they_are_used() {
    let mut named = Named::new(2, 3);
    let mut name = |stream: &str, shard: &str, minute: u64| {
        let naming = named.name(&stream.into(), &shard.into(), SECOND * 60 * minute as u32);
        (naming.by_name, naming.retired.len())
    };
    assert_eq!(name("a", "0", 0), (true, 0));
    assert_eq!(name("a", "1", 0), (true, 0));
    assert_eq!(name("a", "2", 0), (false, 0), "two of a stream");
    assert_eq!(name("b", "0", 0), (true, 0));
    assert_eq!(name("b", "1", 0), (false, 0), "three of all");
    assert_eq!(name("a", "0", 9), (true, 0));
    assert_eq!(name("a", "2", 11), (true, 1), "the idle one gives way");
    assert_eq!(name("a", "1", 11), (false, 0));
}
