"""Templates that break each rule once: a rule that finds nothing wrong with its own is no rule."""

from . import rules


def properties(name):
    return lambda template: template["Resources"][name]["Properties"]


def setting(name, key, value):
    def change(template):
        properties(name)(template)[key] = value

    return change


def statement(role, sid, key, value):
    def change(template):
        found(template, role, sid)[key] = value

    return change


def found(template, role, sid):
    """A statement of a role, by its Sid."""
    for policy in properties(role)(template)["Policies"]:
        for it in policy["PolicyDocument"]["Statement"]:
            it = it["Fn::If"][1] if "Fn::If" in it else it
            if it["Sid"] == sid:
                return it
    raise KeyError(sid)


def machine(old, new):
    """The state machine with one piece of its text replaced."""

    def change(template):
        text = properties("FleetStateMachine")(template)["DefinitionString"]["Fn::Sub"]
        if old not in text[0]:
            raise KeyError(old)
        text[0] = text[0].replace(old, new, 1)

    return change


def reader(index, key, value):
    def change(template):
        it = properties("ReaderPolicy")(template)["PolicyDocument"]["Statement"][index]
        while "Fn::If" in it:
            it = it["Fn::If"][1]
        it[key] = value

    return change


def key_of_credentials_alone(template):
    it = found(template, "FunctionRole", "UseKeyOfCredentials")
    it["Condition"]["StringEquals"]["kms:EncryptionContext:SecretARN"].pop()


def dashboard(template):
    body = properties("Dashboard")(template)["DashboardBody"]["Fn::Sub"]
    body[0] = body[0].replace('"Advertisers"', '"Advertizers"')


def version(template):
    (it,) = [it for it in template["Resources"].values() if it["Type"] == "AWS::Lambda::Version"]
    it["Properties"]["Description"]["Fn::Sub"][0] = it["Properties"]["Description"]["Fn::Sub"][0].replace("${TimeoutSeconds}", "60")


def without(*path):
    def change(template):
        for key in path[:-1]:
            template = template[key]
        del template[path[-1]]

    return change


def put(value, *path):
    def change(template):
        for key in path[:-1]:
            template = template[key]
        template[path[-1]] = value

    return change


VARIABLES = ("Resources", "Function", "Properties", "Environment", "Variables")

