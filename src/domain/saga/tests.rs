//! Tests of sagas: one table of runs and what they come to, then ids, times and bounds.

use super::*;
use crate::domain::time::Moment;
use proptest::prelude::*;

fn at(seconds: u64) -> Moment {
    Moment { wall: Wall::from_ms(1_700_000_000_000), mono: Duration::ZERO }
        .plus(Duration::from_secs(seconds))
}

fn id(text: &str) -> SagaId {
    SagaId::told(text).unwrap()
}

fn step(saga: &str, name: &str, second: u64) -> SagaStep {
    SagaStep {
        saga_id: id(saga),
        step: name.into(),
        service: "saga".into(),
        stream: Some("commands".into()),
        at: at(second).wall,
        trace: None,
    }
}

fn sagas() -> Sagas {
    Sagas::new(SagaWords::default(), SagaLimits::default())
}

/// Steps a second apart, as `RESERVE INVENTORY` without the underscore would be too long to read.
fn run(steps: &str) -> Sagas {
    let mut sagas = sagas();
    for (second, name) in steps.split_whitespace().enumerate() {
        let second = second as u64;
        sagas.take(step("a", name, second), at(second));
    }
    sagas
}

#[test]
fn outcomes() {
    use SagaState::{Compensated, Compensating, Completed, Running, Stuck, Unknown};
    // Soon after the last step, and six minutes later.
    let check = |steps: &str, soon, later| {
        let sagas = run(steps);
        let state = |seconds| sagas.views(None, 1, at(seconds))[0].state;
        assert_eq!((state(10), state(400)), (soon, later), "{steps}");
    };
    check("RESERVE_INVENTORY", Running, Stuck);
    check("RESERVE_INVENTORY PROCESS_PAYMENT", Running, Stuck);
    check("RESERVE_INVENTORY PROCESS_PAYMENT SHIP_ORDER", Completed, Completed);
    check("ORDER_CREATED ORDER_COMPLETED", Completed, Completed);
    check("RESERVE_INVENTORY PROCESS_PAYMENT RELEASE_INVENTORY", Compensated, Compensated);
    let unshipped = "RESERVE_INVENTORY PROCESS_PAYMENT SHIP_ORDER REFUND_PAYMENT";
    check(unshipped, Compensating, Stuck);
    check(&format!("{unshipped} RELEASE_INVENTORY"), Compensated, Compensated);
    check("CREATE_ORDER CANCEL_ORDER", Compensated, Compensated);
    check("BOOK_CAR COMPENSATE_BOOK_CAR", Compensated, Compensated);
    // Events tell what the commands came to.
    let failed = "RESERVE_INVENTORY INVENTORY_RESERVED PROCESS_PAYMENT PAYMENT_FAILED";
    check(failed, Running, Stuck);
    check(&format!("{failed} RELEASE_INVENTORY INVENTORY_RELEASED"), Compensated, Compensated);
    check("RESERVE_INVENTORY SHIP_ORDER ORDER_SHIPPED", Completed, Completed);
    check("ORDER_CREATED INVENTORY_RESERVED", Running, Stuck);
    // The way there was not seen, or only in part.
    check("REFUND_PAYMENT", Compensating, Unknown);
    check("RESERVE_INVENTORY REFUND_PAYMENT", Compensating, Unknown);
    check("RESERVE_INVENTORY PROCESS_PAYMENT CANCEL_EVERYTHING", Compensating, Unknown);
}

#[test]
fn what_is_told_of_an_ended_saga_begins_no_other() {
    let runs = |steps: &str| run(steps).views(None, 9, at(60)).len();
    assert_eq!(runs("RESERVE_INVENTORY SHIP_ORDER ORDER_SHIPPED"), 1);
    assert_eq!(runs("RESERVE_INVENTORY SHIP_ORDER RESERVE_INVENTORY"), 2);
    assert_eq!(runs("RESERVE_INVENTORY SHIP_ORDER ORDER_COMPLETED"), 1);
    assert_eq!(runs("SHIP_ORDER SHIP_ORDER"), 2);
}

