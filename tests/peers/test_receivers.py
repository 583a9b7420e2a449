"""Owns: each receiver gets what it documents, from its first alert to its end: signatures that the
library of Standard Webhooks accepts, Slack's blocks, PagerDuty's events, Teams' card."""

import base64
import json
import os
import re
import time

import pytest
import standardwebhooks as webhooks

from harness import free_port, wait_for
from lagging import ALERT, RULE, Lagging, Posts, Reader


def text(value, most, least=1):
    assert isinstance(value, str) and least <= len(value) <= most, value


def is_time(value):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value), value


def is_slack(body, status):
    """Block Kit, as api.slack.com documents it for incoming webhooks."""
    text(body["text"], 40_000)
    assert 1 <= len(body["blocks"]) <= 50 and body.keys() == {"text", "blocks"}
    for block in body["blocks"]:
        if block["type"] == "header":
            assert block["text"]["type"] == "plain_text"
            text(block["text"]["text"], 150)
        elif block["type"] == "section":
            text(block["text"]["text"], 3_000)
            assert len(block["fields"]) <= 10
            for field in block["fields"]:
                assert field["type"] in ("plain_text", "mrkdwn")
                text(field["text"], 2_000)
        else:
            assert block["type"] == "context" and 1 <= len(block["elements"]) <= 10
    return ALERT in body["text"] and {"firing": "Firing", "resolved": "Resolved"}[status] in body["text"]


def is_pagerduty(body, status):
    """Events API v2, as developer.pagerduty.com documents it."""
    action = {"firing": "trigger", "resolved": "resolve"}[status]
    assert body["routing_key"] == "k" * 32 and body["event_action"] in ("trigger", "resolve")
    text(body["dedup_key"], 255)
    payload = body["payload"]
    text(payload["summary"], 1024)
    text(payload["source"], 255)
    assert payload["severity"] in ("critical", "error", "warning", "info")
    is_time(payload["timestamp"])
    assert all(link.keys() == {"href", "text"} for link in body["links"])
    assert payload["class"] != ALERT or payload["severity"] == "critical"
    return payload["class"] == ALERT and body["event_action"] == action


def is_teams(body, status):
    """A message with one Adaptive Card, as learn.microsoft.com documents it for workflows."""
    assert body["type"] == "message" and len(body["attachments"]) == 1
    attachment = body["attachments"][0]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard" and card["version"] in ("1.2", "1.3", "1.4", "1.5")
    assert len(json.dumps(body)) <= 28 * 1024
    for part in card["body"]:
        assert part["type"] in ("TextBlock", "FactSet")
        if part["type"] == "FactSet":
            assert all(fact.keys() == {"title", "value"} for fact in part["facts"])
        else:
            text(part["text"], 5_000)
    assert all(action["type"] == "Action.OpenUrl" and action["url"] for action in card["actions"])
    title = card["body"][0]["text"]
    return ALERT in title and {"firing": "Firing", "resolved": "Resolved"}[status] in title


def test_every_kind_gets_what_it_documents(kinescope, tmp_path):
    upstream, port = Lagging(), free_port()
    hook, slack, pagerduty, teams = Posts(), Posts(), Posts(lambda _: (202, {}, b"")), Posts(lambda _: (202, {}, b""))
    keys = ["whsec_" + base64.b64encode(os.urandom(32)).decode() for _ in range(2)]
    (tmp_path / "keys").write_text("\n".join(keys) + "\n")
    (tmp_path / "routing").write_text("k" * 32 + "\n")
    sidecar = kinescope(upstream.url, {"alerts": {"rules": [RULE], "receivers": [
        {"name": "hook", "webhook": {"url": hook.url, "secret_file": str(tmp_path / "keys")}},
        {"name": "slack", "slack": {"url": slack.url}, "direct": True},
        {"name": "pd", "pagerduty": {"url": pagerduty.url, "routing_key_file": str(tmp_path / "routing")},
         "direct": True},
        {"name": "teams", "teams": {"url": teams.url}, "direct": True},
    ]}}, port=port)
    reader = Reader(sidecar.url, ["orders"])
    kinds = [(slack, is_slack), (pagerduty, is_pagerduty), (teams, is_teams)]
    try:
        for status, behind in (("firing", 9), ("resolved", 0)):
            upstream.behind_ms = {"orders": behind * 1000}
            wait_for(lambda: hook.alerts(status), 60, f"the webhook's {status}")
            for receiver, judge in kinds:
                wait_for(lambda: any([judge(body, status) for body in receiver.bodies()]), 60,
                         f"{status} by {judge.__name__}")
    finally:
        reader.close()
    ids = set()
    for post in hook.posts:
        # Either key alone is enough for a receiver, and neither is for another body.
        for key in keys:
            webhooks.Webhook(key).verify(post["body"], post["headers"])
            with pytest.raises(webhooks.WebhookVerificationError):
                webhooks.Webhook(key).verify(post["body"] + b" ", post["headers"])
        ids.add(post["headers"]["webhook-id"])
    assert len(ids) == len(hook.posts)
    events = [body for body in pagerduty.bodies() if body["payload"]["class"] == ALERT]
    assert len({event["dedup_key"] for event in events}) == 1
    log = sidecar.output()
    assert not any(secret in log for secret in [*keys, "k" * 32, hook.url])
    for one in (hook, slack, pagerduty, teams, upstream):
        one.close()


def test_the_request_comes_within_a_second_of_the_condition(kinescope, tmp_path, capsys):
    """From the answer that shows the lag, as Kinesis gives it, to the webhook's request, with the store
    on disk."""
    upstream, hook, port = Lagging(), Posts(), free_port()
    seen = {}
    answer = upstream.GetRecords

    def noted(given):
        said = answer(given)
        if said["MillisBehindLatest"] >= 2000:
            seen.setdefault(given["ShardIterator"].rpartition(":")[0], time.monotonic())
        return said

    upstream.GetRecords = noted
    streams = [f"orders-{n}" for n in range(6)]
    sidecar = kinescope(upstream.url, {"state": str(tmp_path / "state"), "alerts": {"rules": [RULE], "receivers": [
        {"name": "hook", "webhook": {"url": hook.url}}]}}, port=port)
    reader, took = Reader(sidecar.url, streams), []
    try:
        # A reader's first lag counts only after some seconds, by design.
        seconds = lambda: len(sidecar.metrics().all("kinesis_consumer_status", status="ok")) and \
            time.monotonic() - began > 7
        began = time.monotonic()
        wait_for(seconds, 60, "a reader that is known")
        for stream in streams:
            upstream.behind_ms[stream] = 9000
            told = lambda: [post for post, body in zip(list(hook.posts), hook.bodies())
                            if any(alert["labels"].get("stream") == stream and alert["status"] == "firing"
                                   and alert["labels"]["alertname"] == ALERT for alert in body["alerts"])]
            post = wait_for(told, 30, f"the alert of {stream}")[0]
            took.append(post["at"] - seen[stream])
    finally:
        reader.close()
    with capsys.disabled():
        print(f"\ncondition held to webhook request: median {sorted(took)[len(took) // 2] * 1000:.0f} ms, "
              f"worst {max(took) * 1000:.0f} ms")
    # Judged once a second at most; the rest is the observer, the commit and the request.
    assert sorted(took)[len(took) // 2] <= 1.5
    for one in (hook, upstream):
        one.close()
