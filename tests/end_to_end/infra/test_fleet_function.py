"""A fleet of the function itself, with the permissions of the template: authorized secret by secret, refreshed as a fleet."""

import json
import time
from datetime import timezone

import pytest
from executions import execute
from roles import Role
from support import consent, secret

TAG, READER_TAG = "tiktok-token-refresh", "tiktok-token-reader"


class Clients:
    """Three secrets of a fleet, the first of which fills a reader secret."""

    def __init__(self, stack, app):
        self.stack, self.secrets = stack, stack.cloud.client("secretsmanager")
        self.reader = self.create("reader", {}, READER_TAG)
        publish = {"publish": [{"secret_id": self.reader, "format": "reader"}]}
        bodies = {"one": {"app_secret_id": app} | publish, "two": {"app_secret_id": app}, "three": {"app_secret_id": app}}
        self.members = [self.authorized(name, body) for name, body in bodies.items()]

    def create(self, name, body, tag):
        tags = [{"Key": tag, "Value": "clients"}]
        return self.secrets.create_secret(Name=name, SecretString=json.dumps(body), Tags=tags)["ARN"]

    def authorized(self, name, body):
        """As its client does it."""
        arn = self.create(name, body, TAG)
        error, answer = self.stack.invoke(
            {"action": "authorize_url", "secret_id": arn, "redirect_uri": "https://agency.example/callback"}
        )
        assert error is None, answer
        error, answer = self.stack.invoke({"action": "exchange", "redirect_url": consent(answer["results"][0]["authorize_url"])})
        assert error is None, answer
        return arn

    def token(self, arn):
        return secret(self.secrets, arn)["access_token"]

    def tokens(self):
        return [self.token(arn) for arn in self.members]

    def execute(self):
        """By hand, so the slot is its start. What was refreshed in the same second would count as done: a secret's times have
        whole seconds."""
        time.sleep(1)
        return execute(self.stack, {})


@pytest.fixture(scope="module")
def clients(cloud, deploy, tiktok):
    app = {key: tiktok.document[key] for key in ("app_id", "secret")}
    app = cloud.client("secretsmanager").create_secret(Name="app", SecretString=json.dumps(app))["ARN"]
    return Clients(deploy("clients", {"FleetName": "clients", "CreateFleetStateMachine": "true", "AppSecretArns": app}), app)


@pytest.fixture
def broken(clients):
    """The second secret has nothing in it for the time of a test."""
    arn = clients.members[1]
    before = clients.secrets.get_secret_value(SecretId=arn)["SecretString"]
    clients.secrets.put_secret_value(SecretId=arn, SecretString="{}")
    yield arn
    clients.secrets.put_secret_value(SecretId=arn, SecretString=before)
    clients.secrets.tag_resource(SecretId=arn, Tags=[{"Key": TAG, "Value": "clients"}])


def test_the_state_machine_refreshes_every_secret_and_the_same_slot_redeems_nothing(clients):
    authorized = clients.tokens()
    end = clients.execute()
    refreshed = clients.tokens()
    assert end["status"] == "SUCCEEDED", end
    assert not set(authorized) & set(refreshed)
    assert clients.token(clients.reader) == refreshed[0]
    slot = end["startDate"].astimezone(timezone.utc).isoformat()
    end = execute(clients.stack, {"scheduled_time": slot})
    assert (end["status"], clients.tokens()) == ("SUCCEEDED", refreshed)


def test_a_broken_secret_fails_the_execution_and_keeps_no_other_from_being_refreshed(clients, broken):
    others = [it for it in clients.members if it != broken]
    before = {clients.token(it) for it in others}
    end = clients.execute()
    assert (end["status"], end.get("error")) == ("FAILED", "BatchesFailed"), end
    assert list(end["failed"]) == ["PartialFailure"] and broken in end["failed"]["PartialFailure"]
    assert not before & {clients.token(it) for it in others}
    error, answer = clients.stack.invoke({"action": "refresh", "if_needed": True})
    assert error and broken in answer["errorMessage"]


def test_a_secret_without_the_tag_is_none_of_the_fleets(clients, broken):
    clients.secrets.untag_resource(SecretId=broken, TagKeys=[TAG])
    error, answer = clients.stack.invoke({"action": "refresh", "if_needed": True})
    assert error is None, answer
    error, answer = clients.stack.invoke({"action": "status", "secret_ids": [broken]})
    assert error == "AccessDenied", answer


def test_without_list_secrets_there_is_no_fleet_and_the_answer_names_the_permission(cloud, clients):
    with Role(cloud, clients.stack.physical("FunctionRole")).without("secretsmanager:ListSecrets", "*"):
        error, answer = clients.stack.invoke({"action": "refresh", "if_needed": True})
    assert error == "AccessDenied" and "secretsmanager:ListSecrets" in answer["errorMessage"]
