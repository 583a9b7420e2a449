"""Owns: what keeps people unaware: a silence made as Alertmanager's clients make it survives kill -9 and ends;
lag that comes of refused credentials; and what a reload makes of an alert that fires."""

import datetime
import json
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

from harness import Boto3, Kinescope, iterator, new_stream, wait_for
from receivers import gap
from test_alerts import RULES
from test_config import reload, rewrite
from upstream import Kinesis

pytestmark = pytest.mark.patient


def ask(sidecar, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(sidecar.admin_url + path, data=data, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())


def test_silent_over_a_restart_until_it_is_ended(ministack, kinescope, webhook, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "hook-url").write_text(webhook.url)
    config = {"state": str(tmp_path / "state"), "alerts": {
        "rules": RULES["rules"],
        "receivers": [{"name": "hook", "webhook": {"url_file": str(tmp_path / "hook-url")}}]}}
    first = Kinescope(tmp_path / "first", ministack.url, config)
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    made = ask(first, "POST", "/api/v1/silences", {
        "matchers": [{"name": "stream", "value": "orders-.+|bills", "isRegex": True, "isEqual": True}],
        "startsAt": None, "endsAt": later.isoformat(), "createdBy": "me", "comment": "a test"})
    with pytest.raises(urllib.error.HTTPError) as faulty:
        ask(first, "POST", "/api/v1/silences", {"endsAt": later.isoformat(), "matchers": [
            {"name": "stream", "value": "orders-(", "isRegex": True}]})
    assert faulty.value.code == 400
    assert 'stream=~"orders-(" is no regular expression' in faulty.value.read().decode()
    first.kill()

    second = kinescope(ministack.url, config)
    kept, = ask(second, "GET", "/api/v1/silences")
    assert (kept["id"], kept["status"]["state"]) == (made["silenceID"], "active")
    stream, direct = new_stream(ministack.url), Boto3(ministack.url)
    for n in range(2):
        direct.call("PutRecord", StreamName=stream, Data=b'{"n":%d}' % n, PartitionKey="p")
    gap(3)
    client = Boto3(second.url)
    client.call("GetRecords", ShardIterator=iterator(client, stream), Limit=1)
    wait_for(lambda: second.metrics().sum("kinescope_alerts", state="firing") == 1, 30, "the alert")
    alerts = ask(second, "GET", "/api/v1/alerts")["alerts"]
    alert, = [alert for alert in alerts if alert["state"] == "firing"]
    assert alert["annotations"]["suppressed_by"] == f"silence {made['silenceID']}"
    assert webhook.accepted("firing") == []
    ask(second, "DELETE", f"/api/v1/silences/{made['silenceID']}")
    wait_for(lambda: webhook.accepted("firing"), 30, "the firing notification")

    # A rule that is changed while it fires is told as over, and why.
    rewrite(second, tmp_path, lambda config: config["alerts"].pop("rules"))
    assert reload(second) == (200, {"changed": ["alerts.rules"], "needs_restart": []})
    ended, = wait_for(lambda: webhook.accepted("resolved"), 10, "the end")[0]["alerts"]
    assert ended["annotations"]["resolved_because"].startswith("the configuration has changed: ")


def test_lag_of_refused_reads_says_nothing_new(kinesis, kinescope):
    upstream = kinesis()
    lag = {"name": "KinesisConsumerLagHigh", "for": "2s", "when": {"above": "1s", "clear_below": "1s"}}
    sidecar = kinescope(upstream.url, {"alerts": {"rules": [lag]}})
    client = Boto3(sidecar.url, max_attempts=1, read_timeout=5)
    client.call("PutRecord", StreamName="orders", Data=b"{}", PartitionKey="p")
    at = client.call("GetShardIterator", StreamName="orders", ShardId="shardId-000000000000",
                     ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    at = client.call("GetRecords", ShardIterator=at)["NextShardIterator"]
    upstream.of, upstream.faults = "GetRecords", [Kinesis.error(400, "AccessDeniedException")] * 1000

    def untold():
        with pytest.raises(botocore.exceptions.ClientError):
            client.call("GetRecords", ShardIterator=at)
        alerts = ask(sidecar, "GET", "/api/v1/alerts")["alerts"]
        return [alert["annotations"].get("suppressed_by") for alert in alerts if alert["state"] == "firing"]

    assert wait_for(untold, 20, "the alert") == [
        "inhibited: reads fail since access was denied, of which KinesisConsumerStalled tells"]
