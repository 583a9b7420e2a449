//! Owns the proof over a simulated day with faults: no settled point is lost, none is told that there
//! was not, none is answered more often than the overlap says, and the delay follows what settles late.

use super::*;
use crate::domain::cloudwatch::Metric;
use crate::domain::cloudwatch::found::Wish;
use crate::domain::cloudwatch::window::OVERLAP;
use crate::domain::time::Wall;
use crate::io::cloudwatch::ask::Given;
use crate::io::cloudwatch::ask::Listing;
use crate::io::cloudwatch::ask::Page;
use crate::io::cloudwatch::ask::Refused;
use crate::io::cloudwatch::ask::ResultStatus;
use prometheus::Registry;
use std::collections::HashMap;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

/// 2023-11-15T00:00:00Z.
const MIDNIGHT: u64 = 1_700_006_400;
const HOUR: u64 = 60;
const DAY: u64 = 24 * HOUR;
/// The last minutes of the day have not settled, or were not asked for often enough.
const TAIL: u64 = 15;

/// A number in 0..1 that depends on nothing but `what`.
fn chance(what: impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}

/// What the metric was in this minute in the end; a tenth of all minutes has no data.
fn truth(series: &Series, minute: u64) -> Option<f64> {
    let key = (series, minute);
    (chance((key, "gap")) > 0.1).then(|| (chance((key, "value")) * 1_000.0).round())
}

/// How old the end of a minute is when its value has settled: in the morning it takes longer, and one
/// point in two hundred is a straggler, but none later than the last ask that the overlap promises.
fn settles_s(series: &Series, minute: u64) -> f64 {
    let key = (series, minute);
    let spread = chance((key, "spread"));
    match minute % DAY / HOUR {
        _ if chance((key, "straggler")) < 0.005 => 120.0 + spread * 240.0,
        6..9 => 130.0 + spread * 110.0,
        _ => 50.0 + spread * 60.0,
    }
}

/// The minute of a time, from midnight.
fn minute(at: Wall) -> u64 {
    (at.as_seconds() - MIDNIGHT) / 60
}

#[derive(Debug, Default)]
struct Log {
    calls: u64,
    /// How often a minute of a series was asked for and answered in full.
    answered: HashMap<(Series, u64), u32>,
    faults: HashMap<&'static str, u32>,
}

/// CloudWatch on a bad day.
#[derive(Debug, Clone)]
struct World {
    clock: Clock,
    log: Arc<Mutex<Log>>,
}

impl World {
    /// What becomes of the call: a fault, or which of the ways an answer can be bad.
    fn fate(&self, call: u64) -> Result<&'static str, Fault> {
        let now = minute(self.clock.now().wall);
        if (13 * HOUR..14 * HOUR + 10).contains(&now) {
            return Err(Fault::Denied);
        }
        if (3 * HOUR..3 * HOUR + 20).contains(&now) {
            return Err(Fault::TimedOut);
        }
        match (chance((call, "fate")) * 100.0) as u32 {
            0..5 => Err(Fault::Throttled),
            5..8 => Err(Fault::Broken),
            8..10 => Err(Fault::Unsent),
            10..16 => Ok("pages"),
            16..19 => Ok("partly"),
            19..22 => Ok("internal"),
            22..25 => Ok("absent"),
            _ => Ok("whole"),
        }
    }

    /// What of one series is to be had now, out of order, some of it twice.
    fn values(&self, series: &Series, batch: &Batch, call: u64) -> Vec<(Wall, f64)> {
        let now = self.clock.now().wall;
        let mut values = Vec::new();
        let mut at = batch.window.start;
        while at < batch.window.end {
            let age_s = now.since(at.plus(batch.window.period)).as_secs_f64();
            let settled = age_s >= settles_s(series, minute(at));
            let value = truth(series, minute(at));
            // Before it has settled there is a part of it, or nothing.
            let part = value.filter(|_| chance((series, at.as_ms(), "part")) < 0.5);
            let value = if settled { value } else { part.map(|value| value - 0.5) };
            values.extend(value.map(|value| (at, value)));
            at = at.plus(batch.window.period);
        }
        if let Some(first) = values.first().copied() {
            values.push(first);
        }
        values.sort_by_key(|(at, _)| (chance((call, at.as_ms())) * 1e9) as u64);
        values
    }

    fn page(&self, batch: &Batch, call: u64, fate: &'static str, second: bool) -> Page {
        let mut page = Page::default();
        let forbidden = (16 * HOUR..16 * HOUR + 30).contains(&minute(self.clock.now().wall));
        for (index, series) in batch.series.iter().enumerate() {
            let values = self.values(series, batch, call);
            let unlucky = chance((call, index)) < 0.3;
            let (half, rest) = values.split_at(values.len() / 2);
            let (status, values) = match fate {
                _ if forbidden && series.metric == Metric::GetBytes => {
                    (ResultStatus::Forbidden, &[][..])
                }
                "pages" if second => (ResultStatus::Complete, rest),
                "pages" => (ResultStatus::Partial, half),
                "partly" if unlucky => (ResultStatus::Partial, half),
                "internal" if unlucky => (ResultStatus::InternalError, half),
                "absent" if unlucky => continue,
                _ => (ResultStatus::Complete, values.as_slice()),
            };
            if status == ResultStatus::Complete {
                let mut log = self.log.lock().unwrap();
                let mut at = batch.window.start;
                while at < batch.window.end {
                    *log.answered.entry((series.clone(), minute(at))).or_default() += 1;
                    at = at.plus(batch.window.period);
                }
            }
            let (values, messages) = (values.to_vec(), Vec::new());
            page.results.push(Given { index: Some(index), status, values, messages });
        }
        page.next = Some(call.to_string()).filter(|_| fate == "pages" && !second);
        page
    }
}

