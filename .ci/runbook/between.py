"""What stands between the function and what it talks to, so that a scenario can take it away: an HTTP proxy with rules."""

import http.client
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PATIENCE = 60


class Between:
    """Passes requests on to `upstream`, unless one of its rules answers them: a function of a request that returns None, a
    status with a document, or HANG."""

    HANG = object()

    def __init__(self, upstream):
        self.authority, self.rules, self.url, self.over = urlsplit(upstream).netloc, [], None, threading.Event()

    @contextmanager
    def rule(self, answer):
        self.rules.append(answer)
        try:
            yield
        finally:
            self.rules.remove(answer)

    def answer(self, request):
        found = (rule(request) for rule in self.rules)
        return next((answer for answer in found if answer is not None), None)

    @contextmanager
    def listening(self):
        class Handler(BaseHTTPRequestHandler):
            between, protocol_version = self, "HTTP/1.1"
            do_GET = do_POST = lambda handler: handle(handler)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        # A function that is killed leaves its connections as they are.
        server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()


class Request:
    def __init__(self, handler):
        self.path, self.headers = handler.path, handler.headers
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.action = handler.headers.get("X-Amz-Target", "").rpartition(".")[2]

    def mentions(self, text):
        """Whether a token travels in it, wherever."""
        return text in self.path or text.encode() in self.body or text in self.headers.values()


def handle(handler):
    between, request = handler.between, Request(handler)
    answer = between.answer(request)
    if answer is Between.HANG:
        between.over.wait(PATIENCE)
        handler.close_connection = True
        return
    if answer is None:
        passed = http.client.HTTPConnection(between.authority, timeout=PATIENCE)
        kept = {name: value for name, value in request.headers.items() if name.lower() not in ("connection", "host")}
        passed.request(handler.command, request.path, request.body, {"Host": between.authority} | kept)
        response = passed.getresponse()
        reply(handler, response.status, response.headers.items(), response.read())
        passed.close()
    else:
        status, document = answer
        kind = "application/x-amz-json-1.1" if request.action else "application/json"
        reply(handler, status, [("Content-Type", kind)], json.dumps(document).encode())


def reply(handler, status, headers, body):
    handler.send_response_only(status)
    for name, value in headers:
        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def tiktok_says(code, message):
    """TikTok refuses: status 200 and a code."""
    return 200, {"code": code, "message": message, "request_id": "20261123", "data": {}}


def aws_says(exception, message):
    return 400, {"__type": exception, "message": message}
