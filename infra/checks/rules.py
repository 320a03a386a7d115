"""The rules of the template: each yields a sentence for everything that breaks it."""

import json
import re
import tomllib

from .stack import Stack
from .template import PAGE, PROJECT, at, branches, depends, differences, references, replaced_by, resources, walk, written

# CloudFormation writes it at creation and on a change of this text: a change would overwrite live tokens.
PLACEHOLDER = '{"app_id":"","secret":"","access_token":"","refresh_token":""}'

# What Lambda does for a function in a VPC, under the function's role.
NETWORK = [
    f"ec2:{it}"
    for it in (
        "AssignPrivateIpAddresses", "CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces",
        "DescribeSubnets", "UnassignPrivateIpAddresses",
    )
]  # fmt: skip
# By the owner of a policy document: the actions that have to be granted on every resource.
EVERYWHERE = {
    "FunctionRole": {
        # Lambda asks for it before there is an interface.
        *NETWORK,
        # These know no resources. BatchGetSecretValue asks for GetSecretValue on each secret.
        "xray:PutTraceSegments", "xray:PutTelemetryRecords", "secretsmanager:ListSecrets", "secretsmanager:BatchGetSecretValue",
    },
    "FleetStateMachineRole": {
        # Neither do these: deliveries have no resources, and the policies of logs are the Region's, not a group's.
        "secretsmanager:ListSecrets", "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:GetLogDelivery",
        "logs:ListLogDeliveries", "logs:UpdateLogDelivery", "logs:DescribeResourcePolicies", "logs:PutResourcePolicy",
        # Step Functions looks through all of them.
        "logs:DescribeLogGroups",
    },
    # Executions of this state machine have names of their own.
    "FleetStateMachinePolicy": {"states:DescribeExecution", "states:StopExecution"},
}  # fmt: skip

READ = {"secretsmanager:GetSecretValue"}
READ_CACHED = READ | {"secretsmanager:DescribeSecret"}
WRITE = READ | {"secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"}
# By statement: all that it allows with secrets.
SECRET_ACTIONS = {
    "RefreshCredentials": WRITE | READ_CACHED | {"secretsmanager:ListSecretVersionIds"},
    "FillReader": WRITE,
    "FillFurtherReaders": WRITE,
    "ReadApp": READ,
    "ReadReader": READ_CACHED,
    "RefreshFleet": WRITE | READ_CACHED | {"secretsmanager:ListSecretVersionIds"},
    "FillFleetReaders": WRITE,
    "FindFleet": {"secretsmanager:ListSecrets", "secretsmanager:BatchGetSecretValue"},
    "ListFleet": {"secretsmanager:ListSecrets"},
}
# By statement: the tag that a secret of a fleet has to have, with the fleet's name.
TAGS = {"RefreshFleet": "tiktok-token-refresh", "FillFleetReaders": "tiktok-token-reader"}
# Every secret of this account and Region.
SECRETS = {"Fn::Sub": "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:*"}
# By statement: what it allows with a key, and the statements whose secrets it is for.
KEY_ACTIONS = {
    "UseKeyOfCredentials": ({"kms:Decrypt", "kms:GenerateDataKey"}, ("RefreshCredentials", "FillReader")),
    "ReadWithPreviousKey": ({"kms:Decrypt"}, ("RefreshCredentials", "FillReader")),
    "UseKeysOfFurtherReaders": ({"kms:Decrypt", "kms:GenerateDataKey"}, ("FillFurtherReaders",)),
    "UseKeyOfApp": ({"kms:Decrypt"}, ("ReadApp",)),
    "UseKeyOfReader": ({"kms:Decrypt"}, ("ReadReader",)),
}

