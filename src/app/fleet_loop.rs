//! Owns the one task that owns what spans told: recent traces, sagas, KCL's own lag. Takes them from
//! this process and from the OTLP receiver, and answers who asks. Refuses to work on the thread that
//! carries the application's traffic, and to wait for anybody else's queue.

use crate::app::fleet_metrics::{Figures, FleetMetrics};
use crate::domain::fleet::{Fleet, FleetLimits, saga_steps};
use crate::domain::observation::Word;
use crate::domain::saga::{SagaLimits, SagaWords, Sagas};
use crate::domain::time::Moment;
use crate::domain::trace::{Flags, Span};
use crate::io::admin::{Asked, Question};
use crate::io::clock::Clock;
use crate::io::hub::{Arrival, Inbox};
use crate::io::otlp::{Queue, RelaySink, SpanSink};
use crate::wire::otlp_receive::ServiceSpan;
use crate::wire::status::{Role, page, traces};
use prometheus::IntCounter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// After the first span more may come: one turn of another thread for all of them, and nobody looks
/// at a trace sooner.
const GATHER: Duration = Duration::from_millis(100);
/// Spans of our own in one turn.
const SPANS_MAX: usize = 2_048;
/// Requests of others in one turn.
const ARRIVALS_MAX: usize = 16;
/// How often the gauges are reckoned anew where something changed: it takes a look at every saga.
const GAUGES_EVERY: Duration = Duration::from_secs(2);

/// How much a process remembers.
#[derive(Debug, Clone, Copy)]
pub struct FleetBounds {
    /// Of traces.
    pub traces: FleetLimits,
    /// Of sagas.
    pub sagas: SagaLimits,
}

impl FleetBounds {
    /// An entry of a trace, and a saga with the steps that most have, in bytes.
    const ENTRY_BYTES: usize = 200;
    const SAGA_BYTES: usize = 1_024;

    /// What is remembered at most, in bytes.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        let entries = self.traces.entries_max.saturating_mul(Self::ENTRY_BYTES);
        entries.saturating_add(self.sagas.runs_max.saturating_mul(Self::SAGA_BYTES))
    }

    /// A hub remembers for all; a sidecar for one pod, in a fifth of the memory.
    #[must_use]
    pub fn of(role: Role) -> Self {
        let (traces, sagas) = (FleetLimits::default(), SagaLimits::default());
        match role {
            Role::Hub | Role::All => Self { traces, sagas },
            Role::Sidecar => Self {
                traces: FleetLimits {
                    traces_max: 200,
                    entries_max: 8_192,
                    entries_per_trace_max: 2_048,
                    recent_spans_max: 4_096,
                    edges_max: 1_024,
                },
                sagas: SagaLimits { runs_max: 1_000, ..sagas },
            },
        }
    }
}

/// The task, with what it is fed by and where it hands things on.
#[derive(Debug)]
pub struct FleetLoop {
    /// Whose spans our own are.
    pub service: Arc<str>,
    /// For whom the answers speak.
    pub role: Role,
    /// How much is remembered.
    pub bounds: FleetBounds,
    /// Both clocks.
    pub clock: Clock,
    /// Our own spans.
    pub own: Queue,
    /// What others sent.
    pub inbox: Inbox,
    /// Who wants to know.
    pub asks: mpsc::Receiver<Asked>,
    /// To the hub, where there is one: what the application says of itself is told there, too.
    pub hub: SpanSink,
    /// To the collector: what arrived, as it came.
    pub relay: Option<RelaySink>,
    /// To the engine: what sidecars told, where this is a hub.
    pub reports: Option<ReportSink>,
    /// The figures.
    pub metrics: FleetMetrics,
}

/// Where reports of sidecars are left for the engine. Policy: a full queue drops the new one, which
/// the next one makes good, and counts it.
#[derive(Debug)]
pub struct ReportSink {
    /// The queue.
    pub queue: mpsc::Sender<Word>,
    /// `kinescope_dropped_total{queue="hub_reports",reason="full"}`.
    pub full: IntCounter,
}

/// What is remembered. It wanders to another thread and back for each turn.
#[derive(Debug)]
struct Known {
    role: Role,
    service: Arc<str>,
    fleet: Fleet,
    sagas: Sagas,
    figures: Figures,
}

/// One turn's work.
#[derive(Default)]
struct Turn {
    own: Vec<Arc<Span>>,
    arrived: Vec<Arrival>,
    ask: Option<Asked>,
    gauges: bool,
}

