//! Owns how long a disk is waited for, and that it is asked for one thing at a time: a disk that
//! hangs holds one thread of the blocking pool, never more. Refuses to know what a fault means.

use super::{FILE, OPEN_MAX, Restored, StoreError, tables};
use crate::domain::outbox::Change;
use redb::Database;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long a commit may take before the disk counts as gone.
const COMMIT_MAX: Duration = Duration::from_secs(30);

/// The way to the disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// What it was last asked for.
    asked: Option<AbortHandle>,
    /// Every answer is a fault.
    #[cfg(test)]
    pub(super) is_full: bool,
}

impl Disk {
    pub(super) async fn open(&mut self, folder: &Path) -> Result<(Database, Restored), StoreError> {
        let folder = folder.to_owned();
        let work = move || {
            std::fs::create_dir_all(&folder).map_err(StoreError::Folder)?;
            tables::open(&folder.join(FILE))
        };
        self.ask(OPEN_MAX, work).await
    }

    pub(super) async fn write(
        &mut self,
        database: Arc<Database>,
        changes: Vec<Change>,
        machine: Option<Arc<[u8]>>,
    ) -> Result<(), StoreError> {
        let work = move || tables::write(&database, &changes, machine.as_deref());
        self.ask(COMMIT_MAX, work).await
    }

    /// Takes the file away; one that is not there is as good.
    pub(super) async fn remove(&mut self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(FILE);
        let work = move || match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::Old(error)),
            Ok(()) | Err(_) => Ok(()),
        };
        self.ask(OPEN_MAX, work).await
    }

    async fn ask<T: Send + 'static>(
        &mut self,
        max: Duration,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.asked.as_ref().is_some_and(|asked| !asked.is_finished()) {
            return Err(StoreError::Slow(max));
        }
        #[cfg(test)]
        if self.is_full {
            return Err(StoreError::from(redb::Error::Io(ErrorKind::StorageFull.into())));
        }
        let work = tokio::task::spawn_blocking(work);
        self.asked = Some(work.abort_handle());
        let done = tokio::time::timeout(max, work).await.map_err(|_late| StoreError::Slow(max))?;
        done.map_err(|_panicked| StoreError::Panicked).flatten()
    }
}
