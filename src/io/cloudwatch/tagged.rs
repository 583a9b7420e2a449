//! Owns which of the listed streams have the tags of `cloudwatch.streams.tags`. Refuses to ask of one
//! stream more than once an hour, and to take a stream out because a question failed.

use crate::domain::alert::glob;
use crate::domain::stream::StreamName;
use crate::io::clock::Clock;
use crate::io::credentials::fault::Fault;
use crate::io::credentials::said::Said;
use aws_smithy_types::error::display::DisplayErrorContext;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// ListTagsForStream has five calls a second for the whole account.
const SPACING: Duration = Duration::from_millis(500);

/// Tags are seldom changed.
const HOLDS: Duration = Duration::from_secs(3_600);

/// Between looks, and after a fault.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The task that asks for tags.
#[derive(Debug)]
pub struct Tagged {
    client: aws_sdk_kinesis::Client,
    clock: Clock,
    tags: BTreeMap<String, String>,
    listed: watch::Receiver<Arc<[StreamName]>>,
    chosen: watch::Sender<Arc<[StreamName]>>,
    /// When a stream was asked about, and whether it has the tags. As many as are listed.
    known: HashMap<StreamName, (Duration, bool)>,
    said: Said,
}

impl Tagged {
    /// Lets through those of the `listed` streams that have all `tags`; the values are globs.
    #[must_use]
    pub fn new(
        client: aws_sdk_kinesis::Client,
        clock: Clock,
        tags: BTreeMap<String, String>,
        listed: watch::Receiver<Arc<[StreamName]>>,
    ) -> (watch::Receiver<Arc<[StreamName]>>, Self) {
        let (chosen, streams) = watch::channel(Arc::default());
        let (known, said) = (HashMap::new(), Said::default());
        (streams, Self { client, clock, tags, listed, chosen, known, said })
    }

    /// Works until `stop`. Without tags to ask for, every stream passes.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        loop {
            let listed = Arc::clone(&self.listed.borrow_and_update());
            if self.tags.is_empty() {
                self.chosen.send_replace(listed);
            } else {
                let there: HashSet<&StreamName> = listed.iter().collect();
                self.known.retain(|stream, _| there.contains(stream));
                self.ask(&listed).await;
            }
            let again = self.clock.now().mono + LOOK_EVERY;
            tokio::select! {
                changed = self.listed.changed() => if changed.is_err() { return },
                () = self.clock.sleep_until(again), if !self.tags.is_empty() => {}
            }
        }
    }

    /// Asks about every stream that is new or was asked about long ago, and tells as it goes.
    async fn ask(&mut self, listed: &[StreamName]) {
        for stream in listed {
            let now = self.clock.now().mono;
            if self.known.get(stream).is_some_and(|(at, _)| now.saturating_sub(*at) < HOLDS) {
                continue;
            }
            match self.has_tags(stream).await {
                Ok(has) => drop(self.known.insert(stream.clone(), (now, has))),
                // Gone since it was listed.
                Err(Fault::NotFound) => {}
                // Others would meet it too; what is known stands.
                Err(_) => break,
            }
            self.tell(listed);
            self.clock.sleep_until(self.clock.now().mono + SPACING).await;
        }
        self.tell(listed);
    }

    async fn has_tags(&mut self, stream: &StreamName) -> Result<bool, Fault> {
        let call = self.client.list_tags_for_stream().stream_name(stream.as_str());
        let answer = call.send().await.map_err(|error| {
            let fault = Fault::of(&error);
            if self.said.may_say(fault.as_str(), self.clock.now()) {
                let error = DisplayErrorContext(&error);
                tracing::warn!(cause = fault.as_str(), %error, "a stream's tags are not known");
            }
            fault
        })?;
        let has = |(key, wanted): (&String, &String)| {
            answer.tags().iter().any(|tag| {
                tag.key() == key && glob::matches(wanted, tag.value().unwrap_or_default())
            })
        };
        Ok(self.tags.iter().all(has))
    }

    fn tell(&self, listed: &[StreamName]) {
        let has = |stream: &&StreamName| self.known.get(*stream).is_some_and(|(_, has)| *has);
        let chosen: Arc<[StreamName]> = listed.iter().filter(has).cloned().collect();
        self.chosen.send_if_modified(|old| {
            let changed = **old != *chosen;
            if changed {
                *old = chosen;
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use crate::io::credentials::fake;
    use std::sync::Mutex;

    #[tokio::test(start_paused = true)]
    async fn streams_are_chosen_by_their_tags_and_seldom_asked_about() {
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, reader) = (Arc::clone(&asked), clock.clone());
        let settings = fake::settings(move |request| {
            let body: serde_json::Value =
                serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let name = body["StreamName"].as_str().unwrap().to_owned();
            log.lock().unwrap().push(name.clone());
            let tags = match name.as_str() {
                "gone" => return (400, br#"{"__type":"ResourceNotFoundException"}"#.to_vec()),
                // Once its tags were known, they can no longer be asked for.
                "later" if reader.now().mono > HOLDS => {
                    return (400, br#"{"__type":"AccessDeniedException"}"#.to_vec());
                }
                "other" => serde_json::json!([{ "Key": "team", "Value": "shop" }]),
                "bare" => serde_json::json!([]),
                _ => serde_json::json!([
                    { "Key": "x" }, { "Key": "team", "Value": "payments" }
                ]),
            };
            (200, serde_json::json!({ "Tags": tags, "HasMoreTags": false }).to_string().into())
        })
        .await;
        let names = ["gone", "orders", "other", "bare", "later"].map(StreamName::from);
        let (_list, listed) = watch::channel(Arc::from(names));
        let tags = BTreeMap::from([("team".to_owned(), "pay*".to_owned())]);
        let (chosen, tagged) = Tagged::new(settings.kinesis(None), clock.clone(), tags, listed);
        let stop = CancellationToken::new();
        let watched = async {
            clock.sleep_until(HOLDS / 2).await;
            let first: Vec<String> = chosen.borrow().iter().map(ToString::to_string).collect();
            let count = asked.lock().unwrap().iter().filter(|name| *name != "gone").count();
            clock.sleep_until(HOLDS * 3 / 2).await;
            stop.cancel();
            (first, count, chosen.borrow().len())
        };
        let ((first, count, then), ()) = tokio::join!(watched, tagged.run(stop.clone()));
        assert_eq!(first, ["orders", "later"]);
        assert_eq!(count, 4, "each once");
        assert_eq!(then, 2, "what was known stands");
    }
}
