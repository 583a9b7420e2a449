"""Owns: whatever Kinesis answers, the client sees what it would have seen without us, nothing is lost and
nothing doubled, and a put is sent a second time only after an answer that proves nothing was stored.
Against an upstream of our own that verifies every signature (upstream.py)."""

import json

import botocore.exceptions
import cbor2
import pytest

import signing
from harness import Boto3, wait_for
from receivers import attributes
from upstream import CBOR, JSON, Kinesis, When, clock_skew, dumps, event, expired_token, frame, loads

PAYLOAD = b'{"eventId":"e-1","eventType":"OrderPlaced","amount":1.10}'
PUT = {"StreamName": "orders", "Data": PAYLOAD, "PartitionKey": "p"}


@pytest.fixture
def line(kinescope, kinesis):
    """An upstream, a sidecar before it, and a client that never retries by itself."""
    upstream = kinesis()
    sidecar = kinescope(upstream.url)
    client = Boto3(sidecar.url, max_attempts=1, read_timeout=5)
    yield upstream, sidecar, client
    assert upstream.bad_signatures == 0


def refused(call):
    with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.HTTPClientError)) as caught:
        call()
    return caught.value


def without_context(payload):
    """What the producer wrote, by other means than ours: JSON without the two members."""
    event = json.loads(payload)
    assert event.pop("traceparent")
    event.pop("tracestate", None)
    return event


def puts(upstream):
    return [body for operation, body, _ in upstream.requests if operation.startswith("PutRecord")]


# ---- errors that pass ----------------------------------------------------------------------------


@pytest.mark.parametrize("status, kind", [
    (400, "ProvisionedThroughputExceededException"), (400, "ResourceNotFoundException"),
    (400, "KMSThrottlingException"), (400, "AccessDeniedException"), (500, "InternalFailure"),
    (503, "ServiceUnavailable"),
])
def test_an_error_is_the_upstreams_own_and_nothing_is_sent_again(line, status, kind):
    upstream, sidecar, client = line
    upstream.faults = [Kinesis.error(status, kind, "of the upstream")]
    error = refused(lambda: client.call("PutRecord", **PUT))
    assert error.response["Error"]["Code"] == kind
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert "x-kinescope-error" not in error.response["ResponseMetadata"]["HTTPHeaders"]
    assert len(puts(upstream)) == 1 and upstream.stored == []
    wait_for(lambda: sidecar.metrics().value("kinesis_put_failures_total", error=kind) == 1, 10, "the count")


def test_stored_but_answered_with_a_500_is_stored_once_by_us(line):
    upstream, _, client = line
    upstream.faults = [Kinesis.error_after_storing(500, "InternalFailure")]
    refused(lambda: client.call("PutRecord", **PUT))
    assert len(puts(upstream)) == len(upstream.stored) == 1


@pytest.mark.parametrize("how", ["reset_after_storing", "half_an_answer"])
def test_a_break_after_storing_is_never_repaired_by_us(line, how):
    upstream, _, client = line
    upstream.faults = [getattr(Kinesis, how)]
    refused(lambda: client.call("PutRecord", **PUT))
    assert len(puts(upstream)) == len(upstream.stored) == 1


