//! Owns the tables of the file and what is in them. Refuses to be async: it is called from the
//! blocking pool.

use super::{Restored, StoreError};
use crate::domain::outbox::{Change, Kept};
use crate::wire::notify::stored;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Receiver and number; the notice as JSON.
const WAITING: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("waiting");
/// Receiver and fingerprint; what it was told, as JSON.
const TOLD: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("told");
/// The state of the alerts, in a form of its own, under one name.
const MACHINE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("machine");
const BOARD: &str = "board";

/// What the library may keep in memory. Its default is 1 GiB; a full outbox is some 2 MiB.
const CACHE_BYTES: usize = 2 << 20;

/// Opens or makes the file, whole as far as checksums can tell, and reads all of it.
pub(super) fn open(path: &Path) -> Result<(Database, Restored), StoreError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    // Made empty first: what alerts say is for those who run the service.
    let mut options = OpenOptions::new();
    drop(options.write(true).create(true).truncate(false).mode(0o600).open(path)?);
    let database = builder.create(path)?;
    let making = database.begin_write()?;
    with_tables(&making)?;
    making.commit()?;
    let restored = read(&database)?;
    Ok((database, restored))
}

fn with_tables(making: &WriteTransaction) -> Result<(), StoreError> {
    making.open_table(WAITING)?;
    making.open_table(TOLD)?;
    making.open_table(MACHINE)?;
    Ok(())
}

/// An entry that cannot be read is left out: the others still count.
fn read(database: &Database) -> Result<Restored, StoreError> {
    let reading = database.begin_read()?;
    let mut kept = Kept::default();
    let mut unreadable = 0_usize;
    for item in reading.open_table(WAITING)?.iter()? {
        let (key, value) = item?;
        let (receiver, seq) = key.value();
        match stored::read_notice(value.value()) {
            Some(notice) => kept.waiting.push((receiver.to_owned(), seq, notice)),
            None => unreadable += 1,
        }
    }
    for item in reading.open_table(TOLD)?.iter()? {
        let (key, value) = item?;
        let (receiver, fingerprint) = key.value();
        match stored::read_told(value.value()) {
            Some(told) => kept.told.push((receiver.to_owned(), fingerprint, told)),
            None => unreadable += 1,
        }
    }
    if unreadable > 0 {
        tracing::warn!(unreadable, "kept notices that cannot be read are left out");
    }
    let machine = reading.open_table(MACHINE)?.get(BOARD)?.map(|bytes| bytes.value().to_vec());
    Ok(Restored { kept, machine })
}

/// One transaction, on the disk when this returns.
pub(super) fn write(
    database: &Database,
    changes: &[Change],
    machine: Option<&[u8]>,
) -> Result<(), StoreError> {
    let writing = database.begin_write()?;
    {
        let mut waiting = writing.open_table(WAITING)?;
        let mut told = writing.open_table(TOLD)?;
        for change in changes {
            match change {
                Change::Put(receiver, seq, notice) => {
                    waiting.insert((&**receiver, *seq), stored::notice(notice).as_slice())?;
                }
                Change::Remove(receiver, seq) => drop(waiting.remove((&**receiver, *seq))?),
                Change::Told(receiver, number, known) => {
                    told.insert((&**receiver, *number), stored::told(known).as_slice())?;
                }
                Change::Forget(receiver, number) => drop(told.remove((&**receiver, *number))?),
            }
        }
        if let Some(bytes) = machine {
            writing.open_table(MACHINE)?.insert(BOARD, bytes)?;
        }
    }
    writing.commit()?;
    Ok(())
}
