//! Owns what is inferred of processing: the time from the delivery of a batch to the reader's next
//! call on that iterator (`traces.inferred_process`). Refuses where that time is something else: a
//! reader that prefetches asks for more while it works on what it has. Which those are: libraries
//! that say who they are, and a consumer that reads a stream by more than one iterator at once, of
//! one shard or of several. Fan-out and queues never come here: nobody calls for their next batch.

use super::iterators::{LIFE, key};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::Moment;
use crate::domain::trace::{Link, TraceContext, TraceState};
use http::{HeaderMap, header};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Consumers of streams that are followed; of more, nothing is inferred until others fall silent.
const READERS_MAX: usize = 1_000;
/// Shards of one reader: two already are too many to infer anything.
const SHARDS_MAX: usize = 16;
/// Links of all batches that are being worked on: as many as may wait for the exporter. A batch for
/// whose links there is no room has no process span.
const LINKS_MAX: usize = 32_768;
/// Readers that hand batches to other threads, by what their `user-agent` holds.
const PREFETCHING: [&str; 2] = ["amazon-kinesis-client-library", "Apache Flink"];

/// Whether the library that made a request works on batches while it asks for others.
pub(super) fn prefetches(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| PREFETCHING.iter().any(|name| agent.contains(name)))
}

/// Who reads what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The consumer.
    pub consumer: &'a ConsumerName,
    /// The stream.
    pub stream: &'a StreamName,
    /// The shard.
    pub shard: &'a ShardId,
}

/// A batch that was delivered and is being worked on, as far as we know.
#[derive(Debug)]
pub(super) struct Batch {
    /// When it was delivered.
    pub delivered: Moment,
    /// Its receive span.
    pub receive: (TraceContext, TraceState),
    /// A caller's flag decided that the receive span is recorded.
    pub asked: bool,
    /// How many records it has.
    pub records: usize,
    /// The receive span's links.
    pub links: Vec<Link>,
}

/// Why nothing is inferred for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefetching {
    /// Its library says who it is.
    UserAgent,
    /// It reads one shard by two iterators.
    Overlapping,
    /// It reads several shards: while it works on one batch it asks for another.
    SeveralShards,
}

impl Prefetching {
    const fn as_str(self) -> &'static str {
        match self {
            Self::UserAgent => "user_agent",
            Self::Overlapping => "overlapping_reads",
            Self::SeveralShards => "several_shards",
        }
    }
}

/// The readers of this pod, each with the batch that it was given last.
#[derive(Debug, Default)]
pub(super) struct Inferring {
    readers: HashMap<(ConsumerName, StreamName), Reader>,
    links: Arc<AtomicUsize>,
}

/// One consumer's reading of one stream.
#[derive(Debug, Default)]
struct Reader {
    shards: HashMap<ShardId, Chain>,
    /// Since when it is known to prefetch, and why.
    prefetching: Option<(Moment, Prefetching)>,
    /// What the log said of it.
    said: Option<Prefetching>,
}

/// One iterator after the other of a shard.
#[derive(Debug)]
struct Chain {
    heard: Moment,
    /// What its next call will name; `None` where an answer could not be read.
    next: Option<u64>,
    /// What its last call named: it may be repeated.
    called: Option<u64>,
    batch: Option<(Batch, Held)>,
}

/// A share of the bound on links.
#[derive(Debug)]
struct Held {
    all: Arc<AtomicUsize>,
    links: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.links, Ordering::Relaxed);
    }
}

impl Inferring {
    /// GetShardIterator gave an iterator.
    pub(super) fn begun(&mut self, reading: Reading<'_>, iterator: &str, at: Moment) {
        if let Some(chain) = self.chain(reading, at) {
            *chain = Chain { heard: at, next: Some(key(iterator)), called: None, batch: None };
        }
    }

