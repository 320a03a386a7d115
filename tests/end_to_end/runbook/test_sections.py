"""For each section of the runbook the situation that it is for, its commands, and what they have to bring about."""

import json
import threading

import pytest
from between import action, aws_says, mentions, refuses, tiktok_says
from desk import REFRESH, documents
from support import consent, until

IF_NEEDED = REFRESH | {"if_needed": True}
section = pytest.mark.section


def outcomes(output):
    """The outcomes of the secrets in every answer that a block shows."""
    answers = [document for document in documents(output) if isinstance(document, dict)]
    return [result.get("outcome") for answer in answers for result in answer.get("results", [answer])]


# ---------------------------------------------------------------------------------------------------------- to begin with


@section("Set up")
def test_the_set_up_names_what_the_stack_has_and_its_edit_loses_nothing(desk):
    stack = desk.stack
    found = desk.shell.paste('echo "$FUNCTION" "$LOGS" "$ROLE" "$GROUP" "$UNDELIVERED" "$FAILED" "$SECRET"').split()
    wanted = [stack.physical(name) for name in ("Function", "FunctionLogGroup", "FunctionRole", "ScheduleGroup")]
    wanted += [stack.outputs[name] for name in ("DeliveryDeadLetterQueueUrl", "ExecutionFailureQueueUrl", "SecretArn")]
    assert found == wanted
    assert json.loads(desk.shell.paste("secret")) == desk.document()
    # Numbers are preserved byte for byte, which JSON libraries do not do.
    text = json.dumps(desk.document())[:-1] + ', "long": 1.50e+20, "ü": [ 1 ]}'
    desk.secrets.put_secret_value(SecretId=desk.secret_id, SecretString=text)
    desk.shell.paste("edit --set 'note=a person was here'")
    assert desk.document()["note"] == "a person was here"
    text = desk.shell.paste("secret")
    assert '"long": 1.50e+20' in text and "[ 1 ]" in text
    # The function writes new tokens between the script's read and its write: they stay, and so does the edit.
    once = []

    def meanwhile(request):
        if action(request) == "UpdateSecretVersionStage" and request.get_json(True)["VersionStage"] == "AWSCURRENT" and not once:
            once.append(desk.document()["refresh_token"])
            desk.put(desk.document() | {"refresh_token": "a-newer-one"})

    with desk.between.rule(meanwhile):
        desk.shell.paste("edit --remove note --remove long --remove ü")
    assert desk.document()["refresh_token"] == "a-newer-one" and "note" not in desk.document()
    desk.put(desk.document() | {"refresh_token": once[0]})
    labels = desk.secrets.describe_secret(SecretId=desk.secret_id)["VersionIdsToStages"]
    assert "EDIT" not in sum(labels.values(), [])


@section("Look")
def test_the_first_look_shows_the_alarm_its_reason_and_the_error(desk):
    desk.put(desk.document() | {"flow": "bogus"})
    desk.fails("InvalidSecret")
    alarm = desk.stack.physical("ErrorsAlarm")
    desk.cloud.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="one run failed")
    shown = desk.paste()
    for sign in (alarm, "one run failed", "The field 'flow' has an unknown value", '"level":"ERROR"'):
        assert sign in shown
    assert '"level":"INFO"' not in shown
    desk.put(desk.good())
    assert "dry_run" in outcomes(desk.inline("call"))


# ------------------------------------------------------------------------------------------------------------------ errors


@section("InvalidEvent")
def test_an_invalid_event_is_found_among_the_schedules_or_the_failed_events(desk):
    desk.send_and_lose({"action": "frobnicate"})
    shown = desk.paste()
    assert "<aws.scheduler.scheduled-time>" in shown and '"if_needed":true' in shown
    failed = documents(shown)[-1]
    assert failed["requestPayload"] == {"action": "frobnicate"} and failed["responsePayload"]["errorType"] == "InvalidEvent"


