//! Owns who of several hubs works: the one that holds a lease and renews it. Refuses to compare two
//! machines' clocks: a lease is over when its counter has not moved for its life on the watcher's
//! own clock, and its holder lets go of it well before.

use std::time::Duration;

/// What the lease's row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is; empty: it was given back.
    pub owner: String,
    /// Raised with every renewal.
    pub counter: u64,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read the row.
    Look,
    /// Write `claim`, if the row is still as it was seen; `None`: if there is none.
    Write {
        /// The row as it must be.
        seen: Option<Claim>,
        /// The row as it shall be.
        claim: Claim,
    },
}

/// One of the hubs that may hold the lease. All times are monotonic.
#[derive(Debug, Clone)]
pub struct Standby {
    me: String,
    life: Duration,
    row: Row,
    /// What was written last, and when that call began.
    held: Option<(Claim, Duration)>,
}

/// What is known of the row.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Row {
    /// It must be looked at.
    Unknown,
    Absent,
    /// It says this, and has for so long.
    Since(Claim, Duration),
}

impl Standby {
    /// `me` is no other's name; a lease that is not renewed for `life` is over.
    #[must_use]
    pub const fn new(me: String, life: Duration) -> Self {
        Self { me, life, row: Row::Unknown, held: None }
    }

    /// Between two steps while all is well.
    #[must_use]
    pub fn pace(&self) -> Duration {
        self.life / 3
    }

    /// Whether this one works at `now`. It ends by itself a third of the life before anybody else
    /// can begin.
    #[must_use]
    pub fn holds(&self, now: Duration) -> bool {
        self.ends_at().is_some_and(|end| now < end)
    }

    /// When it ends unless the lease is renewed.
    #[must_use]
    pub fn ends_at(&self) -> Option<Duration> {
        self.held.as_ref().map(|(_, at)| *at + self.life * 2 / 3)
    }

    /// What is to be done at `now`.
    #[must_use]
    pub fn next(&self, now: Duration) -> Step {
        let mine = |counter: u64| Claim { owner: self.me.clone(), counter };
        match &self.row {
            Row::Unknown => Step::Look,
            Row::Absent => Step::Write { seen: None, claim: mine(1) },
            Row::Since(claim, since) => {
                let free = claim.owner.is_empty() || claim.owner == self.me;
                if !free && now.saturating_sub(*since) < self.life {
                    return Step::Look;
                }
                let counter = claim.counter.saturating_add(1);
                Step::Write { seen: Some(claim.clone()), claim: mine(counter) }
            }
        }
    }

    /// The row was read: by a call that was answered at `now`.
    pub fn saw(&mut self, found: Option<Claim>, now: Duration) {
        if found.as_ref().is_none_or(|claim| claim.owner != self.me) {
            self.held = None;
        }
        self.row = match (found, &self.row) {
            (None, _) => Row::Absent,
            (Some(claim), Row::Since(known, since)) if *known == claim => Row::Since(claim, *since),
            (Some(claim), _) => Row::Since(claim, now),
        };
    }

    /// `claim` was written by a call that began at `began`.
    pub fn wrote(&mut self, claim: Claim, began: Duration) {
        self.row = Row::Since(claim.clone(), began);
        self.held = Some((claim, began));
    }

    /// The row was not as it was seen. It may be our own doing: an answer may have been lost.
    pub fn refused(&mut self) {
        self.row = Row::Unknown;
    }

