"""Holds the template to the rules, and each rule to templates that break it: a rule that finds nothing wrong is no rule."""

import copy
import inspect

import pytest

from checks import rules
from checks.template import at, resources, transformed

# Every generator there is a rule.
RULES = [it for it in vars(rules).values() if inspect.isgeneratorfunction(it) and it.__module__ == rules.__name__]
GONE = object()
FUNCTION = "Resources.Function.Properties."
VARIABLES = FUNCTION + "Environment.Variables."


def put(path, value=GONE):
    """The template with another value at a path, or without what is there."""
    parents, _, last = path.rpartition(".")

    def change(template):
        parent = at(template, parents)
        key = int(last) if isinstance(parent, list) else last
        if value is GONE:
            del parent[key]
        else:
            parent[key] = value

    return change


def replaced(path, old, new):
    """The template with one piece of a text replaced."""

    def change(template):
        assert old in at(template, path)
        put(path, at(template, path).replace(old, new, 1))(template)

    return change


def machine(old, new):
    return replaced("Resources.FleetStateMachine.Properties.DefinitionString.Fn::Sub.0", old, new)


def statement(role, sid, key, value):
    """A role's statement of that Sid with another value."""

    def change(template):
        policies = (unconditional(it) for it in template["Resources"][role]["Properties"]["Policies"])
        statements = (unconditional(it) for policy in policies for it in policy["PolicyDocument"]["Statement"])
        next(it for it in statements if it["Sid"] == sid)[key] = value

    return change


def unconditional(value):
    return value["Fn::If"][1] if "Fn::If" in value else value


def version(change):
    """The change of the function's version, whose logical id depends on its code."""
    return lambda template: change(*resources(template, "AWS::Lambda::Version").values())


def key_of_credentials_alone(template):
    for policy in template["Resources"]["FunctionRole"]["Properties"]["Policies"]:
        for it in map(unconditional, policy.get("PolicyDocument", {"Statement": []})["Statement"]):
            if it["Sid"] == "UseKeyOfCredentials":
                it["Condition"]["StringEquals"]["kms:EncryptionContext:SecretARN"].pop()


READER = "Resources.ReaderPolicy.Properties.PolicyDocument.Statement"
SECRETS = "secretsmanager:GetSecretValue"

