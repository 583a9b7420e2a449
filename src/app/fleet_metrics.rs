//! Owns the figures of sagas, of what was forgotten, and of KCL's own lag. Refuses names without a
//! bound: a saga's comes from envelopes, and a lag's from whoever sends OTLP.

use crate::domain::fleet;
use crate::domain::saga::{Ended, SagaForgotten, SagaState};
use crate::domain::stream::{ShardId, StreamName};
use crate::domain::time::Moment;
use crate::wire::otlp_receive::LagPoint;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// From what a chain of calls takes to what a person has to approve.
const SAGA_BUCKETS: &[f64] =
    &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 86_400.0];
/// Names of sagas that become label values; the rest are `other`.
const SAGAS_MAX: usize = 100;
/// The label value of what is over a bound.
const OTHER: &str = "other";
/// Workers' shards whose lag is kept; what comes beyond waits for one to fall silent.
const LAGS_MAX: usize = 4_096;
/// A worker that said nothing for so long has no lag that is known: KCL exports every minute.
const LAG_STALE_AFTER: Duration = Duration::from_secs(300);

/// The families, and what is needed to fill them.
#[derive(Debug, Clone)]
pub struct FleetMetrics {
    sagas: Option<SagaFamilies>,
    forgotten: IntCounterVec,
    lag: GaugeVec,
}

#[derive(Debug, Clone)]
struct SagaFamilies {
    duration: HistogramVec,
    states: IntGaugeVec,
}

impl FleetMetrics {
    /// Makes and registers the families; those of sagas only where this process may speak of them:
    /// a sidecar that has a hub sees a part of each.
    ///
    /// # Errors
    /// A family is registered already.
    pub fn register(registry: &Registry, region: &str, sagas: bool) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| Opts::new(name, help).const_label("region", region);
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).const_label("region", region);
            HistogramVec::new(opts.buckets(SAGA_BUCKETS.to_vec()), labels)
        };
        let sagas = match sagas {
            false => None,
            true => {
                let duration = histogram(
                    "kinesis_saga_duration_seconds",
                    "From a saga's first step to its last, as their envelopes passed by, by how it ended.",
                    &["saga", "outcome"],
                )?;
                let help = "Sagas that are remembered, by how it stands with them; stuck is one that fell silent half-way.";
                let states = IntGaugeVec::new(gauge("kinesis_sagas", help), &["saga", "state"])?;
                registry.register(Box::new(duration.clone()))?;
                registry.register(Box::new(states.clone()))?;
                Some(SagaFamilies { duration, states })
            }
        };
        let forgotten = IntCounterVec::new(
            Opts::new(
                "kinescope_forgotten_total",
                "Traces, sagas and parts of them that had to go for newer ones.",
            ),
            &["what"],
        )?;
        let help = "What a KCL application said of its own lag in its last report: the mean over that report's reads.";
        let lag = GaugeVec::new(
            gauge("kinesis_consumer_kcl_lag_seconds", help),
            &["stream", "consumer", "shard"],
        )?;
        registry.register(Box::new(forgotten.clone()))?;
        registry.register(Box::new(lag.clone()))?;
        Ok(Self { sagas, forgotten, lag })
    }
}

/// What the figures remember from one turn to the next.
#[derive(Debug)]
pub struct Figures {
    metrics: FleetMetrics,
    names: BTreeSet<Arc<str>>,
    lags: BTreeMap<LagKey, Lag>,
}

/// A worker's shard.
type LagKey = (Arc<str>, StreamName, ShardId, Option<Arc<str>>);

#[derive(Debug)]
struct Lag {
    point: LagPoint,
    heard: Duration,
}

impl Figures {
    /// Of which nothing is known yet.
    #[must_use]
    pub const fn new(metrics: FleetMetrics) -> Self {
        Self { metrics, names: BTreeSet::new(), lags: BTreeMap::new() }
    }

    /// Notes sagas that ended. One that is stuck has no duration.
    pub fn ended(&mut self, ended: &[Ended]) {
        for Ended { saga_id: _, name, state, duration } in ended {
            let name = self.name(name);
            if let Some((families, duration)) = self.metrics.sagas.as_ref().zip(*duration) {
                let labels = [&*name, state.as_str()];
                families.duration.with_label_values(&labels).observe(duration.as_secs_f64());
            }
        }
    }

