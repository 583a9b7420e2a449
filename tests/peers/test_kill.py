"""Owns: whenever a sidecar is killed, and however its receivers fail, every alert that fired is told at
least once, every one that was told is taken back, and nothing is taken back before it was told."""

import json
import os
import random
import shutil
import time

import pytest

from harness import Kinescope, free_port, in_threads, wait_for
from lagging import ALERT, RULE, Lagging, Posts, Reader, firing

pytestmark = pytest.mark.patient

STREAMS = ["orders-0", "orders-1", "orders-2"]
RECEIVERS, SERVICES = 2, 5
# How long something must have been seen to count as certain: far longer than a commit takes.
CERTAIN = 1.5
# Whether a restarted sidecar knows what fired before, so that each incident has an end of its own.
RESTORES = True


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
                labels = alert["labels"]
                incident = (labels["consumer"], labels["stream"], alert["startsAt"])
                self.told.append((incident, alert["status"]))
        if dice < 0.5:
            return None, {}, b""  # the connection ends without an answer
        return 200, {}, b""

    def has(self, incident, status):
        return (incident, status) in self.told

    def check_order(self):
        """No end before its beginning, and no beginning after its end."""
        ended, began = set(), set()
        for incident, status in self.told:
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


class Service:
    """A consumer with its sidecar, which is killed again and again, and what therefore must be told."""

    def __init__(self, index, seed, folder, receivers):
        self.name, self.folder, self.receivers = f"service-{index}", folder / f"service-{index}", receivers
        self.dice, self.upstream, self.port = random.Random(seed * 1000 + index), Lagging(), free_port()
        self.state, self.owed, self.excused, self.lost = self.folder / "state", set(), set(), 0
        self.config = {
            "service": {"name": self.name},
            "state": str(self.state),
            "alerts": {"rules": [RULE], "receivers": [
                {"name": f"hook-{n}", "webhook": {"url": receiver.url}} for n, receiver in enumerate(receivers)]},
        }
        self.reader = Reader(f"http://127.0.0.1:{self.port}", STREAMS)
        self.sidecar = None

    def start(self):
        self.sidecar = Kinescope(self.folder, self.upstream.url, self.config, port=self.port)

    def live(self, seconds):
        """Lag comes and goes. Whatever fires for long enough in one life is owed to everybody."""
        until, began = time.monotonic() + seconds, {}
        while (now := time.monotonic()) < until:
            if self.dice.random() < 0.06:
                stream = self.dice.choice(STREAMS)
                self.upstream.behind_ms[stream] = 0 if self.upstream.behind_ms.get(stream) else 9000
            try:
                told = firing(self.sidecar)
            except (OSError, ValueError):
                told = {}
            for stream, starts_at in told.items():
                if now - began.setdefault((stream, starts_at), now) > CERTAIN:
                    self.owed.add((self.name, stream, starts_at))
            time.sleep(0.1)

    def kill(self):
        self.sidecar.kill()
        if self.dice.random() < 0.5:
            # What was not told yet cannot be any more, and what was, has nobody who knows its end.
            shutil.rmtree(self.state)
            self.owed = {incident for incident in self.owed if self.is_told(incident, "firing")}
            self.excused |= self.told()
            self.lost += 1

    def is_told(self, incident, status):
        return all(receiver.has(incident, status) for receiver in self.receivers)

    def told(self):
        return {incident for receiver in self.receivers for incident, _ in list(receiver.told)
                if incident[0] == self.name}

    def end(self):
        """Every alert comes and goes once more; what was owed has been told by then."""
        wait_for(lambda: all(self.is_told(incident, "firing") for incident in self.owed), 90,
                 f"everything of {self.name} that fired and was on disk")
        self.upstream.behind_ms = dict.fromkeys(STREAMS, 9000)
        last = wait_for(lambda: (now := firing(self.sidecar)).keys() == set(STREAMS) and now, 60, "all alerts")
        self.upstream.behind_ms = dict.fromkeys(STREAMS, 0)
        wait_for(lambda: all(self.is_told((self.name, *incident), "resolved") for incident in last.items()), 90,
                 f"the end of every alert of {self.name}")
        if RESTORES:
            wait_for(lambda: all(self.is_told(incident, "resolved") for incident in self.told() - self.excused), 90,
                     f"the end of every incident of {self.name}")
        self.sidecar.stop()

    def close(self):
        self.reader.close()
        if self.sidecar.process.poll() is None:
            self.sidecar.kill()
        self.upstream.close()


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_kill_9_at_random_moments(kills, tmp_path, capsys):
    seed = int(os.environ.get("KINESCOPE_SEED", 7))
    receivers = [Unsure(seed + n) for n in range(RECEIVERS)]
    services = [Service(index, seed, tmp_path, receivers) for index in range(SERVICES)]

    def killed_again_and_again(index):
        service = services[index]
        for _ in range(kills // SERVICES):
            service.start()
            # A reader's first lag counts after some seconds: most lives are long enough for that.
            service.live(service.dice.uniform(1.0, 10.0))
            service.kill()
        service.start()

    try:
        in_threads(SERVICES, killed_again_and_again)
        for receiver in receivers:
            receiver.fails = False
        in_threads(SERVICES, lambda index: services[index].end())
    finally:
        for service in services:
            service.close()
    for receiver in receivers:
        receiver.check_order()
        last = {incident[:2]: status for incident, status in receiver.told}
        assert set(last.values()) == {"resolved"} and len(last) == SERVICES * len(STREAMS)
    assert not any("panicked at" in log.read_text(errors="replace") for log in tmp_path.rglob("kinescope-*.log"))
    with capsys.disabled():
        told, again = (sum(map(count, receivers)) for count in (lambda one: len(one.told), Unsure.duplicates))
        print(f"\n{kills} kills, state lost in {sum(one.lost for one in services)}, {told} deliveries of "
              f"{sum(len(one.owed) for one in services)} certain incidents and others, {again} of them again; seed {seed}")
    for receiver in receivers:
        receiver.close()
