//! Owns how a configuration that was read again reaches alerting: rules and the way of telling go to
//! the engine, silences to their book, addresses and keys to who delivers. Refuses to decide what
//! can change while the process runs: `reload` does.

use crate::app::config::{Alerts, Config, Role};
use crate::app::observing;
use crate::domain::engine::{Alerting, Event};
use crate::io::notify::Settings;
use crate::io::silences::SilenceBook;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The task.
#[derive(Debug)]
pub struct Realerting {
    /// What alerting began with.
    pub known: Alerts,
    /// The configuration in force.
    pub in_force: watch::Receiver<Arc<Config>>,
    /// The engine's.
    pub events: mpsc::Sender<Event>,
    /// Those of the configuration among others.
    pub silences: SilenceBook,
    /// Who is told.
    pub receivers: Settings,
    /// Where a person finds our status page.
    pub status_page: String,
}

impl Realerting {
    /// Follows the configuration until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        loop {
            let config = Arc::clone(&self.in_force.borrow_and_update());
            if config.alerts != self.known {
                self.known = config.alerts.clone();
                self.receivers.put(&self.known.receivers);
                self.silences.configure(self.known.alerting.silences.clone()).await;
                let event = Event::Reconfigured(Box::new(alerting(&config, &self.status_page)));
                if self.events.send(event).await.is_err() {
                    return;
                }
            }
            if self.in_force.changed().await.is_err() {
                return;
            }
        }
    }
}

/// What this process alerts on, and how it tells: a link to its page belongs to every alert.
#[must_use]
pub fn alerting(config: &Config, status_page: &str) -> Alerting {
    let told = &config.alerts.alerting;
    let mut policy = told.policy.clone();
    status_page.clone_into(&mut policy.status_page);
    // Each pod has a sidecar; of hubs that share a stream there is one.
    policy.lets_go = config.role == Role::Sidecar;
    Alerting { rules: observing::rules(config), policy, objective: told.objective }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::{Flags, load_with};
    use crate::domain::time::Wall;
    use crate::io::clock::Clock;
    use std::collections::BTreeMap;
    use std::path::Path;

    fn written(alerts: &str) -> Config {
        let text = format!("alerts: {alerts}");
        let path = Path::new("kinescope.yaml");
        load_with(Some(path), &BTreeMap::new(), &Flags::default(), &|_| Ok(text.clone())).unwrap()
    }

    #[tokio::test]
    async fn what_changes_reaches_the_engine_and_the_book() {
        let began = written("{ storm_limit: 7 }");
        let (change, in_force) = watch::channel(Arc::new(began.clone()));
        let (events, mut heard) = mpsc::channel(10);
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let silences = SilenceBook::open(Vec::new(), None, events.clone(), clock);
        let task = Realerting {
            known: began.alerts.clone(),
            in_force,
            events,
            silences,
            receivers: Settings::default(),
            status_page: "http://here/".to_owned(),
        };
        let stop = CancellationToken::new();
        let following = task.run(stop.clone());
        let silence = "{ match: { stream: a }, until: 2026-12-24T18:00:00Z }";
        let other = written(&format!("{{ storm_limit: 5, silences: [{silence}] }}"));
        let asking = async {
            // The same again is no news.
            change.send_replace(Arc::new(began));
            change.send_replace(Arc::new(other.clone()));
            let silenced = heard.recv().await;
            assert_eq!(silenced, Some(Event::Silenced(other.alerts.alerting.silences.clone())));
            let told = heard.recv().await;
            let expected = alerting(&other, "http://here/");
            assert_eq!(expected.policy.storm_limit, 5);
            assert_eq!(told, Some(Event::Reconfigured(Box::new(expected))));
            stop.cancel();
        };
        tokio::join!(asking, following);
        assert!(heard.is_empty());
    }
}
