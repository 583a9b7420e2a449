//! Laws of the fleet: bounds hold whatever comes, and below them the order of arrival changes
//! nothing.

use super::tests::{all, link, now, span};
use super::*;
use crate::domain::trace::Link;
use proptest::prelude::*;

fn any_span() -> impl Strategy<Value = (usize, Span)> {
    let id = || (1_u8..5, 1_u8..12);
    let links = prop::collection::vec((id(), 0_u8..9, prop::option::of(-9_i64..90)), 0..5);
    let operation = prop::sample::select(vec!["create", "send", "receive", "process"]);
    let stream = prop::sample::select(vec!["orders", "mails", ""]);
    let parent = prop::option::of(1_u8..12);
    (operation, stream, id(), 0_i64..99, 0_i64..99, links, parent, 0_usize..3).prop_map(
        |(operation, stream, id, from, to, links, parent, service)| {
            let linked = |(to, sequence, ms): ((u8, u8), u8, Option<i64>)| -> Link {
                link(to, &sequence.to_string(), ms)
            };
            let parent = parent.and_then(|byte| SpanId::new([byte; 8]));
            let links = links.into_iter().map(linked).collect();
            (service, Span { links, parent, ..span(operation, stream, id, from, to) })
        },
    )
}

fn taken(limits: FleetLimits, spans: &[(usize, Span)]) -> Fleet {
    let mut fleet = Fleet::new(limits);
    for (service, span) in spans {
        let name = ["shop", "mail", "stock"][*service];
        fleet.take(&Arc::from(name), span, now());
    }
    fleet
}

proptest! {
    #[test]
    fn bounds_hold(spans in prop::collection::vec(any_span(), 0..120)) {
        let limits = FleetLimits {
            traces_max: 3,
            entries_max: 40,
            entries_per_trace_max: 15,
            recent_spans_max: 10,
            edges_max: 2,
        };
        let fleet = taken(limits, &spans);
        let Held { traces, entries } = fleet.held();
        prop_assert!(traces <= 3 && entries <= 40, "{traces} {entries}");
        prop_assert!(fleet.services().len() <= 2);
        prop_assert!(fleet.recent.len() <= 10 && fleet.recent_order.len() <= 10);
        prop_assert!(entries >= traces);
        let stories = fleet.stories(&all());
        // No consequence is told alone and within its cause.
        prop_assert!(stories.len() <= traces);
    }

    #[test]
    fn any_order_of_arrival_gives_the_same_stories(
        (spans, shuffled) in prop::collection::vec(any_span(), 0..30)
            .prop_map(|mut spans| {
                // Which of two spans of one id is the duplicate does depend on the order.
                let mut ids = BTreeSet::new();
                spans.retain(|(_, span)| ids.insert((span.context.trace_id, span.context.span_id)));
                spans
            })
            .prop_flat_map(|spans| (Just(spans.clone()), Just(spans).prop_shuffle())),
    ) {
        let (one, other) = (taken(FleetLimits::default(), &spans), taken(FleetLimits::default(), &shuffled));
        prop_assert_eq!(one.stories(&all()), other.stories(&all()));
        prop_assert_eq!(one.services(), other.services());
        prop_assert_eq!(one.held(), other.held());
        prop_assert_eq!(one.forgotten(), Forgotten::default());
    }

    #[test]
    fn no_time_is_negative_or_made_up(spans in prop::collection::vec(any_span(), 0..30)) {
        for story in taken(FleetLimits::default(), &spans).stories(&all()) {
            for hop in &story.hops {
                    prop_assert!(hop.time_in_stream.is_none() || hop.delivery.is_some());
                prop_assert!(hop.delivery.is_none_or(|delivery| delivery.records <= delivery.deliveries));
            }
            let whole = story.hops.iter().all(|hop| hop.producer.is_some());
            prop_assert!(whole || story.took.is_none());
        }
    }
}
