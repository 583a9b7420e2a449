//! Owns the simulated stream and its readers: what is put, who reads how far, who lives. Every
//! position is known here. Refuses to know what the engine says of it.

use crate::chance::Chance;
use crate::plan::{Ms, Plan, Start};
use std::collections::{BTreeMap, VecDeque};

/// A shard: when each of its records arrived.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) records: Vec<Ms>,
    trimmed: usize,
    pub(crate) parents: Vec<usize>,
    pub(crate) closed: bool,
    /// Records a second now.
    pub(crate) rate: f64,
    next_put: f64,
    /// The process that has it, by pod.
    pub(crate) owner: Option<usize>,
    /// How far the owners' work is done.
    pub(crate) checkpoint: usize,
    /// Read to its end.
    pub(crate) drained: bool,
    /// Renewals by its owner.
    pub(crate) counter: u64,
}

/// One process's reading of one shard.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The next record that it gets.
    pub(crate) next: usize,
    /// The furthest that it ever was.
    pub(crate) furthest: usize,
    pub(crate) went_back_at: Option<Ms>,
    pub(crate) next_poll: Ms,
    pub(crate) last_read: Option<Ms>,
    /// How far behind it was right after that.
    pub(crate) lag_then: Ms,
    /// Reads since the process began.
    pub(crate) reads: u64,
    pub(crate) intervals: VecDeque<Ms>,
    /// Records a second that it can do.
    pub(crate) capacity: f64,
    pub(crate) batch: usize,
    pub(crate) stuck_until: Ms,
    pub(crate) throttled_until: Ms,
    pub(crate) withheld_until: Ms,
    pub(crate) paused: Option<(Ms, Ms)>,
    pub(crate) lost_at: Option<Ms>,
}

/// A pod: an application and its sidecar.
#[derive(Debug, Default)]
pub(crate) struct Pod {
    /// The application runs.
    pub(crate) alive: bool,
    /// The sidecar runs.
    pub(crate) watched: bool,
    /// When the application comes back.
    pub(crate) back_at: Option<Ms>,
    /// When the sidecar goes.
    pub(crate) gone_at: Option<Ms>,
    pub(crate) readers: BTreeMap<usize, Reader>,
}

/// An answer on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) pod: usize,
    pub(crate) shard: usize,
    pub(crate) failed: bool,
    pub(crate) behind: Option<Ms>,
    pub(crate) records: usize,
    /// The newest record's index.
    pub(crate) newest: Option<usize>,
    /// When it arrived.
    pub(crate) arrived: Option<Ms>,
    pub(crate) ended: bool,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) chance: Chance,
    pub(crate) now: Ms,
    pub(crate) shards: Vec<Shard>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) retention: Ms,
    /// Counts the streams that had this name.
    pub(crate) generation: u64,
    /// Things that are due later, by time.
    pub(crate) later: Vec<(Ms, Later)>,
}

/// What is due later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Later {
    /// The shard goes to this pod.
    Give { shard: usize, pod: usize },
    /// Every reader is as fast as before.
    Recover,
    /// Records come as before.
    Rate,
    /// A new pod takes the place of this one.
    Replace { pod: usize },
}

/// Time goes in steps.
pub(crate) const STEP: Ms = 100;

