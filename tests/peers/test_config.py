"""Owns: a faulty configuration is refused with every fault at once, and no value of it is quoted; a
reload puts a good one in force within a second and a faulty one not at all; `check --online` says what
would happen."""

import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

import cbor2
import pytest

from harness import ENV, Boto3, binary, free_port, new_stream, read_all, wait_for
from receivers import Server

FAULTY = """\
role: sidekick
rol: hub
proxy:
  listen: ["nowhere"]
  propogation: off
cloudwatch: { interval: 60 }
otlp: { protocol: carrier-pigeon }
alerts:
  rules: ["/not/there.yaml"]
  receivers:
    - { name: hook, webhook: { url: "hunter2" } }
"""
FAULTS = [  # (line, path, a word that says what would be right)
    (1, "role", "hub"),
    (2, "rol", "role"),
    (4, "proxy.listen", None),
    (5, "proxy.propogation", "propagation"),
    (6, "cloudwatch.interval", "60s"),
    (7, "otlp.protocol", "grpc"),
    (9, "alerts.rules", "cannot be read"),
    (11, "alerts.receivers[0].webhook.url", "http"),
]


def run(*arguments, env=None):
    return subprocess.run([binary(), *arguments], env={**ENV, **(env or {})}, text=True,
                          capture_output=True, timeout=20, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("command", ["run", "check"])
def test_all_faults_at_once(tmp_path, command):
    path = tmp_path / "kinescope.yaml"
    path.write_text(FAULTY)
    done = run(command, "--config", path)
    said = done.stdout + done.stderr
    assert done.returncode == 64, said
    lines = said.splitlines()
    for number, key, right in FAULTS:
        told = [line for line in lines if key in line and f":{number}:" in line]
        assert told, f"nothing about {key} in line {number}:\n{said}"
        assert right is None or right in told[0], told
    assert "hunter2" not in said and "carrier-pigeon" not in said and "panicked" not in said


@pytest.mark.parametrize("text", ["{", "a: b: c", "\t- x", "\x00", "- 1"])
def test_what_is_no_configuration_at_all(tmp_path, text):
    path = tmp_path / "kinescope.yaml"
    path.write_text(text)
    done = run("run", "--config", path)
    assert done.returncode == 64 and "kinescope.yaml" in done.stderr + done.stdout


def test_a_file_that_is_not_there():
    assert run("run", "--config", "/not/there.yaml").returncode == 64


def test_an_unknown_flag():
    assert run("run", "--colour").returncode == 64


def test_a_faulty_variable(tmp_path):
    done = run("check", env={"KINESCOPE_PROXY__PROPAGATION": "hunter2"})
    said = done.stdout + done.stderr
    assert done.returncode == 64 and "proxy.propagation" in said and "hunter2" not in said


def test_check_of_a_good_one(tmp_path):
    path = tmp_path / "kinescope.yaml"
    path.write_text("service: { name: inventory }\nregion: us-east-1\n")
    assert run("check", "--config", path).returncode == 0


def test_an_address_in_use_is_a_fault_not_a_bad_configuration(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = tmp_path / "kinescope.yaml"
        path.write_text(f"region: us-east-1\nproxy: {{ listen: ['127.0.0.1:{taken.getsockname()[1]}'] }}\n"
                        f"admin: {{ listen: ['127.0.0.1:{free_port()}'] }}\n")
        assert run("run", "--config", path).returncode == 1


# ---- reload ------------------------------------------------------------------------------------


def rewrite(program, tmp_path, change):
    """Changes the configuration file of the one kinescope that runs in this folder."""
    (path,) = tmp_path.glob("kinescope-*.yaml")
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=2))