    /// The reader called, at `at`: it is done with the batch that it got with this iterator, if it
    /// is a reader that takes one after the other.
    pub(super) fn called(
        &mut self,
        reading: Reading<'_>,
        iterator: &str,
        prefetches: bool,
        at: Moment,
    ) -> Option<Batch> {
        let iterator = key(iterator);
        let chain = self.chain(reading, at)?;
        chain.heard = at;
        let done = chain.batch.take();
        // A repeated call is the same reader, whose batch is done with already.
        let in_turn = chain.next.is_none_or(|next| next == iterator);
        let other = !in_turn && chain.called != Some(iterator);
        let reader = self.reader(reading)?;
        if prefetches {
            reader.prefetching = Some((at, Prefetching::UserAgent));
        } else if other {
            reader.prefetching = Some((at, Prefetching::Overlapping));
        }
        match reader.prefetching(reading.shard, at) {
            Some(why) => {
                reader.say(reading, why);
                None
            }
            None => done.filter(|_| in_turn).map(|(batch, _held)| batch),
        }
    }

    /// What that call brought: the next iterator, `None` at a shard's end, and the batch, unless it
    /// is empty or its trace not recorded.
    pub(super) fn delivered(
        &mut self,
        reading: Reading<'_>,
        (iterator, next): (&str, Option<&str>),
        batch: Option<Batch>,
        at: Moment,
    ) {
        let held = batch.and_then(|batch| self.held(batch));
        let Some(reader) = self.reader(reading) else { return };
        let alone = reader.prefetching(reading.shard, at).is_none();
        let Some(next) = next else {
            reader.shards.remove(reading.shard);
            return;
        };
        if let Some(chain) = reader.shards.get_mut(reading.shard) {
            let batch = held.filter(|_| alone);
            let (called, next) = (Some(key(iterator)), Some(key(next)));
            *chain = Chain { heard: at, next, called, batch };
        }
    }

    /// What that call brought could not be read.
    pub(super) fn unread(&mut self, reading: Reading<'_>, at: Moment) {
        if let Some(chain) = self.chain(reading, at) {
            *chain = Chain { heard: at, next: None, called: None, batch: None };
        }
    }

    fn held(&self, batch: Batch) -> Option<(Batch, Held)> {
        let links = batch.links.len();
        let before = self.links.fetch_add(links, Ordering::Relaxed);
        let held = Held { all: Arc::clone(&self.links), links };
        (before + links <= LINKS_MAX).then_some((batch, held))
    }

    fn reader(&mut self, of: Reading<'_>) -> Option<&mut Reader> {
        self.readers.get_mut(&(of.consumer.clone(), of.stream.clone()))
    }

    fn chain(&mut self, of: Reading<'_>, at: Moment) -> Option<&mut Chain> {
        let reader = (of.consumer.clone(), of.stream.clone());
        if self.readers.len() >= READERS_MAX && !self.readers.contains_key(&reader) {
            self.readers.retain(|_, reader| reader.shards.values().any(|chain| chain.lives(at)));
            if self.readers.len() >= READERS_MAX {
                return None;
            }
        }
        let Reader { shards, .. } = self.readers.entry(reader).or_default();
        if shards.len() >= SHARDS_MAX && !shards.contains_key(of.shard) {
            shards.retain(|_, chain| chain.lives(at));
            if shards.len() >= SHARDS_MAX {
                return None;
            }
        }
        let new = || Chain { heard: at, next: None, called: None, batch: None };
        Some(shards.entry(of.shard.clone()).or_insert_with(new))
    }
}

impl Reader {
    /// Whether it prefetches as far as is known at `at`, and how that is known.
    fn prefetching(&self, shard: &ShardId, at: Moment) -> Option<Prefetching> {
        let lately = self.prefetching.filter(|(since, _)| at.since(*since) < LIFE);
        let others = self.shards.iter().any(|(other, chain)| other != shard && chain.lives(at));
        lately.map(|(_, why)| why).or_else(|| others.then_some(Prefetching::SeveralShards))
    }

