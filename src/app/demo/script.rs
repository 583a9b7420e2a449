//! Owns the demo's timetable: calm, incident after incident, the end, and what there was no time
//! for. Refuses to act: it says what begins and ends, from the time that has passed and from what
//! has been noticed.

use super::scenario::Scenario;
use std::time::Duration;

/// Before the first incident: until every reader's rhythm is known.
const CALM_FIRST: Duration = Duration::from_secs(8);
/// Between an incident that is over and the next one.
const CALM: Duration = Duration::from_secs(2);
/// The end of a demo with an end is kept for the last records and spans.
const DRAIN: Duration = Duration::from_secs(4);
/// An incident that nobody noticed by then is given up; so is waiting for the end of one.
const PATIENCE: Duration = Duration::from_secs(75);

/// What is to happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// Cause it.
    Begin(Scenario),
    /// End its cause.
    End(Scenario),
    /// No more orders; what is under way ends.
    Drain,
}

/// How far the incident of the moment has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// Kinescope told of it.
    pub noticed: bool,
    /// Its cause has ended, and Kinescope said so.
    pub over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calm,
    Incident(Scenario),
    Recovery,
    Drain,
}

/// Where the demo is in its timetable.
#[derive(Debug)]
pub(super) struct Script {
    total: Option<Duration>,
    scenes: Vec<Scenario>,
    next: usize,
    state: State,
    since: Duration,
    left_out: Vec<Scenario>,
}

/// A beat of the demo comes a little late.
const SLACK: Duration = Duration::from_secs(1);

/// The shortest demo in which this scenario can be played.
pub(super) fn shortest(scenario: Scenario) -> Duration {
    CALM_FIRST + scenario.needs() + DRAIN + SLACK
}

impl Script {
    /// These scenes, one after the other, within `total`; without it again and again.
    #[must_use]
    pub(super) const fn new(scenes: Vec<Scenario>, total: Option<Duration>) -> Self {
        let (state, since) = (State::Calm, Duration::ZERO);
        Self { total, scenes, next: 0, state, since, left_out: Vec::new() }
    }

    /// What there was no time for.
    #[must_use]
    pub(super) fn left_out(&self) -> &[Scenario] {
        &self.left_out
    }

    /// What is to happen now, if anything; `seen` is of the incident of the moment.
    pub(super) fn step(&mut self, elapsed: Duration, seen: Seen) -> Option<Cue> {
        let lasted = elapsed.saturating_sub(self.since);
        let at_end = self.total.is_some_and(|total| elapsed + DRAIN >= total);
        let (state, cue) = match self.state {
            State::Drain => return None,
            State::Calm | State::Incident(_) | State::Recovery if at_end => {
                self.left_out.extend(self.scenes.iter().skip(self.next));
                (State::Drain, Some(Cue::Drain))
            }
            State::Calm if lasted >= self.calm() => {
                let scene = self.scene(elapsed)?;
                (State::Incident(scene), Some(Cue::Begin(scene)))
            }
            State::Incident(scene)
                if (lasted >= scene.lasts() && seen.noticed) || lasted >= PATIENCE =>
            {
                (State::Recovery, Some(Cue::End(scene)))
            }
            State::Recovery if seen.over || lasted >= PATIENCE => (State::Calm, None),
            State::Calm | State::Incident(_) | State::Recovery => return None,
        };
        (self.state, self.since) = (state, elapsed);
        cue
    }

    /// The incident that was to begin can't: its alert is on already.
    pub(super) fn skip(&mut self, scene: Scenario, elapsed: Duration) {
        (self.state, self.since) = (State::Calm, elapsed);
        if self.total.is_some() {
            self.left_out.push(scene);
        }
    }

    fn calm(&self) -> Duration {
        if self.since.is_zero() { CALM_FIRST } else { CALM }
    }

    /// The next scene for which there is time.
    fn scene(&mut self, elapsed: Duration) -> Option<Scenario> {
        if self.total.is_none() && self.next >= self.scenes.len() {
            self.next = 0;
        }
        while let Some(scene) = self.scenes.get(self.next).copied() {
            self.next += 1;
            if self.total.is_none_or(|total| elapsed + scene.needs() + DRAIN <= total) {
                return Some(scene);
            }
            self.left_out.push(scene);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps through whole seconds: every incident is noticed `noticed` seconds after it began and
    /// over `over` seconds after its cause ended.
    fn play(script: &mut Script, seconds: u64, noticed: u64, over: u64) -> Vec<(u64, Cue)> {
        let (mut seen, mut since) = (Vec::new(), 0);
        for second in 0..seconds {
            let lasted = second - since;
            let what = Seen { noticed: lasted >= noticed, over: lasted >= over };
            if let Some(cue) = script.step(Duration::from_secs(second), what) {
                since = second;
                seen.push((second, cue));
            }
        }
        seen
    }

    #[test]
    fn an_incident_lasts_until_it_is_noticed_and_the_next_waits_until_it_is_over() {
        let scenes = vec![Scenario::StoppedConsumer, Scenario::Retention];
        let mut script = Script::new(scenes, Some(Duration::from_secs(90)));
        let cues = play(&mut script, 90, 10, 5);
        let expected = [
            (8, Cue::Begin(Scenario::StoppedConsumer)),
            (18, Cue::End(Scenario::StoppedConsumer)),
            (25, Cue::Begin(Scenario::Retention)),
            (35, Cue::End(Scenario::Retention)),
            (86, Cue::Drain),
        ];
        assert_eq!(cues, expected);
        assert_eq!(script.left_out(), []);
    }

    #[test]
    fn a_slow_consumer_is_slow_for_a_while() {
        let mut script =
            Script::new(vec![Scenario::SlowConsumer], Some(shortest(Scenario::SlowConsumer)));
        let cues = play(&mut script, 60, 9, 9);
        let expected = [
            (8, Cue::Begin(Scenario::SlowConsumer)),
            (23, Cue::End(Scenario::SlowConsumer)),
            (41, Cue::Drain),
        ];
        assert_eq!(cues, expected);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said() {
        let mut script = Script::new(Scenario::ALL.to_vec(), Some(Duration::from_secs(60)));
        let begun: Vec<_> = play(&mut script, 60, 8, 4)
            .into_iter()
            .filter(|(_, cue)| matches!(cue, Cue::Begin(_)))
            .collect();
        assert_eq!(begun, [(8, Cue::Begin(Scenario::SlowConsumer))]);
        assert_eq!(script.left_out(), &Scenario::ALL[1..]);
    }

    #[test]
    fn what_nobody_notices_is_given_up() {
        let mut script = Script::new(vec![Scenario::HotKey], Some(Duration::from_secs(200)));
        let cues = play(&mut script, 200, 999, 999);
        let expected = [
            (8, Cue::Begin(Scenario::HotKey)),
            (83, Cue::End(Scenario::HotKey)),
            (196, Cue::Drain),
        ];
        assert_eq!(cues, expected);
    }

    #[test]
    fn without_an_end_the_story_begins_again() {
        let mut script = Script::new(vec![Scenario::HotKey, Scenario::Resharding], None);
        let begun: Vec<_> = play(&mut script, 60, 3, 1)
            .into_iter()
            .filter_map(|(_, cue)| if let Cue::Begin(it) = cue { Some(it) } else { None })
            .collect();
        let [a, b] = [Scenario::HotKey, Scenario::Resharding];
        assert_eq!(begun[..5], [a, b, a, b, a]);
    }
}
