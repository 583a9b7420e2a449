//! Owns the task that looks at what this process counts of itself and tells the engine, so that
//! rules see the same totals that a scrape does. Refuses to count anything itself.

use crate::domain::alert::figures::{CloudWatchTotals, Figures, PutTotals, ReceiverTotals};
use crate::domain::engine::Event;
use crate::domain::time::Wall;
use crate::io::clock::Clock;
use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// As often as a busy scraper, and twice in the longest time that the rules take for one look.
const EVERY: Duration = Duration::from_secs(15);

/// The task.
#[derive(Debug)]
pub struct Counted {
    /// Where the counters are.
    pub registry: Registry,
    /// Both clocks.
    pub clock: Clock,
    /// Who is told.
    pub events: mpsc::Sender<Event>,
    /// Whether this process asks CloudWatch at all.
    pub polls_cloudwatch: bool,
}

impl Counted {
    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.look()).await;
    }

    async fn look(&self) {
        loop {
            let (registry, polls) = (self.registry.clone(), self.polls_cloudwatch);
            // A look at every series of the process: not on the thread that carries traffic.
            let look = move || figures(&registry.gather(), polls);
            let Ok(figures) = tokio::task::spawn_blocking(look).await else { return };
            if self.events.send(Event::Counted(Box::new(figures))).await.is_err() {
                return;
            }
            let next = self.clock.now().mono.saturating_add(EVERY);
            self.clock.sleep_until(next).await;
        }
    }
}

fn figures(families: &[MetricFamily], polls_cloudwatch: bool) -> Figures {
    let cloudwatch = polls_cloudwatch.then(CloudWatchTotals::default);
    let mut figures = Figures { cloudwatch, ..Figures::default() };
    let all = families
        .iter()
        .flat_map(|family| family.get_metric().iter().map(move |metric| (family.name(), metric)));
    for (name, metric) in all {
        let count = metric.get_counter().get_value() as u64;
        let gauge = metric.get_gauge().get_value();
        match name {
            "kinesis_records_total" if label(metric, "direction") == "put" => {
                puts(&mut figures, metric).records += count;
            }
            "kinesis_put_failures_total" => puts(&mut figures, metric).failed += count,
            "kinesis_sagas" if label(metric, "state") == "stuck" => {
                figures.sagas_stuck.insert(label(metric, "saga").to_owned(), gauge);
            }
            "kinescope_notifications_total" => {
                let receiver = label(metric, "receiver").to_owned();
                let totals: &mut ReceiverTotals = figures.receivers.entry(receiver).or_default();
                match label(metric, "outcome") {
                    "delivered" => totals.delivered += count,
                    _ => totals.failed += count,
                }
            }
            "kinescope_cloudwatch_requests_total" => {
                if let Some(totals) = &mut figures.cloudwatch {
                    totals.asked += count;
                }
            }
            "kinescope_cloudwatch_last_success_timestamp_seconds" => {
                if let Some(totals) = &mut figures.cloudwatch {
                    let at = Wall::from_seconds_f64(gauge).filter(|at| *at != Wall::default());
                    totals.answered_at = totals.answered_at.max(at);
                }
            }
            _ => {}
        }
    }
    figures
}

fn puts<'a>(figures: &'a mut Figures, metric: &Metric) -> &'a mut PutTotals {
    figures.puts.entry(label(metric, "stream").to_owned()).or_default()
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    let found = metric.get_label().iter().find(|label| label.name() == name);
    found.map_or("", |label| label.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{IntCounterVec, IntGaugeVec, Opts};

    #[test]
    fn totals_are_those_of_a_scrape() {
        let registry = Registry::new();
        let counter = |name: &str, labels: &[&str], values: &[(&[&str], u64)]| {
            let counter = IntCounterVec::new(Opts::new(name, "x"), labels).unwrap();
            registry.register(Box::new(counter.clone())).unwrap();
            for (labels, count) in values {
                counter.with_label_values(labels).inc_by(*count);
            }
        };
        counter(
            "kinesis_records_total",
            &["stream", "direction", "verdict"],
            &[(&["s", "put", "a"], 3), (&["s", "put", "b"], 4), (&["s", "get", "a"], 9)],
        );
        counter("kinesis_put_failures_total", &["stream", "error"], &[(&["s", "x"], 2)]);
        counter(
            "kinescope_notifications_total",
            &["receiver", "outcome"],
            &[(&["hook", "delivered"], 1), (&["hook", "retried"], 2), (&["hook", "dropped"], 3)],
        );
        counter("kinescope_cloudwatch_requests_total", &["outcome"], &[(&["ok"], 5)]);
        let sagas = IntGaugeVec::new(Opts::new("kinesis_sagas", "x"), &["saga", "state"]).unwrap();
        registry.register(Box::new(sagas.clone())).unwrap();
        sagas.with_label_values(&["ORDER", "stuck"]).set(6);
        sagas.with_label_values(&["ORDER", "running"]).set(7);
        let found = figures(&registry.gather(), true);
        assert_eq!(found.puts["s"], PutTotals { records: 7, failed: 2 });
        assert_eq!(found.receivers["hook"], ReceiverTotals { delivered: 1, failed: 5 });
        assert_eq!(found.sagas_stuck["ORDER"], 6.0);
        assert_eq!(found.cloudwatch, Some(CloudWatchTotals { asked: 5, answered_at: None }));
        assert_eq!(figures(&registry.gather(), false).cloudwatch, None);
    }
}
