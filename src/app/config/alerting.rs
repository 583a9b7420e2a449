//! Owns how the keys on telling are read: grouping, the storm limit, silences, mute windows, the
//! freshness objective. Refuses a time zone that it does not know, and a silence without an end.

use super::value::{Meaning, Pattern};
use super::walk::{Spot, Table};
use crate::domain::alert::board::Policy;
use crate::domain::alert::freshness::Objective;
use crate::domain::alert::group::Grouping;
use crate::domain::alert::matcher::Matcher;
use crate::domain::alert::matcher::Pattern::Glob;
use crate::domain::alert::silence::{Mute, Silence};
use crate::domain::time::Wall;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// How alerts are told of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alerting {
    /// Grouping, storms, mute windows, where runbooks are.
    pub policy: Policy,
    /// Silences of the configuration; those made at the API come on top.
    pub silences: Vec<Silence>,
    /// What `freshness_burn` is reckoned against.
    pub objective: Objective,
}

/// Labels that alerts have, or may have from `external_labels`.
type Match = Vec<Matcher>;

/// Reads the keys of `alerts` that say how and when people are told.
pub(super) fn read(table: &mut Table<'_>) -> Alerting {
    let default = Policy::default();
    let policy = Policy {
        grouping: grouping(&table.key("grouping")),
        storm_limit: table.key("storm_limit").or(default.storm_limit),
        gone_after: table.key("gone_after").or(default.gone_after),
        lets_go: default.lets_go,
        settle: table.key("settle").or(default.settle),
        mutes: mutes(&table.key("mute")),
        runbooks: table.key("runbooks").or(default.runbooks),
        status_page: default.status_page,
    };
    let silences = table.key("silences").items().unwrap_or_default();
    let silences = silences.iter().enumerate().filter_map(|(place, spot)| silence(place, spot));
    let silences = silences.collect();
    Alerting { policy, silences, objective: objective(&table.key("freshness")) }
}

fn grouping(spot: &Spot<'_>) -> Grouping {
    let default = Grouping::default();
    let mut table = spot.table();
    let grouping = Grouping {
        by: table.key("by").list(default.by),
        wait: table.key("wait").or(default.wait),
        interval: table.key("interval").or(default.interval),
        repeat: table.key("repeat").or(default.repeat),
    };
    table.done();
    grouping
}

fn objective(spot: &Spot<'_>) -> Objective {
    let default = Objective::default();
    let mut table = spot.table();
    let Share(percent) = table.key("objective").or(Share(default.percent));
    let objective = Objective { target: table.key("target").or(default.target), percent };
    table.done();
    objective
}

/// `match`, labels with their globs, and `matchers`, as Alertmanager writes them.
fn matchers(table: &mut Table<'_>) -> Match {
    let of = |(name, value): (&str, Spot<'_>)| {
        let Pattern(value) = value.maybe()?;
        Some(Matcher { name: name.to_owned(), value: Glob(value), is_equal: true })
    };
    let read = |spot: &Spot<'_>| {
        let written: String = spot.maybe()?;
        Matcher::read(&written).map_err(|fault| spot.fault(fault.to_string())).ok()
    };
    let globs = table.key("match").table().open().into_iter().filter_map(of);
    let written = table.key("matchers").items().unwrap_or_default();
    globs.chain(written.iter().filter_map(read)).collect()
}

fn silence(place: usize, spot: &Spot<'_>) -> Option<Silence> {
    let mut table = spot.table();
    let matchers = matchers(&mut table);
    let from = table.key("from").maybe().map(|Instant(at)| at);
    let until_spot = table.key("until");
    let until = until_spot.maybe().map(|Instant(at)| at);
    let created_by = table.key("created_by").or(String::from("configuration"));
    let comment = table.key("comment").or(String::new());
    table.done();
    if spot.is_map() && matchers.is_empty() {
        spot.fault("should have a `match` on at least one label: it would silence everything");
    }
    if spot.is_map() && !until_spot.given() {
        spot.fault("should have an end, `until`");
    }
    let (starts_at, ends_at) = (from.unwrap_or_default(), until?);
    if ends_at <= starts_at {
        until_spot.fault("should be after `from`");
    }
    Some(Silence {
        id: format!("configured-{place}"),
        matchers,
        starts_at,
        ends_at,
        created_by,
        comment,
        updated_at: starts_at,
        is_configured: true,
    })
}

