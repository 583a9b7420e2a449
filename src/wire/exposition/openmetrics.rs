//! Owns OpenMetrics 1.0 text and its exemplars: the form in which a bucket names a trace. Refuses to
//! gather families and to sort series; the text format 0.0.4 is the `prometheus` crate's.
//! Source: OpenMetrics 1.0, "Text format"; reference/metrics.md 5.2.

use super::Wide;
use crate::domain::time::Wall;
use crate::domain::trace::TraceContext;
use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The answer's `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Label sets of one process that have exemplars at once; series beyond have none.
const SERIES_MAX: usize = 1_000;

/// One observation, and the trace that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// What was observed, in the family's unit.
    pub value: f64,
    /// Whose it is: the context that the record carried.
    pub context: TraceContext,
    /// When it was observed.
    pub at: Wall,
}

/// The newest exemplar of each bucket. Bounded: a thousand series, one a bucket.
#[derive(Debug, Default)]
pub struct Exemplars {
    /// By family, then by the values of its labels `stream` and `consumer`, then by the bucket's
    /// upper bound as bits: bounds are positive, so bits sort as they do.
    series: BTreeMap<(&'static str, String, String), BTreeMap<u64, Exemplar>>,
}

impl Exemplars {
    /// Keeps the exemplar for the bucket that its value falls into.
    pub fn note(
        &mut self,
        family: &'static str,
        (stream, consumer): (&str, &str),
        bounds: &[f64],
        exemplar: Exemplar,
    ) {
        let key = (family, stream.to_owned(), consumer.to_owned());
        if self.series.len() >= SERIES_MAX && !self.series.contains_key(&key) {
            return;
        }
        let bound = bounds.iter().find(|bound| exemplar.value <= **bound);
        let bound = bound.copied().unwrap_or(f64::INFINITY).to_bits();
        self.series.entry(key).or_default().insert(bound, exemplar);
    }

    fn of(&self, family: &str, metric: &Metric) -> Option<&BTreeMap<u64, Exemplar>> {
        if self.series.is_empty() {
            return None;
        }
        let label = |name: &str| {
            let pair = metric.get_label().iter().find(|pair| pair.name() == name);
            pair.map(|pair| pair.value().to_owned())
        };
        let family = *self.series.keys().map(|(name, ..)| name).find(|name| **name == family)?;
        self.series.get(&(family, label("stream")?, label("consumer")?))
    }
}

#[cfg(test)]
pub(crate) fn text(families: &mut Vec<MetricFamily>, exemplars: &Exemplars) -> String {
    text_with(String::new(), families, &[], exemplars)
}

/// The families as OpenMetrics text into the room of `out`, sorted by name, the wide ones among them;
/// those without a series are left out.
#[must_use]
pub fn text_with(
    mut out: String,
    families: &mut Vec<MetricFamily>,
    wide: &[Wide<'_>],
    exemplars: &Exemplars,
) -> String {
    super::order(families);
    out.reserve_exact(super::room_for(families, wide));
    for (before, wide) in super::wide::merged(families, wide) {
        for family in before {
            let name = write_head(&mut out, family);
            write_series(&mut out, name, family, exemplars);
        }
        for (nth, piece) in wide.iter().flat_map(|wide| wide.pieces()).enumerate() {
            if nth == 0 {
                write_head(&mut out, &piece);
            }
            write_series(&mut out, piece.name(), &piece, exemplars);
        }
    }
    out.push_str("# EOF\n");
    out
}

/// Gives the name that its series are written under.
fn write_head<'f>(out: &mut String, family: &'f MetricFamily) -> &'f str {
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => {
            (family.name().strip_suffix("_total").unwrap_or(family.name()), "counter")
        }
        MetricType::GAUGE => (family.name(), "gauge"),
        MetricType::HISTOGRAM => (family.name(), "histogram"),
        MetricType::SUMMARY => (family.name(), "summary"),
        MetricType::UNTYPED => (family.name(), "unknown"),
    };
    // A family whose name ends in a unit says so: scrapers keep it as metadata.
    let _ = writeln!(out, "# TYPE {name} {kind}");
    if let Some(unit) = ["seconds", "bytes", "ratio"].into_iter().find(|unit| is_in(name, unit)) {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    let _ = writeln!(out, "# HELP {name} {}", escaped(family.help()));
    name
}

fn write_series(out: &mut String, name: &str, family: &MetricFamily, exemplars: &Exemplars) {
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => {
                sample(out, &[name, "_total"], metric, None, metric.get_counter().get_value());
                out.push('\n');
            }
            MetricType::GAUGE | MetricType::UNTYPED => {
                sample(out, &[name], metric, None, metric.get_gauge().get_value());
                out.push('\n');
            }
            MetricType::HISTOGRAM => {
                let exemplars = exemplars.of(name, metric);
                write_histogram(out, name, metric, metric.get_histogram(), exemplars);
            }
            // None of ours: a summary of one process cannot be added to another's.
            MetricType::SUMMARY => {}
        }
    }
}

