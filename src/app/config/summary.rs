//! Owns what a start-up log and `check` say about a configuration. Refuses to show a secret.

use super::{Allow, Config, Deliver, Otlp, Propagation, Role, StreamPolicy};
use crate::app::fleet_loop::FleetBounds;
use crate::domain::envelope::aggregate::Aggregated;
use crate::io::hub::ROOM_BYTES_MAX;
use crate::io::otlp::RELAY_BYTES_MAX;
use crate::io::secret::Secret;
use std::fmt::Display;

/// The configuration in force as names and values, the worst-case memory last.
#[must_use]
pub fn summary(config: &Config) -> Vec<(String, String)> {
    let or = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let receivers = config.alerts.receivers.iter().map(|receiver| &receiver.name);
    let cloudwatch = if config.cloudwatch.enabled { "polled" } else { "not polled" };
    [
        ("role", config.role.as_str().to_owned()),
        ("service", config.service_name.clone()),
        ("region", or(&config.region, "from AWS's own files")),
        ("data plane", join(&config.proxy.listen)),
        ("tls", tls(config)),
        ("apps", join(config.proxy.apps.iter().map(|a| format!("{}={}", a.name, join(&a.listen))))),
        ("upstream", upstream(config)),
        ("propagation", propagation(config)),
        ("allowed", allowed(&config.proxy.allow)),
        ("cloudwatch", cloudwatch.to_owned()),
        ("otlp", otlp(&config.otlp)),
        ("otlp received", join(&config.otlp.receive)),
        ("hub", or(&config.hub_endpoint, "none")),
        (
            "alert rules",
            join(config.alerts.rules.iter().filter(|rule| rule.enabled).map(|rule| &rule.name)),
        ),
        ("alerts", config.alerts.alerting.words()),
        ("receivers", join(receivers)),
        ("admin", join(&config.admin.listen)),
        ("state", config.state.as_ref().map_or("memory only".into(), |p| p.display().to_string())),
        ("memory at most", memory(config)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn otlp(otlp: &Otlp) -> String {
    let endpoint = otlp.endpoint.as_deref().filter(|_| !otlp.xray);
    let otherwise = if otlp.xray { "X-Ray" } else { "as OTEL_EXPORTER_OTLP_* say" };
    endpoint.unwrap_or(otherwise).to_owned()
}

fn tls(config: &Config) -> String {
    config.proxy.tls.as_ref().map_or("off".to_owned(), |tls| {
        let mounted = tls.certificate.is_some();
        let certificate = if mounted { "certificate mounted" } else { "certificate made at start" };
        format!("{}, {certificate}", join(&tls.listen))
    })
}

fn upstream(config: &Config) -> String {
    let proxy = &config.proxy;
    let variants = [(proxy.fips, " (FIPS)"), (proxy.dual_stack, " (dual-stack)")];
    let mut text = match &proxy.upstream_endpoint {
        Some(endpoint) => endpoint.to_string(),
        None => "Kinesis of the request's region".to_owned(),
    };
    variants.iter().filter(|(on, _)| *on).for_each(|(_, variant)| text.push_str(variant));
    if let Some(host) = proxy.upstream_proxy.as_ref().and_then(proxy_host) {
        text.push_str(", https through the proxy at ");
        text.push_str(&host);
    }
    text
}

/// Host and port of a proxy's address, without the user and the password that it may hold.
fn proxy_host(address: &Secret) -> Option<String> {
    let uri: http::Uri = address.reveal().parse().ok()?;
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}{port}", uri.host()?))
}

fn propagation(config: &Config) -> String {
    match config.proxy.propagation {
        Propagation::Off => "off for every stream".to_owned(),
        Propagation::Auto => {
            let policies = config.proxy.streams.iter().map(policy);
            join(policies.chain(["else inject".to_owned()]))
        }
    }
}

/// A policy as far as it differs from the default.
fn policy(policy: &StreamPolicy) -> String {
    let mut text = format!("{}={}", policy.pattern, policy.propagate.as_str());
    if policy.propagate_percent != 100 {
        text.push_str(&format!(" {} %", policy.propagate_percent));
    }
    match policy.deliver {
        Deliver::Keep => {}
        Deliver::Strip => text.push_str(" strip"),
    }
    match policy.aggregated {
        Aggregated::Tags => {}
        Aggregated::Json => text.push_str(" aggregated=json"),
        Aggregated::Off => text.push_str(" aggregated=off"),
    }
    if let Some(bytes) = policy.max_record_bytes {
        text.push_str(&format!(" up to {bytes} bytes"));
    }
    text
}

/// Access key ids are no secrets, but no business of a log either.
fn allowed(allow: &Allow) -> String {
    let mut parts = Vec::new();
    if !allow.access_keys.is_empty() {
        parts.push(format!("access keys: {}", allow.access_keys.len()));
    }
    for (what, patterns) in [("streams", &allow.streams), ("operations", &allow.operations)] {
        if !patterns.is_empty() {
            parts.push(format!("{what}: {}", join(patterns)));
        }
    }
    if parts.is_empty() { "everyone everything".to_owned() } else { parts.join("; ") }
}

fn memory(config: &Config) -> String {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let mut parts = config.limits.memory().to_vec();
    parts.push(("traces", FleetBounds::of(config.role).bytes_max()));
    if !config.otlp.receive.is_empty() {
        let forwarded = if config.role == Role::Sidecar { RELAY_BYTES_MAX } else { 0 };
        parts.push(("otlp", ROOM_BYTES_MAX + forwarded));
    }
    let sum = parts.iter().fold(0_usize, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let parts: Vec<String> =
        parts.iter().map(|(what, bytes)| format!("{what} {}", mib(*bytes))).collect();
    format!("{} MiB ({})", mib(sum), parts.join(", "))
}

fn join<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
