//! Owns a trace export request as bytes: spans one after the other, and who recorded them before.
//! Refuses to cut anything silently: every link, attribute and flag goes along, and a span that must
//! lose links for a collector's sake says how many.

use super::proto_resource;
use super::proto_scope;
use super::protobuf::Message;
use super::protobuf::Out;
use super::protobuf::bytes_of;
use super::protobuf::field_bytes;
use crate::domain::trace::Attribute;
use crate::domain::trace::Kind;
use crate::domain::trace::Link;
use crate::domain::trace::Span;
use crate::domain::trace::Status;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceState;
use crate::domain::trace::Value;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message as _;

/// The fields in which a request holds resources, these the spans of a scope, and that the spans.
const RESOURCE_SPANS: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SPANS: u32 = 2;

/// Who recorded spans: what each request says beside them.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Both as the field that holds them.
    resource: Vec<u8>,
    scope: Vec<u8>,
}

impl Origin {
    /// We, in a process with this resource.
    #[must_use]
    pub fn of(attributes: &[(String, String)]) -> Self {
        let resource = Some(proto_resource(attributes));
        let scope = Some(proto_scope());
        Self {
            resource: proto::ResourceSpans { resource, ..Default::default() }.encode_to_vec(),
            scope: proto::ScopeSpans { scope, ..Default::default() }.encode_to_vec(),
        }
    }

    /// Bytes that it takes in each request.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.resource.len() + self.scope.len()
    }

    /// The request of spans that were [appended](append) one after the other.
    #[must_use]
    pub fn request(&self, spans: &[u8]) -> Vec<u8> {
        let of_scope = Joined(&self.scope, spans);
        let of_resource = OfResource(&self.resource, of_scope);
        let bytes = bytes_of(&of_resource);
        let mut request = Vec::with_capacity(field_bytes(RESOURCE_SPANS, bytes));
        request.message_of(RESOURCE_SPANS, bytes, &of_resource);
        request
    }
}

struct OfResource<'a>(&'a [u8], Joined<'a>);

impl Message for OfResource<'_> {
    fn write(&self, to: &mut impl Out) {
        to.raw(self.0);
        to.message(SCOPE_SPANS, &self.1);
    }
}

struct Joined<'a>(&'a [u8], &'a [u8]);

impl Message for Joined<'_> {
    fn write(&self, to: &mut impl Out) {
        to.raw(self.0);
        to.raw(self.1);
    }
}

/// Appends a span to those of a request, without the links that would make it larger than
/// `bytes_max`; false when it is larger even without any.
#[must_use]
pub fn append(to: &mut Vec<u8>, span: &Span, bytes_max: usize) -> bool {
    let Some((told, bytes)) = fitting(span, bytes_max) else { return false };
    to.reserve(field_bytes(SPANS, bytes));
    to.message_of(SPANS, bytes, &told);
    true
}

/// As much of a span as `bytes_max` holds, the last links left out first, and its bytes.
fn fitting(span: &Span, bytes_max: usize) -> Option<(Told<'_>, usize)> {
    let fits = |bytes| field_bytes(SPANS, bytes) <= bytes_max;
    let whole = Told { span, links: &span.links, links_dropped: 0 };
    let bytes = bytes_of(&whole);
    if fits(bytes) {
        return Some((whole, bytes));
    }
    let mut bytes = bytes_of(&Told { span, links: &[], links_dropped: u32::MAX });
    let fitting = |link: &&Link| {
        bytes += field_bytes(Told::LINKS, bytes_of(*link));
        fits(bytes)
    };
    let kept = span.links.iter().take_while(fitting).count();
    let links_dropped = u32::try_from(span.links.len() - kept).unwrap_or(u32::MAX);
    let cut = Told { span, links: span.links.get(..kept).unwrap_or_default(), links_dropped };
    let bytes = bytes_of(&cut);
    fits(bytes).then_some((cut, bytes))
}

/// What is told of a span. Fields are numbered by opentelemetry-proto's trace.proto.
struct Told<'a> {
    span: &'a Span,
    links: &'a [Link],
    links_dropped: u32,
}

impl Told<'_> {
    const LINKS: u32 = 13;
}

impl Message for Told<'_> {
    fn write(&self, to: &mut impl Out) {
        let Self { span, links, links_dropped } = self;
        write_context(&span.context, &span.tracestate, to);
        if let Some(parent) = span.parent {
            to.bytes(4, &parent.bytes());
        }
        to.bytes(5, span.name.as_bytes());
        to.number(6, kind(span.kind) as u64);
        to.fixed64(7, span.start.as_nanos().to_le_bytes());
        to.fixed64(8, span.end.as_nanos().to_le_bytes());
        span.attributes.iter().for_each(|attribute| to.message(9, attribute));
        links.iter().for_each(|link| to.message(Self::LINKS, link));
        if *links_dropped > 0 {
            to.number(14, u64::from(*links_dropped));
        }
        match &span.status {
            Status::Unset => {}
            Status::Error(why) => to.message(15, &Failed(why)),
        }
        // Every parent we know of came to us over the wire.
        to.fixed32(16, flags(&span.context, span.parent.is_some()));
    }
}

impl Message for Link {
    fn write(&self, to: &mut impl Out) {
        write_context(&self.context, &self.tracestate, to);
        self.attributes.iter().for_each(|attribute| to.message(4, attribute));
        to.fixed32(6, flags(&self.context, true));
    }
}

fn write_context(context: &TraceContext, state: &TraceState, to: &mut impl Out) {
    to.bytes(1, &context.trace_id.bytes());
    to.bytes(2, &context.span_id.bytes());
    if let Some(state) = state.as_str() {
        to.bytes(3, state.as_bytes());
    }
}

/// The context's own, and whether the span that it names (of a span: its parent) is of another
/// process.
fn flags(context: &TraceContext, remote: bool) -> u32 {
    let known = proto::SpanFlags::ContextHasIsRemoteMask as u32;
    let remote = if remote { proto::SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    u32::from(context.flags.byte()) | known | remote
}

const fn kind(kind: Kind) -> proto::span::SpanKind {
    match kind {
        Kind::Producer => proto::span::SpanKind::Producer,
        Kind::Consumer => proto::span::SpanKind::Consumer,
        Kind::Client => proto::span::SpanKind::Client,
    }
}

/// A status of failure, and why.
struct Failed<'a>(&'a str);

impl Message for Failed<'_> {
    fn write(&self, to: &mut impl Out) {
        to.bytes(2, self.0.as_bytes());
        to.number(3, proto::status::StatusCode::Error as u64);
    }
}

impl Message for Attribute {
    fn write(&self, to: &mut impl Out) {
        to.bytes(1, self.0.as_bytes());
        to.message(2, &self.1);
    }
}

impl Message for Value {
    fn write(&self, to: &mut impl Out) {
        match self {
            Self::Text(text) => to.bytes(1, text.as_bytes()),
            Self::Bool(truth) => to.number(2, u64::from(*truth)),
            Self::Int(number) => to.number(3, number.cast_unsigned()),
            Self::Float(number) => to.fixed64(4, number.to_le_bytes()),
        }
    }
}
