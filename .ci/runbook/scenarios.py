"""For each section of the runbook the situation that it is for, its commands, and what they have to bring about."""

import json
import threading

from between import Between, aws_says, tiktok_says
from cloud import consent, until
from function import Failure, same
from shell import documents

SCENARIOS = {}
REFRESH, IF_NEEDED, STATUS = {"action": "refresh"}, {"action": "refresh", "if_needed": True}, {"action": "status"}


def of(title):
    """Marks the scenario of a section."""

    def keep(scenario):
        SCENARIOS[title] = scenario
        return scenario

    return keep


def expect(so, otherwise):
    if not so:
        raise Failure(otherwise)


def outcomes(output):
    """How the secrets ended in every answer that a block shows."""
    answers = [document for document in documents(output) if isinstance(document, dict)]
    return [result.get("outcome") for answer in answers for result in answer.get("results", [answer])]


def ends_well(output, wanted="refreshed"):
    expect(wanted in outcomes(output), f"There is no '{wanted}' in:\n{output}")


# ---------------------------------------------------------------------------------------------------------- to begin with


@of("Set up")
def set_up(it):
    stack = it.stack
    found = it.shell.paste('echo "$FUNCTION" "$LOGS" "$ROLE" "$GROUP" "$UNDELIVERED" "$FAILED" "$SECRET"').split()
    wanted = [stack.physical(name) for name in ("Function", "FunctionLogGroup", "FunctionRole", "ScheduleGroup")]
    wanted += [stack.outputs[name] for name in ("DeliveryDeadLetterQueueUrl", "ExecutionFailureQueueUrl", "SecretArn")]
    same(found, wanted, "the names of the set-up")
    same(json.loads(it.shell.paste("secret")), it.document(), "what `secret` prints")
    # Numbers are preserved byte for byte, which JSON libraries do not do.
    it.secrets.put_secret_value(SecretId=it.secret_id, SecretString=json.dumps(it.document())[:-1] + ', "long": 1.50e+20, "ü": [ 1 ]}')
    it.shell.paste("edit --set 'note=a person was here'")
    same(it.document()["note"], "a person was here", "what `edit` writes")
    text = it.shell.paste("secret")
    same('"long": 1.50e+20' in text and "[ 1 ]" in text, True, "fields that nobody has named")
    # The function writes new tokens between the script's read and its write: they stay, and so does the edit.
    once = []

    def meanwhile(request):
        if request.action == "UpdateSecretVersionStage" and json.loads(request.body)["VersionStage"] == "AWSCURRENT" and not once:
            once.append(it.document()["refresh_token"])
            it.put(it.document() | {"refresh_token": "a-newer-one"})

    with it.between.rule(meanwhile):
        it.shell.paste("edit --remove note --remove long --remove ü")
    same((it.document()["refresh_token"], "note" in it.document()), ("a-newer-one", False), "an edit beside another write")
    it.put(it.document() | {"refresh_token": once[0]})
    labels = it.secrets.describe_secret(SecretId=it.secret_id)["VersionIdsToStages"]
    same("EDIT" in sum(labels.values(), []), False, "a label of the script's that is left")


@of("Look")
def look(it):
    it.put(it.document() | {"flow": "bogus"})
    it.fails("InvalidSecret")
    alarm = it.stack.physical("ErrorsAlarm")
    it.cloud.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="one run failed")
    shown = it.paste()
    for sign in (alarm, "one run failed", "The field 'flow' has an unknown value", '"level":"ERROR"'):
        expect(sign in shown, f"{sign} is not among:\n{shown}")
    expect('"level":"INFO"' not in shown, "The logs are not filtered.")
    it.put(it.good())
    ends_well(it.inline("call"), "dry_run")


# ------------------------------------------------------------------------------------------------------------------ errors


