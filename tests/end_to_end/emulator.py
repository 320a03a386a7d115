"""MiniStack, an emulator of AWS that enforces IAM and runs the deployed zip as a process, and what it cannot do."""

import json
import os
import socket
import subprocess
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from checks.template import PAGE, written

from support import TARGET, process, until

# What `sam build` has built, in stage_infra of .ci/run.
BUILT = TARGET / "infra/sam"
REGION = "eu-west-1"
# MiniStack's administrator.
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
BUCKET = "deployments"
# MiniStack refuses alarms over metric math, and knows no composite alarms. There, such an alarm watches the first metric of
# its expression instead.
METRIC_MATH = (
    "NoInvocationsAlarm",
    "DeliveryAlarm",
    "FleetSecretsInvalidAlarm",
    "FleetCapacityAlarm",
    "FleetExecutionsFailedAlarm",
)


class Cloud:
    def __init__(self, url, scratch):
        self.url, self.scratch = url, scratch
        bucket = {"LocationConstraint": REGION}
        self.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=bucket)

    def client(self, service, keys=KEYS):
        config = Config(retries={"max_attempts": 1}, read_timeout=120, proxies={})
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=keys.get("AWS_SESSION_TOKEN"),
            config=config,
        )

    def upload(self, file):
        """The CodeUri of a zip that is in the bucket."""
        self.client("s3").upload_file(str(file), BUCKET, file.name)
        return {"Bucket": BUCKET, "Key": file.name}

    def deploy(self, name, parameters=None, *, code, change=lambda template: None):
        """Creates a stack of the template with that code, without the SAM CLI, which takes seconds to start."""
        template = written()
        template["Resources"]["Function"]["Properties"]["CodeUri"] = code
        simpler_alarms(template)
        change(template)
        self.client("s3").put_object(Bucket=BUCKET, Key=f"{name}.json", Body=json.dumps(template, default=str))
        values = {"Architecture": "x86_64"} | (parameters or {})
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=name,
            TemplateURL=f"{self.url}/{BUCKET}/{name}.json",
            Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": str(value)} for key, value in values.items()],
        )
        formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.3, "MaxAttempts": 300})
        return Stack(self, name)

    def run(self, *command, cwd=None):
        """Runs a command to its end, with the emulator as its AWS."""
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd or self.scratch, env=self.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        failed = done.returncode != 0
        assert not failed, done.stdout
        return done.stdout

    def aws_deploy(self, name, template, *more, **parameters):
        """`aws cloudformation deploy`, as the documentation has it."""
        command = ["aws", "cloudformation", "deploy", "--stack-name", name, "--template-file", template, *more]
        command += ["--capabilities", "CAPABILITY_NAMED_IAM", "--no-fail-on-empty-changeset"]
        overrides = ["--parameter-overrides", *(f"{key}={value}" for key, value in parameters.items())] if parameters else []
        self.run(*command, *overrides)
        return Stack(self, name)

    def deploy_page(self, stack):
        """The page's own stack."""
        return self.aws_deploy(f"{stack.name}-page", PAGE, FunctionName=stack.outputs["FunctionName"])

    def environment(self):
        """The emulator's address and credentials, no others, and no telemetry."""
        region = {"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION, "SAM_CLI_TELEMETRY": "0"}
        return without_aws() | region | KEYS | {"AWS_ENDPOINT_URL": self.url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


class Stack:
    def __init__(self, cloud, name):
        self.cloud, self.name = cloud, name
        formation = cloud.client("cloudformation")
        (described,) = formation.describe_stacks(StackName=name)["Stacks"]
        self.status = described["StackStatus"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        summaries = formation.get_paginator("list_stack_resources").paginate(StackName=name)
        self.resources = {
            it["LogicalResourceId"]: (it["ResourceType"], it["PhysicalResourceId"])
            for page in summaries
            for it in page["StackResourceSummaries"]
        }

    def physical(self, logical):
        return self.resources[logical][1]

    def invoke(self, event):
        """Invokes the alias and returns the error type, if it failed, and the answer."""
        done = self.cloud.client("lambda").invoke(
            FunctionName=self.outputs["FunctionAliasArn"], Payload=json.dumps(event).encode()
        )
        answer = json.loads(done["Payload"].read())
        return (answer.get("errorType"), answer) if "FunctionError" in done else (None, answer)

    def outcome(self, **event):
        """The outcome of an event that succeeds."""
        error, answer = self.invoke(event)
        assert error is None, answer
        return answer["results"][0].get("outcome")

    def secret(self, output="SecretArn"):
        """The document in AWSCURRENT of a secret."""
        secrets = self.cloud.client("secretsmanager")
        value = secrets.get_secret_value(SecretId=self.outputs[output], VersionStage="AWSCURRENT")
        return json.loads(value["SecretString"])

    def put_secret(self, document):
        self.cloud.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["SecretArn"], SecretString=json.dumps(document)
        )

    def logs(self):
        events = self.cloud.client("logs").get_paginator("filter_log_events")
        pages = events.paginate(logGroupName=self.physical("FunctionLogGroup"))
        return [event["message"] for page in pages for event in page["events"]]


def role_with(cloud, name, *policies, managed=()):
    """Secrets Manager as a role sees it that has these policies and nothing else."""
    iam, account = cloud.client("iam"), cloud.client("sts").get_caller_identity()["Account"]
    allow = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    for number, policy in enumerate(policies):
        iam.put_role_policy(RoleName=name, PolicyName=f"policy{number}", PolicyDocument=json.dumps(policy))
    for policy in managed:
        iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    given = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"]
    keys = {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }
    return cloud.client("secretsmanager", keys)


def may(call, **arguments):
    """True if a call is allowed."""
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    return True


def fillable_queues(template):
    """Lets the emulator deliver to the queues: it speaks plain HTTP, and knows the destinations of the unqualified function alone."""
    template["Resources"]["FunctionEventInvokeConfig"]["Properties"]["Qualifier"] = "$LATEST"
    for policy in ("DeliveryDeadLetterQueuePolicy", "ExecutionFailureQueuePolicy"):
        del template["Resources"][policy]


def simpler_alarms(template):
    """Alarms without metric math, and one with a metric of its own in the place of the composite alarm."""
    for name in METRIC_MATH:
        alarm = template["Resources"][name]["Properties"]
        (first, *_) = [it["MetricStat"] for it in alarm.pop("Metrics") if "MetricStat" in it]
        alarm |= first["Metric"] | {"Statistic": first["Stat"], "Period": first["Period"]}
    errors, composite = (template["Resources"][it]["Properties"] for it in ("ErrorsAlarm", "CredentialsAtRiskAlarm"))
    del composite["AlarmRule"]
    template["Resources"]["CredentialsAtRiskAlarm"] = {"Type": "AWS::CloudWatch::Alarm", "Properties": errors | composite}


@contextmanager
def cloud():
    """MiniStack, which is on PATH, on a free port of loopback, with IAM enforced."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(dir=TARGET, prefix="cloud-") as directory:
        scratch = Path(directory)
        environment = without_aws() | {
            "AUTH": "true",
            "AWS_ENDPOINT_URL": url,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.1",
            "LAMBDA_EXECUTOR": "local",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",
            # A state machine's retries come at once.
            "SFN_WAIT_SCALE": "0",
            "STATE_DIR": str(scratch / "state"),
            "TMPDIR": directory,
        }
        log = scratch / "ministack.log"
        with (
            log.open("w") as output,
            process(["ministack"], env=environment, cwd=scratch, stdout=output, stderr=output) as running,
        ):
            try:
                until(lambda: healthy(url, running), "MiniStack")
                yield Cloud(url, scratch)
            except BaseException:
                lines = [line[:300] for line in log.read_text().splitlines()]
                print("The end of what MiniStack logged:", *lines[-40:], sep="\n", flush=True)
                raise


def healthy(url, running):
    assert running.poll() is None, "MiniStack ended."
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/_ministack/health", timeout=5).close()
        return True
    except OSError:
        return False


def without_aws():
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
