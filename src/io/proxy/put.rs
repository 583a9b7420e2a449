//! Owns a put on its way out: its parent, its span's context, and the splice of its records.
//! Refuses to fail: whatever is not understood goes out as it came, with the reason.

use super::admit::text;
use super::exchange::{Originals, PutFacts, Weight};
use super::placing::Placing;
use super::policy::{Propagate, Treatment};
use super::spans::Carried;
use super::{Proxy, retries};
use crate::domain::envelope::{Facts, Insertion};
use crate::domain::stream::StreamName;
use crate::domain::time::Moment;
use crate::domain::trace::{Format, Parent, TraceState};
use crate::io::entropy;
use crate::wire::kinesis::address::Address;
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::put::{
    self, Insertions, Look, Plan, PutBody, RecordVerdict, SizeLaw, Spliced,
};
use crate::wire::segments::Segments;
use bytes::Bytes;
use http::{HeaderMap, header};
use std::collections::HashSet;

pub(super) use super::retries::{Context, Trying};

/// A put, ready to be sent.
#[derive(Debug)]
pub(super) struct PreparedPut {
    pub body: Segments,
    /// None for a dry run, which is no traffic.
    pub facts: Option<Box<PutFacts>>,
    pub address: Address,
}

/// The body to send and what was done to it.
///
/// # Errors
/// The stream is not on the allow list.
pub(super) fn prepare(
    proxy: &Proxy,
    headers: &HeaderMap,
    body: &Bytes,
    now: Moment,
) -> Result<PreparedPut, Fault> {
    let policy = proxy.policy.load();
    let form = match readable(headers) {
        Ok(form) => form,
        Err(reason) => {
            policy.allow.put(None)?;
            let facts = Some(unread(proxy, headers, reason, now));
            return Ok(PreparedPut {
                body: body.clone().into(),
                facts,
                address: Address::default(),
            });
        }
    };
    let put = match put::locate(form, body) {
        Ok(put) => put,
        Err(fault) => {
            policy.allow.put(None)?;
            let facts = Some(unread(proxy, headers, fault.as_str(), now));
            let address = Address::of(form, body);
            return Ok(PreparedPut { body: body.clone().into(), facts, address });
        }
    };
    policy.allow.put(put.stream.as_ref())?;
    // A name says nothing of the host.
    let address = Address {
        stream_arn: put.stream_arn.clone(),
        stream_id: put.stream_id.clone(),
        ..Address::default()
    };
    if put.dry_run {
        return Ok(PreparedPut { body: body.clone().into(), facts: None, address });
    }
    let treatment = policy.of(put.stream.as_ref());
    let (body, facts) = treat(proxy, headers, body, put, treatment, now);
    Ok(PreparedPut { body, facts: Some(facts), address })
}

/// Whether a PutRecord may hold a KPL aggregate, which is always read whole, with its checksum. Only
/// its beginning is looked at: names and keys are short, and then the data begins.
pub(super) fn may_be_aggregate(body: &[u8]) -> bool {
    const LOOKED_AT_BYTES: usize = 8 << 10;
    /// As it is, and in base64.
    const MAGIC: [&[u8]; 2] = [b"\xf3\x89\x9a\xc2", b"84maw"];
    let beginning = body.get(..LOOKED_AT_BYTES).unwrap_or(body);
    MAGIC.iter().any(|magic| memchr::memmem::find(beginning, magic).is_some())
}

fn treat(
    proxy: &Proxy,
    headers: &HeaderMap,
    body: &Bytes,
    put: PutBody,
    treatment: Treatment,
    now: Moment,
) -> (Segments, Box<PutFacts>) {
    if treatment.propagate == Propagate::Off {
        let call = Call::of(proxy, headers, &[], now);
        let verdicts = vec!["off"; put.records.len()];
        let mut facts = call.facts(put.stream.clone(), verdicts);
        facts.weigh(&proxy.keys, body, &put);
        return (body.clone().into(), facts);
    }
    let looks = put::look(body, &put);
    let call = Call::of(proxy, headers, &looks, now);
    let mut own = resubmitted(proxy, body, &put, now);
    if proxy.deciding.creates_spans() && put.len() > 1 {
        created(&looks, &call.carried, &mut own);
    }
    let insertion = |(context, state): &Context| Insertion::new(context, state);
    let insertions = Insertions {
        common: insertion(&call.carried),
        own: own.iter().map(|it| (it.record, insertion(&it.context))).collect(),
    };
    let plan = if treatment.propagate == Propagate::Inject && treatment.chooses(entropy::chance) {
        let record_bytes_max = proxy.record_bytes_max(put.stream.as_ref(), treatment);
        let law = SizeLaw { record_bytes_max, ..SizeLaw::default() };
        Plan::Inject { insertions: &insertions, law, aggregated: treatment.aggregated }
    } else {
        Plan::Observe
    };
    let Spliced { body: spliced, verdicts, injected_bytes } =
        put::splice(body, &put, &looks, &plan);
    let mut facts =
        call.facts(put.stream.clone(), verdicts.iter().map(RecordVerdict::as_str).collect());
    own.retain(|it| verdicts.get(it.record) == Some(&RecordVerdict::Injected));
    own.extend(kept(&looks));
    own.sort_by_key(|it| it.record);
    facts.own = own;
    facts.injected_bytes = injected_bytes;
    if put.records.len() > 1 {
        let held = proxy.observer.hold(body.len());
        if held.is_none() {
            facts.weigh(&proxy.keys, body, &put);
        }
        facts.originals = held.map(|held| Originals { body: body.clone(), put, held });
    } else {
        facts.weigh(&proxy.keys, body, &put);
        if proxy.spans.has_room(facts.context.flags) {
            let event = put::facts(body, &put, 0);
            facts.event = (event != Facts::default()).then(|| Box::new(event));
        }
    }
    (spliced, facts)
}

