//! Owns what a start-up log and `check` say about a configuration. Refuses to show a secret.

use super::{Config, Limits, Propagate, Propagation};
use std::fmt::Display;

/// The configuration in force as names and values, the worst-case memory last.
#[must_use]
pub fn summary(config: &Config) -> Vec<(String, String)> {
    let or = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let upstream = config.proxy.upstream_endpoint.as_ref().map(ToString::to_string);
    let receivers = config.alerts.receivers.iter().map(|receiver| &receiver.name);
    let cloudwatch = if config.cloudwatch.enabled { "polled" } else { "not polled" };
    [
        ("role", config.role.as_str().to_owned()),
        ("service", config.service_name.clone()),
        ("region", or(&config.region, "from AWS's own files")),
        ("data plane", join(&config.proxy.listen)),
        ("upstream", or(&upstream, "Kinesis of the request's region")),
        ("propagation", propagation(config)),
        ("cloudwatch", cloudwatch.to_owned()),
        ("otlp", or(&config.otlp.endpoint, "as OTEL_EXPORTER_OTLP_* say")),
        ("alert rules", join(config.alerts.rules.iter().map(|rule| &rule.name))),
        ("receivers", join(receivers)),
        ("admin", join(&config.admin.listen)),
        ("memory at most", memory(&config.limits)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn propagation(config: &Config) -> String {
    match config.proxy.propagation {
        Propagation::Off => "off for every stream".to_owned(),
        Propagation::Auto => {
            let policies = config.proxy.streams.iter().map(|policy| {
                let what = match policy.propagate {
                    Propagate::Inject => "inject",
                    Propagate::Observe => "observe",
                    Propagate::Off => "off",
                };
                format!("{}={what}", policy.pattern)
            });
            join(policies.chain(["else inject".to_owned()]))
        }
    }
}

fn memory(limits: &Limits) -> String {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let parts = limits.memory().map(|(what, bytes)| format!("{what} {}", mib(bytes)));
    format!("{} MiB ({})", mib(limits.memory_bytes_max()), parts.join(", "))
}

fn join<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
