"""Owns a consumer with five sidecars and their hub, each of which is killed again and again, receivers
that fail half the time, and the account of what must therefore have been told."""

import collections
import concurrent.futures
import contextlib
import datetime
import itertools
import json
import math
import random
import shutil
import threading
import time

from harness import Kinescope, free_port, wait_for
from lagging import ALERT, RULE, Lagging, Posts, Reader

# What says that it fires for so long is on disk: far longer than a commit takes.
CERTAIN = 1.0
# Shown when a commit took so long that it was not waited for; then the same may be told twice.
SLOW = "alerts go out before they are on disk"
LAG_MS = 90_000
# Of one consumer, each of which reads a shard of every stream.
SIDECARS = 5
LAG_RULE = {**RULE, "when": {"signal": "delivery_lag", "above": "20s", "clear_below": "10s"}}
# What else the hub could say of a consumer whose streams come and go.
QUIET = [{"name": name, "enabled": False} for name in (
    "KinesisConsumerStopped", "KinesisConsumerStalled", "KinesisConsumerFallingBehind",
    "KinesisFreshnessBudgetBurn", "KinesisConsumerLagCritical")]


# A receiver that fails half the time has an end within this, if it is told at all.
TOLD_WITHIN = 30.0
PATIENCE = 180


def seconds(starts_at):
    """Since 1970, of a time as alerts write it."""
    return datetime.datetime.fromisoformat(starts_at.replace("Z", "+00:00")).timestamp()


def who(labels):
    """Whose alert it is: a stream's at the hub, or a sidecar's own."""
    return labels["alertname"], labels.get("stream") or labels.get("cluster", "")


class Sharded(Lagging):
    """Says of each shard of each stream how far behind it is."""

    def GetShardIterator(self, given):
        return {"ShardIterator": f"{given['StreamName']}/{given['ShardId']}:0"}

    def ListShards(self, given):
        """All of them: what is read and on no list has been trimmed, and is forgotten."""
        [shard] = super().ListShards(given)["Shards"]
        return {"Shards": [{**shard, "ShardId": shard_id(index)} for index in range(SIDECARS)]}


class Unsure:
    """A receiver that fails half the time: half of that, after it took what it was sent."""

    def __init__(self, seed, on_post):
        self.random, self.on_post, self.fails = random.Random(seed), on_post, True
        self.told = []  # ((who, since), status, sender)
        self.posts = Posts(self._answer)
        self.url = self.posts.url

    def _answer(self, post):
        body = json.loads(post["body"])
        self.on_post(body["externalURL"])
        dice = self.random.random() if self.fails else 1.0
        if dice < 0.25:
            return 503, {}, b"not now"
        for alert in body["alerts"]:
            incident = (who(alert["labels"]), alert["startsAt"])
            self.told.append((incident, alert["status"], body["externalURL"]))
        if dice < 0.5:
            return None, {}, b""  # the connection ends without an answer
        return 200, {}, b""

    def incidents(self, status):
        return {incident for incident, told, _ in list(self.told) if told == status}

    def check_order(self):
        """No end before its beginning, and no beginning after its end."""
        ended, began = set(), set()
        for incident, status, _ in self.told:
            if status == "firing":
                assert incident not in ended, f"{incident} fires after its end: {self.told}"
                began.add(incident)
            else:
                assert incident in began, f"{incident} ends before it was told: {self.told}"
                ended.add(incident)

    def duplicates(self):
        return len(self.told) - len({(incident, status) for incident, status, _ in self.told})

    def close(self):
        self.posts.close()


