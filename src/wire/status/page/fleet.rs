//! Owns the part of the page that spans tell: recent traces as waterfalls across services and
//! streams, and sagas step by step. Refuses to draw what was not seen: a gap says that it is one.

use super::map::Map;
use super::rows::{Badge, Tone};
use crate::domain::fleet::{Fleet, Hop, Missing, Query, Story};
use crate::domain::saga::{SagaState, SagaView, Sagas, StepKind};
use crate::domain::time::{Moment, Wall};
use crate::wire::status::Role;
use crate::wire::status::figures;
use crate::wire::status::traces::speaks_for;
use askama::Template;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a person looks through; the JSON has the rest.
const STORIES_MAX: usize = 12;
const HOPS_MAX: usize = 30;
const SAGAS_MAX: usize = 12;
const STEPS_MAX: usize = 30;
/// A waterfall's box, in its own units.
const WIDTH: f64 = 400.0;
/// A piece of time is drawn this wide at least, so that it can be seen.
const PIECE_MIN: f64 = 2.0;

/// The part as HTML. Takes milliseconds when much is remembered.
///
/// # Errors
/// When the template cannot be filled, which nothing that is remembered should cause.
pub fn html(
    fleet: &Fleet,
    sagas: &Sagas,
    role: Role,
    now: Moment,
) -> Result<String, askama::Error> {
    let query = Query {
        trace_id: None,
        event_type: None,
        stream: None,
        slower_than: None,
        limit: STORIES_MAX,
    };
    let stories = fleet.stories(&query);
    // What is stuck is looked for first, and is there even where much newer is going well.
    let mut views = sagas.views(Some(SagaState::Stuck), SAGAS_MAX, now);
    let others = sagas.views(None, SAGAS_MAX, now);
    views.extend(others.into_iter().filter(|view| view.state != SagaState::Stuck));
    views.sort_by_key(|view| match view.state {
        SagaState::Stuck => 0,
        SagaState::Compensating => 1,
        // The newest first, as they come.
        SagaState::Running | SagaState::Completed | SagaState::Compensated | SagaState::Unknown => {
            2
        }
    });
    views.truncate(SAGAS_MAX);
    FleetPart {
        as_of: figures::time_of_day(now.wall),
        speaks_for: speaks_for(role),
        map: Map::new(&fleet.services(), now.wall),
        remembered: fleet.held().traces,
        stories: stories.iter().map(StoryRow::new).collect(),
        sagas: views.iter().map(SagaRow::new).collect(),
    }
    .render()
}

#[derive(Template)]
#[template(path = "page/fleet.html", config = "src/wire/status/askama.toml")]
struct FleetPart<'a> {
    as_of: String,
    speaks_for: &'static str,
    map: Map<'a>,
    remembered: usize,
    stories: Vec<StoryRow<'a>>,
    sagas: Vec<SagaRow<'a>>,
}

/// Pieces of time side by side.
#[derive(Template)]
#[template(path = "page/waterfall.html", config = "src/wire/status/askama.toml")]
struct Waterfall {
    bars: Vec<Bar>,
}

struct StoryRow<'a> {
    trace_id: String,
    badge: Badge,
    path: String,
    event_types: String,
    took: String,
    began: String,
    scale: String,
    bars: Waterfall,
    hops: Vec<HopRow<'a>>,
    more: usize,
    notes: Vec<&'static str>,
}

