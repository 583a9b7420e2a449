"""Two ways to send many events: batches that send again what failed, and KPL aggregates.
python producers.py batch|aggregate STREAM EVENTS"""

import json
import random
import sys
import time

from aws_kinesis_agg.aggregator import RecordAggregator
from events import envelope, kinesis, spread

BATCH = 500


def clicks(count):
    return [envelope("PAGE_VIEWED", {"userId": f"user-{number}", "page": number % 7}) for number in range(count)]


def batches(client, stream, events, attempts=5):
    """Sends all events; gives how many were sent more than once."""
    entries = [{"Data": json.dumps(event).encode(), "PartitionKey": spread(event["payload"]["userId"])}
               for event in events]
    again = 0
    for start in range(0, len(entries), BATCH):
        waiting = entries[start:start + BATCH]
        for attempt in range(attempts):
            answer = client.put_records(StreamName=stream, Records=waiting)
            told = zip(waiting, answer["Records"])
            waiting = [entry for entry, result in told if "ErrorCode" in result]
            if not waiting:
                break
            again += len(waiting)
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
        else:
            raise RuntimeError(f"{len(waiting)} events were not taken")
    return again


def aggregates(client, stream, events):
    """Sends all events in as few records as they fit into; gives how many records that were."""
    full, records = [], RecordAggregator()
    for event in events:
        done = records.add_user_record(event["payload"]["userId"], json.dumps(event))
        full += [done] if done else []
    full += [records.clear_and_get()]
    for record in full:
        key, _, data = record.get_contents()
        client.put_record(StreamName=stream, Data=data, PartitionKey=key)
    return len(full)


if __name__ == "__main__":
    send = {"batch": batches, "aggregate": aggregates}[sys.argv[1]]
    print(send(kinesis(), sys.argv[2], clicks(int(sys.argv[3]))))
