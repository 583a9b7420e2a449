//! Owns the laws of the file of iterators: whatever is in it, what was understood is written back,
//! and reading that again changes nothing.

use kinescope::domain::time::Wall;
use kinescope::io::clock::Clock;
use kinescope::io::proxy::restored_iterators;
use prometheus::{IntCounterVec, Opts};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Builder;

const PLACES_MAX: usize = 16;
const HEAD: &[u8] = b"kinescope iterators 1\n";

/// The file as it is, and with the head and the checksum of every line made right.
pub fn journal(data: &[u8]) {
    laws(data);
    let mut right = HEAD.to_vec();
    for line in data.strip_prefix(HEAD).unwrap_or(data).split_inclusive(|byte| *byte == b'\n') {
        let Some(at) = line.iter().rposition(|byte| *byte == b' ') else { continue };
        right.extend_from_slice(&line[..at]);
        right.extend_from_slice(format!(" {:08x}\n", crc32fast::hash(&line[..at])).as_bytes());
    }
    laws(&right);
}

fn laws(file: &[u8]) {
    let folder = Folder::make();
    let path = folder.0.join("iterators");
    fs::write(&path, file).unwrap();
    // The time at which the corpus was written, standing still.
    let stopped = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let open = || {
        let dropped = IntCounterVec::new(Opts::new("dropped", "d"), &["queue", "reason"]).unwrap();
        stopped.block_on(async {
            let clock = Clock::simulated(Wall::from_ms(1_764_000_000_000));
            drop(restored_iterators(&folder.0, PLACES_MAX, &clock, dropped));
        });
        fs::read(&path).unwrap()
    };
    let once = open();
    assert!(once.starts_with(HEAD));
    let lines: Vec<&[u8]> = once[HEAD.len()..].split_inclusive(|byte| *byte == b'\n').collect();
    assert!(lines.len() <= PLACES_MAX, "{} lines, more than may be followed", lines.len());
    assert!(lines.iter().all(|line| line.split(|byte| *byte == b' ').count() == 6));
    let again = open();
    let kept: Vec<&[u8]> = again[HEAD.len()..].split_inclusive(|byte| *byte == b'\n').collect();
    assert!(kept.iter().all(|line| lines.contains(line)), "a line was made up");
    assert!(kept == lines || has_loops(file), "what was written was not read");
    let ours = file.starts_with(HEAD) || HEAD.starts_with(file);
    assert_eq!(path.with_extension("unreadable").exists(), !ours);
}

/// Whether an iterator is handed out twice or follows one that comes later, which only a forged file
/// or an emulator does: then the order of the lines tells too little.
fn has_loops(file: &[u8]) -> bool {
    let text = String::from_utf8_lossy(file);
    let hash = |word: &str| u64::from_str_radix(word, 16).ok();
    let lines: Vec<Vec<Option<u64>>> =
        text.lines().map(|line| line.split(' ').take(2).map(hash).collect()).collect();
    lines.iter().enumerate().any(|(at, line)| {
        let key = |later: &Vec<Option<u64>>| later.first().copied().flatten();
        let comes = |word: Option<&Option<u64>>, from: usize| {
            word.copied()
                .flatten()
                .is_some_and(|hash| lines.iter().skip(from).any(|later| key(later) == Some(hash)))
        };
        comes(line.first(), at + 1) || comes(line.get(1), at)
    })
}

/// A folder of its own for each run, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("kinescope-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        // Cargo's own for tests; fuzzing wants memory.
        let base =
            option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = base.join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
