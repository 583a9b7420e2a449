//! Owns the play: the script against the clock, what is told meanwhile, and the count at the end.
//! Refuses to decide when a phase begins (the script does) and what is a fault (the summary does).

use super::otlp::Context;
use super::progress::Progress;
use super::script::Phase;
use super::script::Scenario;
use super::script::Script;
use super::services::EMAIL_SERVICE;
use super::services::book::READERS;
use super::services::consumer::Pace;
use super::summary::AlertTimes;
use super::summary::Delivery;
use super::summary::Summary;
use super::world::World;
use crate::domain::snapshot::CloudWatchMetric;
use crate::domain::snapshot::Snapshot;
use crate::domain::time::Moment;
use crate::domain::time::Wall;
use crate::io::clock::Clock;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::io::Result;
use std::sync::PoisonError;
use std::time::Duration;

/// How often the script is looked at.
const BEAT: Duration = Duration::from_millis(250);
/// Every eighth beat has a line.
const BEATS_PER_LINE: u64 = 8;
/// How long the last records may take after the orders ended.
const DRAIN_MAX: Duration = Duration::from_secs(15);
/// Points of CloudWatch that are told apart; a run of a day has 14,400.
const POINTS_MAX: usize = 20_000;

/// The play.
pub(super) struct Stage {
    world: World,
    clock: Clock,
    scenario: Scenario,
    script: Script,
    began: Moment,
    incident: Option<Moment>,
    recovery: Option<Moment>,
    /// Notifications up to here are printed.
    told: usize,
    lag_peak_s: Option<f64>,
    points: BTreeSet<(String, CloudWatchMetric, Wall)>,
}

impl Stage {
    /// A play of `total`, or without end, that begins now.
    #[must_use]
    pub(super) fn new(
        world: World,
        clock: Clock,
        scenario: Scenario,
        total: Option<Duration>,
    ) -> Self {
        Self {
            world,
            scenario,
            script: Script::new(total),
            began: clock.now(),
            clock,
            incident: None,
            recovery: None,
            told: 0,
            lag_peak_s: None,
            points: BTreeSet::new(),
        }
    }

