"""Owns a Kinesis of our own for tests: it verifies every signature, keeps what it stored byte for byte,
speaks JSON and CBOR, has queues (after botocore's model, no emulator has any), and misbehaves on
command. It is no emulator: only what a test of a proxy needs is here."""

import base64
import binascii
import email.utils
import json
import socket
import struct
import threading
import time

import cbor2

import signing
from receivers import Server

JSON, CBOR = "application/x-amz-json-1.1", "application/x-amz-cbor-1.1"
EVENTS = "application/vnd.amazon.eventstream"
SHARD = "shardId-000000000000"


class Fault(Exception):
    """An error answer: HTTP status, type, message, more headers."""

    def __init__(self, status, kind, message="", headers=None):
        super().__init__(kind)
        self.status, self.kind, self.message, self.headers = status, kind, message, headers or {}


class Kinesis:
    """One stream of one shard. `faults` are taken in turn by the requests that `of` names; each is a
    callable(request, store) that raises a Fault, answers raw bytes, or returns None to go on."""

    def __init__(self, record_bytes_max=1 << 20):
        self.record_bytes_max = record_bytes_max
        self.stored, self.requests, self.bad_signatures = [], [], 0
        self.faults, self.of = [], "Put"
        self.queue, self.events = [], []
        self.lock, self.released = threading.Lock(), threading.Event()
        self.server = Server(self._answer)
        self.url = self.server.url

    # ---- the wire ------------------------------------------------------------------------------

    def _answer(self, request):
        if request.command != "POST":
            return 404, {}, b""
        form = request.headers.get("content-type", JSON)
        operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
        try:
            right = signing.signature_is_right(dict(request.headers.items()), request.body)
        except (KeyError, AssertionError, ValueError):
            right = False
        with self.lock:
            self.bad_signatures += not right
            self.requests.append((operation, request.body, dict(request.headers.items())))
            fault = self.faults.pop(0) if self.faults and self.of in operation else None
        try:
            if not right:
                raise Fault(403, "InvalidSignatureException", "The request signature does not match")
            given = loads(form, request.body)
            store = lambda: getattr(self, operation)(given)  # noqa: E731
            raw = fault(request, store) if fault else None
            if raw is not None:
                return raw
            answer = store()
            if isinstance(answer, list):
                return self._stream(request, answer)
            return 200, {"content-type": form, "x-amzn-RequestId": "of-the-upstream"}, dumps(form, answer)
        except Fault as error:
            body = dumps(form, {"__type": error.kind, "message": error.message})
            return error.status, {"content-type": form, **error.headers}, body

    def _stream(self, request, frames):
        """Chunked, a frame at a time."""
        request.send_response_only(200)
        request.send_header("content-type", EVENTS)
        request.send_header("transfer-encoding", "chunked")
        request.end_headers()
        for piece in frames:
            request.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            request.wfile.flush()
        request.wfile.write(b"0\r\n\r\n")
        return None, {}, b""

    # ---- operations ----------------------------------------------------------------------------

    def _store(self, data, key):
        if len(data) + len(key.encode()) > self.record_bytes_max:
            raise Fault(400, "ValidationException", "1 validation error detected: Value at 'data' failed "
                        "to satisfy constraint: Member must have length less than or equal to "
                        f"{self.record_bytes_max}")
        with self.lock:
            self.stored.append((data, key))
            return {"ShardId": SHARD, "SequenceNumber": sequence(len(self.stored))}

    def PutRecord(self, given):
        return self._store(given["Data"], given.get("PartitionKey", ""))

    def PutRecords(self, given):
        entries = [(entry["Data"], entry.get("PartitionKey", "")) for entry in given["Records"]]
        too_large = [data for data, key in entries if len(data) + len(key) > self.record_bytes_max]
        if too_large:
            raise Fault(400, "ValidationException", "records.1.data: Member must have length less than "
                        f"or equal to {self.record_bytes_max}")
        return {"FailedRecordCount": 0, "Records": [self._store(*entry) for entry in entries]}

    def GetShardIterator(self, given):
        return {"ShardIterator": f"{given['StreamName']}:0"}

    def GetRecords(self, given):
        start = int(given["ShardIterator"].rpartition(":")[2])
        with self.lock:
            records = [
                {"Data": data, "PartitionKey": key, "SequenceNumber": sequence(index + 1),
                 "ApproximateArrivalTimestamp": When(1.8e9 + index)}
                for index, (data, key) in list(enumerate(self.stored))[start:]
            ]
        name = given["ShardIterator"].rpartition(":")[0]
        return {"Records": records, "NextShardIterator": f"{name}:{start + len(records)}",
                "MillisBehindLatest": 1500}

    def DescribeStreamSummary(self, given):
        return {"StreamDescriptionSummary": {
            "StreamName": given["StreamName"], "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
            "StreamARN": f"arn:aws:kinesis:us-east-1:000000000000:stream/{given['StreamName']}",
            "StreamCreationTimestamp": When(1.7e9), "EnhancedMonitoring": [], "OpenShardCount": 1,
            "MaxRecordSizeInKiB": self.record_bytes_max // 1024}}

    def ListShards(self, given):
        return {"Shards": [{"ShardId": SHARD, "SequenceNumberRange": {"StartingSequenceNumber": sequence(0)},
                            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}}]}

    def DescribeAccountSettings(self, given):
        return {"MinimumThroughputBillingCommitment": {"Status": "ENABLED", "StartedAt": When(1.7e9)}}

    def ReceiveQueueRecords(self, given):
        with self.lock:
            return {"QueueRecords": list(self.queue)}

    def SubscribeToShard(self, given):
        return [frame("initial-response", b"{}"), *self.events]

    def close(self):
        self.released.set()
        self.server.close()

    # ---- faults --------------------------------------------------------------------------------

    @staticmethod
    def error(status, kind, message="", headers=None):
        """Answers an error; nothing is stored."""
        def fault(_request, _store):
            raise Fault(status, kind, message, headers)
        return fault

    @staticmethod
    def error_after_storing(status, kind):
        """The worst: it is stored, and the answer says nothing of it."""
        def fault(_request, store):
            store()
            raise Fault(status, kind)
        return fault

    def partial(self, failing, kind="ProvisionedThroughputExceededException"):
        """A 200 of PutRecords in which the records at `failing` are not stored."""
        def fault(request, _store):
            form = request.headers["content-type"]
            answers = []
            for index, entry in enumerate(loads(form, request.body)["Records"]):
                if index in failing:
                    answers.append({"ErrorCode": kind, "ErrorMessage": "Rate exceeded for shard"})
                else:
                    answers.append(self._store(entry["Data"], entry["PartitionKey"]))
            answer = {"FailedRecordCount": len(failing), "Records": answers}
            return 200, {"content-type": form}, dumps(form, answer)
        return fault

    def hang(self, request, _store):
        """No answer until the test is over."""
        self.released.wait(60)
        return None, {}, b""

    @staticmethod
    def reset_after_storing(request, store):
        """Stored, then RST without an answer."""
        store()
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return None, {}, b""

    @staticmethod
    def half_an_answer(request, store):
        """Stored; the head and half of the body, then RST."""
        store()
        request.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: " + JSON.encode()
                            + b"\r\ncontent-length: 500\r\n\r\n{\"Sequ")
        request.wfile.flush()
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return None, {}, b""

    @staticmethod
    def raw(body, form=JSON, status=200):
        """Answers these bytes; nothing is stored."""
        return lambda _request, _store: (status, {"content-type": form}, body)


