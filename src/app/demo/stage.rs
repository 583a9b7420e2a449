//! Owns the play: the script against the clock, what is told meanwhile, and the count at the end.
//! Refuses to decide when an incident begins (the script does), what counts as noticed (the act
//! does) and what is a fault (the summary does).

use super::act::Act;
use super::otlp::Context;
use super::progress::Progress;
use super::scenario::Scenario;
use super::script::Cue;
use super::script::Script;
use super::script::Seen;
use super::services::EMAIL_SERVICE;
use super::services::book::READERS;
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

/// Incidents that the summary tells of; the oldest go first.
const ACTS_MAX: usize = 100;

/// The play.
pub(super) struct Stage {
    world: World,
    clock: Clock,
    script: Script,
    began: Moment,
    /// The last is the incident of the moment.
    acts: Vec<Act>,
    /// Why incidents could not be caused.
    failed: Vec<String>,
    /// Notifications up to here are printed.
    told: usize,
    /// Alerts that are on: name, stream, consumer.
    on: BTreeSet<(String, String, String)>,
    stray_alerts: u64,
    lag_peak_s: Option<f64>,
    points: BTreeSet<(String, CloudWatchMetric, Wall)>,
}

impl Stage {
    /// A play of these scenes within `total`, or without end, that begins now.
    #[must_use]
    pub(super) fn new(
        world: World,
        clock: Clock,
        scenes: Vec<Scenario>,
        total: Option<Duration>,
    ) -> Self {
        Self {
            world,
            script: Script::new(scenes, total),
            began: clock.now(),
            clock,
            acts: Vec::new(),
            failed: Vec::new(),
            told: 0,
            on: BTreeSet::new(),
            stray_alerts: 0,
            lag_peak_s: None,
            points: BTreeSet::new(),
        }
    }

    /// Plays until the end of the script or ctrl-c, and counts.
    ///
    /// # Errors
    /// When the output is gone.
    pub(super) async fn play(mut self, progress: &mut Progress<'_>) -> Result<Summary> {
        progress.calm(Duration::ZERO)?;
        let complete = self.perform(progress).await?;
        self.world.stop_producing().await;
        let patience = self.clock.now().mono + if complete { DRAIN_MAX } else { DRAIN_MAX / 5 };
        while !(self.world.book.pages().drained() && self.seen().over)
            && self.clock.now().mono < patience
        {
            tokio::time::sleep(BEAT).await;
            self.look(progress).await?;
        }
        let snapshots = self.world.snapshots().await;
        self.learn(&snapshots.0, snapshots.1.as_ref());
        self.look(progress).await?;
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
            self.look(progress).await?;
            let elapsed = self.clock.now().since(self.began);
            match self.script.step(elapsed, self.seen()) {
                Some(Cue::Begin(scenario)) => self.begin(scenario, progress).await?,
                Some(Cue::End(scenario)) => self.end(scenario, progress)?,
                Some(Cue::Drain) => {
                    let now = self.clock.now();
                    if let Some(act) = self.acts.last_mut() {
                        act.ended.get_or_insert(now);
                        self.world.cure(act.scenario);
                    }
                    progress.drain(elapsed, self.script.left_out())?;
                    return Ok(true);
                }
                None => {}
            }
        }
    }

    async fn begin(&mut self, scenario: Scenario, progress: &mut Progress<'_>) -> Result<()> {
        let now = self.clock.now();
        let elapsed = now.since(self.began);
        if self.is_on(scenario) {
            // A second alarm on top of it would tell nobody anything, and us not whether it was seen.
            self.script.skip(scenario, elapsed);
            return progress.skipped(elapsed, scenario);
        }
        progress.begins(elapsed, scenario)?;
        if self.acts.len() >= ACTS_MAX {
            self.acts.remove(0);
        }
        self.acts.push(Act::new(scenario, now));
        match (self.world.cause(scenario, &self.clock).await, self.acts.last_mut()) {
            (Ok(shards), Some(act)) => {
                progress.did(self.clock.now().since(self.began), &shards.said)?;
                act.shards = shards;
            }
            (Err(why), _) => self.failed.push(format!("{}: {why}", scenario.as_str())),
            (Ok(_), None) => {}
        }
        Ok(())
    }

    /// Whether the alert that has to tell of it fires already.
    fn is_on(&self, scenario: Scenario) -> bool {
        let is = |(alert, stream, consumer): &(String, String, String)| {
            scenario.alert() == Some(alert.as_str()) && scenario.about().is(stream, consumer)
        };
        self.on.iter().any(is)
    }

    fn end(&mut self, scenario: Scenario, progress: &mut Progress<'_>) -> Result<()> {
        self.world.cure(scenario);
        let now = self.clock.now();
        if let Some(act) = self.acts.last_mut() {
            act.ended = Some(now);
        }
        progress.ends(now.since(self.began), scenario)
    }

    /// How far the incident of the moment has come; before the first one all is over.
    fn seen(&self) -> Seen {
        self.acts.last().map_or(Seen { noticed: false, over: true }, |act| Seen {
            noticed: act.noticed.is_some(),
            over: act.over.is_some(),
        })
    }

    /// Takes in what the webhook got and what the hub shows, and tells what is new of it.
    async fn look(&mut self, progress: &mut Progress<'_>) -> Result<()> {
        let before = self.seen();
        self.tell_alerts(progress)?;
        let now = self.clock.now();
        let hub = match self.acts.last() {
            Some(act) if act.needs_the_hub() => self.world.hub.snapshot().await,
            Some(_) | None => None,
        };
        let Some(act) = self.acts.last_mut() else { return Ok(()) };
        if let Some(hub) = hub {
            act.look(&hub, now);
        }
        let invoices_wait = !self.world.all_invoices_stored();
        act.settle(!invoices_wait, now);
        let (act, began) = (&*act, self.began);
        if !before.noticed
            && let Some((at, how)) = &act.noticed
        {
            progress.noticed(at.since(began), act.scenario, at.since(act.began), how)?;
        }
        if !before.over
            && let Some((over, ended)) = act.over.zip(act.ended)
        {
            progress.over(over.since(began), act, over.since(ended))?;
        }
        Ok(())
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
            let key = (alert.alert.clone(), alert.stream.clone(), alert.consumer.clone());
            if alert.firing {
                self.on.insert(key);
            } else {
                self.on.remove(&key);
            }
            // Those that come late are about an incident whose cause has ended.
            let known = self.acts.iter().any(|act| act.is_about(&alert));
            self.stray_alerts += u64::from(alert.firing && !known);
            if let Some(act) = self.acts.last_mut() {
                act.take(&alert);
            }
        }
        Ok(())
    }

    /// Ends the world and counts what happened in it.
    async fn count(self, complete: bool) -> Summary {
        let incidents = self.acts.iter().map(Act::outcome).collect();
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
            incidents,
            failed: self.failed,
            left_out_scenes: self.script.left_out().to_vec(),
            stray_alerts: self.stray_alerts,
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
