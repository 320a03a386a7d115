"""A stand-in for Airbyte's public API, strict about what its description asks for: two operations, and what they refuse.

POST /applications/token takes client credentials, PATCH /sources/{sourceId} merges `configuration` into what is stored. A token
lives as long as one test; what the description does not name is refused.
"""

import json
import secrets
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SOURCE = "9924bcd0-99be-453d-ba47-c2c9766f7da5"


class Airbyte:
    def __init__(self):
        self.application = {"client_id": "an-application", "client_secret": secrets.token_hex(16)}
        self.tokens, self.url = set(), None
        self.stored = {"start_date": "2020-01-01", "credentials": {"auth_type": "oauth2.0", "access_token": "the first one"}}

    def configuration(self):
        return self.stored

    def answer(self, method, path, token, body):
        if (method, path) == ("POST", "/v1/applications/token"):
            if set(body) - {"client_id", "client_secret", "grant-type"} or body.get("grant-type") != "client_credentials":
                return 400, {}
            if {name: body.get(name) for name in self.application} != self.application:
                return 401, {}
            self.tokens.add(issued := secrets.token_hex(16))
            return 200, {"access_token": issued, "token_type": "Bearer", "expires_in": 180}
        if token not in self.tokens:
            return 401, {}
        if method != "PATCH" or path != f"/v1/sources/{SOURCE}":
            return 404, {}
        if set(body) - {"name", "workspaceId", "configuration", "secretId", "resourceAllocation"}:
            return 400, {}
        merged = merge(self.stored, body.get("configuration", {}))
        if set(merged["credentials"]) - {"auth_type", "app_id", "secret", "access_token", "advertiser_id"}:
            return 422, {}
        self.stored = merged
        return 200, {"sourceId": SOURCE, "name": "TikTok", "sourceType": "tiktok-marketing", "configuration": {}}


def merge(stored, new):
    both = {name: merge(stored[name], new[name]) for name in stored.keys() & new.keys() if isinstance(stored[name], dict)}
    return stored | new | both


@contextmanager
def airbyte_api():
    airbyte = Airbyte()

    class Handler(BaseHTTPRequestHandler):
        def reply(self):
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if self.headers.get("Content-Type") != "application/json":
                status, document = 415, {}
            else:
                status, document = airbyte.answer(self.command, self.path, token, body)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = reply

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    airbyte.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield airbyte
    finally:
        server.shutdown()
        server.server_close()
