"""Owns: whenever a sidecar is killed, and however its receivers fail, every alert that fired is told at
least once, every one that was told is taken back, and nothing is taken back before it was told."""

import json
import os
import random
import shutil
import time

import pytest

from harness import Kinescope, free_port, wait_for
from lagging import ALERT, RULE, Lagging, Posts, Reader, firing

STREAMS = [f"orders-{n}" for n in range(6)]
RECEIVERS = 2
# How long something must have been seen to count as certain: far longer than a commit takes.
CERTAIN = 0.4


class Unsure:
    """A receiver that fails half the time: half of that, after it took what it was sent."""

    def __init__(self, seed):
        self.random, self.told, self.fails = random.Random(seed), [], True
        self.posts = Posts(self._answer)
        self.url = self.posts.url

    def _answer(self, post):
        dice = self.random.random() if self.fails else 1.0
        if dice < 0.25:
            return 503, {}, b"not now"
        for alert in json.loads(post["body"])["alerts"]:
            if alert["labels"]["alertname"] == ALERT:
                self.told.append((alert["labels"]["stream"], alert["startsAt"], alert["status"]))
        if dice < 0.5:
            return None, {}, b""  # the connection ends without an answer
        return 200, {}, b""

    def has(self, stream, starts_at, status):
        return (stream, starts_at, status) in self.told

    def check_order(self):
        """No end before its beginning, and no beginning after its end."""
        ended, began = set(), set()
        for stream, starts_at, status in self.told:
            incident = (stream, starts_at)
            if status == "firing":
                assert incident not in ended, f"{incident} fires after its end: {self.told}"
                began.add(incident)
            else:
                assert incident in began, f"{incident} ends before it was told: {self.told}"
                ended.add(incident)

    def duplicates(self):
        return len(self.told) - len(set(self.told))

    def close(self):
        self.posts.close()


class Machine:
    """What a sidecar was seen to say of itself, and what therefore must be told."""

    def __init__(self):
        self.owed, self.since = set(), {}

    def look(self, sidecar):
        """Whatever fires for long enough in one life is owed to everybody."""
        try:
            now, told = time.monotonic(), firing(sidecar)
        except (OSError, ValueError):
            return
        for stream, starts_at in told.items():
            first = self.since.setdefault((stream, starts_at), now)
            if now - first > CERTAIN:
                self.owed.add((stream, starts_at))

    def killed(self):
        self.since.clear()

    def forget_but(self, receivers):
        """The state is lost: what was not told yet cannot be."""
        self.owed = {incident for incident in self.owed
                     if all(receiver.has(*incident, "firing") for receiver in receivers)}


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_kill_9_at_random_moments(kills, kinescope, tmp_path, capsys):
    seed = int(os.environ.get("KINESCOPE_SEED", 7))
    dice, upstream, machine, port = random.Random(seed), Lagging(), Machine(), free_port()
    receivers = [Unsure(seed + n) for n in range(RECEIVERS)]
    state = tmp_path / "state"
    config = {"state": str(state), "alerts": {"rules": [RULE], "receivers": [
        {"name": f"hook-{n}", "webhook": {"url": receiver.url}} for n, receiver in enumerate(receivers)]}}
    reader = Reader(f"http://127.0.0.1:{port}", STREAMS)
    start = lambda: Kinescope(tmp_path, upstream.url, config, port=port)
    sidecar, lost = start(), 0
    try:
        for _ in range(kills):
            for stream in STREAMS:
                if dice.random() < 0.5:
                    upstream.behind_ms[stream] = 0 if upstream.behind_ms.get(stream) else 9000
            until = time.monotonic() + dice.uniform(0.3, 1.7)
            while time.monotonic() < until:
                machine.look(sidecar)
                time.sleep(0.03)
            sidecar.kill()
            machine.killed()
            if dice.random() < 0.5:
                shutil.rmtree(state)
                machine.forget_but(receivers)
                lost += 1
            sidecar = start()
        # Now everybody behaves, and every alert comes and goes once more.
        for receiver in receivers:
            receiver.fails = False
        told_all = lambda: all(receiver.has(*incident, "firing") for receiver in receivers
                               for incident in machine.owed)
        wait_for(told_all, 60, "everything that fired and was on disk")
        sidecar.kill()
        sidecar = kinescope(upstream.url, config, port=port)
        upstream.behind_ms = dict.fromkeys(STREAMS, 9000)
        last = wait_for(lambda: (now := firing(sidecar)).keys() == set(STREAMS) and now, 60, "all alerts")
        upstream.behind_ms = dict.fromkeys(STREAMS, 0)
        ended = lambda: all(receiver.has(*incident, "resolved") for receiver in receivers
                            for incident in last.items())
        wait_for(ended, 60, "the end of every alert")
    finally:
        reader.close()
    for receiver in receivers:
        receiver.check_order()
        by_stream = {stream: status for stream, _, status in receiver.told}
        assert set(by_stream.values()) == {"resolved"} and by_stream.keys() == set(STREAMS)
        assert not any("panicked at" in log.read_text(errors="replace") for log in tmp_path.glob("kinescope-*.log"))
    with capsys.disabled():
        told, twice = (sum(f(r) for r in receivers) for f in (lambda r: len(r.told), Unsure.duplicates))
        print(f"\n{kills} kills, state lost in {lost}, {told} deliveries, {twice} of them again, seed {seed}")
    for one in (*receivers, upstream):
        one.close()
