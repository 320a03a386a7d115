import copy
import json

from . import emulator
from .deploy import expect, outcome
from .tools import say

POLICY = "Secrets"
# What the emulator does not enforce, so that only the rules stage looks at it.
NOT_SHOWN = (
    "kms:Decrypt and kms:GenerateDataKey (no key policies), logs, X-Ray, sqs:SendMessage and events:PutEvents "
    "(its Lambda delivers by itself), and the schedule role"
)


def stage():
    """With IAM enforced, the function works with exactly the template's policy, and with no permission less."""
    with emulator.cloud() as cloud, emulator.tiktok() as (tiktok_url, document):
        app = {"app_id": document.pop("app_id"), "secret": document.pop("secret")}
        secrets = cloud.client("secretsmanager")
        app_arn = secrets.create_secret(Name="tiktok/app", SecretString=json.dumps(app))["ARN"]
        other = secrets.create_secret(Name="tiktok/other", SecretString=json.dumps(document | app))["ARN"]

        def change(template):
            variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
            variables |= {"TIKTOK_API_URL": tiktok_url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": cloud.url}

        stack = cloud.deploy("permissions", {"AppSecretArn": app_arn}, change)
        stack.put_secret(document | {"app_secret_id": app_arn})
        role = Role(cloud.client("iam"), stack.physical("FunctionRole"))
        secret = stack.outputs["SecretArn"]
        granted = {(action, resource) for resource, action in role.grants()}
        expect(
            granted
            == {
                ("secretsmanager:GetSecretValue", secret),
                ("secretsmanager:PutSecretValue", secret),
                ("secretsmanager:UpdateSecretVersionStage", secret),
                ("secretsmanager:GetSecretValue", app_arn),
            },
            f"the role has {granted}",
        )

        # First, while no version has AWSPENDING: the emulator leaves that label on an older version when it moves.
        promote = ("secretsmanager:UpdateSecretVersionStage", secret)
        taken_away(stack, role, *promote, then="resumed")
        expect(outcome(stack.invoke({"action": "refresh"})) == "refreshed", "the whole policy is not enough")
        say("the policy of the template, whole: refreshed")
        for action, resource in sorted(granted - {promote}):
            taken_away(stack, role, action, resource, then="fresh")
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


class Role:
    def __init__(self, iam, name):
        self.iam, self.name = iam, name
        self.document = iam.get_role_policy(RoleName=name, PolicyName=POLICY)["PolicyDocument"]

    def grants(self):
        for statement in self.document["Statement"]:
            actions = statement["Action"]
            for action in actions if isinstance(actions, list) else [actions]:
                yield statement["Resource"], action

    def without(self, action, resource):
        less = copy.deepcopy(self.document)
        for statement in less["Statement"]:
            if statement["Resource"] == resource:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                statement["Action"] = [it for it in actions if it != action]
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
