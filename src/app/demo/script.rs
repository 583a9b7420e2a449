//! Owns the demo's timetable: healthy, an incident, recovery, the end. Refuses to act: it says which
//! phase it is, from the time that has passed and what has been notified.

use super::services::consumer::Pace;
use std::time::Duration;

/// An endless demo repeats its incident this often.
const CYCLE: Duration = Duration::from_secs(120);
/// The end of a demo with an end is kept for the last records and spans.
const DRAIN: Duration = Duration::from_secs(4);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scenario {
    /// The e-mail service slows down.
    SlowConsumer,
    /// The e-mail service stops reading.
    StoppedConsumer,
}

impl Scenario {
    /// Every scenario; the first is the default.
    pub(super) const ALL: [Self; 2] = [Self::SlowConsumer, Self::StoppedConsumer];

    /// Its name on the command line.
    #[must_use]
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::SlowConsumer => "slow-consumer",
            Self::StoppedConsumer => "stopped-consumer",
        }
    }

    /// The scenario of this name.
    #[must_use]
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.as_str() == name)
    }

    /// The shortest run in which everything it expects can happen. A consumer counts as stopped
    /// after half a minute of silence, or within seconds when it closes its connections.
    #[must_use]
    pub(super) const fn shortest(self) -> Duration {
        match self {
            Self::SlowConsumer => Duration::from_secs(45),
            Self::StoppedConsumer => Duration::from_secs(90),
        }
    }

    /// The alerts that must fire and be resolved.
    #[must_use]
    pub(super) const fn alerts(self) -> &'static [&'static str] {
        match self {
            Self::SlowConsumer => &["KinesisConsumerLagHigh"],
            Self::StoppedConsumer => &["KinesisConsumerLagHigh", "KinesisConsumerStopped"],
        }
    }

    /// How the e-mail service works during the incident.
    #[must_use]
    pub(super) const fn pace(self) -> Pace {
        match self {
            Self::SlowConsumer => Pace::Slow,
            Self::StoppedConsumer => Pace::Stopped,
        }
    }
}

/// A part of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everyone keeps up.
    Healthy,
    /// The e-mail service does not.
    Incident,
    /// It does again.
    Recovery,
    /// No more orders; what is under way ends.
    Drain,
}

/// Where the demo is in its timetable.
#[derive(Debug)]
pub(super) struct Script {
    total: Option<Duration>,
    /// The phase, and when it began.
    phase: Phase,
    since: Duration,
}

impl Script {
    /// A demo of `total`, or without end.
    #[must_use]
    pub(super) const fn new(total: Option<Duration>) -> Self {
        Self { total, phase: Phase::Healthy, since: Duration::ZERO }
    }

    /// The new phase, when it is time for it. `fired` says whether every alert that the incident is
    /// about has fired: a slow machine gets a longer incident rather than a false failure.
    pub(super) fn step(&mut self, elapsed: Duration, fired: bool) -> Option<Phase> {
        let cycle = self.total.unwrap_or(CYCLE);
        let lasted = elapsed.saturating_sub(self.since);
        let over = self.total.is_some_and(|total| elapsed + DRAIN >= total);
        let next = match self.phase {
            Phase::Drain => return None,
            _ if over => Phase::Drain,
            Phase::Healthy if lasted >= cycle.mul_f64(0.2) => Phase::Incident,
            Phase::Incident if lasted >= cycle.mul_f64(if fired { 0.25 } else { 0.45 }) => {
                Phase::Recovery
            }
            Phase::Recovery if self.total.is_none() && lasted >= cycle.mul_f64(0.4) => {
                Phase::Healthy
            }
            Phase::Healthy | Phase::Incident | Phase::Recovery => return None,
        };
        (self.phase, self.since) = (next, elapsed);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps through whole seconds; an alert fires `fires_after` seconds into an incident.
    fn phases(total: Option<u64>, seconds: u64, fires_after: u64) -> Vec<(u64, Phase)> {
        let mut script = Script::new(total.map(Duration::from_secs));
        let (mut seen, mut incident) = (Vec::new(), 0);
        for second in 0..seconds {
            let fired = script.phase == Phase::Incident && second >= incident + fires_after;
            if let Some(phase) = script.step(Duration::from_secs(second), fired) {
                incident = second;
                seen.push((second, phase));
            }
        }
        seen
    }

    #[test]
    fn the_timetable_scales_with_the_whole() {
        let begin = |total, fires_after| {
            phases(Some(total), total, fires_after)
                .into_iter()
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        assert_eq!(begin(90, 9), [18, 41, 86]);
        assert_eq!(begin(45, 9), [9, 21, 41]);
        // Not fired: longer, but not so long that nothing could be resolved any more.
        assert_eq!(begin(90, 99), [18, 59, 86]);
    }

    #[test]
    fn without_an_end_the_incident_comes_again() {
        let kinds: Vec<_> = phases(None, 240, 9).into_iter().map(|(_, phase)| phase).collect();
        let [a, b, c, ..] = [Phase::Incident, Phase::Recovery, Phase::Healthy];
        assert_eq!(kinds, [a, b, c, a, b, c, a]);
    }

    #[test]
    fn scenarios_have_names() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::named(scenario.as_str()), Some(scenario));
        }
        assert_eq!(Scenario::named("flood"), None);
    }
}
