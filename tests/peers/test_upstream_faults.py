"""Owns: an upstream that refuses, hangs, resets or answers by halves gives the SDK an error that it
retries, and no put is sent twice by us."""

import base64
import json

import botocore.exceptions
import pytest

from harness import Boto3, free_port, in_threads
from receivers import FaultyUpstream

PUT = {"StreamName": "s", "Data": b'{"a":1}', "PartitionKey": "p"}


def fails(client, **given):
    with pytest.raises(
        (botocore.exceptions.ClientError, botocore.exceptions.HTTPClientError)
    ) as caught:
        client.call("PutRecord", **PUT, **given)
    return caught.value


def check_ours(error):
    """An error of our own: retryable, and not one that sends people to reshard."""
    response = error.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-kinescope-error"]
    assert "Throughput" not in response["Error"]["Code"] and "Limit" not in response["Error"]["Code"]


def check_context(upstream, tries):
    """Whatever ended the first try, the others carry its context: they may be the same record."""
    assert len(upstream.bodies) == tries and len(set(upstream.bodies)) == 1
    assert b"traceparent" in base64.b64decode(json.loads(upstream.bodies[0])["Data"])


@pytest.fixture
def faulty():
    made = []

    def start(mode):
        made.append(FaultyUpstream(mode))
        return made[-1]

    yield start
    for upstream in made:
        upstream.close()


def test_refuses(kinescope):
    sidecar = kinescope(f"http://127.0.0.1:{free_port()}")
    client = Boto3(sidecar.url, max_attempts=3)
    check_ours(fails(client))
    assert client.attempts == 3, "the SDK did not retry"


@pytest.mark.parametrize("mode", ["reset", "cut"])
def test_breaks(kinescope, faulty, mode):
    upstream = faulty(mode)
    client = Boto3(kinescope(upstream.url).url, max_attempts=3)
    error = fails(client)
    if mode == "reset":
        check_ours(error)
    else:  # its head had been passed on: all that can be said is that the body broke off
        assert isinstance(error, botocore.exceptions.HTTPClientError)
    assert client.attempts == 3, "the SDK did not retry"
    check_context(upstream, 3)
    assert upstream.puts == 3, "not exactly one put for each attempt"


def test_breaks_on_a_connection_that_worked(kinescope, faulty):
    """On a reused connection an HTTP client may think that a request can be sent again."""
    upstream = faulty("ok")
    client = Boto3(kinescope(upstream.url).url, max_attempts=1)
    for _ in range(5):
        upstream.mode = "ok"
        client.call("PutRecord", **PUT)
        before, upstream.mode = upstream.puts, "reset"
        check_ours(fails(client))
        assert (client.attempts, upstream.puts - before) == (1, 1)


def test_hangs(kinescope, faulty):
    upstream = faulty("hang")
    sidecar = kinescope(upstream.url, {"limits": {"upstream_response_timeout": "1s"}})
    client = Boto3(sidecar.url, max_attempts=2)
    check_ours(fails(client))
    assert client.attempts == 2 and upstream.puts == 2


def test_hangs_longer_than_the_client_waits(kinescope, faulty):
    upstream = faulty("hang")
    client = Boto3(kinescope(upstream.url).url, max_attempts=2, read_timeout=1)
    assert isinstance(fails(client), botocore.exceptions.ReadTimeoutError)
    assert client.attempts == 2 and upstream.puts == 2
    check_context(upstream, 2)


def test_an_error_of_the_upstream_is_its_own(kinescope, faulty):
    upstream = faulty("500")
    client = Boto3(kinescope(upstream.url).url, max_attempts=3)
    error = fails(client)
    assert error.response["Error"]["Code"] == "InternalFailure"
    assert client.attempts == upstream.puts == 3


def test_recovers(kinescope, faulty):
    upstream = faulty("reset")
    client = Boto3(kinescope(upstream.url).url, max_attempts=1)
    fails(client)
    upstream.mode = "ok"
    client.call("PutRecord", **PUT)
    assert upstream.puts == 2


def test_many_at_once(kinescope, faulty):
    upstream, attempts = faulty("reset"), []
    sidecar = kinescope(upstream.url)

    def work(_):
        client = Boto3(sidecar.url, max_attempts=2)
        fails(client)
        attempts.append(client.attempts)

    in_threads(16, work)
    assert upstream.puts == sum(attempts) == 32


def test_the_sidecar_ends_while_the_upstream_hangs(kinescope, faulty):
    upstream = faulty("hang")
    sidecar = kinescope(upstream.url, {"limits": {"drain": "1s"}})
    client = Boto3(sidecar.url, max_attempts=1, read_timeout=30)

    def ends(index):
        if index == 0:
            fails(client)
        else:
            from harness import wait_for
            wait_for(lambda: upstream.puts == 1, 10, "the hanging put")
            sidecar.stop(timeout=10)

    in_threads(2, ends)
