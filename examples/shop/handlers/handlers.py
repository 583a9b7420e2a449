"""Two Lambda functions on one stream: a confirmation by e-mail, and the stock. Each has an event source
mapping of its own; what it decided goes to the stream that OUT_STREAM names."""

import base64
import json
import os

import boto3

kinesis = boto3.client("kinesis")


def orders(event):
    for record in event["Records"]:
        envelope = json.loads(base64.b64decode(record["kinesis"]["data"]))
        if envelope["eventType"] == "ORDER_CREATED":
            yield envelope


def tell(event_type, order):
    event = {"eventType": event_type, "payload": {"orderId": order["payload"]["orderId"]}}
    kinesis.put_record(StreamName=os.environ["OUT_STREAM"], Data=json.dumps(event).encode(),
                       PartitionKey=order["payload"]["orderId"])


def email(event, _context):
    for order in orders(event):
        tell("CONFIRMATION_SENT", order)


def inventory(event, _context):
    for order in orders(event):
        tell("INVENTORY_UPDATED", order)
