//! Owns what counts as noticed and as over of one incident, and what was a false alarm: from what
//! arrived at the webhook and what the hub shows. Refuses to take our own knowledge of the cause for
//! Kinescope's.

use super::scenario::Scenario;
use super::webhook::Received;
use crate::domain::alert::AlertView;
use crate::domain::snapshot::ConsumerView;
use crate::domain::snapshot::Snapshot;
use crate::domain::time::Moment;
use std::collections::BTreeSet;
use std::time::Duration;

/// One incident, from its cause on.
#[derive(Debug, Clone)]
pub(super) struct Act {
    /// Which.
    pub scenario: Scenario,
    /// When its cause began.
    pub began: Moment,
    /// When its cause ended.
    pub ended: Option<Moment>,
    /// When Kinescope told of it, and how: the rule, or what the hub shows.
    pub noticed: Option<(Moment, String)>,
    /// When Kinescope told that it is over; of what it tells only later: when it was.
    pub over: Option<Moment>,
    /// It is over, but its alert came so often that it stays on for a while.
    pub flaps: bool,
    /// Alerts that fired where all was well.
    pub false_alarms: Vec<String>,
    /// Of a resharding: what the hub has to show.
    pub shards: Shards,
}

/// A stream's shards around a resharding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shards {
    /// What was done.
    pub said: String,
    /// How many were open before, as the hub says.
    pub before: Option<u32>,
    /// Those that are open after it.
    pub after: BTreeSet<String>,
    /// Who reads them.
    pub readers: Vec<&'static str>,
}

/// What came of one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which.
    pub scenario: Scenario,
    /// From its beginning to the notice, and by what.
    pub noticed: Option<(Duration, String)>,
    /// From the end of its cause to its being over.
    pub over_after: Option<Duration>,
    /// Alerts that fired where all was well.
    pub false_alarms: Vec<String>,
}

impl Act {
    /// It begins now.
    pub(super) const fn new(scenario: Scenario, began: Moment) -> Self {
        let shards = Shards {
            said: String::new(),
            before: None,
            after: BTreeSet::new(),
            readers: Vec::new(),
        };
        let (ended, noticed, over, flaps) = (None, None, None, false);
        Self { scenario, began, ended, noticed, over, flaps, false_alarms: Vec::new(), shards }
    }

    /// Whether this alert is about what the incident is about.
    pub(super) fn is_about(&self, alert: &Received) -> bool {
        self.scenario.about().is(&alert.stream, &alert.consumer)
    }

    /// Takes in an alert that arrived.
    pub(super) fn take(&mut self, alert: &Received) {
        if alert.at < self.began || self.over.is_some() || !self.is_about(alert) {
            return;
        }
        let Some(expected) = self.scenario.alert() else {
            if alert.firing {
                self.false_alarms.push(alert.alert.clone());
            }
            return;
        };
        if alert.alert != expected {
            return;
        }
        if alert.firing {
            self.noticed.get_or_insert_with(|| (alert.at, format!("{expected}, {}", alert.said())));
        } else if self.ended.is_some_and(|ended| alert.at >= ended) {
            self.over = Some(alert.at);
        }
    }

    /// Whether the hub's page tells what no alert that arrives does.
    pub(super) fn needs_the_hub(&self) -> bool {
        self.over.is_none() && (self.scenario.alert().is_none() || self.ended.is_some())
    }

    /// Takes in at `now` whether its cause left nothing behind, where its alert tells that it is over
    /// much later only.
    pub(super) fn settle(&mut self, nothing_left: bool, now: Moment) {
        let late = !self.scenario.is_resolved_soon() && self.noticed.is_some();
        if late && self.ended.is_some() && nothing_left {
            self.over.get_or_insert(now);
        }
    }

    /// Takes in what the hub shows at `now`.
    pub(super) fn look(&mut self, hub: &Snapshot, now: Moment) {
        if self.noticed.is_some()
            && self.ended.is_some()
            && hub.alerts.iter().any(|it| self.is_kept(it))
        {
            self.flaps = true;
            self.over.get_or_insert(now);
        }
        if self.shards.after.is_empty() {
            return;
        }
        let stream = self.scenario.about().stream;
        let told = hub.streams.iter().find(|view| view.stream.as_str() == stream);
        let open = told.and_then(|view| Some(view.description.as_ref()?.open_shards));
        if let Some((before, open)) = self.shards.before.zip(open).filter(|(old, new)| old != new)
            && self.noticed.is_none()
        {
            let said = format!("the hub shows {open} open shards of {stream} and no more {before}");
            self.noticed = Some((now, said));
        }
        if self.ended.is_some() && self.over.is_none() && self.all_read_on(hub) {
            self.over = Some(now);
        }
    }

    /// Whether this is its alert, clear again and on only because it flaps.
    fn is_kept(&self, alert: &AlertView) -> bool {
        let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
        self.scenario.alert() == Some(label("alertname"))
            && self.scenario.about().is(label("stream"), label("consumer"))
            && ["flapping", "kept"].iter().all(|word| alert.annotations.contains_key(*word))
    }

