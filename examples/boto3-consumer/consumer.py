"""A consumer with boto3: reads a stream through the sidecar and reports each record that it has
processed, or failed to, with POST /envelope/v1/processed. From the reports the sidecar makes process
spans that link to the producer's, figures per event type and log lines.

    AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4590 python consumer.py orders

Left out: checkpoints and shards that are split; KCL has both, and reports the same way."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

import boto3

SIDECAR = os.environ.get("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:4590").rstrip("/")


def process(record):
    """Put the work here."""


def report(stream, shard, record, began, took, error):
    """Tells the sidecar. What it cannot take is lost, never the record: a report is no reason to fail."""
    told = {
        "stream": stream,
        "shard": shard,
        "sequenceNumber": record["SequenceNumber"],
        "envelope": text(record["Data"]),
        "startTimeMs": began * 1000,
        "durationMs": took * 1000,
        "error": error and {"type": type(error).__name__, "message": str(error)},
    }
    request = urllib.request.Request(
        f"{SIDECAR}/envelope/v1/processed", json.dumps(told).encode(), {"content-type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=2).close()
    except urllib.error.HTTPError as refused:
        # The answer names the field that is wrong.
        print(refused.read().decode(), file=sys.stderr)
    except OSError as unreachable:
        print(f"the sidecar cannot be reached: {unreachable}", file=sys.stderr)


def text(data):
    """The envelope, from which the sidecar takes context and event type; None for what is no text."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def consume(stream, polls=None):
    """Reads every shard from its beginning; for ever, or `polls` times."""
    kinesis = boto3.client("kinesis", endpoint_url=SIDECAR)
    iterators = {
        shard["ShardId"]: kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        for shard in kinesis.list_shards(StreamName=stream)["Shards"]
    }
    while iterators and polls != 0:
        polls = polls and polls - 1
        for shard, iterator in list(iterators.items()):
            answer = kinesis.get_records(ShardIterator=iterator, Limit=1000)
            for record in answer["Records"]:
                one(stream, shard, record)
            if answer.get("NextShardIterator"):
                iterators[shard] = answer["NextShardIterator"]
            else:
                del iterators[shard]
        if polls != 0:
            time.sleep(1)  # Kinesis allows five reads a second and shard, for all consumers together


def one(stream, shard, record):
    began, clock, error = time.time(), time.monotonic(), None
    try:
        process(record)
    except Exception as raised:
        error = raised
    report(stream, shard, record, began, time.monotonic() - clock, error)


if __name__ == "__main__":
    consume(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
