//! Owns the tests of the queue without a collector: its bounds, its order, and where drops are
//! counted.

use super::super::queue::Limits;
use super::super::queue::Queue;
use super::super::queue::SPANS_MAX;
use super::super::queue::SpanSink;
use super::super::queue::WEIGHT_MAX;
use super::super::queue::Window;
use super::super::queue::queue;
use super::HOUR;
use super::Metrics;
use super::Span;
use super::Wall;
use super::context;
use super::counts;
use super::metrics;
use super::span;
use crate::domain::trace::Flags;

const ANY: Limits = Limits {
    spans_max: 512,
    weight_max: usize::MAX,
    bytes_max: usize::MAX,
    span_bytes_max: usize::MAX,
    window: None,
};

fn idle_queue() -> (SpanSink, Queue, Metrics) {
    let metrics = metrics();
    let (sink, queue) = queue(metrics.clone(), 512);
    (sink, queue, metrics)
}

#[test]
fn a_full_queue_drops_the_new_span() {
    let (sink, queue, metrics) = idle_queue();
    (0..SPANS_MAX + 3).for_each(|_| sink.offer(span(0)));
    assert!(sink.slot(Flags::SAMPLED_RANDOM).is_none());
    assert_eq!(counts(&metrics), [0, 4, 0, 0, 0]);
    drop(queue);
    assert_eq!(counts(&metrics), [0, 4, 0, 0, SPANS_MAX as u64]);
}

#[test]
fn links_take_room_until_they_are_sent() {
    let (sink, mut queue, metrics) = idle_queue();
    let many = span(WEIGHT_MAX / 2);
    sink.offer(many.clone());
    sink.offer(many.clone());
    assert_eq!(counts(&metrics), [0, 1, 0, 0, 0]);
    let limits = Limits { weight_max: 1, ..ANY };
    let (_, mut held) = queue.take(&limits).unwrap();
    sink.offer(many.clone());
    assert_eq!(counts(&metrics), [0, 2, 0, 0, 0], "a batch on its way still takes room");
    held.delivered(1, 0);
    drop(held);
    sink.offer(many);
    assert_eq!(counts(&metrics), [1, 2, 0, 0, 0]);
}

#[test]
fn an_unsampled_span_or_an_export_that_is_off_costs_nothing() {
    let (sink, queue, metrics) = idle_queue();
    sink.offer(Span { context: context(2), ..span(1) });
    assert_eq!(queue.len(), 0);
    SpanSink::off().offer(span(1));
    assert!(SpanSink::off().slot(Flags::SAMPLED_RANDOM).is_none());
    assert_eq!(counts(&metrics), [0; 5]);
}

/// X-Ray refuses a whole request for one span's time.
#[test]
fn a_batch_is_of_one_time() {
    let (sink, mut queue, metrics) = idle_queue();
    let hours = |hours: u64| Wall::from_ms(1_700_000_000_000).plus(HOUR * hours as u32);
    let at = |start: u64| Span { start: hours(start), end: hours(start + 1), ..span(0) };
    [100, 101, 99, 130, 101, 400, 3].into_iter().for_each(|start| sink.offer(at(start)));
    let (earliest, latest, spread_max) = (hours(10), hours(200), HOUR * 23);
    let limits = Limits { window: Some(Window { earliest, latest, spread_max }), ..ANY };
    let mut sizes = Vec::new();
    while let Some((batch, mut held)) = queue.take(&limits) {
        sizes.push((batch.len(), queue.len()));
        held.delivered(batch.len() as u64, 0);
    }
    assert_eq!(sizes, [(3, 4), (1, 3), (1, 0)], "taken, and left");
    assert_eq!(metrics.dropped_out_of_time.get(), 2);
    assert_eq!(counts(&metrics), [5, 0, 0, 2, 0]);
}

/// A place that was reserved before the end and filled after it is a drop that counts.
#[test]
fn a_late_span_is_counted() {
    let (sink, queue, metrics) = idle_queue();
    let slot = sink.slot(Flags::SAMPLED_RANDOM).unwrap();
    drop(queue);
    slot.put(span(0));
    drop(sink);
    assert_eq!(counts(&metrics), [0, 0, 0, 0, 1]);
}
