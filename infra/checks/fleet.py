"""A fleet in the emulator: the state machine with a function that only writes down what it is asked, and what a tag grants."""

import json
import sys
import time
from datetime import datetime, timedelta, timezone

import botocore.exceptions

from . import emulator
from .deploy import consent, expect
from .permissions import Role
from .rules import STATE_BYTES
from .tools import say

NAME = "agency"
TAG, READER_TAG = "tiktok-token-refresh", "tiktok-token-reader"
# Secrets Manager's greatest lengths of a name and a description; and twenty tags of the greatest length, which is more than
# most organizations ask for.
LONGEST_NAME, LONGEST_DESCRIPTION, LONG_TAGS = 512, 2048, 20
BATCH = 100

# A function that fails as the names of the secrets say: "…/PartialFailure/1/" makes the first invocation with that secret
# end as PartialFailure. It keeps what it is asked, and when.
RECORDER = '''#!{python}
import json, os, re, time, urllib.request

api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
kept = os.environ["RECORD"]

def earlier():
    return [json.loads(line) for line in open(kept)] if os.path.exists(kept) else []

while True:
    with urllib.request.urlopen(api + "next") as answer:
        request, event = answer.headers["Lambda-Runtime-Aws-Request-Id"], json.load(answer)
    began, error = time.time(), None
    for secret in event["secret_ids"]:
        asked = re.search("/([A-Za-z]+)/([0-9]+)/", secret)
        if asked and sum(secret in it["event"]["secret_ids"] for it in earlier()) < int(asked[2]):
            error = asked[1]
    time.sleep(0.02)
    with open(kept, "a") as file:
        print(json.dumps({{"event": event, "error": error, "began": began, "ended": time.time()}}), file=file)
    body = {{"errorType": error, "errorMessage": "As asked."}} if error else {{"results": []}}
    end = urllib.request.Request(api + request + ("/error" if error else "/response"), json.dumps(body).encode())
    urllib.request.urlopen(end).close()
'''


def stage():
    """The state machine asks for a whole fleet, batch by batch, and in the end tells the truth; a tag grants what it should."""
    with emulator.cloud() as cloud, emulator.tiktok() as (tiktok_url, document):
        function(cloud, tiktok_url, document)
        fleet = Fleet(cloud)
        without_secrets(fleet)
        fleet.create()
        whole(fleet)
        by_hand(fleet)
        hourly(fleet)
        some_fail(fleet)
        granted(cloud, fleet.stack)


class Fleet:
    def __init__(self, cloud):
        self.cloud, self.secrets = cloud, cloud.client("secretsmanager")
        self.kept = cloud.scratch / "record.jsonl"
        code = cloud.scratch / "recorder"
        code.mkdir()
        (code / "bootstrap").write_text(RECORDER.format(python=sys.executable))
        (code / "bootstrap").chmod(0o755)

        def change(template):
            properties = template["Resources"]["Function"]["Properties"]
            properties["CodeUri"] = str(code)
            properties["Environment"]["Variables"]["RECORD"] = str(self.kept)

        parameters = {"FleetName": NAME, "CreateFleetStateMachine": "true", "TimeoutSeconds": "900"}
        self.stack = cloud.deploy("fleet", parameters, change)
        expect(self.stack.status == "CREATE_COMPLETE", f"with a fleet the stack is {self.stack.status}")
        self.members = set()

    def create(self):
        """More than the state machine gathers at once, with the longest of everything, and neighbors that are none of it."""
        long_tags = {f"{number:03}".ljust(128, "k"): "v" * 256 for number in range(LONG_TAGS)}
        for number in range(430):
            self.members.add(self.add(f"client/{number:04}/", {TAG: NAME} | long_tags))
        strangers = {
            "another fleet's": {TAG: "agency2"},
            "a fleet's of another spelling": {TAG: "Agency"},
            "one whose fleet's name belongs to another key": {TAG: "other", "owner": NAME},
            "a reader secret": {READER_TAG: NAME},
            "one with a longer key": {f"{TAG}-later": NAME},
            "one without tags": {},
        }
        for number, tags in enumerate(strangers.values()):
            self.add(f"client/0200/{number}/", tags)
        say(f"{len(self.members)} secrets with the longest names; not of the fleet: {', '.join(strangers)}")

    def add(self, prefix, tags):
        return self.secrets.create_secret(
            Name=prefix.ljust(LONGEST_NAME, "n"),
            Description="d" * LONGEST_DESCRIPTION,
            SecretString="{}",
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )["ARN"]

    def run(self, event):
        """An execution's end, and what the function was asked in its course."""
        known = len(self.record())
        return execute(self.stack, event), self.record()[known:]

    def record(self):
        return [json.loads(line) for line in self.kept.read_text().splitlines()] if self.kept.exists() else []


