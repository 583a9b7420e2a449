"""Publishing, as the services share it: an envelope, a partition key that spreads, and patience with a
stream that is full."""

import hashlib
import json
import random
import time
import uuid
from datetime import datetime, timezone

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

FULL = ("ProvisionedThroughputExceededException", "LimitExceededException")


def kinesis():
    # Our own retries below know which errors are worth it; the SDK's would be on top of them.
    return boto3.client("kinesis", config=Config(retries={"total_max_attempts": 1}))


def envelope(event_type, payload):
    return {
        "eventId": str(uuid.uuid4()),
        "eventType": event_type,
        "timestamp": datetime.now(timezone.utc).isoformat(),
        "payload": payload,
    }


def spread(key, places=10):
    """One user's events stay together, many users spread."""
    place = int(hashlib.md5(key.encode()).hexdigest(), 16) % places
    return f"{key}#{place}"


def publish(client, stream, event, key, attempts=4):
    for attempt in range(1, attempts + 1):
        try:
            answer = client.put_record(
                StreamName=stream, Data=json.dumps(event).encode(), PartitionKey=spread(key))
            return answer["SequenceNumber"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in FULL or attempt == attempts:
                raise
            time.sleep(random.uniform(0, 0.1 * 2**attempt))
