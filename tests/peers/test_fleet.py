"""Owns: several services, each a process with a sidecar process of its own, and one hub. What spans
tell of an order is one story, at a collector that others wrote and in the hub; the hub's death costs
no application anything; and what an application exports to its sidecar goes on to the collector."""

import json
import sys
import threading
import urllib.request

import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service

from harness import ROOT, Boto3, Kinescope, Program, free_port, listens, new_stream, read_all, wait_for
from receivers import Server, attributes

SERVICES = ["orders", "inventory", "payment"]
STEPS = ["RESERVE_INVENTORY", "INVENTORY_RESERVED", "PROCESS_PAYMENT", "PAYMENT_FAILED",
         "RELEASE_INVENTORY", "INVENTORY_RELEASED"]
# Who puts each step, who reads it.
WRITERS = dict(zip(STEPS, ["orders", "inventory", "orders", "payment", "orders", "inventory"]))
PRODUCER, CLIENT, CONSUMER = 4, 3, 5  # SpanKind


def asked(program, path):
    status, body = program.get(path)
    assert status == 200, body
    return json.loads(body)


def saga_of(hub, count):
    """The hub's sagas, once all have all their steps."""
    def whole():
        sagas = asked(hub, "/api/v1/sagas")["sagas"]
        return sagas if len(sagas) == count and all(len(s["steps"]) == len(STEPS) for s in sagas) else None

    return wait_for(whole, 30, f"{count} whole sagas")


class Fleet:
    """Three services with their sidecars, and a hub."""

    def __init__(self, ministack, kinescope, otlp, folder, privacy):
        self.commands, self.events = new_stream(ministack.url), new_stream(ministack.url)
        self.hub = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub")
        self.sidecars = {name: kinescope(ministack.url, {
            "service": {"name": name}, "hub": {"endpoint": self.hub.otlp_url}, "privacy": privacy,
            "otlp": otlp.config("http/protobuf")}) for name in SERVICES}
        self.folder, self.programs = folder, []

    def start(self, *sagas):
        script = ROOT / "tests/peers/clients/order_flow.py"
        for name in reversed(SERVICES):
            command = [sys.executable, script, name, self.sidecars[name].url, self.commands, self.events]
            given = sagas if name == "orders" else ()
            program = Program(f"service-{name}", [*command, *given], self.folder)
            program.wait_until(lambda: "runs" in program.output(), f"{name} to run")
            self.programs.append(program)

    def stop(self):
        for program in self.programs:
            program.kill()

    def stream_of(self, step):
        return self.commands if step in ("RESERVE_INVENTORY", "PROCESS_PAYMENT", "RELEASE_INVENTORY") else self.events

    def readers_of(self, step):
        return ["inventory", "payment"] if self.stream_of(step) == self.commands else ["orders"]


@pytest.fixture(params=["named", "hashed"])
def fleet(request, ministack, kinescope, otlp, tmp_path):
    """Sagas as privacy.fields names them, or as hashes under a key that the sidecars share."""
    key = tmp_path / "key"
    key.write_text("a secret of this deployment\n")
    named = {"fields": ["eventType", "sagaId"]}
    fleet = Fleet(ministack, kinescope, otlp, tmp_path / "services",
                  named if request.param == "named" else {"key_file": str(key)})
    fleet.hashed = request.param == "hashed"
    yield fleet
    fleet.stop()


