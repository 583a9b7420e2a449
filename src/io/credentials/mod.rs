//! Owns the credentials our own requests are signed with: loaded by the AWS provider chain, kept
//! fresh by one task, read without waiting. Refuses to fail: without credentials there are none,
//! said once a minute, and the chain is asked again.

#[cfg(test)]
pub mod fake;
pub mod fault;
pub mod refusals;
mod settings;

pub use settings::SdkSettings;

use crate::domain::backoff::Backoff;
use crate::domain::time::{Moment, Wall};
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::io::quiet::Quiet;
use arc_swap::ArcSwapOption;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_types::error::display::DisplayErrorContext;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::UNIX_EPOCH;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Credentials are replaced this long before they expire, and up to [`REFRESH_JITTER`] earlier, so
/// that the pods of a deployment do not ask STS all at once.
const REFRESH_BEFORE: Duration = Duration::from_secs(300);
const REFRESH_JITTER: Duration = Duration::from_secs(60);

/// The chain is not asked more often than this, however often [`Credentials::expire`] is called.
const SPACING: Duration = Duration::from_secs(5);

/// One walk through the chain; a metadata service that hangs must not hang us.
const LOAD_MAX: Duration = Duration::from_secs(15);

const RETRY: Backoff = Backoff {
    initial: Duration::from_secs(1),
    factor: 2.0,
    max: Duration::from_secs(60),
    jitter: 0.5,
};

/// The current credentials, shared by all who sign; a clone is the same credentials.
#[derive(Clone)]
pub struct Credentials {
    shared: Arc<Shared>,
}

struct Shared {
    provider: SharedCredentialsProvider,
    clock: Clock,
    current: ArcSwapOption<aws_credential_types::Credentials>,
    arrived: Notify,
    /// Marks that others are wanted; no queue: a hundred refused calls want one refresh.
    wanted: watch::Sender<()>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Credentials {
    /// None yet; they come once [`Credentials::run`] runs.
    #[must_use]
    pub fn new(provider: SharedCredentialsProvider, clock: Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                provider,
                clock,
                current: ArcSwapOption::empty(),
                arrived: Notify::new(),
                wanted: watch::Sender::default(),
            }),
        }
    }

    /// The newest credentials there are, without waiting. When the chain fails these may have
    /// expired: only AWS can say so.
    #[must_use]
    pub fn current(&self) -> Option<Arc<aws_credential_types::Credentials>> {
        self.shared.current.load_full()
    }

    /// The newest credentials, waiting for the first ones `at_most` this long.
    pub async fn wait(&self, at_most: Duration) -> Option<Arc<aws_credential_types::Credentials>> {
        let mut arrived = std::pin::pin!(self.shared.arrived.notified());
        // Listening before looking: credentials that come in between are not missed.
        arrived.as_mut().enable();
        if let Some(current) = self.current() {
            return Some(current);
        }
        // Whether they came or time ran out, what is there now is the answer.
        drop(tokio::time::timeout(at_most, arrived).await);
        self.current()
    }

    /// Other credentials than `refused`, which AWS called expired: asked for now, waited for
    /// `at_most` this long.
    pub async fn other_than(
        &self,
        refused: &Arc<aws_credential_types::Credentials>,
        at_most: Duration,
    ) -> Option<Arc<aws_credential_types::Credentials>> {
        let other = || self.current().filter(|current| !Arc::ptr_eq(current, refused));
        if other().is_none() {
            self.expire();
        }
        let waiting = async {
            loop {
                let mut arrived = std::pin::pin!(self.shared.arrived.notified());
                arrived.as_mut().enable();
                if let Some(other) = other() {
                    return other;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(at_most, waiting).await.ok()
    }

    /// Asks for other credentials, because AWS called these expired. The old ones stay until then.
    pub fn expire(&self) {
        self.shared.wanted.send_replace(());
    }

    /// Loads the credentials at once and keeps them fresh until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep_fresh()).await;
    }

    async fn keep_fresh(&self) {
        let Shared { clock, current, arrived, wanted, .. } = &*self.shared;
        let mut failures = 0_u32;
        let quiet = Quiet::default();
        let mut wanted = wanted.subscribe();
        loop {
            // What was wanted until now, this load answers.
            wanted.mark_unchanged();
            let began = clock.now();
            let next = match self.load().await {
                Ok(credentials) => {
                    failures = 0;
                    let next = refresh_at(clock.now(), expiry(&credentials), entropy::chance());
                    current.store(Some(Arc::new(credentials)));
                    arrived.notify_waiters();
                    next
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let cause = cause(&error);
                    if quiet.may_say(cause, clock.now()).is_some() {
                        let error = DisplayErrorContext(&error);
                        tracing::warn!(cause, failures, %error, "no AWS credentials");
                    }
                    Some(clock.now().mono + RETRY.delay(failures, entropy::chance()))
                }
            };
            tokio::select! {
                () = sleep_until(clock, next) => {}
                // Cannot fail: the sender lives in `self`.
                _ = wanted.changed() => clock.sleep_until(began.mono + SPACING).await,
            }
        }
    }

    async fn load(&self) -> Result<aws_credential_types::Credentials, CredentialsError> {
        tokio::time::timeout(LOAD_MAX, self.shared.provider.provide_credentials())
            .await
            .unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LOAD_MAX)))
    }
}

async fn sleep_until(clock: &Clock, mono: Option<Duration>) {
    match mono {
        Some(mono) => clock.sleep_until(mono).await,
        None => std::future::pending().await,
    }
}

fn expiry(credentials: &aws_credential_types::Credentials) -> Option<Wall> {
    let since_epoch = credentials.expiry()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Wall::from_nanos(0).plus(since_epoch))
}

