"""Owns boto3 instrumented by OpenTelemetry as a program: one call a line in, one answer a line out, JSON,
as kinesis.cjs has it. `Spans` gives the spans that it made; they go nowhere else. With PROPAGATOR=global
the instrumentation sends what OTEL_PROPAGATORS says, in place of X-Ray's header, its default."""

import base64
import json
import os
import re
import sys

from opentelemetry import propagate, trace
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
propagator = {"propagator": propagate.get_global_textmap()} if os.environ.get("PROPAGATOR") == "global" else {}
BotocoreInstrumentor().instrument(**propagator)

import boto3  # noqa: E402, what is imported before is not instrumented


def to_bytes(value):
    return base64.b64decode(value["base64"]) if value.keys() == {"base64"} else value


def to_json(value):
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


def spans():
    return {"Spans": [{
        "name": span.name, "trace": f"{span.context.trace_id:032x}", "span": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else "",
    } for span in exporter.get_finished_spans()]}


client = boto3.client("kinesis")
for line in sys.stdin:
    asked = json.loads(line, object_hook=to_bytes)
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", asked["operation"]).lower()
    try:
        answer = {"output": spans() if method == "spans" else getattr(client, method)(**asked["input"])}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer, default=to_json), flush=True)
