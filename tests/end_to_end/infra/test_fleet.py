"""The state machine asks for a whole fleet, batch by batch, and in the end tells the truth.

It runs over a function that only writes down what it is asked (recorder.py), and over the longest of everything.
"""

import json
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import emulator
import pytest
from checks.rules import STATE_BYTES
from emulator import may
from executions import PATIENCE, execute
from support import until

NAME = "agency"
TAG, READER_TAG = "tiktok-token-refresh", "tiktok-token-reader"
# Secrets Manager's greatest lengths of a name and a description; and twenty tags of the greatest length, which is more than
# most organizations ask for.
LONGEST_NAME, LONGEST_DESCRIPTION, LONG_TAGS = 512, 2048, 20
BATCH = 100
# More than the state machine gathers at once.
MEMBERS = 430
# What is not of the fleet, by its tags.
STRANGERS = [{TAG: "agency2"}, {TAG: "Agency"}, {TAG: "other", "owner": NAME}, {READER_TAG: NAME}, {f"{TAG}-later": NAME}, {}]


class Fleet:
    def __init__(self, cloud, stack, record):
        self.cloud, self.stack, self.record_file = cloud, stack, record
        self.secrets, self.members = cloud.client("secretsmanager"), set()

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
        return [json.loads(line) for line in self.record_file.read_text().splitlines()] if self.record_file.exists() else []


@pytest.fixture(scope="module")
def deploy_recorder(cloud):
    archive = cloud.scratch / "recorder.zip"
    program = (Path(__file__).parent / "recorder.py").read_text().replace("/usr/bin/env python3", sys.executable, 1)
    with zipfile.ZipFile(archive, "w") as file:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        file.writestr(entry, program)
    code = cloud.upload(archive)

    def deploy(fleet):
        record = cloud.scratch / f"{fleet}.jsonl"

        def change(template):
            template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]["RECORD"] = str(record)

        parameters = {"FleetName": fleet, "CreateFleetStateMachine": "true", "TimeoutSeconds": "900"}
        return Fleet(cloud, cloud.deploy(fleet, parameters, code=code, change=change), record)

    return deploy


@pytest.fixture(scope="module")
def fleet(deploy_recorder):
    """Its secrets have the longest of everything, and neighbors that are none of it."""
    fleet = deploy_recorder(NAME)
    tags = {TAG: NAME} | {f"{number:03}".ljust(128, "k"): "v" * 256 for number in range(LONG_TAGS)}
    fleet.members |= {fleet.add(f"client/{number:04}/", tags) for number in range(MEMBERS)}
    for number, other in enumerate(STRANGERS):
        fleet.add(f"client/0200/{number}/", other)
    return fleet


@pytest.fixture
def failing(fleet):
    """One fails for good, one for a reason that heals not, one once: each in a batch of its own, and one of them in the first."""
    names = ("client/0000/PartialFailure/9/", "client/0150/TikTokThrottled/1/", "client/0250/ReauthorizationRequired/9/")
    arns = {name.split("/")[2]: fleet.add(name, {TAG: NAME}) for name in names}
    fleet.members |= set(arns.values())
    yield arns
    fleet.members -= set(arns.values())
    for arn in arns.values():
        fleet.secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def secrets_of(asked):
    return [secret for it in asked for secret in it["event"]["secret_ids"]]


def orders(asked):
    """The fields of the events besides their secrets."""
    return [{key: value for key, value in it["event"].items() if key != "secret_ids"} for it in asked]


def test_a_stack_for_a_fleet_has_no_secret_and_finds_none(deploy_recorder):
    empty = deploy_recorder("empty")
    stack = empty.stack
    assert stack.status == "CREATE_COMPLETE"
    assert not {"CredentialsSecret", "ReaderSecret", "ReaderPolicy", "Rotation"} & set(stack.resources)
    assert "SecretArn" not in stack.outputs and "empty" in stack.outputs["TagCommand"]
    end, asked = empty.run({"scheduled_time": "2026-11-22T03:00:00Z"})
    assert (end["status"], asked) == ("SUCCEEDED", [])


@pytest.mark.parametrize("schedule", ["DailySchedule", "HourlySchedule"])
def test_the_state_machine_is_started_by(schedule, cloud, fleet):
    names = {"GroupName": fleet.stack.physical("ScheduleGroup"), "Name": fleet.stack.physical(schedule).rpartition("/")[2]}
    target = cloud.client("scheduler").get_schedule(**names)["Target"]["Arn"]
    assert target == fleet.stack.outputs["FleetStateMachineArn"]


def test_every_secret_of_the_fleet_is_asked_for_once_batch_after_batch(fleet):
    order = {"action": "refresh", "scheduled_time": "2026-11-22T03:00:00Z"}
    end, asked = fleet.run(order)
    assert end["status"] == "SUCCEEDED", end
    assert orders(asked) == [order] * len(asked)
    assert sorted(secrets_of(asked)) == sorted(fleet.members)
    sizes = [len(it["event"]["secret_ids"]) for it in asked]
    # Four hundred fill a round, and the page that fills it is taken whole; what is left is the next round's.
    assert len(sizes) == 6 and sizes[:4] == [BATCH] * 4
    assert json.loads(end["output"]) == {"batches": len(asked)}
    ordered = sorted(asked, key=lambda it: it["began"])
    assert all(one["ended"] <= following["began"] for one, following in zip(ordered, ordered[1:]))
    assert 200_000 < end["largest"] <= STATE_BYTES


