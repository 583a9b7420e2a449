"""Owns: the programs in examples/ do what they say: Lambda handlers where no sidecar listens, a
consumer that reports, a producer without an SDK."""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from harness import ENV, PEERS, ROOT, Boto3, missing, new_stream, wait_for

EXAMPLES = ROOT / "examples"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
RECORD = f"00-{TRACE}-{SPAN}-01"
XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
ORDER = {"eventId": "e1", "eventType": "ORDER_PLACED", "traceparent": RECORD, "payload": {"sagaId": "s1"}}


def recorded(*datas):
    """An event as Lambda's event source mapping for Kinesis gives it."""
    return {"Records": [{
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": "p", "sequenceNumber": str(49590338271490256608559692538361571095921575989136588898 + at),
            "data": base64.b64encode(data).decode(), "approximateArrivalTimestamp": 1545084650.987,
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0",
        "eventID": f"shardId-000000000006:{at}", "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role", "awsRegion": "us-east-2",
        "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/orders",
    } for at, data in enumerate(datas)]}


def python(_folder, work):
    """The Python handler in a process of its own, with `work` in the place of its work."""
    program = f"""
import sys; sys.path.insert(0, {str(EXAMPLES / "lambda-python")!r})
import handler, json
def work(event):
    {work["python"]}
handler.process = work
print("answer", json.dumps(handler.handler(json.load(sys.stdin), None)))
"""
    return [sys.executable, "-I", "-c", program]


def typescript(folder, work):
    """The TypeScript handler in node, its types stripped by node or by the compiler."""
    node = shutil.which("node")
    if node is None:
        missing("lambda-typescript: there is no node")
    source = (EXAMPLES / "lambda-typescript/handler.ts").read_text()
    old = "async function work(event: Envelope): Promise<void> {}"
    assert old in source
    (folder / "handler.ts").write_text(source.replace(old, old[:-1] + work["typescript"] + "}"))
    tsc, call = PEERS / "npm/node_modules/typescript/bin/tsc", [node]
    if tsc.exists():
        (folder / "package.json").write_text('{"type": "module"}')
        told = subprocess.run(
            [node, tsc, "--strict", "--erasableSyntaxOnly", "--target", "es2022", "--module", "esnext",
             "--moduleResolution", "bundler", "handler.ts"],
            cwd=folder, env=ENV, capture_output=True, text=True, timeout=120).stdout
        # What node itself has is typed in a package of its own, which is not here.
        ours = [line for line in told.splitlines() if not re.search("'(node:crypto|process|Buffer|performance)'", line)]
        assert ours == [], told
        module = "handler.js"
    else:
        version = subprocess.run([node, "--version"], env=ENV, capture_output=True, text=True).stdout
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < (22, 6):
            missing(f"lambda-typescript: node {version.strip()} cannot strip types (22.6 can), and the npm "
                    "package typescript is not in target/peers/npm")
        module, call = "handler.ts", [node, "--experimental-strip-types", "--no-warnings"]
    (folder / "run.mjs").write_text(f"""
import {{ handler }} from "./{module}";
let event = ""; for await (const piece of process.stdin) event += piece;
console.log("answer", JSON.stringify(await handler(JSON.parse(event))));
""")
    return [*call, folder / "run.mjs"]


NOTHING = {"python": "pass", "typescript": ""}
SLEEP = {"python": "import time; time.sleep(0.02)", "typescript": "await new Promise((go) => setTimeout(go, 25));"}
FAIL = {"python": 'if event.get("eventType") == "BAD": raise TimeoutError("no")',
        "typescript": 'if (event["eventType"] === "BAD") throw new TypeError("no");'}


