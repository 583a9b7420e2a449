"""Owns one service of the order flow as a program of its own: an ordinary boto3 client that knows of a
sidecar nothing but its address. Usage: order_flow.py SERVICE URL COMMANDS EVENTS [SAGA...]

`orders` leads: it begins the sagas that it is given, and goes on as events come. `inventory` and
`payment` carry out commands and tell what came of them; no payment succeeds, so that every saga is
taken back."""

import http.client
import json
import sys
import time
import urllib.parse

import boto3
import botocore.config

SERVICE, URL, COMMANDS, EVENTS, *SAGAS = sys.argv[1:]

# What each service reads, and what it puts when something comes: (stream, type).
FLOW = {
    "orders": (EVENTS, {
        "INVENTORY_RESERVED": (COMMANDS, "PROCESS_PAYMENT"),
        "PAYMENT_FAILED": (COMMANDS, "RELEASE_INVENTORY"),
    }),
    "inventory": (COMMANDS, {
        "RESERVE_INVENTORY": (EVENTS, "INVENTORY_RESERVED"),
        "RELEASE_INVENTORY": (EVENTS, "INVENTORY_RELEASED"),
    }),
    "payment": (COMMANDS, {"PROCESS_PAYMENT": (EVENTS, "PAYMENT_FAILED")}),
}

client = boto3.client("kinesis", endpoint_url=URL, config=botocore.config.Config(
    retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=20))
headers = {}
client.meta.events.register(
    "before-sign.kinesis",
    lambda request, **_: [request.headers.__setitem__(*header) for header in headers.items()])


def put(stream, kind, saga, traceparent=None):
    headers.clear()
    headers.update({"traceparent": traceparent} if traceparent else {})
    body = {"eventId": f"{kind}-{saga}", "eventType": kind, "timestamp": "2026-11-22T20:00:00Z",
            "payload": {"sagaId": saga, "amount": 4200}}
    client.put_record(StreamName=stream, Data=json.dumps(body).encode(), PartitionKey=saga)
    headers.clear()


def reported(stream, record, envelope):
    """Tells the sidecar what was done; gives the context of that work, whose child the next put is."""
    place = urllib.parse.urlsplit(URL)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    connection.request("POST", "/envelope/v1/processed", json.dumps({
        "stream": stream, "durationMs": 1, "envelope": envelope,
        "shard": "shardId-000000000000", "sequenceNumber": record["SequenceNumber"]}))
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["traceparent"]


stream, reactions = FLOW[SERVICE]
at = client.get_shard_iterator(
    StreamName=stream, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
for saga in SAGAS:
    put(COMMANDS, "RESERVE_INVENTORY", saga)
print("runs", flush=True)
while True:
    answer = client.get_records(ShardIterator=at)
    at = answer["NextShardIterator"]
    for record in answer["Records"]:
        envelope = json.loads(record["Data"])
        reaction = reactions.get(envelope["eventType"])
        if reaction is None:
            continue
        # The leader reports its work and goes on below it; the others go on below the record.
        own = reported(stream, record, envelope) if SERVICE == "orders" else envelope["traceparent"]
        put(*reaction, envelope["payload"]["sagaId"], own)
    time.sleep(0.05)