def expired_token():
    return Kinesis.error(403, "ExpiredTokenException", "The security token included in the request is expired")


def clock_skew(ahead_seconds):
    """As AWS refuses a request that is too old, with its own time in `Date`."""
    date = email.utils.formatdate(time.time() + ahead_seconds, usegmt=True)
    return Kinesis.error(403, "InvalidSignatureException", "Signature expired: 20261122T000000Z is now earlier "
                         "than 20261122T001000Z (20261122T001500Z - 5 min.)", {"Date": date})


class When(float):
    """A time, which the two forms write differently."""


def sequence(number):
    return f"4959034{number:049d}"


def loads(form, body):
    if form == CBOR:
        # Kinesis' times are tag 1 with milliseconds, which no CBOR library takes for a time. The member's
        # name is looked for with it: the checksum of an aggregate may hold a tag's bytes by chance.
        return cbor2.loads(body.replace(b"Timestamp\xc1\x1b", b"Timestamp\x1b"))
    given = json.loads(body or b"{}")
    for record in [given, *given.get("Records", [])]:
        if "Data" in record:
            record["Data"] = base64.b64decode(record["Data"])
    return given


def dumps(form, value):
    def plain(value):
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        if form == CBOR:
            return cbor2.CBORTag(1, int(value * 1000)) if isinstance(value, When) else value
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value
    return cbor2.dumps(plain(value)) if form == CBOR else json.dumps(plain(value)).encode()


def frame(kind, payload, message="event", **headers):
    """One event-stream message."""
    head = b""
    for name, value in {":message-type": message, f":{message}-type": kind,
                        ":content-type": "application/json", **headers}.items():
        head += bytes([len(name)]) + name.encode() + b"\7" + struct.pack(">H", len(value)) + value.encode()
    start = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = start + struct.pack(">I", binascii.crc32(start)) + head + payload
    return whole + struct.pack(">I", binascii.crc32(whole))


def event(records, behind=0, continuation="49590340"):
    """A SubscribeToShardEvent of payloads."""
    return event_of([{"Data": data, "PartitionKey": "p", "SequenceNumber": sequence(index),
                      "ApproximateArrivalTimestamp": When(1.8e9)} for index, data in enumerate(records)],
                    behind, continuation)


def event_of(records, behind=0, continuation="49590340"):
    """The same of whole records."""
    return frame("SubscribeToShardEvent", dumps(JSON, {
        "ContinuationSequenceNumber": continuation, "MillisBehindLatest": behind, "Records": records}))
