//! Owns why a consumer's figures say nothing new: its stream goes away, or credentials fail, so that
//! nothing can be read however fast. Refuses to hide an alert itself: the board does, and only
//! while another rule tells of the cause.

use super::{Consumer, Memory, Stream};
use crate::domain::alert::Obstacle;
use crate::domain::lag::{FailureKind, View, Window};
use crate::domain::stream::ShardId;
use std::time::Duration;

/// A refusal this old says nothing about credentials now: whoever has none calls again sooner.
const REFUSED_WITHIN: Duration = Duration::from_secs(60);

impl Memory {
    /// How the sidecar's own credentials fail as of `now`, for whomever they do. A hub hears of many
    /// sidecars, each with its own.
    pub(in crate::domain::engine) fn sidecar_fails(&self, now: Duration) -> Option<FailureKind> {
        if self.judging.view == View::Fleet {
            return None;
        }
        let consumers = self.streams.values().flat_map(|stream| stream.consumers.values());
        let windows = consumers.flat_map(|consumer| consumer.shards.values());
        let refused = |window: &Window| {
            let fresh = now.saturating_sub(window.called_at()) <= REFUSED_WITHIN;
            window.fails_by().filter(|kind| fresh && kind.is_of_the_sidecar())
        };
        windows.filter_map(|window| refused(window)).max()
    }
}

impl Stream {
    /// What there is in the way of a consumer whose `worst` shards these are, by status and by lag:
    /// while another of them matters more, credentials explain nothing.
    pub(super) fn obstacle<'a>(
        &self,
        consumer: &Consumer,
        worst: impl IntoIterator<Item = &'a ShardId>,
        sidecar_fails: Option<FailureKind>,
    ) -> Option<Obstacle> {
        if self.is_going() {
            return Some(Obstacle::Stream("the stream is being deleted".to_owned()));
        }
        let fails_by = |shard: &ShardId| {
            consumer.shards.get(shard)?.fails_by().filter(|kind| kind.is_of_credentials())
        };
        // The first that is not refused ends it.
        let own: Option<Vec<FailureKind>> = worst.into_iter().map(fails_by).collect();
        let kind = sidecar_fails.or_else(|| own?.first().copied())?;
        Some(Obstacle::Credentials(format!("reads fail {}", kind.words())))
    }
}
