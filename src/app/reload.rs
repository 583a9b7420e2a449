//! Owns the configuration in force and how it is read again: a faulty one is refused whole; of a
//! good one, what can change while the service runs is put in force at once, and what cannot is
//! named. Refuses to carry out anything: rooms watch the configuration.

use crate::app::config::{Admin, Alerts, Config, Faults, Proxy, Receiver};
use crate::io::admin::{Differences, ReloadSource, Reloaded};
use crate::io::clock::Clock;
use prometheus::{IntGauge, Registry};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Reloads that wait; each is done in milliseconds. What a signal asks beyond them is left out, as
/// those who wait are served with a newer file anyway; a caller of the admin listener waits.
const ASKS_MAX: usize = 8;

/// Reads the configuration from where it was read at start: the same file, variables and flags.
#[derive(Clone)]
pub struct Load(Arc<dyn Fn() -> Result<Config, Faults> + Send + Sync>);

impl Load {
    /// `read` may block: it is called beside the runtime.
    pub fn new(read: impl Fn() -> Result<Config, Faults> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Of a configuration that comes from nowhere, and never differs.
    #[must_use]
    pub fn same(config: &Config) -> Self {
        let config = config.clone();
        Self::new(move || Ok(config.clone()))
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load")
    }
}

/// The task that owns the configuration.
#[derive(Debug)]
pub struct Reloader {
    load: Load,
    in_force: watch::Sender<Arc<Config>>,
    asks: mpsc::Receiver<oneshot::Sender<Reloaded>>,
    clock: Clock,
    successful: IntGauge,
    succeeded_at: IntGauge,
    count: Arc<AtomicU64>,
}

impl Reloader {
    /// The task, how it is asked, and the configuration in force: at first `config`.
    ///
    /// # Errors
    /// A metric family of ours twice: our own bug.
    pub fn new(
        load: Load,
        config: Config,
        clock: Clock,
        registry: &Registry,
    ) -> Result<(Self, ReloadSource, watch::Receiver<Arc<Config>>), prometheus::Error> {
        let successful = IntGauge::new(
            "kinescope_config_last_reload_successful",
            "Whether the newest attempt to read the configuration succeeded: 1 or 0.",
        )?;
        let succeeded_at = IntGauge::new(
            "kinescope_config_last_reload_success_timestamp_seconds",
            "When the configuration was last read without a fault.",
        )?;
        registry.register(Box::new(successful.clone()))?;
        registry.register(Box::new(succeeded_at.clone()))?;
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (in_force, watched) = watch::channel(Arc::new(config));
        let count = Arc::default();
        let reloader = Self { load, in_force, asks: asked, clock, successful, succeeded_at, count };
        reloader.succeeded();
        Ok((reloader, ReloadSource(asks), watched))
    }

    /// How often the configuration was read without a fault, for rooms that begin anew with it.
    #[must_use]
    pub fn count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.count)
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let work = async {
            while let Some(ask) = self.asks.recv().await {
                let reloaded = self.reload().await;
                // A signal waits for nothing.
                let _nobody_waits = ask.send(reloaded);
            }
        };
        stop.run_until_cancelled(work).await;
    }

    async fn reload(&self) -> Reloaded {
        let load = self.load.clone();
        let read = tokio::task::spawn_blocking(move || (load.0)()).await;
        let faults = match read {
            Ok(Ok(config)) => return Ok(self.put_in_force(config)),
            Ok(Err(faults)) => faults.to_string(),
            Err(_panicked) => "the configuration could not be read".to_owned(),
        };
        self.successful.set(0);
        tracing::error!(faults, "the configuration is faulty: the old one stays in force");
        Err(faults)
    }

    fn put_in_force(&self, config: Config) -> Differences {
        let old = Arc::clone(&self.in_force.borrow());
        let differences = differences(&old, &config);
        let Differences { changed, needs_restart } = &differences;
        tracing::info!(?changed, ?needs_restart, "the configuration was read again");
        for warning in config.warnings.iter().filter(|warning| !old.warnings.contains(warning)) {
            tracing::warn!(warning, "configuration may not be what was meant");
        }
        // What needs a restart stays as it was, so that the next reload names it again.
        let mut new = Config { warnings: config.warnings, ..Config::clone(&old) };
        new.proxy.propagation = config.proxy.propagation;
        new.proxy.streams = config.proxy.streams;
        new.proxy.allow = config.proxy.allow;
        if can_become(&old.alerts.receivers, &config.alerts.receivers) {
            new.alerts.receivers = config.alerts.receivers;
        }
        new.alerts.rules = config.alerts.rules;
        new.alerts.alerting = config.alerts.alerting;
        self.in_force.send_if_modified(|in_force| {
            *in_force = Arc::new(new);
            !changed.is_empty()
        });
        self.succeeded();
        differences
    }

    fn succeeded(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.successful.set(1);
        let seconds = self.clock.now().wall.as_seconds();
        self.succeeded_at.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}