/// Before this nothing is read: what is older is a backlog.
pub(crate) const BEGIN: Ms = 100_000_000;

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut world = Self {
            chance: Chance::new(plan.seed ^ 0xfeed),
            now: BEGIN,
            shards: Vec::new(),
            pods: Vec::new(),
            retention: plan.retention,
            generation: 0,
            later: Vec::new(),
            plan,
        };
        world.fill();
        for pod in 0..world.plan.pods {
            let watched = !world.is_past(pod);
            world.pods.push(Pod { alive: true, watched, ..Pod::default() });
        }
        for shard in 0..world.plan.shards {
            let next = world.first(shard, world.plan.start);
            world.shards[shard].checkpoint = next;
            world.give(shard, shard % world.plan.pods);
        }
        world
    }

    /// Whether the pod reads past the sidecars.
    pub(crate) fn is_past(&self, pod: usize) -> bool {
        self.plan.past && pod + 1 == self.plan.pods
    }

    /// The shards of a new stream, with what is in them already.
    fn fill(&mut self) {
        let backlog = match self.plan.start {
            Start::Latest => 20_000,
            Start::TrimHorizon => self.plan.retention.min(3_600_000),
            Start::Ago(ago) => ago,
        };
        for _ in 0..self.plan.shards {
            let shard = self.shard(Vec::new());
            let put = &mut self.shards[shard];
            put.next_put = (BEGIN - backlog) as f64;
            self.put();
        }
    }

    pub(crate) fn shard(&mut self, parents: Vec<usize>) -> usize {
        self.shards.push(Shard {
            records: Vec::new(),
            trimmed: 0,
            parents,
            closed: false,
            rate: self.plan.rate,
            next_put: self.now as f64,
            owner: None,
            checkpoint: 0,
            drained: false,
            counter: 0,
        });
        self.shards.len() - 1
    }

    fn first(&self, shard: usize, start: Start) -> usize {
        let records = &self.shards[shard].records;
        match start {
            Start::Latest => records.len(),
            Start::TrimHorizon => self.trimmed(shard),
            Start::Ago(ago) => records.partition_point(|at| *at + ago < self.now),
        }
    }

    /// Records before this are gone, for ever.
    pub(crate) fn trimmed(&self, shard: usize) -> usize {
        let Shard { records, trimmed, .. } = &self.shards[shard];
        records.partition_point(|at| at + self.retention < self.now).max(*trimmed)
    }

    pub(crate) fn trim(&mut self) {
        for shard in 0..self.shards.len() {
            self.shards[shard].trimmed = self.trimmed(shard);
        }
    }

    pub(crate) fn healthy(&self) -> f64 {
        self.plan.rate * self.plan.speed
    }

    /// A process begins to read the shard where its checkpoint is.
    pub(crate) fn give(&mut self, shard: usize, pod: usize) {
        if let Some(old) = self.shards[shard].owner.filter(|old| *old != pod)
            && let Some(reader) = self.pods[old].readers.get_mut(&shard)
        {
            reader.next_poll = Ms::MAX;
        }
        self.shards[shard].owner = Some(pod);
        if !self.pods[pod].alive {
            return;
        }
        let next = self.shards[shard].checkpoint;
        let capacity = self.healthy();
        let first_poll = self.now + self.chance.within(100..1_500);
        let batch = batch(capacity, self.plan.interval);
        // A process that hangs reads nothing new either.
        let hangs = |reader: &Reader| reader.paused.filter(|(began, until)| until - began > 30_000);
        let paused = self.pods[pod].readers.values().find_map(hangs);
        let known = self.pods[pod].readers.remove(&shard);
        let furthest = known.as_ref().map_or(next, |known| known.furthest.max(next));
        let went_back_at = (furthest > next).then_some(self.now);
        self.pods[pod].readers.insert(
            shard,
            Reader {
                next,
                furthest,
                went_back_at,
                next_poll: first_poll,
                last_read: known.as_ref().and_then(|known| known.last_read),
                lag_then: known.as_ref().map_or(0, |known| known.lag_then),
                reads: 0,
                intervals: known.map(|known| known.intervals).unwrap_or_default(),
                capacity,
                batch,
                stuck_until: 0,
                throttled_until: 0,
                withheld_until: 0,
                paused,
                lost_at: None,
            },
        );
    }

    /// Records arrive up to now.
    pub(crate) fn put(&mut self) {
        for shard in &mut self.shards {
            if shard.closed || shard.rate <= 0.0 {
                shard.next_put = shard.next_put.max(self.now as f64);
                continue;
            }
            while shard.next_put <= self.now as f64 {
                shard.records.push(shard.next_put as Ms);
                let gap = 1_000.0 / shard.rate;
                shard.next_put += gap * (0.7 + 0.6 * self.chance.share());
            }
        }
    }

    /// Every poll that is due, in order of pods.
    pub(crate) fn polls(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        for pod in 0..self.pods.len() {
            if !self.pods[pod].alive {
                continue;
            }
            let due: Vec<usize> = self.pods[pod]
                .readers
                .iter()
                .filter(|(_, reader)| reader.next_poll <= self.now)
                .map(|(shard, _)| *shard)
                .collect();
            for shard in due {
                answers.extend(self.poll(pod, shard));
            }
        }
        answers
    }

    fn poll(&mut self, pod: usize, shard: usize) -> Option<Answer> {
        let now = self.now;
        let trimmed = self.trimmed(shard);
        let jitter = 0.85 + 0.3 * self.chance.share();
        let noise = self.chance.within(0..2 * self.plan.noise + 1) as i64 - self.plan.noise as i64;
        let records = &self.shards[shard].records;
        let reader = self.pods[pod].readers.get_mut(&shard)?;
        if let Some((_, until)) = reader.paused {
            if now < until {
                reader.next_poll = until;
                return None;
            }
            reader.paused = None;
        }
        let interval = (self.plan.interval as f64 * jitter) as Ms;
        let due = if now - reader.next_poll < 2 * STEP { reader.next_poll } else { now };
        reader.next_poll = due + interval;
        let mut answer = Answer {
            pod,
            shard,
            failed: false,
            behind: None,
            records: 0,
            newest: None,
            arrived: None,
            ended: false,
        };
        if now < reader.throttled_until {
            answer.failed = true;
            return Some(answer);
        }
        if reader.next < trimmed {
            reader.next = trimmed;
            // What had expired before it began is nobody's loss.
            if reader.reads > 0 {
                reader.lost_at = Some(now);
            }
        }
        let available = records.len() - reader.next;
        let count = available.min(reader.batch);
        answer.records = count;
        answer.newest = (count > 0).then(|| reader.next + count - 1);
        answer.arrived = answer.newest.map(|index| records[index]);
        if now >= reader.stuck_until {
            reader.next += count;
            // Who is behind works without a break.
            if available > count {
                reader.next_poll = due + (count as f64 / reader.capacity * 1_000.0 * jitter) as Ms;
            }
        }
        reader.furthest = reader.furthest.max(reader.next);
        if reader.next >= reader.furthest {
            reader.went_back_at = None;
        }
        let lag = records.get(reader.next).map_or(0, |at| now - at);
        let told = if lag == 0 { 0 } else { lag.saturating_add_signed(noise).max(1) };
        answer.behind = (now >= reader.withheld_until).then_some(told);
        if let Some(last) = reader.last_read.replace(now) {
            if reader.intervals.len() >= 16 {
                reader.intervals.pop_front();
            }
            reader.intervals.push_back(now - last);
        }
        (reader.lag_then, reader.reads) = (lag, reader.reads + 1);
        answer.ended = self.shards[shard].closed && reader.next >= records.len();
        self.shards[shard].checkpoint = reader.next;
        if answer.ended {
            self.pods[pod].readers.remove(&shard);
            self.shards[shard].drained = true;
            self.release_children(shard);
        }
        Some(answer)
    }

    /// Children are read once every parent is drained.
    fn release_children(&mut self, parent: usize) {
        let owner = self.shards[parent].owner;
        let ready: Vec<usize> = (0..self.shards.len())
            .filter(|child| {
                let shard = &self.shards[*child];
                shard.parents.contains(&parent)
                    && shard.owner.is_none()
                    && shard.parents.iter().all(|parent| self.shards[*parent].drained)
            })
            .collect();
        for child in ready {
            if let Some(owner) = owner {
                self.give(child, owner);
            }
        }
    }

    /// The stream is deleted and created anew; the applications find it and begin at its start.
    pub(crate) fn recreate(&mut self) {
        let owners: Vec<_> = self.shards.iter().map(|shard| shard.owner).collect();
        self.generation += 1;
        self.shards.clear();
        self.later.clear();
        for pod in &mut self.pods {
            pod.readers.clear();
        }
        for index in 0..self.plan.shards {
            let shard = self.shard(Vec::new());
            let alive = (0..self.pods.len()).find(|pod| self.pods[*pod].alive);
            if let Some(pod) = owners.get(index).copied().flatten().or(alive) {
                self.give(shard, pod);
            }
        }
    }
}

/// A reader that works for as long as it waits gets so much in one answer.
pub(crate) fn batch(capacity: f64, interval: Ms) -> usize {
    ((capacity * interval as f64 / 1_000.0).ceil() as usize).max(1)
}
