//! Owns the proof that asks are few, whole and never too many, and that answers are read as meant.

use super::*;
use crate::domain::cloudwatch::metric::Metric;
use crate::domain::cloudwatch::subject::{Kind, Subject};

const MINUTE: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_secs(120);

fn at(minute: u64) -> Wall {
    Wall::from_ms(minute * 60_000)
}

fn stream(index: usize) -> Vec<Series> {
    let subject = Subject::Stream(format!("s{index}").as_str().into());
    Metric::of(Kind::Stream).map(|metric| Series { subject: subject.clone(), metric }).collect()
}

fn ledger(streams: usize) -> Ledger {
    let mut ledger = Ledger::new(MINUTE, DELAY);
    ledger.want((0..streams).flat_map(stream).collect());
    ledger
}

/// One series alone, asked at minute 1000 and answered with `values`; what was told, by minute.
fn one(
    ledger: &mut Ledger,
    now: u64,
    complete: Complete,
    values: &[(u64, f64)],
) -> Vec<(u64, f64)> {
    let batches = ledger.due(at(now));
    let [batch] = batches.as_slice() else { panic!("{batches:?}") };
    let values = values.iter().map(|(minute, value)| (at(*minute), *value)).collect();
    let told = ledger.take(batch, vec![Answer { complete, values }], at(now));
    ledger.finish_round();
    told.iter().map(|it| (it.point.at.as_seconds() / 60, it.point.value)).collect()
}

fn single() -> Ledger {
    let mut ledger = Ledger::new(MINUTE, DELAY);
    ledger.want(stream(0).into_iter().take(1).collect());
    ledger
}

#[test]
fn a_thousand_streams_of_twenty_metrics_are_forty_calls() {
    let batches = ledger(1_000).due(at(1_000));
    assert_eq!(batches.len(), 40);
    assert!(batches.iter().all(|batch| batch.series.len() == QUERIES_MAX));
    assert!(batches.iter().all(|batch| batch.points() == 2_500));
    let mut all: Vec<Series> = batches.into_iter().flat_map(|batch| batch.series).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20_000);
}

#[test]
fn statistics_of_a_metric_are_asked_for_together() {
    let mut ledger = Ledger::new(MINUTE, DELAY);
    // Odd beginnings move every pair over the border of a call.
    for skipped in 0..20 {
        ledger.want((0..100).flat_map(stream).skip(skipped).collect());
        for pair in ledger.due(at(1_000)).windows(2) {
            let (last, first) = (pair[0].series.last().unwrap(), &pair[1].series[0]);
            assert!(
                last.subject != first.subject || last.metric.name() != first.metric.name(),
                "{last:?} and {first:?} are apart"
            );
            assert!(pair[0].series.len() >= QUERIES_MAX - 1);
        }
    }
}

#[test]
fn windows_are_whole_settled_periods() {
    let check = |now_ms, delay_s, period_s, start_s: u64, end_s: u64| {
        let mut ledger = Ledger::new(Duration::from_secs(period_s), Duration::from_secs(delay_s));
        ledger.want(stream(0));
        let window = ledger.due(Wall::from_ms(now_ms))[0].window;
        assert_eq!((window.start.as_seconds(), window.end.as_seconds()), (start_s, end_s));
    };
    check(6_000_000, 120, 60, 5_580, 5_880);
    check(6_059_999, 120, 60, 5_580, 5_880);
    check(6_060_000, 120, 60, 5_640, 5_940);
    check(6_000_000, 0, 300, 4_500, 6_000);
    check(6_000_000, 120, 0, 5_875, 5_880);
}

#[test]
fn nothing_is_asked_twice_before_there_is_something_new() {
    let mut ledger = single();
    assert_eq!(one(&mut ledger, 1_000, Complete::Yes, &[(997, 1.0)]), [(997, 1.0)]);
    assert_eq!(ledger.due(at(1_000).plus(MINUTE / 2)), []);
    assert_eq!(ledger.due(at(1_001))[0].window.periods(), 5);
}

#[test]
fn points_come_in_order_once_and_corrected() {
    let mut ledger = single();
    let told = one(&mut ledger, 1_000, Complete::Yes, &[(997, 3.0), (996, 2.0), (997, 4.0)]);
    assert_eq!(told, [(996, 2.0), (997, 4.0)]);
    // Again and late and corrected; 999 is not settled, 990 was not asked for, NaN is no number.
    let values =
        [(998, 7.0), (997, 5.0), (996, 2.0), (995, 1.0), (999, 9.0), (990, 9.0), (994, f64::NAN)];
    let told = one(&mut ledger, 1_001, Complete::Yes, &values);
    assert_eq!(told, [(995, 1.0), (997, 5.0), (998, 7.0)]);
}

#[test]
fn what_was_not_answered_in_full_is_asked_for_again() {
    let check = |complete, again: usize| {
        let mut ledger = single();
        one(&mut ledger, 1_000, Complete::Yes, &[]);
        assert_eq!(one(&mut ledger, 1_003, complete, &[(1_000, 1.0)]), [(1_000, 1.0)]);
        assert_eq!(ledger.due_again(at(1_003)).len(), again, "{complete:?}");
        let window = ledger.due(at(1_004))[0].window;
        assert_eq!(window.start, at(994), "from where the last whole answer ended, {complete:?}");
    };
    check(Complete::No, 1);
    check(Complete::Refused, 0);
    check(Complete::Absent, 0);
}

#[test]
fn a_series_that_is_left_out_of_answers_is_empty_in_the_end() {
    let mut ledger = single();
    for minute in 1_000..1_003 {
        one(&mut ledger, minute, Complete::Absent, &[]);
    }
    assert_eq!(ledger.due(at(1_003))[0].window.start, at(996));
}

#[test]
fn another_list_keeps_what_is_known() {
    let mut ledger = ledger(2);
    for batch in ledger.due(at(1_000)) {
        let answers =
            batch.series.iter().map(|_| Answer { complete: Complete::Yes, values: vec![] });
        ledger.take(&batch, answers.collect(), at(1_000));
    }
    ledger.want((1..3).flat_map(stream).collect());
    let due = ledger.due(at(1_000));
    assert_eq!(due.len(), 1);
    assert!(due[0].series.iter().all(|it| it.subject == Subject::Stream("s2".into())));
}
