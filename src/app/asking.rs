//! Owns what of the configuration the rooms that ask AWS are given: how often, about what, at which
//! pace. Refuses to ask.

use crate::app::config::{CloudWatch, Config, Role};
use crate::domain::alert::glob;
use crate::domain::cloudwatch::plan;
use crate::io::clock::Clock;
use crate::io::cloudwatch;
use crate::io::credentials::refusals::Refusals;
use crate::io::streams::{Asking, Pacer};
use std::time::Duration;

/// How often a hub asks again for a stream's retention and shards.
const DESCRIBE_EVERY: Duration = Duration::from_secs(300);
/// A sidecar does so more rarely: there is one in every pod.
const DESCRIBE_EVERY_SIDECAR: Duration = Duration::from_secs(900);

/// What the control plane is asked: little by a sidecar, whose streams the hub looks after.
#[must_use]
pub fn asking(config: &Config, clock: &Clock, refusals: &Refusals) -> Asking {
    match config.role {
        Role::Sidecar => Asking {
            pacer: Pacer::sidecar(clock.clone()).telling(refusals.clone()),
            refresh: DESCRIBE_EVERY_SIDECAR,
            hub: false,
        },
        Role::Hub | Role::All => {
            let pacer = Pacer::hub(clock.clone()).telling(refusals.clone());
            Asking { pacer, refresh: DESCRIBE_EVERY, hub: true }
        }
    }
}

/// What the poller of CloudWatch is given.
#[must_use]
pub fn polling(config: &Config) -> cloudwatch::Config {
    let CloudWatch { include, exclude, .. } = &config.cloudwatch;
    let excluded = |name: &str| exclude.iter().any(|glob| glob::matches(glob, name));
    // Where tags are asked for, a name alone is not enough.
    let known = |name: &&String| {
        config.cloudwatch.tags.is_empty() && plan::is_exact(name) && !excluded(name)
    };
    let exact = include.iter().filter(known);
    let replicas = f64::from(config.hub_share.replicas);
    cloudwatch::Config {
        interval: config.cloudwatch.interval,
        delay: config.cloudwatch.delay,
        plan: plan::Plan {
            shard_level: config.cloudwatch.shard_level,
            consumers: config.cloudwatch.consumers,
            functions: config.cloudwatch.functions.clone(),
            firehose: config.cloudwatch.firehose.clone(),
            flink: config.cloudwatch.flink.clone(),
            share: config.hub_share,
        },
        streams: exact.map(|name| name.as_str().into()).collect(),
        dollars_per_month: config.cloudwatch.dollars_per_month.map(|dollars| dollars / replicas),
        state: config.state.clone(),
        ..cloudwatch::Config::default()
    }
}
