//! Owns what is remembered of one consumer's reading of one shard, in bounded memory. Refuses to
//! judge it: `assess` does. Wall time is kept for display only; every duration is monotonic.

use super::position::Position;
use super::{Lag, ReadObservation, slope};
use crate::domain::time::{Moment, Wall};
use std::collections::VecDeque;
use std::time::Duration;

/// Most points: at one a second they cover the minute that a slope needs.
const POINTS_MAX: usize = 60;

/// No point is older than this: what a reader did before says nothing about what it does now.
const POINTS_SPAN: Duration = Duration::from_secs(600);

/// Points are at least this far apart, so that a reader that polls 5 times a second (the shard's
/// limit) does not shrink the window to 12 s.
const POINTS_APART: Duration = Duration::from_secs(1);

/// The slope looks at this many newest points: half a minute of a usual reader, so that a
/// recovery shows soon.
const SLOPE_POINTS: usize = 30;

/// Poll intervals whose median is the reader's cadence; odd outliers (a pause) don't move it.
const INTERVALS_MAX: usize = 16;

/// Silence this many times the cadence is no longer the rhythm of polling …
const SILENCE_FACTOR: u32 = 3;
/// … nor is it below this: KCL idles 1.5 s and backs off after throttling.
const SILENCE_MIN: Duration = Duration::from_secs(5);

/// A reader that is silent for so many times its cadence has stopped …
const STOP_FACTOR: u32 = 10;
/// … not before this, which a deployment's restart or a long batch may take …
const STOP_MIN: Duration = Duration::from_secs(30);
/// … and surely after this, the life of a shard iterator: it can't go on where it was.
const STOP_MAX: Duration = Duration::from_secs(300);

/// Lag up to this is not worth a word: a few polls.
pub(super) const LAG_ALLOWED: Duration = Duration::from_secs(5);

/// One lag as it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    at: Duration,
    lag: Duration,
}

/// How long reads have been behind without a newer record.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    since: Duration,
    reads: u64,
}

/// One consumer's reading of one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    read_at: Moment,
    reads: u64,
    intervals: VecDeque<Duration>,
    points: VecDeque<Point>,
    /// The newest lag that was told; an answer without one leaves it.
    known: Option<Point>,
    position: Option<Position>,
    /// The newest place before the reader went back, and when it did; until it is there again.
    rewound: Option<(Position, Duration)>,
    held: Held,
    /// Whether the newest answer held records.
    held_records: bool,
    /// When a record last came, or the first read.
    record_at: Duration,
}

impl Window {
    /// A window that begins with its first observation.
    #[must_use]
    pub fn new(first: &ReadObservation) -> Self {
        let at = first.at.mono;
        let mut window = Self {
            read_at: first.at,
            reads: 0,
            intervals: VecDeque::new(),
            points: VecDeque::new(),
            known: None,
            position: None,
            rewound: None,
            held: Held { since: at, reads: 0 },
            held_records: false,
            record_at: at,
        };
        window.observe(first);
        window
    }

    /// Takes an answered read in. One that was overtaken by a newer one is left out: its lag is
    /// older than what is known.
    pub fn observe(&mut self, observation: &ReadObservation) {
        let at = observation.at.mono;
        if at < self.read_at.mono {
            return;
        }
        if self.reads > 0 {
            push_bounded(&mut self.intervals, at - self.read_at.mono, INTERVALS_MAX);
        }
        self.read_at = observation.at;
        self.reads = self.reads.saturating_add(1);
        let moved = self.place(observation);
        if let Some(lag) = observation.behind {
            self.add_point(Point { at, lag });
        }
        self.held_records = observation.records > 0;
        let near = observation.behind.is_some_and(|lag| lag <= LAG_ALLOWED);
        if moved || near {
            self.held = Held { since: at, reads: 0 };
        } else {
            self.held.reads = self.held.reads.saturating_add(1);
        }
    }

    /// Takes the newest record's place in; says whether the reader may have moved.
    fn place(&mut self, observation: &ReadObservation) -> bool {
        let at = observation.at.mono;
        self.rewound.take_if(|(_, since)| at.saturating_sub(*since) > POINTS_SPAN);
        if observation.records == 0 {
            // At the tip there is nothing left to get back to.
            self.rewound.take_if(|_| observation.behind == Some(Duration::ZERO));
            return false;
        }
        self.record_at = at;
        let Some(new) = Position::of(observation) else { return true };
        let moved = self.position.as_ref() != Some(&new);
        if let Some(old) = self.position.take().filter(|old| new.is_before(old)) {
            // The lag's jump is the rewind's, not the reader's speed.
            self.points.clear();
            let mark = self.rewound.take().map(|(mark, _)| mark);
            let furthest = mark.filter(|mark| old.is_before(mark)).unwrap_or(old);
            self.rewound = Some((furthest, at));
        }
        let at_tip = observation.behind == Some(Duration::ZERO);
        self.rewound.take_if(|(mark, _)| at_tip || !new.is_before(mark));
        self.position = Some(new);
        moved
    }

