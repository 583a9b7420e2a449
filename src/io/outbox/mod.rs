//! Owns the file in which undelivered notices, what receivers were told, and the state of the alerts
//! outlive a kill: `alerts.redb` in the state folder. Refuses to stop anybody: a file that cannot be
//! used is said, once, and there is only memory until a new one can be written.
//!
//! Everything here may wait for a disk and runs on the blocking pool. A panic of the library is
//! taken for what it most likely is, a damaged file.

mod disk;
mod tables;

use crate::domain::outbox::{Change, Kept};
use disk::Disk;
use redb::Database;
use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The file's name in the state folder.
const FILE: &str = "alerts.redb";
/// How long the opening may take: a disk that hangs must not keep the service from starting.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder cannot be made.
    #[error("the state folder cannot be made")]
    Folder(#[source] std::io::Error),
    /// The library says so: a damaged file, a full disk, another process.
    #[error("the file cannot be used")]
    Redb(#[source] Box<redb::Error>),
    /// The library panicked, as it does over some damages.
    #[error("the file is damaged")]
    Panicked,
    /// The disk did not answer.
    #[error("the disk did not answer within {0:?}")]
    Slow(Duration),
    /// The file of an earlier process cannot be taken away.
    #[error("the old file cannot be removed")]
    Old(#[source] std::io::Error),
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

impl StoreError {
    /// Whether the file itself is at fault, so that a new one in its place would work.
    fn is_damage(&self) -> bool {
        match self {
            Self::Folder(_) | Self::Slow(_) | Self::Old(_) => false,
            Self::Panicked => true,
            Self::Redb(error) => {
                matches!(
                    **error,
                    redb::Error::Corrupted(_)
                        | redb::Error::UpgradeRequired(_)
                        | redb::Error::TableTypeMismatch { .. }
                        | redb::Error::TypeDefinitionChanged { .. }
                        | redb::Error::RepairAborted
                ) || is_no_database(error)
            }
        }
    }
}

/// A file of something else is told as an I/O error.
fn is_no_database(error: &redb::Error) -> bool {
    let redb::Error::Io(error) = error else { return false };
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

/// The open file, or memory.
#[derive(Debug)]
pub struct Store {
    database: Option<Arc<Database>>,
    /// Where the file should be; `None` where nobody wants one.
    folder: Option<PathBuf>,
    /// This process has read the file: what is in it now is no news.
    was_read: bool,
    disk: Disk,
}

/// What a try to have a file again came to.
#[derive(Debug)]
pub enum Regained {
    /// All of it is on disk.
    Durable,
    /// Not this time.
    NotYet(StoreError),
    /// There is a file that holds what another process knew: a restart takes it up, and to write
    /// over it would be to forget that.
    Foreign,
}

/// What a start finds.
#[derive(Debug, Default)]
pub struct Restored {
    /// For the outbox.
    pub kept: Kept,
    /// What [`Store::commit`] was last given as the state of the alerts.
    pub machine: Option<Vec<u8>>,
}

impl Store {
    /// A store that keeps nothing.
    #[must_use]
    pub fn memory() -> Self {
        Self { database: None, folder: None, was_read: false, disk: Disk::default() }
    }

    /// Opens the file in `folder`, `None` for memory only. A damaged file is set aside, and a new
    /// one begun; where that fails, too, there is only memory, which the log says.
    pub async fn open(folder: Option<PathBuf>) -> (Self, Restored) {
        let mut store = Self { folder, ..Self::memory() };
        let Some(folder) = store.folder.clone() else { return (store, Restored::default()) };
        match store.read(&folder).await {
            Ok((database, restored)) => {
                (store.database, store.was_read) = (Some(Arc::new(database)), true);
                (store, restored)
            }
            Err(error) => {
                say_memory_only(&error);
                (store, Restored::default())
            }
        }
    }

    /// Opens the file; a damaged one is set aside for a new one.
    async fn read(&mut self, folder: &Path) -> Result<(Database, Restored), StoreError> {
        match self.disk.open(folder).await {
            Err(error) if error.is_damage() => {
                let path = folder.join(FILE);
                let aside = path.with_extension("unreadable");
                tracing::warn!(
                    error = &error as &dyn StdError,
                    set_aside_as = %aside.display(),
                    "what was known of alerts before the restart cannot be read"
                );
                drop(tokio::fs::rename(&path, aside).await);
                self.disk.open(folder).await
            }
            opened => opened,
        }
    }

    /// Whether what is committed outlives the process.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.database.is_some()
    }

    /// Whether there should be a file and is none.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.database.is_none() && self.folder.is_some()
    }

    /// Writes all of it, or nothing. After a fault there is only memory, which the log says: what
    /// counts goes on in memory, and the file, which would now tell an old story, is removed.
    pub async fn commit(&mut self, changes: Vec<Change>, machine: Option<Arc<[u8]>>) {
        let Some(database) = self.database.clone() else { return };
        if let Err(error) = self.disk.write(database, changes, machine).await {
            say_memory_only(&error);
            self.database = None;
            if let Some(folder) = &self.folder {
                let removing = tokio::fs::remove_file(folder.join(FILE));
                drop(tokio::time::timeout(OPEN_MAX, removing).await);
            }
        }
    }

    /// Begins a new file with all that there is, in one transaction, where there should be one and
    /// is none.
    pub async fn regain(&mut self, whole: Vec<Change>, machine: Option<Arc<[u8]>>) -> Regained {
        let Some(folder) = self.folder.clone() else { return Regained::Durable };
        match self.begin(&folder, whole, machine).await {
            Ok(Some(database)) => {
                self.database = Some(database);
                Regained::Durable
            }
            Ok(None) => {
                self.folder = None;
                Regained::Foreign
            }
            Err(error) => Regained::NotYet(error),
        }
    }

    /// `None` where the file turns out to be another process's.
    async fn begin(
        &mut self,
        folder: &Path,
        whole: Vec<Change>,
        machine: Option<Arc<[u8]>>,
    ) -> Result<Option<Arc<Database>>, StoreError> {
        if self.was_read {
            self.disk.remove(folder).await?;
        }
        let (database, restored) = self.read(folder).await?;
        if !restored.is_empty() {
            return Ok(None);
        }
        self.was_read = true;
        let database = Arc::new(database);
        self.disk.write(Arc::clone(&database), whole, machine).await?;
        Ok(Some(database))
    }
}

impl Restored {
    fn is_empty(&self) -> bool {
        let Self { kept, machine } = self;
        kept.waiting.is_empty() && kept.told.is_empty() && machine.is_none()
    }
}

fn say_memory_only(error: &StoreError) {
    tracing::warn!(
        error = error as &dyn StdError,
        "alerts cannot be kept on disk: a restart would forget what is not delivered yet; the disk \
         is tried again"
    );
}

#[cfg(test)]
mod tests;
