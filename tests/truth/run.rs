//! Owns a run: a world that goes on, engines that are told what the wire of each pod shows, and the
//! comparison of both. Refuses to forgive.

use crate::plan::{Ms, Plan};
use crate::told::Told;
use crate::truth::{Eye, Right, lag, right};
use crate::world::{Answer, BEGIN, STEP, World};
use kinescope::domain::engine::{Engine, EngineConfig, EngineLimits, Event, Judging};
use kinescope::domain::lag::{
    Assessment, Checkpoint, FailureKind, Lease, ReadFailure, ReadObservation, Status, Tip, Tuning,
    View,
};
use kinescope::domain::snapshot::{ConsumerView, ShardInfo, ShardView};
use kinescope::domain::snapshot::{StreamDescription, StreamDetails};
use kinescope::domain::stream::{ConsumerName, SequenceNumber, ShardId, StreamName};
use kinescope::domain::time::{Moment, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const LOOK: Ms = 2_000;

/// What came of one history, or of many.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    /// Checks after the deadline, and those that agreed, by what was true.
    pub(crate) by_status: BTreeMap<&'static str, (u64, u64)>,
    /// Checks where the state left more than one answer.
    pub(crate) undecided: u64,
    /// Lags that were compared, and those that were true.
    pub(crate) lags: (u64, u64),
    /// `stopped` or `losing_data` of a reader that lives and loses nothing.
    pub(crate) slanders: u64,
    /// The first few of what was wrong, each kind once.
    pub(crate) wrong: Vec<String>,
    kinds: BTreeSet<String>,
}

impl Report {
    pub(crate) fn checks(&self) -> (u64, u64) {
        self.by_status.values().fold((0, 0), |all, of| (all.0 + of.0, all.1 + of.1))
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (status, (all, agreed)) in other.by_status {
            let sum = self.by_status.entry(status).or_default();
            *sum = (sum.0 + all, sum.1 + agreed);
        }
        self.undecided += other.undecided;
        self.lags = (self.lags.0 + other.lags.0, self.lags.1 + other.lags.1);
        self.slanders += other.slanders;
        // What must never be comes first.
        self.wrong.extend(other.wrong);
        self.wrong.sort_by_key(|wrong| !wrong.contains("SLANDER"));
        self.wrong.truncate(60);
    }

    /// Once for each kind of fault of one eye and shard.
    fn complain(&mut self, kind: String, what: impl FnOnce() -> String) {
        if self.wrong.len() < 40 && self.kinds.insert(kind) {
            self.wrong.push(what());
        }
    }
}

/// What is watched of one shard by one eye.
#[derive(Debug, Clone, Copy)]
struct Watched {
    right: Right,
    since: Ms,
    /// When `losing_data` was last right.
    lost_at: Ms,
    /// How far behind the reader was at its last answer.
    seen: Option<Ms>,
}

struct Run {
    world: World,
    engines: BTreeMap<usize, Engine>,
    hub: Engine,
    tuning: Tuning,
    stream: StreamName,
    consumer: ConsumerName,
    ids: Vec<ShardId>,
    watched: BTreeMap<(bool, usize, usize), Watched>,
    /// What the sidecars tell the hub.
    told: Told,
    heard: BTreeMap<(usize, usize), Ms>,
    open: BTreeMap<usize, bool>,
    told_retention: Ms,
    told_generation: Option<u64>,
    told_shards: usize,
    report: Report,
}

fn moment(now: Ms) -> Moment {
    let mono = Duration::from_millis(now);
    Moment { wall: Wall::from_ms(1_700_000_000_000).plus(mono), mono }
}

fn sequence(place: u64) -> SequenceNumber {
    place.to_string().as_str().into()
}

fn engine(view: View, tuning: Tuning) -> Engine {
    Engine::judging(
        EngineConfig {
            rules: Vec::new(),
            external_labels: BTreeMap::new(),
            repeat_interval: Duration::from_secs(3_600),
            limits: EngineLimits {
                streams_max: 10,
                windows_max: 1_000,
                forget_after: Duration::from_secs(900),
            },
        },
        Judging { view, tuning },
    )
}

