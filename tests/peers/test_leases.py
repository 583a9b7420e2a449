"""Owns: the lease table of a KCL application is read as KCL writes it, what is no lease is left alone,
and a table that cannot be read is told as what it is. moto is DynamoDB."""

import json
import subprocess
import uuid

import pytest

from door import Door
from harness import ENV, REGION, Boto3, binary, iterator, new_stream, wait_for
from test_lag import LAG, SHARD

CHECKPOINT = "kinesis_consumer_checkpoint_lag_seconds"
READINGS = "kinescope_lease_readings_total"


class Table:
    """A lease table, written with boto3 in KCL's form."""

    def __init__(self, url, key="leaseKey", name=None):
        self.client, self.key = Boto3(url, "dynamodb"), key
        self.name, self.counter = name or f"app-{uuid.uuid4().hex[:8]}", 0
        self.client.call("CreateTable", TableName=self.name, BillingMode="PAY_PER_REQUEST",
                         AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                         KeySchema=[{"AttributeName": key, "KeyType": "HASH"}])

    def put(self, key, **attributes):
        item = {self.key: {"S": key}}
        for name, value in attributes.items():
            item[name] = {"N": str(value)} if isinstance(value, int) else {"S": value}
        self.client.call("PutItem", TableName=self.name, Item=item)

    def lease(self, key, checkpoint, owner="worker-1", **more):
        self.counter += 1
        self.put(key, checkpoint=checkpoint, leaseOwner=owner, leaseCounter=self.counter,
                 checkpointSubSequenceNumber=0, ownerSwitchesSinceCheckpoint=0, **more)


@pytest.fixture
def door(moto):
    door = Door(moto.url)
    yield door
    door.close()


class Reader:
    """A consumer behind a kinescope that is sidecar and hub in one; it reads whenever it is asked."""

    def __init__(self, kinescope, upstream, door, tables, stream=None):
        self.stream = stream or new_stream(upstream.url)
        fill = lambda table: {**table, **({"stream": self.stream} if "stream" in table else {})}  # noqa: E731
        leases = [{"consumer": "inventory", "interval": "250ms", **fill(table)} for table in tables]
        self.hub = kinescope(upstream.url, {"leases": leases}, role="all",
                             env={"AWS_ENDPOINT_URL_DYNAMODB": door.url})
        self.client = Boto3(self.hub.url)
        self.at, self.done = iterator(self.client, self.stream), None

    def put(self):
        return self.client.call("PutRecord", StreamName=self.stream, Data=b"{}", PartitionKey="p")["SequenceNumber"]

    def read(self):
        answer = self.client.call("GetRecords", ShardIterator=self.at)
        self.at = answer["NextShardIterator"]
        for record in answer["Records"]:
            self.done = record["SequenceNumber"]
        return self.hub.metrics()

    def lags(self, metrics=None):
        """Delivery lag, checkpoint lag."""
        metrics = metrics or self.read()
        place = {"stream": self.stream, "consumer": "inventory", "shard": SHARD}
        return metrics.value(LAG, **place), metrics.value(CHECKPOINT, **place)

    def readings(self, application, outcome):
        return self.hub.metrics().value(READINGS, application=application, outcome=outcome) or 0


def apart(reader, table, key):
    """Lags agree while the checkpoint follows, part when it does not, and agree again."""
    for _ in range(3):
        reader.put()
    wait_for(lambda: reader.read() and reader.done, 20, "records")
    table.lease(key, reader.done)
    wait_for(lambda: (lags := reader.lags())[1] is not None and abs(lags[0] - lags[1]) < 0.5, 20, "two lags that agree")
    last = reader.put()
    wait_for(lambda: reader.read() and reader.done == last, 20, "one record more")
    reader.put()
    wait_for(lambda: (lags := reader.lags())[0] is not None and lags[0] < 1 and lags[1] > 3, 20, "two lags that part")
    table.lease(key, reader.done)
    wait_for(lambda: (lags := reader.lags())[1] is not None and lags[1] < 1, 20, "a checkpoint lag that is gone")


def test_checkpoints_of_one_stream(kinesis_mock, kinescope, door):
    table = Table(door.url)
    # What KCL 3 keeps beside its leases, and what nobody knows.
    table.put("Leader", entityType="LEADER", leaseOwner="worker-1", leaseCounter=9)
    table.put("worker-1", entityType="WORKER_METRIC_STATS", lut=1)
    table.put("somebody's", note="hello")
    table.lease("shardId-000000000007", "SHARD_END")
    table.lease(SHARD, "TRIM_HORIZON")
    reader = Reader(kinescope, kinesis_mock, door, [{"application": table.name, "stream": True}])
    wait_for(lambda: reader.readings(table.name, "ok") >= 2, 20, "two readings")
    wait_for(lambda: reader.lags()[0] is not None, 20, "a lag of the wire")
    assert reader.lags()[1] is None  # TRIM_HORIZON is no place: missing is not zero
    apart(reader, table, SHARD)
    for word in ("LATEST", "AT_TIMESTAMP"):
        table.lease(SHARD, word)
        wait_for(lambda: reader.lags()[1] is None, 20, f"no checkpoint lag at {word}")
    metrics = reader.hub.metrics()
    assert not metrics.all(CHECKPOINT, shard="shardId-000000000007")
    assert metrics.value("kinescope_lease_read_units_total", application=table.name) > 0
    assert metrics.value("kinescope_lease_last_success_timestamp_seconds", application=table.name) > 1_700_000_000
    # Only what is needed is asked for.
    assert all(given["ProjectionExpression"] for operation, given in door.calls if operation == "Scan")
    assert {operation for operation, _ in door.calls} <= {"CreateTable", "PutItem", "Scan"}


