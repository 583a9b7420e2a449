"""Owns how the peer tests start programs and wait for what they show. A wait polls real state and
is bounded; nothing here sleeps for a fixed time and hopes."""

import base64
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid

import boto3
import botocore.config

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "target" / "peers"
REQUIRED = os.environ.get("KINESCOPE_REQUIRE_PEERS") == "1"
REGION = "us-east-1"
ENV = {
    "PATH": os.environ["PATH"],
    "HOME": str(PEERS),  # nobody's ~/.aws, ~/.npmrc
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def wait_for(predicate, timeout, what):
    """The first true value of `predicate`, asked every 20 ms; fails after `timeout` seconds with the
    last thing it saw."""
    deadline, last = time.monotonic() + timeout, None
    while time.monotonic() < deadline:
        try:
            last = predicate()
            if last:
                return last
        except (OSError, AssertionError) as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout} s in vain for {what}; last seen: {last!r}")


# Below what the kernel gives to who asks for any port, and a range for each run that goes on beside
# another: neither can take what the other was just told.
_ports = itertools.cycle(range(*map(int, os.environ.get("KINESCOPE_TEST_PORTS", "20000 26000").split())))


def free_port():
    """A port nobody listens on, not given again before all others were."""
    for port in _ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Program:
    """A program in a process of its own; its output goes to a file that failing tests show."""

    alive = []

    def __init__(self, name, command, folder, env=None):
        self.name, self.log = name, folder / f"{name}-{uuid.uuid4().hex[:6]}.log"
        folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [str(part) for part in command], cwd=folder, env={**ENV, **(env or {})},
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )
        Program.alive.append(self)

    def output(self):
        return self.log.read_text(errors="replace")

    def wait_until(self, predicate, what, timeout=30):
        def ready():
            # A program that died will never be ready: say so now, not after the timeout.
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")
            return predicate()

        wait_for(ready, timeout, what)
        return self

    def kill(self):
        """As a crash would: SIGKILL. (kinesis-mock ignores SIGTERM anyway.)"""
        self.process.kill()
        self._gone()

    def stop(self, timeout=15):
        """SIGTERM, and the exit code; SIGKILL and a failure if it does not end in time."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} was still there {timeout} s after SIGTERM") from None
        self._gone()
        return self.process.returncode

    def _gone(self):
        self.process.wait()
        if self in Program.alive:
            Program.alive.remove(self)


# ---- AWS emulators -----------------------------------------------------------------------------


def start_ministack(folder):
    port = free_port()
    # Without BIND_HOST it listens on every address. cbor2 must be installed, or the Rust CloudWatch
    # client cannot read its answers. Its MQTT listener would take the fixed port 8883.
    env = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "TMPDIR": str(folder),
           "IOT_MTLS_ENABLED": "0"}
    program = Program("ministack", [PEERS / "venv/bin/ministack"], folder, env)
    program.url = f"http://127.0.0.1:{port}"
    return program.wait_until(lambda: listens(port), "ministack's port", 60)


def start_kinesis_mock(folder):
    node, home = shutil.which("node"), PEERS / "npm/node_modules/kinesis-local"
    if node is None or not home.exists():
        missing("kinesis-mock")
    port = free_port()
    env = {
        # Without it the program looks for server.json in its working folder and dies.
        "KINESIS_MOCK_CERT_PATH": str(home / "server.json"),
        "KINESIS_MOCK_PLAIN_PORT": str(port),
        "KINESIS_MOCK_TLS_PORT": str(free_port()),
        "CREATE_STREAM_DURATION": "20ms",
        "SHARD_LIMIT": "500",
        "LOG_LEVEL": "WARN",
    }
    program = Program("kinesis-mock", [node, home / "main.js"], folder, env)
    program.url = f"http://127.0.0.1:{port}"
    # Its port is open before the service answers.
    client = Boto3(program.url)
    return program.wait_until(lambda: client.try_call("ListStreams"), "kinesis-mock's answer", 60)


def start_ferrokinesis(folder):
    program, port = ROOT / "target/debug/examples/ferrokinesis", free_port()
    if not program.exists():
        missing("ferrokinesis: cargo build --examples")
    ferrokinesis = Program("ferrokinesis", [program, port], folder)
    ferrokinesis.url = f"http://127.0.0.1:{port}"
    return ferrokinesis.wait_until(lambda: listens(port), "ferrokinesis's port", 30)


def start_moto(folder):
    """Of moto only DynamoDB is used: for KCL's leases."""
    server, port = PEERS / "clients/bin/moto_server", free_port()
    if not server.exists():
        missing("moto")
    program = Program("moto", [server, "-H", "127.0.0.1", "-p", port], folder)
    program.url = f"http://127.0.0.1:{port}"
    return program.wait_until(lambda: listens(port), "moto's port", 60)