    fn say(&mut self, of: Reading<'_>, why: Prefetching) {
        if self.said.replace(why) != Some(why) {
            let (stream, consumer) = (of.stream, of.consumer);
            tracing::info!(%stream, %consumer, reason = why.as_str(), "no process spans are inferred for a reader that prefetches");
        }
    }
}

impl Chain {
    /// Its iterator may still be used.
    fn lives(&self, at: Moment) -> bool {
        at.since(self.heard) < LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::trace::Flags;
    use crate::io::entropy;
    use std::time::Duration;

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn batch(seconds: u64, links: usize) -> Option<Batch> {
        let flags = Flags::SAMPLED_RANDOM;
        let context =
            TraceContext { trace_id: entropy::trace_id(), span_id: entropy::span_id(), flags };
        let tracestate = TraceState::default();
        let link = Link { context, tracestate: tracestate.clone(), attributes: vec![] };
        Some(Batch {
            delivered: at(seconds),
            receive: (context, tracestate),
            asked: false,
            records: 1,
            links: vec![link; links],
        })
    }

    /// Reads of stream `s`, a word each: `SHARD:ITERATOR>NEXT` every second, `!` an iterator that
    /// was given, `?` an answer that could not be read, `kcl` a call of a library that prefetches.
    struct Reads(Inferring, u64);

    impl Reads {
        fn new() -> Self {
            Self(Inferring::default(), 0)
        }

        /// Since when each call's batch was worked on, `-` where nothing is inferred.
        fn told(&mut self, words: &str) -> String {
            let told = words.split_whitespace().map(|word| self.one(word));
            told.flatten().collect::<Vec<_>>().join(" ")
        }

        fn one(&mut self, word: &str) -> Option<String> {
            let Self(inferring, clock) = self;
            *clock += 1;
            let now = at(*clock);
            let (kcl, word) = word.strip_prefix("kcl").map_or((false, word), |word| (true, word));
            let (shard, step) = word.split_once(':').unwrap();
            let (consumer, stream, shard) = ("mail".into(), "s".into(), shard.into());
            let reading = Reading { consumer: &consumer, stream: &stream, shard: &shard };
            if let Some(given) = step.strip_prefix('!') {
                inferring.begun(reading, given, now);
                return None;
            }
            let (iterator, next) = step.split_once('>').unwrap();
            let done = inferring.called(reading, iterator, kcl, now);
            match next {
                "?" => inferring.unread(reading, now),
                "." => inferring.delivered(reading, (iterator, None), batch(*clock, 1), now),
                "0" => {} // an error of Kinesis'
                next => {
                    let empty = next.strip_suffix('_');
                    let made = if empty.is_some() { None } else { batch(*clock, 1) };
                    let next = Some(empty.unwrap_or(next));
                    inferring.delivered(reading, (iterator, next), made, now);
                }
            }
            Some(
                done.map_or("-".to_owned(), |batch| {
                    batch.delivered.since(at(0)).as_secs().to_string()
                }),
            )
        }
    }

    #[test]
    fn a_reader_that_takes_one_batch_after_the_other() {
        let check = |words: &str, expected: &str| {
            assert_eq!(Reads::new().told(words), expected, "{words}");
        };
        check("1:!a 1:a>b 1:b>c 1:c>d", "- 2 3");
        // An empty poll is no work, also where it is the last of several.
        check("1:!a 1:a>b_ 1:b>c_ 1:c>d 1:d>e_ 1:e>f", "- - - 4 -");
        // A repeated call ends no work: its first try did.
        check("1:!a 1:a>b 1:b>0 1:b>0 1:b>c 1:c>d", "- 2 - - 5");
        check("1:!a 1:a>b 1:b>c 1:b>d 1:d>e", "- 2 - 4");
        // An answer that could not be read breaks the chain, and no more.
        check("1:!a 1:a>b 1:b>? 1:x>y 1:y>z", "- 2 - 4");
        // Known from nowhere: after a restart.
        check("1:a>b 1:b>c", "- 1");
        // A reader that begins anew, and one that goes on with the child of an ended shard.
        check("1:!a 1:a>b 1:!m 1:m>n 1:n>o", "- - 4");
        check("1:!a 1:a>. 2:!m 2:m>n 2:n>o", "- - 4");
    }

    #[test]
    fn a_reader_that_prefetches() {
        let check = |words: &str, expected: &str| {
            assert_eq!(Reads::new().told(words), expected, "{words}");
        };
        check("1:!a kcl1:a>b kcl1:b>c kcl1:c>d", "- - -");
        // What a library does elsewhere in the stream is the same application's.
        check("1:!a 1:a>b 1:b>c 2:!m kcl2:m>n 1:c>d", "- 2 - -");
        // Two iterators of one shard.
        check("1:!a 1:a>b 1:!m 1:m>n 1:b>c 1:n>o 1:c>d", "- - - - -");
        // Several shards, from the moment at which the second is asked for.
        check("1:!a 1:a>b 1:b>c 2:!m 1:c>d 2:m>n 1:d>e", "- 2 - - -");
    }

    #[test]
    fn a_reader_that_prefetched_is_believed_again() {
        let mut reads = Reads::new();
        assert_eq!(reads.told("1:!a 1:a>b 1:!m 1:m>n 1:b>c"), "- - -");
        reads.1 += LIFE.as_secs();
        assert_eq!(reads.told("1:c>d 1:d>e"), "- 366");
        assert_eq!(reads.told("2:!m 1:e>f 1:f>g"), "- -");
        reads.1 += LIFE.as_secs();
        // The other shard's iterator has expired.
        assert_eq!(reads.told("1:g>h 1:h>i"), "- 731");
    }

    #[test]
    fn links_and_readers_are_bounded() {
        let mut inferring = Inferring::default();
        let stream = "s".into();
        for number in 0..READERS_MAX + 10 {
            let (consumer, shard) = (format!("c{number}").as_str().into(), "1".into());
            let reading = Reading { consumer: &consumer, stream: &stream, shard: &shard };
            inferring.begun(reading, "a", at(0));
            assert!(inferring.called(reading, "a", false, at(1)).is_none());
            inferring.delivered(reading, ("a", Some("b")), batch(1, 100), at(1));
            let all = inferring.links.load(Ordering::Relaxed);
            assert!(all <= LINKS_MAX, "{all}");
        }
        assert_eq!(inferring.readers.len(), READERS_MAX);
        assert_eq!(inferring.links.load(Ordering::Relaxed), LINKS_MAX / 100 * 100);
        // The silent make room.
        let (consumer, shard) = ("late".into(), "1".into());
        let reading = Reading { consumer: &consumer, stream: &stream, shard: &shard };
        inferring.begun(reading, "a", at(LIFE.as_secs() + 1));
        assert_eq!((inferring.readers.len(), inferring.links.load(Ordering::Relaxed)), (1, 0));
        for shard in 0..100 {
            let shard = format!("{shard}").as_str().into();
            inferring.begun(Reading { shard: &shard, ..reading }, "a", at(1_000));
        }
        assert_eq!(inferring.readers.values().next().map(|it| it.shards.len()), Some(SHARDS_MAX));
    }

    #[test]
    fn libraries_that_prefetch_say_who_they_are() {
        let check = |agent: &str, expected: bool| {
            let headers = [(header::USER_AGENT, agent.parse().unwrap())].into_iter().collect();
            assert_eq!(prefetches(&headers), expected, "{agent}");
        };
        check("aws-sdk-java/2.33.0 md/io#async amazon-kinesis-client-library-java/3.1.3", true);
        check("amazon-kinesis-client-library-java-1.14.10, aws-sdk-java/1.12", true);
        check("Apache Flink 1.20.0 (b1fe7b4) Kinesis Connector V2, aws-sdk-java/2.26", true);
        check("Boto3/1.43.106 md/Botocore#1.43.106", false);
        check("aws-sdk-js/3.1143.0 lang/js", false);
        assert!(!prefetches(&HeaderMap::new()));
    }
}