class Mortal:
    """A process that is killed again and again, and what it therefore owes to everybody."""

    def __init__(self, name, folder, seed):
        self.name, self.folder, self.dice = name, folder / name, random.Random(f"{name} {seed}")
        self.state, self.lock = self.folder / "state", threading.Lock()
        self.program, self.life, self.says, self.spared_until = None, 0, None, 0
        self.posted, self.urls = threading.Event(), set()
        self.owed, self.losses, self.ended = set(), [], {}
        self.known, self.began = set(), {}  # incidents of earlier lives, and of this one since when
        self.is_last, self.closed = False, threading.Event()
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self):
        program = self.begin()
        with self.lock:
            self.program, self.began = program, {}
            self.life += 1
            self.urls.add(program.admin_url + "/")
        if not self.watcher.is_alive():
            self.watcher.start()

    def die(self):
        """Now; or, as often as not, when a receiver has just got something from it."""
        if self.dice.random() < 0.5:
            self.posted.clear()
            self.posted.wait(1.5)
            time.sleep(self.dice.uniform(0, 0.03))
        self.kill()
        self.start()

    def kill(self):
        self.program.kill()
        self.is_gone()

    def is_gone(self):
        with self.lock:
            self.life, self.says = self.life + 1, None
            self.known |= self.began.keys()

    def lose_state(self):
        """Nobody knows any more what was not told, nor what must be taken back."""
        shutil.rmtree(self.state)
        self.losses.append(time.time())
        with self.lock:
            self.owed, self.known = set(), set()

    def _watch(self):
        while not self.closed.wait(0.1):
            life, program = self.life, self.program
            try:
                told = json.loads(program.get("/api/v1/alerts")[1])
            except (OSError, ValueError):
                continue
            told = told["alerts"] if isinstance(told, dict) else told
            now = time.monotonic()
            firing = {(who(one["labels"]), one["starts_at"]) for one in told if one["state"] == "firing"}
            with self.lock:
                if life == self.life and program is self.program:
                    self._note(firing, now)

    def _note(self, firing, now):
        """What a life before said too, or this one for long, is certain."""
        self.says = {one for one, _ in firing}
        for incident in firing:
            since = self.began.setdefault(incident, now)
            if incident in self.known or now - since > CERTAIN:
                self.owed.add(incident)

    def lost(self, incident):
        """Whether nobody could know of its end: the state went away before that, or right after."""
        (name, _), since = incident
        told_by = self.ended.get(name, math.inf) + TOLD_WITHIN
        return any(seconds(since) <= loss < told_by for loss in self.losses)

    def logs(self):
        return "".join(log.read_text(errors="replace") for log in self.folder.glob("kinescope-*.log"))

    def close(self):
        self.closed.set()
        if self.program and self.program.process.poll() is None:
            self.program.kill()


class Hub(Mortal):
    """Alone evaluates what is said of a consumer. Its state is never lost."""

    def __init__(self, fleet, folder, seed):
        super().__init__("hub", folder, seed)
        self.fleet, self.otlp = fleet, free_port()
        self.otlp_url = f"http://127.0.0.1:{self.otlp}"

    def begin(self):
        # It must have read for some seconds before it calls anything late: every other life is long enough.
        self.spared_until = time.monotonic() + self.dice.choice([0, self.fleet.hub_lives])
        return Kinescope(self.folder, self.fleet.upstream.url, {
            "service": {"name": "hub"}, "state": str(self.state),
            "alerts": {"rules": [LAG_RULE, *QUIET], "receivers": self.fleet.hooks(), "settle": self.fleet.settle},
        }, role="hub", otlp=self.otlp)

    def await_firing(self, one):
        wait_for(lambda: one in (self.says or ()), PATIENCE, f"{one} at the hub")

    def await_quiet(self, one):
        """Until it certainly does not fire: one life says so for long enough."""
        life, since = None, 0

        def certain():
            nonlocal life, since
            with self.lock:
                says, is_life = self.says, self.life
            if says is None or one in says or life != is_life:
                life, since = is_life, time.monotonic()
            return time.monotonic() - since > CERTAIN

        wait_for(certain, PATIENCE, f"the end of {one} at the hub")


