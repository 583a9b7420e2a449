//! Owns the silences that were made at the API, in memory and in a small file, and tells the engine
//! of all that are in force. Refuses to lose one to a restart, and to change a configured one.

use crate::domain::alert::silence::{REGEXES_MAX, SILENCES_MAX, Silence};
use crate::domain::engine::Event;
use crate::domain::time::Wall;
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::wire::silences;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// An expired one is shown for a day.
const EXPIRED_FOR: Duration = Duration::from_secs(86_400);

/// Why a silence was not made or ended.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is none.
    #[error(transparent)]
    Body(#[from] silences::SilenceFault),
    /// Nobody knows it.
    #[error("there is no silence with this id")]
    Unknown,
    /// It is written in the configuration.
    #[error("this silence is in the configuration; end it there")]
    Configured,
    /// There are too many.
    #[error("there are {SILENCES_MAX} silences; end some first")]
    Full,
    /// There are too many expressions in them.
    #[error("the silences have {REGEXES_MAX} regular expressions; end some, or use a glob")]
    Regexes,
}

/// Where silences are kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SilenceBook {
    silences: Arc<Mutex<Vec<Silence>>>,
    /// Held while the file is written, so that the newest writing is the last.
    file: Arc<tokio::sync::Mutex<Option<PathBuf>>>,
    events: mpsc::Sender<Event>,
    clock: Clock,
}

impl SilenceBook {
    /// The configured ones, and those that the file in the folder `state` remembers. A file that
    /// cannot be read is left out, and said.
    #[must_use]
    pub fn open(
        configured: Vec<Silence>,
        state: Option<PathBuf>,
        events: mpsc::Sender<Event>,
        clock: Clock,
    ) -> Self {
        let file = state.map(|folder| folder.join("silences.json"));
        let mut silences = configured;
        if let Some(path) = &file {
            match std::fs::read(path) {
                Ok(body) => match silences::read_all(&body, clock.now().wall) {
                    Ok((kept, faults)) => {
                        silences.extend(kept.into_iter().take(SILENCES_MAX));
                        for error in faults {
                            tracing::warn!(%error, "a kept silence cannot be read");
                        }
                    }
                    Err(error) => tracing::warn!(%error, "kept silences cannot be read"),
                },
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, "kept silences cannot be read"),
            }
        }
        let (silences, file) = (Arc::new(Mutex::new(silences)), tokio::sync::Mutex::new(file));
        Self { silences, file: Arc::new(file), events, clock }
    }

    /// All of them, as Alertmanager's API shows them.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        silences::text(self.all().iter(), self.clock.now().wall)
    }

    /// Makes one, or changes the one whose id it has; its id.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn make(&self, body: &[u8]) -> Result<String, Fault> {
        let now = self.clock.now().wall;
        let mut silence = silences::read(body, now)?;
        silence.updated_at = now;
        let id = self.change(|all| {
            forget_old(all, now);
            let others = all.iter().filter(|other| other.id != silence.id);
            let regexes: usize = others.map(Silence::regexes).sum();
            if silence.regexes() > 0 && regexes + silence.regexes() > REGEXES_MAX {
                return Err(Fault::Regexes);
            }
            if silence.id.is_empty() {
                if all.len() >= SILENCES_MAX {
                    return Err(Fault::Full);
                }
                silence.id = new_id();
                all.push(silence.clone());
            } else {
                *own(all, &silence.id)? = silence.clone();
            }
            Ok(silence.id.clone())
        })?;
        self.keep().await;
        Ok(id)
    }

    /// Ends one now.
    ///
    /// # Errors
    /// See [`Fault`].
    pub async fn end(&self, id: &str) -> Result<(), Fault> {
        let now = self.clock.now().wall;
        self.change(|all| {
            let silence = own(all, id)?;
            silence.ends_at = silence.ends_at.min(now);
            silence.updated_at = now;
            // One that never began leaves nothing to be told.
            all.retain(|silence| silence.starts_at < silence.ends_at);
            Ok(())
        })?;
        self.keep().await;
        Ok(())
    }

    /// Puts these in place of the configured ones: the configuration was read again.
    pub async fn configure(&self, configured: Vec<Silence>) {
        {
            let mut all = self.silences.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|silence| !silence.is_configured);
            drop(all.splice(0..0, configured));
        }
        self.announce().await;
    }

    /// Tells the engine which are in force.
    pub async fn announce(&self) {
        // An engine that has gone has nobody to silence.
        let _gone = self.events.send(Event::Silenced(self.all())).await;
    }

    fn all(&self) -> Vec<Silence> {
        self.silences.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Silence>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        change(&mut self.silences.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes the file anew beside the old one and puts it in its place; a full or read-only disk
    /// leaves memory.
    async fn keep(&self) {
        self.announce().await;
        let file = self.file.lock().await;
        let Some(path) = file.clone() else { return };
        let all = self.all();
        let made = all.iter().filter(|silence| !silence.is_configured);
        let body = silences::text(made, self.clock.now().wall);
        let beside = path.with_extension("json.new");
        let write = move || {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(&beside, body)?;
            std::fs::rename(beside, path)
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "silences cannot be kept: a restart will forget them");
            }
            Err(_ended) => {}
        }
    }
}

