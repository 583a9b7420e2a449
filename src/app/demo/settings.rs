//! Owns the configuration of the demo's sidecars and hub: what an operator would write into their
//! files. Refuses to start them.

use super::services::REGION;
use crate::app::config;
use crate::app::config::Config;
use crate::app::config::Faults;
use crate::app::config::Flags;
use crate::app::config::Kind;
use crate::app::config::Receiver;
use crate::app::config::Role;
use crate::app::config::SecretPlace;
use crate::domain::alert::Rule;
use crate::domain::alert::Signal;
use crate::domain::alert::builtin::builtin;
use crate::io::secret::Secret;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::time::Duration;

/// The sidecars' and the hub's admin ports, where they are free.
const ADMIN_PORT: u16 = 9590;

/// How long a rule waits before it fires, and before it is resolved.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the rest of the world listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// Kinesis.
    pub kinesis: SocketAddr,
    /// CloudWatch.
    pub cloudwatch: SocketAddr,
    /// The OTLP receiver.
    pub otlp: SocketAddr,
    /// The webhook receiver.
    pub webhook: SocketAddr,
}

/// A sidecar of the service of this name, the `index`th of the demo; `hub` is where the hub listens.
///
/// # Errors
/// Never, unless the defaults themselves are at fault.
pub(super) fn sidecar(
    service: &str,
    index: u16,
    places: Places,
    hub: SocketAddr,
) -> Result<Config, Faults> {
    let mut config = common(service, index, places)?;
    config.role = Role::Sidecar;
    config.hub_endpoint = Some(format!("http://{hub}"));
    // Nobody's orders: they can be told by name.
    config.privacy.fields = vec!["eventType".to_owned(), "sagaId".to_owned()];
    config.cloudwatch.enabled = false;
    config.otlp.endpoint = Some(format!("http://{}", places.otlp));
    alert(&mut config, places);
    Ok(config)
}

/// Rules, and whom they are told.
fn alert(config: &mut Config, places: Places) {
    config.alerts.rules = rules();
    let url = SecretPlace::Given(Secret::new(format!("http://{}/hook", places.webhook)));
    let webhook = Kind::Webhook { url, secret_file: None };
    config.alerts.receivers = vec![Receiver::new("demo", webhook)];
}

/// The hub, which alone alerts on consumers.
///
/// # Errors
/// Never, unless the defaults themselves are at fault.
pub(super) fn hub(index: u16, places: Places) -> Result<Config, Faults> {
    let mut config = common("kinescope-hub", index, places)?;
    config.role = Role::Hub;
    config.otlp.receive = vec![loopback(0)];
    config.cloudwatch.enabled = true;
    config.cloudwatch.endpoint = Some(format!("http://{}", places.cloudwatch));
    config.cloudwatch.interval = Duration::from_secs(5);
    // This CloudWatch counts a datum at once, and has no lists of metrics.
    config.cloudwatch.delay = Duration::ZERO;
    (config.cloudwatch.shard_level, config.cloudwatch.consumers) = (false, false);
    alert(&mut config, places);
    Ok(config)
}

/// What the process environment would give them. The demo's own has no say: nobody's real account
/// is to be touched.
#[must_use]
pub(super) fn environment() -> BTreeMap<String, String> {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "demo"),
        ("AWS_SECRET_ACCESS_KEY", "demo"),
        ("AWS_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn common(service: &str, index: u16, places: Places) -> Result<Config, Faults> {
    let mut config = config::load(None, &environment(), &Flags::default())?;
    config.service_name = service.to_owned();
    config.region = Some(REGION.to_owned());
    // A demo leaves nothing behind, and its sidecars would meet in one folder.
    config.state = None;
    config.proxy.listen = vec![loopback(0)];
    config.proxy.upstream_endpoint = format!("http://{}", places.kinesis).parse().ok();
    config.admin.listen = vec![loopback(free(ADMIN_PORT + index))];
    Ok(config)
}

/// The built-in rules that the incidents break, with the patience of a demo: lag is high from 5 s on,
/// and every rule fires after seconds. Every other threshold is the built-in one.
fn rules() -> Vec<Rule> {
    let names = [
        "KinesisConsumerLagHigh",
        "KinesisConsumerStopped",
        "KinesisConsumerStalled",
        "KinesisDataLossImminent",
        "KinesisHotShard",
        "KinesisPutFailures",
        "KinesisWriteThrottled",
    ];
    let mut rules: Vec<Rule> =
        builtin().into_iter().filter(|rule| names.contains(&rule.name.as_str())).collect();
    for rule in &mut rules {
        (rule.hold, rule.keep_firing) = (PATIENCE, PATIENCE);
        rule.grace = Some(Duration::ZERO);
        if rule.when.signal == Signal::DeliveryLag {
            (rule.when.threshold, rule.when.clear) = (5.0, 2.0);
        }
        // What is counted is looked at once in fifteen seconds: that is patience enough.
        if rule.when.signal == Signal::PutFailures {
            rule.hold = Duration::ZERO;
        }
    }
    rules
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// The port, or 0 (any) where somebody else has it.
fn free(port: u16) -> u16 {
    TcpListener::bind(loopback(port)).map_or(0, |_| port)
}
