//! Owns the polling of CloudWatch: timer, calls, backoff; settled points out to the engine. What is
//! asked, and what an answer means, `domain::cloudwatch` decides. Refuses to be driven by scrapes.

pub mod ask;
mod call;
mod finder;
mod metrics;
mod purse;
mod sdk;

pub use finder::Finder;
pub use finder::Found;
pub use metrics::CloudWatchMetrics;
pub use sdk::Sdk;

use crate::domain::backoff::Backoff;
use crate::domain::cloudwatch::Batch;
use crate::domain::cloudwatch::Bucket;
use crate::domain::cloudwatch::Budget;
use crate::domain::cloudwatch::Complete;
use crate::domain::cloudwatch::Demand;
use crate::domain::cloudwatch::Job;
use crate::domain::cloudwatch::Ledger;
use crate::domain::cloudwatch::Plan;
use crate::domain::cloudwatch::Series;
use crate::domain::cloudwatch::Subject;
use crate::domain::cloudwatch::Told;
use crate::domain::cloudwatch::budget::period;
use crate::domain::cloudwatch::plan;
use crate::domain::engine::Event;
use crate::domain::stream::StreamName;
use crate::io::clock::Clock;
use crate::io::cloudwatch::ask::Ask;
use crate::io::cloudwatch::call::AGAIN;
use crate::io::cloudwatch::call::Called;
use crate::io::cloudwatch::call::Desk;
use crate::io::cloudwatch::purse::Purse;
use crate::io::credentials::fault::Fault;
use crate::io::entropy;
use crate::io::quiet::Quiet;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Between polls while they fail, where that is longer than the interval.
const FAILING: Backoff = Backoff {
    initial: Duration::from_secs(60),
    factor: 2.0,
    max: Duration::from_secs(600),
    jitter: 0.2,
};

/// A poll is put off by up to this share of the interval, so that hubs drift apart.
const SPREAD: f64 = 0.1;

/// Calls under way at once: 400 of a third of a second each, for ten thousand streams, are half a
/// minute.
const CALLS_AT_ONCE: usize = 5;

/// How CloudWatch is polled.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// From one poll's start to the next's.
    pub interval: Duration,
    /// How long CloudWatch may at least still change a period after its end.
    pub delay: Duration,
    /// The length of one point; whole seconds, a multiple of 60 on AWS.
    pub period: Duration,
    /// What is polled beside streams, and whose turn it is.
    pub plan: Plan,
    /// Streams that are polled whether they were listed or not.
    pub streams: Vec<StreamName>,
    /// This replica's dollars a month; `None`: as many as it takes.
    pub dollars_per_month: Option<f64>,
    /// The folder in which the spending outlives a restart; `None`: memory only.
    pub state: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            delay: Duration::from_secs(120),
            period: Duration::from_secs(60),
            plan: Plan::default(),
            streams: Vec::new(),
            dollars_per_month: None,
            state: None,
        }
    }
}

/// What there is, as others find it out.
#[derive(Debug)]
pub struct Sources {
    /// The selected streams of the account.
    pub streams: watch::Receiver<Arc<[StreamName]>>,
    /// What [`Finder`] found.
    pub found: watch::Receiver<Found>,
}

/// The task that polls.
#[derive(Debug)]
pub struct Poller<A> {
    desk: Desk<A>,
    config: Config,
    sources: Sources,
    events: mpsc::Sender<Event>,
    quiet: Quiet,
    ledger: Ledger,
    budget: Budget,
    purse: Option<Purse>,
    /// What there is to ask for, given up or not; `None` before it was looked at.
    all: Option<Vec<Series>>,
    calls_of_finder: u64,
}

/// The engine has gone; there is nobody to poll for.
type Gone = mpsc::error::SendError<Event>;

