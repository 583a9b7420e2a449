//! Owns what is true: the status of a reader by the world's own state (who lives, where it is, what
//! is put), by the definitions of the statuses in README. Refuses to look at the engine, and to call
//! one answer right where the state itself does not decide.

use crate::plan::Ms;
use crate::world::{Pod, Reader, World};
use kinescope::domain::lag::Status;

/// The statuses that are right; all of them where the state does not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Right(u16);

impl Right {
    pub(crate) const ANY: Self = Self(u16::MAX);

    pub(crate) fn of(statuses: &[Status]) -> Self {
        Self(statuses.iter().fold(0, |all, status| all | 1 << *status as u16))
    }

    pub(crate) const fn has(self, status: Status) -> bool {
        self.0 & 1 << status as u16 != 0
    }

    /// The only one.
    pub(crate) fn single(self) -> Option<Status> {
        (self.0.count_ones() == 1)
            .then(|| Status::ALL.into_iter().find(|status| self.has(*status)))?
    }
}

impl std::ops::BitOr for Right {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Lag up to this, or two poll intervals, is near the tip.
const NEAR: Ms = 5_000;
/// Without a record for this long a shard is idle.
const IDLE: Ms = 60_000;
/// A longer pause is a stop.
const PAUSE: Ms = 30_000;
/// A replay is forgotten after this.
const REPLAY: Ms = 600_000;
/// Lag that grows by less than this holds, give or take what nobody can measure.
const HOLDS: (f64, f64) = (0.02, 0.13);

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eye {
    /// The sidecar of this pod.
    Pod(usize),
    /// The hub, told every ten seconds.
    Hub,
}

impl Eye {
    /// The time between two observations.
    pub(crate) fn interval(self, reader: &Reader, world: &World) -> Ms {
        let mut sorted: Vec<Ms> = reader.intervals.iter().copied().collect();
        sorted.sort_unstable();
        let own = sorted.get(sorted.len() / 2).copied().unwrap_or(world.plan.interval);
        match self {
            Self::Pod(_) => own,
            Self::Hub => own.max(10_000),
        }
    }

