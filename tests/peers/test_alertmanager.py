"""Owns: a real Alertmanager takes our alerts, knows them by the fingerprints that we give them, groups
them, and tells their ends with their annotations, also when either side was restarted meanwhile."""

import pytest

from alertmanager import Alertmanager
from harness import Kinescope, free_port, wait_for
from lagging import ALERT, RULE, Lagging, Posts, Reader, firing


@pytest.fixture
def scene(kinescope, tmp_path):
    """A sidecar that tells an Alertmanager, which tells `told`; a webhook beside it, `own`."""
    upstream, told, own = Lagging(), Posts(), Posts()
    alertmanager_port, port = free_port(), free_port()
    (tmp_path / "state").mkdir()
    config = {
        "state": str(tmp_path / "state"),
        "external_labels": {"cluster": "blue"},
        "alerts": {
            "rules": [{**RULE, "annotations": {"team": "payments"}}],
            "receivers": [
                {"name": "am", "alertmanager": {"url": f"http://127.0.0.1:{alertmanager_port}", "renew": "1s"}},
                {"name": "own", "webhook": {"url": own.url}},
            ],
        },
    }
    reader = Reader(f"http://127.0.0.1:{port}", ["orders-1", "orders-2"])

    class Scene:
        def __init__(self):
            self.upstream, self.told, self.own = upstream, told, own

        def sidecar(self):
            return kinescope(upstream.url, config, port=port)

        def sidecar_to_be_killed(self):
            return Kinescope(tmp_path, upstream.url, config, port=port)

        def alertmanager(self):
            return Alertmanager(tmp_path, told.url, alertmanager_port)

        def lag(self, seconds):
            upstream.behind_ms = {stream: seconds * 1000 for stream in reader.streams}

    yield Scene()
    reader.close()
    for one in (told, own, upstream):
        one.close()


def streams(alerts):
    return sorted({alert["labels"]["stream"] for alert in alerts})


def test_alertmanager_groups_and_resolves(scene):
    alertmanager, sidecar = scene.alertmanager(), scene.sidecar()
    scene.lag(9)
    both = ["orders-1", "orders-2"]
    wait_for(lambda: streams(scene.told.alerts("firing")) == both, 60, "both alerts from Alertmanager")
    wait_for(lambda: streams(scene.own.alerts("firing")) == both, 60, "both alerts from the sidecar")
    # Grouped by rule: the end of the last is one message with both.
    groups = {body["groupKey"] for body in scene.told.bodies()}
    assert groups == {'{}:{alertname="%s"}' % ALERT}
    ours = {alert["labels"]["stream"]: alert for alert in scene.own.alerts("firing")}
    for alert in scene.told.alerts("firing"):
        own = ours[alert["labels"]["stream"]]
        assert alert["fingerprint"] == own["fingerprint"]
        assert alert["labels"] == own["labels"] and alert["annotations"]["team"] == "payments"
        assert alert["generatorURL"].startswith("http")
    for alert in alertmanager.alerts():
        assert alert["fingerprint"] == ours[alert["labels"]["stream"]]["fingerprint"]
    # It lives longer than the renewals by which it is kept alive.
    ends = {alert["endsAt"] for alert in alertmanager.alerts()}
    wait_for(lambda: {alert["endsAt"] for alert in alertmanager.alerts()} != ends, 30, "a renewal")
    assert firing(sidecar).keys() == set(both)

    scene.lag(0)
    wait_for(lambda: streams(scene.told.alerts("resolved")) == both, 60, "the ends from Alertmanager")
    for alert in scene.told.alerts("resolved"):
        assert alert["annotations"]["team"] == "payments" and alert["annotations"]["summary"]
        assert alert["annotations"]["resolved_because"] and alert["generatorURL"].startswith("http")
    assert alertmanager.stop() == 0


def test_a_restart_of_either_side_loses_nothing(scene):
    sidecar = scene.sidecar_to_be_killed()
    scene.lag(9)
    both = ["orders-1", "orders-2"]
    failing = lambda: sidecar.metrics().value("kinescope_notifications_total", receiver="am", outcome="retried")
    wait_for(failing, 60, "a try while there is no Alertmanager")
    since = firing(sidecar)
    sidecar.kill()
    sidecar, alertmanager = scene.sidecar(), scene.alertmanager()
    wait_for(lambda: streams(scene.told.alerts("firing")) == both, 60, "what the killed sidecar left behind")
    # It goes on: what fires is what fired before it was killed.
    told = {alert["labels"]["stream"]: alert["startsAt"] for alert in scene.told.alerts("firing")}
    assert told.keys() == since.keys() == set(both)
    assert {stream: at[:19] for stream, at in told.items()} == {stream: at[:19] for stream, at in since.items()}

    # Alertmanager forgets every alert when it ends, and is told again.
    assert alertmanager.stop() == 0
    alertmanager = scene.alertmanager()
    wait_for(lambda: streams(alertmanager.alerts()) == both, 60, "the alerts in the new Alertmanager")
    ended = len(scene.told.alerts("resolved"))
    scene.lag(0)
    wait_for(lambda: streams(scene.told.alerts("resolved")[ended:]) == both, 60, "the ends")
    assert alertmanager.stop() == 0
