//! Owns the rules broken on purpose: each with a kind of history in which the truth test must notice.
//! Not here are rules whose loss leaves the status right (they differ in reason and evidence only),
//! and those of shards that nobody has read: `domain::lag` has tests of those.

use crate::plan::{Happening, Kind, Plan, Start};
use crate::run::{Report, run};
use kinescope::domain::lag::{Rule, Tuning};
use std::time::Duration;

/// A rule broken on purpose.
struct Broken {
    name: &'static str,
    kinds: &'static [Kind],
    world: fn(&mut Plan),
    tuning: fn(&mut Tuning),
}

const HISTORIES: u64 = 4;

/// By so much less of a status agrees where a rule is broken.
const NOTICED: f64 = 0.02;

fn any(_: &mut Plan) {}

fn alone(plan: &mut Plan) {
    (plan.hears_others, plan.has_leases) = (false, false);
    (plan.shards, plan.pods) = (4, 2);
}

/// Shards go to and fro between a pod with a sidecar and one without, and the lease table tells.
pub(crate) fn past(plan: &mut Plan) {
    (plan.past, plan.has_leases, plan.closes) = (true, true, false);
    (plan.pods, plan.shards, plan.interval, plan.lasts) = (2, 3, 1_000, 420_000);
    (plan.start, plan.retention) = (Start::Latest, 86_400_000);
}

fn near_the_limit(plan: &mut Plan) {
    (plan.retention, plan.start, plan.interval) = (600_000, Start::Ago(570_000), 1_000);
    plan.speed = 0.3;
}

/// The application dies in a quiet night, and comes back.
fn dies_at_night(plan: &mut Plan) {
    (plan.sees_puts, plan.pods) = (true, 1);
    let kinds = [(60_000, Kind::Quiet, 150_000), (180_000, Kind::Kill, 100_000)];
    plan.happenings = happenings(&kinds, 13);
}

/// It dies now and again for less than a pause.
fn dies_shortly(plan: &mut Plan) {
    (plan.closes, plan.pods, plan.interval) = (false, 1, 1_000);
    let kinds = [60_000, 120_000, 180_000, 240_000].map(|at| (at, Kind::Kill, 25_000));
    plan.happenings = happenings(&kinds, 13);
}

/// It works half as fast as records come, for half a minute of lag.
fn slow_by_little(plan: &mut Plan) {
    (plan.start, plan.pods, plan.interval) = (Start::Latest, 1, 1_000);
    plan.happenings = happenings(&[(60_000, Kind::Slow, 60_000)], 11);
}

/// It polls seldom, falls behind for two minutes, and gets that back over more.
fn recovers_slowly(plan: &mut Plan) {
    (plan.start, plan.pods, plan.interval, plan.speed) = (Start::Latest, 1, 10_000, 1.3);
    plan.happenings = happenings(&[(60_000, Kind::Slow, 120_000)], 11);
}

/// It keeps a distance of less than a poll interval.
fn one_poll_behind(plan: &mut Plan) {
    (plan.start, plan.speed, plan.rate, plan.interval) = (Start::Ago(8_000), 1.0, 8.0, 10_000);
    plan.happenings = Vec::new();
}

fn happenings(of: &[(u64, Kind, u64)], choice: u64) -> Vec<Happening> {
    of.iter()
        .map(|(at, kind, lasts)| Happening { at: *at, kind: *kind, lasts: *lasts, choice })
        .collect()
}

const fn without(tuning: &mut Tuning, rule: Rule) {
    tuning.without = Some(rule);
}

const SECOND: Duration = Duration::from_secs(1);

