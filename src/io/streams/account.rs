//! Owns asking what the account has agreed to pay for, a few times a day. Refuses to insist: where
//! it may not ask, or nobody knows the question, it says so once, and nothing else goes without.

use crate::domain::backoff::Backoff;
use crate::domain::engine::Event;
use crate::domain::plan::Commitment;
use crate::domain::snapshot::AccountSettings;
use crate::domain::time::{Moment, Wall};
use crate::io::clock::Clock;
use crate::io::credentials::fault::Fault;
use crate::io::entropy;
use crate::io::streams::pace::{Operation, Pacer};
use aws_sdk_kinesis::types::MinimumThroughputBillingCommitmentOutput as Answer;
use aws_sdk_kinesis::types::MinimumThroughputBillingCommitmentOutputStatus as Status;
use aws_smithy_types::DateTime;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A commitment lasts a day at least: a quarter of that is soon enough.
const ASK_EVERY: Duration = Duration::from_secs(21_600);
/// Put off by up to this share of itself, so that hubs drift apart.
const SPREAD: f64 = 0.2;

const FAILED: Backoff =
    Backoff { initial: Duration::from_secs(60), factor: 2.0, max: ASK_EVERY, jitter: 0.2 };

/// The task that asks.
#[derive(Debug)]
pub struct AccountWatcher {
    client: aws_sdk_kinesis::Client,
    pacer: Pacer,
    clock: Clock,
    events: mpsc::Sender<Event>,
    failures: u32,
    said: bool,
}

impl AccountWatcher {
    /// Asks at the pace of `pacer` and tells `events`.
    #[must_use]
    pub fn new(
        (client, pacer): (aws_sdk_kinesis::Client, Pacer),
        clock: Clock,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { client, pacer, clock, events, failures: 0, said: false }
    }

    /// Asks until `stop`, or until nobody listens any more.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        loop {
            self.pacer.turn(Operation::DescribeAccountSettings).await;
            let answer = self.client.describe_account_settings().send().await;
            let now = self.clock.now();
            let rest = match answer {
                Ok(answer) => {
                    self.pacer.answered(Operation::DescribeAccountSettings);
                    (self.failures, self.said) = (0, false);
                    let account = settings(answer.minimum_throughput_billing_commitment(), now);
                    if self.events.send(Event::AccountDescribed { account }).await.is_err() {
                        return;
                    }
                    ASK_EVERY.mul_f64(1.0 + SPREAD * entropy::chance())
                }
                Err(error) => self.failed(Fault::of(&error)),
            };
            self.clock.sleep_until(now.mono + rest).await;
        }
    }

    /// How long to rest after a failure.
    fn failed(&mut self, fault: Fault) -> Duration {
        if fault == Fault::Throttled {
            self.pacer.throttled(Operation::DescribeAccountSettings);
        }
        if !std::mem::replace(&mut self.said, true) {
            tracing::info!(
                cause = fault.as_str(),
                "whether the account pays for on-demand advantage stays unknown: DescribeAccountSettings failed"
            );
        }
        match fault {
            Fault::Denied | Fault::Refused | Fault::NotFound => ASK_EVERY,
            Fault::Throttled | Fault::Broken | Fault::TimedOut | Fault::Unsent => {
                self.failures = self.failures.saturating_add(1);
                FAILED.delay(self.failures, entropy::chance())
            }
        }
    }
}

fn settings(answer: Option<&Answer>, at: Moment) -> AccountSettings {
    let when = |time: Option<&DateTime>| Wall::from_seconds_f64(time?.as_secs_f64());
    AccountSettings {
        commitment: answer.and_then(|answer| commitment(answer.status())),
        started_at: answer.and_then(|answer| when(answer.started_at())),
        earliest_end_at: answer.and_then(|answer| when(answer.earliest_allowed_end_at())),
        at,
    }
}

