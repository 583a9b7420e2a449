//! Owns what is remembered of one consumer's reading of one shard, in bounded memory. Refuses to
//! judge it: `assess` does. Wall time is kept for display only; every duration is monotonic.

use super::position::{self, Position};
use super::rhythm::Rhythm;
use super::seen_lease::SeenLease;
use super::slope::{POINTS_SPAN, Point, Slope, Trend};
use super::{Checkpoint, FailureKind, Lag, Lease, ReadFailure, ReadObservation, Tip, Tuning};
use crate::domain::stream::SequenceNumber;
use crate::domain::time::{Moment, Wall};
use std::time::Duration;

/// How long reads have been behind without a newer record.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    since: Duration,
    reads: u64,
}

/// Calls that failed since the last that was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Failing {
    pub(super) since: Duration,
    pub(super) calls: u64,
    pub(super) kind: FailureKind,
}

/// One consumer's reading of one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    read_at: Moment,
    /// The last call, answered or not.
    called_at: Duration,
    reads: u64,
    rhythm: Rhythm,
    trend: Trend,
    /// The newest lag that was told; an answer without one leaves it.
    known: Option<Point>,
    position: Option<Position>,
    /// Where the newest answer with records began.
    began: Option<SequenceNumber>,
    /// The newest place before the reader went back, and when it did; until it is there again.
    /// Boxed, as the lease: most readers have none, and there are ten thousand.
    rewound: Option<Box<(Position, Duration)>>,
    held: Held,
    /// Whether the newest answer held records.
    held_records: bool,
    first_at: Duration,
    /// When the newest record arrived, as far as that is known, and what Kinesis said of it.
    arrived: Option<(Duration, Option<Wall>)>,
    failing: Option<Failing>,
    /// When the oldest record that is surely unread arrived, where a put of it was seen.
    unread_since: Option<Duration>,
    /// Until when nothing is unread, where every put of the stream is seen.
    nothing_until: Option<Duration>,
    /// When the newest put arrived, and as of when that is known, where every put is seen.
    newest_put: Option<(Wall, Duration)>,
    /// When another sidecar last saw its own reader read the shard.
    elsewhere_at: Option<Duration>,
    lease: Option<Box<SeenLease>>,
}

impl Window {
    /// A window that begins with its first observation.
    #[must_use]
    pub fn new(first: &ReadObservation, tuning: &Tuning) -> Self {
        let mut window = Self::unread(first.at);
        window.observe(first, tuning);
        window
    }

    /// A window of a shard that nobody has read yet: known by its lease, or from before the stream
    /// was created anew.
    #[must_use]
    pub fn unread(now: Moment) -> Self {
        let at = now.mono;
        Self {
            read_at: now,
            called_at: at,
            reads: 0,
            rhythm: Rhythm::default(),
            trend: Trend::default(),
            known: None,
            position: None,
            began: None,
            rewound: None,
            held: Held { since: at, reads: 0 },
            held_records: false,
            first_at: at,
            arrived: None,
            failing: None,
            unread_since: None,
            nothing_until: None,
            newest_put: None,
            elsewhere_at: None,
            lease: None,
        }
    }

    /// Takes an answered read in. One that was overtaken by a newer one is left out: its lag is
    /// older than what is known.
    pub fn observe(&mut self, observation: &ReadObservation, tuning: &Tuning) {
        let at = observation.at.mono;
        if at < self.read_at.mono {
            return;
        }
        if self.reads > 0 {
            self.rhythm.add(at - self.read_at.mono);
        } else {
            (self.held.since, self.first_at) = (at, at);
        }
        self.read_at = observation.at;
        self.called_at = self.called_at.max(at);
        self.reads = self.reads.saturating_add(1);
        self.failing = None;
        self.unread_since.take_if(|since| *since <= at);
        self.nothing_until = None;
        self.keep_lease(at, tuning);
        let moved = self.place(observation, tuning);
        if let Some(lag) = observation.behind {
            self.add_point(Point { at, lag }, tuning);
        }
        if let Some(seen) = &mut self.lease
            && let (Some(lag), Some(newest)) = (observation.behind, &observation.newest_sequence)
        {
            seen.marks.add(newest, at, lag);
        }
        self.held_records = observation.records > 0;
        let near = observation.behind.is_some_and(|lag| lag <= self.rhythm.lag_allowed(tuning));
        if moved || near {
            self.held = Held { since: at, reads: 0 };
        } else {
            self.held.reads = self.held.reads.saturating_add(1);
        }
    }

