//! Owns the map of services and streams: who writes which stream and who reads it, as a picture and
//! as the table that says the same. Refuses to draw more than can be told apart: the busiest lines
//! are shown, the rest is counted.

use crate::domain::fleet::{Direction, Edge};
use crate::domain::time::Wall;
use crate::wire::status::figures;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Lines that a person can tell apart.
const EDGES_MAX: usize = 40;
/// Of a name, so much fits beside a line; the table has all of it.
const NAME_CHARS_MAX: usize = 26;
const ROW_HEIGHT: usize = 34;
const HALF_ROW: usize = ROW_HEIGHT / 2;
/// Where writers end, the box of a stream begins and ends, readers begin.
const WRITERS_X: usize = 230;
const STREAM_X: usize = 320;
const STREAM_END: usize = 560;
const READERS_X: usize = 650;

/// The map.
pub(super) struct Map<'a> {
    pub(super) height: usize,
    pub(super) writers: Vec<Node>,
    pub(super) streams: Vec<Node>,
    pub(super) readers: Vec<Node>,
    pub(super) lines: Vec<Line>,
    pub(super) rows: Vec<EdgeRow<'a>>,
    pub(super) more: usize,
    pub(super) words: String,
    pub(super) lines_said: String,
}

/// A name in its place.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) y: usize,
}

/// A line from a service to a stream, or back.
pub(super) struct Line {
    pub(super) path: String,
    pub(super) failed: bool,
}

/// The same as text.
pub(super) struct EdgeRow<'a> {
    pub(super) service: &'a str,
    pub(super) direction: &'static str,
    pub(super) stream: &'a str,
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) records: u64,
    pub(super) last: String,
}

impl<'a> Map<'a> {
    pub(super) fn new(edges: &'a [Edge], now: Wall) -> Self {
        let mut busiest: Vec<&Edge> = edges.iter().collect();
        busiest.sort_by_key(|edge| Reverse(edge.calls));
        busiest.truncate(EDGES_MAX);
        let of = |direction| busiest.iter().filter(move |edge| edge.direction == direction);
        let services =
            |direction| -> BTreeSet<&str> { of(direction).map(|edge| &*edge.service).collect() };
        let names: [BTreeSet<&str>; 3] = [
            services(Direction::Writes),
            busiest.iter().map(|edge| edge.stream.as_str()).collect(),
            services(Direction::Reads),
        ];
        let most = names.iter().map(BTreeSet::len).max().unwrap_or_default();
        let [writers, streams, readers] = names.map(|names| column(&names, most));
        let y = |column: &[(&str, usize)], name: &str| {
            column.iter().find(|(found, _)| *found == name).map(|(_, y)| *y).unwrap_or_default()
        };
        let lines = busiest.iter().map(|edge| {
            let at = y(&streams, edge.stream.as_str());
            let path = match edge.direction {
                Direction::Writes => curve(WRITERS_X, y(&writers, &edge.service), STREAM_X, at),
                Direction::Reads => curve(STREAM_END, at, READERS_X, y(&readers, &edge.service)),
            };
            Line { path, failed: edge.failed_calls > 0 }
        });
        let words = format!(
            "Map: {} writing, {}, {} reading",
            figures::count(writers.len(), "service", "services"),
            figures::count(streams.len(), "stream", "streams"),
            figures::count(readers.len(), "service", "services"),
        );
        Self {
            height: most * ROW_HEIGHT,
            lines: lines.collect(),
            rows: busiest.iter().map(|edge| row(edge, now)).collect(),
            more: edges.len().saturating_sub(EDGES_MAX),
            words,
            lines_said: figures::count(busiest.len(), "line", "lines"),
            writers: nodes(&writers),
            streams: nodes(&streams),
            readers: nodes(&readers),
        }
    }
}

/// The names one below the other, in the middle of the picture's height.
fn column<'a>(names: &BTreeSet<&'a str>, most: usize) -> Vec<(&'a str, usize)> {
    let above = most.saturating_sub(names.len()) * HALF_ROW;
    let place = |(index, name): (usize, &&'a str)| (*name, above + index * ROW_HEIGHT + HALF_ROW);
    names.iter().enumerate().map(place).collect()
}

fn nodes(column: &[(&str, usize)]) -> Vec<Node> {
    column.iter().map(|(name, y)| Node { name: short(name), y: *y }).collect()
}

fn short(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS_MAX) {
        None => name.to_owned(),
        Some(_) => name.chars().take(NAME_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

fn curve(from_x: usize, from_y: usize, to_x: usize, to_y: usize) -> String {
    let half = from_x.midpoint(to_x);
    format!("M{} {from_y}C{half} {from_y} {half} {to_y} {} {to_y}", from_x + 8, to_x - 8)
}

fn row(edge: &Edge, now: Wall) -> EdgeRow<'_> {
    EdgeRow {
        service: &edge.service,
        direction: edge.direction.as_str(),
        stream: edge.stream.as_str(),
        calls: edge.calls,
        failed: edge.failed_calls,
        records: edge.records,
        last: format!("{} ago", figures::span(now.since(edge.last_seen))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(service: &str, direction: Direction, stream: &str, calls: u64) -> Edge {
        let failed_calls = u64::from(calls == 7);
        let last_seen = Wall::from_ms(1_000);
        let (service, stream) = (service.into(), stream.into());
        Edge { service, direction, stream, calls, failed_calls, records: calls, last_seen }
    }

    #[test]
    fn a_service_that_reads_and_writes_stands_on_both_sides() {
        let edges = [
            edge("inventory", Direction::Reads, "orders", 7),
            edge("inventory", Direction::Writes, "stock", 2),
            edge("shop", Direction::Writes, "orders", 3),
        ];
        let map = Map::new(&edges, Wall::from_ms(3_000));
        let names = |nodes: &[Node]| -> Vec<(String, usize)> {
            nodes.iter().map(|node| (node.name.clone(), node.y)).collect()
        };
        assert_eq!(names(&map.writers), [("inventory".into(), 17), ("shop".into(), 51)]);
        assert_eq!(names(&map.streams), [("orders".into(), 17), ("stock".into(), 51)]);
        assert_eq!(names(&map.readers), [("inventory".into(), 34)]);
        assert_eq!((map.height, map.lines.len(), map.more), (68, 3, 0));
        assert_eq!(map.lines[0].path, "M568 17C605 17 605 34 642 34", "the busiest first");
        assert!(map.lines[0].failed && !map.lines[1].failed);
        assert_eq!(map.words, "Map: 2 services writing, 2 streams, 1 service reading");
        assert_eq!(map.rows[0].last, "2.0 s ago");
    }

    #[test]
    fn many_lines_are_counted_and_long_names_are_cut() {
        let name = |n: u64| format!("service-of-a-very-long-name-{n}");
        let edges: Vec<_> =
            (1..=50).map(|n| edge(&name(n), Direction::Writes, "orders", n)).collect();
        let map = Map::new(&edges, Wall::default());
        assert_eq!((map.lines.len(), map.more), (EDGES_MAX, 10));
        assert_eq!((map.rows[0].service, map.rows[0].calls), (name(50).as_str(), 50));
        assert_eq!(map.writers[0].name, "service-of-a-very-long-na…");
        assert_eq!(Map::new(&[], Wall::default()).height, 0);
    }
}
