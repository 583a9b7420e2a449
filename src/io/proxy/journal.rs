//! Owns the file that iterators survive a restart in: `iterators` in the state folder, one line for
//! each that was handed out, holding its hash and whom it follows, never an iterator. Refuses to
//! make anybody wait for a disk, to outgrow what is alive, and to be an error: without a folder to
//! write to there is only memory.
//!
//! A batch of lines is one write without fsync: a killed process loses at most what was still
//! queued; a machine that loses power may lose more, and its iterators are then unknown until they
//! are asked for again. Each line ends in a checksum, so that one that is torn is left out.

use super::iterators::{Entry, Iterators};
use crate::domain::time::{Moment, Wall};
use crate::io::clock::Clock;
use prometheus::IntCounterVec;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Steps that wait to be written; over it they are dropped and counted as `iterators`, `full`.
const QUEUE: usize = 4_096;
/// Steps of one write.
const BATCH_MAX: usize = 512;
/// A file of fewer lines is not worth being made smaller.
const LIVE_MIN: usize = 256;
/// Lines for each that was live when the file was last made smaller.
const LINES_PER_LIVE: usize = 4;
/// What a file of ours begins with.
const HEAD: &[u8] = b"kinescope iterators 1\n";
/// The longest name of a stream or shard that Kinesis allows, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Two hashes, a time, two names, a checksum.
const LINE_BYTES_MAX: usize = 2 * NAME_BYTES_MAX + 68;

/// The way into the file. It never waits.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    queue: mpsc::Sender<Entry>,
    dropped: IntCounterVec,
}

impl Journal {
    pub(super) fn note(&self, entry: Entry) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(entry) {
            self.dropped.with_label_values(&["iterators", "full"]).inc();
        }
    }
}

/// The one writer of the file.
#[derive(Debug)]
pub struct JournalTask {
    queue: mpsc::Receiver<Entry>,
    store: Option<Store>,
    clock: Clock,
}

/// The iterators that another process followed until it died, and the task that keeps them for the
/// next one. A folder that cannot be written to is said in the log, once, and the iterators then
/// live in memory only.
#[must_use]
pub fn open(
    folder: &Path,
    places_max: usize,
    clock: &Clock,
    dropped: IntCounterVec,
) -> (Iterators, JournalTask) {
    let now = clock.now();
    let (entries, store) = Store::open(folder, places_max, now);
    let iterators = Iterators::restore(places_max, entries, now);
    let (sender, queue) = mpsc::channel(QUEUE);
    let iterators = match &store {
        Some(_) => iterators.journaled(Journal { queue: sender, dropped }),
        None => iterators,
    };
    (iterators, JournalTask { queue, store, clock: clock.clone() })
}

impl JournalTask {
    /// Writes until `stop`, then what is still queued.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while let Some(store) = self.store.take() {
            let queued = tokio::select! {
                biased;
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    self.store = Some(store);
                    continue;
                }
                queued = self.queue.recv_many(&mut batch, BATCH_MAX) => queued,
            };
            if queued == 0 {
                break;
            }
            let now = self.clock.now();
            (self.store, batch) = write(store, batch, now).await;
        }
        self.queue.close();
        stop.cancelled().await;
    }
}

/// A disk may take its time: another thread waits for it.
async fn write(
    mut store: Store,
    mut batch: Vec<Entry>,
    now: Moment,
) -> (Option<Store>, Vec<Entry>) {
    let work = move || {
        let wrote = store.append(&batch, now);
        batch.clear();
        wrote.map(|()| (store, batch))
    };
    match tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten() {
        Ok((store, batch)) => (Some(store), batch),
        Err(error) => {
            say_memory_only(&error);
            (None, Vec::new())
        }
    }
}

fn say_memory_only(error: &io::Error) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "the state folder cannot be written to: after a restart, the iterators of running \
         consumers will be unknown until they ask for new ones"
    );
}

