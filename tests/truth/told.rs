//! Owns the way from the sidecars to the hub: what each notes, told by the calendar of its own machine,
//! over a way that is not always as quick; and what the hub makes of it. Refuses to know the world.

use crate::plan::Ms;
use kinescope::domain::engine::Event;
use kinescope::domain::observation::{Ledger, Pods, Word};
use kinescope::domain::time::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// What sidecars tell.
#[derive(Default)]
pub(crate) struct Told {
    ledgers: BTreeMap<usize, Ledger>,
    on_its_way: Vec<(Ms, Word)>,
    pods: Pods,
}

/// A moment by the clocks of a pod's machine: its calendar is off by hours, its clock began elsewhere.
fn there(pod: usize, Moment { wall, mono }: Moment) -> Moment {
    let hours = Duration::from_secs(3_600 * (1 + pod as u64));
    Moment { wall: wall.plus(hours), mono: mono + hours / 7 }
}

impl Told {
    /// What a sidecar sees.
    pub(crate) fn note(&mut self, pod: usize, event: &Event, now: Moment) {
        let now = there(pod, now);
        let mut event = event.clone();
        if let Event::Read { observation, .. } = &mut event {
            (observation.at, observation.called_at) = (now, now);
        }
        if let Event::ReadFailed { failure, .. } = &mut event {
            failure.at = now;
        }
        let new = || Ledger::new("mail", &pod.to_string(), now);
        self.ledgers.entry(pod).or_insert_with(new).note(&event);
    }

    /// What the hub hears of it by now. Sidecars that are gone tell nothing, not even that.
    pub(crate) fn tell(&mut self, is_there: impl Fn(usize) -> bool, now: Moment) -> Vec<Event> {
        let ms = now.mono.as_millis() as Ms;
        let takes = 20 + ms / 1_000 * 7 % 180;
        for (pod, ledger) in self.ledgers.iter_mut().filter(|(pod, _)| is_there(**pod)) {
            let then = there(*pod, now);
            if ledger.due() <= then.mono {
                self.on_its_way.push((ms + takes, Word::Report(ledger.report(then, false))));
            }
        }
        let (come, waits) =
            std::mem::take(&mut self.on_its_way).into_iter().partition(|(at, _)| *at <= ms);
        self.on_its_way = waits;
        let come: Vec<(Ms, Word)> = come;
        let mut events: Vec<Event> =
            come.into_iter().flat_map(|(_, word)| self.pods.hear(word, now)).collect();
        events.extend(self.pods.tick(now));
        events
    }
}
