"""Owns a consumer whose lag a test decides: a Kinesis of our own that says it, and a reader that goes on
reading through a sidecar, whatever happens to that."""

import json
import threading
import time

from harness import Boto3, wait_for
from receivers import Server
from upstream import Kinesis

ALERT = "KinesisConsumerLagHigh"
RULE = {
    "name": ALERT,
    "severity": "critical",
    "when": {"signal": "delivery_lag", "above": "2s", "clear_below": "1s"},
    "for": "0s",
    "keep_firing_for": "0s",
}


class Lagging(Kinesis):
    """Says of each stream that it is this far behind."""

    def __init__(self):
        self.behind_ms = {}
        super().__init__()

    def GetRecords(self, given):
        answer = super().GetRecords(given)
        name = given["ShardIterator"].rpartition(":")[0]
        return {**answer, "MillisBehindLatest": self.behind_ms.get(name, 0)}


class Reader:
    """Reads one shard of all streams, over and over, through whatever listens at `url`."""

    def __init__(self, url, streams, shard="shardId-000000000000", every=0.02):
        self.streams, self.shard, self.every, self.stop = streams, shard, every, threading.Event()
        self.client = Boto3(url, max_attempts=1, read_timeout=2)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while not self.stop.wait(self.every):
            for stream in list(self.streams):
                at = self.client.try_call("GetShardIterator", StreamName=stream,
                                          ShardId=self.shard, ShardIteratorType="LATEST")
                if at:
                    self.client.try_call("GetRecords", ShardIterator=at["ShardIterator"])

    def close(self):
        self.stop.set()
        self.thread.join(10)
        self.client.close()


class Posts:
    """A receiver that keeps what it was sent, whole, and says yes, or what `answer(post)` says."""

    def __init__(self, answer=lambda post: (200, {}, b"ok"), port=0):
        self.posts, self.answer = [], answer
        self.server = Server(self._keep, port)
        self.url = f"{self.server.url}/hook"

    def _keep(self, request):
        post = {"path": request.path, "headers": dict(request.headers.items()), "body": request.body,
                "at": time.monotonic()}
        answered = self.answer(post)
        post["status"] = answered[0]
        self.posts.append(post)
        return answered

    def bodies(self):
        return [json.loads(post["body"]) for post in list(self.posts)]

    def alerts(self, status):
        """The alerts of this status in webhook bodies."""
        return [alert for body in self.bodies() for alert in body["alerts"] if alert["status"] == status
                and alert["labels"]["alertname"] == ALERT]

    def close(self):
        self.server.close()


def firing(sidecar):
    """{stream: startsAt} of what fires, as the sidecar itself says."""
    told = json.loads(sidecar.get("/api/v1/alerts")[1])
    told = told["alerts"] if isinstance(told, dict) else told
    return {alert["labels"]["stream"]: alert["starts_at"] for alert in told
            if alert["state"] == "firing" and alert["labels"]["alertname"] == ALERT}


def until(predicate, what, timeout=30):
    return wait_for(predicate, timeout, what)
