"""Owns: what is refused gets an answer of Kinesis's shape, never one of its throttling types; what is
merely odd reaches the upstream byte for byte."""

import json
import socket

import pytest

from harness import Boto3, wait_for
from receivers import RecordingUpstream
from signing import send, sign, signature_is_right

PUT = json.dumps({"StreamName": "s", "Data": "e30=", "PartitionKey": "p"}).encode()


@pytest.fixture
def upstream():
    recording = RecordingUpstream(400, b'{"__type":"SerializationException","message":"of the upstream"}')
    yield recording
    recording.close()


@pytest.fixture
def sidecar(kinescope, upstream):
    # The limit is small so that a request over it is quick to make; the default is 16 MiB.
    return kinescope(upstream.url, {"limits": {"body_bytes_max": "1MiB"}})


def check_refusal(answer, upstream, sidecar):
    assert 400 <= answer.status < 600, answer.body
    assert answer.headers["content-type"].startswith("application/x-amz-json-1.1")
    kind = answer.json()["__type"]
    throttling = ("Throughput", "LimitExceeded", "Throttl", "SlowDown", "TooManyRequests")
    assert kind and not any(word in kind for word in throttling), kind
    assert answer.headers["x-amzn-requestid"]
    reason = answer.headers["x-kinescope-error"]
    assert upstream.requests == []
    counted = lambda: sidecar.metrics().sum("kinescope_proxy_requests_total")
    assert wait_for(counted, 5, "the refusal's count") == 1
    return reason


def test_unsigned(sidecar, upstream):
    headers = sign(sidecar.url, PUT)
    del headers["Authorization"]
    check_refusal(send(sidecar.url, PUT, headers), upstream, sidecar)


def test_browser(sidecar, upstream):
    headers = {**sign(sidecar.url, PUT), "Origin": "https://page.example"}
    check_refusal(send(sidecar.url, PUT, headers), upstream, sidecar)


@pytest.mark.parametrize("host", ["page.example", "169.254.169.254"])
def test_foreign_host(sidecar, upstream, host):
    check_refusal(send(sidecar.url, PUT, {**sign(sidecar.url, PUT), "Host": host}), upstream, sidecar)


def test_other_service(sidecar, upstream):
    headers = sign(sidecar.url, b"{}", "DynamoDB_20120810.ListTables", "dynamodb")
    check_refusal(send(sidecar.url, b"{}", headers), upstream, sidecar)


def test_no_post(sidecar, upstream):
    check_refusal(send(sidecar.url, None, sign(sidecar.url, b""), method="GET"), upstream, sidecar)


def test_too_large_by_its_length(sidecar, upstream):
    body = b'{"Data":"' + b"A" * (2 << 20) + b'"}'
    headers = sign(sidecar.url, body)
    answer = send_until_answered(sidecar.port, headers, b"%d" % len(body), body)
    check_refusal(answer, upstream, sidecar)


def test_too_large_in_chunks(sidecar, upstream):
    chunk = b"%x\r\n%b\r\n" % (1 << 16, b"A" * (1 << 16))
    headers = {**sign(sidecar.url, b""), "Transfer-Encoding": "chunked"}
    answer = send_until_answered(sidecar.port, headers, None, chunk * 32 + b"0\r\n\r\n")
    check_refusal(answer, upstream, sidecar)


def send_until_answered(port, headers, length, body):
    """Sends only as long as no answer has come, as a careful client does: a server that refuses
    early need not read on."""
    import http.client
    import select

    from signing import Answer

    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        head = [f"{name}: {value}".encode() for name, value in headers.items()
                if name.lower() != "content-length"]
        head += [b"Content-Length: " + length] if length else []
        connection.sendall(b"\r\n".join([b"POST / HTTP/1.1", *head, b"", b""]))
        while body and not select.select([connection], [], [], 0)[0]:
            try:
                body = body[connection.send(body[:1 << 16]):]
            except (BrokenPipeError, ConnectionResetError):
                break  # the answer came between the look and the sending
        response = http.client.HTTPResponse(connection, method="POST")
        response.begin()
        return Answer(response)


