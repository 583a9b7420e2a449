"""Owns: a consumer that lags makes a webhook receive firing, then resolved, each once."""

import json

import pytest

from harness import Boto3, iterator, new_stream, wait_for
from receivers import Webhook, gap

pytestmark = pytest.mark.patient

RULES = {"rules": [{
    "name": "KinesisConsumerLagHigh",
    "severity": "critical",
    "select": {"stream": "orders-*"},
    "when": {"signal": "delivery_lag", "above": "2s", "clear_below": "1s"},
    "for": "1s",
    "keep_firing_for": "0s",
    "annotations": {"team": "payments"},
}]}


@pytest.fixture
def lagging(ministack, kinescope, tmp_path):
    """Starts a sidecar whose consumer is three seconds behind; gives a way to go on reading."""
    def start(hook):
        (tmp_path / "rules.yaml").write_text(json.dumps(RULES))
        (tmp_path / "hook-url").write_text(hook.url + "\n")
        sidecar = kinescope(ministack.url, {
            "external_labels": {"cluster": "blue"},
            "alerts": {
                "rules": [str(tmp_path / "rules.yaml")],
                "receivers": [{"name": "hook", "webhook": {"url_file": str(tmp_path / "hook-url")}}],
            },
        })
        stream, direct = new_stream(ministack.url), Boto3(ministack.url)
        for n in range(2):
            direct.call("PutRecord", StreamName=stream, Data=b'{"n":%d}' % n, PartitionKey="p")
        gap(3)
        client = Boto3(sidecar.url)
        at = client.call("GetRecords", ShardIterator=iterator(client, stream), Limit=1)["NextShardIterator"]

        def read_on():
            nonlocal at
            answer = client.call("GetRecords", ShardIterator=at)
            at = answer["NextShardIterator"]
            return answer

        return sidecar, stream, read_on

    return start


def until_resolved(hook, read_on):
    """The consumer catches up and keeps reading at the tip, as a real one does."""
    def resolved():
        read_on()
        return hook.accepted("resolved")

    return wait_for(resolved, 60, "the resolved notification")


def test_firing_then_resolved(webhook, lagging):
    sidecar, stream, read_on = lagging(webhook)
    firing, = wait_for(lambda: webhook.accepted("firing"), 60, "the firing notification")
    resolved = until_resolved(webhook, read_on)[0]

    # Alertmanager's webhook, version 4.
    for body in (firing, resolved):
        assert body["version"] == "4" and body["receiver"] == "hook" and body["truncatedAlerts"] == 0
        assert body["groupKey"] == firing["groupKey"] and body["externalURL"].startswith("http")
        assert body["groupLabels"].items() <= body["commonLabels"].items()
        alert, = body["alerts"]
        assert alert["status"] == body["status"]
        assert alert["labels"] == {
            "alertname": "KinesisConsumerLagHigh", "severity": "critical", "stream": stream,
            "consumer": "inventory", "region": "us-east-1", "cluster": "blue"}
        assert alert["annotations"]["team"] == "payments" and alert["annotations"]["summary"]
        assert alert["fingerprint"] == firing["alerts"][0]["fingerprint"]
        assert alert["startsAt"] == firing["alerts"][0]["startsAt"]
    assert firing["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert resolved["alerts"][0]["endsAt"] > resolved["alerts"][0]["startsAt"]
    content_type = {name.lower(): value for name, value in webhook.requests[0][2].items()}["content-type"]
    assert content_type.startswith("application/json")
    assert len(webhook.accepted("firing")) == len(webhook.accepted("resolved")) == 1
    assert sidecar.metrics().sum("kinescope_notifications_total", receiver="hook") >= 2


def test_a_receiver_that_is_down_gets_it_once_when_it_is_back(webhook, lagging):
    webhook.status = 503
    sidecar, _, read_on = lagging(webhook)
    wait_for(lambda: len(webhook.requests) >= 2, 60, "a second try")
    assert webhook.accepted("firing") == []
    webhook.status = 200
    wait_for(lambda: webhook.accepted("firing"), 60, "the delivery")
    until_resolved(webhook, read_on)
    assert len(webhook.accepted("firing")) == len(webhook.accepted("resolved")) == 1


def test_a_receiver_that_was_not_there_at_all(lagging):
    gone = Webhook()
    port = gone.server.port
    gone.close()
    sidecar, _, read_on = lagging(gone)
    wait_for(lambda: sidecar.metrics().sum("kinescope_alerts", state="firing") == 1, 60, "the alert")
    back = Webhook(port)
    wait_for(lambda: back.accepted("firing"), 90, "the delivery after the receiver began to listen")
    until_resolved(back, read_on)
    assert len(back.accepted("firing")) == 1
    back.close()
