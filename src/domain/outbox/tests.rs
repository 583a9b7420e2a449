//! Owns the tests of the outbox: its laws over any history of notices, receivers and crashes, and
//! the stories behind them.

use super::*;
use crate::domain::alert::fingerprint::fingerprint;
use crate::domain::alert::{AlertState, AlertView, NoticeReason};
use proptest::prelude::*;
use std::collections::BTreeMap;

const AGE_MAX: Duration = Duration::from_secs(86_400);
const QUICK: Backoff = Backoff {
    initial: Duration::from_secs(1),
    factor: 2.0,
    max: Duration::from_secs(60),
    jitter: 0.0,
};

fn at(seconds: u64) -> Moment {
    let mono = Duration::from_secs(seconds);
    Moment { wall: Wall::from_ms(1_700_000_000_000).plus(mono), mono }
}

/// An alert of `name`, firing since `from`, until `to` if it has an end.
fn alert(name: &str, from: u64, to: Option<u64>) -> AlertView {
    AlertView {
        labels: [("alertname".to_owned(), name.to_owned())].into(),
        annotations: BTreeMap::new(),
        state: if to.is_some() { AlertState::Resolved } else { AlertState::Firing },
        starts_at: at(from).wall,
        ends_at: to.map(|to| at(to).wall),
    }
}

fn group(name: &str, reason: NoticeReason, alerts: Vec<AlertView>, now: u64) -> Arc<Notice> {
    let group_labels = [("alertname".to_owned(), name.to_owned())].into();
    Arc::new(Notice {
        id: 1,
        group_key: name.to_owned(),
        group_labels,
        reason,
        alerts,
        at: at(now),
    })
}

fn fires(name: &str, now: u64) -> Arc<Notice> {
    group(name, NoticeReason::First, vec![alert(name, now, None)], now)
}

fn repeats(name: &str, from: u64, now: u64) -> Arc<Notice> {
    group(name, NoticeReason::Repeat, vec![alert(name, from, None)], now)
}

fn ends(name: &str, from: u64, now: u64) -> Arc<Notice> {
    group(name, NoticeReason::AllResolved, vec![alert(name, from, Some(now))], now)
}

fn line(name: &str, fallback: Option<usize>) -> Line {
    Line { name: name.into(), fallback, fallback_after: Duration::from_secs(100) }
}

fn one() -> Outbox {
    Outbox::new(vec![line("hook", None)], Kept::default(), AGE_MAX, at(0))
}

/// What the disk would hold.
fn commit(outbox: &mut Outbox) {
    let (_, version) = outbox.take_changes();
    outbox.committed(version);
}

/// What is delivered when the receiver takes everything: group, its reason, and whether it fires.
fn drain(outbox: &mut Outbox, receiver: usize, now: u64) -> Vec<(String, &'static str, bool)> {
    let mut told = Vec::new();
    loop {
        commit(outbox);
        let jobs = outbox.next(receiver, at(now), 10, false).jobs;
        if jobs.is_empty() {
            return told;
        }
        for job in jobs {
            let firing = job.notice.alerts.iter().any(|a| a.state == AlertState::Firing);
            told.push((job.notice.group_key.clone(), job.notice.reason.as_str(), firing));
            outbox.delivered(receiver, &job, &[]);
        }
    }
}

fn told(group: &str, reason: NoticeReason, firing: bool) -> (String, &'static str, bool) {
    (group.to_owned(), reason.as_str(), firing)
}

#[test]
fn nothing_counts_before_it_is_on_disk() {
    let mut outbox = one();
    assert_eq!(outbox.offer(&fires("a", 1), at(1)), []);
    assert!(outbox.next(0, at(1), 10, false).jobs.is_empty());
    commit(&mut outbox);
    let jobs = outbox.next(0, at(1), 10, false).jobs;
    assert_eq!(jobs.len(), 1);
    outbox.offer(&ends("a", 1, 2), at(2));
    commit(&mut outbox);
    assert!(outbox.next(0, at(2), 10, false).jobs.is_empty(), "the first is on its way");
    outbox.delivered(0, &jobs[0], &[]);
    assert!(outbox.next(0, at(2), 10, false).jobs.is_empty(), "its delivery is not on disk");
    commit(&mut outbox);
    assert_eq!(outbox.next(0, at(2), 10, false).jobs.len(), 1);
}

