#!/usr/bin/env python3
"""A function that only writes down what it is asked, and when, and fails as the names of the secrets say.

"…/PartialFailure/1/" in a name makes the first invocation with that secret end as PartialFailure.
"""

import json
import os
import re
import time
import urllib.request

api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation/"
kept = os.environ["RECORD"]


def earlier():
    return [json.loads(line) for line in open(kept)] if os.path.exists(kept) else []


while True:
    with urllib.request.urlopen(api + "next") as answer:
        request, event = answer.headers["Lambda-Runtime-Aws-Request-Id"], json.load(answer)
    began, error = time.time(), None
    for secret in event["secret_ids"]:
        asked = re.search("/([A-Za-z]+)/([0-9]+)/", secret)
        if asked and sum(secret in it["event"]["secret_ids"] for it in earlier()) < int(asked[2]):
            error = asked[1]
    time.sleep(0.02)
    with open(kept, "a") as file:
        print(json.dumps({"event": event, "error": error, "began": began, "ended": time.time()}), file=file)
    body = {"errorType": error, "errorMessage": "As asked."} if error else {"results": []}
    end = urllib.request.Request(api + request + ("/error" if error else "/response"), json.dumps(body).encode())
    urllib.request.urlopen(end).close()
