//! Owns the memory of what was said in the log, so that a cause is told once a minute and not once
//! a try. Refuses to log: it only says whether one may.

use crate::domain::time::Moment;
use std::collections::HashMap;
use std::time::Duration;

const SILENCE: Duration = Duration::from_secs(60);

/// When each cause was last said. Causes are words of our own, so their number is bounded.
#[derive(Debug, Default)]
pub struct Said(HashMap<&'static str, Moment>);

impl Said {
    /// Whether `cause` may be said at `now`; if so it counts as said.
    pub fn may_say(&mut self, cause: &'static str, now: Moment) -> bool {
        let may = self.0.get(cause).is_none_or(|last| now.since(*last) >= SILENCE);
        if may {
            self.0.insert(cause, now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_and_cause() {
        let mut said = Said::default();
        let mut at = |cause, seconds| {
            said.may_say(cause, Moment::default().plus(Duration::from_secs(seconds)))
        };
        assert!(at("denied", 0));
        assert!(!at("denied", 59));
        assert!(at("throttled", 59));
        assert!(at("denied", 60));
        assert!(!at("denied", 61));
    }
}
