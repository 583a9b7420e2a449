//! Owns `check --online`: what can be tried from here before anything runs, one line each. Refuses
//! to write anything to Kinesis, to post anything to a receiver, and to try one thing for long.

mod aws;
mod cloudwatch;
mod leases;
mod reach;
mod sample;
mod streams;

use super::progress::Progress;
use crate::app::config::{Config, Role};
use crate::io::clock::Clock;
use crate::io::credentials::SdkSettings;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// The longest that one check may take: a working one takes well under a second.
const CHECK_MAX: Duration = Duration::from_secs(10);

/// What a check came to, and the reason or the finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok(String),
    Failed(String),
    Skipped(String),
}

impl Verdict {
    fn ok(what: impl Into<String>) -> Self {
        Self::Ok(what.into())
    }

    fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }

    /// Its one word, and what there is to say.
    pub(super) fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Ok(found) => ("ok", found),
            Self::Failed(why) => ("failed", why),
            Self::Skipped(why) => ("skipped", why),
        }
    }

    /// Whether it counts against the configuration.
    pub(super) const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// One check that was made.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Of what.
    pub(super) what: String,
    /// What it came to.
    pub(super) verdict: Verdict,
}

/// The table, written line by line: whoever waits sees what is waited for.
pub(super) struct Table<'o> {
    out: &'o mut dyn Write,
    progress: Progress,
    told: Vec<Outcome>,
}

impl<'o> Table<'o> {
    /// An empty one.
    pub(super) fn new(out: &'o mut dyn Write, progress: Progress) -> Self {
        Self { out, progress, told: Vec::new() }
    }

    /// Says what comes next, to whoever watches.
    fn trying(&mut self, what: &str) {
        self.progress.waiting(format_args!("trying {what}"));
    }

    fn tell(&mut self, what: &str, mut verdict: Verdict) {
        match &mut verdict {
            Verdict::Ok(why) | Verdict::Failed(why) | Verdict::Skipped(why) => *why = one_line(why),
        }
        self.progress.clear();
        let (word, why) = verdict.words();
        // A reader that has gone away is no reason to fail.
        let _gone = writeln!(self.out, "{word:8} {what:32} {why}");
        self.told.push(Outcome { what: what.to_owned(), verdict });
    }
}

/// What others wrote, such as a service's message, in the space of one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tries everything and writes the table; what was told.
pub(super) async fn run(
    config: &Config,
    environment: &BTreeMap<String, String>,
    mut table: Table<'_>,
) -> Vec<Outcome> {
    let clock = Clock::system();
    table.trying("credentials");
    let sdk = SdkSettings::load(environment, config.region.clone()).await;
    let kinesis = aws::kinesis(&sdk, &config.proxy);
    let verdict = within(aws::credentials(&sdk)).await;
    table.tell("credentials", verdict);
    table.trying("upstream");
    let (upstream, listed) = aws::upstream(&kinesis, config.role).await;
    table.tell("upstream", upstream);
    match config.role {
        Role::Sidecar | Role::All => {
            streams::check(&kinesis, &config.proxy, &listed, &clock, &mut table).await;
            table.tell("tls", reach::tls(config.proxy.tls.as_ref()));
        }
        Role::Hub => table.tell("streams", Verdict::skipped("a hub has no data plane")),
    }
    if config.cloudwatch.enabled {
        cloudwatch::check(&sdk, config.cloudwatch.endpoint.clone(), &clock, &mut table).await;
    }
    leases::check(&config.leases, (&sdk, &kinesis), &clock, &mut table).await;
    leases::standby(config.hub_standby.as_deref(), &sdk, &mut table).await;
    table.trying("otlp");
    let verdict = within(reach::otlp(config, environment, (&sdk, &clock))).await;
    table.tell("otlp", verdict);
    table.trying("hub");
    let verdict = within(reach::hub(config, &clock)).await;
    table.tell("hub", verdict);
    for receiver in &config.alerts.receivers {
        let what = format!("receiver {}", receiver.name);
        table.trying(&what);
        let verdict = within(reach::receiver(receiver)).await;
        table.tell(&what, verdict);
    }
    if config.alerts.receivers.is_empty() {
        table.tell("receivers", Verdict::skipped("none is configured"));
    }
    table.tell("state", reach::state(config.state.as_deref()));
    table.told
}

/// The check, or that it took too long.
async fn within(check: impl Future<Output = Verdict>) -> Verdict {
    tokio::time::timeout(CHECK_MAX, check).await.unwrap_or_else(|_| late())
}

fn late() -> Verdict {
    Verdict::failed(format!("no answer within {} s", CHECK_MAX.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_check() {
        let mut out = Vec::new();
        let mut table = Table::new(&mut out, Progress::begin());
        table.tell("tls", Verdict::skipped("off"));
        table.tell("upstream", Verdict::failed("no\n  answer"));
        let failed: Vec<bool> = table.told.iter().map(|told| told.verdict.is_failed()).collect();
        assert_eq!(failed, [false, true]);
        drop(table);
        let expected = "skipped  tls                              off\n\
                        failed   upstream                         no answer\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_a_failed_one() {
        assert_eq!(within(std::future::pending()).await, Verdict::failed("no answer within 10 s"));
    }
}
