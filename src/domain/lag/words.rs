//! Owns how a verdict is put into words, with the figures that it rests on. Refuses to decide.

use super::assess::{Circumstances, Judgement, View, judge};
use super::figures::duration_text;
use super::seen_lease::SeenLease;
use super::window::Window;
use super::{Assessment, Rule, Tuning};
use std::time::Duration;

/// The verdict on one shard at `now` (monotonic), with its reason and its evidence.
#[must_use]
pub fn assess(window: &Window, around: Circumstances<'_>, now: Duration) -> Assessment {
    explain(&judge(window, around, now), window, around)
}

/// A verdict with its reason and its evidence; `window` and `around` are those that were judged.
#[must_use]
pub fn explain(judgement: &Judgement, window: &Window, around: Circumstances<'_>) -> Assessment {
    let said = Said { judgement, window, around };
    let (reason, evidence) = (said.reason(), said.evidence());
    Assessment { reason, evidence, ..outline(judgement, around.tuning) }
}

/// A verdict's figures alone, where nobody reads reason and evidence: they are empty.
#[must_use]
pub fn outline(judgement: &Judgement, tuning: &Tuning) -> Assessment {
    let dead_band = tuning.dead_band;
    Assessment {
        status: judgement.rule.status(),
        rule: judgement.rule,
        reason: String::new(),
        evidence: Vec::new(),
        lag: judgement.lag,
        velocity: judgement.velocity(),
        catch_up: judgement.catch_up(dead_band),
        data_loss: judgement.data_loss(dead_band),
        retention_used: judgement.retention_used(),
    }
}

