"""Owns the ways in: TLS for clients that insist on it (the KPL's requests, as its C++ daemon writes them,
stand in for the KPL itself), a port for an application, who may call what, and how large a record may be."""

import base64
import hashlib
import json
import ssl
import urllib.parse
import http.client

import boto3
import botocore.config
import botocore.exceptions
import pytest
from aws_kinesis_agg.aggregator import AggRecord

from harness import Boto3, Node, REGION, free_port, wait_for
from signing import sign

PUT = {"StreamName": "orders", "Data": b'{"eventId":"1"}', "PartitionKey": "p"}


@pytest.fixture
def tls(kinescope, kinesis, tmp_path):
    """A sidecar with a TLS listener whose certificate was made at start."""
    upstream, port = kinesis(), free_port()
    (tmp_path / "state").mkdir()
    sidecar = kinescope(upstream.url, {"state": str(tmp_path / "state"), "proxy": {
        "tls": {"enabled": True, "listen": [f"127.0.0.1:{port}"]}}})
    return upstream, sidecar, port, tmp_path / "state" / "certificate.pem"


def test_a_client_that_verifies_the_made_certificate(tls):
    upstream, _, port, pem = tls
    client = boto3.client("kinesis", endpoint_url=f"https://localhost:{port}", region_name=REGION, verify=str(pem),
                          aws_access_key_id="test", aws_secret_access_key="test",
                          config=botocore.config.Config(retries={"total_max_attempts": 1}))
    client.put_record(**PUT)
    assert b"traceparent" in upstream.stored[0][0]


def test_javascript_over_tls_speaks_h2(tls):
    upstream, sidecar, port, pem = tls
    client = Node(f"https://localhost:{port}", env={"NODE_EXTRA_CA_CERTS": str(pem)})
    client.call("PutRecord", **PUT)
    client.close()
    assert b"traceparent" in upstream.stored[0][0]


@pytest.mark.parametrize("alpn", ["h2", "http/1.1", None])
def test_alpn(tls, alpn):
    _, _, port, pem = tls
    context = ssl.create_default_context(cafile=str(pem))
    if alpn:
        context.set_alpn_protocols([alpn])
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
    connection.connect()
    assert connection.sock.selected_alpn_protocol() == alpn
    connection.close()


def test_the_kpls_request(tls):
    """The form that the KPL's daemon (aws-sdk-cpp) sends: TLS, HTTP/1.1, PutRecords in JSON without spaces
    whose data is an aggregate, ExplicitHashKey beside partition key "a", no trace header."""
    upstream, sidecar, port, pem = tls
    made = AggRecord()
    for n in range(20):
        made.add_user_record(f"key-{n}", b'{"n":%d,"text":"%b"}' % (n, b"x" * 900))
    _, hash_key, aggregate = made.get_contents()
    entry = {"Data": base64.b64encode(aggregate).decode(), "ExplicitHashKey": str(hash_key or 0), "PartitionKey": "a"}
    body = json.dumps({"Records": [entry], "StreamName": "orders"}, separators=(",", ":")).encode()
    url = f"https://localhost:{port}"
    headers = sign(url, body, "Kinesis_20131202.PutRecords", headers={
        "User-Agent": "KinesisProducer/1.0.7 aws-sdk-cpp/1.11.741", "Accept": "*/*",
        "amz-sdk-invocation-id": "5A0A4B2C-8C6E-4B53-9A0E-0B3B6B5D2F11", "amz-sdk-request": "attempt=1"})
    connection = http.client.HTTPSConnection("localhost", port, timeout=10,
                                             context=ssl.create_default_context(cafile=str(pem)))
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    assert answer.status == 200 and told["FailedRecordCount"] == 0
    (data, key), = upstream.stored
    assert key == "a" and len(data) - len(aggregate) == 20 * 72
    assert hashlib.md5(data[4:-16]).digest() == data[-16:]


def test_a_broken_mounted_certificate_does_not_start(kinescope, kinesis, tmp_path):
    """It ends before it listens, and says which file."""
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    with pytest.raises(RuntimeError, match="certificate"):
        kinescope(kinesis().url, {"proxy": {"tls": {
            "enabled": True, "listen": [f"127.0.0.1:{free_port()}"], "certificate": str(bad), "key": str(bad)}}})


def test_a_port_of_an_applications_own(kinescope, kinesis):
    upstream, port = kinesis(), free_port()
    sidecar = kinescope(upstream.url, {"proxy": {"apps": [{"name": "mail", "listen": f"127.0.0.1:{port}"}]}})
    for url, consumer in [(f"http://127.0.0.1:{port}", "mail"), (sidecar.url, "inventory")]:
        client = Boto3(url)
        at = client.call("GetShardIterator", StreamName="orders", ShardId="shardId-000000000000",
                         ShardIteratorType="LATEST")["ShardIterator"]
        client.call("GetRecords", ShardIterator=at)
        wait_for(lambda: sidecar.metrics().all("kinesis_consumer_delivery_lag_seconds", consumer=consumer), 10, consumer)


@pytest.mark.parametrize("allow, refused", [
    ({"access_keys": ["AKIAOTHER"]}, "access_keys"), ({"operations": ["Get*", "List*"]}, "operations"),
    ({"streams": ["mail*"]}, "streams"), ({"access_keys": ["test"], "operations": ["Put*"], "streams": ["ord*"]}, None),
])
def test_who_may_call_what(kinescope, kinesis, allow, refused):
    upstream = kinesis()
    client = Boto3(kinescope(upstream.url, {"proxy": {"allow": allow}}).url)
    if refused is None:
        client.call("PutRecord", **PUT)
        return
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.call("PutRecord", **PUT)
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert f"proxy.allow.{refused}" in caught.value.response["Error"]["Message"]
    assert [it for it in upstream.requests if it[0] == "PutRecord"] == []
    assert client.attempts == 1, "a refusal is not retried"


def test_the_streams_own_record_limit_is_learned(kinescope, kinesis):
    """1 MiB while unknown; then what DescribeStreamSummary says."""
    upstream = kinesis(record_bytes_max=10 << 20)
    sidecar = kinescope(upstream.url)
    client = Boto3(sidecar.url)
    large = {**PUT, "Data": b'{"text":"' + b"x" * (3 << 20) + b'"}'}
    client.call("PutRecord", **large)
    assert upstream.stored[0][0] == large["Data"], "enlarged beyond the limit that every stream has"

    def injected():
        client.call("PutRecord", **large)
        return b"traceparent" in upstream.stored[-1][0][:100]

    wait_for(injected, 20, "the learned limit")
    whole = {**PUT, "Data": b'{"text":"' + b"x" * ((10 << 20) - 13) + b'"}'}
    client.call("PutRecord", **whole)
    assert upstream.stored[-1][0] == whole["Data"], "grown past the stream's limit"
    verdicts = sidecar.metrics()
    wait_for(lambda: sidecar.metrics().sum("kinesis_records_total", verdict="record_too_large") == 2, 10, verdicts.text)


def test_a_canary_injects_some_calls(kinescope, kinesis):
    upstream = kinesis()
    client = Boto3(kinescope(upstream.url, {"proxy": {"streams": [
        {"match": "*", "propagate_percent": 50}]}}).url)
    for _ in range(60):
        client.call("PutRecord", **PUT)
    injected = sum(b"traceparent" in data for data, _ in upstream.stored)
    assert 10 < injected < 50, injected  # binomial: outside once in ten million runs
