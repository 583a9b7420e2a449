"""Owns: a silence made as Alertmanager's clients make it keeps people unaware, survives kill -9, and ends."""

import datetime
import json
import urllib.request

from harness import Boto3, Kinescope, iterator, new_stream, wait_for
from receivers import gap
from test_alerts import RULES


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
        "matchers": [{"name": "stream", "value": "orders-*", "isRegex": False, "isEqual": True}],
        "startsAt": None, "endsAt": later.isoformat(), "createdBy": "me", "comment": "a test"})
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
