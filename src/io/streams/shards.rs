//! Owns asking for the whole list of a stream's shards, closed ones too. Refuses to give half of
//! it: what is not on the list counts as trimmed away.

use crate::domain::capacity::{HashRange, HashRanges, hash_of_digits};
use crate::domain::snapshot::ShardInfo;
use crate::domain::stream::StreamName;
use crate::io::credentials::fault::Fault;
use crate::io::streams::pace::{Operation, Pacer};
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::list_shards::ListShardsError;
use aws_sdk_kinesis::types::Shard;
use aws_smithy_types::error::display::DisplayErrorContext;

const PAGE_SHARDS: i32 = 1_000;

/// An account's default quota in the largest regions, four times over.
const SHARDS_MAX: usize = 80_000;

/// A token lives for five minutes; a list that outlives it begins anew, so many times.
const RESTARTS_MAX: u32 = 2;

/// Why there is no list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoList {
    pub(super) fault: Fault,
    /// For the log.
    pub(super) said: String,
}

/// Every shard of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) shards: Vec<ShardInfo>,
    /// Of the open ones; `None` where they are not understood wholly.
    pub(super) ranges: Option<HashRanges>,
}

/// What the pages gave so far.
#[derive(Default)]
struct Gathered {
    shards: Vec<ShardInfo>,
    open: Vec<Option<HashRange>>,
}

enum Page {
    Last,
    Next(String),
    Expired,
}

/// Every shard of `stream`, every page at the pacer's pace.
pub(super) async fn list(
    client: &aws_sdk_kinesis::Client,
    pacer: &Pacer,
    stream: &StreamName,
) -> Result<Listed, NoList> {
    let (mut all, mut token, mut restarts) = (Gathered::default(), None, 0);
    loop {
        match page(client, pacer, stream, token.as_deref(), &mut all).await? {
            Page::Last if all.shards.is_empty() => {
                return Err(broken("a stream without a shard cannot be"));
            }
            Page::Last => {
                let open: Option<Vec<HashRange>> = all.open.into_iter().collect();
                return Ok(Listed { shards: all.shards, ranges: open.and_then(HashRanges::new) });
            }
            Page::Next(next) if token.as_ref() == Some(&next) => {
                return Err(broken("the same page came twice"));
            }
            Page::Next(_) if all.shards.len() >= SHARDS_MAX => {
                return Err(broken("there are more shards than an account may have"));
            }
            Page::Next(next) => token = Some(next),
            Page::Expired if restarts < RESTARTS_MAX => {
                (all, token, restarts) = (Gathered::default(), None, restarts + 1);
            }
            Page::Expired => return Err(broken("its pages expire faster than they are read")),
        }
    }
}

async fn page(
    client: &aws_sdk_kinesis::Client,
    pacer: &Pacer,
    stream: &StreamName,
    token: Option<&str>,
    all: &mut Gathered,
) -> Result<Page, NoList> {
    pacer.turn(Operation::ListShards).await;
    let call = client.list_shards().max_results(PAGE_SHARDS);
    // The token stands for the stream, and both together are refused.
    let call = match token {
        Some(token) => call.next_token(token),
        None => call.stream_name(stream.as_str()),
    };
    match call.send().await {
        Ok(answer) => {
            pacer.outcome(Operation::ListShards, stream.as_str(), None);
            all.shards.extend(answer.shards().iter().map(info));
            all.open.extend(answer.shards().iter().filter(|shard| is_open(shard)).map(range));
            Ok(answer.next_token.map_or(Page::Last, Page::Next))
        }
        Err(error) if token.is_some() && is_expired(&error) => Ok(Page::Expired),
        Err(error) => {
            let fault = Fault::of(&error);
            pacer.outcome(Operation::ListShards, stream.as_str(), Some(fault));
            Err(NoList { fault, said: DisplayErrorContext(&error).to_string() })
        }
    }
}

fn is_expired<R>(error: &SdkError<ListShardsError, R>) -> bool {
    error.as_service_error().is_some_and(ListShardsError::is_expired_next_token_exception)
}

fn info(shard: &Shard) -> ShardInfo {
    let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
    ShardInfo {
        shard: shard.shard_id().into(),
        parents: parents.into_iter().flatten().map(Into::into).collect(),
    }
}

fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
}

fn range(shard: &Shard) -> Option<HashRange> {
    let range = shard.hash_key_range()?;
    let end = |digits: &str| hash_of_digits(digits.as_bytes());
    let (begin, end) = (end(range.starting_hash_key())?, end(range.ending_hash_key())?);
    Some(HashRange { begin, end, shard: shard.shard_id().into() })
}

