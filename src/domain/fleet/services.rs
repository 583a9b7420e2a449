//! Owns the map of services: which writes which stream and which reads it. Refuses to count what no
//! span told of: a trace that was not sampled is not in it.

use super::words::Operation;
use super::words::Reading;
use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One line of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Who.
    pub service: Arc<str>,
    /// Which way the records go.
    pub direction: Direction,
    /// The stream.
    pub stream: StreamName,
    /// Calls seen.
    pub calls: u64,
    /// Calls that failed in whole or in part.
    pub failed_calls: u64,
    /// Records in those calls.
    pub records: u64,
    /// When the last call ended.
    pub last_seen: Wall,
}

/// Which way records go, seen from the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// It puts them.
    Writes,
    /// It reads them.
    Reads,
}

impl Direction {
    /// As it is told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Writes => "writes",
            Self::Reads => "reads",
        }
    }
}

type Key = (Arc<str>, Direction, StreamName);

#[derive(Debug)]
struct Line {
    tick: u64,
    edge: Edge,
}

/// The lines, bounded: a new one takes the place of the one whose last call was noted longest ago.
#[derive(Debug)]
pub(super) struct Services {
    edges_max: usize,
    edges: BTreeMap<Key, Line>,
    by_age: BTreeSet<(u64, Key)>,
    ticks: u64,
    pub(super) forgotten: u64,
}

impl Services {
    pub(super) fn new(edges_max: usize) -> Self {
        let (edges, by_age) = (BTreeMap::new(), BTreeSet::new());
        Self { edges_max, edges, by_age, ticks: 0, forgotten: 0 }
    }

    /// Notes a call that ended at `at`. Of several spans of one call the first counts.
    pub(super) fn take(&mut self, service: &Arc<str>, reading: &Reading, at: Wall) {
        if reading.goes_on {
            return;
        }
        let direction = match reading.operation {
            Operation::Send => Direction::Writes,
            Operation::Receive => Direction::Reads,
            // A record's making and the work on it are no calls.
            Operation::Create | Operation::Process => return,
        };
        let Some(stream) = reading.stream.clone() else { return };
        let key = (service.clone(), direction, stream.clone());
        let edge = Edge {
            service: service.clone(),
            direction,
            stream,
            calls: 0,
            failed_calls: 0,
            records: 0,
            last_seen: at,
        };
        let new = Line { tick: 0, edge };
        let line = self.edges.entry(key.clone()).or_insert(new);
        self.ticks += 1;
        self.by_age.remove(&(line.tick, key.clone()));
        line.tick = self.ticks;
        let edge = &mut line.edge;
        edge.calls += 1;
        edge.failed_calls += u64::from(reading.error.is_some() || reading.failed > 0);
        // The conventions leave the count out where a call can have one record only.
        edge.records = edge.records.saturating_add(reading.records.unwrap_or(1));
        edge.last_seen = edge.last_seen.max(at);
        self.by_age.insert((self.ticks, key));
        while self.edges.len() > self.edges_max {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.edges.remove(&oldest);
            self.forgotten += 1;
        }
    }

    /// All lines, by service, direction and stream.
    pub(super) fn edges(&self) -> Vec<Edge> {
        self.edges.values().map(|line| line.edge.clone()).collect()
    }
}