#[test]
fn a_newer_one_takes_the_place_only_of_what_it_says_too() {
    let (first, end) = (NoticeReason::First, NoticeReason::AllResolved);
    let check = |notices: &[Arc<Notice>], expected: &[(NoticeReason, bool)]| {
        let mut outbox = one();
        for notice in notices {
            outbox.offer(notice, at(50));
        }
        let expected: Vec<_> = expected.iter().map(|(r, firing)| told("a", *r, *firing)).collect();
        assert_eq!(drain(&mut outbox, 0, 60), expected);
    };
    check(&[fires("a", 1), repeats("a", 1, 5), repeats("a", 1, 9)], &[(first, true)]);
    check(&[fires("a", 1), ends("a", 1, 5)], &[(first, true), (end, false)]);
    let again = [fires("a", 1), ends("a", 1, 5), fires("a", 7), ends("a", 7, 9)];
    check(&again, &[(first, true), (end, false), (first, true), (end, false)]);
    // The end of what nobody was told of is no news.
    check(&[ends("a", 1, 5)], &[]);
    let both = |to| vec![alert("a", 1, to), alert("b", 3, None)];
    let grown = group("a", first, both(None), 4);
    check(&[fires("a", 1), grown.clone()], &[(first, true)]);
    let half = group("a", first, both(Some(5)), 5);
    check(&[grown, half], &[(first, true), (first, true)]);
}

#[test]
fn repeats_take_the_place_of_repeats_and_make_room_first() {
    let mut outbox = one();
    outbox.offer(&fires("a", 1), at(1));
    assert_eq!(drain(&mut outbox, 0, 1).len(), 1);
    for n in 2..50 {
        outbox.offer(&repeats("a", 1, n), at(n));
    }
    assert_eq!(outbox.waiting(0).0, 1, "a heartbeat that cannot be delivered does not pile up");
    let mut lost = Vec::new();
    for n in 0..WAITING_MAX {
        lost.extend(outbox.offer(&fires(&format!("g{n}"), 60), at(60)));
    }
    assert_eq!(lost, [(0, Fate::Full)]);
    let all = drain(&mut outbox, 0, 61);
    assert_eq!((all.len(), all[0].0.as_str()), (WAITING_MAX, "g0"));
}

#[test]
fn what_fails_waits_and_the_receiver_is_asked_by_one_alone() {
    let mut outbox = one();
    for name in ["a", "b", "c"] {
        outbox.offer(&fires(name, 1), at(1));
    }
    commit(&mut outbox);
    let jobs = outbox.next(0, at(1), 2, false).jobs;
    assert_eq!(jobs.len(), 2);
    outbox.failed(0, &jobs[..1], at(1), (&QUICK, 0.5), Duration::ZERO);
    assert!(outbox.next(0, at(2), 2, false).jobs.is_empty(), "the other is on its way");
    outbox.failed(0, &jobs[1..], at(1), (&QUICK, 0.5), Duration::from_secs(5));
    let next = outbox.next(0, at(1), 2, false);
    assert_eq!((next.jobs.len(), next.wake_at), (0, Some(Duration::from_secs(6))));
    let next = outbox.next(0, at(6), 1, false);
    assert_eq!(next.jobs[0].notice.group_key, "c", "another tells more about the receiver");
    outbox.delivered(0, &next.jobs[0], &[]);
    assert_eq!(drain(&mut outbox, 0, 7).len(), 2);
}

#[test]
fn what_is_too_old_is_given_up() {
    let mut outbox = one();
    outbox.offer(&fires("a", 1), at(1));
    commit(&mut outbox);
    let next = outbox.next(0, at(1).plus(AGE_MAX), 1, false);
    assert_eq!((next.jobs.len(), next.fates), (0, vec![(0, Fate::Expired)]));
    assert_eq!(outbox.waiting(0).0, 0);
}