    /// From when on a verdict must be right.
    pub(crate) fn deadline(self, reader: &Reader, world: &World) -> Ms {
        (5 * self.interval(reader, world)).max(10_000)
    }
}

/// How far behind the reader is now: the age of the oldest record that it has not got.
pub(crate) fn lag(world: &World, shard: usize, reader: &Reader) -> Ms {
    world.shards[shard].records.get(reader.next).map_or(0, |at| world.now - at)
}

/// What is true of the pod's reading of the shard.
pub(crate) fn right(world: &World, eye: Eye, pod: usize, shard: usize) -> Right {
    let Some(reader) = world.pods[pod].readers.get(&shard) else { return Right::ANY };
    let owner = world.shards[shard].owner;
    if let (Eye::Pod(_), Some(owner)) = (eye, owner)
        && owner != pod
    {
        return released(world, pod, owner, shard);
    }
    if eye == Eye::Hub && world.is_past(pod) {
        return past(world, shard, reader);
    }
    if !world.pods[pod].alive {
        return dead(world, shard, reader);
    }
    if reader.next_poll == Ms::MAX {
        // Handed over, and nobody has begun.
        return Right::ANY;
    }
    if let Some((began, _)) = reader.paused
        && world.now - began > PAUSE
    {
        return dead(world, shard, reader);
    }
    if eye == Eye::Hub && world.now < reader.throttled_until {
        return Right::ANY;
    }
    alive(world, eye, shard, reader)
}

fn released(world: &World, pod: usize, owner: usize, shard: usize) -> Right {
    let reads_now = world.pods[owner].readers.get(&shard).is_some_and(|reader| reader.reads > 0);
    let told = world.plan.hears_others || world.plan.has_leases;
    let others = world.pods[pod].alive
        && world.pods[pod].readers.iter().any(|(other, reader)| {
            *other != shard && reader.next_poll != Ms::MAX && reader.paused.is_none()
        });
    match (reads_now, told, others) {
        (true, true, _) | (true, false, true) => Right::of(&[Status::Released]),
        // Nobody told this pod, and it cannot see it.
        (true, false, false) | (false, _, _) => Right::ANY,
    }
}

/// No sidecar sees who reads it. Of a shard that none ever saw read nothing can be known.
fn past(world: &World, shard: usize, reader: &Reader) -> Right {
    let sees = |pod: &Pod| pod.watched && pod.readers.get(&shard).is_some_and(|it| it.reads > 0);
    let was_seen = world.pods.iter().any(sees);
    if was_seen && reader.reads > 0 { Right::of(&[Status::Released]) } else { Right::ANY }
}

fn dead(world: &World, shard: usize, reader: &Reader) -> Right {
    if reader.reads == 0 {
        return Right::ANY;
    }
    let lag = lag(world, shard, reader);
    if lag == 0 {
        return if world.plan.sees_puts {
            Right::of(&[Status::Idle])
        } else {
            // Without a sight of the puts nobody can know that there were none.
            Right::of(&[Status::Idle, Status::Stopped])
        };
    }
    Right::of(&[if lag >= world.retention { Status::LosingData } else { Status::Stopped }])
}

fn alive(world: &World, eye: Eye, shard: usize, reader: &Reader) -> Right {
    let now = world.now;
    let interval = eye.interval(reader, world);
    let records = &world.shards[shard].records;
    let lag = lag(world, shard, reader);
    let allowed = NEAR.max(2 * interval);
    let failing = now < reader.throttled_until;
    if (failing || now < reader.withheld_until) && reader.paused.is_some() {
        return Right::ANY;
    }
    if now < reader.withheld_until {
        return Right::of(&[Status::Unknown]);
    }
    let quiet = records.last().is_none_or(|at| now - at >= IDLE);
    let near = Right::of(&[if quiet && lag == 0 { Status::Idle } else { Status::Ok }]);
    if failing {
        return match (lag, world.plan.sees_puts) {
            (0, true) => near,
            (0, false) => near | Right::of(&[Status::Stalled]),
            _ if lag <= allowed => near | Right::of(&[Status::Stalled]),
            _ => Right::of(&[Status::Stalled]),
        };
    }
    let behind = behind(world, eye, shard, reader, lag);
    // Whether it is behind is known to one observation, and what came to one that pauses, to one
    // record.
    let gap = (2_000.0 / world.plan.rate) as Ms;
    let slack = if reader.paused.is_some() { interval.max(gap) } else { interval };
    if lag.abs_diff(allowed) <= slack {
        near | behind
    } else if lag < allowed {
        near
    } else {
        behind
    }
}

fn behind(world: &World, eye: Eye, shard: usize, reader: &Reader, lag: Ms) -> Right {
    let now = world.now;
    let interval = eye.interval(reader, world);
    let deadline = eye.deadline(reader, world);
    if reader.paused.is_some() {
        return Right::of(&[Status::FallingBehind]);
    }
    if now < reader.stuck_until {
        // While calls failed nobody could see it.
        if now < reader.throttled_until + deadline {
            return Right::ANY;
        }
        let stalled = Right::of(&[Status::Stalled]);
        let close = lag + 4 * interval + deadline >= world.retention;
        return if close { stalled | Right::of(&[Status::LosingData]) } else { stalled };
    }
    let velocity = velocity(world, shard, reader, interval);
    let back = reader.went_back_at;
    let moving = if velocity > HOLDS.1 {
        Right::of(&[Status::FallingBehind])
    } else {
        // How far it was before is known to one observation.
        let once = (world.plan.rate * (2 * interval) as f64 / 1_000.0) as usize + reader.batch;
        let holds = match back {
            Some(_) if reader.furthest - reader.next <= once => {
                Right::of(&[Status::Rewound, Status::Lagging])
            }
            Some(at) if now - at < REPLAY => Right::of(&[Status::Rewound]),
            Some(_) | None => Right::of(&[Status::Lagging]),
        };
        if velocity > HOLDS.0 { holds | Right::of(&[Status::FallingBehind]) } else { holds }
    };
    let lost = reader.lost_at.is_some_and(|at| now - at <= deadline);
    if lost && velocity > -HOLDS.0 {
        return Right::of(&[Status::LosingData]);
    }
    // As good as lost, or just not any more.
    let close = lag + 4 * interval + deadline >= world.retention;
    if lost || close { moving | Right::of(&[Status::LosingData]) } else { moving }
}

/// Seconds of lag per second, by what the reader can do and what was put where it is.
fn velocity(world: &World, shard: usize, reader: &Reader, interval: Ms) -> f64 {
    let records = &world.shards[shard].records;
    // What it works off in the time of a few polls, where it is.
    let seconds = (5 * interval).max(10_000) as f64 / 1_000.0;
    let per_second = reader.batch as f64 / seconds_for_batch(world, reader);
    let count = (per_second * seconds).round().max(1.0) as usize;
    let at = |index: usize| records.get(index).copied().unwrap_or(world.now);
    let back = reader.next.saturating_sub(count);
    let forth = reader.next + count;
    if forth >= records.len() {
        return -1.0;
    }
    let stretch = (at(forth) - at(back)) as f64 / 1_000.0;
    1.0 - stretch / (seconds * (forth - back) as f64 / count as f64)
}

fn seconds_for_batch(world: &World, reader: &Reader) -> f64 {
    (reader.batch as f64 / reader.capacity).max(world.plan.interval as f64 / 1_000.0)
}
