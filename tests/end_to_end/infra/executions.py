"""Executions of a fleet's state machine."""

import json

from support import until

# For an execution to end, in seconds.
PATIENCE = 120


def execute(stack, event):
    """The end of an execution, its batches that failed, and the size of the data that it had to hold."""
    states = stack.cloud.client("stepfunctions")
    started = states.start_execution(stateMachineArn=stack.outputs["FleetStateMachineArn"], input=json.dumps(event))
    arn = started["executionArn"]
    until(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING", "the execution's end", PATIENCE)
    end = states.describe_execution(executionArn=arn)
    pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
    end["largest"] = max(len(text) for page in pages for event in page["events"] for text in texts(event))
    batches = [
        states.describe_execution(executionArn=batch["executionArn"])
        for run in states.list_map_runs(executionArn=arn)["mapRuns"]
        for batch in states.list_executions(mapRunArn=run["mapRunArn"], statusFilter="FAILED")["executions"]
    ]
    end["failed"] = {batch["error"]: batch["cause"] for batch in batches}
    return end


def texts(event):
    """Every input and output in an event of an execution's history."""
    details = (it for key, it in event.items() if key.endswith("EventDetails"))
    return [text for it in details for key, text in it.items() if key in ("input", "output")]