#[test]
fn the_fallback_gets_what_is_late_or_refused_and_its_end() {
    let lines = vec![line("hook", Some(1)), line("spare", None)];
    let mut outbox = Outbox::new(lines, Kept::default(), AGE_MAX, at(0));
    outbox.offer(&fires("late", 1), at(1));
    outbox.offer(&fires("refused", 1), at(1));
    outbox.offer(&fires("fine", 1), at(1));
    commit(&mut outbox);
    assert!(drain(&mut outbox, 1, 1).is_empty(), "a fallback is told of nothing by itself");
    let jobs = outbox.next(0, at(1), 10, false).jobs;
    let fates = outbox.refused(0, &jobs[1], at(1));
    assert_eq!(fates, [(0, Fate::HandedOver)]);
    outbox.delivered(0, &jobs[2], &[]);
    outbox.failed(0, &jobs[..1], at(1), (&QUICK, 0.5), Duration::ZERO);
    assert_eq!(drain(&mut outbox, 1, 2), [told("refused", NoticeReason::First, true)]);
    commit(&mut outbox);
    let jobs = outbox.next(0, at(101), 10, false).jobs;
    outbox.offer(&ends("late", 1, 101), at(101));
    outbox.failed(0, &jobs, at(101), (&QUICK, 0.5), Duration::ZERO);
    let (first, end) = (NoticeReason::First, NoticeReason::AllResolved);
    assert_eq!(drain(&mut outbox, 1, 102), [told("late", first, true), told("late", end, false)]);
    for name in ["refused", "fine"] {
        outbox.offer(&ends(name, 1, 103), at(103));
    }
    let own = [told("late", first, true), told("late", end, false), told("fine", end, false)];
    let mut had = drain(&mut outbox, 0, 200);
    had.sort_by_key(|(name, _, firing)| (name == "fine", !firing));
    assert_eq!(had, own);
    assert_eq!(drain(&mut outbox, 1, 201), [told("refused", end, false)], "told once");
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut outbox = one();
    outbox.offer(&fires("a", 1), at(1));
    outbox.offer(&fires("b", 1), at(1));
    commit(&mut outbox);
    let jobs = outbox.next(0, at(1), 1, false).jobs;
    outbox.delivered(0, &jobs[0], &[]);
    let told_of = Told { starts_at: at(1).wall };
    let labels = [("alertname".to_owned(), "a".to_owned())].into();
    let kept = Kept {
        waiting: vec![
            ("hook".to_owned(), 2, Notice::clone(&fires("b", 1))),
            ("gone".to_owned(), 3, Notice::clone(&fires("c", 1))),
        ],
        told: vec![("hook".to_owned(), fingerprint(&labels), told_of)],
    };
    let again = Moment { mono: Duration::from_secs(1), ..at(30) };
    let mut outbox = Outbox::new(vec![line("hook", None)], kept, AGE_MAX, again);
    assert_eq!(outbox.take_changes().0, [Change::Remove("gone".into(), 3)]);
    outbox.offer(&ends("a", 1, 31), again);
    let all = drain(&mut outbox, 0, 40);
    let (first, end) = (NoticeReason::First, NoticeReason::AllResolved);
    assert_eq!(all, [told("b", first, true), told("a", end, false)]);
}

/// What happens, one after another, to one receiver of three alerts.
#[derive(Debug, Clone)]
enum Step {
    /// The alert changes, or says so again.
    Turn(usize),
    Repeat(usize),
    /// The disk has everything.
    Commit,
    /// What is ready is taken up …
    Take,
    /// … and answered.
    Deliver,
    Fail,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..3).prop_map(Step::Turn),
        1 => (0_usize..3).prop_map(Step::Repeat),
        4 => Just(Step::Commit),
        4 => Just(Step::Take),
        4 => Just(Step::Deliver),
        2 => Just(Step::Fail),
        1 => Just(Step::Crash),
    ]
}

/// The machine and the disk around one outbox.
#[derive(Default)]
struct World {
    waiting: BTreeMap<u64, Notice>,
    told: BTreeMap<u64, Told>,
    /// Of each alert: since when it fires. What is not on disk is unsaid at a crash, as the machine
    /// that said it is back in its old state, too.
    firing: [Option<u64>; 3],
    saved: [Option<u64>; 3],
    fired: Vec<(String, Wall)>,
    fired_saved: usize,
    heard: Vec<(String, Wall, bool)>,
}