    /// Plays until the end of the script or ctrl-c, and counts.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) async fn play(mut self, progress: &mut Progress<'_>) -> Result<Summary> {
        progress.phase(Duration::ZERO, Phase::Healthy, self.scenario)?;
        let complete = self.perform(progress).await?;
        self.world.stop_producing().await;
        let patience = self.clock.now().mono + if complete { DRAIN_MAX } else { DRAIN_MAX / 5 };
        while !self.world.book.pages().drained() && self.clock.now().mono < patience {
            tokio::time::sleep(BEAT).await;
            self.tell_alerts(progress)?;
        }
        let snapshots = self.world.snapshots().await;
        self.learn(&snapshots.0, snapshots.1.as_ref());
        self.tell_alerts(progress)?;
        Ok(self.count(complete).await)
    }

    /// Plays the script. False when it was broken off.
    async fn perform(&mut self, progress: &mut Progress<'_>) -> Result<bool> {
        let mut beats = tokio::time::interval(BEAT);
        let mut notified = self.world.hook.total();
        let mut broken_off = std::pin::pin!(tokio::signal::ctrl_c());
        let mut beat = 0_u64;
        loop {
            tokio::select! {
                _ = &mut broken_off => return Ok(false),
                Ok(()) = notified.changed() => {}
                _ = beats.tick() => {
                    beat += 1;
                    if beat.is_multiple_of(BEATS_PER_LINE) {
                        self.tell_lag(progress).await?;
                    }
                }
            }
            self.tell_alerts(progress)?;
            let elapsed = self.clock.now().since(self.began);
            if let Some(phase) = self.script.step(elapsed, self.all_fired()) {
                progress.phase(elapsed, phase, self.scenario)?;
                if phase == Phase::Drain {
                    self.world.pace.send_replace(Pace::Normal);
                    return Ok(true);
                }
                self.enter(phase);
            }
        }
    }

    fn enter(&mut self, phase: Phase) {
        match phase {
            Phase::Incident => {
                (self.incident, self.recovery) = (Some(self.clock.now()), None);
                self.world.pace.send_replace(self.scenario.pace());
            }
            Phase::Recovery => {
                self.recovery = Some(self.clock.now());
                self.world.pace.send_replace(Pace::Normal);
            }
            Phase::Healthy | Phase::Drain => {}
        }
    }

    async fn tell_lag(&mut self, progress: &mut Progress<'_>) -> Result<()> {
        let (snapshots, hub) = self.world.snapshots().await;
        self.learn(&snapshots, hub.as_ref());
        let put = self.world.book.pages().put.values().sum();
        progress.lag(self.clock.now().since(self.began), put, &snapshots)
    }

    fn learn(&mut self, snapshots: &[(&'static str, Snapshot)], hub: Option<&Snapshot>) {
        let slowed = snapshots.iter().filter(|(service, _)| *service == EMAIL_SERVICE);
        let lags = slowed.flat_map(|(_, snapshot)| &snapshot.consumers);
        for lag in lags.filter_map(|view| view.worst.lag) {
            let seconds = lag.value.as_secs_f64();
            self.lag_peak_s = Some(self.lag_peak_s.map_or(seconds, |peak| peak.max(seconds)));
        }
        for view in hub.into_iter().flat_map(|snapshot| &snapshot.streams) {
            let mut cloudwatch = view.cloudwatch;
            for metric in CloudWatchMetric::ALL {
                if let Some(point) = cloudwatch.slot(metric)
                    && self.points.len() < POINTS_MAX
                {
                    self.points.insert((view.stream.to_string(), metric, point.at));
                }
            }
        }
    }

    fn tell_alerts(&mut self, progress: &mut Progress<'_>) -> Result<()> {
        let total = *self.world.hook.total().borrow();
        let fresh = self.world.hook.latest(total.saturating_sub(self.told));
        self.told = total;
        for alert in fresh {
            progress.alert(alert.at.since(self.began), &alert)?;
        }
        Ok(())
    }

    /// When an alert of the incident was first notified in this state.
    fn first(&self, alert: &str, firing: bool) -> Option<Moment> {
        let since = self.world.hook.since(self.incident?);
        let ours = |one: &&super::webhook::Received| {
            one.alert == alert && one.consumer == EMAIL_SERVICE && one.firing == firing
        };
        since.iter().find(ours).map(|one| one.at)
    }

    fn all_fired(&self) -> bool {
        self.scenario.alerts().iter().all(|alert| self.first(alert, true).is_some())
    }

    /// Ends the world and counts what happened in it.
    async fn count(self, complete: bool) -> Summary {
        let after = |at: Option<Moment>, since: Option<Moment>| Some(at?.since(since?));
        let alerts = self.scenario.alerts().iter().map(|name| AlertTimes {
            name,
            fired_after: after(self.first(name, true), self.incident),
            resolved_after: after(self.first(name, false), self.recovery),
        });
        let alerts = alerts.collect();
        let stray = self.world.hook.since(self.began);
        let stray = stray.iter().filter(|one| one.firing && one.consumer != EMAIL_SERVICE).count();
        let ran = self.clock.now().since(self.began);
        let (book, spans) = (self.world.book.clone(), self.world.spans.clone());
        // Ending the sidecars sends their last spans: nothing is counted before that.
        let (dropped, hub) = self.world.stop().await;
        let (pages, spans) = (book.pages(), spans.lock().unwrap_or_else(PoisonError::into_inner));
        let deliveries = READERS.iter().zip(&pages.deliveries).map(|(reader, came)| {
            let contexts: &HashMap<Context, u64> = &came.contexts;
            let joined = spans.joined(reader.service, contexts);
            let put = pages.put.get(reader.stream).copied().unwrap_or_default();
            Delivery { put, came: came.clone(), joined }
        });
        let continued = pages.client_traces.iter().filter(|trace| spans.continues(**trace)).count();
        Summary {
            complete,
            ran,
            failures: (pages.put_failures, pages.read_failures),
            deliveries: deliveries.collect(),
            client_traces: (pages.client_traces.len() as u64, continued as u64),
            alerts,
            stray_alerts: stray as u64,
            lag_peak_s: self.lag_peak_s,
            cloudwatch_points: self.points.len(),
            sagas: pages.sagas,
            spans: spans.spans,
            left_out: spans.left_out,
            dropped,
            hub,
        }
    }
}
