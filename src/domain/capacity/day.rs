//! Owns what was put to one stream over the last day: the average, and its busiest half minute.
//! Refuses an average of less than a few seconds.

use super::{Puts, Rates};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
const HOURS: usize = 24;
/// Less is a moment, and no traffic.
const MEASURED_MIN: Duration = Duration::from_secs(10);

/// A day's puts, by the hour. 1.2 KB.
#[derive(Debug, Clone, Default)]
pub struct Day {
    /// By the number of the hour since the process began, modulo their count.
    hours: [Hour; HOURS],
    since: Option<Duration>,
    newest: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Hour {
    number: u64,
    puts: Puts,
    peak: Rates,
}

/// What a stream was given to carry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// How long was measured, a day at most.
    pub over: Duration,
    /// The average.
    pub average: Rates,
    /// Of the busiest half minute: records, bytes and refusals each by itself.
    pub peak: Rates,
}

impl Day {
    /// Takes in what was put up to `at`, and the rates of the half minute before.
    pub fn add(&mut self, puts: Puts, rates: Option<Rates>, at: Duration) {
        self.newest = self.newest.max(at);
        if self.since.is_none() {
            // What the first word tells came before anybody measured.
            self.since = Some(at);
            return;
        }
        let number = hour(at);
        let place = usize::try_from(number).unwrap_or_default() % HOURS;
        let Some(slot) = self.hours.get_mut(place) else { return };
        if slot.number < number {
            *slot = Hour { number, ..Hour::default() };
        }
        if slot.number == number {
            slot.puts.add(puts);
            slot.peak = highest(slot.peak, rates.unwrap_or_default());
        }
    }

    /// When something was put last.
    #[must_use]
    pub const fn newest(&self) -> Duration {
        self.newest
    }

    /// The last day as of `now`; `None` where too little of it was measured.
    #[must_use]
    pub fn usage(&self, now: Duration) -> Option<Usage> {
        let oldest = hour(now).saturating_sub(HOURS as u64 - 1);
        let began = self.since?.max(Duration::from_secs(oldest * HOUR.as_secs()));
        let over = now.checked_sub(began).filter(|over| *over >= MEASURED_MIN)?;
        let mut all = Puts::default();
        let mut peak = Rates::default();
        for hour in self.hours.iter().filter(|hour| hour.number >= oldest) {
            all.add(hour.puts);
            peak = highest(peak, hour.peak);
        }
        let per_second = |total: u64| total as f64 / over.as_secs_f64();
        let average = Rates {
            records: per_second(all.records),
            bytes: per_second(all.bytes),
            throttled: per_second(all.throttled),
        };
        // A window of whole pieces may be calmer than the seconds around it.
        Some(Usage { over, average, peak: highest(peak, average) })
    }
}

const fn hour(at: Duration) -> u64 {
    at.as_secs() / HOUR.as_secs()
}

fn highest(one: Rates, other: Rates) -> Rates {
    Rates {
        records: one.records.max(other.records),
        bytes: one.bytes.max(other.bytes),
        throttled: one.throttled.max(other.throttled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    /// A put a second of so many records, from one second to another.
    fn put(day: &mut Day, seconds: std::ops::Range<u64>, records: u64) {
        for at in seconds {
            let rates = Rates { records: records as f64, ..Rates::default() };
            let puts = Puts { records, bytes: 10 * records, throttled: 0 };
            day.add(puts, Some(rates), second(at));
        }
    }

    #[test]
    fn the_average_and_the_peak_of_what_was_measured() {
        let mut day = Day::default();
        let said = |day: &Day, at| {
            let usage = day.usage(second(at))?;
            Some((usage.over.as_secs(), usage.average.records, usage.peak.records))
        };
        put(&mut day, 100..105, 4);
        assert_eq!(said(&day, 105), None, "five seconds are a moment");
        put(&mut day, 105..200, 4);
        assert_eq!(said(&day, 199), Some((99, 4.0, 4.0)));
        put(&mut day, 200..201, 104);
        assert_eq!(said(&day, 300), Some((200, 2.5, 104.0)));
        assert_eq!(said(&Day::default(), 300), None);
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten() {
        let mut day = Day::default();
        put(&mut day, 0..100, 900);
        let tomorrow = 24 * 3_600;
        put(&mut day, tomorrow + 10..tomorrow + 110, 36);
        let usage = day.usage(second(tomorrow + 200)).unwrap();
        assert_eq!(usage.peak.records, 36.0, "the hour of the old peak is over");
        assert_eq!(usage.over, second(23 * 3_600 + 200));
        assert_eq!(day.newest(), second(tomorrow + 109));
    }
}
