//! Owns the list of streams there are, for a hub. Refuses to publish half a list: until a new one
//! is complete the old one stands.

use crate::domain::backoff::Backoff;
use crate::domain::engine::Event;
use crate::domain::stream::StreamName;
use crate::io::clock::Clock;
use crate::io::credentials::fault::Fault;
use crate::io::entropy;
use crate::io::quiet::Quiet;
use crate::io::streams::pace::{Operation, Pacer};
use crate::io::streams::selection::Selection;
use crate::io::streams::tags::Tags;
use aws_sdk_kinesis::operation::list_streams::ListStreamsOutput;
use aws_smithy_types::error::display::DisplayErrorContext;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const PAGE_STREAMS: i32 = 1_000;

/// Most streams listed; those beyond are left out, by name, and that is said.
const STREAMS_MAX: usize = 10_000;

const RETRY: Backoff = Backoff {
    initial: Duration::from_secs(5),
    factor: 2.0,
    max: Duration::from_secs(300),
    jitter: 0.5,
};

/// The task that lists streams.
#[derive(Debug)]
pub struct Lister {
    client: aws_sdk_kinesis::Client,
    pacer: Pacer,
    clock: Clock,
    selection: Selection,
    tags: Tags,
    every: Duration,
    events: mpsc::Sender<Event>,
    list: watch::Sender<Arc<[StreamName]>>,
    quiet: Quiet,
}

impl Lister {
    /// Lists the streams of `selection` once every `every`; tells `events` each name, and the
    /// receiver, whose list is empty at first, the whole list.
    #[must_use]
    pub fn new(
        (client, pacer): (aws_sdk_kinesis::Client, Pacer),
        clock: Clock,
        selection: Selection,
        every: Duration,
        events: mpsc::Sender<Event>,
    ) -> (watch::Receiver<Arc<[StreamName]>>, Self) {
        let (list, streams) = watch::channel(Arc::default());
        let (tags, quiet) = (Tags::new(selection.tags.clone()), Quiet::default());
        (streams, Self { client, pacer, clock, selection, tags, every, events, list, quiet })
    }