/// The open file.
#[derive(Debug)]
struct Store {
    path: PathBuf,
    file: File,
    lines: usize,
    lines_max: usize,
    places_max: usize,
}

impl Store {
    /// What the folder remembers, and a fresh file that holds just that.
    fn open(folder: &Path, places_max: usize, now: Moment) -> (Vec<Entry>, Option<Self>) {
        let path = folder.join("iterators");
        let entries = match read(&path, places_max) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let aside = path.with_extension("unreadable");
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    path = %path.display(),
                    set_aside_as = %aside.display(),
                    "the iterators of before the restart cannot be read"
                );
                drop(fs::rename(&path, aside));
                Vec::new()
            }
        };
        let live = Iterators::restore(places_max, entries, now).entries();
        let file = fs::create_dir_all(folder).and_then(|()| replace(&path, &live));
        let store = match file {
            Ok(file) => Some(Self::new(path, file, live.len(), places_max)),
            Err(error) => {
                say_memory_only(&error);
                None
            }
        };
        (live, store)
    }

    fn new(path: PathBuf, file: File, lines: usize, places_max: usize) -> Self {
        let lines_max = LINES_PER_LIVE * lines.max(LIVE_MIN);
        Self { path, file, lines, lines_max, places_max }
    }

    /// Adds a batch, and leaves the file smaller if it holds too much that is dead.
    fn append(&mut self, batch: &[Entry], now: Moment) -> io::Result<()> {
        self.file.write_all(&text(batch))?;
        self.lines += batch.len();
        if self.lines > self.lines_max {
            let entries = read(&self.path, self.places_max)?;
            let live = Iterators::restore(self.places_max, entries, now).entries();
            let file = replace(&self.path, &live)?;
            *self = Self::new(self.path.clone(), file, live.len(), self.places_max);
        }
        Ok(())
    }
}

/// A new file in place of the old one; a process killed meanwhile leaves the old one whole.
fn replace(path: &Path, entries: &[Entry]) -> io::Result<File> {
    let new = path.with_extension("new");
    drop(fs::remove_file(&new));
    let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&[HEAD, &text(entries)].concat())?;
    fs::rename(new, path)?;
    Ok(file)
}