/// `None` for a word that is newer than this program.
fn commitment(status: &Status) -> Option<Commitment> {
    let known = [
        (Status::Disabled, Commitment::Disabled),
        (Status::Enabled, Commitment::Enabled),
        (Status::EnabledUntilEarliestAllowedEnd, Commitment::Ending),
    ];
    known.into_iter().find_map(|(word, commitment)| (word == *status).then_some(commitment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::credentials::fake;
    use std::sync::{Arc, Mutex};

    const HOUR: u64 = 3_600;

    /// What is told within `hours`, and at which second each call was made.
    async fn run(
        hours: u64,
        answer: impl Fn(usize) -> (u16, &'static str) + Send + Sync + 'static,
    ) -> (Vec<AccountSettings>, Vec<u64>) {
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let calls: Arc<Mutex<Vec<u64>>> = Arc::default();
        let (log, reader) = (Arc::clone(&calls), clock.clone());
        let settings = fake::settings(move |request| {
            let target = request.headers().get("x-amz-target").unwrap();
            assert!(target.ends_with(".DescribeAccountSettings"), "{target}");
            let mut calls = log.lock().unwrap();
            calls.push(reader.now().mono.as_secs());
            let (status, text) = answer(calls.len() - 1);
            (status, text.as_bytes().to_vec())
        })
        .await;
        let (events, mut heard) = mpsc::channel(100);
        let asked = (settings.kinesis(None), Pacer::hub(clock.clone()));
        let watcher = AccountWatcher::new(asked, clock.clone(), events);
        let stop = CancellationToken::new();
        let end = async {
            clock.sleep_until(Duration::from_secs(hours * HOUR)).await;
            stop.cancel();
        };
        tokio::join!(watcher.run(stop.clone()), end);
        let mut told = Vec::new();
        while let Ok(event) = heard.try_recv() {
            let Event::AccountDescribed { account } = event else { panic!("{event:?}") };
            told.push(account);
        }
        let calls = calls.lock().unwrap().clone();
        (told, calls)
    }

    #[tokio::test(start_paused = true)]
    async fn says_what_the_account_pays_for_a_few_times_a_day() {
        let answer = r#"{"MinimumThroughputBillingCommitment":{
            "Status":"ENABLED_UNTIL_EARLIEST_ALLOWED_END","StartedAt":1.7e9,
            "EarliestAllowedEndAt":1.70008e9}}"#;
        let (told, calls) = run(24, |_| (200, answer)).await;
        assert!((3..=4).contains(&calls.len()), "{calls:?}");
        let [first, ..] = &told[..] else { panic!("nothing was told") };
        assert_eq!(first.commitment, Some(Commitment::Ending));
        assert_eq!(first.started_at, Some(Wall::from_ms(1_700_000_000_000)));
        assert_eq!(first.earliest_end_at, Some(Wall::from_ms(1_700_080_000_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_said_is_not_known() {
        for answer in ["{}", r#"{"MinimumThroughputBillingCommitment":{"Status":"A_NEWER_WORD"}}"#]
        {
            let (told, _) = run(1, move |_| (200, answer)).await;
            assert_eq!(told.iter().map(|it| it.commitment).collect::<Vec<_>>(), [None]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_not_ask_asks_rarely_and_goes_on() {
        let denied = r#"{"__type":"AccessDeniedException","message":"no"}"#;
        let unknown = r#"{"__type":"UnknownOperationException"}"#;
        for refusal in [denied, unknown] {
            let enabled = r#"{"MinimumThroughputBillingCommitment":{"Status":"ENABLED"}}"#;
            let answers = move |nth| if nth == 0 { (400, refusal) } else { (200, enabled) };
            let (told, calls) = run(7, answers).await;
            assert_eq!((calls.len(), told.len()), (2, 1), "{calls:?}");
            assert_eq!(calls.last(), Some(&(6 * HOUR)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_tried_again_ever_more_rarely() {
        let (told, calls) = run(2, |_| (500, "")).await;
        assert_eq!(told, []);
        // The SDK tries by itself, too.
        let rests = calls.windows(2).filter(|pair| pair[1] - pair[0] >= 30).count();
        assert!((4..=8).contains(&rests), "{calls:?}");
    }
}