def execute(stack, event):
    """How an execution of a stack's state machine ends, its batches that failed, and the size of what it had to hold."""
    states = stack.cloud.client("stepfunctions")
    started = states.start_execution(stateMachineArn=stack.outputs["FleetStateMachineArn"], input=json.dumps(event))
    arn, until = started["executionArn"], time.monotonic() + 120
    while (end := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        expect(time.monotonic() < until, "the execution does not end")
        time.sleep(0.2)
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
    end["largest"] = max(len(text) for page in pages for event in page["events"] for text in texts(event))
    batches = [
        states.describe_execution(executionArn=batch["executionArn"])
        for run in states.list_map_runs(executionArn=arn)["mapRuns"]
        for batch in states.list_executions(mapRunArn=run["mapRunArn"], statusFilter="FAILED")["executions"]
    ]
    end["failed"] = {batch["error"]: batch["cause"] for batch in batches}
    return end


def execute_later(stack):
    """An execution by hand, whose slot is its start. What was refreshed in the same second would count as done: a secret's times
    have whole seconds."""
    time.sleep(1)
    return execute(stack, {})


def texts(event):
    """Every input and output in an event of an execution's history."""
    details = (it for key, it in event.items() if key.endswith("EventDetails"))
    return [text for it in details for key, text in it.items() if key in ("input", "output")]


def without_secrets(fleet):
    outputs, resources = fleet.stack.outputs, fleet.stack.resources
    for name in ("CredentialsSecret", "ReaderSecret", "ReaderPolicy", "Rotation"):
        expect(name not in resources, f"a stack for a fleet has a {name}")
    expect("SecretArn" not in outputs and NAME in outputs["TagCommand"], f"the outputs are {outputs}")
    schedules = fleet.cloud.client("scheduler")
    group = resources["ScheduleGroup"][1]
    targets = {
        name: schedules.get_schedule(GroupName=group, Name=resources[name][1].rpartition("/")[2])["Target"]["Arn"]
        for name in ("DailySchedule", "HourlySchedule")
    }
    wanted = dict.fromkeys(("DailySchedule", "HourlySchedule"), outputs["FleetStateMachineArn"])
    expect(targets == wanted, f"the schedules start {targets}")
    end, asked = fleet.run({"scheduled_time": "2026-11-22T03:00:00Z"})
    expect((end["status"], asked) == ("SUCCEEDED", []), f"without a secret, {end['status']} after {asked}")
    say("a stack for a fleet has no secret of its own; both schedules start the state machine, which finds nothing: SUCCEEDED")


def whole(fleet):
    slot = "2026-11-22T03:00:00Z"
    end, asked = fleet.run({"action": "refresh", "scheduled_time": slot})
    expect(end["status"] == "SUCCEEDED", f"the execution ends as {end}")
    events = [it["event"] for it in asked]
    for event in events:
        said = {key: value for key, value in event.items() if key != "secret_ids"}
        expect(said == {"action": "refresh", "scheduled_time": slot}, f"a batch says {said}")
    ids = [secret for event in events for secret in event["secret_ids"]]
    expect(len(ids) == len(set(ids)) and set(ids) == fleet.members, "the batches are not the fleet, each secret once")
    sizes = [len(event["secret_ids"]) for event in events]
    # Four hundred fill a round, and the page that fills it is taken whole; what is left is the next round's.
    expect(len(sizes) == 6 and sizes[:4] == [BATCH] * 4, f"the batches have {sizes} secrets")
    expect(json.loads(end["output"]) == {"batches": len(events)}, f"the output is {end['output']}")
    ordered = sorted(asked, key=lambda it: it["began"])
    expect(
        all(one["ended"] <= next_["began"] for one, next_ in zip(ordered, ordered[1:])), "two batches were worked on at a time"
    )
    expect(200_000 < end["largest"] <= STATE_BYTES, f"the largest state has {end['largest']} bytes")
    say(f"the whole fleet: batches of {sizes}, one after the other, every secret once; the largest state has {end['largest']} bytes")


def by_hand(fleet):
    """Without a slot, that of the start is every batch's: what is repeated must not begin anew."""
    end, asked = fleet.run({})
    slots = {it["event"]["scheduled_time"] for it in asked}
    expect(end["status"] == "SUCCEEDED" and len(slots) == 1, f"started by hand: {end['status']} with {slots}")
    began = datetime.fromisoformat(slots.pop().replace("Z", "+00:00"))
    expect(abs(began - end["startDate"]) < timedelta(seconds=2), f"the slot is {began}, the start was at {end['startDate']}")
    say("started by hand, without a slot: the start is every batch's")


def hourly(fleet):
    """The hourly run asks for what is needed, batch by batch, and ends at once while another execution is at work."""
    event = {"action": "refresh", "if_needed": True}
    end, asked = fleet.run(event)
    said = {json.dumps({key: value for key, value in it["event"].items() if key != "secret_ids"}) for it in asked}
    expect((end["status"], said) == ("SUCCEEDED", {json.dumps(event)}), f"the hourly run: {end['status']} after {said}")
    expect({secret for it in asked for secret in it["event"]["secret_ids"]} == fleet.members, "the hourly run left secrets out")
    states, machine = fleet.cloud.client("stepfunctions"), fleet.stack.outputs["FleetStateMachineArn"]
    states.start_execution(stateMachineArn=machine, input="{}")
    known = len(fleet.record())
    end = execute(fleet.stack, event)
    waited = time.monotonic() + 120
    while states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"] and time.monotonic() < waited:
        time.sleep(0.2)
    mine = [it for it in fleet.record()[known:] if it["event"].get("if_needed")]
    expect((end["status"], mine) == ("SUCCEEDED", []), f"beside another execution the hourly run: {end['status']} after {mine}")
    say("the hourly run: every secret, each told if_needed; beside another execution it ends at once")


def some_fail(fleet):
    """One fails for good, one for a reason that heals not, one once: each in a batch of its own, and one of them in the first."""
    failing = {}
    for prefix in ("client/0000/PartialFailure/9/", "client/0150/TikTokThrottled/1/", "client/0250/ReauthorizationRequired/9/"):
        failing[prefix.split("/")[2]] = arn = fleet.add(prefix, {TAG: NAME})
        fleet.members.add(arn)
    end, asked = fleet.run({"scheduled_time": "2026-11-23T03:00:00Z"})
    expect((end["status"], end.get("error")) == ("FAILED", "BatchesFailed"), f"with failing batches the execution ends as {end}")
    batches = {json.dumps(it["event"]["secret_ids"]) for it in asked}
    expect(end["cause"].startswith(f"2 of {len(batches)} batches failed"), f"the cause is {end['cause']}")
    expect({secret for it in asked for secret in it["event"]["secret_ids"]} == fleet.members, "a batch was left out")
    times = {kind: sum(arn in it["event"]["secret_ids"] for it in asked) for kind, arn in failing.items()}
    expect(times == {"PartialFailure": 2, "TikTokThrottled": 2, "ReauthorizationRequired": 1}, f"attempts: {times}")
    say(f"failing batches: {end['error']}: {end['cause']}")
    expect(set(end["failed"]) == {"PartialFailure", "ReauthorizationRequired"}, f"the batches that failed are {end['failed']}")
    say(f"attempts: {times}, and every other batch once; the Map Runs have both errors")
    for arn in failing.values():
        fleet.secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def function(cloud, tiktok_url, document):
    """The function itself, with the permissions of the template: authorized secret by secret, refreshed as a fleet."""

    def change(template):
        variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
        variables |= {"TIKTOK_API_URL": tiktok_url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": cloud.url}

    secrets = cloud.client("secretsmanager")
    app = secrets.create_secret(Name="app", SecretString=json.dumps({key: document[key] for key in ("app_id", "secret")}))["ARN"]
    parameters = {"FleetName": "clients", "CreateFleetStateMachine": "true", "AppSecretArns": app}
    stack = cloud.deploy("clients", parameters, change)
    reader_tags = [{"Key": READER_TAG, "Value": "clients"}]
    reader = secrets.create_secret(Name="reader", SecretString="{}", Tags=reader_tags)["ARN"]
    body = {"app_secret_id": app, "publish": [{"secret_id": reader, "format": "reader"}]}
    members = [member(stack, name, it) for name, it in (("one", body), ("two", {"app_secret_id": app}), ("three", {"app_secret_id": app}))]

    def tokens():
        return [read(secrets, arn)["access_token"] for arn in members]

    authorized = tokens()
    end = execute_later(stack)
    refreshed = tokens()
    expect(end["status"] == "SUCCEEDED", f"the execution ends as {end}")
    expect(not set(authorized) & set(refreshed), "a secret of the fleet has its old token")
    expect(read(secrets, reader)["access_token"] == refreshed[0], "the reader secret has another token")
    say("three secrets, authorized one by one: refreshed by the state machine, and the reader secret filled")
    slot = end["startDate"].astimezone(timezone.utc).isoformat()
    end = execute(stack, {"scheduled_time": slot})
    expect((end["status"], tokens()) == ("SUCCEEDED", refreshed), f"what was done is done again: {end}")
    say("the same slot again: nothing is redeemed")

    secrets.put_secret_value(SecretId=members[1], SecretString="{}")
    end = execute_later(stack)
    expect((end["status"], end.get("error")) == ("FAILED", "BatchesFailed"), f"with a secret broken the execution ends as {end}")
    expect(list(end["failed"]) == ["PartialFailure"] and members[1] in end["failed"]["PartialFailure"], f"it failed by {end['failed']}")
    newer = [read(secrets, arn)["access_token"] for arn in (members[0], members[2])]
    expect(not set(newer) & set(refreshed), "one broken secret keeps the others from being refreshed")
    kind, answer = stack.invoke({"action": "refresh", "if_needed": True})
    expect(kind and members[1] in answer["errorMessage"], f"the hourly run of the fleet ends with {answer}")
    say(f"one of them broken: {end['error']}, its batch {', '.join(end['failed'])}, the others refreshed; the hourly run: {kind}")

    secrets.untag_resource(SecretId=members[1], TagKeys=[TAG])
    kind, answer = stack.invoke({"action": "refresh", "if_needed": True})
    expect(kind is None, f"without the broken one the hourly run ends with {answer}")
    kind, answer = stack.invoke({"action": "status", "secret_ids": [members[1]]})
    expect(kind == "AccessDenied", f"a secret without the tag is answered with {answer}")
    role = Role(cloud.client("iam"), stack.physical("FunctionRole"))
    with role.without("secretsmanager:ListSecrets", "*"):
        kind, answer = stack.invoke({"action": "refresh", "if_needed": True})
    named = "secretsmanager:ListSecrets" in answer.get("errorMessage", "")
    expect(kind == "AccessDenied" and named, f"without ListSecrets the hourly run ends with {answer}")
    say("without its tag it is none of the fleet's, and refused if it is asked for; without ListSecrets there is no fleet")


def member(stack, name, body):
    """A secret of the fleet, authorized as its client does it."""
    secrets, redirect_uri = stack.cloud.client("secretsmanager"), "https://agency.example/callback"
    tags = [{"Key": TAG, "Value": "clients"}]
    arn = secrets.create_secret(Name=name, SecretString=json.dumps(body), Tags=tags)["ARN"]
    kind, answer = stack.invoke({"action": "authorize_url", "secret_id": arn, "redirect_uri": redirect_uri})
    expect(kind is None, f"there is no link for {name}: {answer}")
    kind, answer = stack.invoke({"action": "exchange", "redirect_url": consent(answer)})
    expect(kind is None, f"{name} is not authorized: {answer}")
    return arn


def read(secrets, arn):
    return json.loads(secrets.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"])


def granted(cloud, stack):
    """What the function's policy grants, asked by a role that has it and nothing else."""
    secrets, iam = cloud.client("secretsmanager"), cloud.client("iam")
    role = stack.physical("FunctionRole")
    policy = iam.get_role_policy(RoleName=role, PolicyName="Secrets")["PolicyDocument"]
    client = emulator.role_with(cloud, "twin", policy)

    def secret(name, tags):
        tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        return secrets.create_secret(Name=f"granted/{name}", SecretString="{}", Tags=tags)["ARN"]

    version = {"SecretString": "{}", "VersionStages": ["ANY"]}
    actions = {
        "DescribeSecret": lambda arn: client.describe_secret(SecretId=arn),
        "GetSecretValue": lambda arn: client.get_secret_value(SecretId=arn),
        "ListSecretVersionIds": lambda arn: client.list_secret_version_ids(SecretId=arn),
        "PutSecretValue": lambda arn: client.put_secret_value(SecretId=arn, **version),
        "UpdateSecretVersionStage": lambda arn: client.update_secret_version_stage(
            SecretId=arn, VersionStage="ANY", RemoveFromVersionId=holder(secrets, arn)
        ),
        "DeleteSecret": lambda arn: client.delete_secret(SecretId=arn),
        "TagResource": lambda arn: client.tag_resource(SecretId=arn, Tags=[{"Key": TAG, "Value": NAME}]),
    }
    everything = {"DescribeSecret", "GetSecretValue", "ListSecretVersionIds", "PutSecretValue", "UpdateSecretVersionStage"}
    for name, tags, wanted in (
        ("member", {TAG: NAME}, everything),
        ("reader", {READER_TAG: NAME}, everything - {"DescribeSecret", "ListSecretVersionIds"}),
        ("another-fleet", {TAG: "agency2"}, set()),
        ("another-spelling", {TAG: "Agency"}, set()),
        ("another-key", {"owner": NAME}, set()),
        ("untagged", {}, set()),
    ):
        arn = secret(name, tags)
        secrets.put_secret_value(SecretId=arn, **version)
        allowed = {action for action, act in actions.items() if may(act, arn)}
        expect(allowed == wanted, f"on a secret with {tags} the function may {sorted(allowed)}")
        say(f"on a secret with {tags or 'no tags'}: {', '.join(sorted(allowed)) or 'nothing'}")
    member, stranger = (f"granted/{name}" for name in ("member", "another-fleet"))
    read = client.batch_get_secret_value(SecretIdList=[member, stranger])
    found = ([it["Name"] for it in read["SecretValues"]], [it["ErrorCode"] for it in read["Errors"]])
    expect(found == ([member], ["AccessDeniedException"]), f"a batch of both is answered with {found}")
    expect(client.list_secrets(MaxResults=1)["SecretList"], "the function cannot list secrets")
    say("a batch reads the member alone, and the list is allowed")


def may(act, arn):
    try:
        act(arn)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True


def holder(secrets, arn):
    versions = secrets.describe_secret(SecretId=arn)["VersionIdsToStages"]
    return next(version for version, labels in versions.items() if "ANY" in labels)
