//! Owns what the observer tells the messaging metrics: each call once, its records by what became of
//! them. Refuses the time that a queue's receive took: most of it is waiting for a record.

use super::super::exchange::{Exchange, PutFacts};
use super::super::spans::{Call, Ending, address};
use super::Observer;
use crate::domain::stream::StreamName;
use crate::io::otlp::Ended;
use crate::wire::kinesis::outcome::PutOutcome;
use std::time::Duration;

/// Records of a put that had one end.
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    records: usize,
    error: Option<&'a str>,
    /// Whether the call itself is counted with them: once a put, with the first error.
    is_call: bool,
}

/// A put that failed in part is one call; its records are counted under their own errors. `sent`
/// is how many there were as far as the request says.
fn parts<'a>(sent: usize, ending: &'a Ending, outcome: &'a PutOutcome) -> Vec<Part<'a>> {
    let (stored, failed) = (outcome.stored.len(), outcome.failed.len());
    if ending.error.is_some() || failed == 0 {
        let records = if stored > 0 { stored } else { sent };
        return vec![Part { records, error: ending.error.as_deref(), is_call: true }];
    }
    let stored = (stored > 0).then_some(Part { records: stored, error: None, is_call: false });
    let failed = outcome.failed.iter().enumerate();
    let failed =
        failed.map(|(nth, (_, code))| Part { records: 1, error: Some(code), is_call: nth == 0 });
    stored.into_iter().chain(failed).collect()
}

impl Observer {
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
        let took = exchange.ended.since(exchange.started);
        for Part { records, error, is_call } in parts(put.verdicts.len(), ending, outcome) {
            self.otlp.record_send(Ended {
                stream: put.stream.as_ref(),
                server: Some(address(&exchange.server)),
                records: records as u64,
                duration: is_call.then_some(took),
                error,
            });
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

    /// What a queue handed out.
    pub(super) fn meter_queue(&self, call: &Call<'_>, queue: &StreamName, records: usize) {
        self.meter_delivered(call, Some(queue), records, (None, None));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_one_call_and_each_record_has_its_end() {
        let check = |error: Option<&str>, stored: usize, failed: &[&str], expected: &[Part<'_>]| {
            let ending = Ending { error: error.map(str::to_owned), ..Ending::default() };
            let outcome = PutOutcome {
                stored: vec![("shard".into(), "1".into()); stored],
                failed: failed.iter().map(|code| (0, (*code).into())).collect(),
            };
            assert_eq!(parts(3, &ending, &outcome), expected);
            assert_eq!(expected.iter().map(|part| part.records).sum::<usize>(), 3);
            assert_eq!(expected.iter().filter(|part| part.is_call).count(), 1);
        };
        let part = |records, error, is_call| Part { records, error, is_call };
        check(None, 3, &[], &[part(3, None, true)]);
        check(None, 0, &[], &[part(3, None, true)]);
        check(Some("Throttled"), 0, &[], &[part(3, Some("Throttled"), true)]);
        let internal = || part(1, Some("Internal"), false);
        let throttled = |is_call| part(1, Some("Throttled"), is_call);
        let partly = [part(1, None, false), throttled(true), internal()];
        check(None, 1, &["Throttled", "Internal"], &partly);
        let failed = ["Throttled", "Throttled", "Internal"];
        check(None, 0, &failed, &[throttled(true), throttled(false), internal()]);
    }
}