@section("InvalidConfiguration")
def test_an_invalid_configuration_is_found_in_the_version_that_runs(desk):
    with desk.configured(MIN_TOKEN_LIFETIME="soon"):
        assert "MIN_TOKEN_LIFETIME" in desk.fails("InvalidConfiguration")
        version, _, variables = json.loads(desk.paste())
        assert variables["MIN_TOKEN_LIFETIME"] == "soon" and version != "1"


@section("InvalidSecret")
def test_an_invalid_secret_shows_its_types_alone_and_is_repaired(desk):
    desk.put(desk.document() | {"flow": "bogus"})
    desk.fails("InvalidSecret")
    types = desk.paste()
    assert desk.document()["refresh_token"] not in types
    assert json.loads(types)["flow"] == "string"
    assert "refreshed" in outcomes(desk.paste(1))


@section("SecretNotFound")
def test_a_missing_secret_is_restored_or_is_no_longer_published_to(desk):
    desk.secrets.delete_secret(SecretId=desk.secret_id, RecoveryWindowInDays=7)
    assert "restore-secret" in desk.fails("SecretNotFound")
    _, deleted, labels = json.loads(desk.paste())
    assert deleted and labels
    desk.secrets.restore_secret(SecretId=desk.secret_id)
    gone = {"secret_id": f"{desk.name}/gone", "format": "reader"}
    desk.put(desk.document() | {"publish": [gone]})
    assert gone["secret_id"] in desk.fails("SecretNotFound")
    desk.inline("edit", NAME=gone["secret_id"])
    assert desk.refresh() in ("refreshed", "fresh") and desk.document()["publish"] == []


@section("AccessDenied")
def test_a_missing_permission_is_given_back(desk):
    """IAM is enforced by the emulator, on its own Secrets Manager: a stack of its own."""
    stack = desk.deploy(f"{desk.name}-denied", desk.cloud.url)
    shell = desk.shell_of(stack, desk.cloud.url)
    stack.put_secret(desk.world.app())
    link = stack.invoke({"action": "authorize_url"})[1]["results"][0]["authorize_url"]
    stack.invoke({"action": "exchange", "redirect_url": consent(link)})
    roles, role = desk.cloud.client("iam"), stack.physical("FunctionRole")
    policy = roles.get_role_policy(RoleName=role, PolicyName="Secrets")["PolicyDocument"]
    policy["Statement"][0]["Action"].remove("secretsmanager:PutSecretValue")
    roles.put_role_policy(RoleName=role, PolicyName="Secrets", PolicyDocument=json.dumps(policy))
    kind, answer = stack.invoke(REFRESH)
    assert kind == "AccessDenied" and "secretsmanager:PutSecretValue" in answer["errorMessage"]
    assert "refreshed" in outcomes(desk.paste(shell=shell))
    desk.inline("aws iam delete-role-policy", shell=shell)
    assert stack.invoke(REFRESH)[0] == "AccessDenied"


@section("ReauthorizationRequired")
def test_a_dead_grant_leads_to_the_event_that_authorizes_again(desk):
    with desk.dead_grant():
        desk.fails("ReauthorizationRequired")
        assert "authorize_url" in desk.paste()


@section("TikTokMisconfigured")
def test_wrong_credentials_of_the_app_are_corrected(desk):
    good = desk.document()
    desk.put(good | {"secret": "somebody-mistyped-it"})
    desk.fails("TikTokMisconfigured")
    desk.put(desk.document() | {"secret": good["secret"]})
    assert outcomes(desk.paste()) == ["dry_run", "refreshed"]
    desk.put(desk.document() | {"flow": "tt_user"})
    with desk.tiktok.rule(refuses("refresh_token", 40108, "Grant type is invalid.")):
        assert "Check 'flow'" in desk.fails("TikTokMisconfigured")
    desk.inline("edit")
    assert desk.refresh() == "refreshed"


@section("TikTokThrottled")
def test_throttling_is_counted_and_passes(desk):
    before = desk.document()
    with desk.tiktok.rule(lambda _: tiktok_says(40100, "Too many requests")):
        desk.fails("TikTokThrottled")
    assert desk.document() == before
    desk.metrics("TikTokThrottled")
    shown = desk.paste()
    assert documents(shown)[0]["Datapoints"][0]["Sum"] == 1.0
    assert "refreshed" in outcomes(shown)