def test_an_order_is_one_story_to_its_compensation(fleet, otlp):
    fleet.start("saga-1")
    [saga] = saga_of(fleet.hub, 1)

    # The saga, by the hub.
    assert saga["state"] == "compensated" and saga["saga"] == "RESERVE_INVENTORY"
    assert [step["step"] for step in saga["steps"]] == STEPS
    assert [step["kind"] for step in saga["steps"]] == [
        "forward", "report", "forward", "report", "compensation", "report"]
    assert (saga["saga_id"] == "saga-1") != fleet.hashed
    for step in saga["steps"]:
        assert step["stream"] == fleet.stream_of(step["step"])
        seen_by = {WRITERS[step["step"]], *fleet.readers_of(step["step"])}
        wait_for(lambda: seen_by == {
            service for other in asked(fleet.hub, "/api/v1/sagas")["sagas"][0]["steps"]
            if other["step"] == step["step"] for service in other["services"]}, 10, f"{seen_by} at {step}")

    # Span by span, at the collector: each put, and that each reader links to it.
    puts = {}
    for step in STEPS:
        def is_put(told, step=step):
            service, span = told
            return (service == WRITERS[step] and span.name == f"send {fleet.stream_of(step)}"
                    and attributes(span).get("kinescope.event.type") == step)
        put = wait_for(lambda: next(filter(is_put, list(otlp.told)), None), 20, f"the put of {step}")[1]
        assert put.kind == PRODUCER and attributes(put)["kinescope.saga.id"] == saga["saga_id"]
        place = next(s for s in saga["steps"] if s["step"] == step)
        assert (put.trace_id.hex(), put.span_id.hex()) == (place["trace_id"], place["span_id"])
        puts[step] = put
        for reader in fleet.readers_of(step):
            def links(told, reader=reader, put=put):
                service, span = told
                return service == reader and span.name.startswith("receive") and any(
                    (link.trace_id, link.span_id) == (put.trace_id, put.span_id)
                    and attributes(link)["kinescope.event.type"] == step
                    and attributes(link)["kinescope.saga.id"] == saga["saga_id"] for link in span.links)
            read = wait_for(lambda: next(filter(links, list(otlp.told)), None), 20, f"{reader} reads {step}")
            assert read[1].kind == CLIENT

    # What follows is caused by what was read: below the record's span, or below the reported work on it.
    for before, after in zip(STEPS, STEPS[1:]):
        if WRITERS[after] == "orders":
            def is_work(told, before=before):
                service, span = told
                return service == "orders" and span.kind == CONSUMER and any(
                    link.span_id == puts[before].span_id for link in span.links)
            work = next(filter(is_work, otlp.told))[1]
            assert (puts[after].trace_id, puts[after].parent_span_id) == (work.trace_id, work.span_id)
        else:
            assert puts[after].trace_id == puts[before].trace_id
            assert puts[after].parent_span_id == puts[before].span_id

    # The whole as one story, by the hub: found by any of its traces.
    def whole(trace_id):
        [story] = asked(fleet.hub, f"/api/v1/traces?trace_id={trace_id}")["traces"]
        return story if {h["span_id"] for h in story["hops"]} == {p.span_id.hex() for p in puts.values()} else None

    first = puts["RESERVE_INVENTORY"].trace_id.hex()
    story = wait_for(lambda: whole(first), 20, "the whole story")
    assert story["trace_id"] == first and story["missing"] == [] and not story["cut"]
    assert set(story["further_trace_ids"]) == {p.trace_id.hex() for p in puts.values()} - {first} != set()
    told = [(hop["event_types"], hop["producer"]["service"], hop["stream"], hop["consumer"])
            for hop in story["hops"]]
    # Readers of one record stand in the order in which they read it.
    assert sorted(told, key=lambda hop: (STEPS.index(hop[0][0]), hop[3])) == [
        ([step], WRITERS[step], fleet.stream_of(step), reader)
        for step in STEPS for reader in fleet.readers_of(step)]
    assert [step for [step], *_ in told] == [step for step in STEPS for _ in fleet.readers_of(step)]
    for hop in story["hops"]:
        assert hop["shards"] == ["shardId-000000000000"] and hop["delivery"]["deliveries"] == 1
        assert hop["time_in_stream"]["max_seconds"] >= 0 and not hop["time_in_stream"]["inferred"]
        worked = hop["consumer"] == "orders" and hop["event_types"] != ["INVENTORY_RELEASED"]
        assert (hop["processing"] is not None) == worked
    last = puts["RELEASE_INVENTORY"].trace_id.hex()
    assert asked(fleet.hub, f"/api/v1/traces?trace_id={last}")["traces"] == [story]

    # Who writes and who reads what.
    edges = {(e["service"], e["direction"], e["stream"]) for e in asked(fleet.hub, "/api/v1/traces")["services"]}
    assert edges == {("orders", "writes", fleet.commands), ("orders", "reads", fleet.events),
                     ("inventory", "writes", fleet.events), ("inventory", "reads", fleet.commands),
                     ("payment", "writes", fleet.events), ("payment", "reads", fleet.commands)}

    # A sidecar knows its pod's part, and leaves the figures to the hub.
    part = asked(fleet.sidecars["payment"], "/api/v1/traces")
    assert {e["service"] for e in part["services"]} == {"payment"}
    assert not fleet.sidecars["payment"].metrics().all("kinesis_sagas")
    if fleet.hashed:
        for program in [fleet.hub, *fleet.sidecars.values()]:
            assert "saga-1" not in program.get("/api/v1/sagas")[1] + program.output()
        assert not any("saga-1" in str(span) for _, span in otlp.told)