SABOTAGE = [
    (rules.alarms_complete, without("Resources", "ErrorsAlarm")),
    (rules.alarms_complete, without("Resources", "ErrorsAlarm", "Properties", "AlarmActions")),
    (rules.alarms_complete, setting("ErrorsAlarm", "AlarmDescription", "Something is wrong.")),
    (rules.alarms_complete, setting("NoSuccessAlarm", "TreatMissingData", "notBreaching")),
    (rules.alarms_complete, setting("NoSuccessAlarm", "EvaluationPeriods", 200)),
    (rules.alarms_complete, without("Resources", "FleetCapacityAlarm")),
    (rules.alarms_complete, put("FILL(leftOver, 0)", "Resources", "FleetCapacityAlarm", "Properties", "Metrics", 0, "Expression")),
    (
        rules.alarms_complete,
        setting("FleetAccessDeniedAlarm", "Dimensions", [{"Name": "FunctionName"}, {"Name": "secret_id", "Value": "tiktok/ads"}]),
    ),
    (rules.metrics_exist, setting("FleetAccessDeniedAlarm", "MetricName", "AccessIsDenied")),
    (rules.metrics_exist, dashboard),
    (rules.metrics_exist, setting("ReauthorizationRequiredAlarm", "MetricName", "ReauthorisationRequired")),
    (rules.queues_encrypted, setting("DeliveryDeadLetterQueue", "SqsManagedSseEnabled", False)),
    (rules.queues_encrypted, setting("ExecutionFailureQueue", "MessageRetentionPeriod", 345600)),
    (rules.queues_encrypted, without("Resources", "ExecutionFailureQueuePolicy")),
    (rules.least_privilege, statement("FunctionRole", "RefreshCredentials", "Resource", "*")),
    (rules.least_privilege, statement("FunctionRole", "RefreshCredentials", "Action", "secretsmanager:*")),
    (rules.least_privilege, statement("FunctionRole", "FillReader", "Action", ["secretsmanager:PutSecretValue"])),
    (rules.least_privilege, statement("FunctionRole", "UseKeyOfCredentials", "Condition", {"StringEquals": {}})),
    (rules.least_privilege, statement("FunctionRole", "UseKeyOfCredentials", "Action", ["kms:Decrypt", "kms:Encrypt"])),
    (rules.least_privilege, statement("FunctionRole", "RefreshFleet", "Condition", {})),
    (
        rules.least_privilege,
        statement("FunctionRole", "RefreshFleet", "Condition", {"StringLike": {"aws:ResourceTag/tiktok-token-refresh": "*"}}),
    ),
    (rules.least_privilege, statement("FunctionRole", "RefreshFleet", "Resource", "*")),
    (rules.least_privilege, statement("FunctionRole", "FillFleetReaders", "Condition", rules.tagged("tiktok-token-refresh"))),
    (rules.least_privilege, statement("FunctionRole", "FindFleet", "Action", ["secretsmanager:GetSecretValue"])),
    (
        rules.least_privilege,
        statement("FunctionRole", "UseKeyOfFleet", "Condition", {"StringEquals": rules.KEY_OF_FLEET[1]["StringEquals"]}),
    ),
    (rules.least_privilege, statement("FleetStateMachineRole", "InvokeFunction", "Resource", "*")),
    (rules.least_privilege, statement("FleetStateMachineRole", "ListFleet", "Action", "secretsmanager:GetSecretValue")),
    (
        rules.least_privilege,
        put("*", "Resources", "FleetStateMachinePolicy", "Properties", "PolicyDocument", "Statement", 0, "Resource"),
    ),
    (rules.least_privilege, key_of_credentials_alone),
    (rules.least_privilege, statement("ScheduleRole", "InvokeFunction", "Resource", {"Fn::Sub": "${Function.Arn}*"})),
    (rules.least_privilege, setting("FunctionRole", "ManagedPolicyArns", ["arn:aws:iam::aws:policy/ReadOnlyAccess"])),
    (rules.least_privilege, reader(0, "Action", "secretsmanager:PutSecretValue")),
    (rules.least_privilege, reader(0, "Action", "secretsmanager:GetSecretValue")),
    (
        rules.least_privilege,
        reader(0, "Action", [f"secretsmanager:{it}" for it in ("GetSecretValue", "DescribeSecret", "ListSecretVersionIds")]),
    ),
    (rules.least_privilege, reader(0, "Resource", {"Fn::GetAtt": ["CredentialsSecret", "Id"]})),
    (rules.least_privilege, reader(1, "Action", ["kms:Decrypt", "kms:GenerateDataKey"])),
    (rules.least_privilege, setting("ReaderPolicy", "Roles", [{"Ref": "FunctionRole"}])),
    (rules.least_privilege, put({"Type": "AWS::IAM::ManagedPolicy", "Properties": {}}, "Resources", "AnotherPolicy")),
    (
        rules.confused_deputy,
        without("Resources", "ScheduleRole", "Properties", "AssumeRolePolicyDocument", "Statement", 0, "Condition"),
    ),
    (
        rules.confused_deputy,
        without("Resources", "FleetStateMachineRole", "Properties", "AssumeRolePolicyDocument", "Statement", 0, "Condition"),
    ),
    (rules.page_is_off, put("true", "Parameters", "EnableAuthorizePage", "Default")),
    (rules.page_is_off, without("Resources", "AuthorizePage", "Condition")),
    (rules.page_is_off, without("Resources", "AuthorizePageInvokePermission", "Condition")),
    (rules.page_is_off, without("Resources", "AuthorizePageInvokePermission", "Properties", "InvokedViaFunctionUrl")),
    (rules.page_is_off, without("Resources", "AuthorizePagePermission")),
    (rules.page_is_off, setting("AuthorizePage", "Cors", {"AllowOrigins": ["*"]})),
    (rules.page_is_off, without("Resources", "AuthorizePage", "Properties", "Qualifier")),
    (rules.page_is_off, put({"Type": "AWS::Lambda::Permission", "Properties": {}}, "Resources", "AnotherPermission")),
    (rules.page_is_off, put({"Fn::GetAtt": ["AuthorizePage", "FunctionUrl"]}, "Outputs", "AuthorizeRedirectUri", "Value")),
    (
        rules.public_principals,
        put({"Type": "AWS::Lambda::Permission", "Properties": {"Principal": "*"}}, "Resources", "AnotherPermission"),
    ),
    (rules.rotation_is_asked_for, put("rate(12 hours)", "Parameters", "RotationScheduleExpression", "Default")),
    (rules.rotation_is_asked_for, without("Resources", "Rotation", "Condition")),
    (rules.rotation_is_asked_for, without("Resources", "Rotation", "DependsOn")),
    (rules.rotation_is_asked_for, without("Resources", "Rotation", "Properties", "RotateImmediatelyOnUpdate")),
    (rules.rotation_is_asked_for, setting("Rotation", "SecretId", {"Ref": "ReaderSecret"})),
    (rules.rotation_is_asked_for, setting("RotationPermission", "FunctionName", {"Ref": "Function"})),
    (rules.rotation_is_asked_for, without("Resources", "RotationPermission", "Properties", "SourceAccount")),
    (rules.fleet_is_asked_for, put("agency", "Parameters", "FleetName", "Default")),
    (rules.fleet_is_asked_for, put({"Fn::Equals": [{"Ref": "ExistingSecretArn"}, ""]}, "Conditions", "CreateSecret")),
    (rules.fleet_is_asked_for, put({"Fn::Equals": [{"Ref": "FleetName"}, ""]}, "Conditions", "IsFleet")),
    (rules.fleet_is_asked_for, without("Resources", "FleetStateMachine", "Condition")),
    (rules.fleet_is_asked_for, put("IsFleet", "Resources", "FleetExecutionsFailedAlarm", "Condition")),
    (rules.fleet_is_asked_for, put("tag=${FleetName}", *VARIABLES, "SECRET_TAG", "Fn::If", 1, "Fn::Sub")),
    (rules.fleet_is_asked_for, put({"Ref": "ExistingSecretArn"}, *VARIABLES, "SECRET_ID", "Fn::If", 1)),
    (rules.fleet_is_asked_for, without("Rules", "FleetOrOneSecret", "Assertions", 1)),
    (rules.fleet_is_asked_for, without("Rules", "StateMachineNeedsFleet")),
    (rules.state_machine_is_as_agreed, machine('"Next": "CountBatches"', '"Next": "CountBatch"')),
    (rules.state_machine_is_as_agreed, machine('"StartAt": "InvokeFunction"', '"StartAt": "InvokeAlias"')),
    (rules.state_machine_is_as_agreed, machine("Value = '${FleetName}'", "Value != ''")),
    (rules.state_machine_is_as_agreed, machine("'Values': ['${FleetName}']", "'Values': ['a']")),
    (rules.state_machine_is_as_agreed, machine('"ToleratedFailurePercentage": 100', '"ToleratedFailurePercentage": 0')),
    (rules.state_machine_is_as_agreed, machine("${FleetMapConcurrency}", "40")),
    (rules.state_machine_is_as_agreed, machine("${Alias}", "${Function}")),
    (rules.state_machine_is_as_agreed, machine('"PartialFailure", ', '"PartialFailure", "ReauthorizationRequired", ')),
    (rules.state_machine_is_as_agreed, machine('"DeadlineExceeded", ', "")),
    (rules.state_machine_is_as_agreed, machine('"Lambda.TooManyRequestsException"', '"States.ALL"')),
    (rules.state_machine_is_as_agreed, machine('"Next": "SomeFailed"', '"Next": "AllSucceeded"')),
    (rules.state_machine_is_as_agreed, machine("$count($secret_ids) < 400", "$count($secret_ids) < 500")),
    (rules.state_machine_is_as_agreed, machine("$partition($secret_ids, 100)", "$partition($secret_ids, 200)")),
    (
        rules.public_principals,
        put("Allow", "Resources", "AlarmTopicPolicy", "Properties", "PolicyDocument", "Statement", 1, "Effect"),
    ),
    (rules.no_secret, setting("CredentialsSecret", "SecretString", "{}")),
    (rules.no_secret, put("0123456789abcdef0123456789abcdef01234567", "Parameters", "AlarmEmail", "Default")),
    (rules.secret_outlives, without("Resources", "CredentialsSecret", "DeletionPolicy")),
    (rules.reader_is_a_copy, setting("ReaderSecret", "SecretString", "{}")),
    (rules.reader_is_a_copy, without("Resources", "ReaderSecret", "DeletionPolicy")),
    (rules.reader_is_a_copy, setting("ReaderSecret", "KmsKeyId", {"Ref": "AWS::NoValue"})),
    (rules.reader_is_a_copy, put({"Ref": "ReaderSecret"}, "Outputs", "PublishField", "Value")),
    (rules.names_unlike_arns, setting("ReaderSecret", "Name", {"Fn::Sub": "${SecretName}-reader"})),
    (rules.deploys_twice, setting("ReaderPolicy", "ManagedPolicyName", "tiktok-reader")),
    (rules.deploys_twice, setting("ExecutionFailureQueue", "QueueName", "tiktok-failures")),
    (rules.deploys_twice, setting("DailySchedule", "GroupName", "default")),
    (rules.deploys_twice, setting("FleetStateMachine", "StateMachineName", "tiktok-fleet")),
    (rules.every_change_is_published, version),
    (rules.function_is_as_agreed, setting("Function", "RecursiveLoop", "Allow")),
    (rules.function_is_as_agreed, put({"Ref": "FleetStateMachine"}, "Resources", "HourlySchedule", "Properties", "Target", "Arn")),
    (rules.function_is_as_agreed, put("{}", "Resources", "DailySchedule", "Properties", "Target", "Input")),
    (rules.function_is_as_agreed, without("Resources", "HourlySchedule", "Properties", "Target", "DeadLetterConfig")),
    (rules.parameters_for_people, without("Parameters", "AlarmEmail", "AllowedPattern")),
    (rules.parameters_for_people, without("Parameters", "LogRetentionDays", "Description")),
    (rules.one_version, put("9.9.9", "Metadata", "AWS::ServerlessRepo::Application", "SemanticVersion")),
]