@section("TikTokUnavailable")
def test_after_tiktok_was_down_the_next_run_refreshes(desk):
    before = desk.document()
    with desk.tiktok.rule(lambda _: (503, {})):
        desk.fails("TikTokUnavailable")
        desk.send_and_lose(REFRESH)
        assert desk.document() == before
        assert desk.usable()
    assert "refreshed" in outcomes(desk.paste())


@section("SecretsManagerUnavailable")
def test_after_secrets_manager_was_down_the_next_run_refreshes(desk):
    # A run asks until its time is over, so it is given little.
    with desk.configured(timeout=4), desk.between.rule(lambda request: (500, {"__type": "InternalServiceError"})):
        desk.fails("SecretsManagerUnavailable")
    assert "refreshed" in outcomes(desk.paste())


@section("SecretLimitExceeded")
def test_the_versions_of_a_full_secret_are_listed_and_it_takes_new_ones_again(desk):
    def full(request):
        if action(request) == "PutSecretValue":
            return aws_says("LimitExceededException", "The secret has as many versions as it can have.")

    with desk.between.rule(full):
        assert "as many versions" in desk.fails("SecretLimitExceeded")
    assert len(json.loads(desk.paste())) > 1
    assert "refreshed" in outcomes(desk.paste(1))


def only_takes(*tokens):
    """TikTok lists no advertisers for other access tokens than these."""

    def rule(request):
        if "advertiser/get" in request.path and not any(mentions(request, token) for token in tokens):
            return tiktok_says(40105, "Access token is incorrect or has been revoked.")

    return rule


@section("NewTokenRejected")
def test_rejected_tokens_are_seen_to_wait(desk):
    with desk.tiktok.rule(only_takes(desk.document()["access_token"])):
        desk.fails("NewTokenRejected")
    assert '"waiting"' in desk.paste()


@section("DeadlineExceeded")
def test_more_time_lets_a_run_end(desk):
    with desk.configured(timeout=10):
        desk.fails("DeadlineExceeded")
        assert "refreshed" in outcomes(desk.paste())
        assert desk.live()["Timeout"] == 120


@section("PartialFailure")
def test_a_partial_failure_names_the_secret_that_failed(desk):
    second = desk.another("second")
    desk.secrets.delete_secret(SecretId=second, RecoveryWindowInDays=7)
    with desk.configured(SECRET_ID=f"{desk.secret_id},{second}"):
        desk.fails("PartialFailure")
        desk.invoke({"action": "refresh", "secret_ids": [desk.secret_id]})
        shown = desk.paste()
        assert f"{second}: SecretNotFound:" in shown and f"{desk.secret_id}:" not in shown
        desk.secrets.restore_secret(SecretId=second)
        assert desk.paste().strip() == "all in order"
        assert "refreshed" in outcomes(desk.inline("call", NAME=second))


# ----------------------------------------------------------------------------------------- events that do not get through


@section("Silence")
def test_silence_shows_the_schedule_that_is_off(desk):
    [schedule] = [found["Name"] for found in desk.schedules() if found["ScheduleExpression"] == "rate(1 hour)"]
    desk.schedules("DISABLED", schedule)
    shown = desk.paste()
    desk.schedules("ENABLED", schedule)
    assert documents(shown)[0]["Datapoints"][0]["Sum"] > 0
    for sign in ("DISABLED", "ENABLED", "somebody@example.org"):
        assert sign in shown
    assert "refreshed" in outcomes(shown)


@section("Undelivered events")
def test_undelivered_events_say_why_and_are_purged(desk):
    """The emulator's scheduler has no dead letters: the message is put there as AWS documents it."""
    text = {"ERROR_CODE": "ResourceNotFoundException", "ERROR_MESSAGE": "Function not found"}
    desk.cloud.client("sqs").send_message(
        QueueUrl=desk.stack.outputs["DeliveryDeadLetterQueueUrl"], MessageBody=json.dumps(IF_NEEDED),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in text.items()},
    )  # fmt: skip
    shown = desk.paste()
    for sign in ("ResourceNotFoundException", "lambda:InvokeFunction"):
        assert sign in shown
    assert desk.messages("DeliveryDeadLetterQueue") == 1
    assert "refreshed" in outcomes(desk.paste(1))
    assert desk.messages("DeliveryDeadLetterQueue") == 0


