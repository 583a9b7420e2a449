"""Owns a door before DynamoDB or Kinesis: it hands every call on, but those that a test refuses."""

import http.client
import json
import urllib.parse

from receivers import Server


class Door:
    """`refuse(operation, input)` gives the name of the error that a call gets, or None."""

    def __init__(self, url):
        self.to, self.calls = urllib.parse.urlsplit(url).netloc, []
        self.refuse = lambda operation, given: None
        self.server = Server(self._answer)
        self.url = self.server.url

    def _answer(self, request):
        operation, given = request.headers["x-amz-target"].rpartition(".")[2], json.loads(request.body)
        self.calls.append((operation, given))
        form = {"content-type": "application/x-amz-json-1.0"}
        error = self.refuse(operation, given)
        if error:
            fault = {"__type": f"com.amazonaws.dynamodb.v20120810#{error}", "message": "refused by the test"}
            return 400, form, json.dumps(fault).encode()
        connection = http.client.HTTPConnection(self.to, timeout=20)
        connection.request("POST", request.path, request.body, dict(request.headers.items()))
        answer = connection.getresponse()
        form, body = {"content-type": answer.headers["content-type"]}, answer.read()
        connection.close()
        return answer.status, form, body

    def count(self, operation):
        return sum(1 for called, _ in list(self.calls) if called == operation)

    def close(self):
        self.server.close()
