//! Owns which of a request's headers may name our parent, and in which order (`OTEL_PROPAGATORS`).
//! Refuses to mix them: the first format that names a trace and a span is the parent, whole, and a
//! `tracestate` without its `traceparent` is nothing. Source: reference/tracing.md 2.3, 3.6, 3.7.

use super::baggage::Baggage;
use super::context::{Flags, SpanId, TraceContext, TraceId};
use super::state::TraceState;
use super::{b3, datadog, xray};
use std::borrow::Cow;

/// How a context was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `traceparent` and `tracestate`.
    TraceContext,
    /// `x-amzn-trace-id`.
    XRay,
    /// `x-datadog-trace-id` and its siblings.
    Datadog,
    /// `b3`.
    B3Single,
    /// `x-b3-traceid` and its siblings.
    B3Multi,
}

impl Format {
    /// A closed word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::XRay => "xray",
            Self::Datadog => "datadog",
            Self::B3Single => "b3",
            Self::B3Multi => "b3multi",
        }
    }
}

/// Whose child our span is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The parent's context. Where nobody has decided, it counts as sampled.
    pub context: TraceContext,
    /// Its tracestate; only W3C's format has one.
    pub state: TraceState,
    /// Where it was found.
    pub format: Format,
    /// The caller left the decision to us (`Sampled=?`, or no word of it): sample as for a root.
    pub undecided: bool,
}

/// The formats in force, in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propagators {
    formats: Vec<Format>,
    baggage: bool,
}

/// Ours, not OpenTelemetry's `tracecontext,baggage`: AWS's own SDKs send X-Ray's header, Datadog's
/// tracers theirs, and baggage in records that last a year is a decision to take on purpose.
impl Default for Propagators {
    fn default() -> Self {
        use Format::{B3Multi, B3Single, Datadog, TraceContext, XRay};
        Self { formats: vec![TraceContext, XRay, Datadog, B3Single, B3Multi], baggage: false }
    }
}

impl Propagators {
    /// Reads `OTEL_PROPAGATORS`, and says what of it is not in force. Empty is unset. Both of B3's
    /// names read both of its forms, the single header first, as OpenTelemetry asks.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let names: Vec<&str> =
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let (mut chosen, mut warnings) = (Self { formats: vec![], baggage: false }, vec![]);
        let mut none = false;
        for name in &names {
            let formats: &[Format] = match name.to_ascii_lowercase().as_str() {
                "tracecontext" => &[Format::TraceContext],
                "xray" => &[Format::XRay],
                "datadog" => &[Format::Datadog],
                "b3" | "b3multi" => &[Format::B3Single, Format::B3Multi],
                "baggage" => {
                    chosen.baggage = true;
                    &[]
                }
                "none" => {
                    none = true;
                    &[]
                }
                _ => {
                    warnings
                        .push(format!("OTEL_PROPAGATORS: `{name}` is not known and is ignored"));
                    &[]
                }
            };
            let fresh = formats.iter().filter(|format| !chosen.formats.contains(format));
            let fresh: Vec<Format> = fresh.copied().collect();
            chosen.formats.extend(fresh);
        }
        let empty = chosen.formats.is_empty() && !chosen.baggage;
        match (none, empty) {
            (true, false) => {
                warnings.push("OTEL_PROPAGATORS: `none` beside others is ignored".to_owned());
            }
            (false, true) => chosen = Self::default(),
            (true, true) | (false, false) => {}
        }
        (chosen, warnings)
    }

    /// Whether a header of this lower-case name can name a parent in any format.
    #[must_use]
    pub fn may_read(name: &str) -> bool {
        matches!(name, "traceparent" | "x-amzn-trace-id" | "b3")
            || name.starts_with("x-datadog-")
            || name.starts_with("x-b3-")
    }

    /// The first format whose headers name a trace and a span. `header` gives a header's value by
    /// its lower-case name; one that came several times, joined by commas.
    pub fn parent<'a>(
        &self,
        header: impl Fn(&'static str) -> Option<Cow<'a, str>>,
    ) -> Option<Parent> {
        let header = |name| header(name).map(trimmed);
        self.formats.iter().find_map(|&format| {
            let said = match format {
                Format::TraceContext => {
                    let context = TraceContext::parse(header("traceparent")?.as_bytes())?;
                    let state = header("tracestate").map(|text| TraceState::parse(&text));
                    let state = state.unwrap_or_default();
                    return Some(Parent { context, state, format, undecided: false });
                }
                Format::XRay => xray::read(&header("x-amzn-trace-id")?)?,
                Format::Datadog => datadog::read(header)?,
                Format::B3Single => b3::single(&header("b3")?)?,
                Format::B3Multi => b3::multi(header)?,
            };
            let (context, undecided) = (said.context(), said.sampled.is_none());
            Some(Parent { context, state: TraceState::default(), format, undecided })
        })
    }

    /// The request's baggage, where `OTEL_PROPAGATORS` asks for it.
    pub fn baggage<'a>(
        &self,
        header: impl Fn(&'static str) -> Option<Cow<'a, str>>,
    ) -> Option<Baggage> {
        self.baggage.then(|| Baggage::parse(&header("baggage")?))?
    }
}