    /// Works until `stop`, or until nobody listens any more.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut failures = 0_u32;
        loop {
            let delay = match self.list().await {
                Ok(streams) => {
                    failures = 0;
                    if self.tell(streams).await.is_err() {
                        return;
                    }
                    self.every
                }
                Err(fault) => {
                    failures = failures.saturating_add(1);
                    tracing::debug!(cause = fault.as_str(), failures, "streams not listed");
                    RETRY.delay(failures, entropy::chance())
                }
            };
            self.clock.sleep_until(self.clock.now().mono + delay).await;
        }
    }

    /// Every stream of the selection, by name.
    async fn list(&mut self) -> Result<Vec<StreamName>, Fault> {
        let mut streams = self.names().await?;
        streams.sort_unstable();
        let bearers = self.tags.bearers(streams, (&self.client, &self.pacer, &self.clock)).await;
        if let Err(fault) = &bearers
            && self.quiet.may_say("tags", self.clock.now()).is_some()
        {
            let cause = fault.as_str();
            tracing::warn!(cause, "streams not chosen by their tags: ListTagsForStream failed");
        }
        bearers
    }

    /// Every stream whose name the selection admits.
    async fn names(&mut self) -> Result<Vec<StreamName>, Fault> {
        let mut streams = Vec::new();
        let mut from: Option<(Option<String>, String)> = None;
        loop {
            let page = self.page(from.as_ref()).await?;
            let names = page.stream_names().iter().map(|name| StreamName::from(name.as_str()));
            streams.extend(names.filter(|name| self.selection.admits(name)));
            if streams.len() > STREAMS_MAX {
                streams.truncate(STREAMS_MAX);
                tracing::warn!(STREAMS_MAX, "streams left out; narrow cloudwatch.streams");
                return Ok(streams);
            }
            let last = page.stream_names().last().filter(|_| page.has_more_streams());
            // The same page again would never end.
            let Some(last) = last.filter(|it| from.as_ref().is_none_or(|(_, old)| old != *it))
            else {
                return Ok(streams);
            };
            from = Some((page.next_token().map(str::to_owned), last.clone()));
        }
    }

    /// One page: the first, or the one after a token, or (emulators have none) after a name.
    async fn page(
        &mut self,
        from: Option<&(Option<String>, String)>,
    ) -> Result<ListStreamsOutput, Fault> {
        self.pacer.turn(Operation::ListStreams).await;
        let call = self.client.list_streams().limit(PAGE_STREAMS);
        let call = match from {
            Some((Some(token), _)) => call.next_token(token),
            Some((None, last)) => call.exclusive_start_stream_name(last),
            None => call,
        };
        let answer = call.send().await;
        self.pacer.outcome(Operation::ListStreams, "", answer.as_ref().err().map(Fault::of));
        answer.map_err(|error| {
            let fault = Fault::of(&error);
            if self.quiet.may_say(fault.as_str(), self.clock.now()).is_some() {
                let error = DisplayErrorContext(&error);
                tracing::warn!(cause = fault.as_str(), %error, "streams not listed");
            }
            fault
        })
    }

    async fn tell(&self, streams: Vec<StreamName>) -> Result<(), mpsc::error::SendError<Event>> {
        let streams: Arc<[StreamName]> = streams.into();
        self.list.send_if_modified(|old| {
            let changed = **old != *streams;
            if changed {
                *old = Arc::clone(&streams);
            }
            changed
        });
        for stream in streams.iter() {
            // A slow engine slows the listing, and nobody else.
            self.events.send(Event::StreamSeen { stream: stream.clone() }).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use crate::io::credentials::fake;

    /// Runs a lister for `seconds` against `answer(request)` and returns the list and the names
    /// seen.
    async fn run(
        seconds: u64,
        tags: &[(&str, &str)],
        answer: impl Fn(serde_json::Value) -> (u16, String) + Send + Sync + 'static,
    ) -> (Vec<String>, Vec<String>) {
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let settings = fake::settings(move |request| {
            let (status, text) =
                answer(serde_json::from_slice(request.body().bytes().unwrap()).unwrap());
            (status, text.into_bytes())
        })
        .await;
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let selection = Selection {
            include: vec!["*".into()],
            exclude: vec!["b*".into()],
            tags: tags.collect(),
        };
        let (events, mut heard) = mpsc::channel(100);
        let every = Duration::from_secs(300);
        let pacer = Pacer::hub(clock.clone());
        let (list, lister) =
            Lister::new((settings.kinesis(None), pacer), clock.clone(), selection, every, events);
        let stop = CancellationToken::new();
        let end = async {
            clock.sleep_until(Duration::from_secs(seconds)).await;
            stop.cancel();
        };
        tokio::join!(lister.run(stop.clone()), end);
        let mut seen = Vec::new();
        while let Ok(Event::StreamSeen { stream }) = heard.try_recv() {
            seen.push(stream.to_string());
        }
        let list = list.borrow().iter().map(ToString::to_string).collect();
        (list, seen)
    }

    fn page(names: &[&str], more: bool, token: Option<&str>) -> (u16, String) {
        let body = serde_json::json!({
            "StreamNames": names, "HasMoreStreams": more, "NextToken": token,
        });
        (200, body.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn follows_pages_by_token_and_by_name() {
        let (list, seen) = run(60, &[], |request| {
            match (request["NextToken"].as_str(), request["ExclusiveStartStreamName"].as_str()) {
                (None, None) => page(&["a", "b"], true, Some("two")),
                (Some("two"), None) => page(&["c"], true, None),
                (None, Some("c")) => page(&["d"], false, None),
                other => panic!("{other:?}"),
            }
        })
        .await;
        assert_eq!(list, ["a", "c", "d"]);
        assert_eq!(seen, ["a", "c", "d"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_page_leaves_the_old_list() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let (list, seen) = run(1_000, &[], move |_| {
            match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => page(&["a", "c"], false, None),
                1 => page(&["x"], true, Some("two")),
                _ => (400, r#"{"__type":"LimitExceededException"}"#.to_owned()),
            }
        })
        .await;
        assert_eq!(list, ["a", "c"]);
        assert_eq!(seen, ["a", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn tags_choose_and_are_asked_for_once_an_hour() {
        let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&asked);
        let (list, seen) = run(1_000, &[("team", "mail"), ("stage", "")], move |request| {
            let Some(stream) = request["StreamName"].as_str() else {
                return page(&["c", "a", "d"], false, None);
            };
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let tags = match (stream, request["ExclusiveStartTagKey"].as_str()) {
                ("a", None) => serde_json::json!([{"Key": "team", "Value": "mail"}]),
                ("a", Some("team")) => serde_json::json!([{"Key": "stage"}]),
                ("d", _) => return (400, r#"{"__type":"ResourceNotFoundException"}"#.to_owned()),
                _ => serde_json::json!([{"Key": "team", "Value": "other"}]),
            };
            let more = stream == "a" && request["ExclusiveStartTagKey"].is_null();
            (200, serde_json::json!({"Tags": tags, "HasMoreTags": more}).to_string())
        })
        .await;
        assert_eq!((list, seen.first().map(String::as_str)), (vec!["a".to_owned()], Some("a")));
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 4);
    }
}