    /// Takes a call in that was not answered with records.
    pub fn fail(&mut self, failure: &ReadFailure) {
        let at = failure.at.mono;
        if at < self.read_at.mono {
            return;
        }
        self.called_at = self.called_at.max(at);
        let failing =
            self.failing.get_or_insert(Failing { since: at, calls: 0, kind: failure.kind });
        failing.calls = failing.calls.saturating_add(1);
        failing.kind = failure.kind;
    }

    /// Takes in what is known of the shard's newest record.
    pub fn see_tip(&mut self, tip: &Tip) {
        let put = tip.newest.filter(|_| tip.complete);
        self.newest_put = put.map(|newest| (newest.wall, tip.as_of.mono));
        let unread = tip.newest.filter(|newest| newest.mono > self.read_at.mono);
        match unread {
            Some(newest) => {
                self.unread_since.get_or_insert(newest.mono);
                self.nothing_until = None;
            }
            None if tip.complete && self.unread_since.is_none() => {
                self.nothing_until = Some(tip.as_of.mono);
            }
            None => {}
        }
    }

    /// Takes in that another sidecar saw its own reader of this consumer read the shard.
    pub fn see_elsewhere(&mut self, at: Moment) {
        self.elsewhere_at = self.elsewhere_at.max(Some(at.mono));
    }

    /// Takes in what the lease table says.
    pub fn see_lease(&mut self, lease: &Lease) {
        match &mut self.lease {
            Some(seen) => seen.see(lease),
            None => self.lease = Some(Box::new(SeenLease::new(lease))),
        }
    }

    /// The stream was created anew under its name: no place in the old one means anything.
    pub fn recreate(&mut self) {
        *self = Self::unread(self.read_at);
    }

    /// A reader that reads on after its lease has changed hands has it.
    fn keep_lease(&mut self, at: Duration, tuning: &Tuning) {
        let allowed = self.rhythm.silence_allowed(tuning);
        if let Some(seen) = &mut self.lease {
            seen.owner_changed_at.take_if(|changed| at.saturating_sub(*changed) > allowed);
        }
    }

    /// Takes the newest record's place in; says whether the reader may have moved.
    fn place(&mut self, observation: &ReadObservation, tuning: &Tuning) -> bool {
        let at = observation.at.mono;
        let life = tuning.rewind_life;
        self.rewound.take_if(|it| at.saturating_sub(it.1) > life);
        if observation.records == 0 {
            // At the tip there is nothing left to get back to.
            self.rewound.take_if(|_| observation.behind == Some(Duration::ZERO));
            return false;
        }
        let Some(new) = Position::of(observation) else {
            self.see_arrival(observation);
            return true;
        };
        // The same answer again, or more of the same: the reader uses its iterator anew.
        let began = observation.oldest_sequence.clone();
        if began.is_some() && began == self.began {
            return false;
        }
        self.began = began;
        let moved = self.position.as_ref() != Some(&new);
        if moved && self.position.as_ref().is_none_or(|old| !new.is_before(old)) {
            self.see_arrival(observation);
        }
        if let Some(old) = self.position.take().filter(|old| new.is_before(old)) {
            // The lag's jump is the rewind's, not the reader's speed.
            self.trend.clear();
            let mark = self.rewound.take().map(|it| it.0);
            let furthest = mark.filter(|mark| old.is_before(mark)).unwrap_or(old);
            self.rewound = Some(Box::new((furthest, at)));
        }
        let at_tip = observation.behind == Some(Duration::ZERO);
        self.rewound.take_if(|it| at_tip || !new.is_before(&it.0));
        self.position = Some(new);
        moved
    }

    /// When the newest record arrived: before the answer by its lag. One that was the last to be had
    /// arrived after the cursor before it, by as much as Kinesis says of both; of the first read
    /// nothing is known.
    fn see_arrival(&mut self, observation: &ReadObservation) {
        let at = observation.at.mono;
        let told = observation.newest_arrival;
        let arrived = match (observation.behind, self.known) {
            (Some(Duration::ZERO), Some(before)) => {
                let later = self.arrived.and_then(|(old, said)| Some((old, told?.since(said?))));
                let cursor = before.at.saturating_sub(before.lag);
                let unsaid = if before.lag.is_zero() { at } else { cursor };
                Some(later.map_or(unsaid, |(old, by)| old.saturating_add(by)).clamp(cursor, at))
            }
            (Some(Duration::ZERO), None) => None,
            (Some(lag), _) => Some(at.saturating_sub(lag)),
            (None, _) => Some(at),
        };
        if let Some(arrived) = arrived {
            self.arrived = Some((arrived, told));
        }
    }

