"""`sam build` and `sam deploy` bring the stack up in an emulator, and its function does its work there, also after an update."""

import json
import shutil
import subprocess

import emulator
import pytest
from checks import costs
from checks.rules import FLEET, STATE_MACHINE
from checks.template import INFRA, written
from emulator import BUILT, simpler_alarms
from samtranslator.yaml_helper import yaml_parse

# There only if a parameter asks for it.
ROTATION = {"Rotation", "RotationPermission"}


def sam_deploy(cloud, change, **parameters):
    """`sam deploy` of what `sam build` built."""
    template = yaml_parse((BUILT / "template.yaml").read_text())
    template["Resources"]["Function"]["Properties"]["CodeUri"] = str(BUILT / "Function")
    for path in ("LicenseUrl", "ReadmeUrl"):
        del template["Metadata"]["AWS::ServerlessRepo::Application"][path]
    simpler_alarms(template)
    change(template)
    path = cloud.scratch / "first.json"
    path.write_text(json.dumps(template, default=str))
    parameters = {"Architecture": "x86_64", "AlarmEmail": "somebody@example.org"} | parameters
    overrides = [f'{key}="{value}"' for key, value in parameters.items()]
    command = ["sam", "deploy", "--template-file", path, "--stack-name", "first", "--resolve-s3", "--no-confirm-changeset"]
    command += ["--no-fail-on-empty-changeset", "--capabilities", "CAPABILITY_NAMED_IAM", "--no-progressbar"]
    cloud.run(*command, "--parameter-overrides", *overrides)
    return emulator.Stack(cloud, "first")


@pytest.fixture(scope="module")
def stack(cloud, stand_ins_for):
    return sam_deploy(cloud, stand_ins_for)


@pytest.fixture(scope="module")
def credentials(stack, tiktok):
    """The log of a refresh, after a person has put credentials into the secret."""
    stack.put_secret(tiktok.document | {"publish": json.loads(stack.outputs["PublishField"])})
    logged = len(stack.logs())
    assert stack.outcome(action="refresh") == "refreshed"
    return stack.logs()[logged:]


def test_sam_build_makes_a_function_that_lambdas_glibc_can_run():
    symbols = subprocess.check_output(["readelf", "--dyn-syms", "--wide", BUILT / "Function/bootstrap"], text=True).split()
    needed = {tuple(map(int, word.split("@GLIBC_")[1].strip("()@").split("."))) for word in symbols if "@GLIBC_" in word}
    # All that provided.al2023 has.
    assert needed and max(needed) <= (2, 34)


def test_the_stack_has_every_resource_but_those_that_are_asked_for(stack):
    assert stack.status == "CREATE_COMPLETE"
    wanted = {name: it["Type"] for name, it in written()["Resources"].items()}
    wanted |= {"Function": "AWS::Lambda::Function", "CredentialsAtRiskAlarm": "AWS::CloudWatch::Alarm"}
    asked_for = FLEET | STATE_MACHINE | ROTATION
    found = {name: kind for name, (kind, _) in stack.resources.items()}
    assert {name: found.get(name) for name in wanted} == wanted | dict.fromkeys(asked_for)


def test_sam_deploy_without_sam_build_uploads_nothing(cloud, tmp_path):
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(INFRA / name, tmp_path)
    with pytest.raises(AssertionError, match="Template file not found"):
        cloud.run("sam", "deploy", "--no-confirm-changeset", cwd=tmp_path)


def test_the_function_writes_the_metrics_that_the_costs_reckon_with(stack, credentials):
    logged = len(stack.logs())
    assert stack.outcome(action="refresh", if_needed=True) == "fresh"
    every_run = published(stack.logs()[logged:])
    assert len(every_run) == costs.METRICS_OF_EVERY_RUN
    assert len(published(credentials) - every_run) == costs.METRICS_OF_A_REFRESH


def published(lines):
    """The names of the metrics in embedded metric format."""
    documents = [json.loads(line) for line in lines if '"_aws"' in line]
    return {
        metric["Name"] for it in documents for directive in it["_aws"]["CloudWatchMetrics"] for metric in directive["Metrics"]
    }


def test_a_refresh_fills_both_secrets_and_the_readers_has_no_refresh_token(stack, credentials, tiktok):
    new, reader = stack.secret(), stack.secret("ReaderSecretArn")
    assert new["access_token"] != tiktok.document["access_token"] and new["advertiser_ids"]
    for key in ("access_token", "access_token_expires_at", "advertiser_ids"):
        assert reader[key] == new[key]
    assert new["refresh_token"] not in json.dumps(reader)


def test_an_update_keeps_both_secrets_and_the_version_to_roll_back_to(cloud, stack, credentials, stand_ins_for):
    before = stack.secret(), stack.secret("ReaderSecretArn")
    updated = sam_deploy(cloud, stand_ins_for, TimeoutSeconds="90")
    assert updated.status == "UPDATE_COMPLETE"
    assert (updated.secret(), updated.secret("ReaderSecretArn")) == before
    functions = cloud.client("lambda")
    alias = functions.get_function_configuration(FunctionName=updated.outputs["FunctionAliasArn"])
    assert alias["Timeout"] == 90 and alias["Version"] != "1"
    versions = functions.list_versions_by_function(FunctionName=updated.outputs["FunctionName"])["Versions"]
    assert {"1", alias["Version"]} <= {it["Version"] for it in versions}


def test_an_update_that_replaces_the_role_moves_the_alias_to_the_new_one(cloud, stack, credentials, stand_ins_for):
    """A published version keeps the role that it was published with, which is gone after such an update."""
    updated = sam_deploy(cloud, stand_ins_for, RolePath="/service/")
    assert updated.status == "UPDATE_COMPLETE"
    alias = cloud.client("lambda").get_function_configuration(FunctionName=updated.outputs["FunctionAliasArn"])
    assert updated.outputs["FunctionRoleArn"] == alias["Role"] != stack.outputs["FunctionRoleArn"]
    assert updated.outcome(action="refresh") == "refreshed"
