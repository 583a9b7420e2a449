//! Owns how often one cause may be logged: once a minute, with a count of the silenced. Refuses to
//! log itself, and to grow: causes are names in the code.

use crate::domain::time::Moment;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Once a minute: enough for a person to see that it goes on, too little to fill a disk.
const EVERY: Duration = Duration::from_secs(60);

/// Keeps a cause that repeats from filling the log.
#[derive(Debug, Default)]
pub struct Quiet {
    causes: Mutex<BTreeMap<&'static str, Said>>,
}

#[derive(Debug)]
struct Said {
    at: Moment,
    silenced: u64,
}

impl Quiet {
    /// Whether this cause may be logged now, and if so how often it was silenced since it last was.
    #[must_use]
    pub fn may_say(&self, cause: &'static str, now: Moment) -> Option<u64> {
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        match causes.get_mut(cause) {
            Some(said) if now.since(said.at) < EVERY => {
                said.silenced += 1;
                None
            }
            Some(_) | None => {
                let before = causes.insert(cause, Said { at: now, silenced: 0 });
                Some(before.map_or(0, |said| said.silenced))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_speaks_once_a_minute() {
        let quiet = Quiet::default();
        let check = |cause, seconds, expected| {
            let now = Moment::default().plus(Duration::from_secs(seconds));
            assert_eq!(quiet.may_say(cause, now), expected, "{cause} at {seconds} s");
        };
        check("refused", 0, Some(0));
        check("refused", 1, None);
        check("timeout", 2, Some(0));
        check("refused", 59, None);
        check("refused", 60, Some(2));
        check("refused", 61, None);
        check("refused", 600, Some(1));
    }
}