class Sidecar(Mortal):
    """Leaves the consumer to the hub, and has rules of its own: from one life to the next their
    thresholds come and go, and with them their alerts."""

    def __init__(self, fleet, index, folder, seed):
        super().__init__(f"sidecar-{index}", folder, seed)
        self.fleet, self.port, self.numbers = fleet, free_port(), itertools.count()
        self.rule, self.over = None, []
        self.reader = Reader(f"http://127.0.0.1:{self.port}", fleet.streams, shard_id(index), every=0.25)

    def begin(self):
        self._turn()
        fires = [] if self.rule is None else [own_rule(self.rule, 0.5)]
        return Kinescope(self.folder, self.fleet.upstream.url, {
            "service": {"name": "inventory"}, "external_labels": {"cluster": self.name},
            "hub": {"endpoint": self.fleet.hub.otlp_url}, "state": str(self.state),
            "alerts": {"rules": [LAG_RULE, *fires, *(own_rule(name, 1.5) for name in self.over)],
                       "receivers": self.fleet.hooks(), "settle": "0s"},
        }, port=self.port)

    def _turn(self):
        """What fires fires on; or its rule is another; or there is no such rule any more."""
        if self.rule is not None and (self.is_last or self.dice.random() < 0.6):
            if self.dice.random() < 0.5:
                self.over.append(self.rule)
            self.ended[self.rule], self.rule = time.time(), None
        elif self.rule is None and not self.is_last and self.dice.random() < 0.8:
            self.rule = f"SidecarOwn{next(self.numbers)}"

    def kill(self):
        super().kill()
        if self.dice.random() < 0.5:
            self.lose_state()

    def come_to_rest(self):
        """Restarted in order, without a rule of its own that fires."""
        self.program.stop()
        self.is_gone()
        self.is_last = True
        self.start()

    def close(self):
        self.reader.close()
        super().close()


def shard_id(index):
    return f"shardId-{index:012d}"


def own_rule(name, above):
    return {"name": name, "severity": "info", "when": {"signal": "always", "above": above},
            "for": "0s", "keep_firing_for": "0s"}


