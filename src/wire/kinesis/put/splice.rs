//! Owns the splice of a put: which records get context, under which size laws, and the new body.
//! Refuses to break a law: a record that would goes out as it came.

use super::change::Change;
use super::{PutBody, Shape, Slot};
use crate::domain::envelope::aggregate::{self, Aggregated};
use crate::domain::envelope::{Insertion, Places};
use crate::wire::kinesis::record::{Look, Verdict};
use crate::wire::segments::{Rewriter, Segments};
use bytes::Bytes;
use std::collections::HashMap;

/// The size laws of a put. Source: reference/wire-and-proxy.md 1.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLaw {
    /// Most bytes of one record, data and partition key together.
    pub record_bytes_max: usize,
    /// Most bytes of all records of a request together.
    pub request_bytes_max: usize,
}

impl Default for SizeLaw {
    /// 1 MiB a record, which every stream takes, and 10 MiB a request.
    fn default() -> Self {
        Self { record_bytes_max: 1 << 20, request_bytes_max: 10 << 20 }
    }
}

/// What to do with a put's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan<'a> {
    /// Add context where it is allowed.
    Inject {
        /// What goes into which record.
        insertions: &'a Insertions,
        /// What may not be exceeded.
        law: SizeLaw,
        /// What is done to KPL aggregates.
        aggregated: Aggregated,
    },
    /// Look, change nothing.
    Observe,
}

/// What goes into which record of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insertions {
    /// For every record that has none of its own.
    pub common: Insertion,
    /// By the record's place in the request: one that was sent before keeps its first context.
    pub own: HashMap<usize, Insertion>,
}

impl Insertions {
    /// The insertion of one record.
    #[must_use]
    pub fn of(&self, record: usize) -> &Insertion {
        self.own.get(&record).unwrap_or(&self.common)
    }
}

/// What a put became.
#[derive(Debug, Clone, PartialEq)]
pub struct Spliced {
    /// The body to send: the same `Bytes` if no record was changed.
    pub body: Segments,
    /// What became of each record, in order.
    pub verdicts: Vec<Verdict>,
    /// Payload bytes that were added.
    pub injected_bytes: usize,
}

/// Splices a put's records.
#[must_use]
pub fn splice(body: &Bytes, put: &PutBody, looks: &[Look], plan: &Plan<'_>) -> Spliced {
    let records = put.records.iter().zip(looks);
    match plan {
        Plan::Observe => {
            let verdict = |(slot, look)| allowed(slot, look).err().unwrap_or(Verdict::Observed);
            let verdicts = records.map(verdict).collect();
            Spliced { body: body.clone().into(), verdicts, injected_bytes: 0 }
        }
        Plan::Inject { insertions, law, aggregated } => {
            // A third more in base64, and the group around it.
            let change_bytes = insertions.common.bytes(false).len() / 3 * 4 + 8;
            // All that came counts, before anything is added to it.
            let came_bytes = records.clone().map(|(slot, look)| bytes(slot, look)).sum();
            let mut injection = Injection {
                body,
                law,
                aggregated: *aggregated,
                request_bytes: came_bytes,
                rewriter: Rewriter::new(body, looks.len(), change_bytes),
                change: Change::default(),
                scratch: Vec::new(),
            };
            let verdicts = records.enumerate().map(|(record, (slot, look))| {
                let injected = injection.record(slot, look, insertions.of(record));
                injected.err().unwrap_or(Verdict::Injected)
            });
            let verdicts = verdicts.collect();
            let injected_bytes = injection.request_bytes - came_bytes;
            Spliced { body: injection.rewriter.finish(), verdicts, injected_bytes }
        }
    }
}

/// Where context may go into a record, whatever its size.
fn allowed<'a>(slot: &Slot, look: &'a Look) -> Result<&'a Places, Verdict> {
    let examined = look.examined.as_ref().map_err(|verdict| *verdict)?;
    let places = examined.places.as_ref().map_err(|leave| Verdict::Left(*leave))?;
    if slot.shape == Shape::Chunks { Err(Verdict::Chunked) } else { Ok(places) }
}

/// A record's bytes as Kinesis counts them.
const fn bytes(slot: &Slot, look: &Look) -> usize {
    look.payload_bytes + slot.partition_key_bytes
}

/// An injection at work on a body.
struct Injection<'a> {
    body: &'a Bytes,
    law: &'a SizeLaw,
    aggregated: Aggregated,
    /// All records so far, and those to come as they came.
    request_bytes: usize,
    rewriter: Rewriter<'a>,
    change: Change,
    scratch: Vec<u8>,
}

impl Injection<'_> {
    fn record(&mut self, slot: &Slot, look: &Look, insertion: &Insertion) -> Result<(), Verdict> {
        let growth = match allowed(slot, look)? {
            Places::Aggregate if self.aggregated == Aggregated::Off => {
                return Err(Verdict::AggregateOff);
            }
            Places::Aggregate => {
                let payload = slot.payload(self.body, &mut self.scratch);
                let payload = payload.ok_or(Verdict::NotBase64)?;
                let anew = aggregate::splice(payload, insertion, self.aggregated);
                let anew = anew.map_err(Verdict::Left)?;
                let growth = anew.len().saturating_sub(payload.len());
                self.fits(bytes(slot, look), growth)?;
                self.change.replace(slot, &anew);
                growth
            }
            places @ (Places::One(_) | Places::Many(_)) => {
                let places = places.as_slice();
                let growth = places.iter().map(|place| insertion.bytes(place.empty).len()).sum();
                self.fits(bytes(slot, look), growth)?;
                let made = self.change.insert(slot, self.body, places, insertion);
                made.ok_or(Verdict::NotBase64)?;
                growth
            }
        };
        self.change.apply(&mut self.rewriter);
        self.request_bytes += growth;
        Ok(())
    }

    fn fits(&self, record_bytes: usize, growth: usize) -> Result<(), Verdict> {
        if record_bytes + growth > self.law.record_bytes_max {
            Err(Verdict::RecordTooLarge)
        } else if self.request_bytes + growth > self.law.request_bytes_max {
            Err(Verdict::RequestTooLarge)
        } else {
            Ok(())
        }
    }
}
