//! Owns the decision whether a trace is recorded (`OTEL_TRACES_SAMPLER`), and the bound on what
//! strangers may make us record. Refuses to ask a record: its context is a link of the consumer's
//! trace and never its parent, however it is flagged; the parent here is the HTTP request's alone.
//!
//! A decision is about export. A record's context is written whether its trace is sampled or not,
//! with flag 00 then, so that whoever reads it knows that nobody recorded the producer.
//! Source: OpenTelemetry's SDK specification; reference/tracing.md 3.7, 8.

use crate::domain::time::Moment;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceId;
use std::time::Duration;

/// A sampler of OpenTelemetry's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    /// A parent's decision is taken over.
    parent_based: bool,
    root: Root,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    AlwaysOn,
    AlwaysOff,
    /// Sampled is a trace whose random part is not below this.
    Ratio {
        threshold: u64,
    },
}

/// Values of the random part: the trace id's last seven bytes.
const RANDOM: u64 = 1 << 56;

/// Whether a trace is recorded, and who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What the flag of our span's context says.
    pub sampled: bool,
    /// Why.
    pub reason: Reason,
}

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The sampler takes all.
    AlwaysOn,
    /// The sampler takes none.
    AlwaysOff,
    /// The trace id fell on this side of the ratio.
    Ratio,
    /// The caller's flag, which we cannot check.
    Parent,
}

impl Reason {
    /// A closed word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlwaysOn => "always_on",
            Self::AlwaysOff => "always_off",
            Self::Ratio => "ratio",
            Self::Parent => "parent",
        }
    }
}

/// `parentbased_always_on`.
impl Default for Sampler {
    fn default() -> Self {
        Self { parent_based: true, root: Root::AlwaysOn }
    }
}

impl Sampler {
    /// Reads `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`, and says what of them is not in
    /// force: an unknown sampler gives the default, an unreadable ratio gives 1. Empty is unset,
    /// and without a sampler the argument means nothing.
    #[must_use]
    pub fn parse(name: &str, argument: &str) -> (Self, Vec<String>) {
        let mut warnings = Vec::new();
        let lower = name.trim().to_ascii_lowercase();
        let (parent_based, root) = match lower.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, lower.as_str()),
        };
        let root = match root {
            "always_on" => Root::AlwaysOn,
            "always_off" => Root::AlwaysOff,
            "traceidratio" => Root::Ratio { threshold: threshold(argument.trim(), &mut warnings) },
            _ => {
                if !lower.is_empty() {
                    warnings.push(format!(
                        "OTEL_TRACES_SAMPLER: `{}` is not supported; parentbased_always_on is in force",
                        name.trim()
                    ));
                }
                return (Self::default(), warnings);
            }
        };
        (Self { parent_based, root }, warnings)
    }

    /// Decides for a span of trace `trace_id` below `parent`. `None` is a root, and also a parent
    /// that left the decision open.
    #[must_use]
    pub fn decide(&self, parent: Option<&TraceContext>, trace_id: TraceId) -> Decision {
        if let Some(parent) = parent.filter(|_| self.parent_based) {
            return Decision { sampled: parent.flags.sampled(), reason: Reason::Parent };
        }
        match self.root {
            Root::AlwaysOn => Decision { sampled: true, reason: Reason::AlwaysOn },
            Root::AlwaysOff => Decision { sampled: false, reason: Reason::AlwaysOff },
            Root::Ratio { threshold } => {
                let sampled = random_part(trace_id) >= threshold;
                Decision { sampled, reason: Reason::Ratio }
            }
        }
    }
}

/// The last seven bytes, which level 2 calls random; whoever samples by them, in any language,
/// decides the same, and a higher ratio takes all that a lower one takes.
fn random_part(trace_id: TraceId) -> u64 {
    // Of sixteen bytes the last eight, without the first of those.
    (u128::from_be_bytes(trace_id.bytes()) as u64) % RANDOM
}

fn threshold(ratio: &str, warnings: &mut Vec<String>) -> u64 {
    let read = if ratio.is_empty() { Some(1.0) } else { ratio.parse::<f64>().ok() };
    let ratio = read.filter(|it| (0.0..=1.0).contains(it)).unwrap_or_else(|| {
        warnings.push(format!(
            "OTEL_TRACES_SAMPLER_ARG: `{ratio}` is no ratio from 0 to 1; 1 is in force"
        ));
        1.0
    });
    ((1.0 - ratio) * RANDOM as f64) as u64
}

/// The bound on spans that are exported because a caller's flag said so
/// (`traces.max_spans_per_second`): whoever can send us a header could otherwise fill the backend.
/// What our own sampler took is not counted against it.
///
/// A bucket of one second's spans. The spans of one call go together: the last call that finds room
/// may overdraw it, and those after it wait for what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood {
    /// What a span takes; `None` where nobody may.
    span: Option<Duration>,
    /// When, on the monotonic clock, the bucket is full again.
    full_at: Duration,
}

/// What becomes of a call's spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// They are exported.
    Export,
    /// The trace is not sampled: nobody expects them.
    Unsampled,
    /// Callers asked for more than the bound: they are dropped, and counted.
    OverRate,
}

impl Admission {
    /// The label `reason` of spans that are dropped here; `None` where none is.
    #[must_use]
    pub const fn dropped(self) -> Option<&'static str> {
        match self {
            Self::Export | Self::Unsampled => None,
            Self::OverRate => Some("rate"),
        }
    }
}