impl FleetLoop {
    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut known = self.nothing();
        let (mut spans_at, mut gauges_at) = (None, None);
        loop {
            let due = [known.sagas.wake_at(), spans_at, gauges_at].into_iter().flatten().min();
            let woken = async {
                match due {
                    Some(mono) => self.clock.sleep_until(mono).await,
                    None => std::future::pending().await,
                }
            };
            let mut turn = Turn::default();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(ask) = self.asks.recv() => turn.ask = Some(ask),
                Some(arrival) = self.inbox.recv() => turn.arrived.push(arrival),
                () = woken => {}
                () = self.own.ready(), if spans_at.is_none() => {
                    spans_at = Some(self.clock.now().mono.saturating_add(GATHER));
                    continue;
                }
            }
            turn.own = self.own.taken(SPANS_MAX);
            while turn.arrived.len() < ARRIVALS_MAX
                && let Ok(arrival) = self.inbox.try_recv()
            {
                turn.arrived.push(arrival);
            }
            let now = self.clock.now();
            // A full turn left something behind.
            spans_at = (turn.own.len() == SPANS_MAX).then_some(now.mono);
            turn.arrived.iter_mut().for_each(|arrival| self.hand_on(arrival));
            turn.gauges = gauges_at.is_some_and(|at| at <= now.mono);
            let changed = !turn.own.is_empty() || !turn.arrived.is_empty();
            let ticked = known.sagas.wake_at().is_some_and(|at| at <= now.mono);
            gauges_at = gauges_at.filter(|_| !turn.gauges);
            if changed || ticked || known.figures.age() {
                gauges_at = gauges_at.or(Some(now.mono.saturating_add(GAUGES_EVERY)));
            }
            let work = move || {
                known.take(turn, now);
                known
            };
            known = tokio::task::spawn_blocking(work).await.unwrap_or_else(|_panicked| {
                tracing::error!("our own bug: recent traces and sagas are forgotten");
                self.nothing()
            });
        }
    }

    fn nothing(&self) -> Known {
        Known {
            role: self.role,
            service: self.service.clone(),
            fleet: Fleet::new(self.bounds.traces),
            sagas: Sagas::new(SagaWords::default(), self.bounds.sagas),
            figures: Figures::new(self.metrics.clone()),
        }
    }

    /// Reports to the engine, the whole request to the collector, and the application's own spans about Kinesis to the hub.
    fn hand_on(&self, arrival: &mut Arrival) {
        let reports = std::mem::take(&mut arrival.reports);
        if let Some(sink) = &self.reports {
            let hung_up = arrival.hung_up.take().map(Word::HungUp);
            for word in reports.into_iter().map(Word::Report).chain(hung_up) {
                if sink.queue.try_send(word).is_err() {
                    sink.full.inc();
                }
            }
        }
        if let Some((relay, body)) = self.relay.as_ref().zip(arrival.forward.take()) {
            relay.offer(arrival.signal, body);
        }
        if !self.hub.is_on() {
            return;
        }
        // Another service's name would be lost on the way: the hub knows a span by who sent it.
        let ours = arrival.spans.iter().filter(|told| *told.service == *self.service);
        for ServiceSpan { span, .. } in ours {
            let mut span = span.clone();
            // An exporter sends what is sampled; not all of them send the flag.
            span.context.flags = Flags::new(span.context.flags.byte()).with_sampled(true);
            self.hub.offer(span);
        }
    }
}

impl Known {
    fn take(&mut self, turn: Turn, now: Moment) {
        let service = self.service.clone();
        turn.own.iter().for_each(|span| self.span(&service, span, now));
        for arrival in &turn.arrived {
            arrival.spans.iter().for_each(|told| self.span(&told.service, &told.span, now));
            self.figures.lags(&arrival.lags, now);
        }
        let ended = self.sagas.tick(now);
        self.figures.ended(&ended);
        self.figures.forgotten(self.fleet.forgotten(), self.sagas.forgotten());
        if turn.gauges {
            self.figures.gauges(&self.sagas.counts(now), now);
        }
        if let Some((question, answer)) = turn.ask {
            // The one who asked may have left.
            let _ = answer.send(self.answer(&question, now));
        }
    }

    fn span(&mut self, service: &Arc<str>, span: &Span, now: Moment) {
        self.fleet.take(service, span, now);
        for step in saga_steps(service, span) {
            self.sagas.take(step, now);
        }
    }