@of("InvalidEvent")
def invalid_event(it):
    it.send_and_lose({"action": "frobnicate"})
    shown = it.paste()
    expect("<aws.scheduler.scheduled-time>" in shown and '"if_needed":true' in shown, f"No inputs in:\n{shown}")
    failed = documents(shown)[-1]
    same((failed["requestPayload"], failed["responsePayload"]["errorType"]), ({"action": "frobnicate"}, "InvalidEvent"), shown)


@of("InvalidConfiguration")
def invalid_configuration(it):
    with it.configured(MIN_TOKEN_LIFETIME="soon"):
        expect("MIN_TOKEN_LIFETIME" in it.fails("InvalidConfiguration"), "The variable is not named.")
        version, _, variables = json.loads(it.paste())
        same((variables["MIN_TOKEN_LIFETIME"], version != "1"), ("soon", True), "what the alias runs with")


@of("InvalidSecret")
def invalid_secret(it):
    it.put(it.document() | {"flow": "bogus"})
    it.fails("InvalidSecret")
    types = it.paste()
    expect(it.document()["refresh_token"] not in types, "The tokens are shown.")
    same(json.loads(types)["flow"], "string", "the type of a field")
    ends_well(it.paste(1))


@of("SecretNotFound")
def secret_not_found(it):
    it.secrets.delete_secret(SecretId=it.secret_id, RecoveryWindowInDays=7)
    expect("restore-secret" in it.fails("SecretNotFound"), "The error does not say how to restore.")
    _, deleted, labels = json.loads(it.paste())
    expect(deleted and labels, "There is no DeletedDate.")
    it.secrets.restore_secret(SecretId=it.secret_id)
    gone = {"secret_id": f"{it.name}/gone", "format": "reader"}
    it.put(it.document() | {"publish": [gone]})
    expect(gone["secret_id"] in it.fails("SecretNotFound"), "The reader secret is not named.")
    it.inline("edit", NAME=gone["secret_id"])
    same((it.refresh() in ("refreshed", "fresh"), it.document()["publish"]), (True, []), "without the reader secret")


@of("AccessDenied")
def access_denied(it):
    """IAM is enforced by the emulator, on its own Secrets Manager: a stack of its own."""
    stack = it.deploy(f"{it.name}-denied", it.cloud.url)
    shell = it.shell_of(stack, it.cloud.url)
    stack.put_secret(it.world.app())
    link = stack.invoke({"action": "authorize_url"})[1]["results"][0]["authorize_url"]
    stack.invoke({"action": "exchange", "redirect_url": consent(link)})
    roles, role = it.cloud.client("iam"), stack.physical("FunctionRole")
    policy = roles.get_role_policy(RoleName=role, PolicyName="Secrets")["PolicyDocument"]
    policy["Statement"][0]["Action"].remove("secretsmanager:PutSecretValue")
    roles.put_role_policy(RoleName=role, PolicyName="Secrets", PolicyDocument=json.dumps(policy))
    kind, answer = stack.invoke(REFRESH)
    same((kind, "secretsmanager:PutSecretValue" in answer["errorMessage"]), ("AccessDenied", True), answer)
    ends_well(it.paste(shell=shell))
    it.inline("aws iam delete-role-policy", shell=shell)
    same(stack.invoke(REFRESH)[0], "AccessDenied", "without the repair")


@of("ReauthorizationRequired")
def reauthorization_required(it):
    with it.dead_grant():
        it.fails("ReauthorizationRequired")
        expect("authorize_url" in it.paste(), "The error does not name the event.")


@of("TikTokMisconfigured")
def misconfigured(it):
    good = it.document()
    it.put(good | {"secret": "somebody-mistyped-it"})
    it.fails("TikTokMisconfigured")
    it.put(it.document() | {"secret": good["secret"]})
    same(outcomes(it.paste()), ["dry_run", "refreshed"], "the dry run and the run")
    it.put(it.document() | {"flow": "tt_user"})

    def other_family(request):
        if "refresh_token" in request.path:
            return tiktok_says(40108, "Grant type is invalid.")

    with it.tiktok.rule(other_family):
        expect("Check 'flow'" in it.fails("TikTokMisconfigured"), "The error does not name the field.")
    it.inline("edit")
    same(it.refresh(), "refreshed", "the run without the wrong flow")


