//! Owns each stream's own record limit as DescribeStreamSummary told it, where the data plane can
//! look without asking. Refuses to guess: a stream that was not described has none.

use crate::domain::stream::StreamName;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;

/// Streams whose limit is kept; as many as are described.
const STREAMS_MAX: usize = 1_000;

/// The learned limits; clones share them. Read without a lock, written by the describer alone.
#[derive(Debug, Clone, Default)]
pub struct RecordLimits(Arc<ArcSwap<HashMap<StreamName, usize>>>);

impl RecordLimits {
    /// Bytes of the largest record, data and partition key together.
    #[must_use]
    pub fn of(&self, stream: &StreamName) -> Option<usize> {
        self.0.load().get(stream).copied()
    }

    /// Remembers what a stream said of itself.
    pub fn learn(&self, stream: &StreamName, record_bytes_max: Option<u64>) {
        let Some(bytes) = record_bytes_max.and_then(|bytes| usize::try_from(bytes).ok()) else {
            return;
        };
        let known = self.0.load();
        let is_news = known.get(stream) != Some(&bytes);
        let has_room = known.len() < STREAMS_MAX || known.contains_key(stream);
        if is_news && has_room {
            let mut limits = HashMap::clone(&known);
            limits.insert(stream.clone(), bytes);
            self.0.store(Arc::new(limits));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_until_learned() {
        let limits = RecordLimits::default();
        let orders = "orders".into();
        assert_eq!(limits.of(&orders), None);
        limits.learn(&orders, Some(10 << 20));
        limits.learn(&orders, None);
        assert_eq!(limits.of(&orders), Some(10 << 20));
        (0..2 * STREAMS_MAX).for_each(|i| limits.learn(&format!("s{i}").as_str().into(), Some(1)));
        assert_eq!(limits.0.load().len(), STREAMS_MAX);
    }
}