class Fleet:
    """A hub, the sidecars of one consumer, the streams that it reads, and who is told."""

    def __init__(self, folder, seed, settle, hub_lives, receivers=2):
        self.settle, self.hub_lives = settle, hub_lives
        self.upstream, self.streams, self.dice = Sharded(), [], random.Random(seed)
        self.numbers, self.episodes, self.recovered = itertools.count(), {}, {}
        self.receivers = [Unsure(seed + n, self._on_post) for n in range(receivers)]
        self.hub = Hub(self, folder, seed)
        self.sidecars = [Sidecar(self, index, folder, seed) for index in range(SIDECARS)]
        self.mortals, self.killed = [self.hub, *self.sidecars], collections.Counter()

    def hooks(self):
        return [{"name": f"hook-{n}", "webhook": {"url": receiver.url}}
                for n, receiver in enumerate(self.receivers)]

    def _on_post(self, sender):
        for mortal in self.mortals:
            if sender in mortal.urls:
                mortal.posted.set()

    def kill(self, kills, every):
        """Who is killed next, and when, is chance: in the mean after `every` seconds."""
        with concurrent.futures.ThreadPoolExecutor(len(self.mortals)) as pool:
            reborn = {one: pool.submit(one.start) for one in self.mortals}
            concurrent.futures.wait(reborn.values())
            for _ in range(kills):
                time.sleep(self.dice.expovariate(1 / every))
                living = [one for one, start in reborn.items()
                          if start.done() and one.spared_until < time.monotonic()] or self.sidecars
                [victim] = self.dice.choices(living, [5 if one is self.hub else 1 for one in living])
                reborn[victim].result()
                reborn[victim] = pool.submit(victim.die)
                self.killed[victim.name] += 1
            concurrent.futures.wait(reborn.values())
            reborn = [*reborn.values(), *(pool.submit(one.come_to_rest) for one in self.sidecars)]
            for start in reborn:
                start.result()
        for receiver in self.receivers:
            receiver.fails = False

    def lag(self, ending):
        """Streams, one after the other, twice behind each: what fires a third time within the hour
        is kept on for a quarter of one."""
        while not ending.is_set():
            stream = f"orders-{next(self.numbers)}"
            self.streams.append(stream)
            for _ in range(2):
                ending.wait(self.dice.uniform(0, 1))
                if not ending.is_set():
                    self._episode(stream, ending)
            self.streams.remove(stream)

    def _episode(self, stream, ending):
        one = (ALERT, stream)
        self.episodes[one] = self.episodes.get(one, 0) + 1
        # Often one shard alone, of which but one sidecar knows.
        shards = [f"{stream}/{shard_id(index)}" for index in range(len(self.sidecars))]
        behind = shards if self.dice.random() < 0.4 else [self.dice.choice(shards)]
        self.upstream.behind_ms.update(dict.fromkeys(behind, LAG_MS))
        self.hub.await_firing(one)
        # An end can come at once, after a while, or after another hub has seen it.
        life, until = self.hub.life, time.monotonic() + self.dice.choice([0, 2.5, 8])
        while time.monotonic() < until and self.hub.life < life + 2 and not ending.wait(0.1):
            pass
        ending.wait(self.dice.uniform(0, 1))
        self.recovered.setdefault(one, []).append(time.time())
        self.upstream.behind_ms.update(dict.fromkeys(behind, 0))
        self.hub.await_quiet(one)

    def owned_by(self, incident):
        (_, name), _ = incident
        return next((one for one in self.sidecars if one.name == name), self.hub)

    def missing(self):
        """What is certain and was not told, and what was told and not taken back, by receiver."""
        owed = set().union(*(one.owed for one in self.mortals))
        found = {}
        for n, receiver in enumerate(self.receivers):
            fired, ended = receiver.incidents("firing"), receiver.incidents("resolved")
            open_ = {one for one in fired - ended if not self.owned_by(one).lost(one)}
            found.update({(n, "not told"): owed - fired, (n, "not taken back"): open_})
        return {what: incidents for what, incidents in found.items() if incidents}

    def check(self):
        """What holds however things went."""
        slow = {one for one in self.mortals if SLOW in one.logs()}
        for receiver in self.receivers:
            receiver.check_order()
            for incident, _, sender in receiver.told:
                assert sender in self.owned_by(incident).urls, f"{incident} was told by {sender}"
            by_who = {}
            for one, since in receiver.incidents("firing"):
                by_who.setdefault(one, []).append(since)
            for one, times in by_who.items():
                owner = self.owned_by((one, ""))
                between = self.recovered.get(one, []) if owner is self.hub else owner.losses
                for before, after in itertools.pairwise(sorted(map(seconds, times))):
                    # One incident is one notification.
                    assert owner in slow or any(before <= at <= after for at in between), (one, times, between)
        for mortal in self.mortals:
            assert "panicked at" not in mortal.logs()

    def summary(self):
        told = sum(len(receiver.told) for receiver in self.receivers)
        again = sum(receiver.duplicates() for receiver in self.receivers)
        fired = set().union(*(receiver.incidents("firing") for receiver in self.receivers))
        of_hub = {one for one in fired if self.owned_by(one) is self.hub}
        lost = {one for receiver in self.receivers
                for one in receiver.incidents("firing") - receiver.incidents("resolved")}
        return (f"{self.killed['hub']} of the hub, state lost in {sum(len(one.losses) for one in self.sidecars)}; {told} deliveries of "
                f"{len(of_hub)} incidents of the hub and {len(fired - of_hub)} of sidecars, {again} of them "
                f"duplicates; the ends of {len(lost)} were lost with their state")

    def close(self):
        for mortal in self.mortals:
            with contextlib.suppress(Exception):
                mortal.close()
        for receiver in self.receivers:
            receiver.close()
        self.upstream.close()
