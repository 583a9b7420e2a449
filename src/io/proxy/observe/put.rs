//! Owns what the observer makes of a put: counts, the memory of failed records, the send span.

use super::super::exchange::{Exchange, Originals, PutFacts};
use super::super::spans::{self, Ending};
use super::{Observer, UNKNOWN, ending};
use crate::domain::stream::StreamName;
use crate::io::entropy;
use crate::wire::kinesis::outcome::{self, PutOutcome};
use crate::wire::kinesis::put::record_bytes;

impl Observer {
    pub(super) fn put(&mut self, exchange: &Exchange, put: &PutFacts) {
        let stream = put.stream.as_ref().map_or(UNKNOWN, StreamName::as_str);
        let label = self.metrics.capped(stream).to_owned();
        for verdict in &put.verdicts {
            self.metrics.records.with_label_values(&[label.as_str(), "put", verdict]).inc();
        }
        let injected_bytes = u64::try_from(put.injected_bytes).unwrap_or(u64::MAX);
        self.metrics.injected_bytes.with_label_values(&[&label]).inc_by(injected_bytes);
        let (ending, body) = ending(exchange);
        let stored = match (&ending.error, body) {
            (None, Some((form, body))) => outcome::put_answer(form, body),
            (Some(_), _) | (None, None) => None,
        };
        let failed = self.metrics.put_failures.clone();
        let fail = |code: &str, records: usize| {
            let code = self.metrics.capped(code).to_owned();
            failed.with_label_values(&[label.as_str(), &code]).inc_by(records as u64);
        };
        if let Some(error) = &ending.error {
            fail(error, put.verdicts.len());
        }
        let outcome = stored.unwrap_or_default();
        outcome.failed.iter().for_each(|(_, code)| fail(code, 1));
        if let Some(originals) = &put.originals {
            self.remember_failed(exchange, put, originals, &outcome);
        }
        if let Some(stream) = &put.stream {
            self.announce(stream);
        }
        self.export_send(exchange, put, &ending, &outcome);
    }

    /// A record that failed inside a 200 comes again in another call: then it keeps its context.
    fn remember_failed(
        &self,
        exchange: &Exchange,
        put: &PutFacts,
        originals: &Originals,
        outcome: &PutOutcome,
    ) {
        for (record, _) in &outcome.failed {
            let injected = put.verdicts.get(*record) == Some(&"injected");
            let bytes = record_bytes(&originals.body, &originals.put, *record);
            if let Some(bytes) = bytes.filter(|_| injected) {
                let own = put.own.iter().find(|it| it.record == *record);
                let context = own.map_or(&put.carried, |own| &own.context);
                self.shared.refused.note(bytes, context.clone(), exchange.ended);
            }
        }
    }

    fn export_send(
        &self,
        exchange: &Exchange,
        put: &PutFacts,
        ending: &Ending,
        outcome: &PutOutcome,
    ) {
        if let Some(slot) = self.spans.slot(put.context.flags) {
            let links_max = self.shared.deciding.links_max(spans::LINKS_MAX);
            let told = (ending, outcome);
            let fresh = entropy::span_id;
            let mut made =
                spans::spans_of_put(exchange, put, &put.own, told, links_max, fresh).into_iter();
            if let Some(first) = made.next() {
                slot.put(first);
            }
            made.for_each(|span| self.spans.offer(span));
        }
    }
}
