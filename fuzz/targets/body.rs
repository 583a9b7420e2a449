//! Owns the laws of everything that reads a body without changing it: each form, however it is
//! written, reads the same.

use super::tree::twins;
use kinescope::domain::stream::StreamName;
use kinescope::domain::time::Wall;
use kinescope::wire::kinesis::address::Address;
use kinescope::wire::kinesis::form::WireForm;
use kinescope::wire::kinesis::outcome::{error_message, error_type, put_answer};
use kinescope::wire::kinesis::queue::{receive_answer, receive_request};
use kinescope::wire::kinesis::read::{
    iterator_answer, iterator_request, records_answer, records_request,
};
use kinescope::wire::kinesis::subscribe;
use std::fmt::Debug;

/// No JSON begins with such a byte, and every CBOR map does.
fn form_of(data: &[u8]) -> WireForm {
    if data.first().is_some_and(|byte| *byte >= 0x80) { WireForm::Cbor } else { WireForm::Json }
}

fn alike<T: PartialEq + Debug>(
    form: WireForm,
    body: &[u8],
    read: impl Fn(WireForm, &[u8]) -> T,
) -> T {
    let seen = read(form, body);
    for (form, twin) in twins(form, body) {
        assert_eq!(read(form, &twin), seen, "{form:?}");
    }
    seen
}

fn read(form: WireForm, body: &[u8]) {
    if let Some(answer) = alike(form, body, records_answer) {
        for record in answer.records {
            assert_eq!(record.verdict == "linked", !record.contexts.is_empty());
        }
    }
    alike(form, body, iterator_answer);
    for (stream, arn) in [
        alike(form, body, iterator_request).map(|request| (request.stream, request.stream_arn)),
        alike(form, body, records_request).map(|request| (request.stream, request.stream_arn)),
    ]
    .into_iter()
    .flatten()
    {
        let of_arn = arn.as_deref().and_then(StreamName::from_arn);
        assert!(stream.is_some() || of_arn.is_none());
    }
}

pub fn read_json(data: &[u8]) {
    read(WireForm::Json, data);
}

pub fn read_cbor(data: &[u8]) {
    read(WireForm::Cbor, data);
}

pub fn queue(data: &[u8]) {
    let form = form_of(data);
    if let Some(request) = alike(form, data, receive_request) {
        assert!(!request.queue.is_empty() && request.queue_arn.contains(&request.queue));
    }
    if let Some(answer) = alike(form, data, receive_answer) {
        assert!(answer.redelivered() <= answer.records.len());
        let ages = answer.records.iter().filter_map(|queued| queued.record.arrival);
        let oldest = ages.min().map(|arrival| Wall::from_nanos(u64::MAX).since(arrival));
        assert_eq!(answer.oldest_age(Wall::from_nanos(u64::MAX)), oldest);
    }
}

pub fn outcome(data: &[u8]) {
    let form = form_of(data);
    if let Some(outcome) = alike(form, data, put_answer) {
        let records = outcome.stored.len() + outcome.failed.len();
        let places: Vec<usize> = outcome.failed.iter().map(|(place, _)| *place).collect();
        assert!(places.is_sorted_by(|one, other| one < other));
        assert!(places.last().is_none_or(|place| *place < records));
    }
    if let Some(kind) = alike(form, data, error_type) {
        assert!(
            !kind.is_empty() && kind.len() <= 64 && kind.bytes().all(|b| b.is_ascii_alphanumeric())
        );
    }
    if let Some(message) = alike(form, data, error_message) {
        assert!(message.len() <= 1_024);
    }
}

pub fn address(data: &[u8]) {
    let address = alike(form_of(data), data, Address::of);
    if let Some(name) = &address.stream_name {
        assert_eq!(address.stream().as_ref().map(StreamName::as_str), Some(name.as_str()));
    }
}

pub fn subscribe(data: &[u8]) {
    assert_eq!(subscribe::request(WireForm::Cbor, data), None);
    let Some(request) = subscribe::request(WireForm::Json, data) else { return };
    assert_eq!(request.stream, StreamName::from_arn(&request.consumer_arn));
    if let Some(name) = &request.consumer_name {
        assert!(!name.is_empty() && request.consumer_arn.contains(&format!("/consumer/{name}")));
    }
    for (form, twin) in twins(WireForm::Json, data) {
        if form == WireForm::Json {
            assert_eq!(subscribe::request(form, &twin).as_ref(), Some(&request));
        }
    }
}