@of("TikTokThrottled")
def throttled(it):
    before = it.document()
    with it.tiktok.rule(lambda _: tiktok_says(40100, "Too many requests")):
        it.fails("TikTokThrottled")
    same(it.document(), before, "the secret after being throttled")
    it.metrics("TikTokThrottled")
    shown = it.paste()
    same(documents(shown)[0]["Datapoints"][0]["Sum"], 1.0, "how often it happened")
    ends_well(shown)


@of("TikTokUnavailable")
def unavailable(it):
    before = it.document()
    with it.tiktok.rule(lambda _: (503, {})):
        it.fails("TikTokUnavailable")
        it.send_and_lose(REFRESH)
        same(it.document(), before, "the secret while TikTok is down")
        it.usable()
    ends_well(it.paste())


@of("SecretsManagerUnavailable")
def secrets_manager_unavailable(it):
    # A run asks until its time is over, so it is given little.
    with it.configured(timeout=4), it.between.rule(lambda request: (500, {"__type": "InternalServiceError"})):
        it.fails("SecretsManagerUnavailable")
    ends_well(it.paste())


@of("SecretLimitExceeded")
def secret_limit_exceeded(it):
    def full(request):
        if request.action == "PutSecretValue":
            return aws_says("LimitExceededException", "The secret has as many versions as it can have.")

    with it.between.rule(full):
        expect("as many versions" in it.fails("SecretLimitExceeded"), "The error does not say what AWS said.")
    expect(len(json.loads(it.paste())) > 1, "The versions are not listed.")
    ends_well(it.paste(1))


def only_takes(*tokens):
    """TikTok lists no advertisers for other access tokens than these."""

    def rule(request):
        if "advertiser/get" in request.path and not any(map(request.mentions, tokens)):
            return tiktok_says(40105, "Access token is incorrect or has been revoked.")

    return rule


@of("NewTokenRejected")
def new_token_rejected(it):
    with it.tiktok.rule(only_takes(it.document()["access_token"])):
        it.fails("NewTokenRejected")
    expect('"waiting"' in it.paste(), "The tokens do not wait.")


@of("DeadlineExceeded")
def deadline_exceeded(it):
    with it.configured(timeout=10):
        it.fails("DeadlineExceeded")
        ends_well(it.paste())
        same(it.live()["Timeout"], 120, "the timeout of the alias")


@of("PartialFailure")
def partial_failure(it):
    second = it.another("second")
    it.secrets.delete_secret(SecretId=second, RecoveryWindowInDays=7)
    with it.configured(SECRET_ID=f"{it.secret_id},{second}"):
        it.fails("PartialFailure")
        it.invoke({"action": "refresh", "secret_ids": [it.secret_id]})
        shown = it.paste()
        expect(f"{second}: SecretNotFound:" in shown and f"{it.secret_id}:" not in shown, f"Not by secret:\n{shown}")
        it.secrets.restore_secret(SecretId=second)
        same(it.paste().strip(), "all in order", "afterwards")
        ends_well(it.inline("call", NAME=second))


# ----------------------------------------------------------------------------------------- events that do not get through


@of("Silence")
def silence(it):
    [schedule] = [found["Name"] for found in it.schedules() if found["ScheduleExpression"] == "rate(1 hour)"]
    it.schedules("DISABLED", schedule)
    shown = it.paste()
    it.schedules("ENABLED", schedule)
    expect(documents(shown)[0]["Datapoints"][0]["Sum"] > 0, "There were invocations.")
    same(("DISABLED" in shown, "ENABLED" in shown, "somebody@example.org" in shown), (True, True, True), shown)
    ends_well(shown)