/// Evidence for a person: `reads 20, silence 33.2 s, stop after 32.0 s`.
#[must_use]
pub fn evidence_text(evidence: &[(&'static str, f64)]) -> String {
    let figure = |(name, value): &(&'static str, f64)| {
        let time = name.strip_suffix("_seconds").zip(Duration::try_from_secs_f64(*value).ok());
        match time {
            Some((name, time)) => format!("{} {}", name.replace('_', " "), duration_text(time)),
            None if value.fract() == 0.0 => format!("{} {value:.0}", name.replace('_', " ")),
            None => format!("{} {value:.2}", name.replace('_', " ")),
        }
    };
    evidence.iter().map(figure).collect::<Vec<_>>().join(", ")
}

struct Said<'a> {
    judgement: &'a Judgement,
    window: &'a Window,
    around: Circumstances<'a>,
}

impl Said<'_> {
    fn reason(&self) -> String {
        let (lag, silence) = (self.lag(), duration_text(self.judgement.silence));
        let since = duration_text(self.since().unwrap_or_default());
        let recordless = duration_text(self.window.recordless(self.judgement.now));
        match self.judgement.rule {
            Rule::NotRead => format!(
                "known by its lease, or from before the stream was created anew; not read for {silence}"
            ),
            Rule::HeldElsewhere if self.around.view == View::Fleet => {
                let how = if self.window.is_outdone() {
                    format!(", and its checkpoint, moved {since} ago, is beyond all that was seen")
                } else {
                    format!(" by a worker that took it {since} ago and is not seen to read")
                };
                format!("no sidecar saw it read for {silence}; its lease is renewed{how}")
            }
            Rule::HeldElsewhere => {
                format!("not read for {silence}; another reader has had the shard for {since}")
            }
            Rule::LeftForOthers => format!(
                "not read for {silence}, while the consumer reads other shards of the stream"
            ),
            Rule::NothingUnread => {
                format!("not read for {silence}, but nothing has arrived since it was at the tip")
            }
            Rule::WaitsForParent => {
                format!("not read for {silence}: waits until the shard's parent is read to its end")
            }
            Rule::ExpiredUnread => format!(
                "not read for {silence}, and its lag of {lag} is over the stream's retention of {}",
                self.retention()
            ),
            Rule::Disconnected => {
                format!("not read for {silence}, and all its connections closed for {since}")
            }
            Rule::LeaseExpired => {
                format!("not read for {silence}, and its lease not renewed for {since}")
            }
            Rule::Silent => format!(
                "not read for {silence}, more than the {} that this reader may pause",
                duration_text(self.judgement.stop_after)
            ),
            Rule::ReadsFail => self.failing(),
            Rule::LagUnknown if self.window.was_at_tip() => {
                format!("was at the tip {silence} ago; nothing tells what has come since")
            }
            Rule::LagUnknown => {
                format!("no MillisBehindLatest in the newest of {} answers", self.window.reads())
            }
            Rule::AtTheLimit => format!(
                "lag of {lag} has reached the stream's retention of {} and does not shrink",
                self.retention()
            ),
            Rule::HoldsStill => self.held(),
            Rule::GrowsUnread => format!("{} and grows: not read for {silence}", self.behind()),
            Rule::Grows | Rule::Behind => self.moving(),
            Rule::WentBack => format!(
                "went back to older records {} ago and is not back where it was; lag of {lag}",
                duration_text(self.rewound_for().unwrap_or_default())
            ),
            Rule::FirstReads => {
                format!("{}; too few reads to say whether it grows", self.behind())
            }
            Rule::NothingArrives => format!("at the tip, no record for {recordless}"),
            Rule::NearTheTip => format!("lag of {lag} is within {}", self.allowed()),
        }
    }

    fn failing(&self) -> String {
        self.window.failing().map_or_else(String::new, |failing| {
            let over = duration_text(self.judgement.now.saturating_sub(failing.since));
            let how = failing.kind.words();
            format!("each of {} calls over {over} failed, the last one {how}", failing.calls)
        })
    }

    fn held(&self) -> String {
        let (held_for, reads) = self.window.held_for();
        let held_for = duration_text(held_for);
        format!("lag of {}, and no newer record in {reads} reads over {held_for}", self.lag())
    }

    fn moving(&self) -> String {
        let dead_band = self.around.tuning.dead_band;
        let behind = self.behind();
        match self.judgement.velocity() {
            Some(speed) if speed > dead_band => {
                format!("{behind} and grows by {speed:.2} s per second")
            }
            Some(speed) if speed < -dead_band => {
                format!("{behind} and shrinks by {:.2} s per second", -speed)
            }
            Some(_) | None => format!("{behind} and holds"),
        }
    }

    fn behind(&self) -> String {
        format!("lag of {} is over {}", self.lag(), self.allowed())
    }

    fn allowed(&self) -> String {
        duration_text(self.judgement.lag_allowed)
    }

    /// Every figure that the verdict may rest on and that is known, by name with its unit.
    fn evidence(&self) -> Vec<(&'static str, f64)> {
        let judgement = self.judgement;
        let window = self.window;
        let seconds = |time: Duration| time.as_secs_f64();
        let held = Some(window.held_for()).filter(|(_, reads)| *reads > 0);
        let figures = [
            ("reads", Some(window.reads() as f64)),
            ("silence_seconds", Some(seconds(judgement.silence))),
            ("poll_interval_seconds", judgement.cadence.map(seconds)),
            ("stop_after_seconds", Some(seconds(judgement.stop_after))),
            ("lag_seconds", judgement.lag.map(|lag| seconds(lag.value))),
            ("lag_allowed_seconds", Some(seconds(judgement.lag_allowed))),
            ("velocity", judgement.velocity()),
            ("velocity_error", judgement.slope.map(|slope| slope.error)),
            ("retention_seconds", judgement.retention.map(seconds)),
            ("recordless_seconds", Some(seconds(window.recordless(judgement.now)))),
            ("held_reads", held.map(|(_, reads)| reads as f64)),
            ("held_seconds", held.map(|(time, _)| seconds(time))),
            ("failed_calls", window.failing().map(|failing| failing.calls as f64)),
            ("rewound_seconds", self.rewound_for().map(seconds)),
            ("since_seconds", self.since().map(seconds)),
            ("lease_unmoved_seconds", self.lease_since(|seen| seen.moved_at)),
            ("checkpoint_unmoved_seconds", self.lease_since(|seen| seen.checkpoint_moved_at)),
        ];
        figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
    }

    fn since(&self) -> Option<Duration> {
        self.judgement.since.map(|since| self.judgement.now.saturating_sub(since))
    }

    fn lease_since(&self, of: impl Fn(&SeenLease) -> Duration) -> Option<f64> {
        let at = of(self.window.lease()?);
        Some(self.judgement.now.saturating_sub(at).as_secs_f64())
    }

    fn rewound_for(&self) -> Option<Duration> {
        self.window.rewound_for(self.judgement.now, self.around.tuning)
    }

    fn lag(&self) -> String {
        self.judgement.lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string())
    }

    fn retention(&self) -> String {
        self.judgement.retention.map_or_else(|| "unknown".to_owned(), duration_text)
    }
}