fn mutes(spot: &Spot<'_>) -> Vec<Mute> {
    spot.items().unwrap_or_default().iter().filter_map(mute).collect()
}

fn mute(spot: &Spot<'_>) -> Option<Mute> {
    let mut table = spot.table();
    let name: Option<String> = table.key("name").maybe();
    let matchers = matchers(&mut table);
    let written: Vec<Days> = table.key("days").one_or_list();
    let times = (table.key("from").maybe::<Clock>(), table.key("to").maybe::<Clock>());
    let zone = table.key("zone").or(Zone(TimeZone::UTC));
    table.done();
    let (Some(name), (Some(from), Some(to))) = (name, times) else {
        if spot.is_map() {
            spot.fault("should have name, from and to; days and zone too unless all and UTC");
        }
        return None;
    };
    let mut days = [written.is_empty(); 7];
    for Days(some) in written {
        days.iter_mut().zip(some).for_each(|(day, also)| *day |= also);
    }
    let (from_minute, to_minute) = (from.0, to.0);
    Some(Mute { name, matchers, days, from_minute, to_minute, zone: zone.0 })
}

/// Per cent of the time, with a fraction.
pub(super) struct Share(pub(super) f64);

impl Meaning for Share {
    fn wanted() -> String {
        "per cent of the time, above 0 and below 100, such as 99.9".to_owned()
    }

    fn of_text(_text: &str) -> Option<Self> {
        None
    }

    fn of_number(number: &str) -> Option<Self> {
        number.parse().ok().filter(|n: &f64| *n > 0.0 && *n < 100.0).map(Self)
    }

    fn of_loose(text: &str) -> Option<Self> {
        Self::of_number(text)
    }
}

/// A moment on the calendar.
struct Instant(Wall);

impl Meaning for Instant {
    fn wanted() -> String {
        "a time with its zone, such as 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let ms = text.parse::<Timestamp>().ok()?.as_millisecond();
        Some(Self(Wall::from_ms(u64::try_from(ms).ok()?)))
    }
}

/// A time of day in minutes.
struct Clock(u16);

impl Meaning for Clock {
    fn wanted() -> String {
        "a time of day in quotes, from \"00:00\" to \"24:00\"".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let two = |text: &str| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| digits)
        };
        let (hour, minute) = (two(hour)?, two(minute)?);
        let minutes = hour * 60 + minute;
        (minute < 60 && minutes <= 24 * 60).then_some(Self(minutes))
    }
}

/// Days of the week, Monday first.
struct Days([bool; 7]);

impl Meaning for Days {
    fn wanted() -> String {
        "days such as mon, or a range such as mon-fri".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let place = |name: &str| NAMES.iter().position(|known| *known == name);
        let (first, last) = (place(first)?, place(last)?);
        let mut days = [false; 7];
        for (day, is_in) in days.iter_mut().enumerate() {
            *is_in = (day + 7 - first) % 7 <= (last + 7 - first) % 7;
        }
        Some(Self(days))
    }
}

/// A time zone by its name in the IANA database.
pub(super) struct Zone(pub(super) TimeZone);

impl Meaning for Zone {
    fn wanted() -> String {
        "a time zone's name, such as UTC or Europe/Berlin".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        TimeZone::get(text).ok().map(Self)
    }
}