/// When, in monotonic time, to replace what expires at `expiry`; `None` for what never does.
fn refresh_at(now: Moment, expiry: Option<Wall>, chance: f64) -> Option<Duration> {
    let left = expiry?.since(now.wall);
    let early = REFRESH_BEFORE + REFRESH_JITTER.mul_f64(chance);
    // Short-lived ones (a metadata service hands out what it has left) are used for half their
    // life rather than asked for in a circle.
    Some(now.mono + left.saturating_sub(early).max((left / 2).min(early)).max(SPACING))
}

/// The failure as one of a closed set.
fn cause(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => "none_configured",
        CredentialsError::ProviderTimedOut(_) => "timed_out",
        CredentialsError::InvalidConfiguration(_) => "invalid_configuration",
        CredentialsError::ProviderError(_) => "provider_failed",
        CredentialsError::Unhandled(_) => "unhandled",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::provider::future;
    use std::sync::Mutex;
    use std::time::SystemTime;

    /// Gives its answers in turn, then fails.
    #[derive(Debug)]
    struct Script {
        answers: Mutex<Vec<(&'static str, Option<u64>)>>,
        asked: Arc<Mutex<Vec<Duration>>>,
        clock: Clock,
    }

    impl ProvideCredentials for Script {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.asked.lock().unwrap().push(self.clock.now().mono);
            let mut answers = self.answers.lock().unwrap();
            future::ProvideCredentials::ready(match answers.pop() {
                Some((key, lives_seconds)) => Ok(aws_credential_types::Credentials::new(
                    key,
                    "hush",
                    None,
                    lives_seconds.map(|seconds| {
                        let at = self.clock.now().wall.plus(Duration::from_secs(seconds));
                        SystemTime::UNIX_EPOCH + Duration::from_nanos(at.as_nanos())
                    }),
                    "script",
                )),
                None => Err(CredentialsError::not_loaded("script is over")),
            })
        }
    }

    fn script(
        mut answers: Vec<(&'static str, Option<u64>)>,
    ) -> (Credentials, Arc<Mutex<Vec<Duration>>>, Clock) {
        answers.reverse();
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let asked = Arc::default();
        let provider = Script {
            answers: Mutex::new(answers),
            asked: Arc::clone(&asked),
            clock: clock.clone(),
        };
        let credentials = Credentials::new(SharedCredentialsProvider::new(provider), clock.clone());
        (credentials, asked, clock)
    }

    fn key(credentials: &Credentials) -> Option<String> {
        credentials.current().map(|it| it.access_key_id().to_owned())
    }

    #[test]
    fn refreshed_before_they_expire() {
        let now = Moment { wall: Wall::from_ms(1_000_000), mono: Duration::from_secs(7) };
        let check = |lives_seconds: Option<u64>, chance, expected: Option<u64>| {
            let expiry = lives_seconds.map(|left| now.wall.plus(Duration::from_secs(left)));
            let expected = expected.map(|seconds| now.mono + Duration::from_secs(seconds));
            assert_eq!(refresh_at(now, expiry, chance), expected, "{lives_seconds:?}");
        };
        check(None, 0.5, None);
        check(Some(3_600), 0.0, Some(3_300));
        check(Some(3_600), 1.0, Some(3_240));
        check(Some(300), 0.0, Some(150));
        check(Some(0), 0.0, Some(5));
    }

    #[tokio::test(start_paused = true)]
    async fn loads_at_once_and_again_before_expiry() {
        let (credentials, asked, clock) = script(vec![("one", Some(3_600)), ("two", None)]);
        let stop = CancellationToken::new();
        let watch = async {
            assert_eq!(key(&credentials), None);
            assert!(credentials.wait(Duration::from_secs(5)).await.is_some());
            assert_eq!(key(&credentials).as_deref(), Some("one"));
            clock.sleep_until(Duration::from_secs(3_301)).await;
            assert_eq!(key(&credentials).as_deref(), Some("two"));
            stop.cancel();
        };
        tokio::join!(watch, credentials.clone().run(stop.clone()));
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_token_asks_once_and_keeps_the_old_meanwhile() {
        let (credentials, asked, clock) = script(vec![("one", None), ("two", None)]);
        let stop = CancellationToken::new();
        let watch = async {
            credentials.wait(Duration::from_secs(5)).await;
            for _ in 0..100 {
                credentials.expire();
            }
            assert_eq!(key(&credentials).as_deref(), Some("one"));
            clock.sleep_until(Duration::from_secs(60)).await;
            assert_eq!(key(&credentials).as_deref(), Some("two"));
            stop.cancel();
        };
        tokio::join!(watch, credentials.clone().run(stop.clone()));
        assert_eq!(*asked.lock().unwrap(), [Duration::ZERO, SPACING]);
    }

    #[tokio::test(start_paused = true)]
    async fn failing_is_never_fatal_and_waiting_ends() {
        let (credentials, asked, clock) = script(vec![]);
        let stop = CancellationToken::new();
        let watch = async {
            assert!(credentials.wait(Duration::from_secs(5)).await.is_none());
            assert_eq!(clock.now().mono, Duration::from_secs(5));
            clock.sleep_until(Duration::from_secs(600)).await;
            stop.cancel();
        };
        tokio::join!(watch, credentials.clone().run(stop.clone()));
        let asked = asked.lock().unwrap().len();
        assert!((8..30).contains(&asked), "backed off, but {asked} tries in ten minutes");
    }

    #[test]
    fn debug_shows_nothing() {
        let (credentials, ..) = script(vec![]);
        assert_eq!(format!("{credentials:?}"), "[secret]");
    }
}
