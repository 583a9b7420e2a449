//! Owns the search for what cannot be known by name: shards with enhanced monitoring, consumers with
//! fan-out, what patterns mean. Refuses to forget what was found because a search failed.

use crate::domain::backoff::Backoff;
use crate::domain::cloudwatch::Plan;
use crate::domain::cloudwatch::Series;
use crate::domain::cloudwatch::found::Wish;
use crate::io::clock::Clock;
use crate::io::cloudwatch::ask::Ask;
use crate::io::cloudwatch::metrics::CloudWatchMetrics;
use crate::io::cloudwatch::metrics::DISCOVERY;
use crate::io::cloudwatch::metrics::Operation;
use crate::io::credentials::fault::Fault;
use crate::io::entropy;
use crate::io::quiet::Quiet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// CloudWatch lists a new metric after up to a quarter of an hour; asking more often finds no more.
const EVERY: Duration = Duration::from_secs(30 * 60);

/// ListMetrics has 25 calls a second of a region; a tenth of that is enough.
const SPACING: Duration = Duration::from_millis(400);

/// Most series that are found; those beyond are left out, and that is said.
const FOUND_MAX: usize = 200_000;

/// Most pages of one question, 500 metrics each.
const PAGES_MAX: usize = 1_000;

const RETRY: Backoff = Backoff {
    initial: Duration::from_secs(30),
    factor: 2.0,
    max: Duration::from_secs(1_800),
    jitter: 0.5,
};

/// What was found, and what the search has cost.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Every series, of all searches.
    pub series: Arc<[Series]>,
    /// Calls that were answered so far; AWS bills each.
    pub calls: u64,
}

/// The task that searches.
#[derive(Debug)]
pub struct Finder<A> {
    ask: A,
    clock: Clock,
    wishes: Vec<(Wish, Vec<Series>)>,
    found: watch::Sender<Found>,
    calls: u64,
    metrics: CloudWatchMetrics,
    quiet: Quiet,
}

impl<A: Ask> Finder<A> {
    /// Searches for what `plan` does not know by name.
    #[must_use]
    pub fn new(
        ask: A,
        clock: Clock,
        plan: &Plan,
        metrics: CloudWatchMetrics,
    ) -> (watch::Receiver<Found>, Self) {
        let (found, receiver) = watch::channel(Found::default());
        let wishes = plan.wishes().map(|wish| (wish, Vec::new())).collect();
        let quiet = Quiet::default();
        (receiver, Self { ask, clock, wishes, found, calls: 0, metrics, quiet })
    }

    /// Works until `stop`; not at all where there is nothing to search for.
    pub async fn run(mut self, stop: CancellationToken) {
        if self.wishes.is_empty() {
            return stop.cancelled().await;
        }
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut failures = 0_u32;
        loop {
            let began = self.clock.now();
            let complete = self.search().await;
            let delay = if complete {
                failures = 0;
                self.metrics.succeeded(DISCOVERY, began.wall);
                EVERY.mul_f64(1.0 + 0.1 * entropy::chance())
            } else {
                failures = failures.saturating_add(1);
                RETRY.delay(failures, entropy::chance())
            };
            self.clock.sleep_until(self.clock.now().mono + delay).await;
        }
    }

    /// Every question once; tells what is known then. Whether all were answered.
    async fn search(&mut self) -> bool {
        let mut complete = true;
        for index in 0..self.wishes.len() {
            let Some((wish, _)) = self.wishes.get(index) else { continue };
            match self.all(*wish).await {
                Ok(series) => {
                    self.wishes.iter_mut().skip(index).take(1).for_each(|it| it.1 = series.clone());
                }
                Err(_) => complete = false,
            }
        }
        let mut series: Vec<Series> =
            self.wishes.iter().flat_map(|(_, series)| series).cloned().collect();
        series.sort();
        series.dedup();
        if series.len() > FOUND_MAX {
            series.truncate(FOUND_MAX);
            tracing::warn!(FOUND_MAX, "metrics left out; narrow cloudwatch.streams");
        }
        self.found.send_replace(Found { series: series.into(), calls: self.calls });
        complete
    }

    /// All pages of one question.
    async fn all(&mut self, wish: Wish) -> Result<Vec<Series>, Fault> {
        let (mut series, mut token): (Vec<Series>, Option<String>) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let listing = self.ask.list(wish, token.as_deref()).await.map_err(|refused| {
                self.metrics.failed(Operation::ListMetrics, refused.fault);
                if self.quiet.may_say(refused.fault.as_str(), self.clock.now()).is_some() {
                    let (cause, error) = (refused.fault.as_str(), refused.text);
                    tracing::warn!(cause, error, kind = ?wish.kind, "CloudWatch's metrics not listed");
                }
                refused.fault
            })?;
            self.metrics.listed();
            self.calls += 1;
            series.extend(listing.series);
            if listing.next.is_none() || listing.next == token || series.len() > FOUND_MAX {
                break;
            }
            token = listing.next;
            self.clock.sleep_until(self.clock.now().mono + SPACING).await;
        }
        Ok(series)
    }
}