#[test]
fn an_end_is_told_once_and_when_it_has_settled() {
    let mut sagas = run("RESERVE_INVENTORY PROCESS_PAYMENT SHIP_ORDER");
    assert_eq!(sagas.wake_at(), Some(at(32).mono));
    assert_eq!(sagas.tick(at(31)), []);
    let ended = Ended {
        saga_id: id("a"),
        name: "RESERVE_INVENTORY".into(),
        state: SagaState::Completed,
        duration: Some(Duration::from_secs(2)),
    };
    assert_eq!(sagas.tick(at(32)), [ended]);
    assert_eq!((sagas.tick(at(900)), sagas.wake_at()), (vec![], Some(at(86_402).mono)));
}

#[test]
fn a_day_of_silence_ends_what_an_alert_would_go_on_about() {
    let mut sagas = run("RESERVE_INVENTORY");
    sagas.take(step("b", "SHIP_ORDER", 1), at(1));
    assert_eq!(sagas.tick(at(400)).len(), 2);
    let stuck = ("RESERVE_INVENTORY".into(), SagaState::Stuck);
    assert_eq!((sagas.tick(at(86_399)).len(), sagas.counts(at(86_399)).get(&stuck)), (0, Some(&1)));
    assert_eq!(sagas.tick(at(86_401)), []);
    let SagaForgotten { ended, open, steps } = sagas.forgotten();
    assert_eq!((ended, open, steps), (1, 1, 0));
    assert_eq!((sagas.views(None, 9, at(86_401)), sagas.wake_at()), (vec![], None));
}

#[test]
fn a_compensation_after_an_end_goes_on_with_the_run() {
    let mut sagas = run("RESERVE_INVENTORY PROCESS_PAYMENT SHIP_ORDER");
    sagas.take(step("a", "REFUND_PAYMENT", 20), at(20));
    sagas.take(step("a", "RELEASE_INVENTORY", 21), at(21));
    let ended = sagas.tick(at(60));
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].state, SagaState::Compensated);
    assert_eq!(ended[0].duration, Some(Duration::from_secs(21)));
}

#[test]
fn a_stuck_saga_is_told_and_may_go_on() {
    let mut sagas = run("RESERVE_INVENTORY");
    let [stuck] = &sagas.tick(at(300))[..] else { panic!("one saga is stuck") };
    assert_eq!((stuck.state, stuck.duration), (SagaState::Stuck, None));
    sagas.take(step("a", "SHIP_ORDER", 310), at(310));
    assert_eq!(sagas.tick(at(340))[0].state, SagaState::Completed);
}

