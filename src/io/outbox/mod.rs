//! Owns the file in which undelivered notices, what receivers were told, and the state of the alerts
//! outlive a kill: `alerts.redb` in the state folder. Refuses to stop anybody: a file that cannot be
//! used is said, once, and from then on there is only memory.
//!
//! Everything here may wait for a disk and runs on the blocking pool. A panic of the library is
//! taken for what it most likely is, a damaged file.

mod tables;

use crate::domain::outbox::{Change, Kept};
use redb::Database;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinHandle;

/// The file's name in the state folder.
const FILE: &str = "alerts.redb";
/// How long the opening may take: a disk that hangs must not keep the service from starting.
const OPEN_MAX: Duration = Duration::from_secs(5);
/// How long a commit may take before the disk counts as gone.
const COMMIT_MAX: Duration = Duration::from_secs(30);

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
            Self::Folder(_) | Self::Slow(_) => false,
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
    path: PathBuf,
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
        Self { database: None, path: PathBuf::new() }
    }

    /// Opens the file in `folder`, `None` for memory only. A damaged file is set aside, and a new
    /// one begun; where that fails, too, there is only memory, which the log says.
    pub async fn open(folder: Option<PathBuf>) -> (Self, Restored) {
        let Some(folder) = folder else { return (Self::memory(), Restored::default()) };
        let path = folder.join(FILE);
        let opened = match open(folder.clone()).await {
            Err(error) if error.is_damage() => {
                let aside = path.with_extension("unreadable");
                tracing::warn!(
                    error = &error as &dyn StdError,
                    set_aside_as = %aside.display(),
                    "what was known of alerts before the restart cannot be read"
                );
                drop(tokio::fs::rename(&path, aside).await);
                open(folder).await
            }
            opened => opened,
        };
        match opened {
            Ok((database, restored)) => {
                (Self { database: Some(Arc::new(database)), path }, restored)
            }
            Err(error) => {
                say_memory_only(&error);
                (Self::memory(), Restored::default())
            }
        }
    }

    /// Whether what is committed outlives the process.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.database.is_some()
    }

    /// Writes all of it, or nothing. After a fault there is only memory, which the log says: what
    /// counts goes on in memory, and the file, which would now tell an old story, is removed.
    pub async fn commit(&mut self, changes: Vec<Change>, machine: Option<Vec<u8>>) {
        let Some(database) = self.database.clone() else { return };
        let write = move || tables::write(&database, &changes, machine.as_deref());
        let wrote = within(COMMIT_MAX, tokio::task::spawn_blocking(write)).await;
        if let Err(error) = wrote {
            say_memory_only(&error);
            self.database = None;
            let removing = tokio::fs::remove_file(&self.path);
            drop(tokio::time::timeout(OPEN_MAX, removing).await);
        }
    }
}

/// What the blocking pool gives back, if it does in time.
async fn within<T>(
    max: Duration,
    work: JoinHandle<Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let done = tokio::time::timeout(max, work).await.map_err(|_elapsed| StoreError::Slow(max))?;
    done.map_err(|_panicked| StoreError::Panicked).flatten()
}

async fn open(folder: PathBuf) -> Result<(Database, Restored), StoreError> {
    let work = move || {
        std::fs::create_dir_all(&folder).map_err(StoreError::Folder)?;
        tables::open(&folder.join(FILE))
    };
    within(OPEN_MAX, tokio::task::spawn_blocking(work)).await
}

fn say_memory_only(error: &StoreError) {
    tracing::warn!(
        error = error as &dyn StdError,
        "alerts cannot be kept on disk: a restart will forget what is not delivered yet"
    );
}

#[cfg(test)]
mod tests;
