"""Owns: what the hub says of consumers whose pods have a sidecar each. Four readers side by side have
four statuses, a service whose pods are all killed has stopped, a rolling restart of five pods is no
news, and the hub's own death costs no application anything."""

import html
import json
import os
import re
import signal
import threading
import time

import pytest

from harness import Boto3, Kinescope, free_port, iterator, new_stream, wait_for
from receivers import gap

pytestmark = pytest.mark.patient

SHARD = "shardId-000000000000"


def consumers(hub, stream):
    """What the hub's page knows of a stream's consumers, by name."""
    told = json.loads(hub.get("/api/v1/status")[1])["consumers"]
    return {view["consumer"]: view for view in told if view["stream"] == stream}


def status(hub, stream, consumer):
    return consumers(hub, stream).get(consumer, {}).get("status")


class Reader:
    """A consumer's process: reads its shards by turns, until it is stopped."""

    def __init__(self, sidecar, stream, shards=(SHARD,), every=0.3, limit=1000, after=None):
        self.sidecar, self.every, self.limit = sidecar, every, limit
        self.client, self.failures = Boto3(sidecar.url, max_attempts=1), []
        self.at = {shard: self._begin(stream, shard, (after or {}).get(shard)) for shard in shards}
        self.newest, self._stop = dict(after or {}), threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _begin(self, stream, shard, after):
        kind = {"ShardIteratorType": "TRIM_HORIZON"} if after is None else {
            "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
        return self.client.call("GetShardIterator", StreamName=stream, ShardId=shard, **kind)["ShardIterator"]

    def _run(self):
        while not self._stop.is_set():
            for shard, at in self.at.items():
                try:
                    answer = self.client.call("GetRecords", ShardIterator=at, Limit=self.limit)
                except Exception as error:
                    if not self._stop.is_set():
                        self.failures.append(error)
                    continue
                self.at[shard] = answer["NextShardIterator"]
                for record in answer["Records"][-1:]:
                    self.newest[shard] = record["SequenceNumber"]
            self._stop.wait(self.every)

    def stop(self):
        """The process ends: its connections close."""
        self._stop.set()
        self.thread.join()
        self.client.client.close()


class Producer:
    """Puts to every shard, a few records a second, straight to the upstream."""

    def __init__(self, url, stream, keys=("p",)):
        self.client, self.stream, self.keys = Boto3(url), stream, keys
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self._stop.wait(0.25):
            self.client.call("PutRecords", StreamName=self.stream, Records=[
                {"Data": b"{}", "PartitionKey": key} for key in self.keys for _ in range(2)])

    def stop(self):
        self._stop.set()
        self.thread.join()


@pytest.fixture
def running():
    """Readers and producers; all end with the test."""
    started = []
    yield started
    for one in reversed(started):
        one.stop()


@pytest.fixture
def fleet(ministack, kinescope):
    """A hub, and sidecars that tell it what they see."""
    hub = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub")

    pods = []

    def sidecar(service):
        pods.append(kinescope(ministack.url, {"service": {"name": service}, "hub": {"endpoint": hub.otlp_url}}))
        return pods[-1]

    yield hub, sidecar
    # Before the hub: one that cannot say that it goes waits for its answer.
    for pod in pods:
        pod.stop()


def test_four_readers_have_four_statuses(fleet, ministack, running):
    hub, sidecar = fleet
    busy, quiet = new_stream(ministack.url), new_stream(ministack.url)
    expected = {"gone": "stopped", "quiet": "idle", "fine": "ok", "slow": "falling_behind"}
    running.append(Producer(ministack.url, busy))
    readers = {name: Reader(sidecar(name), quiet if name == "quiet" else busy, limit=1 if name == "slow" else 1000)
               for name in expected}
    running.extend(readers.values())
    wait_for(lambda: all(status(hub, busy, name) for name in ("gone", "fine", "slow")), 20, "three readers")
    gap(4)  # the one that goes must have had a rhythm
    readers["gone"].stop()
    gone = time.monotonic()
    said = lambda: {**{name: status(hub, busy, name) for name in ("gone", "fine", "slow")},
                    "quiet": status(hub, quiet, "quiet")}
    wait_for(lambda: said() == expected, 25, f"{expected}")
    wait_for(lambda: status(hub, busy, "gone") == "stopped", 1, "a stop")
    assert time.monotonic() - gone < 25
    why = consumers(hub, busy)["gone"]
    assert why["rule"] == "7 disconnected", why
    # The same in the hub's figures; and summing over pods counts nobody twice.
    on = {labels["consumer"]: labels["status"] for labels, value in
          hub.metrics().all("kinesis_consumer_status", stream=busy) if value == 1}
    assert on == {name: status for name, status in expected.items() if name != "quiet"}
    assert hub.metrics().value("kinescope_hub_pods") == 4
    assert not any(reader.failures for reader in readers.values())


def test_a_service_whose_pods_are_killed_has_stopped(fleet, ministack, running, kinescope):
    hub, sidecar = fleet
    stream = new_stream(ministack.url)
    running.append(Producer(ministack.url, stream))
    pod = sidecar("mail")
    reader = Reader(pod, stream)
    wait_for(lambda: status(hub, stream, "mail") == "ok", 20, "a reader that keeps up")
    gap(4)
    # Process and sidecar at once, without a word.
    os.kill(pod.process.pid, signal.SIGKILL)
    killed = time.monotonic()
    reader.stop()
    pod._gone()
    pod.stop = lambda: None  # it cannot drain any more
    seen = set()

    def stopped():
        seen.add(status(hub, stream, "mail"))
        return "stopped" in seen

    wait_for(stopped, 30, "a stop")
    assert time.monotonic() - killed < 12, "ten seconds, and two for a busy machine"
    assert seen <= {"ok", "falling_behind", "lagging", "stopped"}
    assert hub.metrics().value("kinescope_hub_pods") == 0


def test_what_pods_put_to_a_shard_adds_up_in_the_hub(fleet, ministack):
    hub, sidecar = fleet
    stream = new_stream(ministack.url, shards=2)
    pods = [sidecar("shop"), sidecar("desk")]
    clients = [Boto3(pod.url) for pod in pods]
    began, put = time.monotonic(), {}
    while time.monotonic() < began + 11:
        for client in clients:
            one = client.call("PutRecord", StreamName=stream, Data=b"x" * 1000, PartitionKey="hot")
            many = client.call("PutRecords", StreamName=stream, Records=[
                {"Data": b"x" * 100, "PartitionKey": f"key-{n}"} for n in range(10)])
            for answer in [one, *many["Records"]]:
                put[answer["ShardId"]] = put.get(answer["ShardId"], 0) + 1
        gap(0.1)
    seconds = time.monotonic() - began
    counted = lambda name, shard: sum(pod.metrics().sum(name, stream=stream, shard=shard) for pod in pods)
    for shard, records in put.items():
        wait_for(lambda: counted("kinesis_shard_put_records_total", shard) == records, 5, f"{records} of {shard}")
    # Data and partition keys, as Kinesis counts them; nothing is added to what is no object.
    rounds = sum(put.values()) / 11
    whole = sum(counted("kinesis_shard_put_bytes_total", shard) for shard in put)
    assert whole == rounds * (1003 + 10 * 105)
    # A pod knows its own part of a shard; how full it is, the hub.
    used = lambda shard: hub.metrics().value("kinesis_shard_write_utilization_ratio", stream=stream, shard=shard)
    assert not pods[0].metrics().all("kinesis_shard_write_utilization_ratio")
    [hot] = [s for s in put if put[s] == max(put.values())]
    expected = put[hot] / seconds / 1000
    wait_for(lambda: (used(hot) or 0) > expected / 2, 10, f"about {expected} of {hot}")
    assert used(hot) < expected * 2
    told = json.loads(hub.get("/api/v1/status")[1])
    [load] = told["loads"]
    assert load["stream"] == stream and {s["shard"] for s in load["shards"]} == set(put)
    # Which key is heavy the pods know; the hub, whose key it is and how heavy.
    heavy = {(key["service"], s["shard"]): key["share"] for s in load["shards"] for key in s["heaviest_keys"]}
    for service in ("shop", "desk"):
        assert max(share for (by, _), share in heavy.items() if by == service) > 0.4, heavy
    [plan] = told["plans"]["streams"]
    assert (plan["stream"], plan["shards_needed"], plan["open_shards"]) == (stream, 1, 2)
    assert plan["producers"] == 2 and plan["measured_by"] == "wire" and told["plans"]["of"] == "fleet"
    assert plan["records_per_second"] == pytest.approx(sum(put.values()) / seconds, rel=0.6)
    assert {"default_retention", "encryption_off", "more_shards_than_needed"} <= {a["name"] for a in plan["advice"]}
    page = html.unescape(hub.get("/")[1])
    assert "Capacity and cost" in page and "Encryption is off" in page and "provisioned, 1 shard<" in page
    assert re.search(r"≥ [\d.]+ % of (shop|desk), pod ", page), "whose key it is"
    assert "saw the traffic of its pod only" in pods[0].get("/")[1]
    # The heavy key is known where it was seen, and by no name.
    [own] = json.loads(pods[0].get("/api/v1/status")[1])["loads"]
    assert own["heaviest_keys"][0]["share"] > 0.4 and len(own["heaviest_keys"]) == 1
    assert '"hot"' not in pods[0].get("/api/v1/status")[1]


STOPPED = {"rules": [
    {"name": "KinesisConsumerStopped", "for": "1s"},
    {"name": "KinesisConsumerLagHigh", "when": {"signal": "delivery_lag", "above": "20s", "clear_below": "10s"},
     "for": "1s"}]}


def test_a_rolling_restart_of_five_pods_says_nothing(ministack, kinescope, webhook, running, tmp_path):
    (tmp_path / "rules.yaml").write_text(json.dumps(STOPPED))
    (tmp_path / "hook-url").write_text(webhook.url)
    alerts = {"rules": [str(tmp_path / "rules.yaml")],
              "receivers": [{"name": "hook", "webhook": {"url_file": str(tmp_path / "hook-url")}}]}
    hub = kinescope(ministack.url, {"service": {"name": "hub"}, "alerts": alerts}, role="hub")
    pod = lambda: kinescope(ministack.url, {
        "service": {"name": "mail"}, "hub": {"endpoint": hub.otlp_url}, "alerts": alerts})
    stream = new_stream(ministack.url, shards=5)
    shards = [shard["ShardId"] for shard in
              Boto3(ministack.url).call("ListShards", StreamName=stream)["Shards"]]
    running.append(Producer(ministack.url, stream, [f"key-{n}" for n in range(40)]))
    readers = [Reader(pod(), stream, [shard]) for shard in shards]
    running.extend(readers)
    told = lambda: consumers(hub, stream).get("mail", {"shards": [], "status": None})
    wait_for(lambda: len(told()["shards"]) == 5 and told()["status"] == "ok", 20, "five shards that are read")
    gap(4)
    seen, watching = set(), threading.Event()

    def watch():
        while not watching.wait(0.1):
            seen.update({told()["status"], *(shard["status"] for shard in told()["shards"])})

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for shard, old in zip(shards, list(readers)):
            # As a deployment does: one more, then one less; the shard's lease moves a moment later.
            new = pod()
            old.stop()
            old.sidecar.stop()
            gap(1.5)
            running.append(Reader(new, stream, [shard], after=old.newest))
        wait_for(lambda: told()["status"] == "ok", 15, "all shards at the tip again")
        gap(3)
    finally:
        watching.set()
        watcher.join()
    assert not seen & {"stopped", "losing_data", "stalled", "rewound"}, seen
    assert webhook.requests == []
    assert hub.metrics().value("kinescope_hub_pods") == 5
    # The pods themselves leave it to the hub, and say so once.
    assert old.sidecar.output().count("leaves these rules to it") == 1
    # All of them at once: that is no rolling restart.
    for reader in running:
        if isinstance(reader, Reader):
            reader.stop()
    wait_for(lambda: told()["status"] == "stopped", 25, "a stop")
    firing = wait_for(lambda: webhook.accepted("firing"), 10, "the hub's alert")
    labels = firing[0]["alerts"][0]["labels"]
    assert (labels["alertname"], labels["consumer"]) == ("KinesisConsumerStopped", "mail")


def test_a_hub_that_dies_and_comes_back(ministack, kinescope, running, tmp_path):
    stream, port = new_stream(ministack.url), free_port()
    hub = Kinescope(tmp_path, ministack.url, {"service": {"name": "hub"}}, role="hub", otlp=port)
    sidecars = {name: kinescope(ministack.url, {
        "service": {"name": name}, "hub": {"endpoint": hub.otlp_url}}) for name in ("mail", "gone")}
    running.append(Producer(ministack.url, stream))
    readers = {name: Reader(sidecar, stream) for name, sidecar in sidecars.items()}
    running.extend(readers.values())
    wait_for(lambda: status(hub, stream, "mail") == "ok" == status(hub, stream, "gone"), 20, "two readers")
    gap(3)
    readers["gone"].stop()
    hub.kill()
    lost = lambda: sidecars["mail"].metrics().value(
        "kinescope_dropped_total", queue="hub_observations", reason="export_failed")
    wait_for(lost, 20, "what the dead hub was not told")
    again = kinescope(ministack.url, {"service": {"name": "hub"}}, role="hub", otlp=port)
    wait_for(lambda: status(again, stream, "mail") == "ok", 20, "the verdict of who reads on")
    # Whoever stopped meanwhile: its sidecar still knows, and tells a hub that does not.
    wait_for(lambda: status(again, stream, "gone") == "stopped", 25, "the verdict of who is gone")
    assert readers["mail"].failures == []
    assert sidecars["mail"].metrics().sum("kinescope_dropped_total", queue="engine") == 0