@of("Undelivered events")
def undelivered(it):
    """The emulator's scheduler has no dead letters: the message is put there as AWS documents it."""
    text = {"ERROR_CODE": "ResourceNotFoundException", "ERROR_MESSAGE": "Function not found"}
    it.cloud.client("sqs").send_message(
        QueueUrl=it.stack.outputs["DeliveryDeadLetterQueueUrl"], MessageBody=json.dumps(IF_NEEDED),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in text.items()},
    )  # fmt: skip
    shown = it.paste()
    for sign in ("ResourceNotFoundException", "lambda:InvokeFunction"):
        expect(sign in shown, f"{sign} is not among:\n{shown}")
    same(it.messages("DeliveryDeadLetterQueue"), 1, "messages that were looked at")
    ends_well(it.paste(1))
    same(it.messages("DeliveryDeadLetterQueue"), 0, "messages after the purge")


@of("Failed events")
def failed(it):
    good = it.document()
    it.put(good | {"flow": "bogus"})
    it.send_and_lose(IF_NEEDED)
    it.put(good)
    shown = it.paste()
    expect('{"action":"refresh","if_needed":true} InvalidSecret: ' in shown, f"The event is not among:\n{shown}")
    same(it.messages("ExecutionFailureQueue"), 1, "messages that were looked at")
    ends_well(it.paste(1))


@of("No concurrency")
def no_concurrency(it):
    functions = it.cloud.client("lambda")
    functions.put_function_concurrency(FunctionName=it.function, ReservedConcurrentExecutions=0)
    shown = it.paste()
    same((shown.split()[0].isdigit(), documents(shown)[-1]), (True, {"ReservedConcurrentExecutions": 0}), shown)
    ends_well(it.paste(1))
    left = functions.get_function_concurrency(FunctionName=it.function)
    expect("ReservedConcurrentExecutions" not in left, "The reservation is still there.")


@of("Schedules off and on")
def schedules(it):
    before = it.schedules()
    it.paste()
    same({schedule["State"] for schedule in it.schedules()}, {"DISABLED"}, "the schedules")
    off = it.shell.set_up
    it.shell.set_up += "\n" + it.shell.paste(it.block(0).rpartition("\n")[0] + "\ndeclare -f")
    ends_well(it.paste(1), "fresh")
    it.shell.set_up = off
    times = ("LastModificationDate", "CreationDate")
    plain = [[{key: value for key, value in it.items() if key not in times} for it in found] for found in (before, it.schedules())]
    same(plain[1], plain[0], "the schedules, switched on again")
    asked = []

    def cancelled(request):
        if request.action == "CancelRotateSecret":
            asked.append(json.loads(request.body))
            return 200, {"ARN": it.secret_id, "Name": it.name}

    with it.between.rule(cancelled):
        it.inline("aws secretsmanager cancel-rotate-secret")
    same(asked, [{"SecretId": it.secret_id}], "what Secrets Manager is asked")


@of("Skipped secrets")
def left_over(it):
    with it.configured(SECRET_ID=f"{it.secret_id},{it.another('left-over')}"):
        expect(it.paste().strip() in ('["fresh","fresh"]', '{"fresh":2}'), "There is something left.")


# ------------------------------------------------------------------------------------------------------ tokens and secrets


@of("Authorize again")
def authorize(it):
    with it.dead_grant():
        dead = it.document()["refresh_token"]
        link = it.paste().strip()
        ends_well(it.paste(1, typed=f"{consent(link)}\n"), "authorized")
        expect(it.document()["refresh_token"] != dead, "The tokens are the old ones.")
        it.usable()


@of("Kept")
def kept(it):
    def rejected(request):
        if "refresh_token" in request.path:
            return tiktok_says(40107, "Refresh token is invalid.")

    with it.tiktok.rule(rejected):
        same(it.refresh(), "kept", "a rejected refresh token")
        ends_well(it.paste(), "verified")
    it.shell.paste("edit --remove flow")


@of("Stale advertisers")
def stale(it):
    def forbidden(request):
        if "advertiser/get" in request.path:
            return tiktok_says(40001, "No permission")

    with it.tiktok.rule(forbidden):
        shown = it.paste()
        expect("40001" in shown and documents(shown)[-1]["advertisers_stale"], f"It does not say why:\n{shown}")
    same(documents(it.paste())[-1]["advertisers_stale"], False, "the list, once TikTok permits it")


