"""The permissions that a deployment of the stack needs, and no more: derived from CloudFormation's own schemas of the template's resources."""

import json

from .template import INFRA, PAGE, schemas, transformed, written

POLICY = INFRA / "deployer-policy.json"
# A managed policy's limit, without white space.
LARGEST = 6_144
# What a handler may need for properties that the template does not set, by the beginning of the action's name.
NOT_NEEDED = (
    "codedeploy:", "elasticfilesystem:", "firehose:", "s3files:", "s3:", "kms:",
    "iam:AttachGroup", "iam:AttachUser", "iam:DetachGroup", "iam:DetachUser", "iam:DeleteGroup", "iam:DeleteUser",
    "iam:GetGroup", "iam:GetUser", "iam:PutGroup", "iam:PutUser", "iam:AttachRolePolicy", "iam:DetachRolePolicy",
    "lambda:PassCapacityProvider", "lambda:AssociateRuntimeAlias", "lambda:PutProvisioned", "lambda:GetProvisioned",
    "lambda:DeleteProvisioned", "lambda:PutFunctionScaling", "lambda:GetFunctionScaling", "lambda:PutRuntimeManagement",
    "lambda:InvokeFunction", "logs:PutBearer", "logs:CreateLogDelivery", "logs:DeleteResourcePolicy", "logs:PutResourcePolicy",
    "logs:PutDataProtection", "logs:DeleteDataProtection", "logs:PutIndex", "logs:DeleteIndex", "logs:PutLogGroupDeletion",
    "secretsmanager:ReplicateSecret", "secretsmanager:RemoveRegions", "sns:PutDataProtection",
    # Not even the deployer reads tokens: the template generates no value.
    "secretsmanager:GetSecretValue", "secretsmanager:GetRandomPassword",
)
# By service, those of no Region with a colon first: the resources that a stack named tiktok-token-refresh has. CloudFormation names some after the logical id alone.
STACK, SECRET = "tiktok-token-refresh", "tiktok/ads"
RESOURCES = {
    "cloudwatch": [f"alarm:{STACK}-*", ":dashboard/Dashboard-*"],
    "iam": [f":role/{STACK}-*", f":policy/{STACK}-*"],
    "lambda": [f"function:{STACK}-*", "layer:*", "code-signing-config:*"],
    "logs": [f"log-group:/aws/lambda/{STACK}*", f"log-group:/aws/vendedlogs/states/{STACK}*"],
    "scheduler": [f"schedule/{STACK}-*", f"schedule-group/{STACK}-*", "schedule/ScheduleGroup-*", "schedule-group/ScheduleGroup-*"],
    "secretsmanager": [f"secret:{SECRET}*", "secret:CredentialsSecret-*", "secret:ReaderSecret-*"],
    "sns": [f"{STACK}-*"],
    "sqs": [f"{STACK}-*"],
    "states": ["stateMachine:FleetStateMachine-*"],
    "cloudformation": [f"stack/{STACK}*/*", "changeSet/*"],
}
# What no resource can be named for.
EVERYWHERE = {
    "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
    "cloudformation:GetTemplateSummary", "cloudformation:ValidateTemplate",
    "cloudwatch:DescribeAlarms", "logs:DescribeLogGroups", "logs:DescribeIndexPolicies", "logs:DescribeResourcePolicies",
}
FORMATION = {
    f"cloudformation:{it}"
    for it in (
        "CreateChangeSet", "CreateStack", "DeleteChangeSet", "DeleteStack", "DescribeChangeSet", "DescribeStackEvents",
        "DescribeStackResources", "DescribeStacks", "ExecuteChangeSet", "GetTemplate", "ListStackResources", "UpdateStack",
    )
}


def policy():
    types = {it["Type"] for template in (transformed(), written(PAGE)) for it in template["Resources"].values()}
    handlers = {it: schemas()[it]["handlers"] for it in types & set(schemas()) if "handlers" in schemas()[it]}
    assert set(handlers) == types, f"cfn-lint has no handlers of {sorted(types - set(handlers))}."
    steps = [of_type.get(step, {}) for of_type in handlers.values() for step in ("create", "read", "update", "delete")]
    actions = {action for step in steps for action in step.get("permissions", []) if not action.startswith(NOT_NEEDED)}
    statements = [allow(EVERYWHERE, "*")]
    actions = (actions | FORMATION) - EVERYWHERE - {"iam:PassRole"}
    for service, names in RESOURCES.items():
        own = {action for action in actions if action.startswith(f"{service}:")}
        arns = [f"arn:*:{service}:{'' if it.startswith(':') else '*'}:*:{it.lstrip(':')}" for it in names]
        statements.append(allow(own, arns))
        actions -= own
    assert not actions, f"No resource is named for these actions: {sorted(actions)}"
    services = [f"{it}.amazonaws.com" for it in ("lambda", "scheduler", "states")]
    passed = allow({"iam:PassRole"}, [f"arn:*:iam::*:role/{STACK}-*"])
    statements.append(passed | {"Condition": {"StringEquals": {"iam:PassedToService": services}}})
    statements.append(allow({"cloudformation:CreateChangeSet"}, "arn:*:cloudformation:*:aws:transform/Serverless-2016-10-31"))
    statements.append(allow({"s3:GetObject", "s3:PutObject"}, "arn:*:s3:::BUCKET/*"))
    through = {"Condition": {"StringLike": {"kms:ViaService": "secretsmanager.*"}}}
    # Without Encrypt a change of KmsKeyArn would leave the current versions under the old key, without an error.
    statements.append(allow({"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"}, "arn:*:kms:*:*:key/*") | through)
    return {"Version": "2012-10-17", "Statement": statements}


def allow(actions, resources):
    return {"Effect": "Allow", "Action": sorted(actions), "Resource": resources}


def write():
    POLICY.write_text(json.dumps(policy(), indent=2) + "\n")
