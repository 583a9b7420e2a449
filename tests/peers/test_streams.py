"""Owns: a hub tells what the control plane says of streams, of those that bear the tags that are asked
for; and finds a new shard's list by itself when a reader comes to it."""

import pytest

from door import Door
from harness import Boto3, iterator, new_stream, wait_for
from test_lag import SHARD

pytestmark = pytest.mark.patient

INFO = "kinesis_stream_info"


def test_streams_are_chosen_by_their_tags(kinesis_mock, kinescope):
    tagged, other = new_stream(kinesis_mock.url, 2), new_stream(kinesis_mock.url)
    client = Boto3(kinesis_mock.url)
    client.call("AddTagsToStream", StreamName=tagged, Tags={"team": "mail", "stage": "live"})
    client.call("AddTagsToStream", StreamName=other, Tags={"team": "orders", "stage": "live"})
    arn = client.call("DescribeStreamSummary", StreamName=tagged)["StreamDescriptionSummary"]["StreamARN"]
    client.call("RegisterStreamConsumer", StreamARN=arn, ConsumerName="mailer")
    hub = kinescope(kinesis_mock.url, {"cloudwatch": {
        "enabled": True, "endpoint": "http://127.0.0.1:9",
        "streams": {"include": [tagged, other], "tags": {"team": "mail", "stage": "live"}}}}, role="hub")
    wait_for(lambda: hub.metrics().all(INFO, stream=tagged), 30, "the stream that bears the tags")
    metrics = hub.metrics()
    assert metrics.value("kinesis_stream_open_shards", stream=tagged) == 2
    assert metrics.value("kinesis_stream_retention_seconds", stream=tagged) == 24 * 3600
    assert metrics.value("kinesis_stream_fan_out_consumers", stream=tagged) == 1
    [(labels, _)] = metrics.all(INFO)
    assert labels["status"] == "ACTIVE" and labels["encrypted"] == "no" and labels["shard_level"] == "no", labels


def test_a_new_shard_asks_for_a_new_list(kinesis_mock, kinescope):
    stream, door = new_stream(kinesis_mock.url), Door(kinesis_mock.url)
    both = kinescope(door.url, role="all")
    through, direct = Boto3(both.url), Boto3(kinesis_mock.url)
    read = lambda shard: through.call("GetRecords", ShardIterator=iterator(through, stream, shard))  # noqa: E731
    read(SHARD)
    wait_for(lambda: door.count("ListShards") == 1 and both.metrics().all(INFO, stream=stream), 30, "a first list")
    direct.call("SplitShard", StreamName=stream, ShardToSplit=SHARD, NewStartingHashKey=str(1 << 127))
    ids = lambda: [it["ShardId"] for it in direct.call("ListShards", StreamName=stream)["Shards"]]  # noqa: E731
    child = wait_for(lambda: len(found := ids()) == 3 and found[-1], 20, "the children")
    read(SHARD)
    assert door.count("ListShards") == 1
    read(child)
    wait_for(lambda: door.count("ListShards") == 2, 30, "a second list, long before it is due")
    door.close()