@of("Roll back the tokens")
def roll_back(it):
    good = it.document()
    it.put({name: good[name] for name in ("app_id", "secret")} | {"access_token": "pasted", "refresh_token": "by-mistake"})
    it.fails("ReauthorizationRequired")
    shown = it.paste()
    for token in (good["access_token"], good["refresh_token"], "pasted"):
        expect(token not in shown, "A token is shown.")
    rows = [row.split("\t") for row in shown.splitlines()]
    # Those with both tokens and a time are good; what was pasted was never refreshed.
    expect(any("AWSPREVIOUS" in row[3] and row[1].startswith("20") and row[2] == "access_token+refresh_token" for row in rows), shown)
    expect(any("AWSCURRENT" in row[3] and row[1] == "never refreshed" for row in rows), shown)
    ends_well(it.paste(1))
    it.usable()
    # A refresh cannot be rolled back: the tokens of the version before are spent, and the function finds those after them.
    newest = it.document()["refresh_token"]
    ends_well(it.paste(1), "resumed")
    same(it.document()["refresh_token"], newest, "the refresh token after rolling a refresh back")


@of("Change the app's secret")
def app_secret(it):
    right = it.document()["secret"]
    it.put(it.document() | {"secret": "the old one"})
    it.fails("TikTokMisconfigured")
    it.file("new-app-secret.txt", f"{right}\n")
    ends_well(it.paste())
    same((it.document()["secret"], it.exists("new-app-secret.txt")), (right, False), "the secret and the file")
    inline = it.document()
    app = it.secrets.create_secret(Name=f"{it.name}/app", SecretString=json.dumps(it.world.app() | {"secret": "the old one"}))["ARN"]
    it.put({name: value for name, value in inline.items() if name not in ("app_id", "secret")} | {"app_secret_id": app})
    it.fails("TikTokMisconfigured")
    it.file("new-app-secret.txt", right)
    ends_well(it.paste(1))
    same(it.document(app)["secret"], right, "the shared secret")
    expect("secret" not in it.document(), "The shared secret is in the wrong place.")


@of("A staged version waits")
def staged(it):
    before = it.document()["access_token"]
    with it.tiktok.rule(only_takes(before)):
        it.fails("NewTokenRejected")
    same((it.status()["staged"], it.document()["access_token"]), ("waiting", before), "the secret while new tokens wait")
    shown = it.paste()
    ends_well(shown, "resumed")
    same((documents(shown)[-1]["staged"], it.document()["access_token"] != before), ("none", True), "afterwards")
    it.usable()


@of("A foreign AWSPENDING")
def foreign(it):
    it.put({"app_id": "somebody", "secret": "else"}, VersionStages=["AWSPENDING"])
    same(it.refresh(), "refreshed", "a run beside it")
    same(it.document(label="AWSPENDING")["app_id"], "somebody", "AWSPENDING")
    same(it.status()["staged"], "foreign", "the status")
    same(documents(it.paste())[-1], {"staged": "none", "warnings": []}, "the status afterwards")


@of("A claim that seems stuck")
def claim(it):
    def held(request):
        if "refresh_token" in request.path:
            it.reached.set()
            return Between.HANG

    it.reached = threading.Event()
    # The shortest in which a token is redeemed at all, so that the claim ends soon.
    with it.configured(timeout=17):
        with it.tiktok.rule(held):
            run = threading.Thread(target=it.invoke, args=[REFRESH], daemon=True)
            run.start()
            expect(it.reached.wait(30), "The run does not redeem.")
            it.kill()
        shown = it.paste()
        same((documents(shown)[0]["claim"]["live"], outcomes(shown)[-1]), (True, "in_progress"), shown)
        until(lambda: not (it.status()["claim"] or {}).get("live"), "the claim's end", 40)
        shown = it.paste()
        same((documents(shown)[0]["claim"]["live"], outcomes(shown)[-1]), (False, "refreshed"), shown)