    fn add_point(&mut self, point: Point) {
        self.known = Some(point);
        let crowded = self
            .points
            .iter()
            .nth_back(1)
            .zip(self.points.back())
            .is_some_and(|(before, last)| last.at.saturating_sub(before.at) < POINTS_APART);
        if crowded {
            self.points.pop_back();
        }
        push_bounded(&mut self.points, point, POINTS_MAX);
        while self.points.front().is_some_and(|old| point.at.saturating_sub(old.at) > POINTS_SPAN) {
            self.points.pop_front();
        }
    }

    /// When the shard was last read, in monotonic time.
    #[must_use]
    pub fn read_at(&self) -> Duration {
        self.read_at.mono
    }

    /// When the shard was last read, for display.
    #[must_use]
    pub fn read_at_wall(&self) -> Wall {
        self.read_at.wall
    }

    /// Answered reads, those without a lag too.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// Time since the last answered read.
    #[must_use]
    pub fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.read_at.mono)
    }

    /// The median time between answers; `None` before the second.
    fn cadence(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.intervals.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Silence up to this is the reader's rhythm.
    pub(super) fn silence_allowed(&self) -> Duration {
        self.cadence()
            .map_or(SILENCE_MIN, |cadence| cadence.saturating_mul(SILENCE_FACTOR).max(SILENCE_MIN))
    }

    /// Silence beyond this is a stop. With one read there is no rhythm to miss yet, so that the
    /// longest wait applies.
    pub(super) fn stop_after(&self) -> Duration {
        self.cadence().map_or(STOP_MAX, |cadence| {
            cadence.saturating_mul(STOP_FACTOR).clamp(STOP_MIN, STOP_MAX)
        })
    }

    /// The lag at `now`. What was behind the cursor is still behind it, so that a lag grows with
    /// time; at the tip nothing need have come, so that zero holds for as long as the reader's
    /// rhythm does and then the silence itself is the most that the lag can be.
    pub(super) fn lag(&self, now: Duration) -> Option<Lag> {
        let known = self.known?;
        let age = now.saturating_sub(known.at);
        let inferred = age > self.silence_allowed();
        let at_tip = known.lag.is_zero() && !inferred;
        let value = if at_tip { Duration::ZERO } else { known.lag.saturating_add(age) };
        Some(Lag { value, inferred })
    }

    /// Seconds of lag per second: exactly +1 once the lag is inferred, else the slope.
    pub(super) fn velocity(&self, now: Duration) -> Option<f64> {
        if self.lag(now)?.inferred {
            return Some(1.0);
        }
        let skip = self.points.len().saturating_sub(SLOPE_POINTS).max(self.recovered());
        slope::velocity(self.points.range(skip..).map(|point| (point.at, point.lag)))
    }

    /// The point at which the reader last came near the tip from far behind, in one leap: the climb
    /// before it says nothing of what comes.
    fn recovered(&self) -> usize {
        let leaps = self.points.iter().zip(self.points.iter().skip(1));
        let leap = leaps
            .rev()
            .position(|(before, after)| before.lag > LAG_ALLOWED && after.lag <= LAG_ALLOWED);
        leap.map_or(0, |from_end| self.points.len().saturating_sub(from_end + 1))
    }

    /// How long ago the reader went back, if it is not there again and the window still knows.
    pub(super) fn rewound_for(&self, now: Duration) -> Option<Duration> {
        let (_, at) = self.rewound.as_ref()?;
        Some(now.saturating_sub(*at)).filter(|ago| *ago <= POINTS_SPAN)
    }

    /// For how long, and through how many reads, the reader is behind and got no newer record.
    pub(super) fn held_for(&self) -> (Duration, u64) {
        (self.read_at.mono.saturating_sub(self.held.since), self.held.reads)
    }

    /// Whether the newest answer held records.
    pub(super) fn newest_held_records(&self) -> bool {
        self.held_records
    }

    /// Time since a record came, or since the first read.
    pub(super) fn recordless(&self, now: Duration) -> Duration {
        now.saturating_sub(self.record_at)
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        let oldest = self.points.front().map_or(self.read_at.mono, |point| point.at);
        self.points.len() <= POINTS_MAX
            && self.intervals.len() <= INTERVALS_MAX
            && self.known.is_none_or(|known| known.at.saturating_sub(oldest) <= POINTS_SPAN)
    }
}

/// The oldest leaves when a newcomer would pass the bound.
fn push_bounded<T>(queue: &mut VecDeque<T>, newcomer: T, max: usize) {
    if queue.len() >= max {
        queue.pop_front();
    }
    queue.push_back(newcomer);
}
