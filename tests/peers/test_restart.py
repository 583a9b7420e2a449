"""Owns: a sidecar that is killed knows again, from its state folder, whose iterators the readers hold."""

from harness import Boto3, Kinescope, iterator, new_stream, wait_for


def polled(client, at):
    answer = client.call("GetRecords", ShardIterator=at)
    return answer["NextShardIterator"]


def test_lag_is_attributed_again_after_kill_9(ministack, kinescope, tmp_path):
    """The reader goes on with the iterator that it was given before: within two polls of the new sidecar
    its shard has a name, and nothing is `unknown`."""
    config = {"state": str(tmp_path / "state")}
    (tmp_path / "state").mkdir()
    stream = new_stream(ministack.url)
    first = Kinescope(tmp_path / "first", ministack.url, config)
    reader = Boto3(first.url)
    reader.call("PutRecord", StreamName=stream, Data=b'{"a":1}', PartitionKey="p")
    at = iterator(reader, stream)
    for _ in range(3):
        at = polled(reader, at)
    lag = "kinesis_consumer_delivery_lag_seconds"
    wait_for(lambda: first.metrics().all(lag, stream=stream), 10, "the lag before the kill")
    # The journal's write follows the observer; a client that polls each second never meets the gap.
    journal = tmp_path / "state" / "iterators"
    wait_for(lambda: journal.read_bytes().count(stream.encode()) == 4, 10, "four steps in the journal")
    first.kill()
    second = kinescope(ministack.url, config)
    reader = Boto3(second.url)
    for _ in range(2):
        at = polled(reader, at)
    wait_for(lambda: second.metrics().all(lag, stream=stream, shard="shardId-000000000000"), 10, "the lag again")
    assert not second.metrics().all(lag, shard="unknown")


def test_a_state_folder_that_cannot_be_written_costs_nothing(ministack, kinescope, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, no folder")
    sidecar = kinescope(ministack.url, {"state": str(blocked)})
    stream = new_stream(ministack.url)
    reader = Boto3(sidecar.url)
    polled(reader, iterator(reader, stream))
    wait_for(lambda: sidecar.metrics().all("kinesis_consumer_delivery_lag_seconds", stream=stream), 10, "the lag")
    assert sidecar.output().count("the state folder cannot be written to") == 1
