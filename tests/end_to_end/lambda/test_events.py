"""A developer runs the function with `cargo lambda` and invokes it with every event of events/. Secrets Manager is moto's.

The tests are one sequence on one secret.
"""

import json
import sys

import boto3
import pytest
from moto.server import ThreadedMotoServer
from support import AWS, PROJECT, cargo_lambda, consent, follows, secret, stand_ins

STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]
CREDENTIALS = "document/credentials.schema.json"


def order(path):
    """By name, but the steps of a rotation, which have one token, in the order in which Secrets Manager calls them."""
    step = json.loads(path.read_text()).get("Step")
    return ("rotation", STEPS.index(step)) if step else (path.name, 0)


@pytest.fixture(scope="module")
def secrets_manager():
    # moto goes through its secrets while another thread adds one, and breaks. So a thread gives way when it waits, not before.
    sys.setswitchinterval(10)
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def current(secrets_manager):
    """A client that reads the secret while this process has the function's variables."""
    with stand_ins(TEST_SECRETS_MANAGER_URL=secrets_manager) as variables, pytest.MonkeyPatch.context() as environment:
        for name, value in (variables | AWS).items():
            environment.setenv(name, value)
        yield lambda: secret(boto3.client("secretsmanager"), variables["SECRET_ID"])


@pytest.fixture(scope="module")
def function(current):
    with cargo_lambda() as function:
        yield function


def test_the_secret_that_a_person_has_put_in_is_as_its_schema_says(current):
    assert follows(CREDENTIALS, current())


@pytest.mark.parametrize("path", sorted((PROJECT / "events").glob("*.json"), key=order), ids=lambda path: path.stem)
def test_the_event_and_its_answer_are_as_their_schemas_say(function, path):
    event = json.loads(path.read_text())
    assert follows("event.schema.json", event)
    assert follows("report.schema.json", function.answer(**event))


def test_the_address_that_a_browser_ends_on_authorizes(function):
    # A link of its own: one that was made before an exchange is used up by it.
    [result] = function.answer(action="authorize_url")["results"]
    [result] = function.answer(action="exchange", redirect_url=consent(result["authorize_url"]))["results"]
    assert result["outcome"] == "authorized"


def test_the_events_have_refreshed_the_secret_and_left_it_as_its_schema_says(function, current):
    assert "_refresh" in current()
    assert follows(CREDENTIALS, current())


def test_an_unknown_action_is_refused(function):
    done = function.invoke({"action": "frobnicate"})
    assert done.returncode != 0
    assert "InvalidEvent" in done.stdout + done.stderr
