//! Owns when one rule fires and clears for one subject. Refuses clocks, and to count time in which
//! nobody looked: only what passed between two evaluations close to each other, the first of which
//! had a value, counts towards `for` and `keep_firing_for`.

use crate::domain::alert::{Missing, Rule, Sense, When};
use crate::domain::time::Moment;
use std::time::Duration;

/// Two evaluations further apart than this were not one observation: the process was suspended or
/// starved, and what happened in between is unknown.
pub const GAP_MAX: Duration = Duration::from_secs(30);

/// How often a machine that counts time wants to be stepped: often enough that a timer which comes
/// late makes no gap.
const STEP_MAX: Duration = Duration::from_secs(15);

/// Where one rule stands for one subject. From `Kept` it goes back to `Firing`, or is resolved,
/// which is being `Inactive` with a past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Nothing to tell.
    #[default]
    Inactive,
    /// Bad, not long enough yet.
    Pending {
        /// When it was first seen bad.
        since: Moment,
        /// Time observed bad since then.
        held: Duration,
    },
    /// On.
    Firing {
        /// When it fired.
        since: Moment,
    },
    /// On although clear: not clear for long enough yet.
    Kept {
        /// When it fired.
        since: Moment,
        /// Time observed clear without a break.
        clear: Duration,
    },
}

/// What an evaluation found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Seen {
    /// The signal's value.
    Value(f64),
    /// There is none: the rule says what that means.
    Nothing,
    /// Who would say it can't be asked: it means nothing.
    Blind,
}

/// What a step changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Nothing that anybody is told of.
    None,
    /// Began to fire.
    Fired,
    /// Ceased to fire.
    Resolved {
        /// When it had fired.
        since: Moment,
    },
}

/// What one value says about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Verdict {
    Bad,
    /// As bad, but time does not count: something has just begun.
    BadInGrace,
    /// Too good to fire, too bad to clear.
    Between,
    Clear,
    #[default]
    Unknown,
}

/// The state machine of one rule and one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Machine {
    state: State,
    /// Of the last step: when, in monotonic time, and what it saw.
    last: Option<(Duration, Verdict)>,
}