fn broken(why: &str) -> NoList {
    NoList { fault: Fault::Broken, said: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use crate::io::clock::Clock;
    use crate::io::credentials::fake;
    use serde_json::Value;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// What `answer(request, calls before)` makes of a list.
    async fn listed(
        answer: impl Fn(&Value, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Result<Vec<ShardInfo>, NoList> {
        whole(answer).await.map(|listed| listed.shards)
    }

    async fn whole(
        answer: impl Fn(&Value, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Result<Listed, NoList> {
        let calls = AtomicUsize::new(0);
        let settings = fake::settings(move |request| {
            let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let (status, text) = answer(&body, calls.fetch_add(1, Ordering::Relaxed));
            (status, text.into_bytes())
        })
        .await;
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        list(&settings.kinesis(None), &Pacer::hub(clock), &"orders".into()).await
    }

    fn shard(id: &str, parent: Option<&str>) -> Value {
        serde_json::json!({"ShardId": id, "ParentShardId": parent,
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
            "SequenceNumberRange": {"StartingSequenceNumber": "1"}})
    }

    fn page(shards: &[Value], next: Option<&str>) -> (u16, String) {
        (200, serde_json::json!({"Shards": shards, "NextToken": next}).to_string())
    }

    fn error(code: &str) -> (u16, String) {
        (400, format!(r#"{{"__type":"{code}","message":"no"}}"#))
    }

    fn names(shards: &[ShardInfo]) -> Vec<(&str, usize)> {
        shards.iter().map(|it| (it.shard.as_str(), it.parents.len())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn every_page_and_the_parents() {
        let shards = listed(|request, _| match request["NextToken"].as_str() {
            None => {
                assert_eq!(request["StreamName"], "orders");
                page(&[shard("a", None), shard("b", Some("a"))], Some("two"))
            }
            Some(_) => {
                assert_eq!(request["StreamName"], Value::Null);
                page(&[shard("c", Some("a"))], None)
            }
        })
        .await
        .unwrap();
        assert_eq!(names(&shards), [("a", 0), ("b", 1), ("c", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_hash_ranges_of_the_open_ones() {
        let of = |id: &str, begin: &str, end: &str, closed: Option<&str>| {
            serde_json::json!({"ShardId": id,
                "HashKeyRange": {"StartingHashKey": begin, "EndingHashKey": end},
                "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": closed}})
        };
        let ranges =
            async |shards: Vec<Value>| whole(move |_, _| page(&shards, None)).await.unwrap().ranges;
        let top = u128::MAX.to_string();
        let split = vec![
            of("parent", "0", &top, Some("9")),
            of("a", "0", "99", None),
            of("b", "100", &top, None),
        ];
        let known = ranges(split).await.unwrap();
        let of_hash = |hash| known.shard(hash).map(|shard| shard.as_str().to_owned());
        assert_eq!((of_hash(99).as_deref(), of_hash(100).as_deref()), (Some("a"), Some("b")));
        assert_eq!(ranges(vec![of("a", "x", &top, None)]).await, None, "no number");
        let twice = vec![of("a", "0", &top, None), of("b", "5", &top, None)];
        assert_eq!(ranges(twice).await, None, "no map");
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_page_begins_the_list_anew() {
        let shards = listed(|_, before| match before {
            0 => page(&[shard("old", None)], Some("two")),
            1 => error("ExpiredNextTokenException"),
            _ => page(&[shard("a", None)], None),
        })
        .await
        .unwrap();
        assert_eq!(names(&shards), [("a", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_list_is_none() {
        type Answer = fn(&Value, usize) -> (u16, String);
        let cases: [(Answer, Fault); 5] = [
            (
                |_, before| {
                    if before == 0 {
                        page(&[shard("a", None)], Some("b"))
                    } else {
                        error("AccessDeniedException")
                    }
                },
                Fault::Denied,
            ),
            (|_, _| page(&[shard("a", None)], Some("again")), Fault::Broken),
            (
                |_, before| {
                    if before % 2 == 0 {
                        page(&[], Some("b"))
                    } else {
                        error("ExpiredNextTokenException")
                    }
                },
                Fault::Broken,
            ),
            (|_, _| page(&[], None), Fault::Broken),
            (|_, _| error("ResourceNotFoundException"), Fault::NotFound),
        ];
        for (answer, fault) in cases {
            assert_eq!(listed(answer).await.unwrap_err().fault, fault);
        }
    }
}
