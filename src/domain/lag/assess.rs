//! Owns the rules that make a verdict out of a window: the order of `Rule`, the first that holds
//! decides. Refuses to guess: where nothing is known, that is the verdict. `words` says it.

use super::presence::Presence;
use super::slope::Slope;
use super::window::Window;
use super::{Lag, Rule, Tuning};
use std::time::Duration;

/// A lease or a connection must have been lost for so long: an event of it may overtake those of
/// the last reads.
const OVERTAKEN: Duration = Duration::from_secs(2);

/// With fewer reads there is no rhythm and no direction.
const READS_MIN: u64 = 3;

/// Calls that fail may be so many before they are more than throttling.
const FAILED_MIN: u64 = 3;

/// Whose reads a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// One process's: what it gave up, another may have.
    #[default]
    Pod,
    /// All of a service's: what nobody reads, nobody has.
    Fleet,
}

/// What the window alone cannot know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Circumstances<'a> {
    /// Whose reads the window holds.
    pub view: View,
    /// When the consumer last called for any shard of the stream, in monotonic time …
    pub consumer_called_at: Duration,
    /// … and since when it does so without a longer silence.
    pub consumer_calls_since: Duration,
    /// The stream's retention, once described.
    pub retention: Option<Duration>,
    /// The consumer's connections, where they are watched.
    pub presence: Option<&'a Presence>,
    /// The shard has a parent that the consumer still reads.
    pub has_unfinished_parent: bool,
    /// Of a fleet's shard whose lease another worker took: that worker is seen to read others, so
    /// that a sidecar would see it read this one.
    pub taker_is_seen: bool,
    /// The figures of the rules.
    pub tuning: &'a Tuning,
}

/// A verdict before it is put into words: cheap, so that it can be had of every shard every second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// The rule that decided.
    pub rule: Rule,
    /// Delivery lag.
    pub lag: Option<Lag>,
    pub(super) slope: Option<Slope>,
    pub(super) silence: Duration,
    pub(super) cadence: Option<Duration>,
    pub(super) stop_after: Duration,
    pub(super) lag_allowed: Duration,
    pub(super) retention: Option<Duration>,
    /// Since when the other reader of rule 2, the closed connections of rule 7 or the unmoved lease
    /// of rule 8 are.
    pub(super) since: Option<Duration>,
    pub(super) now: Duration,
}

/// What the rules go by, all as of one moment.
struct Facts<'a> {
    window: &'a Window,
    around: Circumstances<'a>,
    tuning: &'a Tuning,
    now: Duration,
    lag: Option<Lag>,
    slope: Option<Slope>,
    silence: Duration,
    silence_allowed: Duration,
    stop_after: Duration,
    lag_allowed: Duration,
}

/// The verdict on one shard at `now` (monotonic).
#[must_use]
pub fn judge(window: &Window, around: Circumstances<'_>, now: Duration) -> Judgement {
    let tuning = around.tuning;
    let rhythm = window.rhythm();
    let silence_allowed = rhythm.silence_allowed(tuning);
    let lag = window.lag_within(silence_allowed, now, tuning);
    let facts = Facts {
        window,
        around,
        tuning,
        now,
        lag,
        slope: window.slope_within((lag, silence_allowed), now, tuning),
        silence: window.silence(now),
        silence_allowed,
        stop_after: rhythm.stop_after(tuning),
        lag_allowed: rhythm.lag_allowed(tuning),
    };
    let (rule, since) = facts.decide();
    // What is read by somebody else has no lag that we could know; of what was never read, neither.
    let ours = !matches!(rule, Rule::NotRead | Rule::HeldElsewhere | Rule::LeftForOthers);
    Judgement {
        rule,
        lag: facts.lag.filter(|_| ours),
        slope: facts.slope.filter(|_| ours),
        silence: facts.silence,
        cadence: rhythm.cadence(),
        stop_after: facts.stop_after,
        lag_allowed: facts.lag_allowed,
        retention: facts.retention(),
        since,
        now,
    }
}