@section("Failed events")
def test_failed_events_say_why_and_are_purged(desk):
    good = desk.document()
    desk.put(good | {"flow": "bogus"})
    desk.send_and_lose(IF_NEEDED)
    desk.put(good)
    shown = desk.paste()
    assert '{"action":"refresh","if_needed":true} InvalidSecret: ' in shown
    assert desk.messages("ExecutionFailureQueue") == 1
    assert "refreshed" in outcomes(desk.paste(1))


@section("No concurrency")
def test_a_reserved_concurrency_of_zero_is_found_and_taken_away(desk):
    functions = desk.cloud.client("lambda")
    functions.put_function_concurrency(FunctionName=desk.function, ReservedConcurrentExecutions=0)
    shown = desk.paste()
    assert shown.split()[0].isdigit() and documents(shown)[-1] == {"ReservedConcurrentExecutions": 0}
    assert "refreshed" in outcomes(desk.paste(1))
    left = functions.get_function_concurrency(FunctionName=desk.function)
    assert "ReservedConcurrentExecutions" not in left


@section("Schedules off and on")
def test_the_schedules_are_switched_off_and_on_and_stay_as_they_were(desk):
    before = desk.schedules()
    desk.paste()
    assert {schedule["State"] for schedule in desk.schedules()} == {"DISABLED"}
    off = desk.shell.set_up
    desk.shell.set_up += "\n" + desk.shell.paste(desk.block(0).rpartition("\n")[0] + "\ndeclare -f")
    assert "fresh" in outcomes(desk.paste(1))
    desk.shell.set_up = off
    times = {"LastModificationDate": None, "CreationDate": None}
    assert [found | times for found in desk.schedules()] == [found | times for found in before]
    asked = []

    def cancelled(request):
        if action(request) == "CancelRotateSecret":
            asked.append(request.get_json(True))
            return 200, {"ARN": desk.secret_id, "Name": desk.name}

    with desk.between.rule(cancelled):
        desk.inline("aws secretsmanager cancel-rotate-secret")
    assert asked == [{"SecretId": desk.secret_id}]


@section("Skipped secrets")
def test_no_secret_is_left_over(desk):
    with desk.configured(SECRET_ID=f"{desk.secret_id},{desk.another('left-over')}"):
        assert desk.paste().strip() in ('["fresh","fresh"]', '{"fresh":2}')


# ------------------------------------------------------------------------------------------------------ tokens and secrets


@section("Authorize again")
def test_authorizing_again_gives_usable_tokens(desk):
    with desk.dead_grant():
        dead = desk.document()["refresh_token"]
        link = desk.paste().strip()
        assert "authorized" in outcomes(desk.paste(1, typed=f"{consent(link)}\n"))
        assert desk.document()["refresh_token"] != dead
        assert desk.usable()


@section("Kept")
def test_kept_tokens_are_verified_by_hand(desk):
    with desk.tiktok.rule(refuses("refresh_token", 40107, "Refresh token is invalid.")):
        assert desk.refresh() == "kept"
        assert "verified" in outcomes(desk.paste())
    desk.shell.paste("edit --remove flow")


@section("Stale advertisers")
def test_stale_advertisers_say_why(desk):
    with desk.tiktok.rule(refuses("advertiser/get", 40001, "No permission")):
        shown = desk.paste()
        assert "40001" in shown and documents(shown)[-1]["advertisers_stale"]
    assert not documents(desk.paste())[-1]["advertisers_stale"]


