"""Owns the count: of 100,000 records that go through the sidecar in JSON, in CBOR and in KPL aggregates,
by every client of the matrix, with retries, partial failures and resharding, each is joined to the send
span of what put it when it is read, by GetRecords in both forms and by SubscribeToShard. Exactly."""

import json
import threading
import time

import pytest

import signing
from harness import in_threads, wait_for
from receivers import attributes
from resharding import Resharding
from sdks import CLIENTS
from test_aggregates import MAGIC, Python, message
from test_matrix import identity
from upstream import CBOR, JSON, Kinesis, dumps, loads

RECORDS, PUT = 100_000, 500
# Of each client of the matrix; the rest is put by boto3 in JSON, by hand in CBOR, and in aggregates.
EACH, AGGREGATED, USER_RECORDS = 1_000, 20_000, 50


@pytest.fixture
def kinesis():
    upstream = Resharding(shards=3)
    yield upstream
    upstream.close()


class Ids:
    """Numbers that no two producers share."""

    def __init__(self):
        self.lock, self.given = threading.Lock(), 0

    def take(self, count):
        with self.lock:
            self.given += count
            return range(self.given - count, self.given)


def entries(ids):
    return [{"Data": b'{"eventId":%d,"eventType":"ORDER_PLACED","amount":1.10}' % n, "PartitionKey": f"key-{n}"}
            for n in ids]


def put_all(put, records):
    """As a good producer: what failed inside a 200 goes again. `put(records)` gives the answer."""
    while records:
        answered = put(records)["Records"]
        records = [record for record, one in zip(records, answered) if one.get("ErrorCode")]