# KMS sees the secret's ARN and not its tags: through Secrets Manager and for secrets of this account is all that can be said.
KEY_OF_FLEET = (
    {"kms:Decrypt", "kms:GenerateDataKey"},
    {
        "StringEquals": {"kms:ViaService": {"Fn::Sub": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"}},
        "StringLike": {"kms:EncryptionContext:SecretARN": SECRETS},
    },
)

READER = {"Fn::GetAtt": ["ReaderSecret", "Id"]}

# What is there for a fleet alone, and for a fleet with a state machine.
FLEET = {"FleetSecretsInvalidAlarm", "FleetAccessDeniedAlarm", "FleetTikTokMisconfiguredAlarm", "FleetCapacityAlarm"}
STATE_MACHINE = {
    "FleetStateMachine", "FleetStateMachineLogGroup", "FleetStateMachineRole", "FleetStateMachinePolicy", "FleetExecutionsFailedAlarm",
}  # fmt: skip
# Errors that may be over some minutes later. The others stay until a person has mended the cause, and starts the run again.
HEALS = {
    "PartialFailure", "DeadlineExceeded", "TikTokThrottled", "TikTokUnavailable", "SecretsManagerUnavailable", "NewTokenRejected",
}  # fmt: skip
# Lambda's own words for a function that did not answer.
NO_ANSWER = {"Sandbox.Timedout", "Runtime.ExitError", "Lambda.Unknown"}
# What a state's input, output and variables may hold, in bytes, and the greatest lengths that Secrets Manager knows: a name
# of 512 characters makes an ARN of 583 where the partition and the Region have long names, and a NextToken has 4,096.
STATE_BYTES, ARN_BYTES, NEXT_TOKEN_BYTES = 262_144, 583, 4_096

# Every alarm, by the metrics that it watches; and those that page, by themselves or through the composite alarm.
ALARMS = {
    "NoInvocationsAlarm": ("AWS/Lambda", {"Invocations"}),
    "NoSuccessAlarm": (None, {"Succeeded"}),
    "AccessTokenBelowTwoHoursAlarm": (None, {"AccessTokenSecondsRemaining"}),
    "ReauthorizationRequiredAlarm": (None, {"ReauthorizationRequired"}),
    "RefreshTokenRejectedAlarm": (None, {"Kept"}),
    "ErrorsAlarm": ("AWS/Lambda", {"Errors"}),
    "RefreshTokenBelow30DaysAlarm": (None, {"RefreshTokenSecondsRemaining"}),
    "RefreshTokenBelow7DaysAlarm": (None, {"RefreshTokenSecondsRemaining"}),
    "AdvertisersStaleAlarm": (None, {"AdvertisersStale"}),
    "DeliveryAlarm": ("AWS/Scheduler", {"TargetErrorCount", "InvocationDroppedCount"}),
    "DestinationAlarm": ("AWS/Lambda", {"DestinationDeliveryFailures"}),
    "FleetSecretsInvalidAlarm": (None, {"InvalidSecret", "SecretNotFound"}),
    "FleetAccessDeniedAlarm": (None, {"AccessDenied"}),
    "FleetTikTokMisconfiguredAlarm": (None, {"TikTokMisconfigured"}),
    "FleetCapacityAlarm": (None, {"LeftOver", "TikTokThrottled"}),
    "FleetExecutionsFailedAlarm": ("AWS/States", {"ExecutionsFailed", "ExecutionsTimedOut"}),
}
SILENCE = {"NoInvocationsAlarm", "NoSuccessAlarm"}
AT_RISK = SILENCE | {"AccessTokenBelowTwoHoursAlarm", "ReauthorizationRequiredAlarm", "RefreshTokenRejectedAlarm"}
# What an alarm's name says of time, in seconds.
THRESHOLDS = {"BelowTwoHours": 7_200, "Below7Days": 604_800, "Below30Days": 2_592_000}
# By resource: the parameters whose change replaces it, and which docs/deploy.md names for it.
NAMES_OF_ROLES = {"RolePath", "RoleNamePrefix"}
REPLACED = {
    "CredentialsSecret": {"SecretName"}, "ReaderSecret": {"SecretName"}, "ReaderPolicy": NAMES_OF_ROLES, "FunctionRole": NAMES_OF_ROLES,
    "ScheduleRole": NAMES_OF_ROLES, "FleetStateMachineRole": NAMES_OF_ROLES,
    # These hold nothing.
    "Rotation": {"ExistingSecretArn"}, "AlarmSubscription": {"AlarmEmail"}, "NoticeSubscription": {"AlarmEmail"},
}  # fmt: skip
# Every parameter at a value that is not its default and as long as in a large company; and those that cannot be given beside another.
ACCOUNT = "ap-northeast-1:111122223333"
SECRET_ARN, KEY_ARN = f"arn:aws:secretsmanager:{ACCOUNT}:secret:tiktok/ads/reader{{}}-AbCdEf", f"arn:aws:kms:{ACCOUNT}:key/{{:036}}"
OPTIONS = {
    "SecretName": "marketing/tiktok/ads", "CreateReaderSecret": "false", "KmsKeyArn": KEY_ARN.format(1), "PreviousKmsKeyArn": KEY_ARN.format(2),
    "ReaderSecretArns": ",".join(SECRET_ARN.format(it) for it in range(20)), "ReaderSecretKmsKeyArns": KEY_ARN.format(3),
    "AppSecretArns": ",".join(SECRET_ARN.format(it) for it in range(20, 25)), "AppSecretKmsKeyArns": KEY_ARN.format(4),
    "LogsKmsKeyArn": KEY_ARN.format(5), "MaxConcurrency": "100", "TikTokRequestsPerSecond": "12.5", "FleetMapConcurrency": "4",
    "ScheduleExpression": "rate(1 day)", "ScheduleExpressionTimezone": "Europe/Berlin", "MinTokenLifetime": "150m",
    "RotationScheduleExpression": "rate(12 hours)", "AlarmEmail": "data@example.org", "AlarmTopicArn": f"arn:aws:sns:{ACCOUNT}:page",
    "CreateDashboard": "false", "MetricsNamespace": "Marketing/TikTok", "Architecture": "x86_64", "TimeoutSeconds": "900",
    "AdvertiserInfo": "true", "SuccessEventBusArn": f"arn:aws:events:{ACCOUNT}:event-bus/results",
    "SubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1,subnet-0123456789abcdef2", "SecurityGroupIds": "sg-0123456789abcdef0",
    "HttpsProxy": "http://proxy.corp.example.org:3128", "NoProxy": ".amazonaws.com", "LayerArn": f"arn:aws:lambda:{ACCOUNT}:layer:corp-roots:12",
    "CaBundlePath": "/opt/ca.pem", "UseFipsEndpoint": "true", "PermissionsBoundaryArn": "arn:aws:iam::aws:policy/PowerUserAccess",
    "RolePath": "/service/", "RoleNamePrefix": "corp-", "CodeSigningConfigArn": f"arn:aws:lambda:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0",
    "ReservedConcurrency": "5", "LogRetentionDays": "3653",
}  # fmt: skip
# By parameter: other values, each of which differs at one place.
PLACES = {"LayerArn": [OPTIONS["LayerArn"].replace(old, new) for old, new in (("1111", "4444"), ("corp", "org"), (":12", ":13"))]}
ALTERNATIVES = {"ExistingSecretArn": SECRET_ARN.format(30), "NoticeTopicArn": f"arn:aws:sns:{ACCOUNT}:notice"}
INSTEAD = {"ExistingSecretArn": "SecretName", "NoticeTopicArn": "AlarmEmail"}
KINDS = {"one secret": {}, "a fleet": {"FleetName": "agency", "CreateFleetStateMachine": "true", "SecretName": "", "RotationScheduleExpression": ""}}
NOT_FOR = {
    "one secret": {"FleetName", "CreateFleetStateMachine", "FleetMapConcurrency"},
    # The template's rules refuse the first three for a fleet. The last one is on by default, so it cannot be refused.
    "a fleet": {"SecretName", "ExistingSecretArn", "RotationScheduleExpression", "CreateReaderSecret"},
}
NOTHING = {"Ref": "AWS::NoValue"}
ALIAS = {"Ref": "FunctionAliaslive"}


def alarms_complete(template):
    """Every alarm is there, watches its metric, says what to do, and is what its name says; one pages, the rest are notices."""
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    if set(alarms) != set(ALARMS):
        yield f"alarms: {sorted(set(alarms) ^ set(ALARMS))}"
    page, notice = ({"Fn::If": [f"Create{it}", {"Ref": it}, {"Ref": f"{it}Arn"}]} for it in ("AlarmTopic", "NoticeTopic"))
    (composite,) = resources(template, "AWS::CloudWatch::CompositeAlarm").values()
    _, fleet, one = composite["Properties"]["AlarmRule"]["Fn::If"]
    for rule, children in ((fleet, SILENCE), (one, AT_RISK)):
        if set(re.findall(r'ALARM\("\$\{(\w+)\}"\)', rule["Fn::Sub"])) != children or rule["Fn::Sub"].count(" OR ") != len(children) - 1:
            yield f"the alarm that pages comes on for {rule}"
    if composite["Properties"].get("AlarmActions") != [page]:
        yield "the alarm that pages has another action than its topic"
    for name, alarm in (alarms | {"CredentialsAtRiskAlarm": composite}).items():
        description = alarm["Properties"].get("AlarmDescription", "")
        if "What to do" not in description or len(description) > 1024:
            yield f"{name} does not say what to do, or at too great a length"
    for name, alarm in alarms.items():
        properties = alarm["Properties"]
        actions = {"Fn::If": ["IsFleet", [notice], NOTHING]} if name in AT_RISK - SILENCE else [notice]
        if properties.get("AlarmActions") != (None if name in SILENCE else actions):
            yield f"{name} has the actions {properties.get('AlarmActions')}"
        if properties.get("TreatMissingData") != ("breaching" if name in SILENCE else "notBreaching"):
            yield f"{name} takes missing data for something else"
        for said, seconds in THRESHOLDS.items():
            if said in name and (properties["Threshold"], properties["ComparisonOperator"]) != (seconds, "LessThanThreshold"):
                yield f"{name} comes on at {properties['Threshold']} seconds"
        metrics = [stat["MetricStat"]["Metric"] for stat in properties.get("Metrics", []) if "MetricStat" in stat] or [properties]
        namespace, wanted = ALARMS.get(name, (None, set()))
        if {metric["MetricName"] for metric in metrics} != wanted:
            yield f"{name} watches {[metric['MetricName'] for metric in metrics]}"
        for metric in metrics:
            if metric["Namespace"] != (namespace or {"Ref": "MetricsNamespace"}):
                yield f"{name} looks in namespace {metric['Namespace']}"
            if len(metric["Dimensions"]) != 1:
                yield f"{name} has other dimensions than the stack's own resource, and so grows with the secrets"
        for expression in (stat["Expression"] for stat in properties.get("Metrics", []) if "Expression" in stat):
            ids = {stat["Id"] for stat in properties["Metrics"] if "MetricStat" in stat}
            if set(re.findall(r"FILL\((\w+), 0\)", expression)) != ids:
                yield f"{name} sums {expression} of {sorted(ids)}"
        seconds = properties.get("Period", 3600) * max(branches(properties["EvaluationPeriods"]))
        if seconds > 604_800:
            yield f"{name} looks back more than the seven days that CloudWatch allows"
    silent = alarms.get("NoInvocationsAlarm", {"Properties": {}})["Properties"]
    if (silent.get("ComparisonOperator"), silent.get("Threshold"), silent.get("EvaluationPeriods")) != ("LessThanThreshold", 1, 3):
        yield "a function that does not run is noticed too late"


def metrics_exist(template):
    """The function publishes every metric of its own that an alarm or the dashboard shows, under this dimension."""
    source = "".join((PROJECT / "src" / it).read_text() for it in ("report.rs", "refresh/outcome.rs", "error.rs"))
    steps = re.findall(r'Self::\w+ => "(\w+)"', (PROJECT / "src/transport/trace.rs").read_text())
    known = set(re.findall(r'"([A-Z]\w+)"', source)) | {f"{step.capitalize()}Duration" for step in steps}
    shown = set()
    for _, value in walk(template["Resources"]):
        if isinstance(value, dict) and "MetricName" in value and value["Namespace"] == {"Ref": "MetricsNamespace"}:
            shown.add(value["MetricName"])
            if [dimension["Name"] for dimension in value["Dimensions"]] != ["FunctionName"]:
                yield f"{value['MetricName']} is looked for under other dimensions"
    body = str(template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    shown |= set(re.findall(r'"\$\{Namespace\}", "(\w+)", "FunctionName"', body))
    if len(shown) < 15:
        yield f"only {len(shown)} metrics were found, so this rule does not see them all"
    for name in sorted(shown - known):
        yield f"the function has no metric {name}"


def dashboard_shows_every_alarm(template):
    """The dashboard is JSON in every kind of stack, and its first row has every alarm of the stack and no other."""
    for given in (*KINDS.values(), {"FleetName": "agency"}):
        there = Stack(template, **given).resources()
        body = json.loads(there["Dashboard"]["Properties"]["DashboardBody"])
        shown = {Stack(template).named(f"{name}.Arn") for name, it in there.items() if it["Type"].endswith("Alarm")}
        if set(body["widgets"][0]["properties"]["alarms"]) != shown:
            yield f"the dashboard shows other alarms than there are with {given}"


def queues_encrypted(template):
    """Every queue is encrypted, keeps messages for 14 days, and refuses plain HTTP."""
    queues = resources(template, "AWS::SQS::Queue")
    if len(queues) != 2:
        yield f"queues: {list(queues)}"
    denied = set()
    for policy in resources(template, "AWS::SQS::QueuePolicy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}:
                denied |= {queue["Ref"] for queue in policy["Properties"]["Queues"]}
    for name, queue in queues.items():
        properties = queue["Properties"]
        if properties.get("SqsManagedSseEnabled") is not True and not properties.get("KmsMasterKeyId"):
            yield f"{name} is not encrypted"
        if properties.get("MessageRetentionPeriod") != 14 * 24 * 3600:
            yield f"{name} does not keep messages for 14 days"
        if name not in denied:
            yield f"{name} takes plain HTTP"


def least_privilege(template):
    """Every grant names its actions and exact resources, or the tag of a fleet; keys are for those alone; the one managed policy reads the reader secret."""
    everywhere = {}
    policies = {("ReaderPolicy", "ReaderPolicy"): template["Resources"]["ReaderPolicy"]["Properties"]["PolicyDocument"]}
    for name, role in resources(template, "AWS::IAM::Role").items():
        if role["Properties"].get("ManagedPolicyArns"):
            yield f"{name} has managed policies"
        inline = [policy for it in role["Properties"]["Policies"] for policy in branches(it)]
        policies |= {(name, it["PolicyName"]): it["PolicyDocument"] for it in inline}
    for name, policy in resources(template, "AWS::IAM::Policy").items():
        policies[name, policy["Properties"]["PolicyName"]] = policy["Properties"]["PolicyDocument"]
    for (name, _), document in policies.items():
        statements = {it["Sid"]: it for conditional in document["Statement"] for it in branches(conditional)}
        for sid, statement in statements.items():
            actions = set(several(statement["Action"]))
            if statement["Effect"] == "Deny":
                continue
            for resource in (it for each in several(statement["Resource"]) for it in branches(each)):
                if not isinstance(resource, dict) and resource != "*":
                    yield f"{name}, {sid}: {resource} is written out"
                if sid in TAGS:
                    if (resource, statement.get("Condition")) != (SECRETS, tagged(TAGS[sid])):
                        yield f"{name}, {sid}: {resource} under the condition {statement.get('Condition')}"
                elif "*" in str(resource):
                    everywhere.setdefault(name, set()).update(actions)
            if any("*" in action for action in actions):
                yield f"{name}, {sid}: actions with wildcards: {actions}"
            secret = {action for action in actions if action.startswith("secretsmanager:")}
            if secret and secret != SECRET_ACTIONS.get(sid):
                yield f"{name}, {sid}: {sorted(secret)}"
            key = {action for action in actions if action.startswith("kms:")}
            if key:
                if sid == "UseKeyOfFleet":
                    if (key, statement["Condition"]) != KEY_OF_FLEET:
                        yield f"{name}, {sid}: {sorted(key)} under the condition {statement['Condition']}"
                    continue
                allowed, owners = KEY_ACTIONS.get(sid, (set(), ()))
                condition = statement["Condition"]["StringEquals"]
                secrets = set().union(*(possible(statements[owner]["Resource"]) for owner in owners))
                if key != allowed or set(condition) != {"kms:ViaService", "kms:EncryptionContext:SecretARN"}:
                    yield f"{name}, {sid}: the key is not limited to Secrets Manager, or to {sorted(allowed)}"
                elif possible(condition["kms:EncryptionContext:SecretARN"]) != secrets:
                    yield f"{name}, {sid}: the key is for other secrets than {owners}"
    for name in {*everywhere, *EVERYWHERE}:
        if wrong := everywhere.get(name, set()) ^ EVERYWHERE.get(name, set()):
            yield f"{name} has one and not the other: a grant on more than a resource, a reason for it: {sorted(wrong)}"
    if set(resources(template, "AWS::IAM::ManagedPolicy")) != {"ReaderPolicy"}:
        yield f"managed policies: {list(resources(template, 'AWS::IAM::ManagedPolicy'))}"
    reader = template["Resources"]["ReaderPolicy"]["Properties"]
    if {"Roles", "Users", "Groups"} & set(reader):
        yield "ReaderPolicy is attached to a role, user or group"
    statements = [it for conditional in reader["PolicyDocument"]["Statement"] for it in branches(conditional)]
    granted = [(it["Effect"], it["Sid"], [of for each in several(it["Resource"]) for of in branches(each)]) for it in statements]
    keys = [{"Ref": "KmsKeyArn"}, {"Ref": "PreviousKmsKeyArn"}]
    if granted != [("Allow", "ReadReader", [READER]), ("Allow", "UseKeyOfReader", keys)]:
        yield f"ReaderPolicy grants {granted}"


def tagged(key):
    """The condition that a secret is of the fleet: its tag is the fleet's name, to the letter."""
    return {"StringEquals": {f"aws:ResourceTag/{key}": {"Ref": "FleetName"}}}


def several(value):
    return value if isinstance(value, list) else [value]


def possible(value):
    """Everything that a value, or a list of them, may become."""
    return {json.dumps(it, sort_keys=True) for each in several(value) for it in branches(each)}


def confused_deputy(template):
    """Only this account's schedules, of this group, may take on the schedule role, and its state machines the state machine's."""
    account = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    machines = {"Fn::Sub": "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:*"}
    condition = "Properties.AssumeRolePolicyDocument.Statement.0.Condition"
    yield from differences(
        template["Resources"],
        {
            f"FleetStateMachineRole.{condition}": {"StringEquals": account, "ArnLike": {"aws:SourceArn": machines}},
            f"ScheduleRole.{condition}.StringEquals": account | {"aws:SourceArn": {"Fn::GetAtt": ["ScheduleGroup", "Arn"]}},
        },
    )


def page_is_apart(template):
    """The template opens no public URL; the page's own gives the alias one, without CORS, under two permissions for it alone."""
    found = resources(template, "AWS::Lambda::Url") | resources(template, "AWS::Lambda::Permission")
    if set(found) != {"RotationPermission"}:
        yield f"URLs and permissions: {sorted(found)}"
    public = {"FunctionName": {"Fn::Sub": "${FunctionName}:live"}, "Principal": "*"}
    wanted = {
        "AuthorizePage": {"TargetFunctionArn": {"Ref": "FunctionName"}, "Qualifier": "live", "AuthType": "NONE", "InvokeMode": "BUFFERED"},
        "AuthorizePagePermission": public | {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        "AuthorizePageInvokePermission": public | {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    }
    page = written(PAGE)
    if {name: it["Properties"] for name, it in page["Resources"].items()} != wanted:
        yield f"the page is {page['Resources']}"


def rotation_is_asked_for(template):
    """Rotation is off by default, begins by its schedule alone, and only for this account's secrets."""
    yield from differences(
        template,
        {
            "Parameters.RotationScheduleExpression.Default": "",
            "Resources.Rotation.Condition": "HasRotation",
            "Resources.Rotation.DependsOn": "RotationPermission",
            # Otherwise a deployment would rotate a secret that may have no tokens yet.
            "Resources.Rotation.Properties.RotateImmediatelyOnUpdate": False,
            "Resources.Rotation.Properties.RotationLambdaARN": ALIAS,
            "Resources.RotationPermission.Condition": "HasRotation",
            "Resources.RotationPermission.Properties.FunctionName": ALIAS,
            "Resources.RotationPermission.Properties.Action": "lambda:InvokeFunction",
            "Resources.RotationPermission.Properties.Principal": "secretsmanager.amazonaws.com",
            "Resources.RotationPermission.Properties.SourceAccount": {"Ref": "AWS::AccountId"},
        },
    )
    secret = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]["SECRET_ID"]
    rotates = template["Resources"]["Rotation"]["Properties"]["SecretId"]
    if branches(rotates) != branches(secret):
        yield f"what rotates is {rotates}"


def fleet_is_asked_for(template):
    """A fleet is asked for, finds its secrets by one tag alone, and comes without the secrets and the rotation of a stack for one."""
    conditions, variables = template["Conditions"], "Resources.Function.Properties.Environment.Variables"
    tag = {"Fn::Sub": "tiktok-token-refresh=${FleetName}"}
    yield from differences(
        template,
        {
            "Parameters.FleetName.Default": "",
            "Parameters.CreateFleetStateMachine.Default": "false",
            "Conditions.IsFleet": {"Fn::Not": [conditions["IsOneSecret"]]},
            f"{variables}.SECRET_TAG": {"Fn::If": ["IsFleet", tag, NOTHING]},
            f"{variables}.SECRET_ID.Fn::If.0": "IsFleet",
            f"{variables}.SECRET_ID.Fn::If.1": NOTHING,
        },
    )
    for name in ("CreateSecret", "HasReaderSecret", "HasRotation", "OneSecretHasKmsKey"):
        if {"Condition": "IsOneSecret"} not in conditions[name].get("Fn::And", []):
            yield f"{name} holds for a fleet, too"
    named = {name: it.get("Condition") for name, it in template["Resources"].items() if name.startswith("Fleet")}
    if named != dict.fromkeys(FLEET, "IsFleet") | dict.fromkeys(STATE_MACHINE, "HasStateMachine"):
        yield f"what is there for a fleet: {named}"
    rules = (template["Rules"].get(name, {"Assertions": []}) for name in ("FleetOrOneSecret", "StateMachineNeedsFleet"))
    asserted = [it["Assert"] for rule in rules for it in rule["Assertions"]]
    for name in ("SecretName", "ExistingSecretArn", "RotationScheduleExpression"):
        if {"Fn::Equals": [{"Ref": name}, ""]} not in asserted:
            yield f"{name} can be given for a fleet"
    if {"Fn::Not": [{"Fn::Equals": [{"Ref": "FleetName"}, ""]}]} not in asserted:
        yield "a state machine can be asked for without a fleet"


def state_machine_is_as_agreed(template):
    """The state machine asks for the fleet's tag, calls the alias, repeats what may heal, stops for no batch, and its data fits."""
    text, _ = template["Resources"]["FleetStateMachine"]["Properties"]["DefinitionString"]["Fn::Sub"]
    machine = definition(text)
    if unconnected(machine):
        yield f"states that lead nowhere or that nothing leads to: {sorted(unconnected(machine))}"
    states, invoke = machine["States"], "States.RefreshBatches.ItemProcessor.States.InvokeFunction"
    yield from differences(
        machine,
        {
            "States.RefreshBatches.ItemProcessor.ProcessorConfig.Mode": "DISTRIBUTED",
            # A batch that fails stops no other, and the execution in the end.
            "States.RefreshBatches.ToleratedFailurePercentage": 100,
            "States.MoreToList.Choices.-1.Next": "SomeFailed",
            "States.SomeFailed.Type": "Fail",
            # The hourly run gives way to an execution that is at work.
            "States.IfNeeded.Choices.0.Next": "ListExecutions",
            "States.OthersAtWork.Choices.0.Next": "AllSucceeded",
            f"{invoke}.Arguments": {"FunctionName": "${Alias}", "Payload": "{% $states.input %}"},
            f"{invoke}.Catch": None,
        },
    )
    for key in ("'tiktok-token-refresh'", "'${FleetName}'"):
        # Once in the filter, which may find more, and once where that is held to the letter.
        for field in (states["ListSecrets"]["Arguments"], states["ListSecrets"]["Assign"]["secret_ids"]):
            if key not in field:
                yield f"{key} is not in {field}"
    if "${FleetMapConcurrency}" not in text or template["Parameters"]["FleetMapConcurrency"]["Default"] != 1:
        yield "one app's rate is shared by several invocations, although no parameter asks for it"
    if "$merge([{'action': 'refresh', 'secret_ids': [$batch]}, $order])" not in text or "{'if_needed': true}" not in states["Begin"]["Assign"]["order"]:
        yield "a batch of the hourly run is not told so"
    kinds = set(re.findall(r'Self::\w+ => "(\w+)"', (PROJECT / "src/error.rs").read_text()))
    retried = {error for retrier in at(machine, f"{invoke}.Retry") for error in retrier["ErrorEquals"]}
    own = {error for error in retried if not error.startswith("Lambda.")} | (retried & NO_ANSWER)
    if own != HEALS | NO_ANSWER or not HEALS <= kinds:
        yield f"it repeats after {sorted(own)}, of which the function knows {sorted(own & kinds)}"
    if not {"Lambda.ServiceException", "Lambda.TooManyRequestsException"} <= retried or "States.ALL" in retried:
        yield f"of Lambda's errors it repeats after {sorted(retried - own)}"
    (page,) = re.findall(r"'MaxResults': (\d+)", states["ListSecrets"]["Arguments"])
    (most,) = re.findall(r"< (\d+)", states["EnoughForNow"]["Choices"][0]["Condition"])
    (batch,) = re.findall(r"\$partition\(\$secret_ids, (\d+)\)", states["EnoughForNow"]["Choices"][1]["Output"])
    # In quotation marks, with a comma.
    largest = (int(most) - 1 + int(page)) * (ARN_BYTES + 3) + NEXT_TOKEN_BYTES
    if largest > STATE_BYTES:
        yield f"{most} secrets with the longest names take {largest} bytes"
    if template["Parameters"]["FleetMapConcurrency"]["MaxValue"] * int(batch) != int(most):
        yield f"with {most} gathered, in batches of {batch}, not every invocation has one"


def definition(text):
    """The state machine as Step Functions reads it, but for the values that only a deployment knows."""
    return json.loads(text.replace("${FleetMapConcurrency}", "1").replace("${AWS::Partition}", "aws"))


def unconnected(machine):
    """Next states that there are not, and states that nothing leads to; and so in each map."""
    states, named = machine["States"], {machine["StartAt"]}
    for state in states.values():
        ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
        named |= {way[key] for way in ways for key in ("Next", "Default") if key in way}
    inner = (state["ItemProcessor"] for state in states.values() if "ItemProcessor" in state)
    return (named ^ set(states)).union(*map(unconnected, inner))


def public_principals(template):
    """A statement with the principal * only ever denies."""
    for path, value in walk(template["Resources"]):
        if isinstance(value, dict) and value.get("Principal") in ("*", {"AWS": "*"}) and value.get("Effect") != "Deny":
            yield "/".join(map(str, path))


def no_secret(template):
    """No literal secret: the placeholder is empty and unchanged, and no default or variable looks like a secret."""
    # Otherwise the next update of a stack would put another text over live tokens.
    properties = "Resources.CredentialsSecret.Properties"
    yield from differences(template, {f"{properties}.SecretString": PLACEHOLDER, f"{properties}.GenerateSecretString": None})
    yield from differences(written(), {"Resources.Function.Properties.CodeUri": ".."})
    for path, value in walk(template):
        if isinstance(value, str) and re.search(r"AKIA[0-9A-Z]{16}|[0-9a-f]{40}|eyJ[\w-]{20}", value):
            yield "/".join(map(str, path))


def secret_outlives(template):
    """The credentials outlive the stack, and whatever would replace them."""
    secret = template["Resources"]["CredentialsSecret"]
    yield from differences(secret, {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"})


def versions_stay(template):
    """A deployment leaves the version that it replaces, and its code, to roll back to."""
    for version in resources(template, "AWS::Lambda::Version").values():
        yield from differences(version, {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"})


def reader_is_a_copy(template):
    """The reader secret comes without a value, under the key of the credentials, and goes with the stack."""
    secret, credentials = "Resources.ReaderSecret", template["Resources"]["CredentialsSecret"]
    yield from differences(
        template,
        {
            # An update of a stack might put one over the function's.
            f"{secret}.Properties.SecretString": None,
            f"{secret}.Properties.GenerateSecretString": None,
            f"{secret}.Properties.KmsKeyId": credentials["Properties"]["KmsKeyId"],
            f"{secret}.DeletionPolicy": "Delete",
            f"{secret}.UpdateReplacePolicy": "Delete",
            "Outputs.ReaderSecretArn.Value": READER,
            "Outputs.ReaderPolicyArn.Value": {"Ref": "ReaderPolicy"},
            "Outputs.PublishField.Value": {"Fn::Sub": '[{"secret_id":"${ReaderSecret.Id}","format":"reader"}]'},
        },
    )


def names_unlike_arns(template):
    """No name that the stack makes of SecretName ends like the ARN of a secret, in a hyphen and six characters."""
    taken = template["Parameters"]["SecretName"]["AllowedPattern"]
    for name, secret in resources(template, "AWS::SecretsManager::Secret").items():
        for value in branches(secret["Properties"]["Name"]):
            example = value.get("Fn::Sub", "${SecretName}").replace("${SecretName}", "tiktok/ads")
            if not re.fullmatch(taken, example):
                yield f"{name} would be named {example}"


def deploys_twice(template):
    """No name is fixed, so a second stack in the same account and Region collides with nothing."""
    for name, resource in template["Resources"].items():
        # A composite alarm has an AlarmName. An alias's name is one within its function, a policy's one within its role.
        kind, properties = resource["Type"].rpartition("::")[2].removeprefix("Composite"), resource.get("Properties", {})
        for key in {"Name", f"{kind}Name"} & set(properties) if kind not in ("Alias", "Policy") else ():
            for value in branches(properties[key]):
                if not references(value) & {"AWS::StackName", "SecretName"}:
                    yield f"{name} is always named {value}"
    for schedule in resources(template, "AWS::Scheduler::Schedule").values():
        yield from differences(schedule, {"Properties.GroupName": {"Ref": "ScheduleGroup"}})


def every_change_is_published(template):
    """Every value that the function's configuration depends on is in the version's description, and so a new version."""
    function = dict(template["Resources"]["Function"]["Properties"])
    for unversioned in ("Tags", "Code", "CodeSigningConfigArn", "ReservedConcurrentExecutions"):
        function.pop(unversioned)
    (version,) = resources(template, "AWS::Lambda::Version").values()
    described = depends(version["Properties"]["Description"], template["Conditions"])
    missing = depends(function, template["Conditions"]) - described - {"AWS::NoValue"}
    # A resource is as good as a constant if no parameter replaces it but those that the description has.
    missing -= {name for name in missing & set(template["Resources"]) if replaced_by(template, name) <= described}
    if missing:
        yield f"a change of {sorted(missing)} would not reach the alias"
    # Two values that differ at one place have two descriptions, also where the description has a part of the value.
    for name in described & set(OPTIONS) - {"SecretName", "UseFipsEndpoint"}:
        for other in PLACES.get(name, [OPTIONS[name] + "0"]):
            one, two = (Stack(template, **OPTIONS | {name: value}).fill(version["Properties"]["Description"]) for value in (OPTIONS[name], other))
            if one == two:
                yield f"a change of {name} to {other} would not reach the alias"


def nothing_else_is_replaced(template):
    """No change of a parameter replaces a resource, and with it what it holds, but those that are known and documented."""
    for name, resource in template["Resources"].items():
        # A published version is replaced by every change, and kept.
        wrong = replaced_by(template, name) ^ REPLACED.get(name, set())
        if wrong and resource["Type"] != "AWS::Lambda::Version":
            yield f"{name} is replaced by a change of {sorted(wrong)}, or is no more"


def every_option_fits(template):
    """With every option of a large company at once, names, the version's description and the role's policies stay below AWS's limits."""
    for kind in KINDS.values():
        stack = Stack(template, **OPTIONS | kind)
        there = stack.resources()
        (version,) = (it for it in there.values() if it["Type"] == "AWS::Lambda::Version")
        if len(version["Properties"]["Description"]) > 256:
            yield f"the version's description has {len(version['Properties']['Description'])} characters"
        inline = there["FunctionRole"]["Properties"]["Policies"]
        size = sum(len(json.dumps(it["PolicyDocument"], separators=(",", ":"))) for it in inline)
        if size > 10_240:
            yield f"the policies of FunctionRole have {size} characters"
        (together,) = re.findall(r"have (\d+) characters at most", template["Parameters"]["RoleNamePrefix"]["Description"])
        longest = {"AWS::StackName": "s" * 128, "RoleNamePrefix": "c"}
        for name, it in Stack(template, **OPTIONS | kind | longest).resources().items():
            for key, most in (("RoleName", 64 - int(together) + 129), ("AlarmName", 255), ("LogGroupName", 512)):
                if len(it.get("Properties", {}).get(key, "")) > most:
                    yield f"the {key} of {name} can be too long"


def every_parameter_counts(template):
    """A parameter that is given changes the stack, for one secret and for a fleet, or a rule of the template refuses it."""
    for kind, given in KINDS.items():
        for name in set(template["Parameters"]) - NOT_FOR[kind] - set(given):
            others = {it: value for it, value in OPTIONS.items() if it not in (name, INSTEAD.get(name))}
            example = OPTIONS.get(name) or ALTERNATIVES.get(name, "")
            if not re.fullmatch(template["Parameters"][name].get("AllowedPattern", ".*"), example):
                yield f"{name} does not take {example}"
            if Stack(template, **others | given).resources() == Stack(template, **others | {name: example} | given).resources():
                yield f"{name} is ignored by a stack for {kind}"


def the_function_takes_every_parameter(template):
    """A value that a parameter takes is none that the function rejects at its start, or that an alarm pages for every day."""
    parameters, alarm = template["Parameters"], template["Resources"]["AccessTokenBelowTwoHoursAlarm"]["Properties"]
    lifetimes = re.compile(parameters["MinTokenLifetime"]["AllowedPattern"])
    for unit, seconds in (("h", 3_600), ("m", 60)):
        for number in range(10_000):
            # A run leaves a token alone that lives this long, and reports it. The function takes a year at most.
            if lifetimes.fullmatch(f"{number}{unit}") and not alarm["Threshold"] <= number * seconds <= 365 * 86_400:
                yield f"MinTokenLifetime takes {number}{unit}"
    for wrong in (":", ":a", "AWS/Lambda"):
        if re.fullmatch(parameters["MetricsNamespace"]["AllowedPattern"], wrong):
            yield f"MetricsNamespace takes {wrong}"


def function_is_as_agreed(template):
    """The function has the agreed runtime, memory, architecture, tracing, logging and recursion guard."""
    function = "Resources.Function.Properties"
    yield from differences(
        template,
        {
            f"{function}.Runtime": "provided.al2023",
            f"{function}.MemorySize": 128,
            f"{function}.RecursiveLoop": "Terminate",
            f"{function}.TracingConfig": {"Mode": "Active"},
            f"{function}.Architectures": [{"Ref": "Architecture"}],
            f"{function}.Role": {"Fn::GetAtt": ["FunctionRole", "Arn"]},
            f"{function}.LoggingConfig.LogFormat": "JSON",
            "Parameters.Architecture.Default": "arm64",
            "Resources.HourlySchedule.Properties.Target.Input": '{"action":"refresh","if_needed":true}',
            "Resources.DailySchedule.Properties.Target.Input": '{"action":"refresh","scheduled_time":"<aws.scheduler.scheduled-time>"}',
        },
    )
    schedules = resources(template, "AWS::Scheduler::Schedule")
    if set(schedules) != {"DailySchedule", "HourlySchedule"}:
        yield f"the schedules are {sorted(schedules)}"
    for name, schedule in schedules.items():
        target = schedule["Properties"]["Target"]
        machine = {"Fn::If": ["HasStateMachine", {"Ref": "FleetStateMachine"}, ALIAS]}
        if target["Arn"] != machine or "RetryPolicy" not in target or "DeadLetterConfig" not in target:
            yield f"{name} does not call the alias, or the state machine, with a retry policy and a dead-letter queue"


def parameters_for_people(template):
    """Every parameter has a description, a group and a label, and a pattern or a list of values; every output has a description."""
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    parameters = template["Parameters"]
    if sorted(grouped) != sorted(parameters) or set(interface["ParameterLabels"]) != set(parameters):
        yield "groups or labels do not have each parameter once"
    for name, parameter in parameters.items():
        if not parameter.get("Description"):
            yield f"{name} has no description"
        if not {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter):
            yield f"{name} takes anything"
        if "AllowedPattern" in parameter and not re.fullmatch(parameter["AllowedPattern"], str(parameter["Default"])):
            yield f"{name} does not take its own default"
    for name, described in (parameters | template["Outputs"]).items():
        if re.match(r"(What|Where|Who|How|Whether|Has|Is)\b", described.get("Description", "What")):
            yield f"the description of {name} has no subject"


def one_version(template):
    """The Serverless Application Repository gets the version of Cargo.toml."""
    crate = tomllib.loads((PROJECT / "Cargo.toml").read_text())["package"]
    application = template["Metadata"]["AWS::ServerlessRepo::Application"]
    if (application["SemanticVersion"], application["SpdxLicenseId"]) != (crate["version"], crate["license"]):
        yield f"{application['SemanticVersion']} {application['SpdxLicenseId']}, {crate['version']} {crate['license']}"
    # What the repository asks of an author; letters, digits and single hyphens.
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?!-)){0,126}[A-Za-z0-9]", application["Author"]):
        yield f"the repository takes no author named {application['Author']}"


def options_are_off(template):
    """Every option for an organization is there, and does nothing by default; the stack's own tags are the only ones."""
    parameters, conditions, function = template["Parameters"], template["Conditions"], template["Resources"]["Function"]["Properties"]
    environment = function["Environment"]["Variables"]
    guarded = {
        "SubnetIds": function.get("VpcConfig"),
        "HttpsProxy": environment.get("HTTPS_PROXY"),
        "NoProxy": environment.get("NO_PROXY"),
        "CaBundlePath": environment.get("AWS_CA_BUNDLE"),
        "UseFipsEndpoint": environment.get("AWS_USE_FIPS_ENDPOINT"),
        "LayerArn": function.get("Layers"),
        "CodeSigningConfigArn": function.get("CodeSigningConfigArn"),
        "ReservedConcurrency": function.get("ReservedConcurrentExecutions"),
    }
    for kind, key, parameter in (
        ("AWS::Logs::LogGroup", "KmsKeyId", "LogsKmsKeyArn"),
        ("AWS::IAM::Role", "PermissionsBoundary", "PermissionsBoundaryArn"),
        ("AWS::IAM::Role", "RoleName", "RoleNamePrefix"),
        ("AWS::IAM::ManagedPolicy", "ManagedPolicyName", "RoleNamePrefix"),
    ):
        guarded |= {f"{parameter} {name}": it["Properties"].get(key) for name, it in resources(template, kind).items()}
    for name, value in guarded.items():
        parameter = name.split()[0]
        default = parameters[parameter]["Default"]
        condition, _, otherwise = (value or {}).get("Fn::If", ("", value, value))
        on = {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]} if default == "" else {"Fn::Equals": [{"Ref": parameter}, "true"]}
        if default not in ("", "false") or otherwise != NOTHING or conditions.get(condition) != on:
            yield f"{name}: {value} by default {default!r} under {conditions.get(condition)}"
    for name, resource in (resources(template, "AWS::IAM::Role") | resources(template, "AWS::IAM::ManagedPolicy")).items():
        if resource["Properties"].get("Path") != {"Ref": "RolePath"}:
            yield f"{name} has the path {resource['Properties'].get('Path')}"
    vpc = {name: {"Fn::Split": [",", {"Ref": name}]} for name in ("SubnetIds", "SecurityGroupIds")}
    if (function.get("VpcConfig") or {"Fn::If": ["", {}]})["Fn::If"][1] != vpc:
        yield f"the function's VPC is {function.get('VpcConfig')}"
    if 3653 not in parameters["LogRetentionDays"]["AllowedValues"]:
        yield "logs cannot be kept for ten years"
    network = [it for it in template["Resources"]["FunctionRole"]["Properties"]["Policies"] if it.get("Fn::If", [""])[0] == "HasVpc"]
    denied = [it for policy in network for it in policy["Fn::If"][1]["PolicyDocument"]["Statement"] if it["Effect"] == "Deny"]
    if [sorted(it["Action"]) for it in denied] != [NETWORK]:
        yield "the function's own code may attach network interfaces"
    for name, resource in template["Resources"].items():
        keys = {it["Key"] for it in resource.get("Properties", {}).get("Tags", [])} - {"lambda:createdBy"}
        if keys:
            yield f"{name} has the tags {sorted(keys)}, which a tag of the stack may collide with"


def secrets_are_lists(template):
    """Reader secrets and app secrets, and their keys, are lists that end in the policy, and take several ARNs and no spaces."""
    arn = "arn:aws:{}:eu-west-1:111122223333:{}"
    for kind in ("Reader", "App"):
        for name, it in {"Arns": arn.format("secretsmanager", "secret:a/b-AbCdEf"), "KmsKeyArns": arn.format("kms", "key/1")}.items():
            name = f"{kind}Secret{name}"
            pattern = template["Parameters"][name]["AllowedPattern"]
            if [text for text in ("", it, f"{it},{it}", f"{it}, {it}", f"{it},") if re.fullmatch(pattern, text)] != ["", it, f"{it},{it}"]:
                yield f"{name} takes something else than ARNs with commas"
            split = {"Fn::Split": [",", {"Ref": name}]}
            if not any(found == split and path[-1] == "Resource" for path, found in walk(template["Resources"]["FunctionRole"])):
                yield f"{name} is not in the policy"


def commands_are_for_everybody(template):
    """Outputs and pages have commands for both versions of the AWS CLI and for every partition, and `sam deploy` needs `sam build`."""
    texts = {f"the output {name}": str(it["Value"]) for name, it in template["Outputs"].items()}
    texts |= {str(page.relative_to(PROJECT)): page.read_text() for page in [*PROJECT.glob("docs/*.md"), *PROJECT.glob("infra/*.md")]}
    for name, text in texts.items():
        for wrong in re.findall(r"--cli-binary-format|aws logs tail|console\.aws\.amazon\.com|arn:aws:iam::\*", text):
            yield f"{name} has {wrong}"
        for command in re.findall(r"aws cloudformation deploy(?:[^`\n]|\\\n)*", text):
            if "template.plain.yaml" in command and "--s3-bucket" not in command:
                yield f"{name}: a template of more than 51,200 bytes takes --s3-bucket: {command}"
        for line in text.splitlines():
            # samconfig.toml asks for a bucket of SAM's own, and SAM takes one or the other.
            if "--s3-bucket" in line and not re.search("--template-file|--no-resolve-s3", line):
                yield f"{name}: sam deploy takes no --s3-bucket beside samconfig.toml's resolve_s3: {line}"
    deploys = tomllib.loads((PROJECT / "infra/samconfig.toml").read_text())["default"]["deploy"]["parameters"]
    if deploys.get("template_file") != ".aws-sam/build/template.yaml":
        yield "sam deploy without sam build uploads the repository"