/// Lives one history.
pub(crate) fn run(plan: Plan, tuning: Tuning) -> Report {
    let lasts = plan.lasts;
    let mut run = Run {
        world: World::new(plan),
        engines: BTreeMap::new(),
        hub: engine(View::Fleet, tuning),
        tuning,
        stream: "orders".into(),
        consumer: "mail".into(),
        ids: (0..64).map(|n| ShardId::from(format!("shardId-{n:012}").as_str())).collect(),
        watched: BTreeMap::new(),
        told: Told::default(),
        heard: BTreeMap::new(),
        open: BTreeMap::new(),
        told_retention: 0,
        told_generation: None,
        told_shards: 0,
        report: Report::default(),
    };
    let mut happenings = run.world.plan.happenings.clone().into_iter().peekable();
    while run.world.now < BEGIN + lasts {
        run.world.now += STEP;
        while let Some(it) = happenings.next_if(|it| BEGIN + it.at <= run.world.now) {
            run.world.happen(it);
        }
        run.world.follow();
        run.world.put();
        run.step();
    }
    run.report
}

impl Run {
    fn step(&mut self) {
        let now = self.world.now;
        self.sidecars();
        for answer in self.world.polls() {
            self.answer(&answer);
        }
        if now.is_multiple_of(1_000) {
            self.connections();
            self.control_plane();
            if self.world.plan.sees_puts {
                self.tips();
            }
        }
        if now.is_multiple_of(5_000) && self.world.plan.has_leases {
            self.leases();
        }
        if now % 5_000 == 700 && self.world.plan.hears_others {
            self.others();
        }
        let pods = &self.world.pods;
        for event in self.told.tell(|pod| pods[pod].watched, moment(now)) {
            self.hub.handle(event, moment(now));
        }
        if now.is_multiple_of(LOOK) {
            self.look();
        }
    }

    /// Sidecars come and go with their pods.
    fn sidecars(&mut self) {
        for (index, pod) in self.world.pods.iter().enumerate() {
            if pod.watched && !self.engines.contains_key(&index) {
                self.engines.insert(index, engine(View::Pod, self.tuning));
                // What every sidecar learns soon after its start.
                (self.told_retention, self.told_generation, self.told_shards) = (0, None, 0);
            } else if !pod.watched {
                self.engines.remove(&index);
            }
        }
    }

    fn all(&mut self, event: &Event) {
        let now = moment(self.world.now);
        for engine in self.engines.values_mut().chain([&mut self.hub]) {
            engine.handle(event.clone(), now);
        }
    }

    fn answer(&mut self, answer: &Answer) {
        let now = self.world.now;
        let at = moment(now);
        let (stream, consumer) = (self.stream.clone(), self.consumer.clone());
        let shard = self.ids[answer.shard].clone();
        let event = if answer.failed {
            let failure = ReadFailure { at, kind: FailureKind::Throttled };
            Event::ReadFailed { stream, consumer, shard, failure }
        } else {
            // A new stream's numbers are later ones, as the real ones are.
            let place =
                answer.newest.map(|index| self.world.generation * 1_000_000_000 + index as u64);
            let observation = ReadObservation {
                called_at: at,
                at,
                behind: answer.behind.map(Duration::from_millis),
                records: answer.records as u32,
                oldest_sequence: place.map(|it| sequence(it + 1 - answer.records as u64)),
                newest_sequence: place.map(sequence),
                newest_arrival: answer.arrived.map(|at| moment(at + 700).wall),
                shard_ended: answer.ended,
            };
            Event::Read { stream, consumer, shard, observation }
        };
        self.told.note(answer.pod, &event, at);
        if let Some(engine) = self.engines.get_mut(&answer.pod) {
            if self.world.plan.closes || self.open.get(&answer.pod) != Some(&true) {
                let open = Event::Connections { consumer: self.consumer.clone(), open: 1, at };
                engine.handle(open.clone(), at);
                self.told.note(answer.pod, &open, at);
                self.open.insert(answer.pod, true);
            }
            engine.handle(event.clone(), at);
            if self.world.plan.closes {
                let shut = Event::Connections { consumer: self.consumer.clone(), open: 0, at };
                engine.handle(shut.clone(), at);
                self.told.note(answer.pod, &shut, at);
            }
        }
        if !answer.failed {
            self.heard.insert((answer.pod, answer.shard), now);
            let lag_then =
                self.world.pods[answer.pod].readers.get(&answer.shard).map(|it| it.lag_then);
            if let (Some(lag), Some(watched)) =
                (lag_then, self.watched.get_mut(&(false, answer.pod, answer.shard)))
            {
                watched.seen = Some(lag);
            }
        }
    }

