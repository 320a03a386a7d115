"""Events reach the function by themselves: by schedule, and once more after a failure.

For the emulator the schedules fire every minute, and failures of the unqualified function go to the queue instead of the alias's.
"""

import json

import pytest
from emulator import fillable_queues
from support import until

# The schedules fire every minute.
PATIENCE = 100


@pytest.fixture(scope="module")
def stack(deploy, stand_ins_for, tiktok):
    """Its credentials are in order."""

    def change(template):
        stand_ins_for(template)
        template["Resources"]["HourlySchedule"]["Properties"]["ScheduleExpression"] = "rate(1 minute)"
        fillable_queues(template)

    stack = deploy("events", {"ScheduleExpression": "rate(1 minute)"}, change=change)
    stack.put_secret(tiktok.document)
    assert stack.outcome(action="refresh") == "refreshed"
    return stack


@pytest.mark.parametrize(
    "sign", ["the access token lives until", "still the placeholder <aws.scheduler.scheduled-time>"], ids=["hourly", "daily"]
)
def test_a_schedule_reaches_the_function(sign, stack):
    """The emulator does not fill in <aws.scheduler.scheduled-time>, so the function rejects the daily event and names the
    placeholder: so the log shows that it arrived, unchanged. No other event asks whether a refresh is needed."""
    until(lambda: sign in "".join(stack.logs()), f"'{sign}'", PATIENCE)


def test_a_failed_event_is_repeated_and_ends_in_the_queue_with_its_reason(cloud, stack):
    good = stack.secret()
    stack.put_secret({"app_id": ""})
    functions, queues = cloud.client("lambda"), cloud.client("sqs")
    functions.invoke(FunctionName=stack.outputs["FunctionName"], InvocationType="Event", Payload=b'{"action":"refresh"}')
    queue = stack.outputs["ExecutionFailureQueueUrl"]
    messages = until(lambda: queues.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"), "the failed event")
    stack.put_secret(good)
    (body,) = (json.loads(message["Body"]) for message in messages)
    assert body["responsePayload"]["errorType"] == "InvalidSecret"
    assert body["requestContext"]["approximateInvokeCount"] > 1
