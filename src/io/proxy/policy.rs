//! Owns what is done to which stream, and who may call. Refuses to decide about bytes: it says what
//! is wanted, the splice says what is possible. It can be exchanged while requests run.

use super::admit::Caller;
use crate::domain::alert::glob;
use crate::domain::envelope::aggregate::Aggregated;
use crate::domain::stream::StreamName;
use crate::wire::kinesis::fault::{AllowList, Fault};
use crate::wire::kinesis::operation::Operation;

/// What is done to the records of a stream on their way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagate {
    /// Context is added.
    Inject,
    /// Records are looked at, never changed.
    Observe,
    /// Records are not looked at.
    Off,
}

/// What is done to the records of a stream on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deliver {
    /// As Kinesis has them.
    Keep,
    /// As their producer wrote them.
    Strip,
}

/// What is done to one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Treatment {
    /// On the way in.
    pub propagate: Propagate,
    /// Of how many calls in a hundred the records are injected; the others are observed.
    pub percent: u8,
    /// On the way out.
    pub deliver: Deliver,
    /// KPL aggregates.
    pub aggregated: Aggregated,
    /// In place of what the stream says of itself.
    pub record_bytes_max: Option<usize>,
}

impl Treatment {
    /// Whether a call is among those whose records are injected; `chance` gives 0..1.
    pub(super) fn chooses(&self, chance: impl FnOnce() -> f64) -> bool {
        self.percent >= 100 || chance() * 100.0 < f64::from(self.percent)
    }
}

impl Default for Treatment {
    fn default() -> Self {
        Self {
            propagate: Propagate::Inject,
            percent: 100,
            deliver: Deliver::Keep,
            aggregated: Aggregated::Tags,
            record_bytes_max: None,
        }
    }
}

/// Who may call what; an empty list allows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// Access key ids.
    pub access_keys: Vec<String>,
    /// Globs on the stream's name. A call that names no stream (an iterator, a list) passes.
    pub streams: Vec<String>,
    /// Globs on the operation's name.
    pub operations: Vec<String>,
}

impl Allow {
    /// Whether this caller may use this operation at all.
    pub(super) fn call(&self, caller: &Caller<'_>, operation: &str) -> Result<(), Fault> {
        let key = |allowed: &String| allowed == caller.access_key_id;
        if !self.access_keys.is_empty() && !self.access_keys.iter().any(key) {
            return Err(Fault::NotAllowed(AllowList::AccessKeys));
        }
        any(&self.operations, operation).ok_or(Fault::NotAllowed(AllowList::Operations))
    }

    /// Whether a put to this stream may pass. With a list, one that cannot be read, or that names its
    /// stream by an id only, is on none.
    pub(super) fn put(&self, stream: Option<&StreamName>) -> Result<(), Fault> {
        if stream.is_none() && !self.streams.is_empty() {
            return Err(Fault::NotAllowed(AllowList::Streams));
        }
        self.stream(stream)
    }

    /// Whether this stream may be used.
    pub(super) fn stream(&self, stream: Option<&StreamName>) -> Result<(), Fault> {
        let Some(stream) = stream else { return Ok(()) };
        any(&self.streams, stream.as_str()).ok_or(Fault::NotAllowed(AllowList::Streams))
    }
}

fn any(patterns: &[String], text: &str) -> Option<()> {
    let listed = || patterns.iter().any(|pattern| glob::matches(pattern, text));
    (patterns.is_empty() || listed()).then_some(())
}

/// What may change while the data plane runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The kill switch: false changes no byte of any stream, in either direction.
    pub propagation: bool,
    /// Glob on the stream's name, first match wins; without a match, the default treatment.
    pub streams: Vec<(String, Treatment)>,
    /// Who may call what.
    pub allow: Allow,
}

