//! Owns what the rules are given: signals of one subject at one moment, with what surrounds them.
//! Refuses to compare them with anything.

use crate::domain::alert::Labels;
use crate::domain::alert::Values;
use crate::domain::alert::signal::{Scope, Signal};
use crate::domain::lag::Status;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Whom an alert is about. Never a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A consumer of a stream.
    Consumer {
        /// Label `stream`.
        stream: String,
        /// Label `consumer`.
        consumer: String,
    },
    /// A stream.
    Stream {
        /// Label `stream`.
        stream: String,
    },
    /// A shard of a stream.
    Shard {
        /// Label `stream`.
        stream: String,
        /// Label `shard`.
        shard: String,
    },
    /// A kind of saga.
    Saga {
        /// Label `saga`.
        saga: String,
    },
    /// A receiver of notifications.
    Receiver {
        /// Label `receiver`.
        receiver: String,
    },
    /// This process.
    Process,
}

impl Subject {
    /// Which signals it can have.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Consumer { .. } => Scope::Consumer,
            Self::Stream { .. } => Scope::Stream,
            Self::Shard { .. } => Scope::Shard,
            Self::Saga { .. } => Scope::Saga,
            Self::Receiver { .. } => Scope::Receiver,
            Self::Process => Scope::Process,
        }
    }

    /// Its part of an alert's identity, by name.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Consumer { stream, consumer } => {
                vec![("stream", stream), ("consumer", consumer)]
            }
            Self::Stream { stream } => vec![("stream", stream)],
            Self::Shard { stream, shard } => vec![("stream", stream), ("shard", shard)],
            Self::Saga { saga } => vec![("saga", saga)],
            Self::Receiver { receiver } => vec![("receiver", receiver)],
            Self::Process => Vec::new(),
        }
    }

    /// The subject of this scope that these labels name; `None` where one is missing.
    #[must_use]
    pub fn of_labels(scope: Scope, labels: &Labels) -> Option<Self> {
        let label = |name: &str| labels.get(name).cloned();
        Some(match scope {
            Scope::Consumer => {
                Self::Consumer { stream: label("stream")?, consumer: label("consumer")? }
            }
            Scope::Stream => Self::Stream { stream: label("stream")? },
            Scope::Shard => Self::Shard { stream: label("stream")?, shard: label("shard")? },
            Scope::Saga => Self::Saga { saga: label("saga")? },
            Scope::Receiver => Self::Receiver { receiver: label("receiver")? },
            Scope::Process => Self::Process,
        })
    }

    /// Its stream, where it has one.
    #[must_use]
    pub fn stream(&self) -> Option<&str> {
        match self {
            Self::Consumer { stream, .. }
            | Self::Stream { stream }
            | Self::Shard { stream, .. } => Some(stream),
            Self::Saga { .. } | Self::Receiver { .. } | Self::Process => None,
        }
    }

    /// Its consumer, where it is one.
    #[must_use]
    pub fn consumer(&self) -> Option<&str> {
        match self {
            Self::Consumer { consumer, .. } => Some(consumer),
            Self::Stream { .. }
            | Self::Shard { .. }
            | Self::Saga { .. }
            | Self::Receiver { .. }
            | Self::Process => None,
        }
    }
}

/// Something that makes figures jump without anything being wrong: a start, a first read, a
/// resharding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disturbance {
    /// When, in monotonic time.
    pub at: Duration,
    /// What it was, for a sentence.
    pub by: &'static str,
}

/// Why figures say nothing new, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The stream is being deleted: what is behind will not be read.
    Stream(String),
    /// Credentials or permissions fail: nothing can be read, however fast.
    Credentials(String),
}

/// One subject's signals at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Whose.
    pub subject: Arc<Subject>,
    /// Those that are known, each in its unit. Missing is not zero.
    pub values: Values,
    /// CloudWatch can't be asked just now: what it would say is not known, whatever a rule's policy
    /// on missing values says.
    pub blind: bool,
    /// The newest disturbance.
    pub disturbed: Option<Disturbance>,
    /// Why alerts on these figures would say nothing new.
    pub obstacle: Option<Obstacle>,
    /// The consumer's verdict.
    pub status: Option<Status>,
    /// What it is believed to be, in a sentence; filled in, as the evidence, where a rule needs it.
    pub reason: String,
    /// More for the annotations, such as `shard` (the worst) and `retention_used`; the key
    /// `estimated` says that the lag was reckoned, not read.
    pub evidence: BTreeMap<String, String>,
}

impl Reading {
    /// Of which nothing is known.
    #[must_use]
    pub fn of(subject: Subject) -> Self {
        Self::about(Arc::new(subject))
    }

    /// Of a subject that is known for long, and of which nothing is known now.
    #[must_use]
    pub fn about(subject: Arc<Subject>) -> Self {
        Self {
            subject,
            values: Values::default(),
            blind: false,
            disturbed: None,
            obstacle: None,
            status: None,
            reason: String::new(),
            evidence: BTreeMap::new(),
        }
    }

    /// Sets a signal that is known; NaN is not.
    pub fn set(&mut self, signal: Signal, value: Option<f64>) {
        if let Some(value) = value {
            self.values.insert(signal, value);
        }
    }

    /// Notes evidence that is known.
    pub fn tell(&mut self, name: &str, text: Option<String>) {
        if let Some(text) = text {
            self.evidence.insert(name.to_owned(), text);
        }
    }

    /// The signal's value; `None` when the reading does not tell.
    #[must_use]
    pub fn value(&self, signal: Signal) -> Option<f64> {
        self.values.get(signal)
    }
}

/// Sets the signals that a status gives. What a status hides has no value: losing data is worse
/// than stopped, and no reason to resolve what says stopped.
pub fn of_status(reading: &mut Reading, status: Status) {
    let flags = [
        (Signal::Stopped, Status::Stopped),
        (Signal::FallingBehind, Status::FallingBehind),
        (Signal::Stalled, Status::Stalled),
    ];
    for (signal, bad) in flags {
        let value = match status {
            _ if status == bad => Some(1.0),
            Status::Unknown | Status::LosingData => None,
            // A reader that does not read shows neither growth by slowness nor standing still.
            Status::Stopped => None,
            Status::Ok
            | Status::Idle
            | Status::Released
            | Status::Rewound
            | Status::Lagging
            | Status::FallingBehind
            | Status::Stalled => Some(0.0),
        };
        reading.set(signal, value);
    }
    reading.status = Some(status);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_no_value() {
        let mut reading = Reading::of(Subject::Stream { stream: "idle".to_owned() });
        reading.set(Signal::WriteThrottles, Some(f64::NAN));
        assert_eq!(reading.value(Signal::WriteThrottles), None);
    }

    #[test]
    fn unknown_is_not_running() {
        let check = |status, expected: [Option<f64>; 3]| {
            let mut reading = Reading::of(Subject::Process);
            of_status(&mut reading, status);
            let found = [Signal::Stopped, Signal::FallingBehind, Signal::Stalled]
                .map(|signal| reading.value(signal));
            assert_eq!(found, expected, "{status:?}");
        };
        check(Status::Stopped, [Some(1.0), None, None]);
        check(Status::FallingBehind, [Some(0.0), Some(1.0), Some(0.0)]);
        check(Status::Stalled, [Some(0.0), Some(0.0), Some(1.0)]);
        check(Status::Idle, [Some(0.0); 3]);
        check(Status::Released, [Some(0.0); 3]);
        check(Status::Unknown, [None; 3]);
        check(Status::LosingData, [None; 3]);
    }
}