fn is_in(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

fn write_histogram(
    out: &mut String,
    name: &str,
    metric: &Metric,
    histogram: &Histogram,
    exemplars: Option<&BTreeMap<u64, Exemplar>>,
) {
    let ends = (f64::INFINITY, histogram.get_sample_count());
    let buckets = histogram.get_bucket().iter();
    let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    for (bound, count) in buckets.filter(|(bound, _)| bound.is_finite()).chain([ends]) {
        sample(out, &[name, "_bucket"], metric, Some(bound), count as f64);
        if let Some(exemplar) = exemplars.and_then(|known| known.get(&bound.to_bits())) {
            write_exemplar(out, exemplar);
        }
        out.push('\n');
    }
    sample(out, &[name, "_count"], metric, None, ends.1 as f64);
    out.push('\n');
    sample(out, &[name, "_sum"], metric, None, histogram.get_sample_sum());
    out.push('\n');
}

/// 111 of the 128 characters that an exemplar's labels may have.
fn write_exemplar(out: &mut String, exemplar: &Exemplar) {
    let Exemplar { value, context, at } = exemplar;
    let trace = context.trace_id.to_string();
    let (seconds, rest) = trace.split_at_checked(8).unwrap_or((&trace, ""));
    let _ = write!(
        out,
        " # {{trace_id=\"{trace}\",span_id=\"{}\",xray_trace_id=\"1-{seconds}-{rest}\"}} {} {}.{:03}",
        context.span_id,
        number(*value),
        at.as_seconds(),
        at.as_ms() % 1_000,
    );
}

/// One sample up to its value, without the line's end.
fn sample(out: &mut String, name: &[&str], metric: &Metric, bound: Option<f64>, value: f64) {
    name.iter().for_each(|part| out.push_str(part));
    let mut open = '{';
    let mut pair = |out: &mut String, name: &str, value: &str| {
        out.push(open);
        open = ',';
        out.push_str(name);
        out.push_str("=\"");
        out.push_str(value);
        out.push('"');
    };
    for label in metric.get_label() {
        pair(out, LabelPair::name(label), &escaped(label.value()));
    }
    if let Some(bound) = bound {
        pair(out, "le", &number(bound));
    }
    if open == ',' {
        out.push('}');
    }
    out.push(' ');
    out.push_str(&number(value));
}

/// A number in the canonical form: `1.0`, `0.05`, `+Inf`.
fn number(value: f64) -> Cow<'static, str> {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else if value.is_nan() {
        "NaN".into()
    } else {
        format!("{value:?}").into()
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return text.into();
    }
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

    const BOUNDS: &[f64] = &[0.05, 1.0];

    fn context() -> TraceContext {
        let parent = b"00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        TraceContext::parse(parent).unwrap()
    }

    fn registry() -> Registry {
        let registry = Registry::new();
        let age = HistogramOpts::new("kinesis_record_age_seconds", "Age of \"each\" record.");
        let age = HistogramVec::new(age.buckets(BOUNDS.to_vec()), &["stream", "consumer"]).unwrap();
        registry.register(Box::new(age.clone())).unwrap();
        let ages = age.with_label_values(&["orders", "mail"]);
        [0.01, 0.5, 7.0].into_iter().for_each(|seconds| ages.observe(seconds));
        let puts = IntCounterVec::new(Opts::new("puts_total", "Puts."), &["error"]).unwrap();
        registry.register(Box::new(puts.clone())).unwrap();
        puts.with_label_values(&["a\"b\\c\nd"]).inc_by(3);
        registry
    }

    #[test]
    fn a_bucket_names_the_newest_trace_that_fell_into_it() {
        let mut exemplars = Exemplars::default();
        let at = Wall::from_ms(1_795_411_658_123);
        for value in [0.02, 0.5, 0.75, 7.0] {
            let exemplar = Exemplar { value, context: context(), at };
            exemplars.note("kinesis_record_age_seconds", ("orders", "mail"), BOUNDS, exemplar);
            exemplars.note("kinesis_record_age_seconds", ("orders", "other"), BOUNDS, exemplar);
        }
        let trace = "{trace_id=\"5759e988bd862e3fe1be46a994272793\",span_id=\"53995c3f42cd8ad8\",\
                     xray_trace_id=\"1-5759e988-bd862e3fe1be46a994272793\"}";
        let bucket = "kinesis_record_age_seconds_bucket{consumer=\"mail\",stream=\"orders\"";
        let expected = [
            "# TYPE kinesis_record_age_seconds histogram".to_owned(),
            "# UNIT kinesis_record_age_seconds seconds".to_owned(),
            "# HELP kinesis_record_age_seconds Age of \\\"each\\\" record.".to_owned(),
            format!("{bucket},le=\"0.05\"}} 1.0 # {trace} 0.02 1795411658.123"),
            format!("{bucket},le=\"1.0\"}} 2.0 # {trace} 0.75 1795411658.123"),
            format!("{bucket},le=\"+Inf\"}} 3.0 # {trace} 7.0 1795411658.123"),
            "kinesis_record_age_seconds_count{consumer=\"mail\",stream=\"orders\"} 3.0".to_owned(),
            "kinesis_record_age_seconds_sum{consumer=\"mail\",stream=\"orders\"} 7.51".to_owned(),
            "# TYPE puts counter".to_owned(),
            "# HELP puts Puts.".to_owned(),
            "puts_total{error=\"a\\\"b\\\\c\\nd\"} 3.0".to_owned(),
            "# EOF".to_owned(),
        ];
        let text = text(&mut registry().gather(), &exemplars);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert!(trace.len() - "{=\"\",=\"\",=\"\"}".len() <= 128);
    }

    #[test]
    fn series_with_exemplars_are_bounded() {
        let mut exemplars = Exemplars::default();
        let exemplar = Exemplar { value: 1.0, context: context(), at: Wall::default() };
        for consumer in 0..2 * SERIES_MAX {
            exemplars.note("ages", ("orders", &consumer.to_string()), BOUNDS, exemplar);
        }
        assert_eq!(exemplars.series.len(), SERIES_MAX);
    }
}