@of("A secret near 64 KB")
def size(it):
    it.put(it.document() | {"notes": "x" * 58_000})
    expect("bytes" in it.fails("InvalidSecret"), "The error does not speak of bytes.")
    same(it.paste().split()[:2], ["58002", "notes"], "the largest field")
    same(documents(it.paste(1))[-1], {"outcome": "refreshed", "warnings": []}, "afterwards")


@of("KMS key disabled")
def key(it):
    """The key is the emulator's; while it is disabled, the stand-in answers as AWS does."""
    keys = it.cloud.client("kms")
    key = keys.create_key()["KeyMetadata"]["KeyId"]
    keys.disable_key(KeyId=key)

    def encrypted(request):
        if request.action == "DescribeSecret":
            described = it.secrets.describe_secret(SecretId=it.secret_id)
            return 200, {"ARN": described["ARN"], "Name": described["Name"], "KmsKeyId": key}
        if request.action in ("GetSecretValue", "PutSecretValue"):
            if keys.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] != "Enabled":
                return aws_says("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text using the provided KMS key.")

    with it.between.rule(encrypted):
        expect("enabled" in it.fails("AccessDenied"), "The error does not speak of the key.")
        shown = it.paste()
        same(shown.split()[0], "Disabled", "the key's state")
        ends_well(shown)
        keys.schedule_key_deletion(KeyId=key)
        it.fails("AccessDenied")
        it.shell.set_up += f"\nKEY={key}"
        it.inline("aws kms cancel-key-deletion")
        ends_well(it.paste())


@of("Restore a deleted secret")
def restore(it):
    it.secrets.delete_secret(SecretId=it.secret_id, RecoveryWindowInDays=7)
    it.fails("SecretNotFound")
    ends_well(it.paste())


@of("Move to another account or region")
def move(it):
    new = it.secrets.create_secret(Name=f"{it.name}/moved")["ARN"]
    it.file("config", "[profile new]\naws_access_key_id = test\naws_secret_access_key = test\n")
    it.paste(NEW_SECRET=new, AWS_CONFIG_FILE="config")
    same(it.document(new)["refresh_token"], it.document()["refresh_token"], "the copied refresh token")
    same(it.refresh(secret_ids=[new]), "refreshed", "the run in the new place")
    it.usable(new)
    # Two functions with one refresh token: what the text warns of.
    expect(it.answer(REFRESH) in ("kept", "ReauthorizationRequired"), "The old place can still refresh.")
    it.put(it.document(new))


# ------------------------------------------------------------------------------------------------------------ the function


@of("Roll back the function")
def roll_back_function(it):
    with it.configured(MIN_TOKEN_LIFETIME="11h"), it.configured(MIN_TOKEN_LIFETIME="soon"):
        it.fails("InvalidConfiguration")
        ends_well(it.paste(), "fresh")
        same(it.live()["Environment"]["Variables"]["MIN_TOKEN_LIFETIME"], "11h", "what the alias runs with")


@of("Read the logs")
def logs(it):
    it.put(it.document() | {"flow": "bogus"})
    it.fails("InvalidSecret")
    it.put({name: value for name, value in it.document().items() if name != "flow"})
    it.refresh()
    with it.tiktok.rule(lambda _: tiktok_says(40113, "Incorrect app secret")):
        it.fails("TikTokMisconfigured")
    found = it.paste()
    for sign in ('"error_type":"InvalidSecret"', '"outcome":"Refreshed"', '"error_type":"TikTokMisconfigured"'):
        expect(sign in found, f"{sign} is not among:\n{found}")


@of("Test an alarm")
def alarm(it):
    shown = it.paste()
    [found] = it.cloud.client("cloudwatch").describe_alarms(AlarmNames=[it.stack.physical("ErrorsAlarm")])["MetricAlarms"]
    same((found["StateValue"], found["StateReason"]), ("ALARM", "a trial"), "the alarm")
    expect("ALARM" in shown, f"The history does not have it:\n{shown}")