def test_checkpoints_of_many_streams(kinesis_mock, kinescope, door):
    table, stream = Table(door.url), new_stream(kinesis_mock.url)
    reader = Reader(kinescope, kinesis_mock, door, [{"application": table.name}], stream)
    key = lambda name, epoch: f"123456789012:{name}:{epoch}:{SHARD}"  # noqa: E731
    # The lease of a stream of the same name that was deleted is another one's.
    table.lease(key(stream, 1_700_000_000), "TRIM_HORIZON", streamName=stream, shardId=SHARD)
    table.lease(key("another", 1_700_000_000), "1", streamName="another", shardId=SHARD)
    apart(reader, table, key(stream, 1_700_000_001))


def test_tables_that_cannot_be_read(kinesis_mock, kinescope, door):
    other, kcl = Table(door.url, key="orderId"), Table(door.url)
    other.put("17", total=3)
    kcl.lease(SHARD, "LATEST")
    later, throttled = f"later-{uuid.uuid4().hex[:8]}", f"throttled-{uuid.uuid4().hex[:8]}"
    refused = {throttled: "ProvisionedThroughputExceededException"}
    door.refuse = lambda operation, given: operation == "Scan" and refused.get(given["TableName"])
    reader = Reader(kinescope, kinesis_mock, door, [
        {"application": other.name, "stream": True}, {"application": kcl.name},
        {"application": later, "stream": True}, {"application": throttled, "stream": True}])
    expected = {other.name: "foreign", kcl.name: "no_stream", later: "not_found", throttled: "throttled"}
    for application, outcome in expected.items():
        wait_for(lambda: reader.readings(application, outcome), 20, f"{application} to be {outcome}")
    # A table that comes, and one that may be read again, are read without a restart.
    for name in (later, throttled):
        Table(door.url, name=name).lease(SHARD, "LATEST")
    refused[throttled] = None
    for name in (later, throttled):
        wait_for(lambda: reader.readings(name, "ok"), 30, f"{name} to be read")
    log = reader.hub.output()
    for application, outcome in expected.items():
        lines = [line for line in log.splitlines() if application in line and "lease table not read" in line]
        assert len(lines) == 1 and outcome in lines[0], lines
    assert not reader.hub.metrics().all(CHECKPOINT)


def test_check_online_tries_the_tables(kinesis_mock, door, tmp_path):
    table, stream = Table(door.url), new_stream(kinesis_mock.url, 2)
    table.lease(SHARD, "LATEST")
    other = Table(door.url, key="orderId")
    other.put("17", total=3)
    path = tmp_path / "online.yaml"
    path.write_text(json.dumps({
        "role": "hub", "state": None, "region": REGION, "proxy": {"upstream": {"endpoint": kinesis_mock.url}},
        "cloudwatch": {"enabled": False},
        "leases": [{"application": table.name, "stream": stream}, {"application": other.name},
                   {"application": "not-there"}]}))
    done = subprocess.run(
        [binary(), "check", "--online", "--config", path], capture_output=True, text=True, timeout=60,
        env={**ENV, "AWS_ENDPOINT_URL_DYNAMODB": door.url})
    lines = done.stdout.splitlines()
    line = lambda word, what: next(l for l in lines if l.startswith(f"{word:8} {what} "))  # noqa: E731
    assert "1 leases" in line("ok", f"leases {table.name}")
    assert "2 listed" in line("ok", f"leases {table.name}: shards")
    assert "another program" in line("failed", f"leases {other.name}")
    assert "no such table" in line("failed", "leases not-there")
    assert done.returncode == 1


def test_a_hub_stands_by_until_the_other_is_gone(kinesis_mock, kinescope, door):
    hubs = Table(door.url)
    application = Table(door.url)
    application.lease(SHARD, "LATEST")
    config = {"hub": {"standby": hubs.name},
              "leases": [{"application": application.name, "stream": "orders", "interval": "250ms"}]}
    start = lambda: kinescope(kinesis_mock.url, config, role="hub",  # noqa: E731
                              env={"AWS_ENDPOINT_URL_DYNAMODB": door.url})
    works = lambda hub: hub.metrics().value("kinescope_hub_working")  # noqa: E731
    reads = lambda hub: hub.metrics().value(READINGS, application=application.name, outcome="ok") or 0  # noqa: E731
    first = start()
    wait_for(lambda: works(first) == 1 and reads(first) > 1, 20, "the first hub to work")
    second = start()
    seen = reads(first)
    wait_for(lambda: reads(first) > seen + 8, 20, "the first hub to go on")
    assert (works(first), works(second), reads(second)) == (1, 0, 0)
    # It gives the lease back when it is told to end.
    first.stop()
    wait_for(lambda: works(second) == 1 and reads(second) > 1, 12, "the second hub to take over")
    assert "this hub works" in second.output()