impl Ask for World {
    async fn data(&self, batch: &Batch, token: Option<&str>) -> Result<Page, Refused> {
        let call = {
            let mut log = self.log.lock().unwrap();
            log.calls += 1;
            log.calls
        };
        // The second page belongs to the first's fate.
        let first: Option<u64> = token.map(|token| token.parse().unwrap());
        let fate = first.map_or_else(|| self.fate(call), |_| Ok("pages"));
        let word = fate.unwrap_or_else(Fault::as_str);
        *self.log.lock().unwrap().faults.entry(word).or_default() += 1;
        let page = fate.map(|fate| self.page(batch, first.unwrap_or(call), fate, first.is_some()));
        let latency = Duration::from_secs_f64(0.1 + chance((call, "latency")));
        self.clock.sleep_until(self.clock.now().mono + latency).await;
        page.map_err(|fault| Refused { fault, text: String::new() })
    }

    async fn list(&self, _: Wish, _: Option<&str>) -> Result<Listing, Refused> {
        Ok(Listing::default())
    }
}

/// What a day of polling told, each value in the order of telling.
struct Day {
    told: HashMap<(Series, u64), Vec<f64>>,
    log: Log,
    metrics: String,
}

async fn day() -> Day {
    let clock = Clock::simulated(Wall::from_ms(MIDNIGHT * 1_000));
    let world = World { clock: clock.clone(), log: Arc::default() };
    let streams: Arc<[StreamName]> = ["orders", "payments"].map(StreamName::from).into();
    let shard = Subject::Shard("orders".into(), "shardId-0".into());
    let series = Metric::of(shard.kind()).map(|metric| Series { subject: shard.clone(), metric });
    let (_listed, streams) = watch::channel(streams);
    let (_found, found) = watch::channel(Found { series: series.collect(), calls: 1 });
    let (events, mut heard) = mpsc::channel(4_096);
    let registry = Registry::new();
    let metrics = CloudWatchMetrics::register(&registry).unwrap();
    let sources = Sources { streams, found };
    let poller =
        Poller::new(world.clone(), clock.clone(), Config::default(), sources, events, metrics);
    let stop = CancellationToken::new();
    let mut told: HashMap<(Series, u64), Vec<f64>> = HashMap::new();
    let listen = async {
        let mut note = |series: Series, point: crate::domain::snapshot::CloudWatchPoint| {
            // A point is of a settled minute, never of one in progress.
            assert!(clock.now().wall.since(point.at).as_secs() >= 60 + 120, "{series:?}");
            told.entry((series, minute(point.at))).or_default().push(point.value);
        };
        while let Some(event) = heard.recv().await {
            if let Event::CloudWatch { stream, metric, point } = event {
                note(Series { subject: Subject::Stream(stream), metric: metric.into() }, point);
            } else if let Event::CloudWatchDetails { told } = event {
                told.into_iter().for_each(|it| note(it.series, it.point));
            } else {
                panic!("{event:?}");
            }
        }
    };
    let end = async {
        clock.sleep_until(Duration::from_secs(DAY * 60)).await;
        stop.cancel();
    };
    tokio::join!(poller.run(stop.clone()), listen, end);
    let mut metrics = String::new();
    prometheus::TextEncoder::new().encode_utf8(&registry.gather(), &mut metrics).unwrap();
    let log = std::mem::take(&mut *world.log.lock().unwrap());
    Day { told, log, metrics }
}

fn all_series() -> Vec<Series> {
    let streams = ["orders", "payments"].map(|name| Subject::Stream(name.into()));
    let shard = Subject::Shard("orders".into(), "shardId-0".into());
    let of = |subject: &Subject| {
        let subject = subject.clone();
        Metric::of(subject.kind()).map(move |metric| Series { subject: subject.clone(), metric })
    };
    streams.iter().chain([&shard]).flat_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn a_day_with_faults_loses_nothing_and_asks_nothing_too_often() {
    let Day { told, log, metrics } = day().await;
    for fault in ["denied", "timed_out", "throttled", "broken", "unsent"] {
        assert!(log.faults.contains_key(fault), "the day had no {fault}: {:?}", log.faults);
    }
    for bad in ["pages", "partly", "internal", "absent"] {
        assert!(log.faults.contains_key(bad), "the day had no {bad}: {:?}", log.faults);
    }
    let (mut points, mut corrected, mut late_corrected) = (0_u32, 0_u32, 0_u32);
    for series in all_series() {
        for at in 0..DAY - TAIL {
            let key = (series.clone(), at);
            let values = told.get(&key);
            let last = values.and_then(|values| values.last()).copied();
            assert_eq!(last, truth(&series, at), "{series:?} at minute {at}: {values:?}");
            points += u32::from(last.is_some());
            let changes = values.is_some_and(|it| it.iter().any(|value| Some(*value) != last));
            corrected += u32::from(changes);
            // Half an hour into the slow hours the delay has been learned.
            late_corrected += u32::from(changes && (6 * HOUR + 30..9 * HOUR).contains(&at));
        }
    }
    let most = log.answered.values().max().copied();
    assert_eq!(most, Some(OVERLAP + 1), "answers to one minute of one series");
    // 150 of the 2250 minutes of slow hours: without learning half of all points were corrected.
    assert!(corrected * 50 < points, "{corrected} of {points} points were corrected");
    let slow = 47 * 150;
    assert!(late_corrected * 100 < slow, "{late_corrected} of {slow} points were corrected");
    // The permission was gone for seventy minutes, and came back.
    let success = metrics
        .lines()
        .find(|line| line.contains(r#"last_success_timestamp_seconds{job="shards"}"#));
    let at: f64 = success.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(at > (MIDNIGHT + DAY * 60 - 600) as f64, "{at}");
}