ODD = {
    "not JSON": b"this is no JSON",
    "truncated": PUT[:-9],
    "duplicate keys": b'{"StreamName":"s","Data":"e30=","Data":"eyJhIjoxfQ==","PartitionKey":"p"}',
    "not base64": b'{"StreamName":"s","Data":"{not base64}","PartitionKey":"p"}',
    "base64 with a gap": b'{"StreamName":"s","Data":"e3 0=","PartitionKey":"p"}',
    "base64 without padding": b'{"StreamName":"s","Data":"e30","PartitionKey":"p"}',
    "escaped base64": b'{"StreamName":"s","Data":"e30\\u003d ","PartitionKey":"p"}',
    "data is a number": b'{"StreamName":"s","Data":17,"PartitionKey":"p"}',
    "data is null": b'{"StreamName":"s","Data":null,"PartitionKey":"p"}',
    "no data": b'{"StreamName":"s","PartitionKey":"p"}',
    "an array": b"[1,2]",
    "a scalar": b"7",
    "empty": b"",
    "not UTF-8": b'{"StreamName":"\xff","PartitionKey":"p"}',
    "bytes after": PUT + b" x",
    "a byte order mark": b"\xef\xbb\xbf" + PUT,
    "deep": b'{"StreamName":"s","x":' + b"[" * 20_000 + b"]" * 20_000 + b',"Data":"MQ==","PartitionKey":"p"}',
    "opaque data": b'{"StreamName":"s","Data":"MQ==","PartitionKey":"p"}',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("operation", ["PutRecord", "PutRecords", "GetRecords", "Unheard"])
def test_odd_bodies_arrive_as_they_were(shared, operation, body):
    sidecar, upstream = shared
    target, before = f"Kinesis_20131202.{operation}", len(upstream.requests)
    answer = send(sidecar.url, body, sign(sidecar.url, body, target, headers={"X-Other": "kept"}))
    # The upstream's answer is its own to the byte.
    assert (answer.status, answer.body) == (400, upstream.reply[2])
    assert "x-kinescope-error" not in answer.headers
    assert answer.headers["x-amzn-requestid"] == "of-the-upstream"
    # Beside it the sidecar may ask the control plane about the stream, by a target of its own.
    request, = [seen for seen in upstream.requests[before:] if seen.headers["x-amz-target"] == target]
    assert request.body == body
    assert request.headers["x-other"] == "kept"
    assert signature_is_right(request.headers, body)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from harness import Kinescope

    recording = RecordingUpstream(400, b'{"__type":"SerializationException","message":"of the upstream"}')
    program = Kinescope(tmp_path_factory.mktemp("shared"), recording.url)
    yield program, recording
    program.stop()
    recording.close()


def test_what_was_spliced_is_signed_anew(kinescope):
    upstream = RecordingUpstream(200, b'{"SequenceNumber":"1","ShardId":"shardId-000000000000"}')
    sidecar = kinescope(upstream.url)
    Boto3(sidecar.url).call("PutRecord", StreamName="s", Data=b'{"a":1}', PartitionKey="p")
    request, = upstream.puts()
    assert b"StreamName" in request.body and len(request.body) > 100
    assert signature_is_right(request.headers, request.body)
    assert "traceparent" not in json.loads(request.body)
    upstream.close()


def test_verdicts_are_counted(shared):
    sidecar, _ = shared
    body = b'{"StreamName":"verdicts","Data":"not base64!","PartitionKey":"p"}'
    send(sidecar.url, body, sign(sidecar.url, body))
    seen = wait_for(lambda: sidecar.metrics().all("kinesis_records_total", stream="verdicts"), 5, "a verdict")
    assert len(seen) == 1 and seen[0][1] == 1 and seen[0][0]["verdict"] != "injected"
