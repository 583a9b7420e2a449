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
# Other tests' streams are in the emulator too; their number must not bring the budget in.
POLLING = {"cloudwatch": {"enabled": True, "interval": "2s", "delay": "0s", "budget_dollars_per_month": "unlimited"}}


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


def told(ministack, namespace, name, value, **dimensions):
    """Puts a value of the three last whole minutes."""
    minute = int(time.time()) // 60 * 60
    Boto3(ministack.url, "cloudwatch").client.put_metric_data(Namespace=namespace, MetricData=[
        {"MetricName": name, "Timestamp": minute - back, "Value": value,
         "Dimensions": [{"Name": key, "Value": of} for key, of in dimensions.items()]}
        for back in (60, 120, 180)])


def test_every_level_has_families_of_its_own(ministack, kinescope):
    stream, other = new_stream(ministack.url), new_stream(ministack.url)
    shard, unique = "shardId-000000000000", stream.rsplit("-", 1)[-1]
    function, pipe, app = f"bill-{unique}", f"lake-{unique}", f"sums-{unique}"
    mapping = f"uuid-{unique}"
    kinesis = "AWS/Kinesis"
    told(ministack, kinesis, "PutRecords.ThrottledRecords", 120, StreamName=stream)
    # The stream's own metric has another name; shards and consumers are found, not named.
    told(ministack, kinesis, "IteratorAgeMilliseconds", 1500, StreamName=stream, ShardId=shard)
    told(ministack, kinesis, "SubscribeToShardEvent.MillisBehindLatest", 2500, StreamName=stream, ConsumerName="mail")
    told(ministack, kinesis, "IteratorAgeMilliseconds", 1500, StreamName=other, ShardId=shard)
    told(ministack, "AWS/Lambda", "IteratorAge", 3500, FunctionName=function)
    told(ministack, "AWS/Lambda", "DroppedEventCount", 60, EventSourceMappingUUID=mapping)
    told(ministack, "AWS/Firehose", "DeliveryToS3.DataFreshness", 45, DeliveryStreamName=pipe)
    told(ministack, "AWS/KinesisAnalytics", "millisBehindLatest", 4500, Application=app, Id="orders", Flow="Input")
    told(ministack, "AWS/KinesisAnalytics", "millisBehindLatest", -1, Application=app, Id="silent", Flow="Input")
    hub = kinescope(ministack.url, role="hub", config={"cloudwatch": {
        **POLLING["cloudwatch"], "endpoint": ministack.url,
        "streams": {"include": [stream]},
        "lambda_functions": [{"name": function, "event_source_mappings": [mapping]}],
        "firehose": [f"lake-{unique[:-1]}?"], "flink": [app]}})
    for family, labels, expected in [
        ("put_throttled_records_per_second", {"stream": stream}, 2),
        ("shard_iterator_age_seconds", {"stream": stream, "shard": shard}, 1.5),
        ("fan_out_behind_seconds", {"stream": stream, "consumer": "mail"}, 2.5),
        ("lambda_iterator_age_seconds", {"function": function}, 3.5),
        ("lambda_mapping_dropped_events_per_second", {"mapping": mapping}, 1),
        ("firehose_freshness_seconds", {"delivery_stream": pipe, "destination": "s3"}, 45),
        ("flink_behind_seconds", {"application": app, "source": "orders/Input"}, 4.5),
    ]:
        family = f"kinesis_cloudwatch_{family}"
        wait_for(lambda: hub.metrics().value(family, **labels) is not None, 30, f"{family} of {labels}")
        assert hub.metrics().value(family, **labels) == pytest.approx(expected)
    metrics = hub.metrics()
    # -1 is no lag, and a stream that was not selected has no shards.
    assert metrics.value("kinesis_cloudwatch_flink_behind_seconds", source="silent/Input") is None
    assert metrics.all("kinesis_cloudwatch_shard_iterator_age_seconds", stream=other) == []
    succeeded = "kinescope_cloudwatch_last_success_timestamp_seconds"
    jobs = {"streams", "shards", "fan_out", "lambda", "firehose", "flink", "discovery"}
    wait_for(lambda: {labels["job"] for labels, _ in hub.metrics().all(succeeded)} == jobs, 10, succeeded)
    given_up = metrics.all("kinescope_cloudwatch_given_up")
    assert len(given_up) == 11 and all(value == 0 for _, value in given_up)


def test_streams_are_chosen_by_tag(ministack, kinescope):
    stream, other = new_stream(ministack.url), new_stream(ministack.url)
    team = f"team-{stream.rsplit('-', 1)[-1]}"
    Boto3(ministack.url).client.add_tags_to_stream(StreamName=stream, Tags={"team": team, "x": "y"})
    for name in (stream, other):
        tell(ministack, name, {"IncomingRecords": 600.0})
    hub = kinescope(ministack.url, role="hub", config={"cloudwatch": {
        **POLLING["cloudwatch"], "endpoint": ministack.url,
        # The names hold the time short: the session's other streams have no such tags either.
        "streams": {"include": [stream, other], "tags": {"team": team}}}})
    family = "kinesis_cloudwatch_incoming_records_per_second"
    wait_for(lambda: hub.metrics().value(family, stream=stream) == 10, 30, f"{family} of {stream}")
    assert hub.metrics().value(family, stream=other) is None


def test_the_budget_holds_and_outlives_a_restart(ministack, kinescope, tmp_path):
    stream = new_stream(ministack.url)
    tell(ministack, stream, {"IncomingRecords": 600.0, "GetRecords.IteratorAgeMilliseconds": 42_500.0})

    def hub(dollars):
        return kinescope(ministack.url, role="hub", config={
            "state": str(tmp_path / "state"),
            "cloudwatch": {**POLLING["cloudwatch"], "endpoint": ministack.url, "shard_level": "off",
                           "consumers": False, "streams": {"include": [stream]},
                           "budget_dollars_per_month": dollars}})

    def spent(program):
        return program.metrics().value("kinescope_cloudwatch_month_cost_dollars")

    first = hub("unlimited")
    wait_for(lambda: (spent(first) or 0) > 0, 30, "spending")
    before = spent(first)
    first.stop()
    # One poll of the iterator age is more than is left: nothing is asked, and that is said.
    second = hub(before / 2)
    wait_for(lambda: spent(second) == pytest.approx(before), 30, "what the first had spent")
    given_up = second.metrics().all("kinescope_cloudwatch_given_up")
    assert {labels["detail"] for labels, value in given_up if value == 1} >= {"stream_detail", "iterator_age"}
    assert second.metrics().all("kinescope_cloudwatch_requests_total", operation="GetMetricData") == []
    second.stop()
    (tmp_path / "state" / "cloudwatch-budget").write_text("torn")
    third = hub(100)
    family = "kinesis_cloudwatch_iterator_age_seconds"
    wait_for(lambda: third.metrics().value(family, stream=stream) == 42.5, 30, family)
    assert "it counts from zero" in third.output()
