"""With IAM enforced, the function works with exactly the template's policy, with no permission less, and so does a job.

Not shown, because the emulator does not enforce it: kms:Decrypt and kms:GenerateDataKey (no key policies), logs, X-Ray,
sqs:SendMessage and events:PutEvents (its Lambda delivers by itself), and the schedule role.
"""

import json

import emulator
import pytest
from emulator import may
from roles import Role

CREDENTIALS, READER, APP = "credentials", "reader", "app"
WRITE = ["GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
GRANTED = {
    *((action, CREDENTIALS) for action in [*WRITE, "DescribeSecret", "ListSecretVersionIds"]),
    *((action, READER) for action in WRITE),
    ("GetSecretValue", APP),
}
# Without it a refresh succeeds: only a promote that is rejected in words that say nothing asks where the label is.
SELDOM = {("DescribeSecret", CREDENTIALS)}
# A refresh that lacks it has redeemed already: the next run resumes.
PROMOTE = {("UpdateSecretVersionStage", CREDENTIALS)}
ON_READER = {it for it in GRANTED if it[1] == READER}


@pytest.fixture(scope="module")
def app(cloud, tiktok):
    app = {key: tiktok.document[key] for key in ("app_id", "secret")}
    return cloud.client("secretsmanager").create_secret(Name="tiktok/app", SecretString=json.dumps(app))["ARN"]


@pytest.fixture(scope="module")
def stack(cloud, deploy, tiktok, app):
    """Its tokens were refreshed with the whole policy."""
    stack = deploy("permissions", {"AppSecretArns": app, "SecretName": "tiktok/ads"})
    tokens = {key: value for key, value in tiktok.document.items() if key not in ("app_id", "secret")}
    stack.put_secret(tokens | {"app_secret_id": app, "publish": json.loads(stack.outputs["PublishField"])})
    assert stack.outcome(action="refresh") == "refreshed"
    return stack


@pytest.fixture(scope="module")
def arns(stack, app):
    return {CREDENTIALS: stack.outputs["SecretArn"], READER: stack.outputs["ReaderSecretArn"], APP: app}


@pytest.fixture(scope="module")
def role(cloud, stack):
    return Role(cloud, stack.physical("FunctionRole"))


def test_the_role_has_these_permissions_and_no_other(role, arns):
    assert ":secret:tiktok/ads/reader-" in arns[READER]
    assert role.grants() == {(f"secretsmanager:{action}", arns[secret]) for action, secret in GRANTED}


@pytest.mark.parametrize(("action", "secret"), sorted(GRANTED - ON_READER - SELDOM))
def test_a_refresh_fails_and_names_it_without(action, secret, stack, role, arns):
    """AWSCURRENT stays. With the permission again, the next run goes on from there."""
    action, tokens = f"secretsmanager:{action}", stack.secret()["access_token"]
    with role.without(action, arns[secret]):
        error, answer = stack.invoke({"action": "refresh"})
    assert error == "AccessDenied" and action in answer["errorMessage"] and arns[secret] in answer["errorMessage"]
    assert stack.secret()["access_token"] == tokens
    then = "resumed" if (action.partition(":")[2], secret) in PROMOTE else "fresh"
    assert stack.outcome(action="refresh", if_needed=True) == then


@pytest.mark.parametrize(("action", "secret"), SELDOM)
def test_an_ordinary_refresh_does_not_need(action, secret, stack, role, arns):
    with role.without(f"secretsmanager:{action}", arns[secret]):
        assert stack.outcome(action="refresh") == "refreshed"


@pytest.mark.parametrize(("action", "secret"), sorted(ON_READER))
def test_the_tokens_are_renewed_and_the_next_run_fills_the_reader_secret_without(action, secret, stack, role, arns):
    """The label AWSPENDING that the emulator leaves on older versions does no harm here: no job reads a reader secret by it."""
    action, tokens, copied = f"secretsmanager:{action}", stack.secret()["access_token"], stack.secret("ReaderSecretArn")
    with role.without(action, arns[secret]):
        error, answer = stack.invoke({"action": "refresh"})
    assert error == "AccessDenied" and action in answer["errorMessage"]
    assert f"The tokens are in order, but not the reader secret '{arns[secret]}'" in answer["errorMessage"]
    new = stack.secret()["access_token"]
    assert new != tokens
    assert stack.secret("ReaderSecretArn") == copied
    assert stack.outcome(action="refresh", if_needed=True) == "fresh"
    assert stack.secret("ReaderSecretArn")["access_token"] == new


def test_a_role_with_the_reader_policy_alone_reads_the_reader_secret_and_nothing_else(cloud, stack, arns):
    secrets = emulator.role_with(cloud, "job", managed=[stack.outputs["ReaderPolicyArn"]])
    body = json.loads(secrets.get_secret_value(SecretId=arns[READER])["SecretString"])
    assert body["access_token"] == stack.secret()["access_token"]
    assert not may(secrets.get_secret_value, SecretId=arns[CREDENTIALS])
    assert not may(secrets.put_secret_value, SecretId=arns[READER], SecretString="{}")


def test_another_secret_is_denied_to_the_function(cloud, stack, tiktok):
    other = cloud.client("secretsmanager").create_secret(Name="tiktok/other", SecretString=json.dumps(tiktok.document))["ARN"]
    error, answer = stack.invoke({"action": "status", "secret_ids": [other]})
    assert error == "AccessDenied", answer
