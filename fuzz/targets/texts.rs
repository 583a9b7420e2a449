//! Owns the laws of small texts from people and from others' tables: a fault says where and what,
//! and what is understood is within its bounds.

use kinescope::domain::lag::{Checkpoint, SequenceClock};
use kinescope::domain::lease::{Reading, Row, read};
use kinescope::domain::plan::Price;
use kinescope::domain::time::{Moment, Wall};
use kinescope::wire::notify::signature::{Keys, KeysFault};
use kinescope::wire::plan;
use kinescope::wire::recording::readings;
use kinescope::wire::status::traces::{LIMIT_MAX, query, saga_query};
use std::time::Duration;

pub fn recording(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = readings(text);
    assert_eq!(readings(text), read);
    match read {
        Ok(readings) => {
            assert!(readings.is_sorted_by_key(|(at, _)| *at));
            let values = readings.iter().flat_map(|(_, reading)| reading.values.iter());
            assert!(
                values.into_iter().all(|(_, value)| !value.is_nan()),
                "missing is not a number"
            );
        }
        Err(fault) => {
            assert!((1..=text.lines().count()).contains(&fault.line) && !fault.why.is_empty());
        }
    }
}

pub fn prices(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match plan::read(text, "a file") {
        Ok(read) => {
            let known = Price::all().filter_map(|price| read.of(price));
            assert!(known.into_iter().all(|dollars| dollars.is_finite() && dollars >= 0.0));
            assert_eq!(plan::read(&plan::write(&read), "a file").unwrap(), read);
        }
        Err(fault) => assert!(!fault.to_string().is_empty()),
    }
}

/// The query of traces, or of sagas.
pub fn trace_query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fault = match query(&text) {
        Ok(query) => {
            assert!((1..=LIMIT_MAX).contains(&query.limit));
            None
        }
        Err(fault) => Some(fault),
    };
    let of_sagas = saga_query(&text);
    if let Ok((_, limit)) = &of_sagas {
        assert!((1..=LIMIT_MAX).contains(limit));
    }
    for fault in fault.into_iter().chain(of_sagas.err()) {
        let told: serde_json::Value = serde_json::from_slice(&fault.json()).unwrap();
        assert_eq!(told["error"]["field"].as_str(), Some(fault.field.as_str()));
        assert!(fault.field.chars().count() <= 64 && !fault.expected.is_empty());
    }
}

/// A row of a lease table: an attribute a line, in their order; a line that is a dash is none.
pub fn lease(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut next = || lines.next().filter(|line| *line != "-");
    let [key, owner, counter, checkpoint, entity] = [(); 5].map(|()| next());
    let row = Row { key, owner, counter, checkpoint, entity };
    let Reading::Lease(held) = read(row, Moment::default()) else { return };
    assert!(held.shard.as_str().starts_with("shardId-"));
    assert!(key.is_some_and(|key| key.ends_with(held.shard.as_str())));
    assert_eq!(counter.and_then(|it| it.parse().ok()), Some(held.lease.counter));
    assert!(held.lease.owner.is_none_or(|holder| Some(&*holder) == owner && !holder.is_empty()));
    if let Checkpoint::At(sequence) = &held.lease.checkpoint {
        assert!(sequence.as_str().bytes().all(|digit| digit.is_ascii_digit()));
    }
}

/// The file of a webhook's keys.
pub fn webhook_keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Keys::parse(&text) {
        Ok(keys) => {
            let signed = keys.sign("id", 1_764_000_000, b"{}");
            assert!(signed.split(' ').all(|one| one.starts_with("v1,") && one.len() == 3 + 44));
            assert_eq!(format!("{keys:?}"), "[secret]");
        }
        Err(fault) => {
            let told = fault.to_string();
            // A file may hold words of ours.
            let ours = [KeysFault::None, KeysFault::TooMany, KeysFault::Malformed];
            let is_ours = |line: &str| ours.iter().any(|it| it.to_string().contains(line));
            let secret = |line: &str| line.len() > 12 && told.contains(line) && !is_ours(line);
            assert!(!text.lines().any(secret), "a secret is shown");
        }
    }
}

/// A sequence number, its shard, and when its record arrived, in seconds: a line each.
pub fn sequence(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default();
    let (number, shard, told) = (next(), next(), next().parse::<u32>().unwrap_or(1_545_084_650));
    let mut clock = SequenceClock::default();
    for turn in 0..3 {
        let told = Wall::from_ms(u64::from(told) * 1_000);
        clock.calibrate(&number.into(), &shard.into(), told, Duration::from_secs(5 * turn));
    }
    let second = second(number, shard);
    let usable = second.is_some_and(|second| second.abs_diff(u64::from(told)) <= 3);
    assert_eq!(clock.is_usable(), Some(usable));
}

/// By other arithmetic: the number is halved until its bits are known.
fn second(number: &str, shard: &str) -> Option<u64> {
    let shard: u64 = shard.rsplit('-').next()?.parse().ok()?;
    let mut digits: Vec<u8> = number.bytes().map(|digit| digit.wrapping_sub(b'0')).collect();
    if digits.is_empty() || digits.len() > 57 || digits.iter().any(|digit| *digit > 9) {
        return None;
    }
    let mut bits: Vec<u64> = Vec::new();
    while digits.iter().any(|digit| *digit > 0) {
        let mut carry = 0;
        for digit in &mut digits {
            (*digit, carry) = ((carry * 10 + *digit) / 2, (carry * 10 + *digit) % 2);
        }
        bits.push(carry.into());
    }
    let field = |from: usize, to: usize| {
        bits[from..to].iter().rev().fold(0, |number, bit| number << 1 | bit)
    };
    let known = bits.len() == 186 && field(184, 186) == 2 && field(0, 4) == 2;
    (known && field(4, 36) == shard).then(|| field(36, 72))
}
