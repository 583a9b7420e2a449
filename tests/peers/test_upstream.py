"""Owns that the upstream of our own can be trusted: what it writes it reads again, whatever a payload holds."""

import pytest

from upstream import CBOR, JSON, When, dumps, loads


@pytest.mark.parametrize("form", [JSON, CBOR])
def test_a_payload_may_hold_what_begins_a_time_in_cbor(form):
    record = {"Data": b"\xc1\x1b\xc1\x1b", "PartitionKey": "key-1", "ApproximateArrivalTimestamp": When(1.8e9)}
    answer = {"Records": [record], "MillisBehindLatest": 0, "NextShardIterator": "shardId-000000000001:5"}
    read = loads(form, dumps(form, answer))
    assert read["NextShardIterator"] == answer["NextShardIterator"]
    assert read["Records"][0]["Data"] == record["Data"]
