//! Owns what keeps an alert from being told: silences, which end, and mute windows, which come
//! again. Refuses to keep one from being resolved, and to read a clock. Time zones are data in the
//! binary, not files.

use crate::domain::alert::Labels;
use crate::domain::alert::matcher::Matcher;
use crate::domain::time::Wall;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Silences kept at once; expired ones make room.
pub const SILENCES_MAX: usize = 1_000;
/// Regular expressions in them: 128 KiB each at the most, a few at most times.
pub const REGEXES_MAX: usize = 200;

/// Keeps what it matches from being told until it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// A name of its own.
    pub id: String,
    /// All of them must match.
    pub matchers: Vec<Matcher>,
    /// From when on …
    pub starts_at: Wall,
    /// … until when.
    pub ends_at: Wall,
    /// Who wanted it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// When it was made or last changed.
    pub updated_at: Wall,
    /// Written in the configuration, and changed only there.
    pub is_configured: bool,
}

impl Silence {
    /// How many regular expressions it has.
    #[must_use]
    pub fn regexes(&self) -> usize {
        self.matchers.iter().filter(|matcher| matcher.value.is_regex()).count()
    }

    /// Whether it is in force for these labels.
    #[must_use]
    pub fn holds(&self, labels: &Labels, now: Wall) -> bool {
        self.starts_at <= now
            && now < self.ends_at
            && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }
}

/// Keeps what it matches from being told at certain times of certain days.
#[derive(Debug, Clone, PartialEq)]
pub struct Mute {
    /// For the sentence that says why nobody was told.
    pub name: String,
    /// All of them must match.
    pub matchers: Vec<Matcher>,
    /// On which days it begins, Monday first.
    pub days: [bool; 7],
    /// When it begins, in minutes since midnight of its zone …
    pub from_minute: u16,
    /// … and ends; where that is not later, on the next day.
    pub to_minute: u16,
    /// Whose midnight.
    pub zone: TimeZone,
}

impl Mute {
    /// Whether it is in force for these labels.
    #[must_use]
    pub fn holds(&self, labels: &Labels, now: Wall) -> bool {
        self.is_on(now) && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// Whether `now` is in one of its windows, by the clock on a wall of its zone: a window over a
    /// change to summer time is an hour shorter.
    fn is_on(&self, now: Wall) -> bool {
        let seconds = i64::try_from(now.as_seconds()).unwrap_or(i64::MAX);
        let Ok(timestamp) = Timestamp::from_second(seconds) else { return false };
        let local = timestamp.to_zoned(self.zone.clone());
        let hour = u16::try_from(local.hour()).unwrap_or_default();
        let minute = hour * 60 + u16::try_from(local.minute()).unwrap_or_default();
        let today = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
        let begins_on = |day: usize| self.days.get(day % 7).copied().unwrap_or_default();
        if self.from_minute < self.to_minute {
            return begins_on(today) && (self.from_minute..self.to_minute).contains(&minute);
        }
        begins_on(today) && minute >= self.from_minute
            || begins_on(today + 6) && minute < self.to_minute
    }
}

/// How long until the next full minute, when a mute window may end: they begin and end at one.
#[must_use]
pub fn to_next_minute(now: Wall) -> Duration {
    const MINUTE: u64 = 60_000_000_000;
    Duration::from_nanos(MINUTE - now.as_nanos() % MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> Wall {
        let seconds = text.parse::<Timestamp>().unwrap().as_second();
        Wall::from_ms(seconds as u64 * 1_000)
    }

    fn mute(days: [bool; 7], from: u16, to: u16, zone: &str) -> Mute {
        let zone = TimeZone::get(zone).unwrap();
        let (matchers, name) = (Vec::new(), "nightly".to_owned());
        Mute { name, matchers, days, from_minute: from, to_minute: to, zone }
    }

    #[test]
    fn windows_are_of_their_zone() {
        let weekdays = [true, true, true, true, true, false, false];
        let night = mute(weekdays, 22 * 60, 6 * 60, "Europe/Berlin");
        let check = |mute: &Mute, at: &str, expected| {
            assert_eq!(mute.is_on(wall(at)), expected, "{at}");
        };
        // Friday, 27 November 2026; Berlin is an hour ahead of UTC.
        check(&night, "2026-11-27T20:59:59Z", false);
        check(&night, "2026-11-27T21:00:00Z", true);
        check(&night, "2026-11-28T04:59:59Z", true);
        check(&night, "2026-11-28T05:00:00Z", false);
        check(&night, "2026-11-28T21:30:00Z", false);
        // The night to Monday began on a Sunday.
        check(&night, "2026-11-30T04:00:00Z", false);
        check(&night, "2026-11-30T21:00:00Z", true);
        // In summer it is two hours.
        check(&night, "2026-07-01T20:00:00Z", true);
        check(&night, "2026-07-01T19:59:00Z", false);
        let lunch = mute([true; 7], 12 * 60, 13 * 60, "Asia/Kolkata");
        check(&lunch, "2026-11-27T06:29:59Z", false);
        check(&lunch, "2026-11-27T06:30:00Z", true);
        check(&lunch, "2026-11-27T07:30:00Z", false);
        let always = mute([true; 7], 0, 0, "UTC");
        check(&always, "2026-11-27T00:00:00Z", true);
        check(&always, "2026-11-27T23:59:59Z", true);
    }

    #[test]
    fn silences_match_labels_and_end() {
        let labels: Labels = [("stream", "orders-eu"), ("consumer", "mail")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let check = |matchers: &[&str], second: u64, expected| {
            let matcher = |text: &&str| Matcher::read(text).unwrap();
            let silence = Silence {
                id: "s".to_owned(),
                matchers: matchers.iter().map(matcher).collect(),
                starts_at: Wall::from_ms(10_000),
                ends_at: Wall::from_ms(20_000),
                created_by: String::new(),
                comment: String::new(),
                updated_at: Wall::default(),
                is_configured: false,
            };
            let held = silence.holds(&labels, Wall::from_ms(second * 1_000));
            assert_eq!(held, expected, "{matchers:?} {second}");
        };
        check(&["stream=orders-*"], 9, false);
        check(&["stream=orders-*"], 10, true);
        check(&["stream=orders-*"], 20, false);
        check(&["stream=orders-*", "consumer=sms"], 10, false);
        check(&["consumer!=sms"], 10, true);
        check(&["shard="], 10, true);
        check(&["shard=?*"], 10, false);
        check(&["stream=~orders-(eu|us)", "consumer!~sms.*"], 10, true);
    }

    #[test]
    fn minutes_end() {
        let check = |ms, expected| {
            let left = to_next_minute(Wall::from_ms(ms)).as_millis();
            assert_eq!(left, expected, "{ms}");
        };
        check(0, 60_000);
        check(59_999, 1);
        check(60_000, 60_000);
    }
}
