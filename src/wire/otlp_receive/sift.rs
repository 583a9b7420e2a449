//! Owns the count of a request's parts before it is decoded. Refuses to decode: two bytes of an
//! empty link become a hundred in memory, so a small body could take gigabytes.

use super::Fault;

/// Most messages of any kind in one body. An exporter's largest batch, 512 spans and 32768 links of
/// two attributes each, has 170,000; at 320 bytes for the largest kind this is at most 80 MiB.
pub(super) const PARTS_MAX: usize = 1 << 18;
/// Deepest nesting that is looked into; prost refuses what is deeper than a hundred.
const DEPTH_MAX: usize = 100;

/// A message whose parts are counted: which of its fields are such messages again.
pub(super) struct Shape(&'static [(u64, &'static Shape)]);

static LEAF: Shape = Shape(&[]);
static ANY: Shape = Shape(&[(5, &LIST), (6, &KEY_VALUES)]);
static LIST: Shape = Shape(&[(1, &ANY)]);
static KEY_VALUE: Shape = Shape(&[(2, &ANY)]);
static KEY_VALUES: Shape = Shape(&[(1, &KEY_VALUE)]);
static RESOURCE: Shape = Shape(&[(1, &KEY_VALUE), (3, &ENTITY)]);
static ENTITY: Shape = Shape(&[(3, &LEAF), (4, &LEAF)]);
static SCOPE: Shape = Shape(&[(3, &KEY_VALUE)]);
static EVENT: Shape = Shape(&[(3, &KEY_VALUE)]);
static LINK: Shape = Shape(&[(4, &KEY_VALUE)]);
static SPAN: Shape = Shape(&[(9, &KEY_VALUE), (11, &EVENT), (13, &LINK)]);
static SCOPE_SPANS: Shape = Shape(&[(1, &SCOPE), (2, &SPAN)]);
static RESOURCE_SPANS: Shape = Shape(&[(1, &RESOURCE), (2, &SCOPE_SPANS)]);
pub(super) static TRACES: Shape = Shape(&[(1, &RESOURCE_SPANS)]);
static EXEMPLAR: Shape = Shape(&[(7, &KEY_VALUE)]);
static NUMBER: Shape = Shape(&[(7, &KEY_VALUE), (5, &EXEMPLAR)]);
static HISTOGRAM: Shape = Shape(&[(9, &KEY_VALUE), (8, &EXEMPLAR)]);
static EXPONENTIAL: Shape = Shape(&[(1, &KEY_VALUE), (11, &EXEMPLAR)]);
static SUMMARY: Shape = Shape(&[(7, &KEY_VALUE), (6, &LEAF)]);
static NUMBERS: Shape = Shape(&[(1, &NUMBER)]);
static HISTOGRAMS: Shape = Shape(&[(1, &HISTOGRAM)]);
static EXPONENTIALS: Shape = Shape(&[(1, &EXPONENTIAL)]);
static SUMMARIES: Shape = Shape(&[(1, &SUMMARY)]);
static METRIC: Shape = Shape(&[
    (5, &NUMBERS),
    (7, &NUMBERS),
    (9, &HISTOGRAMS),
    (10, &EXPONENTIALS),
    (11, &SUMMARIES),
    (12, &KEY_VALUE),
]);
static SCOPE_METRICS: Shape = Shape(&[(1, &SCOPE), (2, &METRIC)]);
static RESOURCE_METRICS: Shape = Shape(&[(1, &RESOURCE), (2, &SCOPE_METRICS)]);
pub(super) static METRICS: Shape = Shape(&[(1, &RESOURCE_METRICS)]);

/// Whether `body` may be decoded.
///
/// # Errors
/// When it is cut off or has too many parts.
pub(super) fn sift(body: &[u8], shape: &Shape) -> Result<(), Fault> {
    let mut left = PARTS_MAX;
    count(body, shape, &mut left, DEPTH_MAX)
}

fn count(mut body: &[u8], shape: &Shape, left: &mut usize, depth: usize) -> Result<(), Fault> {
    let depth = depth.checked_sub(1).ok_or(Fault::Malformed)?;
    while !body.is_empty() {
        let (tag, rest) = varint(body).ok_or(Fault::Malformed)?;
        let (value, rest) = match tag & 7 {
            0 => (&[][..], varint(rest).ok_or(Fault::Malformed)?.1),
            1 => rest.split_at_checked(8).ok_or(Fault::Malformed)?,
            2 => {
                let (length, rest) = varint(rest).ok_or(Fault::Malformed)?;
                let length = usize::try_from(length).map_err(|_| Fault::Malformed)?;
                rest.split_at_checked(length).ok_or(Fault::Malformed)?
            }
            5 => rest.split_at_checked(4).ok_or(Fault::Malformed)?,
            _ => return Err(Fault::Malformed),
        };
        let part = shape.0.iter().find(|(number, _)| *number == tag >> 3);
        if let Some((_, part)) = part.filter(|_| tag & 7 == 2) {
            *left = left.checked_sub(1).ok_or(Fault::TooManyParts)?;
            count(value, part, left, depth)?;
        }
        body = rest;
    }
    Ok(())
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}
