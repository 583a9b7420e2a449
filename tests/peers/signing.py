"""Owns raw signed requests, for bodies that no SDK would send, and the check of a signature; both by
botocore, which others wrote."""

import http.client
import json
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials

CREDENTIALS = botocore.credentials.Credentials("test", "test")


def sign(url, body, target="Kinesis_20131202.PutRecord", service="kinesis", headers=None):
    """Headers of a signed request."""
    request = botocore.awsrequest.AWSRequest("POST", url, data=body, headers={
        "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target,
        "Host": urllib.parse.urlsplit(url).netloc, **(headers or {})})
    botocore.auth.SigV4Auth(CREDENTIALS, service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


class Answer:
    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def json(self):
        return json.loads(self.body)


def send(url, body, headers, method="POST", path="/"):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def signature_is_right(headers, body, path="/"):
    """Whether a received request's SigV4 signature fits its headers and body."""
    given = {name.lower(): value for name, value in headers.items()}
    scheme, _, rest = given["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key, _, region, service, end = parts["Credential"].split("/")
    assert (scheme, key, end) == ("AWS4-HMAC-SHA256", "test", "aws4_request")
    signed = {name: given[name] for name in parts["SignedHeaders"].split(";")}
    assert {"host", "x-amz-date"} <= signed.keys()
    request = botocore.awsrequest.AWSRequest("POST", f"http://{given['host']}{path}", data=body, headers=signed)
    request.context["timestamp"] = given["x-amz-date"]
    auth = botocore.auth.SigV4Auth(CREDENTIALS, service, region)
    # botocore leaves some headers out of its own signatures; here exactly those named count.
    auth.headers_to_sign = lambda _: _headers(signed)
    canonical = auth.canonical_request(request)
    return auth.signature(auth.string_to_sign(request, canonical), request) == parts["Signature"]


def _headers(signed):
    message = http.client.HTTPMessage()
    for name, value in signed.items():
        message[name] = value
    return message
