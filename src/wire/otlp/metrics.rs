//! Owns metrics as OTLP writes them: sums and histograms since a start. Refuses other temporalities
//! and kinds: cumulative is what every backend reads, and a lost export loses nothing.

use super::protobuf::bytes;
use super::protobuf::delimited;
use super::protobuf::double;
use super::protobuf::fixed64;
use super::protobuf::nested;
use super::protobuf::uint;
use super::write_attributes;
use crate::domain::time::Wall;
use crate::domain::trace::Attribute;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// How a metric introduces itself.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name by the conventions.
    pub name: &'static str,
    /// What it says.
    pub description: &'static str,
    /// Its unit in UCUM, such as `s` or `{message}`.
    pub unit: &'static str,
}

/// The time that values are of.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When counting began.
    pub start: Wall,
    /// When the values were read.
    pub now: Wall,
}

/// Observations by size.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram<const N: usize> {
    /// Observations at most as large as each bound and larger than the one before.
    pub within: [u64; N],
    /// Observations beyond the last bound.
    pub beyond: u64,
    /// The sum of all.
    pub sum: f64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { within: [0; N], beyond: 0, sum: 0.0 }
    }
}

impl<const N: usize> Histogram<N> {
    /// Counts one value.
    pub fn observe(&mut self, bounds: &[f64; N], value: f64) {
        self.sum += value;
        let bucket = self.within.iter_mut().zip(bounds).find(|(_, bound)| value <= **bound);
        *bucket.map_or(&mut self.beyond, |(count, _)| count) += 1;
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.beyond
    }
}

/// Appends a monotonic sum; one without points is left out.
pub fn write_sum<'a>(
    out: &mut Vec<u8>,
    metric: Metric,
    times: Times,
    points: impl Iterator<Item = (&'a [Attribute], u64)>,
) {
    let mut points = points.peekable();
    if points.peek().is_none() {
        return;
    }
    write_metric(out, metric, 7, |out| {
        for (attributes, count) in points {
            nested(out, 1, |out| {
                write_times(out, times);
                fixed64(out, 6, count);
                write_attributes(out, 7, attributes);
            });
        }
        uint(out, 2, CUMULATIVE);
        uint(out, 3, 1);
    });
}

/// Appends a histogram with these bounds; one without points is left out.
pub fn write_histogram<'a, const N: usize>(
    out: &mut Vec<u8>,
    metric: Metric,
    times: Times,
    bounds: &[f64; N],
    points: impl Iterator<Item = (&'a [Attribute], &'a Histogram<N>)>,
) {
    let mut points = points.peekable();
    if points.peek().is_none() {
        return;
    }
    write_metric(out, metric, 9, |out| {
        for (attributes, histogram) in points {
            nested(out, 1, |out| {
                write_times(out, times);
                fixed64(out, 4, histogram.count());
                double(out, 5, histogram.sum);
                delimited(out, 6, 8 * (N + 1));
                let counts = histogram.within.iter().chain([&histogram.beyond]);
                counts.for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
                delimited(out, 7, 8 * N);
                bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
                write_attributes(out, 9, attributes);
            });
        }
        uint(out, 2, CUMULATIVE);
    });
}

fn write_metric(out: &mut Vec<u8>, metric: Metric, kind: u32, write: impl FnOnce(&mut Vec<u8>)) {
    nested(out, 2, |out| {
        bytes(out, 1, metric.name.as_bytes());
        bytes(out, 2, metric.description.as_bytes());
        bytes(out, 3, metric.unit.as_bytes());
        nested(out, kind, write);
    });
}

fn write_times(out: &mut Vec<u8>, times: Times) {
    fixed64(out, 2, times.start.as_nanos());
    fixed64(out, 3, times.now.as_nanos());
}
