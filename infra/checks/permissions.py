import copy
import json

import botocore.exceptions

from . import emulator
from .deploy import expect, outcome
from .rules import several
from .tools import Failure, say

POLICY = "Secrets"
# What the emulator does not enforce, so that only the rules stage looks at it.
NOT_SHOWN = (
    "kms:Decrypt and kms:GenerateDataKey (no key policies), logs, X-Ray, sqs:SendMessage and events:PutEvents "
    "(its Lambda delivers by itself), and the schedule role"
)


def stage():
    """With IAM enforced, the function works with exactly the template's policy, with no permission less, and so does a job."""
    with emulator.cloud() as cloud, emulator.tiktok() as (tiktok_url, document):
        app = {"app_id": document.pop("app_id"), "secret": document.pop("secret")}
        secrets = cloud.client("secretsmanager")
        app_arn = secrets.create_secret(Name="tiktok/app", SecretString=json.dumps(app))["ARN"]
        other = secrets.create_secret(Name="tiktok/other", SecretString=json.dumps(document | app))["ARN"]

        def change(template):
            variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
            variables |= {"TIKTOK_API_URL": tiktok_url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": cloud.url}

        stack = cloud.deploy("permissions", {"AppSecretArns": app_arn, "SecretName": "tiktok/ads"}, change)
        publish = json.loads(stack.outputs["PublishField"])
        stack.put_secret(document | {"app_secret_id": app_arn, "publish": publish})
        role = Role(cloud.client("iam"), stack.physical("FunctionRole"))
        secret, reader = stack.outputs["SecretArn"], stack.outputs["ReaderSecretArn"]
        expect(":secret:tiktok/ads/reader-" in reader, f"the reader secret is {reader}")
        granted = {(action, resource) for resource, action in role.grants()}
        expect(
            granted
            == {
                ("secretsmanager:GetSecretValue", secret),
                ("secretsmanager:DescribeSecret", secret),
                ("secretsmanager:ListSecretVersionIds", secret),
                ("secretsmanager:PutSecretValue", secret),
                ("secretsmanager:UpdateSecretVersionStage", secret),
                ("secretsmanager:GetSecretValue", app_arn),
                ("secretsmanager:GetSecretValue", reader),
                ("secretsmanager:PutSecretValue", reader),
                ("secretsmanager:UpdateSecretVersionStage", reader),
            },
            f"the role has {granted}",
        )

        promote = ("secretsmanager:UpdateSecretVersionStage", secret)
        taken_away(stack, role, *promote, then="resumed")
        expect(outcome(stack.invoke({"action": "refresh"})) == "refreshed", "the whole policy is not enough")
        say("the policy of the template, whole: refreshed")
        on_reader = {grant for grant in granted if grant[1] == reader}
        # Only a promote that AWS refused in words that say nothing asks where the label is.
        describe = ("secretsmanager:DescribeSecret", secret)
        with role.without(*describe):
            expect(outcome(stack.invoke({"action": "refresh"})) == "refreshed", "an ordinary run describes the secret")
        say("without secretsmanager:DescribeSecret: refreshed; a promote that is refused asks for it")
        for action, resource in sorted(granted - on_reader - {promote, describe}):
            taken_away(stack, role, action, resource, then="fresh")
        for action, _ in sorted(on_reader):
            taken_away_from_reader(stack, role, action)
        job(cloud, stack)
        kind, answer = stack.invoke({"action": "status", "secret_ids": [other]})
        expect(kind == "AccessDenied", f"a secret of somebody else is answered with {answer}")
        say("another secret, with the policy whole: AccessDenied")
    say(f"not shown, because the emulator does not enforce it: {NOT_SHOWN}")


def taken_away(stack, role, action, resource, then):
    """Without a permission a refresh fails and names it, and AWSCURRENT stays; with it again, the top-up goes on from there.

    Where nothing was redeemed that is `fresh`; tokens that could not be promoted wait as AWSPENDING, and are `resumed`."""
    tokens = stack.secret()["access_token"]
    with role.without(action, resource):
        kind, answer = stack.invoke({"action": "refresh"})
    says = answer.get("errorMessage", "")
    expect(kind == "AccessDenied" and action in says and resource in says, f"without {action} the run ends with {answer}")
    expect(stack.secret()["access_token"] == tokens, f"without {action} AWSCURRENT moved")
    after = outcome(stack.invoke({"action": "refresh", "if_needed": True}))
    expect(after == then, f"once {action} is back, the outcome is {after}")
    name = "the credentials secret" if resource == stack.outputs["SecretArn"] else "the app's secret"
    say(f"without {action} on {name}: {kind}, which names both; with it again: {after}")


def taken_away_from_reader(stack, role, action):
    """Without a permission on the reader secret the tokens are renewed all the same, and the run that has it again fills it.

    The label AWSPENDING that the emulator leaves on older versions does no harm here: nobody reads a reader secret by it."""
    tokens, copied = stack.secret()["access_token"], stack.secret("ReaderSecretArn")
    reader = stack.outputs["ReaderSecretArn"]
    with role.without(action, reader):
        kind, answer = stack.invoke({"action": "refresh"})
    says = answer.get("errorMessage", "")
    named = all(it in says for it in (action, f"The tokens are in order, but not the reader secret '{reader}'"))
    expect(kind == "AccessDenied" and named, f"without {action} on the reader secret the run ends with {answer}")
    new = stack.secret()["access_token"]
    expect(new != tokens, f"without {action} on the reader secret the tokens are not renewed")
    expect(stack.secret("ReaderSecretArn") == copied, f"without {action} the reader secret was written")
    after = outcome(stack.invoke({"action": "refresh", "if_needed": True}))
    expect(after == "fresh", f"once {action} on the reader secret is back, the outcome is {after}")
    expect(stack.secret("ReaderSecretArn")["access_token"] == new, f"once {action} is back, the reader secret is not filled")
    say(f"without {action} on the reader secret: {kind}, with the tokens in order; with it again: {after}, and filled")


def job(cloud, stack):
    """A role with the reader policy and nothing else reads the reader secret, and no other."""
    secrets = emulator.role_with(cloud, "job", managed=[stack.outputs["ReaderPolicyArn"]])
    reader = stack.outputs["ReaderSecretArn"]
    body = json.loads(secrets.get_secret_value(SecretId=reader)["SecretString"])
    expect(body["access_token"] == stack.secret()["access_token"], "a job reads another token")
    refused = {
        "reading the credentials secret": lambda: secrets.get_secret_value(SecretId=stack.outputs["SecretArn"]),
        "writing the reader secret": lambda: secrets.put_secret_value(SecretId=reader, SecretString="{}"),
    }
    for what, call in refused.items():
        try:
            call()
        except botocore.exceptions.ClientError as error:
            expect(error.response["Error"]["Code"] == "AccessDeniedException", f"{what} is answered with {error}")
        else:
            raise Failure(f"In the emulator, {what} is allowed to a job.")
    say(f"a role with the reader policy alone: reads the reader secret; refused: {', '.join(refused)}")


class Role:
    def __init__(self, iam, name):
        self.iam, self.name = iam, name
        self.document = iam.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]

    def grants(self):
        for statement in self.document["Statement"]:
            actions = statement["Action"]
            for action in several(actions):
                for resource in several(statement["Resource"]):
                    yield resource, action

    def without(self, action, resource):
        less = copy.deepcopy(self.document)
        for statement in less["Statement"]:
            if several(statement["Resource"]) == [resource]:
                statement["Action"] = [it for it in several(statement["Action"]) if it != action]
        less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
        return Taken(self, less)

    def put(self, document):
        self.iam.put_role_policy(RoleName=self.name, PolicyName=POLICY, PolicyDocument=json.dumps(document))


class Taken:
    """A permission is gone for the time of a block."""

    def __init__(self, role, less):
        self.role, self.less = role, less

    def __enter__(self):
        self.role.put(self.less)

    def __exit__(self, *_):
        self.role.put(self.role.document)