impl Facts<'_> {
    fn on(&self, rule: Rule) -> bool {
        self.tuning.without != Some(rule)
    }

    fn retention(&self) -> Option<Duration> {
        self.around.retention.filter(|retention| !retention.is_zero())
    }

    /// The rule that holds, and since when what it goes by is so.
    fn decide(&self) -> (Rule, Option<Duration>) {
        if self.on(Rule::NotRead) && self.window.reads() == 0 {
            return match self.lease_unmoved() {
                Some(since) => (Rule::LeaseExpired, Some(since)),
                None if self.fails() => (Rule::ReadsFail, None),
                None => (Rule::NotRead, None),
            };
        }
        if let Some(decided) = self.released() {
            return decided;
        }
        if let Some((stopped, since)) = self.stopped() {
            if let Some(since) = self.read_past() {
                return (Rule::HeldElsewhere, Some(since));
            }
            return match self.excused() {
                Some(rule) => (rule, None),
                None if self.is_expired() => (Rule::ExpiredUnread, Some(self.window.called_at())),
                None => (stopped, since),
            };
        }
        (self.reads(), None)
    }

    /// 2. and 3. Of one process: what a fleet gave up nobody has, unless `read_past` says so.
    fn released(&self) -> Option<(Rule, Option<Duration>)> {
        if self.around.view == View::Fleet || self.silence <= self.silence_allowed {
            return None;
        }
        let read_at = self.window.read_at();
        let seen = self.window.elsewhere_at().filter(|at| *at > read_at);
        let leased = self.window.lease().and_then(|seen| seen.owner_changed_at);
        if let Some(since) = seen.or(leased).filter(|_| self.on(Rule::HeldElsewhere)) {
            return Some((Rule::HeldElsewhere, Some(since)));
        }
        // A process that wakes up reads one shard before the others.
        let since = self.window.called_at().max(self.around.consumer_calls_since);
        let left = self.around.consumer_called_at.saturating_sub(since);
        let waits = self.around.has_unfinished_parent && self.on(Rule::WaitsForParent);
        (left > self.stop_after && self.on(Rule::LeftForOthers) && !waits)
            .then_some((Rule::LeftForOthers, None))
    }

    /// 7. to 9. Whether nobody reads any more, and how that is known.
    fn stopped(&self) -> Option<(Rule, Option<Duration>)> {
        if self.silence <= self.silence_allowed {
            return None;
        }
        let gone = self.around.presence.and_then(Presence::gone_since);
        // With too few reads it is not known whether the reader closes them by habit.
        let knows = self.window.reads() >= READS_MIN;
        let gone = gone.filter(|at| knows && self.now.saturating_sub(*at) > OVERTAKEN);
        if gone.is_some() && self.on(Rule::Disconnected) {
            return Some((Rule::Disconnected, gone));
        }
        if let Some(since) = self.lease_unmoved() {
            return Some((Rule::LeaseExpired, Some(since)));
        }
        // A process that reads another shard on lives.
        let silence = match self.around.view {
            View::Pod => self.now.saturating_sub(self.around.consumer_called_at).min(self.silence),
            View::Fleet => self.silence,
        };
        (silence > self.stop_after && self.on(Rule::Silent)).then_some((Rule::Silent, None))
    }

    fn lease_unmoved(&self) -> Option<Duration> {
        let seen = self.window.lease()?;
        let expired = seen.is_expired(self.now, self.tuning) == Some(true);
        (expired && self.on(Rule::LeaseExpired)).then_some(seen.moved_at)
    }

    /// Rule 2, of a fleet that stopped reading the shard: since when somebody does whom no sidecar sees.
    /// Its lease is renewed, and its checkpoint went beyond all that was delivered here; or a worker
    /// took it after the last read, and no sidecar sees that worker read anything. A lease whose
    /// work does not go on while records wait is no reader.
    fn read_past(&self) -> Option<Duration> {
        let seen = self.window.lease().filter(|_| self.around.view == View::Fleet)?;
        let renewed = seen.is_expired(self.now, self.tuning) == Some(false);
        if !renewed || seen.lease.owner.is_none() || !self.on(Rule::HeldElsewhere) {
            return None;
        }
        let is_later = self.window.read_at() < seen.owner_before_at;
        let taken = seen.owner_changed_at.filter(|_| is_later && !self.around.taker_is_seen);
        let outdone = self.window.is_outdone().then_some(seen.checkpoint_moved_at);
        let since = outdone.or(taken)?;
        let idle = self.now.saturating_sub(since.max(seen.checkpoint_moved_at));
        (self.window.unread_since().is_none() || idle <= self.tuning.stop_max).then_some(since)
    }

    /// 4. and 5. Silence that harms nobody.
    fn excused(&self) -> Option<Rule> {
        if self.on(Rule::NothingUnread) && self.window.is_at_tip(self.now, self.tuning) {
            return Some(Rule::NothingUnread);
        }
        self.waits().then_some(Rule::WaitsForParent)
    }

    /// Whether the shard's turn has not come: its consumer still reads the parent.
    fn waits(&self) -> bool {
        let alive = self.now.saturating_sub(self.around.consumer_called_at) <= self.stop_after;
        self.around.has_unfinished_parent && alive && self.on(Rule::WaitsForParent)
    }

    /// 6. Records went unread while nobody read.
    fn is_expired(&self) -> bool {
        let expired = self.lag.zip(self.retention()).is_some_and(|(lag, keeps)| lag.value >= keeps);
        expired && self.on(Rule::ExpiredUnread)
    }

    /// 10. Nothing but failures, for as long as a stall takes.
    fn fails(&self) -> bool {
        let fails = self.window.failing().is_some_and(|failing| {
            let over = self.now.saturating_sub(failing.since);
            failing.calls >= FAILED_MIN && over >= self.tuning.stall_span
        });
        fails && self.on(Rule::ReadsFail)
    }

    /// 10. to 20. Of a reader that is there.
    fn reads(&self) -> Rule {
        let window = self.window;
        if self.fails() && !window.is_at_tip(self.now, self.tuning) {
            return Rule::ReadsFail;
        }
        let knows = window.reads() >= READS_MIN;
        let idle = window.is_quiet(self.now, self.tuning) && self.on(Rule::NothingArrives);
        match self.lag {
            // Silent for a moment, at the tip of a shard where nothing came before.
            None if idle && self.silence > self.silence_allowed && knows => Rule::NothingArrives,
            None if self.on(Rule::LagUnknown) => Rule::LagUnknown,
            Some(lag) if lag.value > self.lag_allowed => self.behind(lag),
            Some(lag) if idle && lag.value.is_zero() => Rule::NothingArrives,
            None | Some(_) => Rule::NearTheTip,
        }
    }

    /// 12. to 18. Of one that is further behind than it should be.
    fn behind(&self, lag: Lag) -> Rule {
        let window = self.window;
        let velocity = self.slope.map(|slope| slope.velocity);
        let grows = velocity.is_some_and(|velocity| velocity > self.tuning.dead_band);
        let reads_on = self.silence <= self.silence_allowed;

        // A reader that leaves the limit behind, as after a start at the oldest record, loses
        // nothing that it had; and before three reads nobody knows. One that is pushed along by
        // the limit goes back and forth a little.
        let leaves = velocity.is_none_or(|velocity| velocity < -5.0 * self.tuning.dead_band);
        let at_limit = self.retention().is_some_and(|keeps| {
            let one_poll = window.rhythm().times(2).max(Duration::from_secs(1));
            lag.value.saturating_add(one_poll) >= keeps
        });
        if at_limit && reads_on && !leaves && self.on(Rule::AtTheLimit) {
            return Rule::AtTheLimit;
        }

        // Kinesis answers an empty stretch of a shard with empty answers while the cursor moves
        // through it: then the lag holds or shrinks.
        let (held_for, held_reads) = window.held_for();
        let holds_still = window.newest_held_records() || grows || velocity.is_none();
        let stalled = held_reads >= self.tuning.stall_reads && held_for >= self.tuning.stall_span;
        if reads_on && holds_still && stalled && self.on(Rule::HoldsStill) {
            return Rule::HoldsStill;
        }
        if !reads_on && self.waits() {
            return Rule::WaitsForParent;
        }
        if !reads_on && self.on(Rule::GrowsUnread) {
            return Rule::GrowsUnread;
        }
        if grows && self.on(Rule::Grows) {
            return Rule::Grows;
        }
        if window.rewound_for(self.now, self.tuning).is_some() && self.on(Rule::WentBack) {
            return Rule::WentBack;
        }
        if velocity.is_none() && self.on(Rule::FirstReads) {
            return Rule::FirstReads;
        }
        Rule::Behind
    }
}

