"""Owns a real KCL application behind a sidecar of its own, which is a hub too and watches its leases: one
shard, DynamoDB by moto, CloudWatch by ministack. It is pointed at all three by the environment alone."""

import base64
import json
import subprocess

from door import Door
from harness import ENV, PEERS, Boto3, Kinescope, Program, iterator, new_stream, wait_for
from receivers import Otlp, gap
from sdks import java


def is_there():
    return (PEERS / "java/classes/Kcl.class").exists()


class Application(Program):
    """Prints what the library hands it; takes a batch for each `go()`, every batch after `go(all)`."""

    def __init__(self, folder, mode, upstream, moto, ministack):
        self.folder, self.upstream, self.otlp = folder, upstream, Otlp(folder)
        self.stream, self.door = new_stream(upstream.url), Door(moto.url)
        self.name, self.log = f"kcl-{mode}", folder / f"kcl-{mode}.log"
        self.application = f"app-{self.stream}"
        self.sidecar = self.start_sidecar()
        env = {
            "AWS_ENDPOINT_URL_KINESIS": self.sidecar.url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.door.url,
            "AWS_ENDPOINT_URL_CLOUDWATCH": ministack.url,
        }
        with open(self.log, "wb") as out:
            # The end of its input ends it: so it goes even when this process is killed.
            self.process = subprocess.Popen(
                [str(part) for part in java("Kcl", mode, self.stream, self.application)], cwd=folder,
                env={**ENV, **env}, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)
        Program.alive.append(self)

    def start_sidecar(self, port=None):
        config = {"otlp": self.otlp.config("http/protobuf"), "state": str(self.folder / "state"),
                  "traces": {"inferred_process": True},  # of which there must be none for KCL
                  "leases": [{"application": self.application, "stream": self.stream, "consumer": "inventory",
                              "interval": "1s"}]}
        return Kinescope(self.folder, self.upstream.url, config, role="all", port=port,
                         env={"AWS_ENDPOINT_URL_DYNAMODB": self.door.url})

    def kill_sidecar(self):
        """kill -9, and another one in its place, with the same state."""
        self.sidecar.kill()
        self.sidecar = self.start_sidecar(self.sidecar.port)

    def put(self, data, key="p"):
        client = Boto3(self.sidecar.url)
        client.call("PutRecord", StreamName=self.stream, Data=data, PartitionKey=key)
        client.close()

    def go(self, how=""):
        self.process.stdin.write(f"{how}\n".encode())
        self.process.stdin.flush()

    def events(self, kind):
        lines = [line for line in self.output().splitlines() if line.startswith("{") and line.endswith("}")]
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def records(self):
        """(data, sub sequence number, lag that came with it in seconds) of each user record."""
        return [(base64.b64decode(record["Data"]["base64"]), record["sub"], batch["MillisBehindLatest"] / 1000)
                for batch in self.events("records") for record in batch["Records"]]

    def wait_for_records(self, count, timeout=120):
        def there():
            assert self.process.poll() is None, f"KCL ended with {self.process.returncode}"
            return len(found := self.records()) >= count and found

        return wait_for(there, timeout, f"{count} records in {self.name}")

    def close(self):
        self.kill()
        self.process.stdin.close()
        self.sidecar.stop()
        self.otlp.close()
        self.door.close()


def check_upstream(upstream):
    """What is said of lag and checkpoints holds only if this upstream tells the truth of both."""
    client, stream = Boto3(upstream.url), new_stream(upstream.url)
    put = lambda: client.call("PutRecord", StreamName=stream, Data=b"{}", PartitionKey="p")  # noqa: E731
    numbers = [put()["SequenceNumber"], gap(1.2) or put()["SequenceNumber"]]
    assert all(len(number) == 56 and number.isdigit() for number in numbers), numbers
    answer = client.call("GetRecords", ShardIterator=iterator(client, stream), Limit=1)
    assert 1.0 <= answer["MillisBehindLatest"] / 1000 < 20, answer["MillisBehindLatest"]
    rest = client.call("GetRecords", ShardIterator=answer["NextShardIterator"])
    assert len(rest["Records"]) == 1 and rest["MillisBehindLatest"] < 500, rest