def test_figures_and_questions(fleet, otlp):
    fleet.start("saga-1", "saga-2", "saga-3")
    saga_of(fleet.hub, 3)
    count = lambda state: fleet.hub.metrics().value("kinesis_sagas", saga="RESERVE_INVENTORY", state=state)
    wait_for(lambda: count("compensated") == 3, 10, "three compensated sagas")
    assert [count(state) for state in ("running", "compensating", "completed", "stuck", "unknown")] == [0] * 5
    assert len(asked(fleet.hub, "/api/v1/sagas?state=compensated&limit=2")["sagas"]) == 2
    assert asked(fleet.hub, "/api/v1/sagas?state=stuck")["sagas"] == []
    stories = lambda question: len(asked(fleet.hub, f"/api/v1/traces?{question}")["traces"])
    wait_for(lambda: stories("event_type=PAYMENT_FAILED") == 3, 10, "three stories with a failed payment")
    # Each sidecar exports in its own time: until a reader's links have come, a put is a story of its own.
    wait_for(lambda: stories(f"stream={fleet.commands}") == 3, 10, "the puts of each saga in one story")
    assert (stories("event_type=SHIP_ORDER"), stories("stream=other"), stories("slower_than_ms=600000")) == (0, 0, 0)
    assert stories("slower_than_ms=1") == 3
    status, body = fleet.hub.get("/api/v1/traces?slower_than=1s")
    assert status == 400 and json.loads(body)["error"]["field"] == "slower_than"


def test_a_hub_that_dies_costs_no_application_anything(ministack, kinescope, otlp, tmp_path):
    stream, port = new_stream(ministack.url), free_port()
    hub = Kinescope(tmp_path, ministack.url, {"service": {"name": "hub"}}, role="hub", otlp=port)
    sidecar = kinescope(ministack.url, {"hub": {"endpoint": hub.otlp_url}, "otlp": otlp.config("http/protobuf")})
    done, stop, failed = [], threading.Event(), []

    def work():
        client = Boto3(sidecar.url, max_attempts=1)
        while not stop.is_set():
            try:
                client.call("PutRecord", StreamName=stream, PartitionKey="p",
                            Data=json.dumps({"eventType": f"N{len(done)}"}).encode())
                done.append(len(done))
            except Exception as error:
                failed.append(error)

    def reached(hub):
        [name] = {e["service"] for e in asked(hub, "/api/v1/traces")["services"]} or [None]
        return name == "inventory"

    worker = threading.Thread(target=work)
    worker.start()
    try:
        wait_for(lambda: reached(hub), 20, "spans at the hub")
        hub.kill()
        wait_for(lambda: sidecar.metrics().value("kinescope_dropped_total", queue="hub", reason="export_failed"),
                 60, "spans that the dead hub did not take")
        again = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub", otlp=port)
        wait_for(lambda: reached(again), 90, "spans at the hub that came back")
    finally:
        stop.set()
        worker.join()
    assert failed == [] and len(done) > 50
    records = read_all(Boto3(ministack.url), stream, len(done))
    assert [json.loads(record["Data"])["eventType"] for record in records] == [f"N{n}" for n in done]
    # The collector had them all: nothing was lost there for want of a hub.
    wait_for(lambda: len([s for s in list(otlp.spans) if s.name == f"send {stream}"]) == len(done), 30, "all spans")
    dropped = sidecar.metrics()
    assert dropped.sum("kinescope_dropped_total", queue="spans") == 0
    assert dropped.sum("kinescope_dropped_total", queue="traces") == 0
    # And the sidecar itself told what it knew all the while.
    assert asked(sidecar, "/api/v1/traces")["remembered"]["traces"] > 0


