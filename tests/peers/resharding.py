"""Owns a Kinesis of our own (upstream.py) with several shards that split while they are written to and
read, and with subscriptions that deliver what a shard holds."""

import json
import time

from upstream import Fault, Kinesis, When, event_of, frame, sequence

BATCH = 500


class Shard:
    def __init__(self):
        self.records, self.children = [], []


class Resharding(Kinesis):
    def __init__(self, shards):
        super().__init__()
        self.shards, self.order = {}, []
        for _ in range(shards):
            self._open()

    def _open(self):
        name = f"shardId-{len(self.order):012}"
        self.shards[name] = Shard()
        self.order.append(name)
        return name

    def open_shards(self):
        return [name for name in self.order if not self.shards[name].children]

    def split(self):
        """Closes the oldest open shard; two children go on."""
        with self.lock:
            name = self.open_shards()[0]
            self.shards[name].children = [self._open(), self._open()]
            return name

    # ---- operations ----------------------------------------------------------------------------

    def _store(self, data, key):
        with self.lock:
            shards = self.open_shards()
            name = shards[hash(key) % len(shards)]
            self.stored.append((data, key))
            number = sequence(len(self.stored))
            self.shards[name].records.append({
                "Data": data, "PartitionKey": key, "SequenceNumber": number,
                "ApproximateArrivalTimestamp": When(round(time.time(), 3))})
            return {"ShardId": name, "SequenceNumber": number}

    def GetShardIterator(self, given):
        return {"ShardIterator": f"{given['ShardId']}:0"}

    def GetRecords(self, given):
        name, _, start = given["ShardIterator"].rpartition(":")
        start = int(start)
        with self.lock:
            shard = self.shards[name]
            records = shard.records[start:start + given.get("Limit", 1000)]
            end = start + len(records)
            answer = {"Records": records, "MillisBehindLatest": 0}
            if shard.children and end == len(shard.records):
                answer["ChildShards"] = [{"ShardId": child, "ParentShards": [name]} for child in shard.children]
            else:
                answer["NextShardIterator"] = f"{name}:{end}"
            return answer

    def SubscribeToShard(self, given):
        shard = self.shards.get(given["ShardId"])
        if shard is None:
            raise Fault(400, "ResourceNotFoundException")
        batches = range(0, len(shard.records), BATCH)
        return [frame("initial-response", json.dumps({}).encode()),
                *(event_of(shard.records[start:start + BATCH]) for start in batches)]