    /// Whether the hub sees every reader read all new shards and none of those that were closed.
    fn all_read_on(&self, hub: &Snapshot) -> bool {
        let stream = self.scenario.about().stream;
        self.shards.readers.iter().all(|reader| {
            let view = hub
                .consumers
                .iter()
                .find(|view| view.stream.as_str() == stream && view.consumer.as_str() == *reader);
            let read = |it: &ConsumerView| {
                it.shards.iter().map(|shard| shard.shard.to_string()).collect::<BTreeSet<_>>()
            };
            view.is_some_and(|view| read(view) == self.shards.after)
        })
    }

    /// What came of it.
    pub(super) fn outcome(&self) -> Outcome {
        let noticed = self.noticed.as_ref().map(|(at, how)| (at.since(self.began), how.clone()));
        let over_after = self.over.zip(self.ended).map(|(over, ended)| over.since(ended));
        let false_alarms = self.false_alarms.clone();
        Outcome { scenario: self.scenario, noticed, over_after, false_alarms }
    }
}

impl Outcome {
    /// What of it did not happen, as a sentence each.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let name = self.scenario.as_str();
        let mut faults = Vec::new();
        match (&self.noticed, self.over_after) {
            (None, _) => faults.push(format!("Kinescope did not notice {name}")),
            (Some(_), None) => faults.push(format!("Kinescope did not tell that {name} was over")),
            (Some(_), Some(_)) => {}
        }
        let alarms = self.false_alarms.iter();
        faults.extend(alarms.map(|alert| format!("{name}: {alert} was a false alarm")));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn at(second: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(second))
    }

    fn alert(second: u64, firing: bool, alert: &str, stream: &str, consumer: &str) -> Received {
        Received {
            at: at(second),
            firing,
            alert: alert.to_owned(),
            consumer: consumer.to_owned(),
            stream: stream.to_owned(),
            shard: String::new(),
            value: "7 s".to_owned(),
        }
    }

    #[test]
    fn it_is_noticed_by_its_own_alert_and_over_when_that_is_resolved_after_its_end() {
        let mut act = Act::new(Scenario::SlowConsumer, at(10));
        let late = |second, firing| {
            alert(second, firing, "KinesisConsumerLagHigh", "orders", "email-service")
        };
        let mut check = |received: Received, noticed: Option<u64>, over: Option<u64>| {
            act.take(&received);
            let seconds = |time: Duration| time.as_secs();
            let outcome = act.outcome();
            assert_eq!(outcome.noticed.map(|(after, _)| seconds(after)), noticed, "{received:?}");
            assert_eq!(outcome.over_after.map(seconds), over, "{received:?}");
            if received.at == at(23) {
                act.ended = Some(at(24));
            }
        };
        check(late(9, true), None, None);
        check(alert(12, true, "KinesisConsumerLagHigh", "orders", "saga"), None, None);
        check(alert(12, true, "KinesisConsumerStopped", "orders", "email-service"), None, None);
        check(late(20, true), Some(10), None);
        check(late(22, false), Some(10), None);
        check(late(23, true), Some(10), None);
        check(late(30, false), Some(10), Some(6));
        assert_eq!(act.outcome().faults(), [""; 0]);
    }

    #[test]
    fn an_alert_while_all_is_well_is_a_false_alarm() {
        let mut act = Act::new(Scenario::Resharding, at(10));
        act.take(&alert(12, true, "KinesisConsumerLagHigh", "orders", "saga"));
        act.take(&alert(12, true, "KinesisHotShard", "invoices", ""));
        (act.noticed, act.ended, act.over) =
            (Some((at(12), String::new())), Some(at(13)), Some(at(14)));
        act.take(&alert(15, true, "KinesisConsumerStopped", "orders", "saga"));
        let expected = ["resharding: KinesisConsumerLagHigh was a false alarm"];
        assert_eq!(act.outcome().faults(), expected);
    }

    #[test]
    fn it_is_over_too_when_its_alert_is_on_only_because_it_flaps() {
        let mut act = Act::new(Scenario::SlowConsumer, at(10));
        act.take(&alert(20, true, "KinesisConsumerLagHigh", "orders", "email-service"));
        act.ended = Some(at(24));
        let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|&(name, is)| (name.to_owned(), is.to_owned())).collect()
        };
        let labels = [("alertname", "KinesisConsumerLagHigh"), ("stream", "orders")];
        let mut hub = crate::wire::status::sample::snapshot();
        let mut shown = hub.alerts.remove(0);
        shown.labels = text(&[labels[0], labels[1], ("consumer", "email-service")]);
        let mut check = |annotations: &[(&str, &str)], over: bool| {
            shown.annotations = text(annotations);
            hub.alerts = vec![shown.clone()];
            act.look(&hub, at(26));
            assert_eq!((act.flaps, act.over), (over, over.then(|| at(26))), "{annotations:?}");
        };
        check(&[("kept", "clear for 1 s")], false);
        check(&[("flapping", "fired 3 times within 2 min")], false);
        check(&[("flapping", "fired 3 times within 2 min"), ("kept", "clear for 1 s")], true);
    }

    #[test]
    fn what_nobody_told_is_a_fault() {
        let mut act = Act::new(Scenario::HotKey, at(0));
        assert_eq!(act.outcome().faults(), ["Kinescope did not notice hot-key"]);
        act.noticed = Some((at(1), String::new()));
        assert_eq!(act.outcome().faults(), ["Kinescope did not tell that hot-key was over"]);
    }
}