# ---- what applications export to their sidecar --------------------------------------------------


def exported(program, path, message):
    request = urllib.request.Request(
        program.otlp_url + path, message.SerializeToString(), {"content-type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status, answer.read()


def named(holder, **said):
    for key, value in said.items():
        pair = holder.attributes.add(key=key.replace("__", "."))
        pair.value.string_value = value


def spans_of(service, stream):
    message = trace_service.ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    named(resource.resource, service__name=service)
    spans = resource.scope_spans.add().spans
    ours = spans.add(trace_id=b"\1" * 16, span_id=b"\2" * 8, name=f"process {stream}", kind=CONSUMER,
                     start_time_unix_nano=10**18, end_time_unix_nano=10**18 + 5_000_000)
    named(ours, messaging__system="aws.kinesis", messaging__operation__name="process",
          messaging__destination__name=stream)
    ours.links.add(trace_id=b"\3" * 16, span_id=b"\4" * 8)
    spans.add(trace_id=b"\1" * 16, span_id=b"\5" * 8, name="SELECT stock")
    return message


def kcl_lag(stream, reads, behind_ms):
    message = metrics_service.ExportMetricsServiceRequest()
    resource = message.resource_metrics.add()
    named(resource.resource, service__name="inventory")
    metric = resource.scope_metrics.add().metrics.add(
        name="aws.kinesis.client.consumer.lag.duration", unit="ms")
    metric.histogram.aggregation_temporality = 2
    point = metric.histogram.data_points.add(
        start_time_unix_nano=10**18, time_unix_nano=10**18 + reads, count=reads, sum=behind_ms)
    named(point, aws__kinesis__stream_name=stream, aws__kinesis__shard__id="shardId-000000000001",
          aws__kinesis__consumer__name="worker-1")
    return message


def test_what_an_application_exports_goes_on_to_the_collector(ministack, kinescope):
    got = []

    def keep(request):
        got.append((request.path, request.body))
        return 200, {"content-type": "application/x-protobuf"}, b""

    collector, port = Server(keep), free_port()
    hub = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub")
    sidecar = kinescope(ministack.url, {
        "otlp": {"endpoint": collector.url, "receive": {"listen": [f"127.0.0.1:{port}"]}},
        "hub": {"endpoint": hub.otlp_url}}, otlp=port)
    try:
        sent = [("/v1/traces", spans_of("inventory", "orders")), ("/v1/metrics", kcl_lag("orders", 10, 20_000)),
                ("/v1/metrics", kcl_lag("orders", 30, 120_000))]
        for path, message in sent:
            assert exported(sidecar, path, message) == (200, b"")
        # As it came: also what is not about Kinesis.
        expected = [(path, message.SerializeToString()) for path, message in sent]
        wait_for(lambda: sorted(got) == sorted(expected), 20, "all that was exported")
        # The work on a record is known here and in the hub.
        for program in (sidecar, hub):
            [story] = wait_for(
                lambda: asked(program, f"/api/v1/traces?trace_id={'03' * 16}")["traces"], 20, "the application's span")
            [hop] = story["hops"]
            assert (hop["consumer"], hop["processing"]["max_seconds"]) == ("inventory", 0.005)
            assert story["missing"] == ["producer"]
        # KCL's own lag: the mean of the reads since its report before.
        lag = wait_for(lambda: sidecar.metrics().value(
            "kinesis_consumer_kcl_lag_seconds", stream="orders", consumer="inventory",
            shard="shardId-000000000001"), 10, "KCL's lag")
        assert lag == 5.0
        assert sidecar.metrics().value("kinescope_otlp_received_total", signal="traces", outcome="foreign") == 1
    finally:
        collector.close()


def test_who_listens_for_otlp(ministack, kinescope):
    hub = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub")
    sidecar = kinescope(ministack.url)
    assert listens(hub.otlp) and not listens(sidecar.otlp)
    # A hub's sidecars export to the collector themselves: what is not about Kinesis is told apart.
    status, body = exported(hub, "/v1/traces", spans_of("inventory", "orders"))
    partial = trace_service.ExportTraceServiceResponse.FromString(body).partial_success
    assert (status, partial.rejected_spans) == (200, 1)
