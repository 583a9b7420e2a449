//! Owns the clock inside a sequence number: the second in which Kinesis took a record. Refuses to
//! be believed blindly, since nobody promised it: every number must look as those that we know, and
//! where numbers disagree with the arrivals of records on the wire the clock is switched off.

use crate::domain::stream::{SequenceNumber, ShardId};
use crate::domain::time::Wall;
use std::collections::VecDeque;
use std::time::Duration;

/// A number of version 2 has so many bits, the topmost two being `10`.
const BITS: u32 = 186;
/// A number tells whole seconds, and clocks differ.
const FUTURE_MAX: Duration = Duration::from_secs(5);
/// The median difference from the wire's arrivals must not be over this.
const RESIDUAL_MAX_MS: u64 = 3_000;
/// Differences that are remembered; fewer than the least say nothing.
const RESIDUALS_MAX: usize = 16;
const RESIDUALS_MIN: usize = 3;
/// A difference is taken this often at most: clocks do not change by the read.
const CALIBRATE_EVERY: Duration = Duration::from_secs(5);

/// The second in which the record of this number arrived in this shard; `None` for a number of
/// another make, of another shard, from before the stream was created or from the future.
#[must_use]
pub(super) fn arrival(
    sequence: &SequenceNumber,
    shard: &ShardId,
    created: Option<Wall>,
    now: Wall,
) -> Option<Wall> {
    let [low, middle, high] = limbs(sequence.as_str())?;
    let bits = 128 + u64::BITS - high.leading_zeros();
    let versions = (high >> (BITS - 2 - 128), low & 0xf);
    let index = (low >> 4) & 0xffff_ffff;
    let of_shard = shard.as_str().rsplit('-').next()?.parse::<u64>().ok()?;
    if bits != BITS || versions != (2, 2) || index != of_shard {
        return None;
    }
    let second = ((low >> 36) | (middle << 28)) & 0xf_ffff_ffff;
    let at = Wall::from_ms(second.checked_mul(1_000)?);
    let created = created.unwrap_or_default().minus(Duration::from_secs(1));
    (created <= at && at <= now.plus(FUTURE_MAX)).then_some(at)
}

/// A decimal number of up to 192 bits, least significant limb first.
fn limbs(text: &str) -> Option<[u64; 3]> {
    let mut limbs = [0_u64; 3];
    if text.is_empty() || text.len() > 57 {
        return None;
    }
    // As many digits at a time as 64 bits hold.
    for digits in text.as_bytes().chunks(19) {
        let (mut value, mut scale) = (0_u64, 1_u64);
        for digit in digits {
            value = value * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
            scale *= 10;
        }
        let mut carry = u128::from(value);
        for limb in &mut limbs {
            let wide = u128::from(*limb) * u128::from(scale) + carry;
            *limb = wide as u64;
            carry = wide >> 64;
        }
        if carry > 0 {
            return None;
        }
    }
    Some(limbs)
}

/// Whether the sequence numbers of a stream tell the time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SequenceClock {
    /// Milliseconds between a number's second and the record's arrival; a number without a second
    /// counts as far off.
    residuals: VecDeque<u64>,
    calibrated_at: Option<Duration>,
}

impl SequenceClock {
    /// Holds a delivered record's number against its arrival. Both times are Kinesis's own, so that
    /// our clock does not matter.
    pub fn calibrate(
        &mut self,
        sequence: &SequenceNumber,
        shard: &ShardId,
        told: Wall,
        now: Duration,
    ) {
        if self.calibrated_at.is_some_and(|at| now.saturating_sub(at) < CALIBRATE_EVERY) {
            return;
        }
        self.calibrated_at = Some(now);
        let own = arrival(sequence, shard, None, told.plus(FUTURE_MAX));
        let apart = own.map(|own| told.since(own).max(own.since(told)));
        let residual = apart.and_then(|apart| u64::try_from(apart.as_millis()).ok());
        if self.residuals.len() >= RESIDUALS_MAX {
            self.residuals.pop_front();
        }
        self.residuals.push_back(residual.unwrap_or(u64::MAX));
    }

    /// `None` while too few records were seen to say.
    #[must_use]
    pub fn is_usable(&self) -> Option<bool> {
        let mut sorted: Vec<u64> = self.residuals.iter().copied().collect();
        sorted.sort_unstable();
        let median = *sorted.get(sorted.len() / 2).filter(|_| sorted.len() >= RESIDUALS_MIN)?;
        Some(median <= RESIDUAL_MAX_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published by AWS: shard 6, arrived at 1545084650.987.
    const SEQUENCE: &str = "49590338271490256608559692538361571095921575989136588898";
    const ARRIVED_MS: u64 = 1_545_084_650_987;

    #[test]
    fn a_number_tells_its_second_or_nothing() {
        let check = |sequence: &str, shard: &str, created_s, now_s, expected: Option<u64>| {
            let (created, now) = (Wall::from_ms(created_s * 1_000), Wall::from_ms(now_s * 1_000));
            let told = arrival(&sequence.into(), &shard.into(), Some(created), now);
            assert_eq!(told, expected.map(|second| Wall::from_ms(second * 1_000)), "{sequence}");
        };
        let (shard, at) = ("shardId-000000000006", 1_545_084_650);
        check(SEQUENCE, shard, 0, at, Some(at));
        check(SEQUENCE, shard, at, at - 5, Some(at));
        check(SEQUENCE, shard, 0, at - 6, None);
        check(SEQUENCE, shard, at + 2, at, None);
        check(SEQUENCE, "shardId-000000000007", 0, at, None);
        check(SEQUENCE, "unknown", 0, at, None);
        check("49590338271490256608559692538361571095921575989136588897", shard, 0, at, None);
        for odd in ["", "7", "4959x", &SEQUENCE[1..], &format!("{SEQUENCE}00"), &"9".repeat(57)] {
            check(odd, shard, 0, at, None);
        }
    }

    #[test]
    fn a_clock_that_disagrees_is_switched_off() {
        let check = |sequence: &str, told_ms, expected| {
            let mut clock = SequenceClock::default();
            for second in 0..4 {
                assert_eq!(clock.is_usable(), (second == 3).then_some(expected));
                let told = Wall::from_ms(told_ms);
                let now = Duration::from_secs(5 * second);
                clock.calibrate(&sequence.into(), &"shardId-000000000006".into(), told, now);
                clock.calibrate(&"1".into(), &"shardId-000000000006".into(), told, now);
            }
            assert_eq!(clock.is_usable(), Some(expected));
        };
        check(SEQUENCE, ARRIVED_MS, true);
        check(SEQUENCE, ARRIVED_MS + 1_900, true);
        check(SEQUENCE, ARRIVED_MS + 60_000, false);
        check(SEQUENCE, ARRIVED_MS - 60_000, false);
        check("123", ARRIVED_MS, false);
    }
}
