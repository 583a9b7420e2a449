"""Owns the clients of the matrix: each a real SDK or program that others wrote, pointed at an endpoint
in the way its users would. boto3 and the SDK for JavaScript are in harness.py."""

import base64
import json
import os
import subprocess
import tempfile

from harness import ENV, PEERS, ROOT, Boto3, Lines, Node, missing


def needed(path, peer):
    if not path.exists():
        missing(peer)
    return path


class AwsCli:
    """The AWS CLI, a process a call. Its own form of JSON has no bytes, so bytes go through a file
    (PutRecord) or must be text (PutRecords)."""

    def __init__(self, endpoint):
        self.command = [needed(PEERS / "clients/bin/aws", "aws-cli"), "--output", "json", "kinesis"]
        self.env = {**ENV, "AWS_ENDPOINT_URL_KINESIS": endpoint}

    def call(self, operation, StreamName=None, Data=None, Records=None, **given):
        name = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in operation)[1:]
        with tempfile.NamedTemporaryFile() as data:
            if Data is not None:
                data.write(Data)
                data.flush()
                given["Data"] = f"fileb://{data.name}"
            if Records is not None:
                given["Records"] = json.dumps([{**one, "Data": one["Data"].decode()} for one in Records])
            if StreamName is not None:
                given["StreamName"] = StreamName
            arguments = []
            for key, value in given.items():
                option = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in key)
                arguments += [f"-{option}", str(value)]
            done = subprocess.run([*self.command, name, *arguments], env=self.env, capture_output=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())
        answer = json.loads(done.stdout)
        for record in answer.get("Records", []):
            if "Data" in record:
                record["Data"] = base64.b64decode(record["Data"])
        return answer

    def close(self):
        pass


class Rust(Lines):
    """aws-sdk-kinesis in examples/rust_sdk_client.rs; HTTP/1.1."""

    def __init__(self, endpoint):
        program = needed(ROOT / "target/debug/examples/rust_sdk_client", "aws-sdk-rust: cargo build --examples")
        super().__init__([program], {"AWS_ENDPOINT_URL_KINESIS": endpoint})


class Go(Lines):
    """The AWS SDK for Go v2 of Debian, which is older than the environment variable; HTTP/1.1."""

    def __init__(self, endpoint):
        super().__init__([needed(PEERS / "go/kinesis", "aws-sdk-go-v2"), endpoint], {})


def java(*arguments):
    """A JVM that starts quickly and stays small, with our classes and the jars of KCL."""
    home = needed(PEERS / "java", "aws-sdk-java-v2, kcl")
    return [home / "bin/java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-cp",
            f"{home / 'classes'}:{home / 'jars'}/*", *arguments]


class JavaSync(Lines):
    """The SDK for Java v2 over Apache's client, CBOR, HTTP/1.1; pointed here by a system property."""

    def __init__(self, endpoint):
        super().__init__(java(f"-Daws.endpointUrlKinesis={endpoint}", "Kinesis", "sync"), {})


class JavaAsync(Lines):
    """The SDK for Java v2 over netty, CBOR, HTTP/2 with prior knowledge; pointed here by the environment."""

    def __init__(self, endpoint):
        super().__init__(java("Kinesis", "async"), {"AWS_ENDPOINT_URL_KINESIS": endpoint})


class DdTrace(Lines):
    """boto3 under ddtrace, which writes its context into records itself."""

    def __init__(self, endpoint):
        python = needed(PEERS / "clients/bin/python", "ddtrace")
        super().__init__([python, os.path.join(os.path.dirname(__file__), "clients/traced.py")],
                         {"AWS_ENDPOINT_URL_KINESIS": endpoint, **QUIET_TRACER})


class DdTraceNode(Node):
    """The SDK for JavaScript under dd-trace."""

    def __init__(self, endpoint):
        super().__init__(endpoint, env={"TRACER": "dd-trace", **QUIET_TRACER})


class Otel(Lines):
    """boto3 under OpenTelemetry, which tells its parent by X-Ray's header unless told otherwise."""

    def __init__(self, endpoint, env=None):
        python = needed(PEERS / "venv/bin/python", "opentelemetry-instrumentation-botocore")
        super().__init__([python, os.path.join(os.path.dirname(__file__), "clients/otel.py")],
                         {"AWS_ENDPOINT_URL_KINESIS": endpoint, **(env or {})})


class OtelW3c(Otel):
    """The same with the global propagators: `traceparent`."""

    def __init__(self, endpoint):
        super().__init__(endpoint, {"PROPAGATOR": "global"})


class OtelNode(Node):
    """The SDK for JavaScript under OpenTelemetry. Over HTTP/1.1 `traceparent` is sent; Node's http2
    module, which the SDK takes by default, nobody instruments."""

    def __init__(self, endpoint, handler="h1"):
        tracer = os.path.join(os.path.dirname(__file__), "clients/otel.cjs")
        super().__init__(endpoint, handler, env={"TRACER": tracer})


# There is no agent: nothing is to be sent anywhere, and what is said of that goes nowhere.
QUIET_TRACER = {
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9", "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false", "DD_TRACE_STARTUP_LOGS": "false",
    "DD_CRASHTRACKING_ENABLED": "false", "DD_TRACE_STATS_COMPUTATION_ENABLED": "false",
}

CLIENTS = {
    "boto3": Boto3,
    "aws-cli": AwsCli,
    "aws-sdk-js-v3-h2c": Node,
    "aws-sdk-js-v3-h1": lambda endpoint: Node(endpoint, handler="h1"),
    "aws-sdk-rust": Rust,
    "aws-sdk-go-v2": Go,
    "aws-sdk-java-v2-sync": JavaSync,
    "aws-sdk-java-v2-async": JavaAsync,
}
