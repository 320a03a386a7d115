import json
import shutil
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import botocore.exceptions

from . import costs, emulator
from .rules import FLEET, STATE_MACHINE
from .template import resources, written
from .tools import INFRA, Failure, run, say

# The schedules fire every minute.
PATIENCE = 100
# What the emulator, which speaks plain HTTP, does not let anybody past; the second stack keeps them, and shows it.
TRANSPORT = ("DeliveryDeadLetterQueuePolicy", "ExecutionFailureQueuePolicy")
# There only if somebody asks for it.
ROTATION = ("Rotation", "RotationPermission")


def stage():
    """The stack comes up in an emulator, twice, and its zip does its work there: by hand, by schedule, after an update."""
    say(f"for the emulator, {', '.join(emulator.METRIC_MATH)} go without metric math, the alarm that pages is no composite,")
    say("the schedules fire every minute, and the failure destination is the unqualified function's instead of the alias's")
    with emulator.cloud() as cloud, emulator.tiktok() as (tiktok_url, document):

        def change(template):
            variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
            variables |= {"TIKTOK_API_URL": tiktok_url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": cloud.url}

        def first(template):
            change(template)
            template["Resources"]["HourlySchedule"]["Properties"]["ScheduleExpression"] = "rate(1 minute)"
            # The emulator knows the destinations of the unqualified function alone.
            template["Resources"]["FunctionEventInvokeConfig"]["Properties"]["Qualifier"] = "$LATEST"
            for policy in TRANSPORT:
                del template["Resources"][policy]

        every_minute = {"ScheduleExpression": "rate(1 minute)", "AlarmEmail": "somebody@example.org"}
        stack = cloud.deploy("first", every_minute, first)
        expect(stack.status == "CREATE_COMPLETE", f"the stack is {stack.status}")
        complete(stack, without=(*TRANSPORT, *ROTATION, *FLEET, *STATE_MACHINE))
        expect(not {*FLEET, *STATE_MACHINE} & set(stack.resources), "there is a fleet although nobody asked for it")
        expect(not set(ROTATION) & set(stack.resources), "there is rotation although nobody asked for it")
        unbuilt(cloud)
        two_stacks(cloud, stack, change)
        every_option(cloud, stack, change)
        browser(cloud, document, change)
        refused(cloud, stack, change)
        lifecycle(stack, document)
        updated(cloud, stack, every_minute, first)
        failed_event(cloud, stack)
        scheduled(stack)
        removed(cloud, stack)


def expect(so, otherwise):
    if not so:
        raise Failure(f"In the emulator, {otherwise}")


def complete(stack, without):
    wanted = {name: it["Type"] for name, it in written()["Resources"].items() if name not in without}
    wanted |= {"Function": "AWS::Lambda::Function", "CredentialsAtRiskAlarm": "AWS::CloudWatch::Alarm"}
    for name, kind in wanted.items():
        expect(stack.resources.get(name, ("nothing",))[0] == kind, f"{name} is missing")
    say(f"{len(stack.resources)} resources, {sum(kind == 'AWS::CloudWatch::Alarm' for kind, _ in stack.resources.values())} of them alarms")


def unbuilt(cloud):
    """`sam deploy` without `sam build` uploads nothing."""
    folder = cloud.scratch / "unbuilt"
    folder.mkdir()
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(INFRA / name, folder)
    try:
        run(["sam", "deploy", "--no-confirm-changeset"], "sam deploy failed", cwd=folder, env=cloud.environment())
    except Failure as failure:
        expect("Template file not found" in str(failure), f"without sam build, {failure}")
        say("sam deploy without sam build: refused, nothing is uploaded")
    else:
        raise Failure("sam deploy deploys what sam build has not built.")


def two_stacks(cloud, stack, change):
    second = cloud.deploy("second", {}, change)
    expect(second.status == "CREATE_COMPLETE", f"the second stack is {second.status}")
    shared = {it for _, it in stack.resources.values()} & {it for _, it in second.resources.values()} - {"live"}
    expect(not shared, f"two stacks share {shared}")
    say("a second stack beside it, and nothing shared")
    try:
        cloud.client("sqs").receive_message(QueueUrl=second.outputs["ExecutionFailureQueueUrl"])
    except botocore.exceptions.ClientError as error:
        expect(error.response["Error"]["Code"] == "AccessDenied", f"the queue answers {error}")
        say("its queues refuse plain HTTP, even to the administrator")
    else:
        raise Failure("In the emulator, a queue can be read over plain HTTP.")


def every_option(cloud, stack, change):
    account = stack.outputs["SecretArn"].split(":")[4]
    secret, key = stack.outputs["SecretArn"], f"arn:aws:kms:{emulator.REGION}:{account}:key/12345678-1234-1234-1234-123456789012"
    arn = f"arn:aws:secretsmanager:{emulator.REGION}:{account}:secret:tiktok/"
    options = {
        "ExistingSecretArn": secret,
        "KmsKeyArn": key,
        "PreviousKmsKeyArn": f"{key[:-1]}3",
        "ReaderSecretArns": f"{arn}one-AbCdEf,{arn}two-AbCdEf",
        "ReaderSecretKmsKeyArns": f"{key},{key[:-1]}3",
        "AppSecretArns": f"{arn}app-AbCdEf,{arn}app2-AbCdEf",
        "AppSecretKmsKeyArns": key,
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
        "AlarmTopicArn": stack.outputs["AlarmTopicArn"],
        "NoticeTopicArn": stack.outputs["NoticeTopicArn"],
        "CreateDashboard": "false",
        "SuccessEventBusArn": f"arn:aws:events:{emulator.REGION}:{account}:event-bus/default",
        "PermissionsBoundaryArn": "arn:aws:iam::aws:policy/PowerUserAccess",
    }
    other = cloud.deploy("options", options, change)
    expect(other.status == "CREATE_COMPLETE", f"with every option the stack is {other.status}")
    unwanted = {"CredentialsSecret", "ReaderSecret", "ReaderPolicy", "Dashboard"}
    kept = (unwanted | {"AlarmTopic", "AlarmTopicPolicy", "AlarmSubscription", "NoticeTopic", "NoticeTopicPolicy", "NoticeSubscription"}) & set(other.resources)
    expect(not kept, f"{kept} are there although nobody asked for them")
    expect(other.outputs["SecretArn"] == secret, "another secret than the existing one is used")
    policy = cloud.client("iam").get_role_policy(RoleName=other.physical("FunctionRole"), PolicyName="Secrets")["PolicyDocument"]
    found = [it["Sid"] for it in policy["Statement"]]
    wanted = ["RefreshCredentials", "FillFurtherReaders", "UseKeysOfFurtherReaders", "UseKeyOfCredentials", "ReadWithPreviousKey", "ReadApp", "UseKeyOfApp"]
    expect(found == wanted, f"the policy has {found}")
    lists = {it["Sid"]: it["Resource"] for it in policy["Statement"]}
    expect(lists["FillFurtherReaders"] == options["ReaderSecretArns"].split(","), f"the further readers are {lists}")
    expect(lists["ReadApp"] == options["AppSecretArns"].split(","), f"the app secrets are {lists}")
    function = cloud.client("lambda").get_function_configuration(FunctionName=other.outputs["FunctionAliasArn"])
    variables = {key: function["Environment"]["Variables"].get(key) for key in ("HTTPS_PROXY", "NO_PROXY", "AWS_USE_FIPS_ENDPOINT", "AWS_CA_BUNDLE")}
    wanted = {"HTTPS_PROXY": options["HttpsProxy"], "NO_PROXY": options["NoProxy"], "AWS_USE_FIPS_ENDPOINT": "true", "AWS_CA_BUNDLE": None}
    expect(variables == wanted, f"the environment has {variables}")
    expect(other.physical("FunctionRole") == "corp-options-function", f"the role is {other.physical('FunctionRole')}")
    say(f"a stack with every option: {', '.join(options)}")


def browser(cloud, document, change):
    """Somebody authorizes the app over the page that a Function URL serves."""
    stack = cloud.deploy("authorize", {}, change)
    page = cloud.deploy_page(stack)
    expect(page.status == "CREATE_COMPLETE", f"the page's stack is {page.status}")
    stack.put_secret({"app_id": document["app_id"], "secret": document["secret"]})
    redirect_uri = page.outputs["AuthorizeRedirectUri"]
    kind, answer = stack.invoke({"action": "authorize_url", "redirect_uri": redirect_uri})
    expect(kind is None, f"there is no link: {answer}")
    redirect = consent(answer)
    expect(redirect.startswith(redirect_uri), "TikTok sends the browser elsewhere")
    status, headers, body = get(cloud.url + redirect.removeprefix(redirect_uri.removesuffix("/callback")), host(redirect_uri))
    expect((status, "<h1>TikTok is connected</h1>" in body) == (200, True), f"the page is {status}: {body}")
    expect("frame-ancestors 'none'" in headers["content-security-policy"], "the page has no policy")
    expect(stack.secret()["advertiser_ids"] and stack.secret()["access_token"], "the secret has no token")
    status, _, body = get(f"{cloud.url}/", host(redirect_uri))
    expect((status, "<h1>404 Not Found</h1>" in body) == (404, True), f"another path is answered with {status}: {body}")
    say("a stack with the page: from the link through the consent to the Function URL, and the secret has its tokens")


def consent(answer):
    """Where the stand-in for TikTok's consent page sends a browser that opened the link of an answer, and whose user agreed."""
    link = urlsplit(answer["results"][0]["authorize_url"])
    decision = link._replace(path="/portal/decision", query=f"{link.query}&choice=0&decision=allow")
    _, headers, _ = get(decision.geturl())
    return headers["location"]


def host(url):
    return {"Host": urlsplit(url).netloc}


def get(url, headers=None):
    """Like a browser that follows no redirect."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers or {}), timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers, answer.read().decode()


def refused(cloud, stack, change):
    secret, topic = stack.outputs["SecretArn"], stack.outputs["AlarmTopicArn"]
    for parameters in (
        {"SecretName": "tiktok/ads", "ExistingSecretArn": secret},
        {"AlarmEmail": "somebody@example.org", "AlarmTopicArn": topic, "NoticeTopicArn": topic},
        {"AppSecretKmsKeyArns": "arn:aws:kms:eu-west-1:000000000000:key/1"},
        {"ReaderSecretArns": f"{secret}, {secret}"},
        {"SubnetIds": "subnet-01234567"},
        {"SecurityGroupIds": "sg-01234567"},
        {"HttpsProxy": "http://user:word@proxy.internal:3128"},
        {"ReservedConcurrency": "1"},
        {"ExistingSecretArn": secret[: -len("-123456")]},
        {"LogRetentionDays": "8"},
        {"TimeoutSeconds": "30"},
        {"FleetName": "agency", "SecretName": "tiktok/ads"},
        {"FleetName": "agency", "ExistingSecretArn": secret},
        {"FleetName": "agency", "RotationScheduleExpression": "rate(12 hours)"},
        {"FleetName": "!agency"},
        {"CreateFleetStateMachine": "true"},
        {"TikTokRequestsPerSecond": "0"},
    ):
        try:
            cloud.deploy("refused", parameters, change)
        except Failure as failure:
            expect("ValidationError" in str(failure), f"{parameters} fails otherwise:\n{failure}")
        else:
            raise Failure(f"{list(parameters)} can be combined.")
        say(f"refused: {', '.join(parameters)}")


def lifecycle(stack, document):
    kind, answer = stack.invoke({"action": "refresh"})
    expect(kind == "InvalidSecret" and "'app_id'" in answer["errorMessage"], f"the placeholder leads to {answer}")
    say(f"the placeholder: {kind}: {answer['errorMessage']}")
    stack.put_secret(document | {"publish": json.loads(stack.outputs["PublishField"])})
    logged = len(stack.logs())
    expect(outcome(stack.invoke({"action": "refresh"})) == "refreshed", "the credentials are not refreshed")
    of_a_refresh = published(stack.logs()[logged:])
    logged = len(stack.logs())
    expect(outcome(stack.invoke({"action": "refresh", "if_needed": True})) == "fresh", "the hourly run finds something to do")
    of_every_run = published(stack.logs()[logged:])
    counted = len(of_every_run), len(of_a_refresh - of_every_run)
    reckoned = costs.METRICS_OF_EVERY_RUN, costs.METRICS_OF_A_REFRESH
    expect(counted == reckoned, f"the costs reckon with {reckoned} metrics, and the function writes {counted}: {of_every_run}, {of_a_refresh - of_every_run}")
    new = stack.secret()
    expect(new["access_token"] != document["access_token"] and new["advertiser_ids"], "the secret did not change")
    say("the credentials: refreshed, then fresh")
    reader = stack.secret("ReaderSecretArn")
    copied = ("access_token", "access_token_expires_at", "advertiser_ids")
    expect([reader[key] for key in copied] == [new[key] for key in copied], "the reader secret has other tokens or advertisers")
    expect(new["refresh_token"] not in json.dumps(reader), "the reader secret has the refresh token")
    say(f"the reader secret: {', '.join(reader)}")


def published(lines):
    """The names of the metrics in embedded metric format."""
    documents = [json.loads(line) for line in lines if '"_aws"' in line]
    return {metric["Name"] for it in documents for directive in it["_aws"]["CloudWatchMetrics"] for metric in directive["Metrics"]}


def outcome(invocation):
    kind, answer = invocation
    if kind:
        raise Failure(f"The run failed: {answer}")
    return answer["results"][0].get("outcome")


def updated(cloud, stack, parameters, change):
    before, reader = stack.secret(), stack.secret("ReaderSecretArn")
    again = cloud.deploy(stack.name, parameters | {"TimeoutSeconds": "90"}, change)
    expect(again.status == "UPDATE_COMPLETE", f"the update ends as {again.status}")
    expect((again.secret(), again.secret("ReaderSecretArn")) == (before, reader), "the update changed a secret")
    alias = cloud.client("lambda").get_function_configuration(FunctionName=again.outputs["FunctionAliasArn"])
    expect((alias["Timeout"], alias["Version"] != "1") == (90, True), f"the alias stayed on version {alias['Version']}")
    versions = cloud.client("lambda").list_versions_by_function(FunctionName=again.outputs["FunctionName"])["Versions"]
    expect({"1", alias["Version"]} <= {it["Version"] for it in versions}, "the version to roll back to went with the update")
    say(f"an update of a parameter: version 1 is there to roll back to, the alias is on version {alias['Version']}, and both secrets are as they were")


def failed_event(cloud, stack):
    """An asynchronous event that fails is repeated and ends in the queue, with the reason."""
    good = stack.secret()
    stack.put_secret({"app_id": ""})
    functions, queues = cloud.client("lambda"), cloud.client("sqs")
    functions.invoke(FunctionName=stack.outputs["FunctionName"], InvocationType="Event", Payload=b'{"action":"refresh"}')
    queue, until = stack.outputs["ExecutionFailureQueueUrl"], time.monotonic() + 30
    messages = []
    while not messages and time.monotonic() < until:
        messages = queues.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", [])
    stack.put_secret(good)
    expect(messages, "the failed event did not arrive in the execution failure queue")
    body = json.loads(messages[0]["Body"])
    expect(body["responsePayload"]["errorType"] == "InvalidSecret", f"the message says {body}")
    attempts = body["requestContext"]["approximateInvokeCount"]
    say(f"a failed event: in the execution failure queue after {attempts} attempts, as {body['responsePayload']['errorType']}")


def scheduled(stack):
    """Both schedules reach the function. The emulator does not fill in <aws.scheduler.scheduled-time>, so the function
    refuses the daily event and names the placeholder: that is how it is known to have arrived, unchanged."""
    wanted = {
        "the hourly run": "the access token lives until",
        "the daily refresh": "still the placeholder <aws.scheduler.scheduled-time>",
    }
    known, until = len(stack.logs()), time.monotonic() + PATIENCE
    while wanted and time.monotonic() < until:
        time.sleep(2)
        lines = stack.logs()[known:]
        for name, sign in list(wanted.items()):
            if any(sign in line for line in lines):
                say(f"{name} arrived by schedule")
                del wanted[name]
    expect(not wanted, f"within {PATIENCE} s there was no sign of {', '.join(wanted)}")


def removed(cloud, stack):
    before, formation = stack.secret(), cloud.client("cloudformation")
    formation.delete_stack(StackName=stack.name)
    formation.get_waiter("stack_delete_complete").wait(StackName=stack.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    expect(stack.secret() == before, "the secret went with the stack")
    try:
        stack.secret("ReaderSecretArn")
    except botocore.exceptions.ClientError as error:
        expect(error.response["Error"]["Code"] == "ResourceNotFoundException", f"the reader secret answers {error}")
    else:
        raise Failure("In the emulator, the reader secret outlives the stack.")
    say("the stack removed: the credentials are still there, the copy for readers is not")
