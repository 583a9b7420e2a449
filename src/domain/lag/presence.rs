//! Owns whether a reader's process is there: its connections to us. A process that dies closes them
//! at once; one that pauses keeps them. Refuses to believe that of a reader that closes them between
//! its reads anyway.

use std::time::Duration;

/// A reader that needed a new connection for so many of its last sixteen reads closes them of its
/// own: only a crash loop would look the same.
const FRESH_MAX: u32 = 3;

/// A consumer's connections.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Presence {
    closed_at: Option<Duration>,
    /// A connection was opened while there was none, and no read has come since.
    is_fresh: bool,
    /// Of the last sixteen reads, those that came with a fresh connection.
    fresh: u16,
}

impl Presence {
    /// Takes in how many connections the consumer has open.
    pub fn see(&mut self, open: u32, at: Duration) {
        if open == 0 {
            self.closed_at.get_or_insert(at);
        } else if self.closed_at.take().is_some() {
            self.is_fresh = true;
        }
    }

    /// Takes in that it read: who reads is here, whatever was told of connections.
    pub fn read(&mut self, at: Duration) {
        self.is_fresh |= self.closed_at.take_if(|closed| *closed < at).is_some();
        self.fresh = self.fresh << 1 | u16::from(std::mem::take(&mut self.is_fresh));
    }

    /// Since when all its connections are closed, where that means that it is gone.
    #[must_use]
    pub fn gone_since(&self) -> Option<Duration> {
        self.closed_at.filter(|_| self.fresh.count_ones() < FRESH_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `o`pens one, closes the `l`ast, or `r`eads, one a second.
    fn gone(history: &str) -> Option<usize> {
        let mut presence = Presence::default();
        for (second, what) in history.char_indices() {
            match what {
                'r' => presence.read(Duration::from_secs(second as u64)),
                _ => presence.see(u32::from(what == 'o'), Duration::from_secs(second as u64)),
            }
        }
        presence.gone_since().map(|at| at.as_secs() as usize)
    }

    #[test]
    fn closed_is_gone_unless_it_is_a_habit() {
        let check = |history: &str, expected| assert_eq!(gone(history), expected, "{history}");
        check("", None);
        check("orrr", None);
        check("orrll", Some(3));
        check("orrlor", None);
        // One that closes after every read, and one that does so after every round of two.
        check("orlorlorlorl", None);
        check("orrlorrlorrlorrl", None);
        check("orlorl", Some(5));
        // Restarts, long apart.
        check(&format!("o{}l", "rrrrrrrrlo".repeat(5)), Some(51));
    }
}