    /// A process that ends closes its connections.
    fn connections(&mut self) {
        let at = moment(self.world.now);
        for (pod, engine) in &mut self.engines {
            if !self.world.pods[*pod].alive && self.open.insert(*pod, false) == Some(true) {
                let event = Event::Connections { consumer: self.consumer.clone(), open: 0, at };
                self.told.note(*pod, &event, at);
                engine.handle(event, at);
            }
        }
    }

    fn control_plane(&mut self) {
        let now = self.world.now;
        let generation = self.world.generation;
        let changed =
            self.told_retention != self.world.retention || self.told_generation != Some(generation);
        if changed {
            if self.told_generation.is_some_and(|told| told != generation) {
                self.watched.clear();
            }
            (self.told_retention, self.told_generation) = (self.world.retention, Some(generation));
            self.all(&Event::StreamDescribed {
                stream: self.stream.clone(),
                description: StreamDescription {
                    retention: Duration::from_millis(self.world.retention),
                    open_shards: self.world.shards.len() as u32,
                    mode: "PROVISIONED".to_owned(),
                    status: "ACTIVE".to_owned(),
                    record_bytes_max: None,
                    created_at: Some(Wall::from_ms(1_000 + generation)),
                    details: StreamDetails::default(),
                    at: moment(now),
                },
            });
        }
        if changed || self.told_shards != self.world.shards.len() {
            self.told_shards = self.world.shards.len();
            let info = |(index, shard): (usize, &crate::world::Shard)| ShardInfo {
                shard: self.ids[index].clone(),
                parents: shard.parents.iter().map(|parent| self.ids[*parent].clone()).collect(),
            };
            let shards = self.world.shards.iter().enumerate().map(info).collect();
            self.all(&Event::ShardsListed { stream: self.stream.clone(), shards });
        }
    }

    fn tips(&mut self) {
        let at = moment(self.world.now);
        for shard in 0..self.world.shards.len() {
            let newest = self.world.shards[shard].records.last().map(|it| moment(*it));
            let tip = Tip { as_of: at, newest, complete: true };
            let (stream, shard) = (self.stream.clone(), self.ids[shard].clone());
            self.all(&Event::TipSeen { stream, shard, tip });
        }
    }

    fn leases(&mut self) {
        let at = moment(self.world.now);
        for shard in 0..self.world.shards.len() {
            let Some(owner) = self.world.shards[shard].owner else { continue };
            if self.world.shards[shard].drained {
                continue;
            }
            if self.world.pods[owner].alive {
                self.world.shards[shard].counter += 1;
            }
            let it = &self.world.shards[shard];
            // The last record that is done, not the next one.
            let done = it.checkpoint.saturating_sub(1) as u64;
            let place = self.world.generation * 1_000_000_000 + done;
            let lease = Lease {
                at,
                owner: Some(format!("worker-{owner}").as_str().into()),
                counter: it.counter,
                checkpoint: Checkpoint::At(place.to_string().as_str().into()),
            };
            let (stream, consumer) = (self.stream.clone(), self.consumer.clone());
            let shard = self.ids[shard].clone();
            self.all(&Event::LeaseSeen { stream, consumer, shard, lease });
        }
    }

    /// What each sidecar hears of the others.
    fn others(&mut self) {
        let now = moment(self.world.now);
        for ((pod, shard), at) in &self.heard {
            for (other, engine) in &mut self.engines {
                if other != pod {
                    let event = Event::ReadElsewhere {
                        stream: self.stream.clone(),
                        consumer: self.consumer.clone(),
                        shard: self.ids[*shard].clone(),
                        at: moment(*at),
                    };
                    engine.handle(event, now);
                }
            }
        }
        self.heard.clear();
    }

    /// Compares what is said with what is true.
    fn look(&mut self) {
        let now = moment(self.world.now);
        let mut said: Vec<(Eye, Vec<ConsumerView>)> = Vec::new();
        for (pod, engine) in &mut self.engines {
            said.push((Eye::Pod(*pod), engine.snapshot(now).consumers));
        }
        said.push((Eye::Hub, self.hub.snapshot(now).consumers));
        for (eye, views) in said {
            for view in views.iter().flat_map(|view| &view.shards) {
                let shard = self.ids.iter().position(|id| *id == view.shard);
                let Some(shard) = shard.filter(|shard| *shard < self.world.shards.len()) else {
                    continue;
                };
                let pod = match eye {
                    Eye::Pod(pod) => Some(pod),
                    Eye::Hub => self.world.shards[shard].owner,
                };
                if let Some(pod) = pod {
                    self.compare(eye, pod, shard, view);
                    self.compare_lag(eye, pod, shard, view);
                }
            }
        }
    }

