"""A stand-in for Airbyte's public API, strict about what its description asks for: two operations, and what they refuse.

POST /applications/token takes client credentials, PATCH /sources/{sourceId} merges `configuration` into what is stored. A token
lives as long as one test; what the description does not name is refused.
"""

import json
import secrets

from werkzeug import Response

SOURCE = "9924bcd0-99be-453d-ba47-c2c9766f7da5"


class Airbyte:
    def __init__(self):
        self.application = {"client_id": "an-application", "client_secret": secrets.token_hex(16)}
        self.tokens = set()
        self.stored = {"start_date": "2020-01-01", "credentials": {"auth_type": "oauth2.0", "access_token": "the first one"}}

    def respond(self, request):
        is_json = request.headers.get("Content-Type") == "application/json"
        status, document = self.answer(request) if is_json else (415, {})
        return Response(json.dumps(document), status, content_type="application/json")

    def answer(self, request):
        body, operation = request.get_json(), (request.method, request.path)
        if operation == ("POST", "/v1/applications/token"):
            if set(body) - {"client_id", "client_secret", "grant-type"} or body.get("grant-type") != "client_credentials":
                return 400, {}
            if {name: body.get(name) for name in self.application} != self.application:
                return 401, {}
            self.tokens.add(issued := secrets.token_hex(16))
            return 200, {"access_token": issued, "token_type": "Bearer", "expires_in": 180}
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, {}
        if operation != ("PATCH", f"/v1/sources/{SOURCE}"):
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
