"""Owns the proof that the peers themselves start, answer and tell the truth, with no kinescope between:
a failure here is theirs or the setup's, not ours."""

import subprocess
import time

import pytest

import harness
from harness import Boto3, Node, iterator, new_stream, read_all, wait_for
from receivers import Otlp, RecordingUpstream, Server, Webhook, gap
from prometheus import Prometheus
from signing import sign, signature_is_right


@pytest.mark.parametrize("client", [Boto3, Node], ids=lambda client: client.name)
def test_emulators_keep_records(upstream, client):
    # kinesis-mock has no HTTP/2, so the JavaScript SDK needs its other handler here.
    h1 = {"handler": "h1"} if client is Node else {}
    stream, client = new_stream(upstream.url), client(upstream.url, **h1)
    records = [{"Data": b'{"n":%d}' % n, "PartitionKey": "p"} for n in range(3)]
    assert client.call("PutRecords", StreamName=stream, Records=records)["FailedRecordCount"] == 0
    read = read_all(client, stream, 3)
    assert [record["Data"] for record in read] == [record["Data"] for record in records]
    client.close()


def test_emulators_tell_the_truth_about_lag(upstream):
    stream, client = new_stream(upstream.url), Boto3(upstream.url)
    # ministack says how old the next unread record is, kinesis-mock how far the newest is from the
    # last read: both gaps are needed.
    for data in (b"1", b"2"):
        client.call("PutRecord", StreamName=stream, Data=data, PartitionKey="p")
        gap(1.2)
    answer = client.call("GetRecords", ShardIterator=iterator(client, stream), Limit=1)
    assert 1000 <= answer["MillisBehindLatest"] <= 3000
    answer = client.call("GetRecords", ShardIterator=answer["NextShardIterator"], Limit=1)
    assert answer["MillisBehindLatest"] <= 200


def test_ministack_is_a_cloudwatch(ministack):
    cloudwatch = Boto3(ministack.url, "cloudwatch").client
    at, stream = int(time.time()) // 60 * 60 - 60, f"orders-{time.time_ns()}"
    dimensions = [{"Name": "StreamName", "Value": stream}]
    cloudwatch.put_metric_data(Namespace="AWS/Kinesis", MetricData=[
        {"MetricName": "IncomingRecords", "Dimensions": dimensions, "Timestamp": at, "Value": 600.0}])
    metric = {"Namespace": "AWS/Kinesis", "MetricName": "IncomingRecords", "Dimensions": dimensions}
    answer = cloudwatch.get_metric_data(
        StartTime=at - 300, EndTime=at + 120, MetricDataQueries=[
            {"Id": "a", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}}])
    assert answer["MetricDataResults"][0]["Values"] == [600.0]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_otlp_receiver_keeps_parents_and_links(tmp_path, protocol):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.trace import Link, SpanContext, TraceFlags
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    receiver = Otlp(tmp_path)
    path = "" if protocol == "grpc" else "/v1/traces"
    exporter = OTLPSpanExporter(endpoint=receiver.config(protocol)["endpoint"] + path)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    linked = SpanContext(0xabc, 0xdef, True, TraceFlags(1))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner", links=[Link(linked)]):
        pass
    inner = receiver.wait_for_span(lambda span: span.name == "inner", "the inner span")
    outer = receiver.wait_for_span(lambda span: span.name == "outer", "the outer span")
    assert inner.parent_span_id == outer.span_id
    assert (inner.links[0].trace_id.hex(), inner.links[0].span_id.hex()) == (f"{0xabc:032x}", f"{0xdef:016x}")
    provider.shutdown()
    receiver.close()


def test_prometheus_scrapes(tmp_path):
    text = b'# HELP up_seconds x\n# TYPE up_seconds gauge\nup_seconds{stream="s"} 4.5\n'
    target = Server(lambda _: (200, {"content-type": "text/plain; version=0.0.4"}, text))
    prometheus = Prometheus(tmp_path, target.port)
    assert wait_for(lambda: prometheus.query('up_seconds{stream="s"}'), 20, "a sample")[0][1] == 4.5
    assert prometheus.promtool("check", "metrics", stdin=text.decode()) == ""
    with pytest.raises(AssertionError):
        prometheus.promtool("check", "metrics", stdin="# TYPE Bad counter\nBad 1\n")
    prometheus.stop()
    target.close()


def test_our_own_far_ends(tmp_path):
    hook, upstream = Webhook(), RecordingUpstream(body=b'{"StreamNames":[],"HasMoreStreams":false}')
    subprocess.run(["curl", "-sf", "-d", '{"status":"firing"}', hook.url], check=True, env=harness.ENV)
    assert [body["status"] for body in hook.accepted("firing")] == ["firing"]
    assert Boto3(upstream.url).call("ListStreams")["StreamNames"] == []
    assert len(upstream.requests) == 1
    hook.close()
    upstream.close()


def test_our_check_of_signatures():
    body = b'{"a":1}'
    headers = sign("http://127.0.0.1:1", body)
    assert signature_is_right(headers, body)
    assert not signature_is_right(headers, body + b" ")
    assert not signature_is_right({**headers, "X-Amz-Target": "Kinesis_20131202.GetRecords"}, body)
