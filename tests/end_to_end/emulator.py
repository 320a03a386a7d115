"""MiniStack, an emulator of AWS that enforces IAM and runs the deployed zip as a process, and what it cannot do."""

import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import boto3
from botocore.config import Config
from samtranslator.yaml_helper import yaml_parse

from checks.build import built
from checks.tools import PAGE, PROJECT, WORK, Failure, dump, environment_of, free_port, offline, process, run

REGION = "eu-west-1"
# MiniStack's administrator.
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
# MiniStack refuses alarms over metric math, and knows no composite alarms. There, such an alarm watches the first metric of
# its expression instead.
METRIC_MATH = ("NoInvocationsAlarm", "DeliveryAlarm", "FleetSecretsInvalidAlarm", "FleetCapacityAlarm", "FleetExecutionsFailedAlarm")


class Cloud:
    def __init__(self, url, scratch):
        self.url, self.scratch = url, scratch

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

    def deploy(self, name, parameters=None, change=lambda template: None):
        """`sam deploy` of the built template, with what the emulator needs."""
        template = yaml_parse(built().read_text())
        template["Resources"]["Function"]["Properties"]["CodeUri"] = str(built().parent / "Function")
        for path in ("LicenseUrl", "ReadmeUrl"):
            del template["Metadata"]["AWS::ServerlessRepo::Application"][path]
        simpler_alarms(template)
        change(template)
        path = self.scratch / f"{name}.json"
        path.write_text(dump(template))
        values = {"Architecture": "x86_64"} | (parameters or {})
        overrides = [f'{key}="{value}"' for key, value in values.items()]
        command = ["sam", "deploy", "--template-file", path, "--stack-name", name, "--resolve-s3", "--no-confirm-changeset"]
        command += ["--no-fail-on-empty-changeset", "--capabilities", "CAPABILITY_NAMED_IAM", "--no-progressbar"]
        run([*command, "--parameter-overrides", *overrides], "sam deploy failed", env=self.environment(), cwd=self.scratch)
        return Stack(self, name)

    def deploy_page(self, stack):
        """The page's own stack."""
        self.aws(f"{stack.name}-page", PAGE, FunctionName=stack.outputs["FunctionName"])
        return Stack(self, f"{stack.name}-page")

    def aws(self, name, template, *more, **parameters):
        """`aws cloudformation deploy`, as the documentation has it."""
        command = [environment_of("aws") / "aws", "cloudformation", "deploy", "--stack-name", name, "--template-file", template, *more]
        command += ["--capabilities", "CAPABILITY_NAMED_IAM", "--no-fail-on-empty-changeset"]
        overrides = ["--parameter-overrides", *(f"{key}={value}" for key, value in parameters.items())] if parameters else []
        run([*command, *overrides], "aws cloudformation deploy failed", env=self.environment(), cwd=self.scratch)

    def environment(self):
        return offline() | KEYS | {"AWS_ENDPOINT_URL": self.url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


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

    def secret(self, output="SecretArn"):
        """What AWSCURRENT of a secret holds."""
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
    """MiniStack on a free port of loopback, with IAM enforced."""
    python = environment_of("emulator") / "python"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK, prefix="cloud-") as scratch:
        scratch = type(WORK)(scratch)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = kept | {
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
            "TMPDIR": str(scratch),
        }
        log = scratch / "ministack.log"
        with log.open("w") as output:
            command = [python, "-m", "ministack"]
            with process(command, env=environment, cwd=scratch, stdout=output, stderr=output) as running:
                try:
                    await_health(url, running)
                    yield Cloud(url, scratch)
                except BaseException:
                    lines = [line[:300] for line in log.read_text().splitlines()]
                    print("The end of what MiniStack logged:", *lines[-40:], sep="\n", flush=True)
                    raise


def await_health(url, running):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + 60
    while True:
        try:
            opener.open(f"{url}/_ministack/health", timeout=5).close()
            return
        except (OSError, urllib.error.URLError) as error:
            if running.poll() is not None or time.monotonic() > until:
                raise Failure(f"MiniStack did not start: {error}") from None
            time.sleep(0.1)


@contextmanager
def tiktok():
    """The project's stand-in for TikTok; yields its address and a credentials document that it knows the tokens of."""
    run(["cargo", "build", "--locked", "--quiet", "--package", "stand-ins"], "the stand-ins did not build", cwd=PROJECT)
    target = WORK.parent / "debug" / "stand-ins"
    with process([target], stdout=subprocess.PIPE, text=True, env=offline()) as running:
        variables = {}
        for line in running.stdout:
            if line.strip() == "READY":
                break
            name, _, value = line.strip().partition("=")
            variables[name] = value
        else:
            raise Failure("The stand-ins ended before they were ready.")
        secrets = boto3.client(
            "secretsmanager",
            endpoint_url=variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
            region_name=REGION,
            aws_access_key_id="anybody",
            aws_secret_access_key="anything",
            config=Config(proxies={}),
        )
        value = secrets.get_secret_value(SecretId=variables["SECRET_ID"], VersionStage="AWSCURRENT")
        yield variables["TIKTOK_API_URL"], json.loads(value["SecretString"])