def test_an_execution_by_hand_has_its_start_for_every_batchs_slot(fleet):
    """A repeated batch does not begin anew."""
    end, asked = fleet.run({})
    assert end["status"] == "SUCCEEDED", end
    (slot,) = {it["event"]["scheduled_time"] for it in asked}
    assert abs(datetime.fromisoformat(slot.replace("Z", "+00:00")) - end["startDate"]) < timedelta(seconds=2)


def test_the_hourly_run_asks_for_what_is_needed(fleet):
    order = {"action": "refresh", "if_needed": True}
    end, asked = fleet.run(order)
    assert end["status"] == "SUCCEEDED", end
    assert orders(asked) == [order] * len(asked)
    assert set(secrets_of(asked)) == fleet.members


def test_the_hourly_run_ends_at_once_while_another_execution_is_at_work(cloud, fleet):
    states, machine = cloud.client("stepfunctions"), fleet.stack.outputs["FleetStateMachineArn"]
    known = len(fleet.record())
    states.start_execution(stateMachineArn=machine, input="{}")
    end = execute(fleet.stack, {"action": "refresh", "if_needed": True})
    until(lambda: not states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"], "its end", PATIENCE)
    asked = fleet.record()[known:]
    assert end["status"] == "SUCCEEDED", end
    assert asked and not [it for it in asked if it["event"].get("if_needed")]


def test_a_batch_that_fails_stops_no_other_is_repeated_if_it_may_heal_and_fails_the_execution(fleet, failing):
    end, asked = fleet.run({"scheduled_time": "2026-11-23T03:00:00Z"})
    assert (end["status"], end.get("error")) == ("FAILED", "BatchesFailed"), end
    batches = {json.dumps(it["event"]["secret_ids"]) for it in asked}
    assert end["cause"].startswith(f"2 of {len(batches)} batches failed")
    assert set(secrets_of(asked)) == fleet.members
    times = {kind: secrets_of(asked).count(arn) for kind, arn in failing.items()}
    assert times == {"PartialFailure": 2, "TikTokThrottled": 2, "ReauthorizationRequired": 1}
    assert set(end["failed"]) == {"PartialFailure", "ReauthorizationRequired"}


# What the function's policy grants on a secret with these tags, asked by a role that has it and nothing else.

EVERYTHING = {"DescribeSecret", "GetSecretValue", "ListSecretVersionIds", "PutSecretValue", "UpdateSecretVersionStage"}
VERSION = {"SecretString": "{}", "VersionStages": ["ANY"]}


@pytest.fixture(scope="module")
def twin(cloud, fleet):
    role = fleet.stack.physical("FunctionRole")
    policy = cloud.client("iam").get_role_policy(RoleName=role, PolicyName="Secrets")["PolicyDocument"]
    return emulator.role_with(cloud, "twin", policy)


@pytest.fixture
def tagged(fleet):
    """Creates secrets by their tags, which are gone after the test."""
    created = []

    def create(name, tags):
        tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        arn = fleet.secrets.create_secret(Name=f"granted/{name}", SecretString="{}", Tags=tags)["ARN"]
        created.append(arn)
        return arn

    yield create
    for arn in created:
        fleet.secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


@pytest.mark.parametrize(
    ("tags", "granted"),
    [
        ({TAG: NAME}, EVERYTHING),
        ({READER_TAG: NAME}, EVERYTHING - {"DescribeSecret", "ListSecretVersionIds"}),
        ({TAG: "agency2"}, set()),
        ({TAG: "Agency"}, set()),
        ({"owner": NAME}, set()),
        ({}, set()),
    ],
    ids=["a-member", "a-reader-secret", "another-fleet's", "another-spelling", "another-key", "no-tags"],
)
def test_the_function_may_do_what_a_secrets_tags_say(tags, granted, fleet, twin, tagged):
    arn = tagged("one", tags)
    fleet.secrets.put_secret_value(SecretId=arn, **VERSION)
    versions = fleet.secrets.describe_secret(SecretId=arn)["VersionIdsToStages"]
    (labeled,) = (version for version, labels in versions.items() if "ANY" in labels)
    calls = {
        "DescribeSecret": (twin.describe_secret, {}),
        "GetSecretValue": (twin.get_secret_value, {}),
        "ListSecretVersionIds": (twin.list_secret_version_ids, {}),
        "UpdateSecretVersionStage": (twin.update_secret_version_stage, {"VersionStage": "ANY", "RemoveFromVersionId": labeled}),
        "PutSecretValue": (twin.put_secret_value, VERSION),
        "TagResource": (twin.tag_resource, {"Tags": [{"Key": TAG, "Value": NAME}]}),
        "DeleteSecret": (twin.delete_secret, {}),
    }
    assert {name for name, (call, more) in calls.items() if may(call, SecretId=arn, **more)} == granted


def test_a_batch_reads_the_members_alone_and_the_list_is_allowed(twin, tagged):
    member, stranger = tagged("member", {TAG: NAME}), tagged("stranger", {TAG: "agency2"})
    read = twin.batch_get_secret_value(SecretIdList=[member, stranger])
    assert ([it["ARN"] for it in read["SecretValues"]], [it["ErrorCode"] for it in read["Errors"]]) == (
        [member],
        ["AccessDeniedException"],
    )
    assert twin.list_secrets(MaxResults=1)["SecretList"]