    fn answer(&self, question: &Question, now: Moment) -> Vec<u8> {
        match question {
            Question::Traces(query) => traces::json(&self.fleet, query, self.role, now),
            Question::Sagas(query) => traces::sagas_json(&self.sagas, *query, self.role, now),
            // Empty where the template fails, which nothing that is remembered should cause.
            Question::Page => {
                let html = page::fleet::html(&self.fleet, &self.sagas, self.role, now);
                html.unwrap_or_default().into_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fleet::{Query, SYSTEM, attribute};
    use crate::domain::time::Wall;
    use crate::domain::trace::{Attribute, Kind, Status, TraceContext, TraceState};
    use crate::io::admin::FleetSource;
    use crate::io::otlp::{self, Metrics};
    use prometheus::{IntCounterVec, Opts, Registry};
    use tokio::task::JoinSet;

    struct Rig {
        own: SpanSink,
        source: FleetSource,
        registry: Registry,
        clock: Clock,
        stop: CancellationToken,
        tasks: JoinSet<()>,
    }

    fn rig() -> Rig {
        let (registry, clock) = (Registry::new(), Clock::simulated(Wall::from_ms(1_000)));
        let labels = ["queue", "reason"];
        let dropped = IntCounterVec::new(Opts::new("d", "d"), &labels).unwrap();
        let (own, queue) = otlp::queue(Metrics::remembered(&dropped).unwrap(), 1);
        let (asks, asked) = mpsc::channel(1);
        let fleet = FleetLoop {
            service: "shop".into(),
            role: Role::Sidecar,
            bounds: FleetBounds::of(Role::Sidecar),
            clock: clock.clone(),
            own: queue,
            inbox: mpsc::channel(1).1,
            asks: asked,
            hub: SpanSink::off(),
            relay: None,
            reports: None,
            metrics: FleetMetrics::register(&registry, "eu-west-1", true).unwrap(),
        };
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(fleet.run(stop.clone()));
        Rig { own, source: FleetSource(asks), registry, clock, stop, tasks }
    }

    fn send(saga: &str, step: &str, clock: &Clock) -> Span {
        let text = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
        let attributes: Vec<Attribute> = vec![
            (attribute::SYSTEM, SYSTEM.into()),
            (attribute::OPERATION, "send".into()),
            (attribute::STREAM, "orders".into()),
            (attribute::SAGA_ID, saga.to_owned().into()),
            (attribute::EVENT_TYPE, step.to_owned().into()),
        ];
        Span {
            name: "send orders".into(),
            kind: Kind::Producer,
            context: TraceContext::parse(text).unwrap(),
            tracestate: TraceState::default(),
            parent: None,
            start: clock.now().wall,
            end: clock.now().wall,
            attributes,
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    const ALL: Query =
        Query { trace_id: None, event_type: None, stream: None, slower_than: None, limit: 9 };

    async fn told(rig: &Rig, question: Question) -> serde_json::Value {
        serde_json::from_slice(&rig.source.ask(question).await.unwrap()).unwrap()
    }

    /// Whoever asks is told of all that was left before, without waiting for others.
    #[tokio::test(start_paused = true)]
    async fn what_was_left_is_told() {
        let mut rig = rig();
        rig.own.offer(send("s1", "PAY", &rig.clock));
        let traces = told(&rig, Question::Traces(ALL)).await;
        assert_eq!(traces["traces"][0]["hops"][0]["producer"]["service"], "shop");
        let sagas = told(&rig, Question::Sagas((None, 9))).await;
        assert_eq!(sagas["sagas"][0]["state"], "running");
        rig.stop.cancel();
        assert!(rig.tasks.join_next().await.is_some_and(|ended| ended.is_ok()));
    }

    /// A saga that falls silent is a figure without anybody asking.
    #[tokio::test(start_paused = true)]
    async fn a_silent_saga_becomes_stuck() {
        let rig = rig();
        let stuck = || {
            let text = prometheus::TextEncoder::new().encode_to_string(&rig.registry.gather());
            text.unwrap()
                .contains("kinesis_sagas{region=\"eu-west-1\",saga=\"PAY\",state=\"stuck\"} 1")
        };
        rig.own.offer(send("s1", "PAY", &rig.clock));
        tokio::time::sleep(Duration::from_secs(290)).await;
        assert!(!stuck());
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert!(stuck());
    }
}