fn forget_old(all: &mut Vec<Silence>, now: Wall) {
    all.retain(|silence| silence.is_configured || now.since(silence.ends_at) < EXPIRED_FOR);
}

/// One that may be changed here.
fn own<'a>(all: &'a mut [Silence], id: &str) -> Result<&'a mut Silence, Fault> {
    let found = all.iter_mut().find(|silence| silence.id == id).ok_or(Fault::Unknown)?;
    if found.is_configured { Err(Fault::Configured) } else { Ok(found) }
}

/// As Alertmanager's: a random UUID.
fn new_id() -> String {
    let hex: String = entropy::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| part(from, to)).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"matchers": [{"name": "stream", "value": "orders|o.+", "isRegex": true}],
        "endsAt": "2023-11-15T00:00:00Z"}"#;

    async fn told(events: &mut mpsc::Receiver<Event>) -> Vec<Silence> {
        match events.recv().await {
            Some(Event::Silenced(silences)) => silences,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn silences_survive_a_restart_and_end() {
        let folder =
            std::env::temp_dir().join(format!("kinescope-silences-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (events, mut heard) = mpsc::channel(10);
        let open = || {
            let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
            SilenceBook::open(Vec::new(), Some(folder.clone()), events.clone(), clock)
        };
        let book = open();
        let id = book.make(BODY.as_bytes()).await.unwrap();
        assert_eq!(told(&mut heard).await[0].id, id);
        let again = open();
        again.announce().await;
        let kept = told(&mut heard).await;
        assert_eq!((kept.len(), kept[0].id.as_str(), id.len()), (1, id.as_str(), 36));
        assert_eq!(kept[0].matchers[0].to_string(), "stream=~\"orders|o.+\"");
        again.end(&id).await.unwrap();
        let ended = told(&mut heard).await;
        assert!(ended.iter().all(|it| it.ends_at < Wall::from_ms(1_700_000_100_000)), "{ended:?}");
        assert!(matches!(again.end("other").await, Err(Fault::Unknown)));
        std::fs::write(folder.join("silences.json"), "[{").unwrap();
        assert_eq!(open().json(), b"[]");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn configured_ones_change_and_expressions_are_bounded() {
        let (events, mut heard) = mpsc::channel(1_000);
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let of = |id: &str, is_configured| {
            let silence =
                silences::read(BODY.as_bytes(), Wall::from_ms(1_700_000_000_000)).unwrap();
            Silence { id: id.to_owned(), is_configured, ..silence }
        };
        let book = SilenceBook::open(vec![of("one", true)], None, events, clock);
        let made = book.make(BODY.as_bytes()).await.unwrap();
        book.configure(vec![of("two", true), of("three", true)]).await;
        drop(told(&mut heard).await);
        let ids: Vec<String> = told(&mut heard).await.into_iter().map(|it| it.id).collect();
        assert_eq!(ids, ["two", "three", &made]);
        for _ in 3..REGEXES_MAX {
            book.make(BODY.as_bytes()).await.unwrap();
        }
        assert!(matches!(book.make(BODY.as_bytes()).await, Err(Fault::Regexes)));
        // One that is there already may be changed.
        let body = BODY.replacen('{', &format!("{{\"id\": \"{made}\", "), 1);
        assert_eq!(book.make(body.as_bytes()).await.unwrap(), made);
    }
}
