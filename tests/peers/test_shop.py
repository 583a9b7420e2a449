"""Owns: the services of examples/shop, written by people who do not know Kinescope, do what they did
before when they are pointed at it, and what Kinescope then shows of them is true."""

import base64
import io
import json
import subprocess
import sys
import zipfile

import pytest

from harness import ENV, PEERS, ROOT, Boto3, missing, new_stream, read_all, wait_for
from receivers import attributes
from test_matrix import context, identity, wait_for_spans

SHOP = ROOT / "examples/shop"


@pytest.fixture
def shop(ministack, kinescope, otlp, tmp_path):
    """Runs a service to its end beside a sidecar; gives its lines."""

    class Shop:
        sidecar = kinescope(ministack.url, {"otlp": otlp.config("http/protobuf")})

        def run(self, *command, app=None):
            url = self.sidecar.url + (f"/app/{app}" if app else "")
            done = subprocess.run(list(map(str, command)), cwd=tmp_path, text=True, capture_output=True, timeout=90,
                                  env={**ENV, "AWS_ENDPOINT_URL_KINESIS": url})
            assert done.returncode == 0, done.stderr
            return done.stdout.split("\n")[:-1]

        def python(self, program, *arguments, app=None):
            return self.run(sys.executable, SHOP / program, *arguments, app=app)

        def metric(self, name, **labels):
            return self.sidecar.metrics().sum(name, **labels)

        def stored(self, stream, count):
            """The events as they lie in the stream, read past the sidecar."""
            client = Boto3(ministack.url)
            records = read_all(client, stream, count)
            client.close()
            return records

    return Shop()


def types(records):
    return [json.loads(record["Data"])["eventType"] for record in records]


def sends(otlp, stream, count):
    """The event types of the send spans of a stream, in order; exactly so many."""
    spans = wait_for_spans(otlp, f"send {stream}", lambda spans: len(spans) >= count)
    assert len(spans) == count
    told = sorted(spans, key=lambda span: span.start_time_unix_nano)
    return [attributes(span).get("kinescope.event.type") for span in told]


def test_orders_and_the_stock_that_follows_them(shop, otlp, ministack):
    orders, stock = new_stream(ministack.url), new_stream(ministack.url)
    assert len(shop.python("order_service.py", orders, 8, app="orders")) == 8
    shop.python("inventory_service.py", orders, stock, 10, app="inventory")

    told, decided = shop.stored(orders, 10), shop.stored(stock, 10)
    assert types(told).count("ORDER_CREATED") == 8 and types(told).count("ORDER_CANCELLED") == 2
    assert set(types(decided)) <= {"INVENTORY_RESERVED", "INVENTORY_RELEASED", "OUT_OF_STOCK"}
    assert sends(otlp, orders, 10) == types(told)

    # What inventory read is linked to what orders wrote: every event, once.
    written = {context(record["Data"]) for record in told}
    linked = lambda spans: {identity(link) for span in spans for link in span.links}  # noqa: E731
    reads = wait_for_spans(otlp, f"receive {orders}", lambda spans: linked(spans) >= written)
    assert linked(reads) == written and len(written) == 10
    assert {attributes(span)["messaging.consumer.group.name"] for span in reads} == {"inventory"}
    ages = [attributes(link)["kinescope.end_to_end_ms"] for span in reads for link in span.links]
    assert all(0 <= age < 60_000 for age in ages)
    assert shop.metric("kinesis_records_total", stream=orders, direction="put", verdict="injected") == 10
    assert shop.metric("kinesis_records_total", stream=orders, direction="get") == 10
    assert shop.metric("kinesis_consumer_status", stream=orders, consumer="inventory") == 1


def test_a_saga_and_its_compensation(shop, ministack):
    stream = new_stream(ministack.url)
    (good, _), (bad, failed) = map(str.split, shop.python("order_saga.py", stream, 5_000, 500_000))
    assert (good, bad) == ("completed", "compensated")
    told = [json.loads(record["Data"]) for record in shop.stored(stream, 8)]
    assert [event["eventType"] for event in told if event["sagaId"] == failed] == [
        "RESERVE_INVENTORY", "PROCESS_PAYMENT", "RELEASE_INVENTORY", "ORDER_FAILED"]

    def stories():
        sagas = json.loads(shop.sidecar.get("/api/v1/sagas")[1])["sagas"]
        steps = [[step["step"] for step in saga["steps"]] for saga in sagas]
        return sorted(steps) if sum(map(len, steps)) == 8 else None

    undone, done = sorted(wait_for(stories, 20, "two sagas of four steps"), key=lambda steps: "SHIP_ORDER" in steps)
    assert undone == ["RESERVE_INVENTORY", "PROCESS_PAYMENT", "RELEASE_INVENTORY", "ORDER_FAILED"]
    assert done == ["RESERVE_INVENTORY", "PROCESS_PAYMENT", "SHIP_ORDER", "ORDER_COMPLETED"]