impl Flood {
    /// A full bucket; of none at all if `spans_per_second_max` is zero.
    #[must_use]
    pub fn new(spans_per_second_max: u32) -> Self {
        let span = Duration::from_secs(1).checked_div(spans_per_second_max);
        Self { span, full_at: Duration::ZERO }
    }

    /// Whether a call's spans are exported.
    pub fn admit(&mut self, decision: Decision, spans: u32, now: Moment) -> Admission {
        match decision {
            Decision { sampled: false, .. } => Admission::Unsampled,
            Decision { reason: Reason::Parent, .. } => self.take(spans, now.mono),
            Decision { reason: Reason::AlwaysOn | Reason::AlwaysOff | Reason::Ratio, .. } => {
                Admission::Export
            }
        }
    }

    fn take(&mut self, spans: u32, now: Duration) -> Admission {
        let Some(span) = self.span else { return Admission::OverRate };
        let taken = self.full_at.saturating_sub(now);
        if taken + span > Duration::from_secs(1) {
            return Admission::OverRate;
        }
        self.full_at = now.saturating_add(taken).saturating_add(span.saturating_mul(spans));
        Admission::Export
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;

    fn trace(random: u64) -> TraceId {
        // The first of the last eight bytes must not count.
        TraceId::new((u128::from(random) | 0xff << 56 | 1 << 120).to_be_bytes()).unwrap()
    }

    fn parent(flags: &str) -> TraceContext {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        TraceContext::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn samplers_by_name() {
        let check = |name: &str, argument: &str, expected: [&str; 3], warned: bool| {
            let (sampler, warnings) = Sampler::parse(name, argument);
            let told = [None, Some(parent("03")), Some(parent("02"))].map(|parent| {
                let Decision { sampled, reason } =
                    sampler.decide(parent.as_ref(), trace(RANDOM / 4));
                format!("{} {}", reason.as_str(), if sampled { "on" } else { "off" })
            });
            assert_eq!(told, expected, "{name} {argument}");
            assert_eq!(!warnings.is_empty(), warned, "{name} {argument}: {warnings:?}");
        };
        let (on, off) = ("always_on on", "always_off off");
        let (parent_on, parent_off) = ("parent on", "parent off");
        let default = [on, parent_on, parent_off];
        check("", "", default, false);
        check("", "0.5", default, false);
        check("always_on", "", [on; 3], false);
        check("always_off", "", [off; 3], false);
        check("parentbased_always_on", "", default, false);
        check("ParentBased_Always_Off", "x", [off, parent_on, parent_off], false);
        check("traceidratio", "", ["ratio on"; 3], false);
        check("traceidratio", "0.75", ["ratio on"; 3], false);
        check("traceidratio", "0.7", ["ratio off"; 3], false);
        check("parentbased_traceidratio", " 0.5 ", ["ratio off", parent_on, parent_off], false);
        for bad in ["1.1", "-0.1", "NaN", "half"] {
            check("traceidratio", bad, ["ratio on"; 3], true);
        }
        for unsupported in ["jaeger_remote", "parentbased_jaeger_remote", "xray", "parentbased_"] {
            check(unsupported, "", default, true);
        }
        let (_, warnings) = Sampler::parse("jaeger_remote", "");
        assert!(warnings[0].contains("`jaeger_remote`"), "{warnings:?}");
    }

    #[test]
    fn the_ratio_is_of_the_random_part() {
        let check = |ratio: &str, random: u64, expected: bool| {
            let (sampler, _) = Sampler::parse("traceidratio", ratio);
            assert_eq!(sampler.decide(None, trace(random)).sampled, expected, "{ratio} {random:x}");
        };
        check("1", 0, true);
        check("0", RANDOM - 1, false);
        check("0.5", RANDOM / 2, true);
        check("0.5", RANDOM / 2 - 1, false);
        check("0.25", RANDOM / 4 * 3, true);
        check("0.25", RANDOM / 4 * 3 - 1, false);
    }

    #[test]
    fn the_flood_is_bound_and_our_own_is_not() {
        let at = |ms: u64| Moment { wall: Wall::default(), mono: Duration::from_millis(ms) };
        let theirs = Decision { sampled: true, reason: Reason::Parent };
        let mut flood = Flood::new(200);
        let mut admitted = |decision: Decision, spans: u32, ms: u64| {
            flood.admit(decision, spans, at(ms)) == Admission::Export
        };
        assert_eq!((0..300).filter(|_| admitted(theirs, 1, 10_000)).count(), 200);
        assert_eq!((0..300).filter(|_| admitted(theirs, 1, 10_100)).count(), 20);
        // An idle hour saves up no more than one second.
        assert_eq!((0..300).filter(|_| admitted(theirs, 1, 3_610_100)).count(), 200);
        // A call of 500 spans goes whole, and is paid for.
        assert!(admitted(theirs, 500, 3_620_000));
        assert!(!admitted(theirs, 1, 3_621_500));
        assert!(admitted(theirs, 1, 3_621_505));
        assert!(!admitted(theirs, 1, 3_621_505));
        // What our sampler took passes, what nobody sampled is not asked about.
        let ours = Decision { sampled: true, reason: Reason::AlwaysOn };
        assert_eq!((0..300).filter(|_| admitted(ours, 1, 3_621_505)).count(), 300);
        let off = Decision { sampled: false, reason: Reason::Parent };
        assert_eq!(flood.admit(off, 1, at(3_621_505)), Admission::Unsampled);
        assert_eq!(flood.admit(theirs, 1, at(3_621_505)).dropped(), Some("rate"));
        assert_eq!(Flood::new(0).admit(theirs, 1, at(0)), Admission::OverRate);
    }
}
