//! Owns the file that the month's spending survives a restart in: `cloudwatch-budget` in the state
//! folder, one line with a checksum, replaced as a whole. Refuses to be an error: a file that cannot
//! be read is said in the log and begun anew, without a folder there is only memory.

use crate::domain::cloudwatch::budget::Spent;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

const FILE: &str = "cloudwatch-budget";
/// Written beside it first: a rename is whole or has not happened.
const NEW_FILE: &str = "cloudwatch-budget.new";
const HEAD: &str = "kinescope-cloudwatch-budget 1";

/// Where the spending is kept.
#[derive(Debug, Clone)]
pub(super) struct Purse {
    folder: PathBuf,
}

impl Purse {
    /// In `folder`, which need not be there yet.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What another process spent, if it can be read.
    pub(super) async fn load(&self) -> Option<Spent> {
        let path = self.folder.join(FILE);
        let text = blocking(move || match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // What is not text is as broken as what is torn.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(String::new())),
            Err(error) => Err(error),
        });
        match text.await {
            Ok(None) => None,
            Ok(Some(text)) => read(&text).or_else(|| {
                tracing::warn!(
                    file = %self.folder.join(FILE).display(),
                    "the file with this month's spending on CloudWatch is broken; it counts from zero"
                );
                None
            }),
            Err(error) => {
                tracing::warn!(%error, "this month's spending on CloudWatch cannot be read; it counts from zero");
                None
            }
        }
    }

    /// Replaces what is kept.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub(super) async fn save(&self, spent: Spent) -> io::Result<()> {
        let folder = self.folder.clone();
        blocking(move || {
            fs::create_dir_all(&folder)?;
            let new = folder.join(NEW_FILE);
            let mut file = File::create(&new)?;
            file.write_all(write(spent).as_bytes())?;
            file.sync_all()?;
            fs::rename(new, folder.join(FILE))
        })
        .await
    }
}

/// A disk may take its time: another thread waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}

fn write(spent: Spent) -> String {
    let Spent { month, asked } = spent;
    let line = format!("{HEAD} {:04}-{:02} {asked}", month / 12, month % 12 + 1);
    format!("{line} {:08x}\n", crc32fast::hash(line.as_bytes()))
}

fn read(text: &str) -> Option<Spent> {
    let (line, sum) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(line.as_bytes()) {
        return None;
    }
    let (month, asked) = line.strip_prefix(HEAD)?.strip_prefix(' ')?.split_once(' ')?;
    let (year, month) = month.split_once('-')?;
    let month = month.parse::<u32>().ok()?.checked_sub(1).filter(|month| *month < 12)?;
    let month = year.parse::<u32>().ok()?.checked_mul(12)?.checked_add(month)?;
    Some(Spent { month, asked: asked.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPENT: Spent = Spent { month: 2026 * 12 + 10, asked: 1_234_567 };

    #[test]
    fn a_line_is_whole_or_nothing() {
        let line = write(SPENT);
        assert!(line.starts_with("kinescope-cloudwatch-budget 1 2026-11 1234567 "), "{line}");
        assert_eq!(read(&line), Some(SPENT));
        for cut in 0..line.len() {
            assert_eq!(read(&line[..cut]), None, "{}", &line[..cut]);
        }
        assert_eq!(read(&line.replace("1234567", "1234568")), None);
        assert_eq!(read(&line.replace("budget 1", "budget 2")), None);
    }

    #[tokio::test]
    async fn it_outlives_a_process_and_a_broken_file() {
        let folder = std::env::temp_dir()
            .join(format!("kinescope-purse-{}", std::process::id()))
            .join("deep");
        let purse = Purse::new(&folder);
        assert_eq!(purse.load().await, None);
        purse.save(SPENT).await.unwrap();
        assert_eq!(purse.load().await, Some(SPENT));
        for broken in [&b"nonsense"[..], b"", b"\xff\xfe"] {
            fs::write(folder.join(FILE), broken).unwrap();
            assert_eq!(purse.load().await, None);
        }
        purse.save(SPENT).await.unwrap();
        assert_eq!(purse.load().await, Some(SPENT));
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
        let nowhere = Purse::new(Path::new("/proc/nowhere"));
        assert!(nowhere.save(SPENT).await.is_err());
        assert_eq!(nowhere.load().await, None);
    }
}
