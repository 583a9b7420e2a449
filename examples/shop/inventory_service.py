"""Reserves stock for each order, and tells so: python inventory_service.py ORDERS_STREAM INVENTORY_STREAM EVENTS

It reads until it has seen EVENTS events, for ever where that is left out. Left out here: checkpoints and
shards that are split; KCL has both."""

import json
import sys
import time

from events import envelope, kinesis, publish


class InventoryService:
    def __init__(self, stream):
        self.kinesis, self.stream = kinesis(), stream
        self.stock = {f"p-{number}": 5 for number in range(3)}
        self.reserved = {}

    def handle(self, event):
        if event["eventType"] == "ORDER_CREATED":
            self.reserve(event["payload"])
        elif event["eventType"] == "ORDER_CANCELLED":
            self.release(event["payload"]["orderId"])

    def reserve(self, order):
        wanted = {item["productId"]: item["quantity"] for item in order["items"]}
        enough = all(self.stock.get(product, 0) >= count for product, count in wanted.items())
        if enough:
            for product, count in wanted.items():
                self.stock[product] -= count
            self.reserved[order["orderId"]] = wanted
        self.tell("INVENTORY_RESERVED" if enough else "OUT_OF_STOCK", order["orderId"])

    def release(self, order_id):
        for product, count in self.reserved.pop(order_id, {}).items():
            self.stock[product] += count
        self.tell("INVENTORY_RELEASED", order_id)

    def tell(self, event_type, order_id):
        publish(self.kinesis, self.stream, envelope(event_type, {"orderId": order_id}), order_id)


def consume(stream, service, events=None):
    client, seen = kinesis(), 0
    iterators = {
        shard["ShardId"]: client.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        for shard in client.list_shards(StreamName=stream)["Shards"]
    }
    while events is None or seen < events:
        for shard, iterator in iterators.items():
            answer = client.get_records(ShardIterator=iterator, Limit=1000)
            iterators[shard] = answer["NextShardIterator"]
            for record in answer["Records"]:
                service.handle(json.loads(record["Data"]))
                seen += 1
        time.sleep(0.25)  # five reads a second and shard, for all consumers together


if __name__ == "__main__":
    consume(sys.argv[1], InventoryService(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