def test_a_hanging_upstream_is_not_asked_twice(line):
    upstream, _, client = line
    upstream.faults = [upstream.hang]
    refused(lambda: client.call("PutRecord", **PUT))
    assert len(puts(upstream)) == 1 and upstream.stored == []


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"Seq', b"\xff\xfe", b"[]"])
def test_a_broken_answer_passes_as_it_is(line, body):
    upstream, sidecar, _ = line
    upstream.faults = [Kinesis.raw(body)]
    request = json.dumps({"StreamName": "orders", "Data": "e30=", "PartitionKey": "p"}).encode()
    answer = signing.send(sidecar.url, request, signing.sign(sidecar.url, request))
    assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize("body", [b"", b"\xbf", b"\xff", b"\x5f\x41", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"])
def test_malformed_cbor_of_an_answer_passes_as_it_is(line, body):
    upstream, sidecar, _ = line
    upstream.faults = [Kinesis.raw(body, form=CBOR)]
    answer = cbor_call(sidecar, "PutRecord", PUT)
    assert (answer.status, answer.body) == (200, body)


# ---- the one second try --------------------------------------------------------------------------


def test_a_refusal_of_what_we_enlarged_is_answered_with_the_original(kinescope, kinesis):
    """The stream takes less than we know: what we enlarged is refused, the client's own bytes are not."""
    upstream = kinesis(record_bytes_max=len(PAYLOAD) + 1)
    sidecar = kinescope(upstream.url)
    client = Boto3(sidecar.url, max_attempts=1)
    client.call("PutRecord", **PUT)
    first, second = puts(upstream)
    assert len(first) > len(second)
    assert upstream.stored == [(PAYLOAD, "p")]
    wait_for(lambda: sidecar.metrics().value("kinescope_proxy_resends_total", reason="original") == 1, 10, "it")
    wait_for(lambda: sidecar.metrics().sum("kinesis_records_total", verdict="taken_back") == 1, 10, "its verdict")
    # What the client itself made too large is refused once, by Kinesis.
    refused(lambda: client.call("PutRecord", **{**PUT, "Data": PAYLOAD + b" " * 9}))
    assert upstream.stored == [(PAYLOAD, "p")] and upstream.bad_signatures == 0


def test_a_refusal_of_what_we_did_not_enlarge_is_the_clients(line):
    upstream, _, client = line
    upstream.faults = [Kinesis.error(400, "ValidationException", "too long")]
    refused(lambda: client.call("PutRecord", **{**PUT, "Data": b"not json"}))
    assert len(puts(upstream)) == 1


def test_expired_credentials_are_signed_again_once(line):
    upstream, sidecar, client = line
    upstream.faults = [expired_token()]
    client.call("PutRecord", **PUT)
    assert len(upstream.stored) == 1 and len(puts(upstream)) == 2
    wait_for(lambda: sidecar.metrics().value(
        "kinescope_proxy_resends_total", reason="credentials_expired") == 1, 10, "the count")
    upstream.faults = [expired_token(), expired_token()]
    assert refused(lambda: client.call("PutRecord", **PUT)).response["Error"]["Code"] == "ExpiredTokenException"
    assert len(puts(upstream)) == 4, "sent a third time"


def test_a_wrong_clock_is_learned_from_the_answer(line):
    upstream, sidecar, client = line
    upstream.faults = [clock_skew(900)]
    client.call("PutRecord", **PUT)
    assert len(upstream.stored) == 1
    client.call("PutRecord", **PUT)
    first, second, third = [
        headers["x-amz-date"] for operation, _, headers in upstream.requests if operation == "PutRecord"]
    assert second > first, "signed with the same time again"
    assert third >= second, "the skew was forgotten"
    assert sidecar.metrics().value("kinescope_proxy_resends_total", reason="clock_skew") == 1


# ---- partial failures ----------------------------------------------------------------------------


def test_a_resubmitted_record_keeps_its_first_context(line):
    """Records that failed inside a 200 come again in another call: not lost, not doubled, one context."""
    upstream, sidecar, client = line
    payloads = [json.dumps({"eventId": n}).encode() for n in range(6)]
    entries = [{"Data": data, "PartitionKey": "p"} for data in payloads]
    upstream.faults = [upstream.partial({1, 4})]
    answer = client.call("PutRecords", StreamName="orders", Records=entries)
    assert answer["FailedRecordCount"] == 2
    wait_for(lambda: sidecar.metrics().value(
        "kinesis_put_failures_total", error="ProvisionedThroughputExceededException") == 2, 10, "the failures")
    failed = [entry for entry, answered in zip(entries, answer["Records"]) if "ErrorCode" in answered]
    client.call("PutRecords", StreamName="orders", Records=failed)
    assert [without_context(data)["eventId"] for data, _ in upstream.stored] == [0, 2, 3, 5, 1, 4]
    contexts = {json.loads(data)["traceparent"] for data, _ in upstream.stored}
    assert len(contexts) == 1, "the resubmitted records have another context"


def test_a_retry_keeps_the_calls_first_context_and_shows_as_a_retry(kinescope, kinesis, otlp):
    upstream = kinesis()
    sidecar = kinescope(upstream.url, {"otlp": otlp.config("http/protobuf")})
    client = Boto3(sidecar.url, max_attempts=3)
    upstream.faults = [Kinesis.error_after_storing(500, "InternalFailure")]
    client.call("PutRecord", **PUT)
    assert client.attempts == 2
    (first, _), (second, _) = upstream.stored  # at least once is the SDK's law, not ours
    assert first == second, "the two tries carry two contexts"
    retried = lambda span: attributes(span).get("http.request.resend_count") == 1  # noqa: E731
    span = otlp.wait_for_span(retried, "the retry's span")
    assert span.trace_id.hex() == json.loads(first)["traceparent"].split("-")[1]


# ---- CBOR and reads --------------------------------------------------------------------------------


def cbor_call(sidecar, operation, given):
    body = dumps(CBOR, given)
    target = f"Kinesis_20131202.{operation}"
    headers = signing.sign(sidecar.url, body, target, headers={"Content-Type": CBOR})
    return signing.send(sidecar.url, body, headers)


def test_cbor_puts_and_reads_by_the_laws_of_json(line):
    upstream, sidecar, _ = line
    answer = cbor_call(sidecar, "PutRecords", {"StreamName": "orders", "Records": [
        {"Data": PAYLOAD, "PartitionKey": "a"}, {"Data": b"\x1f\x8b\x08 not json", "PartitionKey": "b"}]})
    assert answer.status == 200 and cbor2.loads(answer.body)["FailedRecordCount"] == 0
    (first, _), (second, _) = upstream.stored
    assert without_context(first) == json.loads(PAYLOAD) and second == b"\x1f\x8b\x08 not json"
    iterator = cbor2.loads(cbor_call(sidecar, "GetShardIterator", {
        "StreamName": "orders", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}).body)
    read = loads(CBOR, cbor_call(sidecar, "GetRecords", iterator).body)
    assert [record["Data"] for record in read["Records"]] == [first, second]
    lag = wait_for(lambda: sidecar.metrics().value("kinesis_consumer_delivery_lag_seconds"), 10, "the lag")
    assert 1.4 < lag < 5


def test_our_own_errors_are_in_the_clients_form(kinescope):
    from harness import free_port

    sidecar = kinescope(f"http://127.0.0.1:{free_port()}")
    answer = cbor_call(sidecar, "PutRecord", PUT)
    assert answer.status == 503 and answer.headers["content-type"] == CBOR
    assert cbor2.loads(answer.body)["__type"] == "ServiceUnavailable"


@pytest.mark.parametrize("form", [JSON, CBOR])
def test_strip_gives_the_reader_the_producers_bytes(kinescope, kinesis, form):
    upstream = kinesis()
    sidecar = kinescope(upstream.url, {"proxy": {"streams": [{"match": "orders", "deliver": "strip"}]}})
    own = b'{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","a":1}'
    lines = b'{"a":1}\n{"a":2}\n'
    written = [PAYLOAD, own, lines, b"plain", b""]
    for data in written:
        Boto3(sidecar.url).call("PutRecord", **{**PUT, "Data": data})
    assert upstream.stored[0][0] != PAYLOAD

    def call(operation, given):
        body, target = dumps(form, given), f"Kinesis_20131202.{operation}"
        answer = signing.send(sidecar.url, body, signing.sign(sidecar.url, body, target, headers={"Content-Type": form}))
        assert answer.status == 200
        return loads(form, answer.body)

    at = call("GetShardIterator", {"StreamName": "orders", "ShardId": "shardId-000000000000",
                                   "ShardIteratorType": "TRIM_HORIZON"})
    read = call("GetRecords", at)
    assert [record["Data"] for record in read["Records"]] == written
    # The sidecar itself saw the contexts before it took them away.
    wait_for(lambda: sidecar.metrics().sum("kinesis_records_total", direction="get", verdict="linked") == 3,
             10, "the links")


def test_a_queue_is_a_consumer_of_its_own(line):
    upstream, sidecar, _ = line
    import time
    now = time.time()
    upstream.queue = [
        {"ReceiptHandle": "r1", "RecordId": "1", "Data": PAYLOAD, "PartitionKey": "p", "ReceiveCount": 1,
         "ApproximateArrivalTimestamp": When(now - 30), "FirstReceiveTimestamp": When(now)},
        {"ReceiptHandle": "r2", "RecordId": "2", "Data": PAYLOAD, "PartitionKey": "p", "ReceiveCount": 3,
         "ApproximateArrivalTimestamp": When(now - 90), "FirstReceiveTimestamp": When(now - 60)}]
    answer = cbor_call(sidecar, "ReceiveQueueRecords", {
        "QueueARN": "arn:aws:kinesis:us-east-1:000000000000:queue/mail", "Limit": 10})
    assert answer.status == 200
    lag = wait_for(lambda: sidecar.metrics().value(
        "kinesis_consumer_delivery_lag_seconds", stream="mail"), 10, "the queue's lag")
    assert 89 < lag < 100
    assert sidecar.metrics().sum("kinesis_queue_redelivered_records_total", stream="mail") == 1


# ---- fan-out ---------------------------------------------------------------------------------------


def subscribe(sidecar):
    body = json.dumps({"ConsumerARN": "arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/mail:1",
                       "ShardId": "shardId-000000000000", "StartingPosition": {"Type": "LATEST"}}).encode()
    return signing.send(sidecar.url, body, signing.sign(sidecar.url, body, "Kinesis_20131202.SubscribeToShard"))


def test_event_frames_pass_byte_for_byte_and_are_understood(line):
    upstream, sidecar, _ = line
    spliced = b'{"traceparent"   :"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","a":1}'
    upstream.events = [event([spliced, b"plain"], behind=2500), event([], behind=2500),
                       frame("ResourceInUseException", b'{"message":"taken over"}', "exception")]
    answer = subscribe(sidecar)
    assert answer.body == frame("initial-response", b"{}") + b"".join(upstream.events)
    lag = wait_for(lambda: sidecar.metrics().value("kinesis_consumer_delivery_lag_seconds"), 10, "the lag")
    assert 2.4 < lag < 6
    metrics = sidecar.metrics()
    assert metrics.sum("kinesis_records_total", direction="get", verdict="linked") == 1
    wait_for(lambda: sidecar.metrics().sum("kinesis_subscriptions_ended_total"), 10, "the end")


def test_broken_frames_pass_byte_for_byte(line):
    upstream, sidecar, _ = line
    whole = event([PAYLOAD])
    upstream.events = [whole[:40] + b"\0" + whole[41:], b"\xff" * 64, event([PAYLOAD])]
    answer = subscribe(sidecar)
    assert answer.body == frame("initial-response", b"{}") + b"".join(upstream.events)
    assert sidecar.get("/readyz")[0] == 200


def test_strip_of_events_gives_the_producers_bytes(kinescope, kinesis):
    upstream = kinesis()
    sidecar = kinescope(upstream.url, {"proxy": {"streams": [{"match": "*", "deliver": "strip"}]}})
    Boto3(sidecar.url).call("PutRecord", **PUT)
    spliced = upstream.stored[0][0]
    assert spliced != PAYLOAD
    upstream.events = [event([spliced, b"plain"])]
    answer = subscribe(sidecar)
    assert answer.body == frame("initial-response", b"{}") + event([PAYLOAD, b"plain"])