def missing(peer):
    import pytest

    if REQUIRED:
        pytest.fail(f"{peer} is required and was not set up: make test")
    pytest.skip(f"left out: {peer}")


# ---- clients -----------------------------------------------------------------------------------


class Boto3:
    """boto3; HTTP/1.1. `attempts` is how many requests the last call sent."""

    name = "boto3"

    def __init__(self, endpoint, service="kinesis", max_attempts=3, read_timeout=20):
        config = botocore.config.Config(
            retries={"mode": "standard", "total_max_attempts": max_attempts},
            connect_timeout=5, read_timeout=read_timeout, max_pool_connections=64,
        )
        session = boto3.session.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
        )
        self.client = session.client(service, endpoint_url=endpoint, config=config)
        self.attempts = 0
        self.headers = {}
        events = self.client.meta.events
        events.register(f"before-sign.{service}", self._add_headers)
        events.register(f"before-send.{service}", self._count)

    def _add_headers(self, request, **_):
        for name, value in self.headers.items():
            request.headers[name] = value

    def _count(self, **_):
        self.attempts += 1

    def call(self, operation, headers=None, **given):
        self.headers, self.attempts = headers or {}, 0
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        return getattr(self.client, method)(**given)

    def subscribe(self, consumer_arn, count, shard="shardId-000000000000"):
        """The first `count` records of a shard by enhanced fan-out, and the lag that came with them."""
        events = self.client.subscribe_to_shard(
            ConsumerARN=consumer_arn, ShardId=shard, StartingPosition={"Type": "TRIM_HORIZON"})["EventStream"]
        read = []
        for event in events:
            told = event["SubscribeToShardEvent"]
            read += told["Records"]
            if len(read) >= count:
                break
        events.close()
        return {"Records": read, "MillisBehindLatest": told["MillisBehindLatest"]}

    def try_call(self, operation, **given):
        try:
            return self.call(operation, **given) or True
        except Exception:
            return None

    def close(self):
        self.client.close()


