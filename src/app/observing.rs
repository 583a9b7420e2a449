//! Owns the wiring of what sidecars tell their hub: the way there, the queue behind the receiver, and
//! who says what. A sidecar speaks for its pod; where it has a hub, that alone speaks for a consumer.
//! Refuses to decide: the configuration says which of them this process is.

use crate::app::config::{Config, Role};
use crate::app::engine_loop::Merging;
use crate::app::fleet::Error;
use crate::app::fleet_loop::ReportSink;
use crate::app::supervisor::{Policy, Supervisor};
use crate::domain::alert::Rule;
use crate::domain::alert::signal::Scope;
use crate::domain::engine::Judging;
use crate::domain::lag::View;
use crate::domain::observation::Pods;
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::io::otlp::{self, Observations};
use prometheus::{IntCounterVec, IntGauge, Registry};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// Reports that wait for the engine: a second's of a thousand pods.
const REPORTS_MAX: usize = 1_024;

/// The way to the hub: the ledger and the task that tells, where `hub.endpoint` names one.
///
/// # Errors
/// The address is none, or the connection cannot be made.
pub fn to_hub(
    (config, environment): (&Config, &BTreeMap<String, String>),
    region: &str,
    dropped: &IntCounterVec,
    clock: &Clock,
    supervisor: &mut Supervisor,
) -> Result<Option<Observations>, Error> {
    let Some(endpoint) = &config.hub_endpoint else { return Ok(None) };
    let endpoint = otlp::Endpoint::parse(endpoint).map_err(Error::Hub)?;
    let endpoint = endpoint.under("/v1/metrics").map_err(Error::Hub)?;
    let to = otlp::Config {
        timeout: otlp::ANSWER_WITHIN,
        ..otlp::Config::new(endpoint, otlp::Protocol::HttpProtobuf)
    };
    // Another one after each start: totals of before are none of this process.
    let instance: String =
        entropy::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    // In a pod that is the pod's name.
    let host = environment.get("HOSTNAME").map(String::as_str).filter(|name| !name.is_empty());
    let of = (config.service_name.as_str(), instance.as_str(), host, region);
    let (observations, teller) = otlp::observations(&to, of, dropped, clock)?;
    // Before the engine and the data plane, so that it ends behind them and tells their end.
    let stage = supervisor.stage("tell");
    stage.spawn("observations", Policy::Helpful, teller.run(stage.token()));
    Ok(Some(observations))
}

/// The queue between the receiver and the engine, where this process is a hub.
///
/// # Errors
/// A metric family is there twice: our own bug.
pub fn merging(
    config: &Config,
    registry: &Registry,
    dropped: &IntCounterVec,
) -> Result<(Option<ReportSink>, Option<Merging>), prometheus::Error> {
    if config.role == Role::Sidecar {
        return Ok((None, None));
    }
    let known = IntGauge::new(
        "kinescope_hub_pods",
        "Sidecars that told this hub something within the last half minute.",
    )?;
    registry.register(Box::new(known.clone()))?;
    let (queue, words) = mpsc::channel(REPORTS_MAX);
    let full = |queue| dropped.with_label_values(&[queue, "full"]);
    let sink = ReportSink { queue, full: full("hub_reports") };
    Ok((Some(sink), Some(Merging { words, pods: Pods::default(), known, full: full("hub_pods") })))
}

/// How this process judges: a hub knows all pods of a service.
#[must_use]
pub fn judging(config: &Config) -> Judging {
    let view = match config.role {
        Role::Sidecar => View::Pod,
        Role::Hub | Role::All => View::Fleet,
    };
    Judging { view, ..Judging::default() }
}

/// The rules that this process evaluates: where it has a hub, not those about what many pods share.
#[must_use]
pub fn rules(config: &Config) -> Vec<Rule> {
    let leaves = |rule: &&Rule| config.hub_endpoint.is_some() && is_the_hubs(rule);
    let left: Vec<&str> =
        config.alerts.rules.iter().filter(leaves).map(|rule| rule.name.as_str()).collect();
    if !left.is_empty() {
        let rules = left.join(", ");
        tracing::info!(
            rules,
            "the hub alerts on what many pods share; this sidecar leaves these rules to it"
        );
    }
    config.alerts.rules.iter().filter(|rule| !leaves(rule)).cloned().collect()
}

/// Whether a rule is about a consumer, a shard or a saga: of those a pod sees a part.
fn is_the_hubs(rule: &Rule) -> bool {
    match rule.when.signal.scope() {
        Scope::Consumer | Scope::Shard | Scope::Saga => true,
        Scope::Stream | Scope::Receiver | Scope::Process => false,
    }
}