impl<A: Ask> Poller<A> {
    /// Polls for what there is at the time, and tells `events` each settled point.
    #[must_use]
    pub fn new(
        ask: A,
        clock: Clock,
        config: Config,
        sources: Sources,
        events: mpsc::Sender<Event>,
        metrics: CloudWatchMetrics,
    ) -> Self {
        // More often than a period there is nothing new to ask for, and nothing to pay.
        let interval = config.interval.max(config.period);
        Self {
            desk: Desk { ask, clock, metrics, bucket: Arc::new(Mutex::new(Bucket::default())) },
            ledger: Ledger::new(config.period, config.delay),
            budget: Budget::new(config.dollars_per_month, interval, None),
            purse: config.state.as_deref().map(Purse::new),
            config,
            sources,
            events,
            quiet: Quiet::default(),
            all: None,
            calls_of_finder: 0,
        }
    }

    /// Works until `stop`, or until nobody listens any more.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        if let Some(purse) = &self.purse {
            let (dollars, interval) = (self.config.dollars_per_month, self.config.interval);
            let interval = interval.max(self.config.period);
            self.budget = Budget::new(dollars, interval, purse.load().await);
        }
        let mut failures = 0_u32;
        loop {
            self.look_around();
            let is_empty = self.all.as_ref().is_none_or(Vec::is_empty);
            if is_empty && self.something_comes().await.is_none() {
                return;
            }
            let began = self.desk.clock.now();
            let Ok(fault) = self.poll().await else { return };
            self.keep_accounts().await;
            // What is not due yet is not asked for: where periods are longer than the interval, most
            // polls find nothing to do.
            let mut delay = self.config.interval.mul_f64(1.0 + SPREAD * entropy::chance());
            failures = match fault {
                Some(fault) if meets_all(fault) => failures.saturating_add(1),
                Some(_) | None => 0,
            };
            if failures > 0 {
                delay = delay.max(FAILING.delay(failures, entropy::chance()));
            }
            self.desk.clock.sleep_until(began.mono + delay).await;
        }
    }

    /// Waits until there may be something to poll; `None`: there never will be. Whoever finds things
    /// ends at once where there is nothing to find, and streams may still be listed.
    async fn something_comes(&mut self) -> Option<()> {
        let Sources { streams, found } = &mut self.sources;
        tokio::select! {
            Ok(()) = streams.changed() => {}
            Ok(()) = found.changed() => {}
            else => return None,
        }
        // Waiting has marked the news as seen.
        self.all = None;
        self.look_around();
        Some(())
    }

    /// Takes in what there is, and what of it the budget allows.
    fn look_around(&mut self) {
        let Sources { streams, found } = &mut self.sources;
        let changed =
            streams.has_changed().unwrap_or(false) || found.has_changed().unwrap_or(false);
        let is_news = changed || self.all.is_none();
        if is_news {
            let found = found.borrow_and_update().clone();
            self.budget.charge(found.calls.saturating_sub(self.calls_of_finder));
            self.calls_of_finder = found.calls;
            let listed = Arc::clone(&streams.borrow_and_update());
            let streams: Vec<StreamName> =
                self.config.streams.iter().chain(listed.iter()).cloned().collect();
            self.all = Some(self.config.plan.series(&streams, &found.series));
        }
        let all = self.all.as_deref().unwrap_or_default();
        let before = self.budget.given_up();
        self.budget.decide(Demand::of(all), self.desk.clock.now().wall);
        let given_up = self.budget.given_up();
        self.desk.metrics.budget(&self.budget);
        if is_news || given_up != before {
            self.ledger.set_period(period(self.config.period, given_up));
            self.ledger.want(plan::without(all, given_up));
        }
        if given_up != before {
            let names: Vec<_> = given_up.iter().map(|detail| detail.as_str()).collect();
            tracing::warn!(
                given_up = names.join(","),
                dollars_per_month = self.budget.dollars(),
                "what is asked of CloudWatch changes, so that the month's budget holds"
            );
        }
    }

    /// One poll: what is due, and once more what was answered in part. The last fault, if any.
    async fn poll(&mut self) -> Result<Option<Fault>, Gone> {
        let clock = self.desk.clock.clone();
        let began = clock.now().wall;
        let due = self.ledger.due(began);
        let mut jobs: BTreeSet<Job> = due.iter().map(|batch| batch.job).collect();
        let mut spoiled = BTreeSet::new();
        let mut fault = self.ask_all(due, &mut spoiled).await?;
        let again = self.ledger.due_again(clock.now().wall);
        if !again.is_empty() && !fault.is_some_and(meets_all) {
            clock.sleep_until(clock.now().mono + AGAIN.delay(1, entropy::chance())).await;
            fault = self.ask_all(again, &mut spoiled).await?;
        }
        self.ledger.finish_round();
        spoiled.extend(self.ledger.due_again(clock.now().wall).iter().map(|batch| batch.job));
        jobs.retain(|job| !spoiled.contains(job));
        for job in jobs {
            self.desk.metrics.succeeded(job.as_str(), began);
            self.desk.metrics.delay(job, self.ledger.delay(job));
        }
        Ok(fault)
    }

    /// Every batch, or up to the first fault that all would meet, which is then the one that is told.
    /// A job with a fault that asking again does not mend is `spoiled`.
    async fn ask_all(
        &mut self,
        batches: Vec<Batch>,
        spoiled: &mut BTreeSet<Job>,
    ) -> Result<Option<Fault>, Gone> {
        let mut waiting = batches.into_iter();
        let (mut calls, mut worst) = (JoinSet::new(), None);
        // The first goes alone: what all would meet is met once.
        let mut at_once = 1;
        loop {
            while calls.len() < at_once && !worst.is_some_and(meets_all) {
                let Some(batch) = waiting.next() else { break };
                calls.spawn(self.desk.clone().call(Arc::new(batch)));
            }
            let Some(called) = calls.join_next().await else { break };
            // Only our own bug makes a call panic; its batch is asked for again with the next poll.
            let Ok(called) = called else { continue };
            if called.answers.iter().any(|it| it.complete == Complete::Refused) {
                spoiled.insert(called.batch.job);
            }
            worst = worst.filter(|worst| meets_all(*worst)).or(called.fault).or(worst);
            at_once = CALLS_AT_ONCE;
            self.hear(called).await?;
        }
        spoiled.extend(waiting.map(|batch| batch.job));
        Ok(worst)
    }

    /// Tells what a call brought.
    async fn hear(&mut self, called: Called) -> Result<(), Gone> {
        let Called { batch, answers, remarks, asked, .. } = called;
        self.budget.charge(asked);
        let now = self.desk.clock.now();
        for (cause, text) in remarks {
            if self.quiet.may_say(cause, now).is_some() {
                let job = batch.job.as_str();
                tracing::warn!(cause, job, text, "CloudWatch has something to say");
            }
        }
        let mut details = Vec::new();
        for told in self.ledger.take(&batch, answers, now.wall) {
            match (&told.series.subject, told.series.metric.basic()) {
                (Subject::Stream(stream), Some(metric)) => {
                    let stream = stream.clone();
                    let event = Event::CloudWatch { stream, metric, point: told.point };
                    // A slow engine slows the polling, and nobody else.
                    self.events.send(event).await?;
                }
                _ => details.push(told),
            }
        }
        self.tell(details).await
    }

    async fn tell(&self, details: Vec<Told>) -> Result<(), Gone> {
        match details.is_empty() {
            true => Ok(()),
            false => self.events.send(Event::CloudWatchDetails { told: details }).await,
        }
    }

    /// Writes down what is spent.
    async fn keep_accounts(&mut self) {
        self.desk.metrics.budget(&self.budget);
        let Some(purse) = &self.purse else { return };
        if let Err(error) = purse.save(self.budget.spent()).await
            && self.quiet.may_say("purse", self.desk.clock.now()).is_some()
        {
            tracing::warn!(%error, "this month's spending on CloudWatch is kept in memory only");
        }
    }
}

/// Whether every other batch would meet the fault too: asking on only makes it worse.
const fn meets_all(fault: Fault) -> bool {
    match fault {
        Fault::Throttled | Fault::Denied | Fault::Unsent => true,
        Fault::NotFound | Fault::Refused | Fault::Broken | Fault::TimedOut => false,
    }
}

#[cfg(test)]
mod day_tests;
#[cfg(all(test, feature = "demo"))]
mod tests;
