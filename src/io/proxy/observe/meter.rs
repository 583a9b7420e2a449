//! Owns what the observer tells the messaging metrics: each call once, its records by what became of
//! them. Refuses queues: their `messaging.system` is not Kinesis'.

use super::super::exchange::{Exchange, PutFacts};
use super::super::spans::{Call, Ending, address};
use super::Observer;
use crate::domain::stream::StreamName;
use crate::io::otlp::Ended;
use crate::wire::kinesis::outcome::PutOutcome;
use std::time::Duration;

impl Observer {
    /// A put that failed in part is one call, with the first error; its records are counted under
    /// their own.
    pub(super) fn meter_put(
        &self,
        exchange: &Exchange,
        put: &PutFacts,
        ending: &Ending,
        outcome: &PutOutcome,
    ) {
        if !self.otlp.is_on() {
            return;
        }
        let tell = |records: usize, duration: Option<Duration>, error: Option<&str>| {
            let (stream, records) = (put.stream.as_ref(), records as u64);
            let server = Some(address(&exchange.server));
            self.otlp.record_send(Ended { stream, server, records, duration, error });
        };
        let took = Some(exchange.ended.since(exchange.started));
        let answered = outcome.stored.len() + outcome.failed.len();
        let records = if answered > 0 { answered } else { put.verdicts.len() };
        if ending.error.is_some() || outcome.failed.is_empty() {
            return tell(records, took, ending.error.as_deref());
        }
        if !outcome.stored.is_empty() {
            tell(outcome.stored.len(), None, None);
        }
        for (nth, (_, code)) in outcome.failed.iter().enumerate() {
            tell(1, took.filter(|_| nth == 0), Some(code));
        }
    }

    pub(super) fn meter_read(
        &self,
        exchange: &Exchange,
        stream: Option<&StreamName>,
        records: usize,
        ending: &Ending,
    ) {
        let call = Call::of(exchange);
        let took = Some(exchange.ended.since(exchange.started));
        self.meter_delivered(&call, stream, records, (took, ending.error.as_deref()));
    }

    /// What a subscription brings is delivered without a call.
    pub(super) fn meter_pushed(
        &self,
        call: &Call<'_>,
        stream: Option<&StreamName>,
        records: usize,
    ) {
        self.meter_delivered(call, stream, records, (None, None));
    }

    fn meter_delivered(
        &self,
        call: &Call<'_>,
        stream: Option<&StreamName>,
        records: usize,
        (duration, error): (Option<Duration>, Option<&str>),
    ) {
        let (server, records) = (Some(address(call.server)), records as u64);
        self.otlp.record_receive(call.consumer, Ended { stream, server, records, duration, error });
    }
}
