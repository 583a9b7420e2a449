"""Owns: recorded histories of the exact rules fire and resolve within one evaluation of each other here
and in a Prometheus that runs and evaluates our rules, its time two orders of magnitude faster."""

import json
import re
import time

import pytest
import yaml

from harness import wait_for
from prometheus import Prometheus
from receivers import Server
from test_rules import EXACT, STEP, kinescope, ours

# A second there is so many of the history; a step is then an evaluation of 0.1 s.
FASTER = 150
EVERY = STEP / FASTER
UNITS = {"s": 1, "m": 60, "h": 3600}
# Said by the group itself: when it was evaluated.
CLOCK = {"record": "evaluated", "expr": "vector(1)"}


def faster(duration):
    """`2m` as Prometheus must have it."""
    return f"{round(int(duration[:-1]) * UNITS[duration[-1]] * 1000 / FASTER)}ms"


def rules_of(names):
    """The shipped rules of these names, with their durations and nothing else changed."""
    [group] = yaml.safe_load(kinescope("--format", "prometheus"))["groups"]
    group["interval"] = faster(group["interval"])
    group["rules"] = [CLOCK] + [
        {**rule, **{key: faster(rule[key]) for key in ("for", "keep_firing_for") if key in rule}}
        for rule in group["rules"] if rule.get("alert") in names]
    return {"groups": [group]}


def exposition(began):
    """All histories, each of a stream or a saga of its own, as samples with times that are to come."""
    lines = []
    for rule, (values, series, _) in EXACT.items():
        for name, history in series(values).items():
            name = re.sub(r'(stream|saga)="\w+"', rf'\1="{rule}"', name)
            lines += [f"{name} {value} {round((began + n * EVERY) * 1000)}" for n, value in enumerate(history)]
    return ("\n".join(lines) + "\n").encode()


class Recorded:
    """A target that tells everything at the first scrape, half a second before it begins."""

    def __init__(self):
        self.began = None
        self.server = Server(self._answer)

    def _answer(self, _):
        body = b""
        if self.began is None:
            self.began = time.time() + 0.5
            body = exposition(self.began)
        return 200, {"content-type": "text/plain; version=0.0.4"}, body


@pytest.fixture
def lived(tmp_path):
    """A Prometheus through whose time the histories have gone; when the group was evaluated, and when
    each alert fired, in seconds of the history."""
    rules = tmp_path / "faster.rules.yml"
    rules.write_text(json.dumps(rules_of(EXACT)))
    recorded = Recorded()
    prometheus = Prometheus(tmp_path, recorded.server.port, {
        "rule_files": [str(rules)],
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "100ms"}})
    lasts = max(len(values) for values, _, _ in EXACT.values()) * EVERY
    try:
        wait_for(lambda: recorded.began, 20, "the first scrape")
        wait_for(lambda: time.time() > recorded.began + lasts + 2 * EVERY, 60, "the end of the histories")
        at = lambda point: (float(point[0]) - recorded.began) * FASTER  # noqa: E731
        [(_, evaluated)] = prometheus.samples("evaluated[5m]")
        fired = {}
        for labels, points in prometheus.samples('ALERTS{alertstate="firing"}[5m]'):
            if labels["alertname"] in (labels.get("stream"), labels.get("saga")):
                fired.setdefault(labels["alertname"], []).extend(map(at, points))
        yield list(map(at, evaluated)), fired
    finally:
        prometheus.kill()
        recorded.server.close()


def test_exact_rules_fire_and_resolve_in_a_running_prometheus_as_here(lived, tmp_path):
    evaluated, fired = lived
    assert fired.keys() == EXACT.keys()
    for rule, (values, _, line) in EXACT.items():
        firing = set(fired[rule])
        # What it was at each evaluation; and where that changed.
        states = [(second, second in firing) for second in evaluated]
        theirs = [(now, is_on) for (_, was_on), (now, is_on) in zip(states, states[1:]) if is_on != was_on]
        told = ours(tmp_path, rule, values, line)
        assert [is_on for _, is_on in theirs] == [is_on for _, is_on in told] == [True, False], (rule, theirs, told)
        for (there, _), (here, _) in zip(theirs, told):
            # It sees a value at the evaluation after it: that one, and one more.
            between = [second for second in evaluated if here <= second < there]
            assert there > here - STEP and len(between) <= 1, (rule, here, there, between)