    /// Notes what had to go since the beginning.
    pub fn forgotten(&self, traces: fleet::Forgotten, sagas: SagaForgotten) {
        let all = [
            ("traces", traces.traces),
            ("trace_entries", traces.entries),
            ("service_edges", traces.edges),
            ("sagas_ended", sagas.ended),
            ("sagas_open", sagas.open),
            ("saga_steps", sagas.steps),
        ];
        for (what, total) in all {
            let counter = self.metrics.forgotten.with_label_values(&[what]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// Sets the gauges: a saga's name that was ever seen has all states, so that a rule finds a zero.
    pub fn gauges(&mut self, counts: &BTreeMap<(Arc<str>, SagaState), u64>, now: Moment) {
        let mut named: BTreeMap<(Arc<str>, SagaState), u64> = BTreeMap::new();
        for ((name, state), count) in counts {
            *named.entry((self.name(name), *state)).or_default() += count;
        }
        if let Some(SagaFamilies { states, .. }) = &self.metrics.sagas {
            let names = self.names.iter().cloned();
            let names = names.chain(named.keys().map(|(name, _)| name.clone()));
            for name in names.collect::<BTreeSet<_>>() {
                for state in SagaState::ALL {
                    let count = named.get(&(name.clone(), state)).copied().unwrap_or_default();
                    let gauge = states.with_label_values(&[&*name, state.as_str()]);
                    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
                }
            }
        }
        let stale = |lag: &Lag| now.mono.saturating_sub(lag.heard) >= LAG_STALE_AFTER;
        let gone: Vec<LagKey> =
            self.lags.iter().filter(|(_, lag)| stale(lag)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.lags.remove(&key);
            self.show_lag(&key, None);
        }
    }

    /// Notes what KCL workers said; the newest report of a worker counts.
    pub fn lags(&mut self, points: &[LagPoint], now: Moment) {
        for point in points {
            let LagPoint { service, stream, shard, worker, .. } = point;
            let key = (service.clone(), stream.clone(), shard.clone(), worker.clone());
            let earlier = self.lags.get(&key).map(|lag| &lag.point);
            let is_old = earlier.is_some_and(|earlier| point.at < earlier.at);
            if is_old || earlier.is_none() && self.lags.len() >= LAGS_MAX {
                continue;
            }
            let mean = point.mean_after(earlier);
            self.lags.insert(key.clone(), Lag { point: point.clone(), heard: now.mono });
            self.show_lag(&key, mean);
        }
    }

    /// Whether a lag may grow stale, so that the gauges are due even if nothing happens.
    #[must_use]
    pub fn age(&self) -> bool {
        !self.lags.is_empty()
    }

    /// Of two workers that report one shard the last one is shown: it has the lease.
    fn show_lag(&self, (service, stream, shard, _): &LagKey, mean: Option<Duration>) {
        let labels = [stream.as_str(), service, shard.as_str()];
        match mean {
            Some(mean) => self.metrics.lag.with_label_values(&labels).set(mean.as_secs_f64()),
            // Not read, so not known; it may have no series already.
            None => drop(self.metrics.lag.remove_label_values(&labels)),
        }
    }

    /// The label value of a saga's name.
    fn name(&mut self, name: &Arc<str>) -> Arc<str> {
        if !self.names.contains(name) {
            if self.names.len() >= SAGAS_MAX {
                return Arc::from(OTHER);
            }
            self.names.insert(name.clone());
        }
        name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::saga::SagaId;
    use crate::domain::time::Wall;

    fn figures(sagas: bool) -> (Figures, Registry) {
        let registry = Registry::new();
        (Figures::new(FleetMetrics::register(&registry, "eu-west-1", sagas).unwrap()), registry)
    }

    fn text(registry: &Registry) -> String {
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn ended(state: SagaState, duration: Option<u64>) -> Ended {
        let duration = duration.map(Duration::from_secs);
        Ended { saga_id: SagaId::told("a").unwrap(), name: "PAY".into(), state, duration }
    }

    #[test]
    fn sagas_have_a_duration_when_they_ended_and_a_zero_for_each_other_state() {
        let (mut figures, registry) = figures(true);
        figures.ended(&[ended(SagaState::Completed, Some(3)), ended(SagaState::Stuck, None)]);
        figures.gauges(&BTreeMap::from([(("PAY".into(), SagaState::Stuck), 2)]), at(0));
        let shown = text(&registry);
        let has = |line: &str| assert!(shown.contains(line), "{line}\n{shown}");
        has(
            "kinesis_saga_duration_seconds_sum{outcome=\"completed\",region=\"eu-west-1\",saga=\"PAY\"} 3\n",
        );
        has("kinesis_sagas{region=\"eu-west-1\",saga=\"PAY\",state=\"stuck\"} 2\n");
        has("kinesis_sagas{region=\"eu-west-1\",saga=\"PAY\",state=\"running\"} 0\n");
        assert!(!shown.contains("outcome=\"stuck\""), "{shown}");
        figures.gauges(&BTreeMap::new(), at(9));
        let shown = text(&registry);
        assert!(shown.contains("state=\"stuck\"} 0\n"), "{shown}");
    }

    #[test]
    fn a_part_of_the_whole_is_not_told() {
        let (mut figures, registry) = figures(false);
        figures.ended(&[ended(SagaState::Completed, Some(3))]);
        figures.gauges(&BTreeMap::from([(("PAY".into(), SagaState::Stuck), 2)]), at(0));
        assert!(!text(&registry).contains("kinesis_saga"));
    }

    #[test]
    fn names_are_bounded() {
        let (mut figures, registry) = figures(true);
        let name = |number: usize| (Arc::from(format!("S{number}")), SagaState::Running);
        figures.gauges(&(0..SAGAS_MAX + 9).map(|number| (name(number), 1)).collect(), at(0));
        let shown = text(&registry);
        assert!(shown.contains("saga=\"other\",state=\"running\"} 9\n"), "{shown}");
        assert_eq!(shown.matches("state=\"running\"").count(), SAGAS_MAX + 1);
    }

    #[test]
    fn what_had_to_go_is_counted_once() {
        let (figures, registry) = figures(true);
        let traces = fleet::Forgotten { traces: 4, ..Default::default() };
        for _ in 0..2 {
            figures.forgotten(traces, SagaForgotten { open: 1, ..Default::default() });
        }
        let shown = text(&registry);
        assert!(shown.contains("kinescope_forgotten_total{what=\"traces\"} 4\n"), "{shown}");
        assert!(shown.contains("kinescope_forgotten_total{what=\"sagas_open\"} 1\n"), "{shown}");
    }

    #[test]
    fn a_lag_is_the_mean_since_the_last_report_and_goes_when_it_is_stale() {
        let (mut figures, registry) = figures(true);
        let point = |second: u64, reads: u64, behind_ms: u64| LagPoint {
            service: "inventory".into(),
            stream: "orders".into(),
            shard: "shardId-0".into(),
            worker: Some("w".into()),
            at: Wall::from_ms(second * 1_000),
            since: Wall::from_ms(0),
            reads,
            behind_sum: Duration::from_millis(behind_ms),
            behind_max: None,
            cumulative: true,
        };
        let check = |figures: &Figures, expected: Option<&str>| {
            let shown = text(&registry);
            let line = shown.lines().find(|line| line.starts_with("kinesis_consumer_kcl_lag"));
            let value = line.and_then(|line| line.rsplit_once(' ')).map(|(_, value)| value);
            assert_eq!((value, figures.age()), (expected, figures.age()));
        };
        figures.lags(&[point(60, 10, 20_000)], at(60));
        check(&figures, Some("2"));
        figures.lags(&[point(120, 20, 90_000), point(90, 15, 0)], at(120));
        check(&figures, Some("7"));
        figures.lags(&[point(180, 20, 90_000)], at(180));
        check(&figures, None);
        figures.lags(&[point(240, 30, 100_000)], at(240));
        check(&figures, Some("1"));
        figures.gauges(&BTreeMap::new(), at(539));
        check(&figures, Some("1"));
        figures.gauges(&BTreeMap::new(), at(540));
        check(&figures, None);
        assert!(!figures.age());
    }
}