impl World {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put(_, seq, notice) => {
                    self.waiting.insert(seq, Notice::clone(&notice));
                }
                Change::Remove(_, seq) => drop(self.waiting.remove(&seq)),
                Change::Told(_, number, told) => drop(self.told.insert(number, told)),
                Change::Forget(_, number) => drop(self.told.remove(&number)),
            }
        }
        self.saved = self.firing;
        self.fired_saved = self.fired.len();
    }

    fn kept(&self) -> Kept {
        let name = || "hook".to_owned();
        Kept {
            waiting: self.waiting.iter().map(|(seq, n)| (name(), *seq, n.clone())).collect(),
            told: self.told.iter().map(|(number, told)| (name(), *number, told.clone())).collect(),
        }
    }

    fn turn(&mut self, index: usize, now: u64) -> Arc<Notice> {
        let name = format!("a{index}");
        match self.firing[index].take() {
            Some(from) => ends(&name, from, now),
            None => {
                self.firing[index] = Some(now);
                self.fired.push((name.clone(), at(now).wall));
                fires(&name, now)
            }
        }
    }

    fn hear(&mut self, notice: &Notice) {
        for alert in &notice.alerts {
            let firing = alert.state == AlertState::Firing;
            self.heard.push((notice.group_key.clone(), alert.starts_at, firing));
        }
    }

    /// Every incident: heard firing before its end, heard ended if it is over, and never firing
    /// after its end.
    fn check(&self) {
        for (name, starts_at) in &self.fired {
            let of = |(group, at, _): &&(String, Wall, bool)| group == name && at == starts_at;
            let heard: Vec<bool> = self.heard.iter().filter(of).map(|(_, _, f)| *f).collect();
            assert_eq!(heard.first(), Some(&true), "{name} {starts_at:?} {:?}", self.heard);
            assert_eq!(heard.last(), Some(&false), "{name} {starts_at:?} {:?}", self.heard);
            let end = heard.iter().position(|firing| !firing).unwrap_or(heard.len());
            assert!(heard[end..].iter().all(|firing| !firing), "{name} {starts_at:?} {heard:?}");
        }
    }
}

proptest! {
    #[test]
    fn every_alert_is_told_and_taken_back(steps in prop::collection::vec(step(), 1..120)) {
        let (mut world, mut outbox, mut jobs) = (World::default(), one(), Vec::<Job>::new());
        let mut now = 1;
        for step in steps {
            now += 1;
            match step {
                Step::Turn(index) => drop(outbox.offer(&world.turn(index, now), at(now))),
                Step::Repeat(index) => {
                    if let Some(from) = world.firing[index] {
                        outbox.offer(&repeats(&format!("a{index}"), from, now), at(now));
                    }
                }
                Step::Commit => {
                    let (changes, version) = outbox.take_changes();
                    world.apply(changes);
                    outbox.committed(version);
                }
                Step::Take => jobs.extend(outbox.next(0, at(now), 2, false).jobs),
                Step::Deliver => {
                    if let Some(job) = jobs.pop() {
                        world.hear(&job.notice);
                        outbox.delivered(0, &job, &[]);
                    }
                }
                Step::Fail => {
                    if let Some(job) = jobs.pop() {
                        outbox.failed(0, &[job], at(now), (&QUICK, 0.5), Duration::ZERO);
                    }
                }
                Step::Crash => {
                    jobs.clear();
                    world.firing = world.saved;
                    world.fired.truncate(world.fired_saved);
                    let lines = vec![line("hook", None)];
                    outbox = Outbox::new(lines, world.kept(), AGE_MAX, at(now));
                }
            }
        }
        for job in std::mem::take(&mut jobs) {
            outbox.failed(0, &[job], at(now), (&QUICK, 0.5), Duration::ZERO);
        }
        for index in 0..3 {
            if world.firing[index].is_some() {
                outbox.offer(&world.turn(index, now + 1), at(now + 1));
            }
        }
        for round in 0..1_000 {
            let (changes, version) = outbox.take_changes();
            world.apply(changes);
            outbox.committed(version);
            for job in outbox.next(0, at(now + 1_000 + round * 100), 2, false).jobs {
                world.hear(&job.notice);
                outbox.delivered(0, &job, &[]);
            }
            if outbox.waiting(0).0 == 0 {
                break;
            }
        }
        world.check();
        prop_assert_eq!(outbox.waiting(0).0, 0);
    }
}
