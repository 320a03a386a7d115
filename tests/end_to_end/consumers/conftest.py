"""The surroundings of the consumers: a secret in the stand-in, the function that refreshes it, and TikTok's host on this machine."""

import json
import os
from urllib.parse import urlsplit

import boto3
import pytest
from gateway import gateway
from snippets import of
from support import AWS, READER, SECRET, cargo_lambda, secret, stand_ins


@pytest.fixture(scope="session")
def snippets():
    """The documentation's snippets for consumers; a test takes those that it runs out."""
    return of("tests/end_to_end/consumers")


@pytest.fixture(scope="session")
def environment():
    with pytest.MonkeyPatch.context() as environment:
        yield environment


@pytest.fixture(scope="session")
def read(environment, snippets):
    """Reads the secrets: the credentials secret with the page's `publish`, and two more readers."""
    with stand_ins() as variables:
        for name, value in (variables | AWS).items():
            environment.setenv(name, value)
        secrets = boto3.client("secretsmanager")
        publish = json.loads(snippets.pop("publish"))["publish"]
        publish += [{"secret_id": f"{SECRET}/{format}", "format": format} for format in ("owox", "airbyte")]
        for reader in publish:
            secrets.create_secret(Name=reader["secret_id"])
        document = secret(secrets, SECRET) | {"publish": publish}
        secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps(document))
        secrets.create_secret(Name=f"{SECRET}/withdrawn", SecretString='{"access_token": "withdrawn"}')
        yield lambda name=READER: secret(secrets, name)


@pytest.fixture(scope="session", autouse=True)
def refresh(environment, read, tmp_path_factory):
    """Has the function redeem the refresh token; the stand-in ends the access token before. It has happened once."""
    tiktok = urlsplit(os.environ["TIKTOK_API_URL"])
    with cargo_lambda() as function, gateway((tiktok.hostname, tiktok.port), tmp_path_factory.mktemp("gateway")) as variables:

        def refresh():
            assert function.answer(action="refresh")["results"][0]["outcome"] == "refreshed"

        refresh()
        # From here on, for consumers.
        for name, value in variables.items():
            environment.setenv(name, value)
        yield refresh


@pytest.fixture
def advertisers(read):
    return read()["advertiser_ids"]
