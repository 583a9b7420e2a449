//! Owns where in a shard a reader is, and whether it went forward or back. Refuses to compare an
//! arrival time with any clock: arrivals are compared among themselves only.

use super::ReadObservation;
use crate::domain::stream::SequenceNumber;
use crate::domain::time::Wall;
use std::time::Duration;

/// How far an arrival must be earlier to count as going back. `ApproximateArrivalTimestamp` is by
/// contract neither accurate nor monotonic, and emulators round it to seconds.
const ARRIVAL_NOISE: Duration = Duration::from_secs(10);

/// The newest record that a reader was given.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Position {
    sequence: Option<SequenceNumber>,
    arrival: Option<Wall>,
}

impl Position {
    /// The answer's newest record; `None` when it had no record, or none that could be read.
    pub(super) fn of(observation: &ReadObservation) -> Option<Self> {
        let sequence = observation.newest_sequence.clone();
        let arrival = observation.newest_arrival;
        (sequence.is_some() || arrival.is_some()).then_some(Self { sequence, arrival })
    }

    /// The record's sequence number, where it is known.
    pub(super) const fn sequence(&self) -> Option<&SequenceNumber> {
        self.sequence.as_ref()
    }

    /// Whether this is surely an older place than `other`: by sequence number where both are
    /// decimal, else by arrival.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        match (self.order(), other.order()) {
            (Some(own), Some(others)) => own < others,
            (Some(_) | None, None) | (None, Some(_)) => match (self.arrival, other.arrival) {
                (Some(own), Some(others)) => others.since(own) > ARRIVAL_NOISE,
                (Some(_) | None, None) | (None, Some(_)) => false,
            },
        }
    }

    fn order(&self) -> Option<(usize, &str)> {
        self.sequence.as_ref().and_then(order)
    }
}

/// A key that sorts decimal numbers of any length by value.
fn order(sequence: &SequenceNumber) -> Option<(usize, &str)> {
    let text = sequence.as_str();
    let digits = text.trim_start_matches('0');
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some((digits.len(), digits))
}

/// Whether both are numbers and the first is the lower.
pub(super) fn is_before(one: &SequenceNumber, other: &SequenceNumber) -> bool {
    order(one).zip(order(other)).is_some_and(|(one, other)| one < other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(sequence: Option<&str>, arrival_ms: Option<u64>) -> Position {
        Position {
            sequence: sequence.map(SequenceNumber::from),
            arrival: arrival_ms.map(Wall::from_ms),
        }
    }

    #[test]
    fn older_by_number_then_by_arrival() {
        let check =
            |own: (Option<&str>, Option<u64>), other: (Option<&str>, Option<u64>), before| {
                let (own, other) = (position(own.0, own.1), position(other.0, other.1));
                assert_eq!(own.is_before(&other), before, "{own:?} before {other:?}");
                assert!(!(before && other.is_before(&own)));
            };
        check((Some("9"), None), (Some("10"), None), true);
        check((Some("10"), None), (Some("9"), None), false);
        check((Some("0009"), None), (Some("9"), None), false);
        check((Some("0009"), None), (Some("0010"), None), true);
        check((Some("5"), Some(99_000)), (Some("6"), Some(1_000)), true);
        check((Some("a"), Some(1_000)), (Some("b"), Some(11_001)), true);
        check((Some("a"), Some(1_000)), (Some("b"), Some(11_000)), false);
        check((None, Some(1_000)), (Some("6"), None), false);
        check((Some(""), None), (Some("1"), None), false);
    }
}