/// What another tracer's headers say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// `None`: left to whoever records.
    pub sampled: Option<bool>,
}

impl Said {
    /// Only W3C's format says of a trace id that it is random, so here it is not said.
    pub(super) fn context(self) -> TraceContext {
        let Self { trace_id, span_id, sampled } = self;
        TraceContext { trace_id, span_id, flags: Flags::new(sampled.unwrap_or(true).into()) }
    }
}

/// Spaces and tabs around a header's value are not part of it.
fn trimmed(value: Cow<'_, str>) -> Cow<'_, str> {
    const BLANK: [char; 2] = [' ', '\t'];
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(BLANK)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(BLANK).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W3C: (&str, &str) =
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03");
    const STATE: (&str, &str) = ("tracestate", "a=1");
    const XRAY: (&str, &str) = (
        "x-amzn-trace-id",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?",
    );
    const DATADOG: [(&str, &str); 2] = [("x-datadog-trace-id", "7"), ("x-datadog-parent-id", "8")];
    const B3: (&str, &str) = ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0");
    const B3_MULTI: [(&str, &str); 2] =
        [("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"), ("x-b3-spanid", "e457b5a2e4d86bd1")];

    fn found(names: &str, headers: &[(&str, &str)]) -> Option<Parent> {
        let find = |name: &str| {
            headers.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned().into())
        };
        Propagators::parse(names).0.parent(find)
    }

    #[test]
    fn names() {
        let check = |text: &str, expected: &str, warned: &[&str]| {
            let (Propagators { formats, baggage }, warnings) = Propagators::parse(text);
            let mut names: Vec<&str> = formats.iter().map(|it| it.as_str()).collect();
            names.extend(baggage.then_some("baggage"));
            assert_eq!(names.join(" "), expected, "{text}");
            let told = warnings.iter().map(|it| it.trim_start_matches("OTEL_PROPAGATORS: "));
            assert_eq!(told.collect::<Vec<_>>(), warned, "{text}");
        };
        let default = "tracecontext xray datadog b3 b3multi";
        check("", default, &[]);
        check(" , ", default, &[]);
        check("xray,tracecontext", "xray tracecontext", &[]);
        check("tracecontext,baggage", "tracecontext baggage", &[]);
        check("b3", "b3 b3multi", &[]);
        check("B3Multi, B3 ,xray,xray", "b3 b3multi xray", &[]);
        check("none", "", &[]);
        check("none,xray", "xray", &["`none` beside others is ignored"]);
        check("none,jaeger", "", &["`jaeger` is not known and is ignored"]);
        check("jaeger", default, &["`jaeger` is not known and is ignored"]);
        check("ottrace,xray", "xray", &["`ottrace` is not known and is ignored"]);
    }

    #[test]
    fn the_first_format_in_order_is_the_parent() {
        let all = [&[W3C, STATE, XRAY, B3][..], &DATADOG, &B3_MULTI].concat();
        let check = |names: &str, headers: &[(&str, &str)], expected: Option<(&str, bool)>| {
            let told = found(names, headers);
            let told = told.as_ref().map(|it| (it.format.as_str(), it.undecided));
            assert_eq!(told, expected, "{names} of {headers:?}");
        };
        check("", &all, Some(("tracecontext", false)));
        check("xray,tracecontext", &all, Some(("xray", true)));
        check("datadog", &all, Some(("datadog", true)));
        check("b3multi", &all, Some(("b3", false)));
        check("none", &all, None);
        check("baggage", &all, None);
        check("", &[XRAY, B3], Some(("xray", true)));
        check("", &[DATADOG[0], DATADOG[1], B3], Some(("datadog", true)));
        check("", &B3_MULTI, Some(("b3multi", true)));
        check("", &[("b3", "0"), B3_MULTI[0], B3_MULTI[1]], Some(("b3multi", true)));
        check("", &[("traceparent", "00-1-1-01"), XRAY], Some(("xray", true)));
        check("", &[STATE], None);
        check("", &[], None);
    }

    #[test]
    fn flags_and_state_are_those_of_the_format() {
        let check = |headers: &[(&str, &str)], expected: (u8, Option<&str>)| {
            let it = found("", headers).unwrap();
            assert_eq!((it.context.flags.byte(), it.state.as_str()), expected, "{headers:?}");
        };
        check(&[W3C, STATE], (3, Some("a=1")));
        check(&[W3C], (3, None));
        check(&[W3C, ("tracestate", "a=")], (3, None));
        check(&[XRAY, STATE], (1, None));
        check(&[("traceparent", "garbage"), STATE, XRAY], (1, None));
        check(&[B3], (0, None));
    }

    #[test]
    fn baggage_is_off_until_asked_for() {
        let read = |names: &str| {
            let header = |name: &str| (name == "baggage").then_some(Cow::Borrowed("a=1"));
            Propagators::parse(names).0.baggage(header)
        };
        assert_eq!(read(""), None);
        assert_eq!(read("tracecontext"), None);
        assert_eq!(read("tracecontext,baggage").unwrap().as_str(), "a=1");
    }
}