SABOTAGE = {
    rules.alarms_complete: [
        put("Resources.ErrorsAlarm"),
        put("Resources.ErrorsAlarm.Properties.AlarmActions"),
        put("Resources.ErrorsAlarm.Properties.AlarmActions", [{"Ref": "AlarmTopic"}]),
        put("Resources.ErrorsAlarm.Properties.AlarmDescription", "Something is wrong."),
        put("Resources.NoSuccessAlarm.Properties.TreatMissingData", "notBreaching"),
        put("Resources.NoSuccessAlarm.Properties.EvaluationPeriods", 200),
        put("Resources.NoInvocationsAlarm.Properties.EvaluationPeriods", 26),
        put("Resources.NoInvocationsAlarm.Properties.Metrics.0.Expression", "invocations"),
        put("Resources.AccessTokenBelowTwoHoursAlarm.Properties.Threshold", 3600),
        put("Resources.AccessTokenBelowTwoHoursAlarm.Properties.AlarmActions"),
        put("Resources.CredentialsAtRiskAlarm.Properties.AlarmActions"),
        replaced("Resources.CredentialsAtRiskAlarm.Properties.AlarmRule.Fn::If.2.Fn::Sub", " OR ", " AND "),
        replaced("Resources.CredentialsAtRiskAlarm.Properties.AlarmRule.Fn::If.1.Fn::Sub", "NoSuccess", "Errors"),
        put("Resources.DestinationAlarm"),
        put("Resources.FleetCapacityAlarm"),
        put("Resources.FleetCapacityAlarm.Properties.Metrics.0.Expression", "FILL(leftOver, 0)"),
        put(
            "Resources.FleetAccessDeniedAlarm.Properties.Dimensions",
            [{"Name": "FunctionName"}, {"Name": "secret_id", "Value": "tiktok/ads"}],
        ),
    ],
    rules.metrics_exist: [
        put("Resources.FleetAccessDeniedAlarm.Properties.MetricName", "AccessIsDenied"),
        put("Resources.ReauthorizationRequiredAlarm.Properties.MetricName", "AuthorizationRequired"),
        replaced("Resources.Dashboard.Properties.DashboardBody.Fn::Sub.0", '", "Advertisers"', '", "Advertizers"'),
    ],
    rules.dashboard_shows_every_alarm: [
        replaced("Resources.Dashboard.Properties.DashboardBody.Fn::Sub.0", ', "${DestinationAlarm.Arn}"', ""),
        put("Resources.FleetCapacityAlarm.Condition", "HasStateMachine"),
    ],
    rules.queues_encrypted: [
        put("Resources.DeliveryDeadLetterQueue.Properties.SqsManagedSseEnabled", False),
        put("Resources.ExecutionFailureQueue.Properties.MessageRetentionPeriod", 345600),
        put("Resources.ExecutionFailureQueuePolicy"),
    ],
    rules.least_privilege: [
        statement("FunctionRole", "RefreshCredentials", "Resource", "*"),
        statement("FunctionRole", "RefreshCredentials", "Action", "secretsmanager:*"),
        statement("FunctionRole", "FillReader", "Action", ["secretsmanager:PutSecretValue"]),
        statement("FunctionRole", "FillFurtherReaders", "Resource", "*"),
        statement("FunctionRole", "UseKeysOfFurtherReaders", "Condition", {"StringEquals": {}}),
        statement("FunctionRole", "ReadWithPreviousKey", "Action", ["kms:Decrypt", "kms:GenerateDataKey"]),
        statement("FunctionRole", "AttachToSubnets", "Action", ["ec2:RunInstances"]),
        statement("FunctionRole", "UseKeyOfCredentials", "Condition", {"StringEquals": {}}),
        statement("FunctionRole", "UseKeyOfCredentials", "Action", ["kms:Decrypt", "kms:Encrypt"]),
        statement("FunctionRole", "RefreshFleet", "Condition", {}),
        statement("FunctionRole", "RefreshFleet", "Condition", {"StringLike": {"aws:ResourceTag/tiktok-token-refresh": "*"}}),
        statement("FunctionRole", "RefreshFleet", "Resource", "*"),
        statement("FunctionRole", "FillFleetReaders", "Condition", rules.tagged("tiktok-token-refresh")),
        statement("FunctionRole", "FindFleet", "Action", [SECRETS]),
        statement("FunctionRole", "UseKeyOfFleet", "Condition", {"StringEquals": rules.KEY_OF_FLEET[1]["StringEquals"]}),
        statement("FleetStateMachineRole", "InvokeFunction", "Resource", "*"),
        statement("FleetStateMachineRole", "ListFleet", "Action", SECRETS),
        put("Resources.FleetStateMachinePolicy.Properties.PolicyDocument.Statement.0.Resource", "*"),
        key_of_credentials_alone,
        statement("ScheduleRole", "InvokeFunction", "Resource", {"Fn::Sub": "${Function.Arn}*"}),
        put("Resources.FunctionRole.Properties.ManagedPolicyArns", ["arn:aws:iam::aws:policy/ReadOnlyAccess"]),
        put(f"{READER}.0.Action", "secretsmanager:PutSecretValue"),
        put(f"{READER}.0.Action", SECRETS),
        put(f"{READER}.0.Action", [SECRETS, "secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds"]),
        put(f"{READER}.0.Resource", {"Fn::GetAtt": ["CredentialsSecret", "Id"]}),
        put(f"{READER}.1.Fn::If.1.Action", ["kms:Decrypt", "kms:GenerateDataKey"]),
        put(f"{READER}.1.Fn::If.1.Resource", {"Ref": "KmsKeyArn"}),
        put("Resources.ReaderPolicy.Properties.Roles", [{"Ref": "FunctionRole"}]),
        put("Resources.AnotherPolicy", {"Type": "AWS::IAM::ManagedPolicy", "Properties": {}}),
    ],
    rules.confused_deputy: [
        put("Resources.ScheduleRole.Properties.AssumeRolePolicyDocument.Statement.0.Condition"),
        put("Resources.FleetStateMachineRole.Properties.AssumeRolePolicyDocument.Statement.0.Condition"),
    ],
    rules.page_is_apart: [
        put("Resources.AuthorizePage", {"Type": "AWS::Lambda::Url", "Properties": {}}),
        put("Resources.AnotherPermission", {"Type": "AWS::Lambda::Permission", "Properties": {}}),
    ],
    rules.rotation_is_asked_for: [
        put("Parameters.RotationScheduleExpression.Default", "rate(12 hours)"),
        put("Resources.Rotation.Condition"),
        put("Resources.Rotation.DependsOn"),
        put("Resources.Rotation.Properties.RotateImmediatelyOnUpdate"),
        put("Resources.Rotation.Properties.SecretId", {"Ref": "ReaderSecret"}),
        put("Resources.RotationPermission.Properties.FunctionName", {"Ref": "Function"}),
        put("Resources.RotationPermission.Properties.SourceAccount"),
    ],
    rules.fleet_is_asked_for: [
        put("Parameters.FleetName.Default", "agency"),
        put("Conditions.CreateSecret", {"Fn::Equals": [{"Ref": "ExistingSecretArn"}, ""]}),
        put("Conditions.IsFleet", {"Fn::Equals": [{"Ref": "FleetName"}, ""]}),
        put("Resources.FleetStateMachine.Condition"),
        put("Resources.FleetExecutionsFailedAlarm.Condition", "IsFleet"),
        put(VARIABLES + "SECRET_TAG.Fn::If.1.Fn::Sub", "tag=${FleetName}"),
        put(VARIABLES + "SECRET_ID.Fn::If.1", {"Ref": "ExistingSecretArn"}),
        put("Rules.FleetOrOneSecret.Assertions.1"),
        put("Rules.StateMachineNeedsFleet"),
    ],
    rules.state_machine_is_as_agreed: [
        machine('"Next": "CountBatches"', '"Next": "CountBatch"'),
        machine('"StartAt": "InvokeFunction"', '"StartAt": "InvokeAlias"'),
        machine("Value = '${FleetName}'", "Value != ''"),
        machine("'Values': ['${FleetName}']", "'Values': ['a']"),
        machine('"ToleratedFailurePercentage": 100', '"ToleratedFailurePercentage": 0'),
        machine("${FleetMapConcurrency}", "40"),
        machine("${Alias}", "${Function}"),
        machine('"PartialFailure", ', '"PartialFailure", "ReauthorizationRequired", '),
        machine('"DeadlineExceeded", ', ""),
        machine('"Lambda.TooManyRequestsException"', '"States.ALL"'),
        machine('"Next": "SomeFailed"', '"Next": "AllSucceeded"'),
        machine("$count($secret_ids) < 400", "$count($secret_ids) < 500"),
        machine("$partition($secret_ids, 100)", "$partition($secret_ids, 200)"),
        machine(", $order])", "])"),
        machine('others > 0 %}", "Next": "AllSucceeded"', 'others > 0 %}", "Next": "ListSecrets"'),
    ],
    rules.public_principals: [
        put("Resources.AlarmTopicPolicy.Properties.PolicyDocument.Statement.1.Effect", "Allow"),
        put("Resources.AnotherPermission", {"Type": "AWS::Lambda::Permission", "Properties": {"Principal": "*"}}),
    ],
    rules.no_secret: [
        put("Resources.CredentialsSecret.Properties.SecretString", "{}"),
        put("Parameters.AlarmEmail.Default", "0123456789abcdef0123456789abcdef01234567"),
    ],
    rules.secret_outlives: [put("Resources.CredentialsSecret.DeletionPolicy")],
    rules.versions_stay: [version(put("UpdateReplacePolicy", "Delete")), version(put("DeletionPolicy", "Delete"))],
    rules.reader_is_a_copy: [
        put("Resources.ReaderSecret.Properties.SecretString", "{}"),
        put("Resources.ReaderSecret.DeletionPolicy"),
        put("Resources.ReaderSecret.Properties.KmsKeyId", {"Ref": "AWS::NoValue"}),
        put("Outputs.PublishField.Value", {"Ref": "ReaderSecret"}),
    ],
    rules.names_unlike_arns: [put("Resources.ReaderSecret.Properties.Name", {"Fn::Sub": "${SecretName}-reader"})],
    rules.deploys_twice: [
        put("Resources.ReaderPolicy.Properties.ManagedPolicyName", "tiktok-reader"),
        put("Resources.CredentialsAtRiskAlarm.Properties.AlarmName", "CredentialsAtRisk"),
        put("Resources.ExecutionFailureQueue.Properties.QueueName", "tiktok-failures"),
        put("Resources.DailySchedule.Properties.GroupName", "default"),
        put("Resources.FleetStateMachine.Properties.StateMachineName", "tiktok-fleet"),
    ],
    rules.every_change_is_published: [
        version(replaced("Properties.Description.Fn::Sub.0", "${TimeoutSeconds}", "60")),
        version(replaced("Properties.Description.Fn::Sub.0", "${RolePath}", "")),
        version(put("Properties.Description.Fn::Sub.1.Fips", "")),
        version(put("Properties.Description.Fn::Sub.1.Layer.Fn::If.1.Fn::Join.1.0", "")),
        put("Resources.FunctionLogGroup.Properties.LogGroupName", {"Fn::Sub": "/aws/lambda/${AlarmEmail}"}),
    ],
    rules.nothing_else_is_replaced: [
        put("Resources.ExecutionFailureQueue.Properties.QueueName", {"Fn::Sub": "${AWS::StackName}-${MetricsNamespace}"}),
        put("Resources.ReaderSecret.Properties.Name", {"Fn::If": ["HasKmsKey", {"Ref": "AWS::StackName"}, {"Ref": "AWS::NoValue"}]}),
        put("Resources.ScheduleRole.Properties.Path", "/"),
    ],
    rules.every_option_fits: [
        version(replaced("Properties.Description.Fn::Sub.0", "${Architecture}", "an instruction set that is ${Architecture}")),
        statement("FunctionRole", "ReadApp", "Action", ["secretsmanager:GetSecretValue"] * 100),
        replaced("Parameters.RoleNamePrefix.Description", "55", "56"),
        put("Resources.CredentialsAtRiskAlarm.Properties.AlarmName", {"Fn::Sub": "${AWS::StackName}-${AWS::StackName}"}),
    ],
    rules.every_parameter_counts: [
        put("Conditions.HasPreviousKmsKey", {"Fn::And": [{"Condition": "IsOneSecret"}, {"Condition": "HasKmsKey"}]}),
        put("Resources.FunctionLogGroup.Properties.RetentionInDays", 90),
        put("Parameters.Color", {"Type": "String", "Default": ""}),
    ],
    rules.the_function_takes_every_parameter: [
        put("Parameters.MinTokenLifetime.AllowedPattern", "^[1-9][0-9]{0,3}[hm]$"),
        put("Parameters.MinTokenLifetime.AllowedPattern", "^[2-9][0-9]{0,3}h$"),
        put("Parameters.MetricsNamespace.AllowedPattern", "^(?!AWS/)[A-Za-z0-9._/#:-]{1,64}$"),
    ],
    rules.function_is_as_agreed: [
        put(FUNCTION + "RecursiveLoop", "Allow"),
        put("Resources.HourlySchedule.Properties.Target.Arn", {"Ref": "FunctionAliaslive"}),
        put("Resources.DailySchedule.Properties.Target.Input", "{}"),
        put("Resources.HourlySchedule.Properties.Target.DeadLetterConfig"),
    ],
    rules.parameters_for_people: [
        put("Parameters.AlarmEmail.AllowedPattern"),
        put("Parameters.LogRetentionDays.Description"),
        put("Outputs.FunctionAliasArn.Description", "What the schedules invoke"),
    ],
    rules.one_version: [
        put("Metadata.AWS::ServerlessRepo::Application.SemanticVersion", "9.9.9"),
        put("Metadata.AWS::ServerlessRepo::Application.Author", "tiktok-token-refresh authors"),
    ],
    rules.options_are_off: [
        put(FUNCTION + "VpcConfig"),
        put(VARIABLES + "HTTPS_PROXY.Fn::If.2", ""),
        put("Parameters.UseFipsEndpoint.Default", "true"),
        put("Resources.ScheduleRole.Properties.Path"),
        put("Resources.ScheduleRole.Properties.RoleName", {"Fn::Sub": "${AWS::StackName}-schedule"}),
        put("Resources.FleetStateMachineLogGroup.Properties.KmsKeyId"),
        put("Resources.FunctionRole.Properties.Tags", [{"Key": "application", "Value": "tiktok-token-refresh"}]),
        statement("FunctionRole", "LambdaAloneAttaches", "Action", []),
        put("Parameters.LogRetentionDays.AllowedValues", [90]),
    ],
    rules.secrets_are_lists: [
        put("Parameters.ReaderSecretArns.AllowedPattern", "^arn:.*$"),
        statement("FunctionRole", "ReadApp", "Resource", {"Ref": "AppSecretArns"}),
    ],
    rules.commands_are_for_everybody: [
        put("Outputs.InvokeCommand.Value", "sam deploy --s3-bucket BUCKET"),
        put("Outputs.InvokeCommand.Value", "aws lambda invoke --cli-binary-format raw-in-base64-out"),
        put("Outputs.DashboardName.Value", {"Fn::Sub": "https://console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}"}),
    ],
}


@pytest.fixture(scope="module")
def template():
    return transformed()


@pytest.mark.parametrize("rule", RULES)
def test_the_template_keeps(rule, template):
    assert list(rule(template)) == [], rule.__doc__


@pytest.mark.parametrize("rule", RULES)
def test_a_broken_template_is_known_for(rule):
    assert SABOTAGE.get(rule)


@pytest.mark.parametrize(("rule", "change"), [(rule, change) for rule, changes in SABOTAGE.items() for change in changes])
def test_a_broken_template_is_noticed_by(rule, change, template):
    sabotaged = copy.deepcopy(template)
    change(sabotaged)
    assert sabotaged != template, "the broken template is the real one"
    assert list(rule(sabotaged)), rule.__doc__
