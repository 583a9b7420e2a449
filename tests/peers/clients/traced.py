"""Owns boto3 instrumented by ddtrace as a program: one call a line in, one answer a line out, JSON, as
kinesis.cjs has it."""

import base64
import json
import re
import sys

from ddtrace import patch

patch(botocore=True)

import boto3  # noqa: E402, what is imported before the patch is not instrumented


def to_bytes(value):
    return base64.b64decode(value["base64"]) if value.keys() == {"base64"} else value


def to_json(value):
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


client = boto3.client("kinesis")
for line in sys.stdin:
    asked = json.loads(line, object_hook=to_bytes)
    method = re.sub(r"(?<!^)(?=[A-Z])", "_", asked["operation"]).lower()
    try:
        answer = {"output": getattr(client, method)(**asked["input"])}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer, default=to_json), flush=True)
