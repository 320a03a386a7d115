"""Stacks with other parameters than the defaults, beside each other, and removed."""

import http.client
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from emulator import REGION
from support import PATIENCE, consent

KEY = f"arn:aws:kms:{REGION}:000000000000:key/12345678-1234-1234-1234-12345678901"
SECRET = f"arn:aws:secretsmanager:{REGION}:000000000000:secret:tiktok/"
TOPIC = f"arn:aws:sns:{REGION}:000000000000:any"


@pytest.fixture(scope="module")
def plain(deploy):
    return deploy("plain")


def test_two_stacks_share_nothing(deploy, plain):
    second = deploy("second")
    assert (plain.status, second.status) == ("CREATE_COMPLETE", "CREATE_COMPLETE")
    shared = {it for _, it in plain.resources.values()} & {it for _, it in second.resources.values()}
    assert shared <= {"live"}


def test_a_queue_rejects_plain_http_even_of_the_administrator(cloud, plain):
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client("sqs").receive_message(QueueUrl=plain.outputs["ExecutionFailureQueueUrl"])


def test_the_placeholder_is_named_until_credentials_are_put(plain):
    error, answer = plain.invoke({"action": "refresh"})
    assert error == "InvalidSecret" and "'app_id'" in answer["errorMessage"]


def test_every_option_is_deployed_as_asked(cloud, deploy, plain):
    options = {
        "ExistingSecretArn": plain.outputs["SecretArn"],
        "KmsKeyArn": f"{KEY}2",
        "PreviousKmsKeyArn": f"{KEY}3",
        "ReaderSecretArns": f"{SECRET}one-AbCdEf,{SECRET}two-AbCdEf",
        "ReaderSecretKmsKeyArns": f"{KEY}2,{KEY}3",
        "AppSecretArns": f"{SECRET}app-AbCdEf,{SECRET}app2-AbCdEf",
        "AppSecretKmsKeyArns": f"{KEY}2",
        "SubnetIds": "subnet-01234567,subnet-89abcdef",
        "SecurityGroupIds": "sg-01234567",
        "HttpsProxy": "http://proxy.internal:3128",
        "NoProxy": ".amazonaws.com,127.0.0.1",
        "UseFipsEndpoint": "true",
        "RolePath": "/service/",
        "RoleNamePrefix": "corp-",
        "ReservedConcurrency": "5",
        "LogRetentionDays": "3653",
        "CreateReaderSecret": "false",
        "AdvertiserInfo": "true",
        "AlarmTopicArn": plain.outputs["AlarmTopicArn"],
        "NoticeTopicArn": plain.outputs["NoticeTopicArn"],
        "CreateDashboard": "false",
        "SuccessEventBusArn": f"arn:aws:events:{REGION}:000000000000:event-bus/default",
        "PermissionsBoundaryArn": "arn:aws:iam::aws:policy/PowerUserAccess",
    }
    stack = deploy("options", options)
    assert stack.status == "CREATE_COMPLETE"
    unwanted = {"CredentialsSecret", "ReaderSecret", "ReaderPolicy", "Dashboard"}
    unwanted |= {f"{topic}{it}" for topic in ("Alarm", "Notice") for it in ("Topic", "TopicPolicy", "Subscription")}
    assert not unwanted & set(stack.resources)
    assert stack.outputs["SecretArn"] == options["ExistingSecretArn"]
    assert stack.physical("FunctionRole") == "corp-options-function"
    policy = cloud.client("iam").get_role_policy(RoleName="corp-options-function", PolicyName="Secrets")["PolicyDocument"]
    granted = {it["Sid"]: it["Resource"] for it in policy["Statement"]}
    assert list(granted) == [
        "RefreshCredentials", "FillFurtherReaders", "UseKeysOfFurtherReaders", "UseKeyOfCredentials", "ReadWithPreviousKey",
        "ReadApp", "UseKeyOfApp",
    ]  # fmt: skip
    assert granted["FillFurtherReaders"] == options["ReaderSecretArns"].split(",")
    assert granted["ReadApp"] == options["AppSecretArns"].split(",")
    function = cloud.client("lambda").get_function_configuration(FunctionName=stack.outputs["FunctionAliasArn"])
    variables = function["Environment"]["Variables"]
    assert [variables.get(it) for it in ("HTTPS_PROXY", "NO_PROXY", "AWS_USE_FIPS_ENDPOINT", "AWS_CA_BUNDLE")] == [
        options["HttpsProxy"], options["NoProxy"], "true", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "parameters",
    [
        {"SecretName": "tiktok/ads", "ExistingSecretArn": f"{SECRET}ads-AbCdEf"},
        {"AlarmEmail": "somebody@example.org", "AlarmTopicArn": TOPIC, "NoticeTopicArn": TOPIC},
        {"AppSecretKmsKeyArns": "arn:aws:kms:eu-west-1:000000000000:key/1"},
        {"ReaderSecretArns": f"{SECRET}one-AbCdEf, {SECRET}one-AbCdEf"},
        {"SubnetIds": "subnet-01234567"},
        {"SecurityGroupIds": "sg-01234567"},
        {"HttpsProxy": "http://user:word@proxy.internal:3128"},
        {"ReservedConcurrency": "1"},
        {"ExistingSecretArn": f"{SECRET}ads"},
        {"LogRetentionDays": "8"},
        {"TimeoutSeconds": "30"},
        {"FleetName": "agency", "SecretName": "tiktok/ads"},
        {"FleetName": "agency", "ExistingSecretArn": f"{SECRET}ads-AbCdEf"},
        {"FleetName": "agency", "RotationScheduleExpression": "rate(12 hours)"},
        {"FleetName": "!agency"},
        {"CreateFleetStateMachine": "true"},
        {"TikTokRequestsPerSecond": "0"},
    ],
    ids=lambda it: "-".join(it),
)
def test_nobody_can_ask_for(parameters, deploy):
    with pytest.raises(ClientError, match=f"ValidationError.*({'|'.join(parameters)})"):
        deploy("-".join(parameters), parameters)