impl Policy {
    /// What is done to a stream. One whose name could not be read is not changed on its way in, and
    /// stripped only where every stream is.
    #[must_use]
    pub fn of(&self, stream: Option<&StreamName>) -> Treatment {
        let found = match stream {
            Some(stream) => self.first(stream.as_str()),
            None => {
                let all_strip = self.streams.iter().all(|(_, t)| t.deliver == Deliver::Strip);
                let covers = self.streams.iter().any(|(pattern, _)| pattern == "*");
                let deliver = if all_strip && covers { Deliver::Strip } else { Deliver::Keep };
                Treatment { propagate: Propagate::Observe, deliver, ..Treatment::default() }
            }
        };
        if self.propagation {
            return found;
        }
        Treatment { propagate: Propagate::Off, deliver: Deliver::Keep, ..found }
    }

    fn first(&self, stream: &str) -> Treatment {
        let rule = self.streams.iter().find(|(pattern, _)| glob::matches(pattern, stream));
        rule.map_or_else(Treatment::default, |(_, treatment)| *treatment)
    }

    /// Whether any stream is stripped: then iterators are learned before the client has them.
    pub(super) fn strips(&self) -> bool {
        self.propagation && self.streams.iter().any(|(_, t)| t.deliver == Deliver::Strip)
    }
}

/// The name under which the allow list knows an operation.
pub(super) fn operation_name(operation: Operation, target: &str) -> &str {
    // One that this version has not heard of is still called something.
    let unknown = operation == Operation::Other;
    if unknown { target.rsplit('.').next().unwrap_or_default() } else { operation.as_str() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_wins() {
        let treat = |propagate, deliver| Treatment { propagate, deliver, ..Treatment::default() };
        let policy = Policy {
            propagation: true,
            streams: vec![
                ("orders-*".into(), treat(Propagate::Observe, Deliver::Strip)),
                ("orders-eu".into(), treat(Propagate::Off, Deliver::Keep)),
            ],
            allow: Allow::default(),
        };
        let off = Policy { propagation: false, ..policy.clone() };
        let check = |policy: &Policy, stream: Option<&str>, propagate, deliver| {
            let seen = policy.of(stream.map(StreamName::from).as_ref());
            assert_eq!((seen.propagate, seen.deliver), (propagate, deliver), "{stream:?}");
        };
        check(&policy, Some("orders-eu"), Propagate::Observe, Deliver::Strip);
        check(&policy, Some("mail"), Propagate::Inject, Deliver::Keep);
        check(&policy, None, Propagate::Observe, Deliver::Keep);
        check(&off, Some("orders-eu"), Propagate::Off, Deliver::Keep);
        check(&off, None, Propagate::Off, Deliver::Keep);
        assert!(policy.strips() && !off.strips());
        let all = vec![("*".into(), treat(Propagate::Inject, Deliver::Strip))];
        check(&Policy { streams: all, ..policy }, None, Propagate::Observe, Deliver::Strip);
    }

    #[test]
    fn empty_lists_allow_all() {
        let caller = Caller { access_key_id: "AKIA1" };
        let allow = |access_keys: &[&str], operations: &[&str], streams: &[&str]| Allow {
            access_keys: access_keys.iter().map(ToString::to_string).collect(),
            operations: operations.iter().map(ToString::to_string).collect(),
            streams: streams.iter().map(ToString::to_string).collect(),
        };
        let check = |allow: &Allow, expected: Result<(), Fault>| {
            let stream = StreamName::from("orders");
            let seen = allow.call(&caller, "PutRecord").and_then(|()| allow.stream(Some(&stream)));
            assert_eq!(seen, expected, "{allow:?}");
        };
        check(&Allow::default(), Ok(()));
        check(&allow(&["AKIA1"], &["Put*"], &["ord*"]), Ok(()));
        check(&allow(&["AKIA2"], &[], &[]), Err(Fault::NotAllowed(AllowList::AccessKeys)));
        check(&allow(&[], &["Get*", "List*"], &[]), Err(Fault::NotAllowed(AllowList::Operations)));
        check(&allow(&[], &[], &["mail"]), Err(Fault::NotAllowed(AllowList::Streams)));
        let listed = allow(&[], &[], &["mail"]);
        assert_eq!(listed.stream(None), Ok(()), "an iterator names no stream");
        assert_eq!(listed.put(None), Err(Fault::NotAllowed(AllowList::Streams)));
        assert_eq!(Allow::default().put(None), Ok(()));
    }
}
