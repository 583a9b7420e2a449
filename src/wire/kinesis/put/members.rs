//! Owns which members of a put's body are relied on, and that each comes once. Refuses to know how
//! they are written.

use super::{BodyFault, KeyForm, PutBody, Shape, Slot};
use crate::domain::stream::StreamName;
use std::ops::Range;

/// The members of a body while they are read.
#[derive(Default)]
pub(super) struct Members {
    put: PutBody,
    named: Option<StreamName>,
    /// PutRecord's record, whose members stand in the body's root.
    pub(super) single: Record,
    seen: Seen,
}

impl Members {
    pub(super) fn stream_name(&mut self, name: Option<&str>) {
        self.seen.once(0);
        self.named = name.map(StreamName::from);
    }

    pub(super) fn stream_arn(&mut self, arn: Option<&str>) {
        self.seen.once(1);
        self.put.stream_arn = arn.map(str::to_owned);
    }

    pub(super) fn stream_id(&mut self, id: Option<&str>) {
        self.seen.once(2);
        self.put.stream_id = id.map(str::to_owned);
    }

    pub(super) fn dry_run(&mut self, dry_run: bool) {
        self.seen.once(3);
        self.put.dry_run = dry_run;
    }

    pub(super) fn records(&mut self) {
        self.seen.once(4);
    }

    pub(super) fn record(&mut self, record: Record) {
        self.seen.doubled |= record.seen.doubled;
        self.put.records.push(record.slot);
    }

    pub(super) fn finish(mut self) -> Result<PutBody, BodyFault> {
        if self.seen.doubled || self.single.seen.doubled {
            return Err(BodyFault::DuplicateKeys);
        }
        let of_arn = || StreamName::from_arn(self.put.stream_arn.as_deref()?);
        self.put.stream = self.named.or_else(of_arn);
        // In PutRecords, members of a record beside `Records` are nobody's.
        if !self.seen.has(4) && self.single.has_data {
            self.put.records.push(self.single.slot);
        }
        Ok(self.put)
    }
}

/// The members of a record while they are read.
#[derive(Default)]
pub(super) struct Record {
    slot: Slot,
    has_data: bool,
    seen: Seen,
}

impl Record {
    pub(super) fn data(&mut self, data: Option<(Shape, usize, Range<usize>)>) {
        self.seen.once(0);
        self.has_data = data.is_some();
        (self.slot.shape, self.slot.header_at, self.slot.inner) = data.unwrap_or_default();
    }

    pub(super) fn partition_key(&mut self, bytes: usize, at: Range<usize>, form: KeyForm) {
        self.seen.once(1);
        self.slot.partition_key = at;
        self.slot.key_form = form;
        self.slot.partition_key_bytes = bytes;
    }

    /// Nothing that is changed rests on it: of two the last one counts.
    pub(super) fn explicit_hash_key(&mut self, at: Range<usize>) {
        self.slot.explicit_hash_key = at;
    }
}

/// Members met so far, one bit each.
#[derive(Default)]
struct Seen {
    bits: u8,
    doubled: bool,
}

impl Seen {
    const fn once(&mut self, bit: u8) {
        self.doubled |= self.has(bit);
        self.bits |= 1 << bit;
    }

    const fn has(&self, bit: u8) -> bool {
        self.bits & 1 << bit != 0
    }
}