@pytest.fixture(params=[python, typescript])
def invoke(request, tmp_path):
    def run(*datas, work=NOTHING, **env):
        command = [str(part) for part in request.param(tmp_path, work)]
        done = subprocess.run(command, input=json.dumps(recorded(*datas)), env={**ENV, **env}, cwd=tmp_path,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        *lines, answer = done.stdout.splitlines()
        return [json.loads(line) for line in lines], json.loads(answer.removeprefix("answer "))["batchItemFailures"]
    return run


def known_fields():
    """The fields of Kinescope's own lines."""
    source = (ROOT / "src/io/proxy/envelope_api/report.rs").read_text()
    block = source.split("pub const LINE_FIELDS")[1].split("= [")[1].split("];")[0]
    return set(re.findall(r'"(\w+)"', block)) | {"level", "message"}


def test_a_lambda_says_what_it_processed(invoke):
    (line,), failed = invoke(json.dumps(ORDER).encode(), _X_AMZN_TRACE_ID=XRAY, OTEL_SERVICE_NAME="mail", work=SLEEP)
    assert failed == [] and set(line) <= known_fields()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
    assert (line["eventType"], line["error"], line["consumer"]) == ("ORDER_PLACED", False, "mail")
    assert 20 <= line["processingTime"] < 10_000
    assert (line["stream"], line["shard"]) == ("orders", "shardId-000000000006")
    assert line["sequenceNumber"].startswith("4959033827")
    # The invocation's own trace; the record's context is a link.
    assert line["trace_id"] == "5759e988bd862e3fe1be46a994272793" and len(line["span_id"]) == 16
    assert (line["record_trace_id"], line["record_span_id"]) == (TRACE, SPAN)
    assert (line["eventId"], line["sagaId"]) == ("e1", "s1")


def test_the_articles_queries_read_a_lambdas_lines(invoke):
    bad = json.dumps({**ORDER, "eventType": "BAD"}).encode()
    lines, failed = invoke(json.dumps(ORDER).encode(), bad, b"{}", work=FAIL)
    assert [line["eventType"] for line in lines if line["error"] is True] == ["BAD"]
    assert lines[-1]["errorType"] in ("TimeoutError", "TypeError")
    assert all(isinstance(line["processingTime"], (int, float)) for line in lines)
    # What follows the failed record waits for the next try.
    assert len(lines) == 2 and [one["itemIdentifier"][-3:] for one in failed] == ["899"]


def test_odd_records_are_no_reason_to_fail(invoke):
    datas = [b"\x1f\x8b\x00\xff", b"", b"[1]", b'{"traceparent":7,"eventType":{},"payload":"x"}',
             b'{"traceparent":"00-%b-%b-01"}' % (b"0" * 32, b"1" * 16), b'{"traceparent":"%b-01"}' % RECORD.encode(),
             b'\xef\xbb\xbf{"a":1}\n\n{"b":2}\r\n']
    lines, failed = invoke(*datas)
    assert failed == [] and len(lines) == len(datas) + 1
    for line in lines:
        assert "record_trace_id" not in line and "eventType" not in line and line["error"] is False
        assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}", line["trace_id"])
    (line,), _ = invoke(b'{"traceparent":"cc-%b-%b-01-more"}' % (TRACE.encode(), SPAN.encode()))
    assert line["record_trace_id"] == TRACE


def test_the_boto3_consumer_reports_what_it_read(ministack, kinescope, tmp_path):
    stream, sidecar = new_stream(ministack.url), kinescope(ministack.url)
    client = Boto3(sidecar.url)
    for data in (json.dumps(ORDER).encode(), b'{"eventType":"ORDER_PAID"}', b"\xff"):
        client.call("PutRecord", StreamName=stream, Data=data, PartitionKey="p")
    client.close()
    done = subprocess.run([sys.executable, EXAMPLES / "boto3-consumer/consumer.py", stream, "1"], cwd=tmp_path,
                          env={**ENV, "AWS_ENDPOINT_URL_KINESIS": f"{sidecar.url}/app/mail/"},
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    count = lambda kind: sidecar.metrics().value(
        "kinesis_event_process_seconds_count", stream=stream, consumer="mail", event_type=kind)
    for kind in ("ORDER_PLACED", "ORDER_PAID", "unknown"):
        wait_for(lambda: count(kind) == 1, 5, f"a report of {kind}")
    lines = [json.loads(line) for line in sidecar.output().splitlines() if '"processed"' in line]
    assert {line.get("record_trace_id") for line in lines} >= {TRACE}


def test_the_boto3_consumer_lives_without_the_sidecar(tmp_path):
    program = """
import sys; sys.path.insert(0, sys.argv[1])
import consumer
consumer.one("orders", "shardId-000000000000", {"SequenceNumber": "1", "Data": b"{}"})
"""
    done = subprocess.run([sys.executable, "-c", program, EXAMPLES / "boto3-consumer"], cwd=tmp_path,
                          env={**ENV, "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:1"},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "cannot be reached" in done.stderr


def go():
    found = PEERS / "clients/bin/go"
    return found if found.exists() else shutil.which("go") or missing("go-producer: there is no Go")


@pytest.fixture(scope="session")
def producer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("go")
    env = {**ENV, "GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "GOTOOLCHAIN": "local",
           "GOFLAGS": "", "GOPATH": str(folder), "CGO_ENABLED": "0"}
    subprocess.run([go(), "build", "-o", folder / "producer", EXAMPLES / "go-producer/main.go"], env=env,
                   check=True, timeout=240)
    return folder / "producer"


def test_the_go_producer(producer, ministack, kinescope):
    sidecar = kinescope(ministack.url)

    def made(url):
        return subprocess.run([producer, "orders", "ORDER_PLACED"], capture_output=True, text=True, timeout=30,
                              env={**ENV, "KINESCOPE_URL": url, "TRACEPARENT": RECORD})

    done = made(sidecar.url)
    event = json.loads(done.stdout)
    assert (event["eventType"], event["traceparent"], done.stderr) == ("ORDER_PLACED", RECORD, "injected\n")
    # Without the sidecar the order goes out all the same.
    done = made("http://127.0.0.1:1")
    assert done.returncode == 0 and "traceparent" not in json.loads(done.stdout)
