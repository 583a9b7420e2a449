//! Owns sagas: which steps of one were seen, in which services and streams, how long it took and
//! how it ended. Refuses to end one that nothing says has ended, and to show whose it was:
//! `sagaId` is the envelope's, so it leaves as a keyed hash unless `privacy.fields` names it.

mod book;
mod words;

#[cfg(test)]
mod tests;

pub use book::{Ended, SagaForgotten, SagaLimits, Sagas};
pub use words::{SagaWords, StepKind};

use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use crate::domain::trace::TraceContext;
use sha2::{Digest, Sha256};
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Which saga, as it may be told outside.
///
/// `privacy.fields` names what may leave a process, and `sagaId` is not in its default: an order's
/// or a customer's number often stands in it. Sidecars still have to mean the same saga by the same
/// name, so what leaves is a hash of it under a key that the deployment's sidecars share. Without
/// the key nobody can try numbers until one fits; with a key of one process alone, a saga is
/// followed through that process only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SagaId(Arc<str>);

impl SagaId {
    /// Longest id that is read, in bytes: a UUID has 36. A longer one is no id.
    pub const BYTES_MAX: usize = 128;

    /// As a hash under `key`: 16 hexadecimal digits behind `#`, so that nobody takes it for the
    /// envelope's. `None` for an empty or overlong id.
    #[must_use]
    pub fn hashed(saga_id: &str, key: &[u8; 32]) -> Option<Self> {
        Self::told(saga_id)?;
        // A key of fixed length in front and a cut-off end: nothing can be added to what was hashed.
        let digest = Sha256::new().chain_update(key).chain_update(saga_id).finalize();
        let mut text = String::from("#");
        for byte in digest.iter().take(8) {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Some(Self(text.into()))
    }

    /// As it stands: what another sidecar told, or `sagaId` itself where `privacy.fields` names it.
    #[must_use]
    pub fn told(text: &str) -> Option<Self> {
        (1..=Self::BYTES_MAX).contains(&text.len()).then(|| Self(text.into()))
    }

    /// As it may be told.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One step, as one span saw it. The same step is seen by its producer and by every consumer.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaStep {
    /// The saga.
    pub saga_id: SagaId,
    /// `commandType` or `eventType`.
    pub step: Arc<str>,
    /// Who saw it.
    pub service: Arc<str>,
    /// In which stream.
    pub stream: Option<StreamName>,
    /// When it was put, as well as the span knows.
    pub at: Wall,
    /// The record's context, which tells two steps of one name apart.
    pub trace: Option<TraceContext>,
}

/// How it stands with a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SagaState {
    /// On its way.
    Running,
    /// On its way back.
    Compensating,
    /// An end was seen, and no compensation after it.
    Completed,
    /// What was done before the step that failed was undone.
    Compensated,
    /// Silent too long, half-way there or half-way back.
    Stuck,
    /// Silent too long, and whether it ended cannot be told.
    Unknown,
}

impl SagaState {
    /// All of them, for gauges that are zero.
    pub const ALL: [Self; 6] = [
        Self::Running,
        Self::Compensating,
        Self::Completed,
        Self::Compensated,
        Self::Stuck,
        Self::Unknown,
    ];

    /// The label `state`, and where it is an end, `outcome`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Stuck => "stuck",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the saga ended, and a further step begins another run.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated)
    }
}

/// One run of a saga, for page and JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaView {
    /// The saga.
    pub saga_id: SagaId,
    /// Which run, from 1: an id that is used again after an end begins another.
    pub run: u64,
    /// The label `saga`: its first step's name.
    pub name: Arc<str>,
    /// How it stands.
    pub state: SagaState,
    /// Why it is said to, in a sentence.
    pub reason: &'static str,
    /// From its first step to its last; `None` while it has one.
    pub duration: Option<Duration>,
    /// How long nothing was heard of it.
    pub silent: Duration,
    /// Its steps in the order in which they were put.
    pub steps: Vec<StepView>,
    /// It had more steps than are kept.
    pub cut: bool,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepView {
    /// Its name.
    pub step: Arc<str>,
    /// Forward, back, or the end.
    pub kind: StepKind,
    /// When it was put.
    pub at: Wall,
    /// Where.
    pub stream: Option<StreamName>,
    /// Who saw it, by name.
    pub services: Vec<Arc<str>>,
    /// The record's context.
    pub trace: Option<TraceContext>,
}
