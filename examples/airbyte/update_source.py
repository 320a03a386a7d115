"""Gives an Airbyte source the TikTok access token that the reader secret holds now.

Runs as a Lambda function behind template.yaml's EventBridge rule, or by hand: python3 update_source.py. Environment:

    AIRBYTE_API_URL        https://api.airbyte.com/v1, or https://YOUR_HOST/api/public/v1
    SOURCE_ID              the source's id in Airbyte
    AIRBYTE_SECRET_ID      the reader secret in the format airbyte
    APPLICATION_SECRET_ID  a secret with the client_id and client_secret of an Airbyte application

The paths and fields are those of Airbyte's public API description. It sends no token to a log.
"""

import json
import os
import urllib.error
import urllib.request

import boto3

PATIENCE_SECONDS = 60


def handler(_event, _context):
    """Updates the source; an error fails the invocation, so that Lambda repeats it and alarms see it."""
    secrets = boto3.client("secretsmanager")
    configuration = read(secrets, os.environ["AIRBYTE_SECRET_ID"])
    application = read(secrets, os.environ["APPLICATION_SECRET_ID"])
    token = call("POST", "applications/token", {
        "client_id": application["client_id"],
        "client_secret": application["client_secret"],
        "grant-type": "client_credentials",
    })["access_token"]  # fmt: skip
    source = os.environ["SOURCE_ID"]
    # PATCH changes these fields alone. The whole object is sent, so that auth_type and app id stay right, too.
    call("PATCH", f"sources/{source}", {"configuration": {"credentials": configuration["credentials"]}}, token)
    return {"source": source, "outcome": "updated"}


def read(secrets, secret_id):
    return json.loads(secrets.get_secret_value(SecretId=secret_id, VersionStage="AWSCURRENT")["SecretString"])


def call(method, path, body, token=None):
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    url = f"{os.environ['AIRBYTE_API_URL'].rstrip('/')}/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        # Airbyte's answer may repeat the configuration, so it is not shown.
        raise RuntimeError(f"Airbyte answers {error.code} to {method} {path}. {advice(error.code)}") from None


def advice(status):
    return {
        401: "Check client_id and client_secret in the application's secret.",
        403: "The application's user must be an editor of the workspace.",
        404: "Check SOURCE_ID and AIRBYTE_API_URL.",
        422: "The source must be of the type TikTok Marketing.",
    }.get(status, "Lambda tries again; if it stays, ask Airbyte's support.")


if __name__ == "__main__":
    print(json.dumps(handler(None, None)))