    fn add_point(&mut self, point: Point, tuning: &Tuning) {
        self.known = Some(point);
        // Near the tip from far behind in one leap: the climb before it says nothing of what comes.
        let allowed = self.rhythm.lag_allowed(tuning);
        if point.lag <= allowed && self.trend.newest().is_some_and(|before| before > allowed) {
            self.trend.clear();
        }
        self.trend.add(point);
    }

    /// When the shard was last read, in monotonic time.
    #[must_use]
    pub const fn read_at(&self) -> Duration {
        self.read_at.mono
    }

    /// When the shard was last read, for display.
    #[must_use]
    pub const fn read_at_wall(&self) -> Wall {
        self.read_at.wall
    }

    /// When a call last came, answered or not, in monotonic time.
    #[must_use]
    pub const fn called_at(&self) -> Duration {
        self.called_at
    }

    /// Answered reads, those without a lag too.
    pub(super) const fn reads(&self) -> u64 {
        self.reads
    }

    /// Time since the last call. A call that fails is no silence.
    #[must_use]
    pub const fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.called_at)
    }

    /// Silence up to this is the reader's rhythm.
    #[must_use]
    pub fn silence_allowed(&self, tuning: &Tuning) -> Duration {
        self.rhythm.silence_allowed(tuning)
    }

    pub(super) const fn rhythm(&self) -> &Rhythm {
        &self.rhythm
    }

    pub(super) const fn failing(&self) -> Option<Failing> {
        self.failing
    }

    /// What became of the newest call, where it and those before it were not answered.
    #[must_use]
    pub fn fails_by(&self) -> Option<FailureKind> {
        self.failing.map(|failing| failing.kind)
    }

    pub(super) fn lease(&self) -> Option<&SeenLease> {
        self.lease.as_deref()
    }

    /// Whether the lease's checkpoint is beyond all that was ever delivered here: then somebody
    /// else was given it.
    pub(super) fn is_outdone(&self) -> bool {
        let done = self.lease().map(|seen| &seen.lease.checkpoint);
        let Some(Checkpoint::At(done)) = done else { return false };
        let furthest = self.rewound.as_ref().map(|it| &it.0).or(self.position.as_ref());
        let newest = furthest.and_then(Position::sequence);
        newest.is_some_and(|newest| position::is_before(newest, done))
    }

    /// Whether the worker that took over the shard of the other window is seen at work on this one.
    #[must_use]
    pub fn is_read_by_taker_of(&self, other: &Self) -> bool {
        let (Some(own), Some(taken)) = (self.lease(), other.lease()) else { return false };
        let reads_on = own.owner_changed_at.is_none()
            && taken.owner_changed_at.is_some_and(|at| at < self.read_at.mono);
        reads_on && own.lease.owner == taken.lease.owner
    }

    /// Whether its lease has changed hands, and nobody was seen to read it on.
    #[must_use]
    pub fn is_taken_over(&self) -> bool {
        self.lease().is_some_and(|seen| seen.owner_changed_at.is_some())
    }

    /// When the oldest record arrived that is surely unread, where a put of it was seen.
    pub(super) const fn unread_since(&self) -> Option<Duration> {
        self.unread_since
    }

    /// The newest record that was delivered.
    pub(super) fn newest(&self) -> Option<&SequenceNumber> {
        self.position.as_ref().and_then(Position::sequence)
    }

    /// When the shard's newest record arrived, where every put of the stream is seen.
    pub(super) fn newest_put(&self, now: Duration, tuning: &Tuning) -> Option<Wall> {
        let (newest, as_of) = self.newest_put?;
        (now.saturating_sub(as_of) <= tuning.tip_life).then_some(newest)
    }

    /// When somebody else was last seen to read the shard.
    pub(super) const fn elsewhere_at(&self) -> Option<Duration> {
        self.elsewhere_at
    }

    /// Whether surely nothing is unread: the reader was at the tip, and every put of the stream is
    /// seen, and there was none since.
    pub(super) fn is_at_tip(&self, now: Duration, tuning: &Tuning) -> bool {
        let fresh = |until: Duration| now.saturating_sub(until) <= tuning.tip_life;
        self.was_at_tip() && self.nothing_until.is_some_and(fresh)
    }

    /// Whether the newest answer said that nothing was left.
    pub(super) fn was_at_tip(&self) -> bool {
        self.known.is_some_and(|known| known.lag.is_zero() && known.at == self.read_at.mono)
    }

    /// The lag at `now`. What was behind the cursor is still behind it, so that a lag grows with
    /// time. At the tip nothing need have come: zero holds for as long as the reader's rhythm does.
    /// Then it is as old as the first put that was seen; or, where records used to come, as the
    /// silence; else it is not known.
    pub(super) fn lag(&self, now: Duration, tuning: &Tuning) -> Option<Lag> {
        self.lag_within(self.rhythm.silence_allowed(tuning), now, tuning)
    }

    /// As [`Window::lag`], with the silence that is the reader's rhythm worked out.
    pub(super) fn lag_within(
        &self,
        allowed: Duration,
        now: Duration,
        tuning: &Tuning,
    ) -> Option<Lag> {
        let known = self.known?;
        // Reads go on, and their answers tell no lag: one may be missing, but not all.
        let untold = self.read_at.mono.saturating_sub(known.at);
        if untold > allowed {
            return None;
        }
        let age = now.saturating_sub(self.read_at.mono);
        let inferred = age > allowed || !untold.is_zero();
        let value = if !known.lag.is_zero() {
            known.lag.saturating_add(age)
        } else if age <= allowed {
            Duration::ZERO
        } else if let Some(since) = self.unread_since {
            now.saturating_sub(since)
        } else if self.is_at_tip(now, tuning) {
            Duration::ZERO
        } else if self.came_of_late(tuning) {
            age
        } else {
            return None;
        };
        Some(Lag { value, inferred })
    }

    /// Whether records came up to the last read, so that others probably came after it.
    fn came_of_late(&self, tuning: &Tuning) -> bool {
        let arrived = self.arrived.map(|(at, _)| self.read_at.mono.saturating_sub(at));
        arrived.is_some_and(|ago| ago <= tuning.idle_after)
    }

    /// Seconds of lag per second: exactly +1 once the lag is inferred, else the slope.
    #[cfg(test)]
    pub(super) fn slope(&self, now: Duration, tuning: &Tuning) -> Option<Slope> {
        let allowed = self.rhythm.silence_allowed(tuning);
        self.slope_within((self.lag_within(allowed, now, tuning), allowed), now, tuning)
    }

    /// Of a lag and a silence that are worked out.
    pub(super) fn slope_within(
        &self,
        (lag, allowed): (Option<Lag>, Duration),
        now: Duration,
        tuning: &Tuning,
    ) -> Option<Slope> {
        let lag = lag?;
        if self.read_at.mono.saturating_add(allowed) < now {
            return (!lag.value.is_zero()).then_some(Slope::SILENT);
        }
        let span = self.rhythm.times(tuning.slope_polls).max(tuning.slope_span);
        self.trend.slope(span.min(POINTS_SPAN), tuning)
    }

    /// How long ago the reader went back, if it is not there again and that is still remembered.
    pub(super) fn rewound_for(&self, now: Duration, tuning: &Tuning) -> Option<Duration> {
        let at = self.rewound.as_ref()?.1;
        Some(now.saturating_sub(at)).filter(|ago| *ago <= tuning.rewind_life)
    }

    /// For how long, and through how many reads, the reader is behind and got no newer record.
    pub(super) const fn held_for(&self) -> (Duration, u64) {
        (self.read_at.mono.saturating_sub(self.held.since), self.held.reads)
    }

    /// Whether the newest answer held records.
    pub(super) const fn newest_held_records(&self) -> bool {
        self.held_records
    }

    /// Time since the newest record arrived, or since the first read.
    pub(super) fn recordless(&self, now: Duration) -> Duration {
        now.saturating_sub(self.arrived.map_or(self.first_at, |(at, _)| at))
    }

    /// Whether nothing arrives.
    pub(super) fn is_quiet(&self, now: Duration, tuning: &Tuning) -> bool {
        let first = tuning.idle_first.max(self.rhythm.silence_allowed(tuning));
        // The last arrival is known to one poll.
        let after = tuning.idle_after.saturating_add(self.rhythm.times(1));
        let limit = if self.arrived.is_some() { after } else { first };
        self.recordless(now) > limit
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        self.trend.is_bounded() && self.lease().is_none_or(|seen| seen.marks.is_bounded())
    }
}