#[test]
fn an_id_used_again_after_an_end_is_another_run() {
    let mut sagas = run("RESERVE_INVENTORY SHIP_ORDER");
    sagas.take(step("a", "RESERVE_INVENTORY", 50), at(50));
    let runs: Vec<(u64, SagaState)> =
        sagas.views(None, 9, at(51)).iter().map(|view| (view.run, view.state)).collect();
    assert_eq!(runs, [(2, SagaState::Running), (1, SagaState::Completed)]);
    // A replay of the first run's step is no step of the second, and a late one is none either.
    sagas.take(step("a", "RESERVE_INVENTORY", 0), at(60));
    sagas.take(step("a", "PROCESS_PAYMENT", 50), at(60));
    let views = sagas.views(None, 9, at(61));
    assert_eq!(views.iter().map(|view| view.steps.len()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_step_seen_by_many_is_one_and_a_replay_breaks_no_silence() {
    let mut sagas = run("RESERVE_INVENTORY");
    let seen =
        |service: &str| SagaStep { service: service.into(), ..step("a", "RESERVE_INVENTORY", 0) };
    sagas.take(seen("stock"), at(250));
    sagas.take(seen("audit"), at(251));
    let [view] = &sagas.views(None, 9, at(300))[..] else { panic!("one saga") };
    let services: Vec<&str> = view.steps[0].services.iter().map(|name| &**name).collect();
    assert_eq!((services, view.state), (vec!["audit", "saga", "stock"], SagaState::Stuck));
}

#[test]
fn steps_of_one_name_are_told_apart_by_their_context() {
    let context = |span: u8| {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033{span:02x}-01");
        TraceContext::parse(text.as_bytes())
    };
    let seen =
        |span, second| SagaStep { trace: context(span), ..step("a", "PROCESS_PAYMENT", second) };
    let mut sagas = sagas();
    for (span, second) in [(1, 3), (2, 2), (1, 1), (1, 4)] {
        sagas.take(seen(span, second), at(second));
    }
    let steps = &sagas.views(None, 1, at(9))[0].steps;
    // The earliest sighting is the nearest to the put.
    let times: Vec<Wall> = steps.iter().map(|step| step.at).collect();
    assert_eq!(times, [at(1).wall, at(2).wall]);
}

#[test]
fn ended_runs_are_forgotten_first_and_what_goes_is_counted() {
    let limits = SagaLimits { runs_max: 2, steps_max: 3, ..SagaLimits::default() };
    let mut sagas = Sagas::new(SagaWords::default(), limits);
    for (saga, name) in
        [("a", "RESERVE_X"), ("b", "SHIP_ORDER"), ("c", "RESERVE_X"), ("d", "RESERVE_X")]
    {
        sagas.take(step(saga, name, 0), at(0));
    }
    let left: Vec<String> =
        sagas.views(None, 9, at(1)).iter().map(|view| view.saga_id.as_str().into()).collect();
    assert_eq!(left, ["c", "d"]);
    assert_eq!(sagas.forgotten(), SagaForgotten { ended: 1, open: 1, steps: 0 });
    for second in 1..5 {
        sagas.take(step("d", "PROCESS_X", second), at(second));
    }
    let view = &sagas.views(None, 1, at(9))[0];
    let times: Vec<Wall> = view.steps.iter().map(|step| step.at).collect();
    assert_eq!((times, view.cut), (vec![at(0).wall, at(3).wall, at(4).wall], true));
    assert_eq!(sagas.forgotten().steps, 2);
}

#[test]
fn an_id_leaves_as_a_hash_that_only_the_key_gives() {
    let hash = |id, key| SagaId::hashed(id, &[key; 32]).map(|id| id.as_str().to_owned());
    let of = hash("saga-000001", 7).unwrap();
    assert_eq!((of.len(), &of[..1]), (17, "#"));
    assert!(!of.contains("000001"));
    assert_eq!(hash("saga-000001", 7), Some(of.clone()));
    assert_ne!(hash("saga-000001", 8), Some(of.clone()));
    assert_ne!(hash("saga-000002", 7), Some(of));
    assert_eq!((hash("", 7), hash(&"x".repeat(129), 7)), (None, None));
}

proptest! {
    /// Whatever comes, the bound holds, every run is counted or forgotten, and steps stay in order.
    #[test]
    fn bounds(taken in prop::collection::vec((0_u8..6, 0_usize..5, 0_u64..900), 0..200)) {
        let names = ["RESERVE_A", "PROCESS_B", "SHIP_ORDER", "RELEASE_A", "REFUND_B"];
        let limits = SagaLimits { runs_max: 4, steps_max: 5, ..SagaLimits::default() };
        let mut sagas = Sagas::new(SagaWords::default(), limits);
        let mut now = 0;
        for (saga, name, second) in taken {
            now += 1;
            sagas.take(step(&saga.to_string(), names[name], second), at(now));
            sagas.tick(at(now));
            let views = sagas.views(None, 100, at(now));
            prop_assert!(views.len() <= 4);
            prop_assert!(views.iter().all(|view| view.steps.len() <= 5));
            prop_assert!(views.iter().all(|view| view.steps.is_sorted_by_key(|step| step.at)));
            prop_assert_eq!(sagas.counts(at(now)).values().sum::<u64>(), views.len() as u64);
        }
    }

    /// One run's steps give the same view in any order of arrival.
    #[test]
    fn order_does_not_matter(order in Just((0_usize..5).collect::<Vec<_>>()).prop_shuffle()) {
        let names = ["RESERVE_A", "PROCESS_B", "SHIP_C", "REFUND_B", "RELEASE_A"];
        let mut sagas = sagas();
        for index in order {
            sagas.take(step("a", names[index], index as u64), at(10));
        }
        let [view] = &sagas.views(None, 9, at(20))[..] else { panic!("one saga") };
        prop_assert_eq!(view.state, SagaState::Compensated);
        prop_assert_eq!(view.duration, Some(Duration::from_secs(4)));
        prop_assert_eq!(&*view.name, "RESERVE_A");
    }
}
