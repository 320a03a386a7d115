"""The verdicts of AWS's tools and others about the template, and the files that are derived from it."""

import json
import os
import subprocess

import pytest

from checks import costs, deployer
from checks.rules import definition
from checks.template import PAGE, PROJECT, TEMPLATE, transformed, written

# What is objected to for all that, with the reason. A reason that excuses nothing any more has to go.
CFN_LINT = {
    ("W3011", "Function"): "A retained version is what is wanted; the function itself goes with the stack.",
    ("W1033", "Function"): "Without a VPC the lists are empty, and the property is left out.",
    ("W1033", "SecurityGroupIds"): "The same.",
    ("WS1004", "Function"): "FunctionLogGroup is its log group; the rule looks for one named after the function.",
    ("ES6000", "DeliveryDeadLetterQueue"): "It is a dead-letter queue itself, and nothing consumes it.",
    ("ES6000", "ExecutionFailureQueue"): "It is where failures end, and nothing consumes it.",
    ("ES7000", "AlarmSubscription"): "SNS redrives no email.",
    ("ES7000", "NoticeSubscription"): "SNS redrives no email.",
    ("WS5000", "FleetStateMachine"): "The function traces what takes time; the state machine's history has the rest.",
}
CHECKOV = {
    ("CKV_AWS_26", "AlarmTopic"): "Alarms name no secret, and CloudWatch cannot publish to a topic under the key aws/sns.",
    ("CKV_AWS_26", "NoticeTopic"): "The same.",
    ("CKV_AWS_27", "DeliveryDeadLetterQueue"): "Encrypted by SqsManagedSseEnabled; the rule knows customer managed keys alone.",
    ("CKV_AWS_27", "ExecutionFailureQueue"): "Encrypted by SqsManagedSseEnabled; the rule knows customer managed keys alone.",
    (
        "CKV_AWS_116",
        "Function",
    ): "FunctionEventInvokeConfig sends failures to a queue, with more in them than a dead-letter queue gets.",
    ("CKV_AWS_173", "Function"): "No variable holds a secret; Lambda encrypts them by itself.",
}
# checkov leaves out what the defaults of the parameters leave out.
STACKS = {"one-secret": {}, "fleet": {"FleetName": "agency", "CreateFleetStateMachine": "true"}}


def run(*command, ok=(0,), cwd=None):
    """The standard output of a tool, which finds a Region and no credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = kept | {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    failed = done.returncode not in ok
    assert not failed, done.stdout + done.stderr
    return done.stdout


def test_cfn_lint_with_the_serverless_rules_objects_to_nothing_else():
    command = ["cfn-lint", "--format", "json", "--include-checks", "I", "--append-rules", "cfn_lint_serverless.rules"]
    objections = {}
    for it in json.loads(run(*command, "--template", TEMPLATE, PAGE, ok=(0, 2, 4, 6, 8, 10, 12, 14))):
        resource = str([*(it["Location"]["Path"] or []), "", ""][1])
        objections[it["Rule"]["Id"], resource] = f"line {it['Location']['Start']['LineNumber']}: {it['Message']}"
    assert dict.fromkeys(objections) == dict.fromkeys(CFN_LINT), objections


def test_cfn_lint_finds_the_state_machine_in_order(tmp_path):
    """It looks into a state machine that is written out, not into one with substitutions."""
    text, _ = written()["Resources"]["FleetStateMachine"]["Properties"]["DefinitionString"]["Fn::Sub"]
    machine = {"RoleArn": "arn:aws:iam::123456789012:role/any", "Definition": definition(text)}
    alone = tmp_path / "state-machine.json"
    alone.write_text(json.dumps({"Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}}}))
    run("cfn-lint", "--template", alone)


def test_sam_takes_the_template():
    run("sam", "validate", "--template", TEMPLATE)


def test_checkov_objects_to_nothing_else(tmp_path):
    for name, parameters in STACKS.items():
        template = transformed()
        for parameter, value in parameters.items():
            template["Parameters"][parameter]["Default"] = value
        (tmp_path / f"{name}.json").write_text(json.dumps(template, indent=2, default=str))
    # By relative names: of a whole path, forty characters without a hyphen look like a secret to it.
    command = ["checkov", "--skip-download", "--framework", "cloudformation", "--directory", ".", "--output", "json", "--compact"]
    report = json.loads(run(*command, ok=(0, 1), cwd=tmp_path))
    results = report["results"]
    assert report["summary"]["parsing_errors"] == 0
    assert {it["file_path"] for it in results["passed_checks"]} == {f"/{name}.json" for name in STACKS}
    objections = {(it["check_id"], it["resource"].rpartition(".")[2]): it["check_name"] for it in results["failed_checks"]}
    assert dict.fromkeys(objections) == dict.fromkeys(CHECKOV), objections


@pytest.mark.parametrize("name", costs.TABLES)
def test_the_tables_of_costs_are_what_the_template_comes_to(name):
    """`infra/check --write` writes them."""
    pages = costs.pages(name)
    assert pages
    assert [costs.parts_of(page.read_text(), name)[1] for page in pages] == [costs.TABLES[name]()] * len(pages)


@pytest.mark.parametrize("page", costs.sums())
def test_a_page_names_the_sum_of_the_table(page):
    assert costs.sums()[page] in (PROJECT / page).read_text()


def test_the_page_counts_the_alarms():
    parts = costs.Parts()
    assert f"{len(parts.alarms) + len(parts.composites)} alarms" in (PROJECT / "docs/deploy.md").read_text()


def test_the_deployers_policy_is_what_cloudformation_needs_for_the_resources_and_no_more():
    """`infra/check --write` writes it."""
    assert json.loads(deployer.POLICY.read_text()) == deployer.policy()


def test_the_deployers_policy_is_no_longer_than_iam_takes():
    assert len(json.dumps(deployer.policy(), separators=(",", ":"))) <= deployer.LARGEST