    fn compare(&mut self, eye: Eye, pod: usize, shard: usize, view: &ShardView) {
        let now = self.world.now;
        let right = right(&self.world, eye, pod, shard);
        let Some(reader) = self.world.pods[pod].readers.get(&shard) else { return };
        let key = (eye == Eye::Hub, if eye == Eye::Hub { 0 } else { pod }, shard);
        let fresh = Watched { right, since: now, lost_at: 0, seen: None };
        let watched = self.watched.entry(key).or_insert(fresh);
        if watched.right != right {
            (watched.right, watched.since) = (right, now);
        }
        if right.has(Status::LosingData) {
            watched.lost_at = now;
        }
        let deadline = eye.deadline(reader, &self.world);
        let status = view.assessment.status;
        let hangs = reader.paused.is_some_and(|(began, _)| now - began > 30_000);
        let reads = reader.reads > 0 && reader.next_poll != Ms::MAX;
        let lives = self.world.pods[pod].alive && reads && !hangs;
        let slander = match status {
            Status::Stopped => !right.has(status),
            Status::LosingData => now - watched.lost_at > deadline,
            Status::Released
            | Status::Ok
            | Status::Idle
            | Status::Unknown
            | Status::Rewound
            | Status::Lagging
            | Status::FallingBehind
            | Status::Stalled => false,
        };
        let kind = |what: &str| format!("{what} {eye:?} {shard} {right:?} {status:?}");
        let describe = |what: &str| {
            format!(
                "seed {} at {:.1} s, {eye:?} {shard}, {what}: said {} ({}), true {:?}, lag {} ms, poll {} ms, evidence {:?}",
                self.world.plan.seed,
                (now - BEGIN) as f64 / 1_000.0,
                status.as_str(),
                view.assessment.reason,
                right.single(),
                lag(&self.world, shard, reader),
                eye.interval(reader, &self.world),
                view.assessment.evidence,
            )
        };
        // A hub hears of a reader that came back with the next report.
        let told_by = 2_000 + 2 * eye.interval(reader, &self.world);
        let waits = now - watched.since <= told_by;
        let told = eye != Eye::Hub || !waits;
        if slander && lives && told {
            self.report.slanders += 1;
            self.report.complain(kind("slander"), || describe("SLANDER"));
        }
        if now - watched.since <= deadline {
            return;
        }
        let Some(truth) = right.single() else {
            self.report.undecided += 1;
            return;
        };
        let count = self.report.by_status.entry(truth.as_str()).or_default();
        count.0 += 1;
        if right.has(status) {
            count.1 += 1;
        } else {
            self.report.complain(kind("verdict"), || describe("verdict"));
        }
    }

    /// A lag must have been true at some moment since the last answer, verdict or not.
    fn compare_lag(&mut self, eye: Eye, pod: usize, shard: usize, view: &ShardView) {
        let Some(reader) = self.world.pods[pod].readers.get(&shard) else { return };
        let watched = self.watched.get(&(false, pod, shard)).filter(|_| eye != Eye::Hub);
        let seen = watched.and_then(|watched| watched.seen);
        let (Some(told), Some(then)) = (view.assessment.lag, seen) else { return };
        let now = lag(&self.world, shard, reader);
        let told_ms = told.value.as_millis() as Ms;
        // What came first to a reader that was at the tip is known to one record.
        let gap = if told.inferred { (2_000.0 / self.world.plan.rate) as Ms } else { 0 };
        let slack = self.world.plan.noise + 2 * STEP + gap;
        self.report.lags.0 += 1;
        if told_ms + slack >= now.min(then) && told_ms <= now.max(then) + slack {
            self.report.lags.1 += 1;
            return;
        }
        let at = (self.world.now - BEGIN) as f64 / 1_000.0;
        let seed = self.world.plan.seed;
        let Assessment { reason, evidence, .. } = &view.assessment;
        self.report.complain(format!("lag {eye:?} {shard} {reason:.20}"), || {
            format!(
                "seed {seed} at {at:.1} s, {eye:?} {shard}: said {told_ms} ms ({reason}), true {then} ms then and {now} ms now, {evidence:?}"
            )
        });
    }
}
