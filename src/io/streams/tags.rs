//! Owns which streams bear the tags that a selection asks for. Refuses to admit a stream whose tags
//! it may not see.

use crate::domain::alert::glob;
use crate::domain::stream::StreamName;
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use crate::io::credentials::fault::Fault;
use crate::io::streams::pace::{Operation, Pacer};
use std::collections::BTreeMap;
use std::time::Duration;

/// Tags seldom change, and asking for those of one stream is a call.
const KEPT_FOR: Duration = Duration::from_secs(3_600);

/// A stream has 50 tags at most, and emulators page by ten.
const PAGES_MAX: u32 = 10;

/// What is known of the streams' tags: as many as are listed.
#[derive(Debug, Default)]
pub(super) struct Tags {
    wanted: BTreeMap<String, String>,
    known: BTreeMap<StreamName, (bool, Moment)>,
}

impl Tags {
    pub(super) const fn new(wanted: BTreeMap<String, String>) -> Self {
        Self { wanted, known: BTreeMap::new() }
    }

    /// Of `streams` those that bear every wanted tag. All of them, without a call, where none is.
    pub(super) async fn bearers(
        &mut self,
        streams: Vec<StreamName>,
        (client, pacer, clock): (&aws_sdk_kinesis::Client, &Pacer, &Clock),
    ) -> Result<Vec<StreamName>, Fault> {
        if self.wanted.is_empty() {
            return Ok(streams);
        }
        self.known.retain(|stream, _| streams.binary_search(stream).is_ok());
        let mut bearers = Vec::new();
        for stream in streams {
            let now = clock.now();
            let fresh =
                |(bears, at): &(bool, Moment)| (now.since(*at) < KEPT_FOR).then_some(*bears);
            let bears = match self.known.get(&stream).and_then(fresh) {
                Some(bears) => bears,
                None => {
                    let bears = self.bears(&stream, client, pacer).await?;
                    self.known.insert(stream.clone(), (bears, now));
                    bears
                }
            };
            if bears {
                bearers.push(stream);
            }
        }
        Ok(bearers)
    }

    async fn bears(
        &self,
        stream: &StreamName,
        client: &aws_sdk_kinesis::Client,
        pacer: &Pacer,
    ) -> Result<bool, Fault> {
        let (mut missing, mut after) = (self.wanted.clone(), None::<String>);
        for _ in 0..PAGES_MAX {
            pacer.turn(Operation::ListTagsForStream).await;
            let call = client.list_tags_for_stream().stream_name(stream.as_str());
            let answer = match call.set_exclusive_start_tag_key(after).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let fault = Fault::of(&error);
                    pacer.outcome(Operation::ListTagsForStream, stream.as_str(), Some(fault));
                    // Deleted since it was listed.
                    return if fault == Fault::NotFound { Ok(false) } else { Err(fault) };
                }
            };
            pacer.outcome(Operation::ListTagsForStream, stream.as_str(), None);
            for tag in answer.tags() {
                let value = tag.value().unwrap_or_default();
                if missing.get(tag.key()).is_some_and(|wanted| glob::matches(wanted, value)) {
                    missing.remove(tag.key());
                }
            }
            after = answer.tags().last().map(|tag| tag.key().to_owned());
            if missing.is_empty() || !answer.has_more_tags() || after.is_none() {
                break;
            }
        }
        Ok(missing.is_empty())
    }
}