/// The keys whose values differ. No field is skipped silently: one that is added must be named.
#[expect(clippy::too_many_lines, reason = "one line a key, and no decision")]
fn differences(old: &Config, new: &Config) -> Differences {
    let Config {
        role,
        service_name,
        region,
        external_labels,
        hub_endpoint,
        hub_share,
        hub_standby,
        proxy,
        cloudwatch,
        leases,
        otlp,
        traces,
        privacy,
        metrics,
        alerts: Alerts { rules, receivers, alerting },
        admin: Admin { listen, token_file },
        state,
        limits,
        warnings: _,
    } = old;
    let Proxy {
        listen: data_plane,
        tls,
        apps,
        propagation,
        upstream_endpoint,
        fips,
        dual_stack,
        upstream_proxy,
        no_proxy,
        streams,
        allow,
    } = proxy;
    let differing = |keys: &[(&'static str, bool)]| {
        keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
    };
    let receivers_differ = *receivers != new.alerts.receivers;
    let settings_alone = can_become(receivers, &new.alerts.receivers);
    let changed = differing(&[
        ("proxy.propagation", *propagation != new.proxy.propagation),
        ("proxy.streams", *streams != new.proxy.streams),
        ("proxy.allow", *allow != new.proxy.allow),
        ("alerts.rules", *rules != new.alerts.rules),
        ("alerts", *alerting != new.alerts.alerting),
        ("alerts.receivers", receivers_differ && settings_alone),
    ]);
    let way_out = *upstream_proxy != new.proxy.upstream_proxy || *no_proxy != new.proxy.no_proxy;
    let needs_restart = differing(&[
        ("role", *role != new.role),
        ("service.name", *service_name != new.service_name),
        ("region", *region != new.region),
        ("external_labels", *external_labels != new.external_labels),
        ("hub.endpoint", *hub_endpoint != new.hub_endpoint),
        ("hub.replicas", *hub_share != new.hub_share),
        ("hub.standby", *hub_standby != new.hub_standby),
        ("proxy.listen", *data_plane != new.proxy.listen),
        ("proxy.tls", *tls != new.proxy.tls),
        ("proxy.apps", *apps != new.proxy.apps),
        ("proxy.upstream.endpoint", *upstream_endpoint != new.proxy.upstream_endpoint),
        ("proxy.upstream.fips", *fips != new.proxy.fips),
        ("proxy.upstream.dual_stack", *dual_stack != new.proxy.dual_stack),
        ("proxy.upstream.proxy", way_out),
        ("cloudwatch", *cloudwatch != new.cloudwatch),
        ("leases", *leases != new.leases),
        ("otlp", *otlp != new.otlp),
        ("traces", *traces != new.traces),
        ("privacy", *privacy != new.privacy),
        ("metrics", *metrics != new.metrics),
        ("alerts.receivers", receivers_differ && !settings_alone),
        ("admin.listen", *listen != new.admin.listen),
        ("admin.token_file", *token_file != new.admin.token_file),
        ("state", *state != new.state),
        ("limits", *limits != new.limits),
    ]);
    Differences { changed, needs_restart }
}

/// Whether those who are told stay the same ones: queues and tasks are theirs from start to end.
fn can_become(old: &[Receiver], new: &[Receiver]) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.can_become(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::{Fault, Flags, Place, Propagation, load, load_with};
    use crate::domain::time::Wall;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    /// The configuration of these variables, with their prefix left out.
    fn config(variables: &[(&str, &str)]) -> Result<Config, Faults> {
        let named = |(name, value): &(&str, &str)| (format!("KINESCOPE_{name}"), (*value).into());
        let environment: BTreeMap<String, String> = variables.iter().map(named).collect();
        load(None, &environment, &Flags::default())
    }

    struct Reloads {
        said: Vec<Reloaded>,
        in_force: watch::Receiver<Arc<Config>>,
        scrape: Vec<f64>,
    }

    /// Starts with nothing written and reloads once for each of `outcomes`.
    async fn reload(outcomes: Vec<Result<Config, Faults>>) -> Reloads {
        reload_from(config(&[]).unwrap(), outcomes).await
    }

    async fn reload_from(began: Config, outcomes: Vec<Result<Config, Faults>>) -> Reloads {
        let count = outcomes.len();
        let script = Mutex::new(outcomes.into_iter());
        let read = Load::new(move || script.lock().unwrap().next().unwrap());
        let (registry, clock) = (Registry::new(), Clock::simulated(Wall::from_ms(7_000)));
        let (reloader, source, in_force) = Reloader::new(read, began, clock, &registry).unwrap();
        let stop = CancellationToken::new();
        let asking = async {
            let mut said = Vec::new();
            for _ in 0..count {
                said.push(source.now().await.unwrap());
            }
            stop.cancel();
            said
        };
        let (said, ()) = tokio::join!(asking, reloader.run(stop.clone()));
        let value = |family: &prometheus::proto::MetricFamily| {
            family.get_metric()[0].get_gauge().get_value()
        };
        Reloads { said, in_force, scrape: registry.gather().iter().map(value).collect() }
    }

    fn told(changed: &[&'static str], needs_restart: &[&'static str]) -> Reloaded {
        Ok(Differences { changed: changed.to_vec(), needs_restart: needs_restart.to_vec() })
    }

    #[tokio::test]
    async fn what_can_change_is_in_force() {
        let live = [("PROXY__PROPAGATION", "off"), ("PROXY__ALLOW__STREAMS", "a")];
        let reloads = reload(vec![config(&live)]).await;
        assert_eq!(reloads.said, [told(&["proxy.propagation", "proxy.allow"], &[])]);
        let in_force = reloads.in_force.borrow();
        assert_eq!(in_force.proxy.propagation, Propagation::Off);
        assert_eq!(in_force.proxy.allow.streams, ["a"]);
        assert_eq!(reloads.scrape, [7.0, 1.0]);
    }

    /// The configuration of this file.
    fn written(alerts: &str) -> Config {
        let text = format!("alerts: {alerts}");
        let path = std::path::Path::new("kinescope.yaml");
        load_with(Some(path), &BTreeMap::new(), &Flags::default(), &|_| Ok(text.clone())).unwrap()
    }

    #[tokio::test]
    async fn of_alerting_all_can_change_but_who_is_told() {
        let hook = |name: &str, url: &str| {
            let url = format!("https://hooks.example/{url}");
            format!("{{ name: {name}, webhook: {{ url: '{url}' }} }}")
        };
        let rules = |receivers: &str| {
            let lag = "{ name: KinesisConsumerLagHigh, for: 5m }";
            written(&format!("{{ rules: [{lag}], storm_limit: 5, receivers: [{receivers}] }}"))
        };
        let all = ["alerts.rules", "alerts"];
        let receivers = "alerts.receivers";
        let outcomes = vec![
            Ok(rules(&hook("a", "1"))),
            Ok(rules(&hook("a", "2"))),
            Ok(rules(&hook("b", "2"))),
            Ok(rules(&[hook("a", "2"), hook("b", "2")].join(", "))),
        ];
        let began = written(&format!("{{ receivers: [{}] }}", hook("a", "1")));
        let reloads = reload_from(began, outcomes).await;
        let another = told(&[], &[receivers]);
        let expected = [told(&all, &[]), told(&[receivers], &[]), another.clone(), another];
        assert_eq!(reloads.said, expected);
        let alerts = reloads.in_force.borrow().alerts.clone();
        assert_eq!(alerts.alerting.policy.storm_limit, 5);
        assert_eq!(alerts.receivers, rules(&hook("a", "2")).alerts.receivers);
    }

    #[tokio::test]
    async fn what_needs_a_restart_is_named_until_then() {
        let other = [
            ("ROLE", "hub"),
            ("PROXY__LISTEN", "127.0.0.1:1"),
            ("STATE", "null"),
            ("PROXY__TLS__ENABLED", "true"),
            ("LIMITS__DRAIN", "1s"),
            ("ADMIN__TOKEN_FILE", "/x"),
        ];
        let keys = [
            "role",
            "proxy.listen",
            "proxy.tls",
            "cloudwatch",
            "otlp",
            "admin.token_file",
            "state",
            "limits",
        ];
        let reloads = reload(vec![config(&other), config(&other), config(&[])]).await;
        assert_eq!(reloads.said, [told(&[], &keys), told(&[], &keys), told(&[], &[])]);
        assert_eq!(reloads.in_force.borrow().proxy, config(&[]).unwrap().proxy);
    }

    #[tokio::test]
    async fn a_faulty_one_changes_nothing() {
        let fault = Fault { place: Place::Nowhere, path: "role".into(), why: "is wrong".into() };
        let reloads =
            reload(vec![config(&[("PROXY__PROPAGATION", "off")]), Err(Faults(vec![fault]))]).await;
        let faults = "1 fault in the configuration\n  configuration: role: is wrong";
        assert_eq!(reloads.said[1], Err(faults.to_owned()));
        assert_eq!(reloads.in_force.borrow().proxy.propagation, Propagation::Off);
        assert_eq!(reloads.scrape, [7.0, 0.0]);
    }

    #[tokio::test]
    async fn a_signal_is_a_reload_that_nobody_waits_for() {
        let off = config(&[("PROXY__PROPAGATION", "off")]).unwrap();
        let clock = Clock::simulated(Wall::from_ms(0));
        let (reloader, source, mut in_force) =
            Reloader::new(Load::same(&off), config(&[]).unwrap(), clock, &Registry::new()).unwrap();
        let stop = CancellationToken::new();
        source.soon();
        let wait = async {
            in_force.wait_for(|config| config.proxy.propagation == Propagation::Off).await.unwrap();
            stop.cancel();
        };
        tokio::join!(wait, reloader.run(stop.clone()));
    }
}
