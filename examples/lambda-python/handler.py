"""A Lambda consumer of a Kinesis stream: finds the context that each record carries, processes the
record and says so in one line of JSON, with the fields that Kinescope's own lines have, so that the
queries in deploy/cloudwatch/ read both. No sidecar listens inside Lambda, and none is needed.

Left out: KPL aggregates (take them apart with aws_kinesis_agg.deaggregator before `events`)."""

import base64
import json
import os
import re
import secrets
import time
from datetime import datetime, timezone

CONSUMER = os.environ.get("OTEL_SERVICE_NAME") or os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or "unknown"
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
XRAY_ROOT = re.compile(r"Root=1-([0-9a-f]{8})-([0-9a-f]{24})")


def process(event):
    """Put the work here; whatever it raises is reported, and Lambda tries the batch again."""


def handler(event, _context):
    for record in event["Records"]:
        for envelope in events(record["kinesis"]["data"]):
            try:
                reported(record, envelope)
            except Exception:
                # With ReportBatchItemFailures, Lambda goes on from this one.
                return {"batchItemFailures": [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]}
    return {"batchItemFailures": []}


def events(data):
    """The record's envelopes: one JSON object, or one a line. Anything else is one without fields."""
    try:
        text = base64.b64decode(data).decode("utf-8-sig")
        try:
            found = [json.loads(text)]
        except ValueError:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:  # also what is no base64, and what is no UTF-8
        found = []
    return found if found and all(isinstance(one, dict) for one in found) else [{}]


def carried(envelope):
    """Trace id and span id of the record's context. They are a link: this function's own trace is
    Lambda's, and a record that is read again years later must not reopen its producer's trace."""
    given = text(envelope, "traceparent") or ""
    match = TRACEPARENT.fullmatch(given)
    # Version 00 has nothing behind its flags.
    return match.groups()[:2] if match and not (given.startswith("00") and match[3]) else (None, None)


def text(envelope, *names):
    """The first of these fields that is a string."""
    return next((envelope[name] for name in names if isinstance(envelope.get(name), str)), None)


def own_trace():
    """The invocation's trace in W3C's form, out of X-Ray's; a new one where X-Ray is not on."""
    match = XRAY_ROOT.search(os.environ.get("_X_AMZN_TRACE_ID", ""))
    return match[1] + match[2] if match else secrets.token_hex(16)


def reported(record, envelope):
    """Processes one envelope and says how that went, also when it raises."""
    kinesis, error, began = record["kinesis"], None, time.monotonic()
    try:
        process(envelope)
    except Exception as raised:
        error = raised
        raise
    finally:
        trace, span = carried(envelope)
        payload = envelope.get("payload") if isinstance(envelope.get("payload"), dict) else {}
        line = {
            "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": "ERROR" if error else "INFO",
            "message": "processed",
            "eventType": text(envelope, "eventType", "commandType"),
            "processingTime": round((time.monotonic() - began) * 1000, 3),
            "error": error is not None,
            "errorType": type(error).__name__ if error else None,
            "stream": record["eventSourceARN"].split(":stream/")[-1],
            "shard": record["eventID"].split(":")[0],
            "sequenceNumber": kinesis["sequenceNumber"],
            "consumer": CONSUMER,
            "trace_id": own_trace(),
            "span_id": secrets.token_hex(8),
            "record_trace_id": trace,
            "record_span_id": span,
            "eventId": text(envelope, "eventId"),
            "sagaId": text(envelope, "sagaId") or text(payload, "sagaId"),
        }
        print(json.dumps({field: value for field, value in line.items() if value is not None}), flush=True)