def test_somebody_authorizes_the_app_over_the_page(cloud, deploy, tiktok):
    stack = deploy("authorize")
    page = cloud.deploy_page(stack)
    assert page.status == "CREATE_COMPLETE"
    stack.put_secret({key: tiktok.document[key] for key in ("app_id", "secret")})
    redirect_uri = page.outputs["AuthorizeRedirectUri"]
    error, answer = stack.invoke({"action": "authorize_url", "redirect_uri": redirect_uri})
    assert error is None, answer
    redirect = consent(answer["results"][0]["authorize_url"])
    assert redirect.startswith(redirect_uri)
    status, headers, body = browse(cloud, redirect)
    assert status == 200 and "<h1>TikTok is connected</h1>" in body
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert stack.secret()["advertiser_ids"] and stack.secret()["access_token"]
    status, _, body = browse(cloud, redirect_uri.removesuffix("callback"))
    assert status == 404 and "<h1>404 Not Found</h1>" in body


def browse(cloud, url):
    """Requests a Function URL as a browser does: it is the emulator itself, under another name."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(urlsplit(cloud.url).netloc, timeout=PATIENCE)
    connection.request("GET", f"{address.path}?{address.query}", headers={"Host": address.netloc})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


def test_the_credentials_outlive_the_stack_and_the_readers_copy_does_not(cloud, deploy):
    stack = deploy("removed")
    before, formation = stack.secret(), cloud.client("cloudformation")
    formation.delete_stack(StackName=stack.name)
    formation.get_waiter("stack_delete_complete").wait(StackName=stack.name, WaiterConfig={"Delay": 0.3, "MaxAttempts": 200})
    assert stack.secret() == before
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        stack.secret("ReaderSecretArn")