/// Every whole line. An error where the file as a whole is none of ours.
fn read(path: &Path, places_max: usize) -> io::Result<Vec<Entry>> {
    let lines_max = LINES_PER_LIVE * places_max.max(LIVE_MIN) + BATCH_MAX;
    let bytes_max = HEAD.len() + LINE_BYTES_MAX * lines_max;
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if HEAD.starts_with(&bytes) {
        return Ok(Vec::new());
    }
    match bytes.strip_prefix(HEAD) {
        Some(lines) if bytes.len() <= bytes_max => {
            Ok(lines.split_inclusive(|byte| *byte == b'\n').filter_map(entry).collect())
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a file of Kinescope's iterators")),
    }
}

/// Lines of the form `HASH HASH-OR-DASH MILLISECONDS STREAM SHARD CHECKSUM`.
fn text(entries: &[Entry]) -> Vec<u8> {
    let mut text = Vec::with_capacity(entries.len() * 100);
    for entry in entries {
        let Entry { key, follows, stream, shard, at } = entry;
        // Names come from requests; one that Kinesis would refuse has no place in a line.
        if !is_name(stream.as_str()) || !is_name(shard.as_str()) {
            continue;
        }
        let follows = follows.map_or_else(|| "-".to_owned(), |key| format!("{key:016x}"));
        let line = format!("{key:016x} {follows} {} {stream} {shard}", at.as_ms());
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(format!(" {:08x}\n", crc32fast::hash(line.as_bytes())).as_bytes());
    }
    text
}

fn entry(line: &[u8]) -> Option<Entry> {
    let (line, sum) = str::from_utf8(line).ok()?.strip_suffix('\n')?.rsplit_once(' ')?;
    if sum.len() != 8 || u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(line.as_bytes()) {
        return None;
    }
    let mut words = line.split(' ');
    let hash = |word| u64::from_str_radix(word, 16).ok();
    let key = hash(words.next()?)?;
    let follows = match words.next()? {
        "-" => None,
        word => Some(hash(word)?),
    };
    let at = Wall::from_ms(words.next()?.parse().ok()?);
    let (stream, shard) = (words.next()?, words.next()?);
    let whole = is_name(stream) && is_name(shard) && words.next().is_none();
    whole.then(|| Entry { key, follows, stream: stream.into(), shard: shard.into(), at })
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    const START: Wall = Wall::from_ms(1_790_000_000_000);

    fn at(seconds: u64) -> Moment {
        Moment { wall: START, mono: Duration::ZERO }.plus(Duration::from_secs(seconds))
    }

    /// An empty folder of this test's own, gone with it.
    struct Folder(PathBuf);

    impl std::ops::Deref for Folder {
        type Target = Path;
        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn folder(name: &str) -> Folder {
        let folder =
            std::env::temp_dir().join(format!("kinescope-journal-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn step(key: u64, follows: Option<u64>, seconds: u64) -> Entry {
        let (stream, shard) = ("orders".into(), format!("shardId-{key:012}").as_str().into());
        Entry { key, follows, stream, shard, at: at(seconds).wall }
    }

    fn dropped() -> IntCounterVec {
        IntCounterVec::new(Opts::new("dropped", "test"), &["queue", "reason"]).unwrap()
    }

    fn shard(iterators: &Iterators, iterator: &str) -> Option<String> {
        iterators.place(iterator).map(|place| place.shard.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn iterators_are_known_after_a_restart() {
        let (folder, clock) = (folder("restart"), Clock::simulated(START));
        let (iterators, task) = open(&folder, 100, &clock, dropped());
        iterators.begin("a0", "orders".into(), "1".into(), clock.now());
        iterators.begin("b0", "a name\n".into(), "1".into(), clock.now());
        iterators.follow("a0", "a1", clock.now());
        let stop = CancellationToken::new();
        stop.cancel();
        task.run(stop).await;
        let (after, _task) = open(&folder, 100, &clock, dropped());
        assert_eq!(shard(&after, "a1").as_deref(), Some("1"));
        assert_eq!(shard(&after, "a0").as_deref(), Some("1"));
        assert_eq!(shard(&after, "b0"), None, "no name that Kinesis allows");
        let file = folder.join("iterators");
        assert!(!fs::read_to_string(&file).unwrap().contains("a1"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_killed_process_leaves_all_that_it_wrote() {
        let folder = folder("killed");
        let (_, store) = Store::open(&folder, 100, at(0));
        let mut store = store.unwrap();
        store.append(&[step(1, None, 0), step(2, Some(1), 1)], at(1)).unwrap();
        store.append(&[step(3, Some(2), 2)], at(2)).unwrap();
        // A killed process runs no destructor.
        std::mem::forget(store);
        fs::write(folder.join("iterators.new"), "of a killed process").unwrap();
        let (entries, store) = Store::open(&folder, 100, at(3));
        assert_eq!(entries, [step(2, Some(1), 1), step(3, Some(2), 2)]);
        assert!(store.is_some());
        let (late, _) = Store::open(&folder, 100, at(361));
        assert_eq!(late, [step(3, Some(2), 2)], "six minutes");
        let (future, _) = Store::open(&folder, 100, at(1));
        assert_eq!(future, []);
    }

    #[test]
    fn a_tail_torn_or_corrupt_at_any_byte_is_left_out() {
        let folder = folder("torn");
        let path = folder.join("iterators");
        let steps = [step(1, None, 0), step(2, None, 1), step(3, None, 2)];
        let whole = [HEAD, &text(&steps)].concat();
        let two = HEAD.len() + text(&steps[..2]).len();
        for torn in 0..whole.len() {
            fs::write(&path, &whole[..torn]).unwrap();
            let (entries, store) = Store::open(&folder, 100, at(3));
            let lines = whole[..torn].split(|byte| *byte == b'\n').count().saturating_sub(2);
            assert_eq!(entries, steps[..lines], "torn at {torn}");
            // What is written behind a torn line is whole.
            store.unwrap().append(&[step(9, None, 3)], at(3)).unwrap();
            let (entries, _) = Store::open(&folder, 100, at(3));
            assert_eq!(entries.last(), Some(&step(9, None, 3)), "torn at {torn}");
        }
        for corrupt in two..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[corrupt] ^= 1 << bit;
                fs::write(&path, bytes).unwrap();
                let read = read(&path, 100).unwrap();
                // Hexadecimal digits of the checksum may change their case.
                assert!(read.starts_with(&steps[..2]) && read.len() <= 3, "{corrupt}");
                assert!(read.get(2).is_none_or(|third| *third == steps[2]), "{corrupt}");
            }
        }
    }

    #[test]
    fn a_file_of_another_kind_is_set_aside() {
        let folder = folder("other");
        let other = b"#!/bin/sh\necho not ours\n";
        fs::write(folder.join("iterators"), other).unwrap();
        let (entries, store) = Store::open(&folder, 100, at(0));
        assert!(entries.is_empty() && store.is_some());
        assert_eq!(fs::read(folder.join("iterators.unreadable")).unwrap(), other);
        assert_eq!(fs::read(folder.join("iterators")).unwrap(), HEAD);
    }

    #[test]
    fn the_file_stays_small_and_what_is_alive_stays_in_it() {
        let folder = folder("small");
        let (_, store) = Store::open(&folder, 100, at(0));
        let mut store = store.unwrap();
        store.append(&[step(1_000_000, None, 0)], at(0)).unwrap();
        for key in 1..5_000 {
            let follows = (key > 1).then(|| key - 1);
            store.append(&[step(key, follows, 0)], at(0)).unwrap();
            assert!(store.lines <= LINES_PER_LIVE * LIVE_MIN);
        }
        let lines = fs::read(folder.join("iterators")).unwrap();
        assert!(lines.len() <= HEAD.len() + 100 * LINES_PER_LIVE * LIVE_MIN);
        let (live, _) = Store::open(&folder, 100, at(0));
        let keys: Vec<u64> = live.iter().map(|entry| entry.key).collect();
        assert_eq!(keys, [1_000_000, 4_998, 4_999]);
        let (few, _) = Store::open(&folder, 1, at(0));
        assert_eq!(few.len(), 1, "no more than are followed");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_folder_there_is_memory() {
        let clock = Clock::simulated(START);
        let folder = folder("file");
        let file = folder.join("file");
        fs::write(&file, "").unwrap();
        let (iterators, task) = open(&file, 100, &clock, dropped());
        iterators.begin("a0", "orders".into(), "1".into(), clock.now());
        assert_eq!(shard(&iterators, "a0").as_deref(), Some("1"));
        let stop = CancellationToken::new();
        let run = task.run(stop.clone());
        tokio::pin!(run);
        let early = tokio::time::timeout(Duration::from_secs(60), &mut run).await;
        assert!(early.is_err(), "a task that ends before it is told to is a fault");
        stop.cancel();
        run.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_drops_and_counts() {
        let (folder, clock, dropped) = (folder("full"), Clock::simulated(START), dropped());
        let (iterators, task) = open(&folder, 10_000, &clock, dropped.clone());
        for i in 0..QUEUE + 7 {
            iterators.begin(&i.to_string(), "orders".into(), "1".into(), clock.now());
        }
        assert_eq!(dropped.with_label_values(&["iterators", "full"]).get(), 7);
        drop(task);
        iterators.begin("after", "orders".into(), "1".into(), clock.now());
        assert_eq!(dropped.with_label_values(&["iterators", "full"]).get(), 7);
    }
}