def test_commands_of_another_language(shop, otlp, ministack):
    program = PEERS / "go/commands"
    if not program.exists():
        missing("aws-sdk-go-v2")
    stream = new_stream(ministack.url)
    assert len(shop.run(program, stream, 3)) == 3
    records = shop.stored(stream, 3)
    assert sends(otlp, stream, 3) == ["PLACE_ORDER"] * 3
    for record in records:
        command = json.loads(record["Data"])
        # The context in front, and behind it what Go wrote.
        assert list(command) == ["traceparent", "commandType", "orderId", "userId", "items"]


def test_a_dual_write_that_is_taken_back(shop, otlp, ministack, tmp_path):
    stream = new_stream(ministack.url)
    lines = shop.python("migration.py", stream, tmp_path / "users.db", 3)
    assert [line.split()[0] for line in lines] == ["registered", "registered", "taken"]
    expected = ["USER_REGISTERED", "USER_REGISTERED", "USER_REGISTERED", "USER_REGISTRATION_UNDONE"]
    told = shop.stored(stream, 4)
    assert types(told) == expected == sends(otlp, stream, 4)
    last, undone = (json.loads(record["Data"]) for record in told[2:])
    assert undone["payload"]["undoes"] == last["eventId"]


def test_batches_that_send_again_what_failed(kinesis, kinescope, tmp_path):
    upstream = kinesis()
    upstream.faults = [upstream.partial({1, 3}), upstream.partial({0})]
    sidecar = kinescope(upstream.url)
    done = subprocess.run([sys.executable, SHOP / "producers.py", "batch", "orders", "5"], cwd=tmp_path, text=True,
                          capture_output=True, timeout=60, env={**ENV, "AWS_ENDPOINT_URL_KINESIS": sidecar.url})
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    assert len(upstream.stored) == 5
    # Each event once, with one context from its first sending on.
    assert len({json.loads(data)["eventId"] for data, _ in upstream.stored}) == 5
    failures = lambda: sidecar.metrics().sum("kinesis_put_failures_total", stream="orders")  # noqa: E731
    wait_for(lambda: failures() == 3, 10, "the failures")


def test_aggregates_carry_a_context_for_each_event(shop, otlp, ministack):
    from aws_kinesis_agg.deaggregator import deaggregate_records

    stream = new_stream(ministack.url)
    assert shop.python("producers.py", "aggregate", stream, 40) == ["1"]
    record, = shop.stored(stream, 1)
    wire = {"kinesis": {"kinesisSchemaVersion": "1.0", "data": base64.b64encode(record["Data"]).decode(), "partitionKey": record["PartitionKey"],
                        "sequenceNumber": record["SequenceNumber"], "approximateArrivalTimestamp": 0}}
    events = [json.loads(base64.b64decode(one["kinesis"]["data"])) for one in deaggregate_records([wire])]
    assert [event["payload"]["userId"] for event in events] == [f"user-{number}" for number in range(40)]
    assert shop.metric("kinesis_records_total", stream=stream, direction="put", verdict="injected") == 1
    read_all(Boto3(shop.sidecar.url), stream, 1)
    reads = wait_for_spans(otlp, f"receive {stream}", bool)
    assert all(attributes(link)["kinescope.end_to_end_ms"] >= 0 for span in reads for link in span.links)


def test_lambda_functions_on_one_stream(shop, otlp, ministack):
    orders, out = new_stream(ministack.url), new_stream(ministack.url)
    lambda_, arn = Boto3(ministack.url, "lambda"), f"arn:aws:kinesis:us-east-1:000000000000:stream/{orders}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.write(SHOP / "handlers/handlers.py", "handlers.py")
    for name in ("email", "inventory"):
        lambda_.call(
            "CreateFunction", FunctionName=f"{name}-{orders}", Runtime="python3.11", Handler=f"handlers.{name}",
            Role="arn:aws:iam::000000000000:role/lambda", Code={"ZipFile": archive.getvalue()}, Timeout=30,
            Environment={"Variables": {"OUT_STREAM": out, "AWS_ENDPOINT_URL_KINESIS": f"{shop.sidecar.url}/app/{name}"}})
        lambda_.call("CreateEventSourceMapping", FunctionName=f"{name}-{orders}", EventSourceArn=arn,
                     StartingPosition="TRIM_HORIZON", BatchSize=10)
    shop.python("order_service.py", orders, 3)
    decided = shop.stored(out, 6)
    assert sorted(types(decided)) == ["CONFIRMATION_SENT"] * 3 + ["INVENTORY_UPDATED"] * 3
    assert sorted(sends(otlp, out, 6)) == sorted(types(decided))
    # Lambda read past the sidecar, and nothing here claims otherwise.
    assert shop.metric("kinesis_records_total", stream=orders, direction="get") == 0
    assert not shop.sidecar.metrics().all("kinesis_consumer_status", stream=orders)
