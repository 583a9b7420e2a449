"""Owns: `run --role all` polls CloudWatch and exports what it said, apart from what was seen on the
wire."""

import time

import pytest

from harness import Boto3, new_stream, wait_for

SAID = {  # CloudWatch's metric: (its value over 60 s, our family, our value)
    "IncomingRecords": (600.0, "kinesis_cloudwatch_incoming_records_per_second", 10.0),
    "IncomingBytes": (120_000.0, "kinesis_cloudwatch_incoming_bytes_per_second", 2_000.0),
    "GetRecords.IteratorAgeMilliseconds": (42_500.0, "kinesis_cloudwatch_iterator_age_seconds", 42.5),
    "WriteProvisionedThroughputExceeded": (30.0, "kinesis_cloudwatch_write_throttles_per_second", 0.5),
}
POLLING = {"cloudwatch": {"enabled": True, "interval": "2s", "delay": "0s"}}


def tell(ministack, stream, metrics):
    cloudwatch = Boto3(ministack.url, "cloudwatch").client
    minute = int(time.time()) // 60 * 60
    dimensions = [{"Name": "StreamName", "Value": stream}]
    cloudwatch.put_metric_data(Namespace="AWS/Kinesis", MetricData=[
        {"MetricName": name, "Dimensions": dimensions, "Timestamp": minute - back, "Value": value}
        for name, value in metrics.items() for back in (60, 120, 180)])


@pytest.mark.parametrize("role", ["all", "hub"])
def test_polls_and_exports(ministack, kinescope, role):
    stream, silent = new_stream(ministack.url), new_stream(ministack.url)
    tell(ministack, stream, {name: value for name, (value, _, _) in SAID.items()})
    config = {"cloudwatch": {**POLLING["cloudwatch"], "endpoint": ministack.url}}
    hub = kinescope(ministack.url, config, role=role)
    for _, family, expected in SAID.values():
        wait_for(lambda: hub.metrics().value(family, stream=stream), 30, f"{family} of {stream}")
        assert hub.metrics().value(family, stream=stream) == pytest.approx(expected)
    metrics = hub.metrics()
    # Missing is not zero: nothing was said of read throttles, nor of the other stream.
    assert metrics.value("kinesis_cloudwatch_read_throttles_per_second", stream=stream) is None
    assert metrics.value("kinesis_cloudwatch_iterator_age_seconds", stream=silent) is None
    requests = metrics.all("kinescope_cloudwatch_requests_total")
    assert requests and all((labels["outcome"] == "ok") == (count > 0) for labels, count in requests)
    last = metrics.all("kinescope_cloudwatch_last_success_timestamp_seconds")
    assert last and all(abs(time.time() - value) < 60 for _, value in last)
    # What CloudWatch says is no wire-observed figure.
    assert metrics.all("kinesis_consumer_delivery_lag_seconds", stream=stream) == []


def test_a_sidecar_does_not_poll(ministack, kinescope):
    sidecar = kinescope(ministack.url, {"cloudwatch": {"enabled": "auto", "interval": "1s"}})
    assert "kinescope_cloudwatch_requests_total{" not in sidecar.metrics().text


def test_a_cloudwatch_that_is_down_changes_nothing(ministack, kinescope):
    stream = new_stream(ministack.url)
    config = {"cloudwatch": {**POLLING["cloudwatch"], "endpoint": "http://127.0.0.1:9"}}
    both = kinescope(ministack.url, config, role="all")
    client = Boto3(both.url, max_attempts=1)
    client.call("PutRecord", StreamName=stream, Data=b"{}", PartitionKey="p")
    assert both.get("/readyz")[0] == 200
    wait_for(lambda: any(value > 0 and labels.get("outcome") != "ok" for labels, value in
                         both.metrics().all("kinescope_cloudwatch_requests_total")), 60, "a counted failure")
