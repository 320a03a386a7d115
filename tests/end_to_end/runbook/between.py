"""An HTTP proxy with rules between the function and the services, so that a scenario can take one away."""

import json
import re
import threading
from contextlib import contextmanager

import urllib3
from pytest_httpserver import HTTPServer
from werkzeug import Response

PATIENCE = 60


class Between:
    """Passes requests on to `upstream`, unless one of its rules answers them: a function of a request that returns None, or a
    status with a document."""

    def __init__(self, upstream):
        self.upstream, self.rules, self.over = upstream, [], threading.Event()
        self.connections = urllib3.PoolManager(maxsize=20, timeout=PATIENCE, retries=False)

    @contextmanager
    def rule(self, answer):
        self.rules.append(answer)
        try:
            yield
        finally:
            self.rules.remove(answer)

    @contextmanager
    def listening(self):
        with HTTPServer(threaded=True) as server:
            server.expect_request(re.compile(".*")).respond_with_handler(self.answer)
            self.url = server.url_for("").rstrip("/")
            yield self
            self.over.set()

    def answer(self, request):
        found = (rule(request) for rule in self.rules)
        if answer := next((answer for answer in found if answer is not None), None):
            status, document = answer
            return Response(json.dumps(document), status, content_type=request.content_type or "application/json")
        url = self.upstream + request.environ["RAW_URI"]
        passed = self.connections.request(request.method, url, body=request.get_data(), headers=kept(request), redirect=False)
        return Response(passed.data, passed.status, kept(passed))

    def hang(self):
        """Answers a request with nothing until the client gives up."""
        self.over.wait(PATIENCE)
        return 504, {}


def kept(message):
    """The headers that are not about one connection."""
    dropped = ("connection", "content-length", "host", "transfer-encoding")
    return {name: value for name, value in message.headers.items() if name.lower() not in dropped}


def action(request):
    """The operation that a request asks of Secrets Manager."""
    return request.headers.get("X-Amz-Target", "").rpartition(".")[2]


def mentions(request, text):
    """True if the request has the text in its address, body or headers."""
    return text in request.environ["RAW_URI"] or text.encode() in request.get_data() or text in request.headers.values()


def tiktok_says(code, message):
    """TikTok refuses: status 200 and a code."""
    return 200, {"code": code, "message": message, "request_id": "20261123", "data": {}}


def refuses(part, code, message):
    """The rule that TikTok refuses the requests with that part in their path."""
    return lambda request: tiktok_says(code, message) if part in request.path else None


def aws_says(exception, message):
    return 400, {"__type": exception, "message": message}