@section("Roll back the tokens")
def test_tokens_are_rolled_back_without_being_shown(desk):
    good = desk.document()
    desk.put({name: good[name] for name in ("app_id", "secret")} | {"access_token": "pasted", "refresh_token": "by-mistake"})
    desk.fails("ReauthorizationRequired")
    shown = desk.paste()
    for token in (good["access_token"], good["refresh_token"], "pasted"):
        assert token not in shown
    rows = [row.split("\t") for row in shown.splitlines()]
    # Those with both tokens and a time are good; what was pasted was never refreshed.
    assert any("AWSPREVIOUS" in row[3] and row[1].startswith("20") and row[2] == "access_token+refresh_token" for row in rows)
    assert any("AWSCURRENT" in row[3] and row[1] == "never refreshed" for row in rows)
    assert "refreshed" in outcomes(desk.paste(1))
    assert desk.usable()
    # A refresh cannot be rolled back: the tokens of the version before are spent, and the function finds those after them.
    newest = desk.document()["refresh_token"]
    assert "resumed" in outcomes(desk.paste(1))
    assert desk.document()["refresh_token"] == newest


@section("Change the app's secret")
def test_the_app_gets_its_new_secret_wherever_it_is_kept(desk):
    right = desk.document()["secret"]
    desk.put(desk.document() | {"secret": "the old one"})
    desk.fails("TikTokMisconfigured")
    desk.file("new-app-secret.txt", f"{right}\n")
    assert "refreshed" in outcomes(desk.paste())
    assert desk.document()["secret"] == right and not desk.exists("new-app-secret.txt")
    inline = desk.document()
    outdated = json.dumps(desk.world.app() | {"secret": "the old one"})
    app = desk.secrets.create_secret(Name=f"{desk.name}/app", SecretString=outdated)["ARN"]
    desk.put({name: value for name, value in inline.items() if name not in ("app_id", "secret")} | {"app_secret_id": app})
    desk.fails("TikTokMisconfigured")
    desk.file("new-app-secret.txt", right)
    assert "refreshed" in outcomes(desk.paste(1))
    assert desk.document(app)["secret"] == right
    assert "secret" not in desk.document()


@section("A staged version waits")
def test_a_staged_version_is_resumed(desk):
    before = desk.document()["access_token"]
    with desk.tiktok.rule(only_takes(before)):
        desk.fails("NewTokenRejected")
    assert desk.status()["staged"] == "waiting" and desk.document()["access_token"] == before
    shown = desk.paste()
    assert "resumed" in outcomes(shown)
    assert documents(shown)[-1]["staged"] == "none" and desk.document()["access_token"] != before
    assert desk.usable()


@section("A foreign AWSPENDING")
def test_a_foreign_pending_version_is_left_alone_until_it_is_removed(desk):
    desk.put({"app_id": "somebody", "secret": "else"}, VersionStages=["AWSPENDING"])
    assert desk.refresh() == "refreshed"
    assert desk.document(label="AWSPENDING")["app_id"] == "somebody"
    assert desk.status()["staged"] == "foreign"
    assert documents(desk.paste())[-1] == {"staged": "none", "warnings": []}


@section("A claim that seems stuck")
def test_a_claim_that_seems_stuck_ends_by_itself(desk):
    def held(request):
        if "refresh_token" in request.path:
            reached.set()
            return desk.tiktok.hang()

    reached = threading.Event()
    # The shortest in which a token is redeemed at all, so that the claim ends soon.
    with desk.configured(timeout=17):
        with desk.tiktok.rule(held):
            run = threading.Thread(target=desk.invoke, args=[REFRESH], daemon=True)
            run.start()
            assert reached.wait(30)
            desk.kill()
        shown = desk.paste()
        assert documents(shown)[0]["claim"]["live"] and outcomes(shown)[-1] == "in_progress"
        until(lambda: not (desk.status()["claim"] or {}).get("live"), "the claim's end", 40)
        shown = desk.paste()
        assert not documents(shown)[0]["claim"]["live"] and outcomes(shown)[-1] == "refreshed"