#[rustfmt::skip]
const BROKEN: &[Broken] = &[
    Broken { name: "another reader's shard", kinds: &[Kind::Move], world: |plan| (plan.hears_others, plan.shards, plan.pods) = (true, 2, 2), tuning: |it| without(it, Rule::HeldElsewhere) },
    Broken { name: "shards left for others", kinds: &[Kind::Move], world: alone, tuning: |it| without(it, Rule::LeftForOthers) },
    Broken { name: "a reader without a sidecar", kinds: &[Kind::Move], world: past, tuning: |it| without(it, Rule::HeldElsewhere) },
    Broken { name: "dead at the tip", kinds: &[Kind::Kill], world: dies_at_night, tuning: |it| without(it, Rule::NothingUnread) },
    Broken { name: "expired while nobody read", kinds: &[Kind::Hang], world: near_the_limit, tuning: |it| without(it, Rule::ExpiredUnread) },
    Broken { name: "closed connections", kinds: &[Kind::Kill], world: dies_shortly, tuning: |it| without(it, Rule::Disconnected) },
    Broken { name: "expired leases", kinds: &[Kind::Kill], world: |plan| (plan.closes, plan.has_leases, plan.interval) = (true, true, 1_000), tuning: |it| without(it, Rule::LeaseExpired) },
    Broken { name: "silence", kinds: &[Kind::Hang], world: any, tuning: |it| without(it, Rule::Silent) },
    Broken { name: "failing reads", kinds: &[Kind::Throttle], world: any, tuning: |it| without(it, Rule::ReadsFail) },
    Broken { name: "untold lag", kinds: &[Kind::Withhold], world: any, tuning: |it| without(it, Rule::LagUnknown) },
    Broken { name: "the limit", kinds: &[Kind::Merge], world: near_the_limit, tuning: |it| without(it, Rule::AtTheLimit) },
    Broken { name: "the same place", kinds: &[Kind::Stick], world: any, tuning: |it| without(it, Rule::HoldsStill) },
    Broken { name: "growth", kinds: &[Kind::Slow], world: any, tuning: |it| without(it, Rule::Grows) },
    Broken { name: "going back", kinds: &[Kind::Rewind], world: any, tuning: |it| without(it, Rule::WentBack) },
    Broken { name: "quiet", kinds: &[Kind::Quiet], world: any, tuning: |it| without(it, Rule::NothingArrives) },
    Broken { name: "a wide dead band", kinds: &[Kind::Slow], world: any, tuning: |it| it.dead_band = 0.5 },
    Broken { name: "no dead band", kinds: &[Kind::Rewind], world: any, tuning: |it| it.dead_band = -0.6 },
    Broken { name: "a long slope", kinds: &[Kind::Slow], world: recovers_slowly, tuning: |it| it.slope_span = 600 * SECOND },
    Broken { name: "much lag allowed", kinds: &[Kind::Slow], world: slow_by_little, tuning: |it| it.lag_allowed = 60 * SECOND },
    Broken { name: "polls forgotten", kinds: &[Kind::Pause], world: one_poll_behind, tuning: |it| it.lag_polls = 0 },
    Broken { name: "late quiet", kinds: &[Kind::Quiet], world: any, tuning: |it| it.idle_after = 600 * SECOND },
    Broken { name: "short pauses", kinds: &[Kind::Pause], world: any, tuning: |it| it.pause_max = 5 * SECOND },
    Broken { name: "long pauses", kinds: &[Kind::Hang], world: any, tuning: |it| it.pause_max = 250 * SECOND },
    Broken { name: "patience", kinds: &[Kind::Kill], world: any, tuning: |it| it.silence_min = 60 * SECOND },
    Broken { name: "late stalls", kinds: &[Kind::Stick], world: any, tuning: |it| it.stall_span = 120 * SECOND },
    Broken { name: "short memory of rewinds", kinds: &[Kind::Rewind], world: any, tuning: |it| it.rewind_life = 5 * SECOND },
];

fn lived(broken: &Broken, tuning: Tuning) -> Report {
    let mut report = Report::default();
    for seed in 0..HISTORIES {
        let mut plan = Plan::of(1_000 + seed, broken.kinds);
        plan.lasts = 420_000;
        (broken.world)(&mut plan);
        report.add(run(plan, tuning));
    }
    report
}

/// What differs, if it is enough to be noticed.
fn noticed(well: &Report, ill: &Report) -> Option<String> {
    if ill.slanders > 0 {
        return Some(format!("{} slanders", ill.slanders));
    }
    let share = |(all, agreed): (u64, u64)| agreed as f64 / all.max(1) as f64;
    well.by_status.iter().find_map(|(status, counts)| {
        let (well, ill) = (share(*counts), share(*ill.by_status.get(status)?));
        (well - ill > NOTICED).then(|| format!("{status} {well:.3} to {ill:.3}"))
    })
}

#[test]
fn a_broken_rule_is_noticed() {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let unnoticed = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(broken) =
                    BROKEN.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let mut tuning = Tuning::default();
                    (broken.tuning)(&mut tuning);
                    let (well, ill) = (lived(broken, Tuning::default()), lived(broken, tuning));
                    assert_eq!(well.slanders, 0, "{}: {:?}", broken.name, well.wrong);
                    match noticed(&well, &ill) {
                        Some(how) => println!("{}: {how}", broken.name),
                        None => unnoticed.lock().unwrap().push(format!(
                            "{}: {:?} against {:?}",
                            broken.name, well.by_status, ill.by_status
                        )),
                    }
                }
            });
        }
    });
    let unnoticed = unnoticed.into_inner().unwrap();
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}