impl Proxy {
    /// Most bytes of a stream's record: configured, else learned, else what every stream takes.
    pub(super) fn record_bytes_max(
        &self,
        stream: Option<&StreamName>,
        treatment: Treatment,
    ) -> usize {
        let learned = || self.record_limits.of(stream?);
        let configured = treatment.record_bytes_max.or_else(learned);
        configured.unwrap_or(SizeLaw::default().record_bytes_max)
    }
}

/// Records that failed inside a 200 before and are put again: each keeps its first context.
fn resubmitted(proxy: &Proxy, body: &[u8], put: &PutBody, now: Moment) -> Vec<Carried> {
    if proxy.refused.is_empty() {
        return Vec::new();
    }
    let first = |record| {
        let bytes = put::record_bytes(body, put, record)?;
        let context = proxy.refused.first_context(bytes, now)?;
        Some(Carried { record, context, created: false })
    };
    (0..put.len()).filter_map(first).collect()
}

/// A create span for each record that takes a context and has none to keep.
fn created(looks: &[Look], (send, state): &Context, own: &mut Vec<Carried>) {
    let known: HashSet<usize> = own.iter().map(|it| it.record).collect();
    let open = looks.iter().enumerate().filter(|(_, look)| look.takes_context());
    own.extend(open.filter(|(record, _)| !known.contains(record)).map(|(record, _)| {
        let context = send.child(entropy::span_id(), send.flags.sampled());
        Carried { record, context: (context, state.clone()), created: true }
    }));
}

/// How many create spans a put may have; a record that was refused before takes none.
fn created_at_most(looks: &[Look]) -> usize {
    if looks.len() > 1 { looks.iter().filter(|look| look.takes_context()).count() } else { 0 }
}

/// The contexts that records brought along.
fn kept(looks: &[Look]) -> impl Iterator<Item = Carried> {
    looks.iter().enumerate().flat_map(|(record, look)| {
        let own = look.contexts().iter().cloned();
        let foreign = look.foreign().map(|context| (context, TraceState::default()));
        own.chain(foreign).map(move |context| Carried { record, context, created: false })
    })
}

/// The form of a body that may be looked at, or why it may not.
pub(super) fn readable(headers: &HeaderMap) -> Result<WireForm, &'static str> {
    if text(headers, &header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err("body_encoded");
    }
    text(headers, &header::CONTENT_TYPE).and_then(WireForm::of).ok_or("body_other_wire_form")
}

fn unread(proxy: &Proxy, headers: &HeaderMap, verdict: &'static str, now: Moment) -> Box<PutFacts> {
    Call::of(proxy, headers, &[], now).facts(None, vec![verdict])
}

/// The contexts of one call.
struct Call {
    /// The send span's parent.
    parent: Option<Parent>,
    /// The send span's own.
    span: Context,
    /// What the records carry: the span's own, or what the first try of this call gave them.
    carried: Context,
    /// Which try this is, where the client says.
    attempt: Option<u32>,
    trying: Option<Trying>,
}

impl Call {
    fn of(proxy: &Proxy, headers: &HeaderMap, looks: &[Look], now: Moment) -> Self {
        let attempt = retries::attempt(headers);
        let parent = proxy.deciding.parent(headers).or_else(|| carried_parent(looks));
        let first = proxy.calls.first_context(headers, now);
        let (span, carried) = match first {
            // A retry stays in the trace that its first try began, and is recorded if that was.
            Some((context, state)) => {
                let span = context.child(entropy::span_id(), context.flags.sampled());
                ((span, state.clone()), (context, state))
            }
            None => {
                let created =
                    if proxy.deciding.creates_spans() { created_at_most(looks) } else { 0 };
                let span = proxy.deciding.child(parent.as_ref(), 1 + created, now);
                (span.clone(), span)
            }
        };
        let trying = proxy.calls.begin(headers, &carried, now);
        Self { parent, span, carried, attempt, trying }
    }

    fn facts(self, stream: Option<StreamName>, verdicts: Vec<&'static str>) -> Box<PutFacts> {
        let Self { parent, span: (context, state), carried, attempt, trying } = self;
        Box::new(PutFacts {
            stream,
            context,
            state,
            carried,
            parent: parent.map(|parent| parent.context.span_id),
            verdicts,
            injected_bytes: 0,
            attempt,
            trying,
            own: Vec::new(),
            each: Weight::default(),
            placing: Placing::default(),
            event: None,
            originals: None,
        })
    }
}

/// The first context that a record carries, W3C's before another tracer's.
fn carried_parent(looks: &[Look]) -> Option<Parent> {
    let parent = |context, state, format| Parent { context, state, format, undecided: false };
    let own = looks.iter().find_map(|look| look.contexts().first());
    let foreign = || looks.iter().find_map(Look::foreign);
    match own {
        Some((context, state)) => Some(parent(*context, state.clone(), Format::TraceContext)),
        None => Some(parent(foreign()?, TraceState::default(), Format::Datadog)),
    }
}