impl Alerting {
    /// One line on what differs from silence.
    #[must_use]
    pub fn words(&self) -> String {
        let Grouping { by, wait, interval, repeat } = &self.policy.grouping;
        let seconds = |of: &Duration| of.as_secs();
        format!(
            "by {}; wait {} s, interval {} s, repeat {} s; {} silences, {} mute windows",
            by.join(", "),
            seconds(wait),
            seconds(interval),
            seconds(repeat),
            self.silences.len(),
            self.policy.mutes.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, good};

    #[test]
    fn everything_can_be_written() {
        let text = "alerts:\n  grouping: { by: [alertname], wait: 10s, interval: 1m, repeat: 0s }\n  \
                    storm_limit: 5\n  gone_after: 1h\n  settle: 3s\n  runbooks: 'https://wiki/'\n  \
                    freshness: { target: 30s, objective: 99.5 }\n  silences:\n    \
                    - { match: { stream: 'orders-*' }, until: 2026-12-24T18:00:00+01:00 }\n    \
                    - { matchers: ['stream=~\"(a|b)-.+\"', consumer!=c], until: 2026-12-24T18:00:00Z }\n  \
                    mute:\n    - name: nightly\n      match: { consumer: 'batch-*' }\n      \
                    days: [fri-sun, tue]\n      from: '22:00'\n      to: '06:30'\n      \
                    zone: Europe/Berlin\n";
        let alerting = good(text, &[]).alerts.alerting;
        let policy = &alerting.policy;
        assert_eq!((policy.storm_limit, policy.gone_after.as_secs()), (5, 3_600));
        assert_eq!(policy.settle.as_secs(), 3);
        assert_eq!((policy.grouping.wait.as_secs(), policy.grouping.repeat.as_secs()), (10, 0));
        assert_eq!((alerting.objective.percent, policy.grouping.by.len()), (99.5, 1));
        let silence = &alerting.silences[0];
        assert_eq!(silence.ends_at.to_string(), "2026-12-24T17:00:00.000Z");
        let written = alerting.silences[1].matchers.iter().map(ToString::to_string);
        assert_eq!(written.collect::<Vec<_>>(), ["stream=~\"(a|b)-.+\"", "consumer!=\"c\""]);
        let mute = &policy.mutes[0];
        assert_eq!(mute.days, [false, true, false, false, true, true, true]);
        assert_eq!((mute.from_minute, mute.to_minute), (22 * 60, 6 * 60 + 30));
    }

    #[test]
    fn faults_have_their_place() {
        check(
            "alerts:\n  silences:\n    - { comment: later }\n    \
             - { match: { stream: a }, until: tomorrow }\n  mute:\n    \
             - { name: n, from: '25:00', to: '06:00', zone: Moon, days: [someday] }\n  \
             freshness: { objective: 100 }\n",
            &[],
            &[
                "3:7: alerts.silences[0]: should have a `match` on at least one label: it would \
                 silence everything",
                "3:7: alerts.silences[0]: should have an end, `until`",
                "4:38: alerts.silences[1].until: should be a time with its zone, such as \
                 2026-12-24T18:00:00Z or 2026-12-24T18:00:00+01:00",
                "6:7: alerts.mute[0]: should have name, from and to; days and zone too unless all \
                 and UTC",
                "6:24: alerts.mute[0].from: should be a time of day in quotes, from \"00:00\" to \
                 \"24:00\"",
                "6:52: alerts.mute[0].zone: should be a time zone's name, such as UTC or \
                 Europe/Berlin",
                "6:65: alerts.mute[0].days[0]: should be days such as mon, or a range such as \
                 mon-fri",
                "7:27: alerts.freshness.objective: should be per cent of the time, above 0 and \
                 below 100, such as 99.9",
            ],
        );
    }

    #[test]
    fn faulty_matchers_are_named() {
        check(
            "alerts:\n  silences:\n    \
             - { matchers: ['stream=~(', stream], until: 2026-12-24T18:00:00Z, match: { a: b } }\n",
            &[],
            &[
                "3:20: alerts.silences[0].matchers[0]: is no regular expression: unclosed group",
                "3:33: alerts.silences[0].matchers[1]: should be a label, one of = != =~ !~ and a \
                 value, such as stream=~\"orders-.*\"",
            ],
        );
    }
}