@section("A secret near 64 KB")
def test_the_largest_field_of_a_large_secret_is_found_and_removed(desk):
    desk.put(desk.document() | {"notes": "x" * 58_000})
    assert "bytes" in desk.fails("InvalidSecret")
    assert desk.paste().split()[:2] == ["58002", "notes"]
    assert documents(desk.paste(1))[-1] == {"outcome": "refreshed", "warnings": []}


@section("KMS key disabled")
def test_a_disabled_key_is_enabled_and_a_deletion_is_canceled(desk):
    """The key is the emulator's; while it is disabled, the stand-in answers as AWS does."""
    keys = desk.cloud.client("kms")
    key = keys.create_key()["KeyMetadata"]["KeyId"]
    keys.disable_key(KeyId=key)

    def encrypted(request):
        if action(request) == "DescribeSecret":
            described = desk.secrets.describe_secret(SecretId=desk.secret_id)
            return 200, {"ARN": described["ARN"], "Name": described["Name"], "KmsKeyId": key}
        if action(request) in ("GetSecretValue", "PutSecretValue"):
            if keys.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] != "Enabled":
                return aws_says("DecryptionFailure", "Secrets Manager can't decrypt the secret with the provided KMS key.")

    with desk.between.rule(encrypted):
        assert "enabled" in desk.fails("AccessDenied")
        shown = desk.paste()
        assert shown.split()[0] == "Disabled"
        assert "refreshed" in outcomes(shown)
        keys.schedule_key_deletion(KeyId=key)
        desk.fails("AccessDenied")
        desk.shell.set_up += f"\nKEY={key}"
        desk.inline("aws kms cancel-key-deletion")
        assert "refreshed" in outcomes(desk.paste())


@section("Restore a deleted secret")
def test_a_deleted_secret_is_restored(desk):
    desk.secrets.delete_secret(SecretId=desk.secret_id, RecoveryWindowInDays=7)
    desk.fails("SecretNotFound")
    assert "refreshed" in outcomes(desk.paste())


@section("Move to another account or region")
def test_the_tokens_move_to_another_account(desk):
    new = desk.secrets.create_secret(Name=f"{desk.name}/moved")["ARN"]
    desk.file("config", "[profile new]\naws_access_key_id = test\naws_secret_access_key = test\n")
    desk.paste(NEW_SECRET=new, AWS_CONFIG_FILE="config")
    assert desk.document(new)["refresh_token"] == desk.document()["refresh_token"]
    assert desk.refresh(secret_ids=[new]) == "refreshed"
    assert desk.usable(new)
    # Two functions with one refresh token: what the text warns of.
    assert desk.answer(REFRESH) in ("kept", "ReauthorizationRequired")
    desk.put(desk.document(new))


# ------------------------------------------------------------------------------------------------------------ the function


@section("Roll back the function")
def test_the_function_is_rolled_back(desk):
    with desk.configured(MIN_TOKEN_LIFETIME="11h"), desk.configured(MIN_TOKEN_LIFETIME="soon"):
        desk.fails("InvalidConfiguration")
        assert "fresh" in outcomes(desk.paste())
        assert desk.live()["Environment"]["Variables"]["MIN_TOKEN_LIFETIME"] == "11h"


@section("Read the logs")
def test_the_logs_have_outcomes_and_errors(desk):
    desk.put(desk.document() | {"flow": "bogus"})
    desk.fails("InvalidSecret")
    desk.put({name: value for name, value in desk.document().items() if name != "flow"})
    desk.refresh()
    with desk.tiktok.rule(lambda _: tiktok_says(40113, "Incorrect app secret")):
        desk.fails("TikTokMisconfigured")
    found = desk.paste()
    for sign in ('"error_type":"InvalidSecret"', '"outcome":"Refreshed"', '"error_type":"TikTokMisconfigured"'):
        assert sign in found


@section("Test an alarm")
def test_an_alarm_is_tried(desk):
    shown = desk.paste()
    [found] = desk.cloud.client("cloudwatch").describe_alarms(AlarmNames=[desk.stack.physical("ErrorsAlarm")])["MetricAlarms"]
    assert found["StateValue"] == "ALARM" and found["StateReason"] == "a trial"
    assert "ALARM" in shown