impl<'a> StoryRow<'a> {
    fn new(story: &'a Story) -> Self {
        let scale = Scale::of(story);
        let failed = story.hops.iter().any(has_failed);
        let badge = match (failed, story.missing.is_empty()) {
            (true, _) => Badge { text: "failed".to_owned(), tone: Tone::Bad },
            (false, false) => Badge { text: "partial".to_owned(), tone: Tone::Calm },
            (false, true) => Badge { text: "whole".to_owned(), tone: Tone::Good },
        };
        let mut notes: Vec<_> = story.missing.iter().map(|missing| said(*missing)).collect();
        if story.cut {
            notes.push("Some of it was left out for want of room.");
        }
        let types: BTreeSet<&str> =
            story.hops.iter().flat_map(|hop| hop.event_types.iter().map(|name| &**name)).collect();
        Self {
            trace_id: story.trace_id.to_string(),
            badge,
            path: path(story),
            event_types: types.into_iter().collect::<Vec<_>>().join(", "),
            took: took(story),
            began: figures::time_of_day(scale.from),
            bars: scale.waterfall(story.hops.iter().flat_map(pieces)),
            scale: figures::span(Duration::from_nanos(scale.nanos)),
            more: story.hops.len().saturating_sub(HOPS_MAX),
            hops: story.hops.iter().take(HOPS_MAX).map(|hop| HopRow::new(hop, scale)).collect(),
            notes,
        }
    }
}

/// The whole, or where that is unknown, what it took at least.
fn took(story: &Story) -> String {
    match (story.took, story.slowest()) {
        (Some(whole), _) => figures::span(whole),
        (None, Some(part)) => format!("≥ {}", figures::span(part)),
        (None, None) => figures::UNKNOWN.to_owned(),
    }
}

const fn said(missing: Missing) -> &'static str {
    match missing {
        Missing::Producer => "Who put the record was not seen.",
        Missing::Consumer => "Nobody was seen to read one of the records, yet or ever.",
    }
}

fn has_failed(hop: &Hop) -> bool {
    hop.producer.as_ref().is_some_and(|sending| sending.error.is_some() || sending.failed > 0)
        || hop.processing.is_some_and(|work| work.errors > 0)
}

/// The services in the order in which they appear, each once: `shop → inventory → mail`.
fn path(story: &Story) -> String {
    let mut names: Vec<&str> = Vec::new();
    for hop in &story.hops {
        let producer = hop.producer.as_ref().map(|sending| &*sending.service);
        for name in producer.into_iter().chain(hop.consumer.as_deref()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join(" → ")
}

/// From the first to the last that a story tells of.
#[derive(Clone, Copy)]
struct Scale {
    from: Wall,
    nanos: u64,
}

impl Scale {
    fn of(story: &Story) -> Self {
        let pieces = || story.hops.iter().flat_map(pieces);
        let from = pieces().map(|piece| piece.from).min().unwrap_or_default();
        let to = pieces().map(|piece| piece.from.plus(piece.took)).max().unwrap_or_default();
        let nanos = u64::try_from(to.since(from).as_nanos()).unwrap_or(u64::MAX);
        Self { from, nanos: nanos.max(1) }
    }

    fn waterfall(self, pieces: impl Iterator<Item = Piece>) -> Waterfall {
        Waterfall { bars: pieces.map(|piece| self.bar(&piece)).collect() }
    }

    fn bar(self, piece: &Piece) -> Bar {
        let units = |time: Duration| time.as_nanos() as f64 / self.nanos as f64 * WIDTH;
        let width = units(piece.took).clamp(PIECE_MIN, WIDTH);
        let x = units(piece.from.since(self.from)).clamp(0.0, WIDTH - width);
        Bar { class: piece.class, x: format!("{x:.1}"), width: format!("{width:.1}") }
    }
}

/// A stretch of time within a step.
struct Piece {
    class: &'static str,
    from: Wall,
    took: Duration,
}

/// What is known of a step's times: the put, the time in the stream, the work.
fn pieces(hop: &Hop) -> impl Iterator<Item = Piece> {
    let put = hop.producer.as_ref().map(|sending| {
        let failed = sending.error.is_some() || sending.failed > 0;
        let class = if failed { "put failed" } else { "put" };
        Piece { class, from: sending.began, took: sending.took.unwrap_or_default() }
    });
    let lay = hop.delivery.zip(hop.time_in_stream).map(|(delivery, time)| Piece {
        class: "lay",
        from: delivery.first_at.minus(time.longest),
        took: time.longest,
    });
    // When the work began is not told: it is drawn from the delivery on.
    let work = hop.delivery.zip(hop.processing).map(|(delivery, work)| Piece {
        class: if work.errors > 0 { "work failed" } else { "work" },
        from: delivery.first_at,
        took: work.longest.unwrap_or_default(),
    });
    // The stretch in the stream lies below the others: it may begin before the put's answer.
    [lay, put, work].into_iter().flatten()
}

struct Bar {
    class: &'static str,
    x: String,
    width: String,
}

struct HopRow<'a> {
    producer: &'a str,
    stream: &'a str,
    consumer: &'a str,
    event_types: String,
    bars: Waterfall,
    put: String,
    lay: String,
    work: String,
    error: Option<String>,
}

impl<'a> HopRow<'a> {
    fn new(hop: &'a Hop, scale: Scale) -> Self {
        let sending = hop.producer.as_ref();
        let about =
            |inferred: bool, text: String| if inferred { format!("≈ {text}") } else { text };
        let unknown = || figures::UNKNOWN.to_owned();
        let types: Vec<&str> = hop.event_types.iter().map(|name| &**name).collect();
        let errors = hop.processing.map_or(0, |work| work.errors);
        let at_work = (errors > 0).then(|| format!("work failed {errors} times"));
        let at_put = sending.and_then(|sending| match (&sending.error, sending.failed) {
            (Some(error), _) => Some(format!("put failed: {error}")),
            (None, 0) => None,
            (None, failed) => Some(format!("{failed} records were refused")),
        });
        Self {
            producer: sending.map_or("not seen", |sending| &sending.service),
            stream: hop.stream.as_ref().map_or("a stream that was not told", |name| name.as_str()),
            consumer: hop.consumer.as_deref().unwrap_or("nobody seen yet"),
            event_types: types.join(", "),
            bars: scale.waterfall(pieces(hop)),
            put: figures::span_or_unknown(sending.and_then(|sending| sending.took)),
            lay: hop
                .time_in_stream
                .map_or_else(unknown, |time| about(time.inferred, figures::span(time.longest))),
            work: hop.processing.map_or_else(unknown, |work| {
                about(work.inferred, figures::span_or_unknown(work.longest))
            }),
            error: at_put.or(at_work),
        }
    }
}

struct SagaRow<'a> {
    key: String,
    id: &'a str,
    name: &'a str,
    badge: Badge,
    reason: &'static str,
    took: String,
    silent: String,
    steps: Vec<StepChip<'a>>,
    more: usize,
}

