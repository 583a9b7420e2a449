//! Owns `check --online`: what can be tried from here before anything runs, one line each. Refuses
//! to write anything to Kinesis, to post anything to a receiver, and to try one thing for long.

mod aws;
mod leases;
mod reach;
mod sample;
mod streams;

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
enum Verdict {
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
}

/// The table, written line by line: whoever waits sees what is waited for.
struct Table<'o> {
    out: &'o mut dyn Write,
    failures: usize,
}

impl Table<'_> {
    fn tell(&mut self, what: &str, verdict: &Verdict) {
        let (word, why) = match verdict {
            Verdict::Ok(found) => ("ok", found),
            Verdict::Failed(why) => ("failed", why),
            Verdict::Skipped(why) => ("skipped", why),
        };
        self.failures += usize::from(word == "failed");
        // A reader that has gone away is no reason to fail.
        let _gone = writeln!(self.out, "{word:8} {what:32} {}", one_line(why));
    }
}

/// What others wrote, such as a service's message, in the space of one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tries everything and writes the table; how many checks failed.
pub(super) async fn run(
    config: &Config,
    environment: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> usize {
    let clock = Clock::system();
    let sdk = SdkSettings::load(environment, config.region.clone()).await;
    let mut table = Table { out, failures: 0 };
    let kinesis = aws::kinesis(&sdk, &config.proxy);
    table.tell("credentials", &within(aws::credentials(&sdk)).await);
    let (upstream, listed) = aws::upstream(&kinesis).await;
    table.tell("upstream", &upstream);
    match config.role {
        Role::Sidecar | Role::All => {
            streams::check(&kinesis, &config.proxy, &listed, &clock, &mut table).await;
            table.tell("tls", &reach::tls(config.proxy.tls.as_ref()));
        }
        Role::Hub => table.tell("streams", &Verdict::skipped("a hub has no data plane")),
    }
    leases::check(&config.leases, (&sdk, &kinesis), &clock, &mut table).await;
    table.tell("otlp", &within(reach::otlp(config, environment, (&sdk, &clock))).await);
    for receiver in &config.alerts.receivers {
        let verdict = within(reach::receiver(receiver)).await;
        table.tell(&format!("receiver {}", receiver.name), &verdict);
    }
    if config.alerts.receivers.is_empty() {
        table.tell("receivers", &Verdict::skipped("none is configured"));
    }
    table.tell("state", &reach::state(config.state.as_deref()));
    table.failures
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
        let mut table = Table { out: &mut out, failures: 0 };
        table.tell("tls", &Verdict::skipped("off"));
        table.tell("upstream", &Verdict::failed("no\n  answer"));
        assert_eq!(table.failures, 1);
        let expected = "skipped  tls                              off\n\
                        failed   upstream                         no answer\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_a_failed_one() {
        assert_eq!(within(std::future::pending()).await, Verdict::failed("no answer within 10 s"));
    }
}
