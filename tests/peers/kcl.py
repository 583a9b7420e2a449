"""Owns a real KCL application behind a sidecar of its own: one shard, DynamoDB by moto, CloudWatch by
ministack. It is pointed at all three by the environment alone."""

import base64
import json
import subprocess

from harness import ENV, PEERS, Boto3, Kinescope, Program, new_stream, wait_for
from receivers import Otlp
from sdks import java


def is_there():
    return (PEERS / "java/classes/Kcl.class").exists()


class Application(Program):
    """Prints what the library hands it; takes a batch for each `go()`, every batch after `go(all)`."""

    def __init__(self, folder, mode, upstream, moto, ministack):
        self.folder, self.upstream, self.otlp = folder, upstream, Otlp(folder)
        self.sidecar = self.start_sidecar()
        self.stream = new_stream(upstream.url)
        self.name, self.log = f"kcl-{mode}", folder / f"kcl-{mode}.log"
        self.application = f"app-{self.stream}"
        env = {
            "AWS_ENDPOINT_URL_KINESIS": self.sidecar.url,
            "AWS_ENDPOINT_URL_DYNAMODB": moto.url,
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
                  "traces": {"inferred_process": True}}  # of which there must be none for KCL
        return Kinescope(self.folder, self.upstream.url, config, port=port)

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