def by_client(sidecar, name, ids, count):
    client = CLIENTS[name](sidecar.url)
    try:
        for _ in range(count // PUT):
            put_all(lambda records: client.call("PutRecords", StreamName="orders", Records=records),
                    entries(ids.take(PUT)))
    finally:
        client.close()


def call(sidecar, form, operation, given, app=""):
    body, target = dumps(form, given), f"Kinesis_20131202.{operation}"
    for _ in range(5):
        headers = signing.sign(sidecar.url + app, body, target, headers={"Content-Type": form})
        answer = signing.send(sidecar.url, body, headers, path=app or "/")
        if answer.status == 200:
            return answer.body if operation == "SubscribeToShard" else loads(form, answer.body)
        assert answer.status >= 500, answer.body
    raise AssertionError(answer.body)


def in_cbor(sidecar, ids, count):
    for _ in range(count // PUT):
        put_all(lambda records: call(sidecar, CBOR, "PutRecords", {"StreamName": "orders", "Records": records}),
                entries(ids.take(PUT)))


def in_aggregates(sidecar, ids, count):
    """Ten aggregates a put, as the KPL collects them. A context costs them less than a tenth."""
    for _ in range(count // (10 * USER_RECORDS)):
        made = []
        for _ in range(10):
            users = [(f"key-{n}", b'{"eventId":%d,"text":"%b"}' % (n, b"x" * 900)) for n in ids.take(USER_RECORDS)]
            key, data = Python().aggregate(users)
            made.append({"Data": data, "PartitionKey": key})
        put_all(lambda records: call(sidecar, JSON, "PutRecords", {"StreamName": "orders", "Records": records}), made)


class Reader(threading.Thread):
    """Reads every shard to its end, then its children; JSON and CBOR by turns."""

    def __init__(self, sidecar, kinesis):
        super().__init__(daemon=True)
        self.sidecar, self.kinesis, self.records, self.written = sidecar, kinesis, 0, threading.Event()
        self.error = None

    def run(self):
        try:
            self._read()
        except BaseException as error:
            self.error = error

    def _read(self):
        begin = lambda shard: call(self.sidecar, JSON, "GetShardIterator", {  # noqa: E731
            "StreamName": "orders", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"})["ShardIterator"]
        reading, turn = [begin(shard) for shard in self.kinesis.order], 0
        while reading:
            going, found = [], 0
            last = self.written.is_set()
            for at in reading:
                form, turn = (JSON, CBOR)[turn % 2], turn + 1
                answer = call(self.sidecar, form, "GetRecords", {"ShardIterator": at, "Limit": PUT})
                found += len(answer["Records"])
                if "NextShardIterator" in answer:
                    going.append(answer["NextShardIterator"])
                else:
                    going += [begin(child["ShardId"]) for child in answer["ChildShards"]]
            self.records += found
            if last and not found and len(going) == len(reading):
                return
            if not found:
                time.sleep(0.05)  # an idle reader's pace
            reading = going


@pytest.mark.parametrize("count", [RECORDS], ids=lambda count: f"{count}_records")
def test_every_record_is_joined(count, kinesis, kinescope, otlp):
    sidecar = kinescope(kinesis.url, {"otlp": otlp.config("http/protobuf")})
    ids, reader = Ids(), Reader(sidecar, kinesis)
    reader.start()
    own = count - AGGREGATED - EACH * len(CLIENTS)
    work = [
        lambda: [by_client(sidecar, name, ids, EACH) for name in CLIENTS],
        lambda: by_client(sidecar, "boto3", ids, own // 4),
        lambda: in_cbor(sidecar, ids, own - own // 4),
        lambda: in_aggregates(sidecar, ids, AGGREGATED),
        lambda: misbehave(kinesis, ids, count),
    ]
    in_threads(len(work), lambda index: work[index]())
    assert ids.given == count and kinesis.faults == []
    reader.written.set()
    reader.join(120)
    assert reader.error is None and not reader.is_alive(), reader.error
    assert reader.records == len(kinesis.stored) and len(kinesis.order) == 7

    # What the stream holds: each event, with a context; what a retry stored twice is there twice.
    held = [user_records(data) for data, _ in kinesis.stored]
    users = [user for record in held for user in record]
    assert {event for event, _ in users} == set(range(count)) and len(users) > count
    assert all(context for _, context in users)
    # To another consumer: one shard more, by fan-out.
    shard = max(kinesis.order, key=lambda name: len(kinesis.shards[name].records))
    events = subscribe(sidecar, shard)
    fanned = [user_records(record["Data"]) for record in kinesis.shards[shard].records]
    assert events.count(b"SubscribeToShardEvent") > 1 and len(fanned) > PUT

    wait_for(lambda: sidecar.metrics().sum("kinesis_records_total", direction="get") == len(held) + len(fanned),
             30, "the reads to be observed")
    metrics = sidecar.metrics()
    assert metrics.sum("kinescope_dropped_total") == 0, metrics.all("kinescope_dropped_total")
    assert metrics.sum("kinesis_put_failures_total") > 0 and kinesis.bad_signatures == 0
    check_joined(otlp, "inventory", held)
    check_joined(otlp, "fan-out", fanned)


def misbehave(kinesis, ids, count):
    """Every kind of fault, then a split, four times while records come."""
    faults = [
        lambda: kinesis.partial(set(range(0, 10, 3))),
        lambda: Kinesis.error_after_storing(500, "InternalFailure"),
        lambda: Kinesis.error(503, "ServiceUnavailable"),
        lambda: Kinesis.reset_after_storing,
    ]
    for step, fault in enumerate(faults, 1):
        wait_for(lambda: ids.given >= count * step // 6, 120, f"a part of the records ({step})")
        with kinesis.lock:
            kinesis.faults += [fault(), fault()]
        if step % 2:
            kinesis.split()


def subscribe(sidecar, shard):
    return call(sidecar, JSON, "SubscribeToShard", {
        "ConsumerARN": "arn:aws:kinesis:us-east-1:000000000000:stream/orders/consumer/fan-out:1",
        "ShardId": shard, "StartingPosition": {"Type": "TRIM_HORIZON"}}, app="/app/fan-out")


def user_records(data):
    """(event id, the context that it carries)."""
    if not data.startswith(MAGIC):
        event = json.loads(data)
        return [(event["eventId"], event.get("traceparent"))]
    found = []
    for record in message(data).records:
        tags = {tag.key: tag.value for tag in record.tags}
        found.append((json.loads(record.data)["eventId"], tags.get("traceparent")))
    return found


def check_joined(otlp, consumer, delivered):
    """Each record is counted by one link to the send span of each context that it carries, by no two."""
    wanted = {}
    for record in delivered:
        for context in {tuple(context.split("-")[1:3]) for _, context in record}:
            wanted[context] = wanted.get(context, 0) + 1

    def linked():
        told = {}
        for span in list(otlp.spans):
            if span.name == "receive orders" and attributes(span)["messaging.consumer.group.name"] == consumer:
                for link in span.links:
                    records = attributes(link).get("messaging.batch.message_count", 1)
                    told[identity(link)] = told.get(identity(link), 0) + records
        return told

    wait_for(lambda: sum(linked().values()) >= sum(wanted.values()), 30, f"the links of {consumer}")
    assert linked() == wanted
    sends = {identity(span) for span in list(otlp.spans) if span.name == "send orders"}
    assert wanted.keys() <= sends, "linked to spans that nobody exported"
