import json

from .rules import definition
from .template import written
from .tools import PAGE, TEMPLATE, WORK, accept, dump, offline, run

ACCEPTED = {
    ("W3011", "Function"): "A retained version is what is wanted; the function itself goes with the stack.",
    ("W1033", "Function"): "Without a VPC the lists are empty, and the property is left out.",
    ("W1033", "SecurityGroupIds"): "The same.",
    ("ES7000", "NoticeSubscription"): "SNS redrives no email.",
    ("WS1004", "Function"): "FunctionLogGroup is its log group; the rule looks for one named after the function.",
    ("ES6000", "DeliveryDeadLetterQueue"): "It is a dead-letter queue itself, and nothing consumes it.",
    ("ES6000", "ExecutionFailureQueue"): "It is where failures end, and nothing consumes it.",
    ("ES7000", "AlarmSubscription"): "SNS redrives no email.",
    ("WS5000", "FleetStateMachine"): "The function traces what takes time; the state machine's history has the rest.",
}


def stage():
    """cfn-lint with the serverless rules, on the state machine by itself, too, and sam validate."""
    command = ["cfn-lint", "--format", "json", "--include-checks", "I", "--append-rules", "cfn_lint_serverless.rules"]
    output = run([*command, "--template", TEMPLATE, PAGE], "cfn-lint failed", ok=(0, 2, 4, 6, 8, 10, 12, 14), env=offline())
    findings = {}
    for finding in json.loads(output):
        place = finding["Location"]["Path"]
        resource = str(place[1]) if place and len(place) > 1 else ""
        line = finding["Location"]["Start"]["LineNumber"]
        findings[finding["Rule"]["Id"], resource] = f"line {line}: {finding['Rule']['Id']} {resource}: {finding['Message']}"
    accept(findings, ACCEPTED, "cfn-lint")
    # It looks into a state machine that is written out, not into one with substitutions.
    text, _ = written()["Resources"]["FleetStateMachine"]["Properties"]["DefinitionString"]["Fn::Sub"]
    machine = {"RoleArn": "arn:aws:iam::123456789012:role/any", "Definition": definition(text)}
    alone = WORK / "state-machine.json"
    alone.parent.mkdir(parents=True, exist_ok=True)
    alone.write_text(dump({"Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}}}))
    run(["cfn-lint", "--template", alone], "cfn-lint objects to the state machine", env=offline())
    print(run(["sam", "validate", "--template", TEMPLATE], "sam validate failed", env=offline()).strip())
