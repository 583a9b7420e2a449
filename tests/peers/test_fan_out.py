"""Owns enhanced fan-out: every client that subscribes, against every emulator that it can subscribe to,
gets through the sidecar what was put, and the sidecar tells its links and its lag from a copy."""

import pytest

from harness import Boto3, new_stream, wait_for
from sdks import CLIENTS
from test_lag import LAG, SHARD
from test_matrix import BATCH, check_read, check_trace

# Left out, with no sidecar between as well: boto3 and Go cannot read kinesis-mock's first event, the
# AWS CLI and the synchronous Java client have no SubscribeToShard.
SUBSCRIBERS = {
    "ferrokinesis": ["boto3", "aws-sdk-js-v3-h2c", "aws-sdk-js-v3-h1", "aws-sdk-rust", "aws-sdk-go-v2",
                     "aws-sdk-java-v2-async"],
    "ministack": ["boto3", "aws-sdk-js-v3-h2c", "aws-sdk-js-v3-h1", "aws-sdk-rust", "aws-sdk-go-v2",
                  "aws-sdk-java-v2-async"],
    "kinesis_mock": ["aws-sdk-js-v3-h2c", "aws-sdk-js-v3-h1", "aws-sdk-rust", "aws-sdk-java-v2-async"],
}


def consumer(upstream, stream):
    """A registered consumer of the stream, made at the emulator itself."""
    direct = Boto3(upstream.url)
    arn = direct.call("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    direct.call("RegisterStreamConsumer", StreamARN=arn, ConsumerName="fan-out")

    def active():
        told = direct.call("DescribeStreamConsumer", StreamARN=arn, ConsumerName="fan-out")["ConsumerDescription"]
        return told["ConsumerStatus"] == "ACTIVE" and told["ConsumerARN"]

    return wait_for(active, 20, "the consumer to be active")


@pytest.mark.parametrize("upstream_name, name", [
    (upstream, client) for upstream, clients in SUBSCRIBERS.items() for client in clients])
def test_a_subscription(upstream_name, name, request, kinescope, otlp):
    upstream = request.getfixturevalue(upstream_name)
    sidecar = kinescope(upstream.url, {"otlp": otlp.config("http/protobuf")})
    stream = new_stream(upstream.url)
    arn = consumer(upstream, stream)
    records = [{"Data": data, "PartitionKey": f"p{n}"} for n, data in enumerate(BATCH)]
    Boto3(sidecar.url).call("PutRecords", StreamName=stream, Records=records)
    client = CLIENTS[name](sidecar.url)
    try:
        told = client.subscribe(arn, len(BATCH))
        said = told["MillisBehindLatest"] / 1000
        # While nobody reads on, time passing may be added to what was said.
        wait_for(lambda: (shown := lag(sidecar, stream)) is not None and said <= shown <= said + 30, 10,
                 f"a lag of {said} s or a little more")
    finally:
        client.close()
    read = [record["Data"] for record in told["Records"]]
    check_read(read, BATCH)
    check_trace(otlp, stream, read, sends=1)
    assert sidecar.metrics().sum("kinesis_records_total", stream=stream, direction="get") == len(BATCH)


def lag(sidecar, stream):
    return sidecar.metrics().value(LAG, stream=stream, consumer="inventory", shard=SHARD)