    /// What gives the lease back; `None` where it is not held.
    #[must_use]
    pub fn release(&self, now: Duration) -> Option<Step> {
        let (held, _) = self.held.as_ref().filter(|_| self.holds(now))?;
        let claim = Claim { owner: String::new(), counter: held.counter.saturating_add(1) };
        Some(Step::Write { seen: Some(held.clone()), claim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIFE: Duration = Duration::from_secs(15);

    /// The store: writes what is asked if the row is as it should be.
    fn store(row: &mut Option<Claim>, seen: Option<Claim>, claim: Claim) -> bool {
        let fits = *row == seen;
        if fits {
            *row = Some(claim);
        }
        fits
    }

    /// What becomes of a call.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Luck {
        Good,
        Unsent,
        AnswerLost,
    }

    /// One step whose call takes from `began_ms` to `ended_ms`.
    fn step(hub: &mut Standby, row: &mut Option<Claim>, luck: Luck, began_ms: u64, ended_ms: u64) {
        let (began, ended) = (Duration::from_millis(began_ms), Duration::from_millis(ended_ms));
        match (hub.next(began), luck) {
            (_, Luck::Unsent) | (Step::Look, Luck::AnswerLost) => {}
            (Step::Look, Luck::Good) => hub.saw(row.clone(), ended),
            (Step::Write { seen, claim }, luck) => {
                let stored = store(row, seen, claim.clone());
                match (luck, stored) {
                    (Luck::AnswerLost | Luck::Unsent, _) => {}
                    (Luck::Good, true) => hub.wrote(claim, began),
                    (Luck::Good, false) => hub.refused(),
                }
            }
        }
    }

    fn hub(name: &str) -> Standby {
        Standby::new(name.to_owned(), LIFE)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_takes_it_and_the_second_when_the_first_is_gone() {
        let (mut a, mut b, mut row) = (hub("a"), hub("b"), None);
        let mut go = |hub: &mut Standby, second: u64| {
            step(hub, &mut row, Luck::Good, second * 1_000, second * 1_000);
            hub.holds(seconds(second))
        };
        assert!(!go(&mut a, 0) && go(&mut a, 1), "looks, then takes");
        assert!(!go(&mut b, 2) && !go(&mut b, 7));
        assert!(go(&mut a, 8) && !go(&mut b, 12));
        // It was renewed at 8, and seen so at 12.
        assert!(!a.holds(seconds(18)), "lets go by itself");
        assert!(!go(&mut b, 26) && go(&mut b, 27));
        assert!(!go(&mut a, 28), "the renewal is refused");
        assert!(!go(&mut a, 29) && !go(&mut a, 30));
    }

    #[test]
    fn what_is_given_back_is_free_at_once() {
        let (mut a, mut b, mut row) = (hub("a"), hub("b"), None);
        (0..3)
            .for_each(|second| step(&mut a, &mut row, Luck::Good, second * 1_000, second * 1_000));
        assert_eq!(b.release(seconds(2)), None);
        let Some(Step::Write { seen, claim }) = a.release(seconds(3)) else { panic!() };
        assert!(store(&mut row, seen, claim));
        step(&mut b, &mut row, Luck::Good, 3_000, 3_000);
        step(&mut b, &mut row, Luck::Good, 3_100, 3_100);
        assert!(b.holds(seconds(4)));
    }

    #[test]
    fn a_lost_answer_does_not_cost_the_lease() {
        let (mut a, mut row) = (hub("a"), None);
        let lucks = [Luck::Good, Luck::Good, Luck::AnswerLost, Luck::Good, Luck::Good, Luck::Good];
        for (second, luck) in (0..).zip(lucks) {
            step(&mut a, &mut row, luck, second * 1_000, second * 1_000);
            assert_eq!(a.holds(seconds(second)), second > 0, "at {second}");
        }
        assert_eq!(row, Some(Claim { owner: "a".to_owned(), counter: 3 }));
    }

    proptest! {
        /// Three hubs whose calls are slow, fail, or lose their answers: never do two work at once.
        #[test]
        fn no_two_hold_it(calls in prop::collection::vec((0..3_usize, 0..6_000_u64, 0..12_000_u64, 0..4_u8), 1..200)) {
            let mut hubs = [hub("a"), hub("b"), hub("c")];
            let (mut free_at, mut row, mut now) = ([0; 3], None, 0);
            for (who, wait, takes, luck) in calls {
                now += wait;
                let luck = match luck { 0 => Luck::Unsent, 1 => Luck::AnswerLost, _ => Luck::Good };
                // One call at a time each; the store does its part when the call begins.
                if free_at[who] <= now {
                    step(&mut hubs[who], &mut row, luck, now, now + takes);
                    free_at[who] = now + takes;
                }
                let at = Duration::from_millis(now);
                prop_assert!(hubs.iter().filter(|hub| hub.holds(at)).count() <= 1);
            }
        }
    }
}