impl Machine {
    /// One that continues where another process left it: what was between counts as unseen.
    #[must_use]
    pub const fn restored(state: State) -> Self {
        Self { state, last: None }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Since when it is on.
    #[must_use]
    pub const fn on_since(&self) -> Option<Moment> {
        match self.state {
            State::Firing { since } | State::Kept { since, .. } => Some(since),
            State::Inactive | State::Pending { .. } => None,
        }
    }

    /// Ends it, whatever the signal says; when it had fired, if it was on.
    pub fn end(&mut self) -> Option<Moment> {
        let since = self.on_since();
        *self = Self::default();
        since
    }

    /// Makes one that fires pending again where it has been bad for less than `hold`, having fired
    /// after `was`; when it had fired, if so.
    pub fn unfire(&mut self, was: Duration, hold: Duration, now: Moment) -> Option<Moment> {
        let State::Firing { since } = self.state else { return None };
        // What has passed since the last step, the next one counts.
        let until = self.last.map_or(now.mono, |(at, _)| at);
        let held = was.saturating_add(until.saturating_sub(since.mono));
        if hold <= was || held >= hold {
            return None;
        }
        let bad_since =
            Moment { wall: since.wall.minus(was), mono: since.mono.saturating_sub(was) };
        self.state = State::Pending { since: bad_since, held };
        Some(since)
    }

    /// Takes in what was seen as of `now`. `keep` is how long it must be clear, `in_grace` whether
    /// a disturbance is so recent that being bad does not count yet.
    pub fn step(
        &mut self,
        seen: Seen,
        in_grace: bool,
        rule: &Rule,
        keep: Duration,
        now: Moment,
    ) -> Transition {
        let mut verdict = judge(seen, rule);
        if verdict == Verdict::Bad && in_grace {
            verdict = Verdict::BadInGrace;
        }
        let (elapsed, before) = match self.last.replace((now.mono, verdict)) {
            Some((at, before)) => (now.mono.saturating_sub(at), before),
            None => (Duration::ZERO, Verdict::Unknown),
        };
        // The last value held until now.
        let spent = |as_verdict| {
            if before == as_verdict && elapsed <= GAP_MAX { elapsed } else { Duration::ZERO }
        };
        match self.state {
            State::Inactive => match verdict {
                Verdict::Bad => self.rise(now, now, Duration::ZERO, rule),
                Verdict::BadInGrace => {
                    self.stay(State::Pending { since: now, held: Duration::ZERO })
                }
                Verdict::Between | Verdict::Clear | Verdict::Unknown => Transition::None,
            },
            State::Pending { since, held } => {
                let held = held.saturating_add(spent(Verdict::Bad));
                match verdict {
                    Verdict::Bad => self.rise(since, now, held, rule),
                    Verdict::BadInGrace | Verdict::Unknown => {
                        self.stay(State::Pending { since, held })
                    }
                    Verdict::Between | Verdict::Clear => self.stay(State::Inactive),
                }
            }
            State::Firing { since } => self.sink(verdict, since, Duration::ZERO, keep),
            State::Kept { since, clear } => {
                let clear = clear.saturating_add(spent(Verdict::Clear));
                if verdict == Verdict::Unknown {
                    return self.stay(State::Kept { since, clear });
                }
                self.sink(verdict, since, clear, keep)
            }
        }
    }

    /// When a step is due although no value changed, in monotonic time.
    #[must_use]
    pub fn wake_at(&self, rule: &Rule, keep: Duration) -> Option<Duration> {
        let (at, verdict) = self.last?;
        let left = match (self.state, verdict) {
            (State::Pending { held, .. }, Verdict::Bad) => rule.hold.saturating_sub(held),
            (State::Pending { .. }, Verdict::BadInGrace) => STEP_MAX,
            (State::Kept { clear, .. }, Verdict::Clear) => keep.saturating_sub(clear),
            (State::Inactive | State::Pending { .. } | State::Firing { .. }, _)
            | (State::Kept { .. }, _) => return None,
        };
        Some(at.saturating_add(left.min(STEP_MAX)))
    }

    fn rise(&mut self, since: Moment, now: Moment, held: Duration, rule: &Rule) -> Transition {
        if held < rule.hold {
            return self.stay(State::Pending { since, held });
        }
        self.state = State::Firing { since: now };
        Transition::Fired
    }

    fn sink(
        &mut self,
        verdict: Verdict,
        since: Moment,
        clear: Duration,
        keep: Duration,
    ) -> Transition {
        match verdict {
            Verdict::Clear if clear >= keep => {
                self.state = State::Inactive;
                Transition::Resolved { since }
            }
            Verdict::Clear => self.stay(State::Kept { since, clear }),
            Verdict::Bad | Verdict::BadInGrace | Verdict::Between | Verdict::Unknown => {
                self.stay(State::Firing { since })
            }
        }
    }

    fn stay(&mut self, state: State) -> Transition {
        self.state = state;
        Transition::None
    }
}

/// Whether what was seen alone would make an inactive rule pending.
#[must_use]
pub fn raises(seen: Seen, rule: &Rule) -> bool {
    judge(seen, rule) == Verdict::Bad
}

/// Whether what was seen alone would let a firing rule clear.
#[must_use]
pub fn clears(seen: Seen, rule: &Rule) -> bool {
    judge(seen, rule) == Verdict::Clear
}

fn judge(seen: Seen, rule: &Rule) -> Verdict {
    match (seen, rule.missing) {
        (Seen::Value(value), _) if !value.is_nan() => compare(value, &rule.when),
        (Seen::Blind, _) | (Seen::Value(_) | Seen::Nothing, Missing::Keep) => Verdict::Unknown,
        (Seen::Value(_) | Seen::Nothing, Missing::Fire) => Verdict::Bad,
        (Seen::Value(_) | Seen::Nothing, Missing::Clear) => Verdict::Clear,
    }
}

fn compare(value: f64, when: &When) -> Verdict {
    let (bad, clear) = match when.sense {
        Sense::Above => (value > when.threshold, value <= when.clear),
        Sense::Below => (value < when.threshold, value >= when.clear),
    };
    match (bad, clear) {
        (true, _) => Verdict::Bad,
        (false, true) => Verdict::Clear,
        (false, false) => Verdict::Between,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::builtin::builtin;

    const HIGH: Option<f64> = Some(90.0);
    const BETWEEN: Option<f64> = Some(45.0);
    const LOW: Option<f64> = Some(5.0);

    fn seen(value: Option<f64>) -> Seen {
        value.map_or(Seen::Nothing, Seen::Value)
    }

    /// Runs (second, value) pairs through the built-in lag rule (60 s above 60, then 120 s at or
    /// below 30) with `missing`; expects exactly these (second, fired) transitions.
    fn check(missing: Missing, steps: &[(u64, Option<f64>)], expected: &[(u64, bool)]) {
        let rule = Rule { missing, ..builtin().remove(0) };
        let mut machine = Machine::default();
        let mut told = Vec::new();
        for &(second, value) in steps {
            let now = Moment::default().plus(Duration::from_secs(second));
            match machine.step(seen(value), false, &rule, rule.keep_firing, now) {
                Transition::None => {}
                Transition::Fired => told.push((second, true)),
                Transition::Resolved { .. } => told.push((second, false)),
            }
        }
        assert_eq!(told, expected, "{steps:?}");
    }

    fn every_20_s(values: &[Option<f64>]) -> Vec<(u64, Option<f64>)> {
        (0..).step_by(20).zip(values.iter().copied()).collect()
    }

    fn keep(values: &[Option<f64>], expected: &[(u64, bool)]) {
        check(Missing::Keep, &every_20_s(values), expected);
    }

    #[test]
    fn fires_after_its_hold_and_not_before() {
        keep(&[HIGH, HIGH, HIGH], &[]);
        keep(&[HIGH, HIGH, HIGH, HIGH], &[(60, true)]);
        keep(&[HIGH, HIGH, HIGH, LOW, HIGH, HIGH, HIGH], &[]);
        keep(&[HIGH, HIGH, HIGH, BETWEEN, HIGH, HIGH, HIGH], &[]);
    }

    #[test]
    fn threshold_itself_does_not_fire_and_clears() {
        keep(&[Some(60.0); 6], &[]);
        let mut values = vec![HIGH; 4];
        values.extend([Some(30.0); 7]);
        keep(&values, &[(60, true), (200, false)]);
    }

    #[test]
    fn resolves_after_staying_clear_without_a_break() {
        let mut values = vec![HIGH; 4];
        values.extend([LOW; 6]);
        values.extend([BETWEEN]);
        values.extend([LOW; 7]);
        keep(&values, &[(60, true), (340, false)]);
    }

    #[test]
    fn missing_time_neither_counts_nor_resets() {
        keep(&[HIGH, HIGH, None, None, None, HIGH, HIGH], &[(120, true)]);
        keep(&[HIGH, HIGH, HIGH, None, None, None], &[]);
        let mut values = vec![HIGH; 4];
        values.extend([None; 50]);
        keep(&values, &[(60, true)]);
        keep(&[Some(f64::NAN); 8], &[]);
    }

    #[test]
    fn missing_may_count_as_high_or_low() {
        let gone = every_20_s(&[None; 5]);
        check(Missing::Fire, &gone, &[(60, true)]);
        check(Missing::Clear, &gone, &[]);
        let mut values = vec![HIGH; 4];
        values.extend([None; 7]);
        check(Missing::Clear, &every_20_s(&values), &[(60, true), (200, false)]);
    }

    #[test]
    fn suspended_time_neither_counts_nor_resets() {
        check(Missing::Keep, &[(0, HIGH), (3_600, HIGH)], &[]);
        let around = [(0, HIGH), (20, HIGH), (3_600, HIGH), (3_620, HIGH), (3_640, HIGH)];
        check(Missing::Keep, &around, &[(3_640, true)]);
        let mut firing = every_20_s(&[HIGH; 4]);
        firing.extend([(70, LOW), (3_600, LOW)]);
        check(Missing::Keep, &firing, &[(60, true)]);
    }

    #[test]
    fn wakes_only_while_time_counts() {
        let rule = builtin().remove(0);
        let mut machine = Machine::default();
        let mut check = |second: u64, value, expected: Option<u64>| {
            let now = Moment::default().plus(Duration::from_secs(second));
            machine.step(seen(value), false, &rule, rule.keep_firing, now);
            assert_eq!(
                machine.wake_at(&rule, rule.keep_firing),
                expected.map(Duration::from_secs),
                "{second}"
            );
        };
        check(0, LOW, None);
        check(10, HIGH, Some(25));
        check(25, HIGH, Some(40));
        check(30, None, None);
        check(40, HIGH, Some(55));
        check(65, HIGH, Some(80));
        check(80, HIGH, None);
        check(90, LOW, Some(105));
        check(95, BETWEEN, None);
    }
}