def reload(program):
    request = urllib.request.Request(program.admin_url + "/-/reload", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def propagation(word):
    return lambda config: config["proxy"].update(propagation=word)


SUCCESSFUL = "kinescope_config_last_reload_successful"
SUCCEEDED_AT = "kinescope_config_last_reload_success_timestamp_seconds"


def test_a_faulty_file_keeps_the_old_policy(ministack, kinescope, tmp_path):
    program = kinescope(ministack.url, {"proxy": {"propagation": "off"}})
    before = program.metrics()
    assert before.value(SUCCESSFUL) == 1 and before.value(SUCCEEDED_AT) > time.time() - 60

    def spoil(config):
        propagation("auto")(config)
        config.update(role="hunter2", rol="hub")

    rewrite(program, tmp_path, spoil)
    status, said = reload(program)
    assert status == 400 and "role: should be one of" in said and "`role`" in said, said
    assert "hunter2" not in said + program.output()
    assert program.metrics().value(SUCCESSFUL) == 0
    assert program.metrics().value(SUCCEEDED_AT) == before.value(SUCCEEDED_AT)

    stream, client = new_stream(ministack.url), Boto3(program.url)
    data = b'{ "eventType": "OrderPlaced", "total": 1.10 }'
    client.call("PutRecord", StreamName=stream, PartitionKey="a", Data=data)
    assert [record["Data"] for record in read_all(Boto3(ministack.url), stream, 1)] == [data]

    def mend(config):
        propagation("off")(config)
        config.update(role="sidecar", state="/somewhere/else")
        del config["rol"]

    rewrite(program, tmp_path, mend)
    assert reload(program) == (200, {"changed": [], "needs_restart": ["state"]})
    assert program.metrics().value(SUCCESSFUL) == 1


def test_a_hangup_reloads(ministack, kinescope, tmp_path):
    program = kinescope(ministack.url)
    rewrite(program, tmp_path, propagation("off"))
    program.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the configuration was read again" in program.output(), 5, "the reload")
    # It is in force already: nothing is left to change.
    assert reload(program) == (200, {"changed": [], "needs_restart": []})


def test_a_web_page_may_not_reload(ministack, kinescope):
    program = kinescope(ministack.url)
    request = urllib.request.Request(
        program.admin_url + "/-/reload", method="POST", headers={"Origin": "http://localhost"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=5)


def test_the_kill_switch_is_in_force_within_a_second_under_load(ministack, kinescope, tmp_path):
    program, stream = kinescope(ministack.url), new_stream(ministack.url)
    sent, stop, errors = [], threading.Event(), []

    def put(writer):
        client, number = Boto3(program.url), 0
        try:
            while not stop.is_set():
                data = json.dumps({"eventType": "OrderPlaced", "id": f"{writer}-{number}"}).encode()
                began = time.monotonic()
                client.call("PutRecord", StreamName=stream, PartitionKey=str(writer), Data=data)
                sent.append((began, time.monotonic(), f"{writer}-{number}", data))
                number += 1
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=put, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    try:
        wait_for(lambda: errors or len(sent) > 40, 20, "puts before the reload")
        rewrite(program, tmp_path, propagation("off"))
        asked = time.monotonic()
        assert reload(program) == (200, {"changed": ["proxy.propagation"], "needs_restart": []})
        late = lambda: [put for put in list(sent) if put[0] > asked + 1]
        wait_for(lambda: errors or len(late()) > 40, 20, "puts a second after the reload")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not errors, errors
    stored = {json.loads(record["Data"])["id"]: record["Data"]
              for record in read_all(Boto3(ministack.url), stream, len(sent))}
    early = [put for put in sent if put[1] < asked]
    assert early and all(b"traceparent" in stored[name] for _, _, name, _ in early)
    changed = [name for _, _, name, data in late() if stored[name] != data]
    assert late() and not changed, f"{len(changed)} of {len(late())} are not as they were sent"

    # And back again.
    rewrite(program, tmp_path, propagation("auto"))
    assert reload(program)[1]["changed"] == ["proxy.propagation"]
    client = Boto3(program.url)

    def injected():
        client.call("PutRecord", StreamName=stream, PartitionKey="a", Data=b'{"id":"last"}')
        newest = read_all(Boto3(ministack.url), stream, len(sent) + 1)
        return any(b"traceparent" in record["Data"] for record in newest if b"last" in record["Data"])

    wait_for(injected, 2, "context after propagation came back")


# ---- check --online ----------------------------------------------------------------------------


def online(tmp_path, upstream_url, streams, env=None, **more):
    path = tmp_path / "online.yaml"
    path.write_text(json.dumps({
        "service": {"name": "inventory"}, "state": str(tmp_path / "state"),
        "proxy": {"upstream": {"endpoint": upstream_url}, "streams": streams}, **more,
    }))
    return run("check", "--online", "--config", path, env=env)


def test_check_online_says_what_injection_would_change(ministack, tmp_path, otlp, webhook):
    stream, client = new_stream(ministack.url), Boto3(ministack.url)
    for data in [b'{"eventType":"OrderPlaced"}', b"[1]", b'{"a":2}']:
        client.call("PutRecord", StreamName=stream, PartitionKey="a", Data=data)
    arn = client.call("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    client.call("RegisterStreamConsumer", StreamARN=arn, ConsumerName="mailer")
    done = online(
        tmp_path, ministack.url, [{"match": stream, "deliver": "strip"}],
        otlp={"endpoint": f"http://127.0.0.1:{otlp.http_port}"},
        alerts={"receivers": [{"name": "hook", "webhook": {"url": webhook.url}}]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = lambda start: next(l for l in done.stdout.splitlines() if l.startswith(start))
    assert "access key test" in line("ok       credentials")
    assert "ACTIVE, 1 open shards" in line(f"ok       stream {stream}: describe")
    found = line(f"ok       stream {stream}: injection")
    assert f"policy {stream}: inject; deliver strip; aggregated tags" in found
    assert "3 records could be injected: 2 (+" in found and "not_object 1" in found, found
    readers = line(f"ok       stream {stream}: readers")
    assert "mailer" in readers and "cannot be seen from here" in readers
    for start in ["upstream", "otlp", "receiver hook", "state"]:
        line(f"ok       {start}")
    assert not webhook.requests, "nothing is posted to a receiver"


def test_check_online_tries_the_hub(kinescope, ministack, tmp_path):
    """By a report of nothing; and what is no hub is said not to be one."""
    hub = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub")
    nobody = f"http://127.0.0.1:{free_port()}"
    done = online(tmp_path, nobody, [], hub={"endpoint": hub.otlp_url})
    assert re.search(r"^ok +hub +.*takes exports$", done.stdout, re.M), done.stdout + done.stderr
    done = online(tmp_path, nobody, [], hub={"endpoint": hub.admin_url})
    assert re.search(r"^failed +hub +.*is this the port of its OTLP receiver", done.stdout, re.M), done.stdout


def denied(request):
    """An account in which nothing is allowed."""
    operation = (request.headers.get("x-amz-target") or request.path).replace("/", ".").rpartition(".")[2]
    target = request.headers.get("x-amz-target", "cloudwatch").lower()
    service = next(name for name in ("kinesis", "dynamodb", "cloudwatch") if name in target)
    words = f"User: arn:aws:sts::123456789012:assumed-role/pod is not authorized to perform: {service}:{operation}"
    if service == "cloudwatch":
        fault = {"__type": "com.amazonaws.cloudwatch#AccessDenied", "message": words}
        return 403, {"content-type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, cbor2.dumps(fault)
    fault = {"__type": "AccessDeniedException", "message": words}
    return 400, {"content-type": "application/x-amz-json-1.1"}, json.dumps(fault).encode()


def test_missing_permissions_are_named(kinescope, tmp_path):
    """By `check --online`, for a person and a script, and while it runs by the metrics and the page."""
    aws = Server(denied)
    cloudwatch = {"enabled": True, "interval": "2s", "endpoint": aws.url, "streams": {"include": ["orders"]}}
    done = online(tmp_path, aws.url, [], role="hub", cloudwatch=cloudwatch, hub={"standby": "hubs"},
                  env={"AWS_ENDPOINT_URL_DYNAMODB": aws.url})
    assert done.returncode == 1, done.stdout
    for action in ["kinesis:ListStreams", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics", "dynamodb:GetItem"]:
        said = f"the role may not {action}: User: arn:aws:sts::123456789012:assumed-role/pod is not authorized"
        assert said in done.stdout, done.stdout
    assert "deploy/cloudformation/iam.yaml" in done.stdout
    done = online(tmp_path, aws.url, [{"match": "orders"}])
    assert "the role may not kinesis:DescribeStreamSummary: User:" in done.stdout, done.stdout
    hub = kinescope(aws.url, {"service": {"name": "hub"}, "cloudwatch": cloudwatch}, role="hub")
    refused = {"kinesis:ListStreams", "cloudwatch:GetMetricData"}

    def told():
        return {labels["action"] for labels, _ in hub.metrics().all("kinescope_aws_refused_resources")}

    wait_for(lambda: refused <= told(), 20, "the refused actions")
    page = urllib.request.urlopen(hub.admin_url + "/", timeout=5).read().decode()
    assert "AWS refuses what this process asks." in page
    assert all(f"<code>{action}</code>" in page for action in refused), page
    aws.close()


def test_check_online_fails_for_a_stream_that_is_not_there(ministack, tmp_path):
    done = online(tmp_path, ministack.url, [{"match": "not-there"}])
    assert done.returncode == 1 and "failed   stream not-there: describe" in done.stdout
    assert "ResourceNotFoundException" in done.stdout