impl Judgement {
    /// Seconds of lag per second.
    #[must_use]
    pub fn velocity(&self) -> Option<f64> {
        self.slope.map(|slope| slope.velocity)
    }

    /// Time until the lag is gone; only while it plainly shrinks.
    pub(super) fn catch_up(&self, dead_band: f64) -> Option<Duration> {
        let lag = self.lag?.value.as_secs_f64();
        let speed = -self.velocity().filter(|velocity| *velocity < -dead_band)?;
        (lag > 0.0).then(|| Duration::try_from_secs_f64(lag / speed).ok())?
    }

    /// Time until records expire unread; only while the lag plainly grows. An increased retention
    /// counts at once: until it has filled up nothing is trimmed.
    pub(super) fn data_loss(&self, dead_band: f64) -> Option<Duration> {
        // A reader that is where it should be is not on its way to losing anything.
        let lag = self.lag.filter(|lag| lag.value > self.lag_allowed)?;
        let left = self.retention?.saturating_sub(lag.value).as_secs_f64();
        let speed = self.velocity().filter(|velocity| *velocity > dead_band)?;
        Duration::try_from_secs_f64(left / speed).ok()
    }

    pub(super) fn retention_used(&self) -> Option<f64> {
        Some((self.lag?.value.as_secs_f64() / self.retention?.as_secs_f64()).min(1.0))
    }

    /// Whether the figures are good enough to wake somebody: at a start at the oldest record the
    /// first lags are a day, and gone with the next reads.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.rule != Rule::FirstReads
    }
}