struct StepChip<'a> {
    name: &'a str,
    sign: &'static str,
    class: &'static str,
    after: String,
    services: String,
}

const fn saga_tone(state: SagaState) -> Tone {
    match state {
        SagaState::Completed => Tone::Good,
        SagaState::Running | SagaState::Unknown => Tone::Calm,
        SagaState::Compensating | SagaState::Compensated => Tone::Warn,
        SagaState::Stuck => Tone::Bad,
    }
}

impl<'a> SagaRow<'a> {
    fn new(view: &'a SagaView) -> Self {
        let began = view.steps.first().map(|step| step.at).unwrap_or_default();
        let steps = view.steps.iter().take(STEPS_MAX).map(|step| {
            let (sign, class) = match step.kind {
                StepKind::Forward => ("→", "forward"),
                StepKind::Compensation => ("↩", "back"),
                StepKind::End => ("■", "end"),
                StepKind::Report => ("·", "report"),
            };
            let services: Vec<&str> = step.services.iter().map(|name| &**name).collect();
            StepChip {
                name: &step.step,
                sign,
                class,
                after: figures::span(step.at.since(began)),
                services: services.join(", "),
            }
        });
        Self {
            key: format!("{}/{}", view.saga_id.as_str(), view.run),
            id: view.saga_id.as_str(),
            name: &view.name,
            badge: Badge { text: view.state.as_str().to_owned(), tone: saga_tone(view.state) },
            reason: view.reason,
            took: figures::span_or_unknown(view.duration),
            silent: figures::span(view.silent),
            steps: steps.collect(),
            more: view.steps.len().saturating_sub(STEPS_MAX),
        }
    }
}
