"""Owns the far ends that tests look into: what an OTLP receiver was told, what a webhook was sent,
what an upstream got, byte for byte."""

import concurrent.futures
import datetime
import gzip
import http.client
import http.server
import json
import socket
import socketserver
import ssl
import threading
import time

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

import signing
from harness import PEERS, Program, free_port, listens, missing, wait_for


class Server:
    """An HTTP/1.1 server on a port of its own; `answer(request)` gives (status, headers, body)."""

    def __init__(self, answer, port=0):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers.get("content-length") or 0)
                self.body = self.rfile.read(length)
                status, headers, body = outer.answer(self)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response_only(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST

            def log_message(self, *_):
                pass

        class Threaded(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, address):
                pass  # resets are part of the tests

        self.answer = answer
        self.http = Threaded(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class Otlp:
    """rotel, an OTLP collector that others wrote, receives by gRPC and http/protobuf; a small sink
    behind it keeps what rotel passes on.

    Pitfalls: rotel decodes and encodes again, so what it lost would be missing here (test_peers.py
    shows that links, parents and flags survive); its pid and log files are by default shared names
    in /tmp; it batches for 200 ms unless told otherwise."""

    def __init__(self, folder):
        agent = next((PEERS / "venv/lib").glob("python3*/site-packages/rotel/rotel-agent"), None)
        if agent is None:
            missing("rotel")
        self.spans, self.metrics, self.resources = [], [], []
        self.told = []  # (service, span)
        self.sink = Server(self._keep)
        self.grpc_port, self.http_port = free_port(), free_port()
        self.program = Program("rotel", [
            agent, "start",
            "--otlp-grpc-endpoint", f"127.0.0.1:{self.grpc_port}",
            "--otlp-http-endpoint", f"127.0.0.1:{self.http_port}",
            "--exporter", "otlp",
            "--otlp-exporter-endpoint", self.sink.url,
            "--otlp-exporter-protocol", "http",
            "--otlp-exporter-retry-initial-backoff", "100ms",
            "--batch-timeout", "20ms",
            "--pid-file", folder / "rotel.pid",
            "--log-file", folder / "rotel.log",
        ], folder)
        both = (self.grpc_port, self.http_port)
        self.program.wait_until(lambda: all(listens(port) for port in both), "rotel's ports")

    def _keep(self, request):
        body = request.body
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if request.path == "/v1/metrics":
            for resource in metrics_service.ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.resources.append(attributes(resource.resource))
                for scope in resource.scope_metrics:
                    self.metrics.extend(scope.metrics)
        else:
            for resource in trace_service.ExportTraceServiceRequest.FromString(body).resource_spans:
                told = attributes(resource.resource)
                self.resources.append(told)
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
                    self.told.extend((told.get("service.name"), span) for span in scope.spans)
        return 200, {"content-type": "application/x-protobuf"}, b""

    def config(self, protocol):
        port = self.grpc_port if protocol == "grpc" else self.http_port
        return {"endpoint": f"http://127.0.0.1:{port}", "protocol": protocol}

    def wait_for_span(self, matches, what, timeout=20):
        return wait_for(
            lambda: next((span for span in list(self.spans) if matches(span)), None), timeout,
            f"{what} among {sorted({span.name for span in self.spans})}",
        )

    def kill(self):
        self.program.kill()

    def close(self):
        self.program.kill()
        self.sink.close()


def attributes(holder):
    found = {}
    for pair in holder.attributes:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else None
    return found


class Tap:
    """Passes requests on to `port` of this machine, and keeps what was sent."""

    def __init__(self, port):
        self.port, self.requests = port, []
        self.server = Server(self._pass_on)
        self.url = self.server.url

    def _pass_on(self, request):
        self.requests.append((request.path, dict(request.headers.items()), request.body))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", request.path, request.body, dict(request.headers.items()))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, {"content-type": answer.getheader("content-type") or ""}, body

    def close(self):
        self.server.close()


class GrpcCollector(trace_grpc.TraceServiceServicer):
    """A collector on gRPC's own server, which tells the metadata and may refuse spans."""

    def __init__(self, refused=0):
        self.refused, self.requests = refused, []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        trace_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, request, context):
        self.requests.append((dict(context.invocation_metadata()), request))
        partial = trace_service.ExportTracePartialSuccess(
            rejected_spans=self.refused, error_message="too old" if self.refused else "")
        return trace_service.ExportTraceServiceResponse(partial_success=partial)

    def close(self):
        self.server.stop(None)


class XRay:
    """X-Ray's OTLP endpoint, reached through an HTTPS proxy that is also this: it ends TLS with a
    certificate of an authority of its own, and keeps what was sent. Wrong signatures are refused."""

    HOST, PATH = "xray.us-east-1.amazonaws.com", "/v1/traces"

    def __init__(self, folder):
        self.spans, self.targets, self.refused = [], [], 0
        self.authority, self.tls = folder / "authority.pem", _certificate(folder, self.HOST)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_CONNECT(self):
                outer.targets.append(self.path)
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                self.connection = outer.tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = (
                    self.connection.makefile("rb"), self.connection.makefile("wb", 0))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response_only(outer._take(self.path, self.headers, body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def _take(self, path, headers, body):
        scope = headers["authorization"].split("Credential=")[1].split(",")[0]
        right = path == self.PATH and scope.endswith("/us-east-1/xray/aws4_request")
        if not (right and signing.signature_is_right(headers, body, path)):
            self.refused += 1
            return 403
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        told = trace_service.ExportTraceServiceRequest.FromString(body)
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return 200

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def _certificate(folder, host):
    """A TLS context for `host`, certified by an authority whose certificate is in the folder."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("test", host)]
    now = datetime.datetime.now(datetime.timezone.utc)

    def certified(subject, key, extension):
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(names[0])
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
            .add_extension(extension, False).sign(keys[0], hashes.SHA256()))

    authority = certified(names[0], keys[0], x509.BasicConstraints(True, None))
    own = certified(names[1], keys[1], x509.SubjectAlternativeName([x509.DNSName(host)]))
    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(authority.public_bytes(pem))
    (folder / "own.pem").write_bytes(own.public_bytes(pem) + keys[1].private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


class Webhook:
    """Keeps every notification; answers `status`, which a test may change."""

    def __init__(self, port=0):
        self.status, self.requests = 200, []
        self.server = Server(self._keep, port)
        self.url = f"{self.server.url}/hook"

    def _keep(self, request):
        self.requests.append((self.status, json.loads(request.body), dict(request.headers)))
        return self.status, {}, b""

    def accepted(self, status):
        """Bodies answered 200 whose group is `status` (firing or resolved)."""
        return [body for code, body, _ in list(self.requests) if code == 200 and body["status"] == status]

    def close(self):
        self.server.close()


class RecordingUpstream:
    """In Kinesis's place: keeps every request whole and answers what the test says."""

    def __init__(self, status=200, body=b"{}", headers=None):
        self.requests = []
        self.reply = (status, {"content-type": "application/x-amz-json-1.1",
                               "x-amzn-RequestId": "of-the-upstream", **(headers or {})}, body)
        self.server = Server(self._keep)
        self.url = self.server.url

    def _keep(self, request):
        self.requests.append(request)
        return self.reply

    def puts(self):
        return [r for r in list(self.requests)
                if r.headers.get("x-amz-target", "").endswith(("PutRecord", "PutRecords"))]

    def close(self):
        self.server.close()


class FaultyUpstream:
    """Counts the puts that reached it whole, then misbehaves: `mode` is ok, hang, reset (no answer,
    RST), cut (half an answer, RST) or 500."""

    OK = b'{"SequenceNumber":"49546986683135544286507457936321625675700192471156785154","ShardId":"shardId-000000000000"}'

    def __init__(self, mode):
        self.mode, self.puts, self.bodies, self.released = mode, 0, [], threading.Event()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while outer.serve_one(self.connection, self.rfile):
                    pass

        class Threaded(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request, address):
                pass

        self.server = Threaded(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def serve_one(self, connection, rfile):
        head, line = {}, rfile.readline()
        if not line:
            return False
        while (field := rfile.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode().partition(":")
            head[name.lower()] = value.strip()
        body = rfile.read(int(head.get("content-length", 0)))
        if "PutRecord" in head.get("x-amz-target", ""):
            self.puts += 1
            self.bodies.append(body)
        mode = self.mode
        if mode == "hang":
            self.released.wait(60)
            return False
        if mode in ("reset", "cut"):
            if mode == "cut":
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"Sequ")
            # SO_LINGER 0: the close is a RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False
        status, body = (b"200 OK", self.OK) if mode == "ok" else (
            b"500 Internal Server Error", b'{"__type":"InternalFailure"}')
        connection.sendall(
            b"HTTP/1.1 %b\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body))
        return True

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


def gap(seconds):
    """Lets calendar time pass between two records: the gap is the test's data, not a wait for
    something to have happened."""
    time.sleep(seconds)
