import json

from .template import transformed
from .tools import WORK, Failure, accept, dump, environment_of, offline, run

FLEET = {"FleetName": "agency", "CreateFleetStateMachine": "true"}
ACCEPTED = {
    ("CKV_AWS_26", "AlarmTopic"): "Alarms name no secret, and CloudWatch cannot publish to a topic under the key aws/sns.",
    ("CKV_AWS_26", "NoticeTopic"): "The same.",
    ("CKV_AWS_27", "DeliveryDeadLetterQueue"): "Encrypted by SqsManagedSseEnabled; the rule knows customer managed keys alone.",
    ("CKV_AWS_27", "ExecutionFailureQueue"): "Encrypted by SqsManagedSseEnabled; the rule knows customer managed keys alone.",
    ("CKV_AWS_116", "Function"): "FunctionEventInvokeConfig sends failures to a queue, with more in them than a dead-letter queue gets.",
    ("CKV_AWS_173", "Function"): "No variable holds a secret; Lambda encrypts them by itself.",
}


def stage():
    """checkov on the transformed template, for one secret and for a fleet."""
    findings, passed = {}, 0
    # It leaves out what the defaults of the parameters leave out.
    for name, parameters in (("one-secret", {}), ("fleet", FLEET)):
        report = scan(name, parameters)
        passed += report["summary"]["passed"]
        for check in report["results"]["failed_checks"]:
            resource = check["resource"].rpartition(".")[2]
            findings[check["check_id"], resource] = f"{check['check_id']} {resource}: {check['check_name']}"
    accept(findings, ACCEPTED, "checkov")
    print(f"{passed} checks passed")


def scan(name, parameters):
    template = transformed()
    for parameter, value in parameters.items():
        template["Parameters"][parameter]["Default"] = value
    subject = WORK / f"transformed-{name}.json"
    subject.write_text(dump(template))
    checkov = environment_of("checkov") / "checkov"
    command = [checkov, "--skip-download", "--framework", "cloudformation", "--file", subject.name, "--output", "json", "--compact"]
    # By its name alone: of the whole path, forty characters without a hyphen look like a secret to it.
    report = json.loads(run(command, "checkov failed", ok=(0, 1), env=offline(), cwd=WORK))
    if report["summary"]["parsing_errors"] or not report["summary"]["passed"]:
        raise Failure(f"checkov did not understand the template: {report['summary']}")
    return report