class Lines:
    """A client in a program of its own: one call a line in, one answer a line out, JSON."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(
            [str(part) for part in command], env={**ENV, **env}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        self.attempts = 0

    def call(self, operation, headers=None, **given):
        request = {"operation": operation, "input": given, "headers": headers or {}}
        self.process.stdin.write(json.dumps(request, default=_bytes_to_json) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the client ended with {self.process.wait()}")
        answer = json.loads(line, object_hook=_json_to_bytes)
        self.attempts = answer.get("attempts")
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["output"]

    def subscribe(self, consumer_arn, count, shard="shardId-000000000000"):
        """The first `count` records of a shard by enhanced fan-out, and the lag that came with them."""
        return self.call("SubscribeToShard", ConsumerARN=consumer_arn, ShardId=shard, Count=count)

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Node(Lines):
    """The AWS SDK for JavaScript v3 in kinesis.cjs; HTTP/2 prior knowledge unless `handler` is h1."""

    name = "aws-sdk-js-v3"

    def __init__(self, endpoint, handler="", max_attempts=3, env=None):
        node, modules = shutil.which("node"), PEERS / "npm/node_modules"
        if node is None or not modules.exists():
            missing("aws-sdk-js-v3")
        super().__init__([node, pathlib.Path(__file__).with_name("kinesis.cjs"), endpoint], {
            "NODE_PATH": str(modules), "HANDLER": handler, "MAX_ATTEMPTS": str(max_attempts),
            "NODE_NO_WARNINGS": "1", **(env or {})})


def _bytes_to_json(value):
    return {"base64": base64.b64encode(value).decode()}


def _json_to_bytes(value):
    return base64.b64decode(value["base64"]) if value.keys() == {"base64"} else value


def new_stream(upstream_url, shards=1):
    """A stream of its own for one test, made at the emulator itself."""
    name, client = f"orders-{uuid.uuid4().hex[:8]}", Boto3(upstream_url)
    client.call("CreateStream", StreamName=name, ShardCount=shards)
    wait_for(
        lambda: client.call("DescribeStreamSummary", StreamName=name)
        ["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE",
        20, f"stream {name}",
    )
    client.close()
    return name


def iterator(client, stream, shard="shardId-000000000000", kind="TRIM_HORIZON"):
    answer = client.call("GetShardIterator", StreamName=stream, ShardId=shard, ShardIteratorType=kind)
    return answer["ShardIterator"]


def read_all(client, stream, count, limit=1000, shard="shardId-000000000000"):
    """At least `count` records from the beginning of a shard, through `client`."""
    state = {"at": iterator(client, stream, shard), "records": []}

    def enough():
        answer = client.call("GetRecords", ShardIterator=state["at"], Limit=limit)
        state["at"] = answer["NextShardIterator"]
        state["records"] += answer["Records"]
        return len(state["records"]) >= count

    wait_for(enough, 20, f"{count} records of {stream}")
    return state["records"]


# ---- kinescope ---------------------------------------------------------------------------------


def binary():
    return pathlib.Path(os.environ.get("KINESCOPE_BIN", ROOT / "target/debug/kinescope"))


def merge(base, extra):
    for key, value in (extra or {}).items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = merge(base[key], value) if both else value
    return base


class Kinescope(Program):
    """`kinescope run` with a configuration file; `config` is laid over a small base."""

    def __init__(self, folder, upstream_url, config=None, role="sidecar", env=None, port=None, otlp=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.admin, self.otlp = port or free_port(), free_port(), otlp or free_port()
        self.url, self.admin_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.admin}"
        self.otlp_url = f"http://127.0.0.1:{self.otlp}"
        whole = merge({
            "role": role,
            "service": {"name": "inventory"},
            "region": REGION,
            "proxy": {"listen": [f"127.0.0.1:{self.port}"], "upstream": {"endpoint": upstream_url}},
            "cloudwatch": {"enabled": False},
            "state": None,  # nobody's /var/lib
            "admin": {"listen": [f"127.0.0.1:{self.admin}"]},
            # A hub's own port is fixed, and tests run side by side.
            **({} if role == "sidecar" else {"otlp": {"receive": {"listen": [f"127.0.0.1:{self.otlp}"]}}}),
        }, config)
        path = folder / f"kinescope-{uuid.uuid4().hex[:6]}.yaml"
        path.write_text(json.dumps(whole, indent=2))  # JSON is YAML
        # Spans are sent after 5 s by default; a test would only wait for it.
        env = {"OTEL_BSP_SCHEDULE_DELAY": "100", **(env or {})}
        super().__init__("kinescope", [binary(), "run", "--config", path], folder, env)
        self.wait_until(lambda: self.get("/readyz")[0] == 200, "/readyz", 20)

    def get(self, path, headers=None):
        request = urllib.request.Request(self.admin_url + path, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        return Metrics(self.get("/metrics")[1])

    def stop(self, timeout=15):
        code = super().stop(timeout)
        assert code == 0, f"kinescope ended with {code} after SIGTERM"
        assert "panicked at" not in self.output()
        return code


class Metrics:
    """One scrape in text form."""

    LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
    LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text, self.series = text, []
        for line in text.splitlines():
            match = self.LINE.match(line)
            if match and not line.startswith("#"):
                labels = dict(self.LABEL.findall(match[2] or ""))
                self.series.append((match[1], labels, float(match[3])))

    def all(self, name, **labels):
        return [
            (found, value) for family, found, value in self.series
            if family == name and labels.items() <= found.items()
        ]

    def value(self, name, **labels):
        """The one series' value; None if it is absent (which is not zero)."""
        values = [value for _, value in self.all(name, **labels)]
        assert len(values) <= 1, f"{len(values)} series of {name}{labels}"
        return values[0] if values else None

    def sum(self, name, **labels):
        return sum(value for _, value in self.all(name, **labels))


def in_threads(count, work):
    """Runs `work(index)` in `count` threads and raises what the first failing one raised."""
    errors = []

    def guarded(index):
        try:
            work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
