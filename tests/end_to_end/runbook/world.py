"""Where the runbook's commands run: the stack of infra/template.yaml in an emulator of AWS, with the real function in it.

The function's Secrets Manager is the strict stand-in, its TikTok the other one; the emulator has the rest. What `sam deploy`
would do is done here without it, since the binary of the tests is good enough. What is not as in AWS:

- EventBridge Scheduler's dead letters: the emulator has none, so a message is put into the queue as AWS documents it.
- Metrics from log lines: the emulator takes none from them, so the function's line is handed to CloudWatch as it stands.
- A disabled KMS key: the emulator's key decides, and the stand-in answers as AWS does.
- A reserved concurrency: the emulator keeps the number, and calls the function all the same.
- Another account: another secret behind a profile of the same credentials.
- aws secretsmanager cancel-rotate-secret: no emulator has it, so what the AWS CLI asks for is looked at.
- sam deploy, sam delete: see the stage infra.
"""

import io
import json
import os
import shutil
import subprocess
import zipfile
from urllib.parse import urlsplit

import boto3
import emulator
from checks.template import written
from support import PROJECT, TARGET, secret

BUCKET = "artifacts"
# Instead of a minute: runs that wait for something to come back give up after seconds. Less than 15, and none would redeem.
TIMEOUT = 20
# What the emulator, which speaks plain HTTP, does not let anybody past.
TRANSPORT = ("DeliveryDeadLetterQueuePolicy", "ExecutionFailureQueuePolicy")


class World:
    """Both stand-ins and the emulator, which has the function's package."""

    def __init__(self, cloud, variables, scratch):
        self.cloud, self.scratch = cloud, scratch
        tiktok = urlsplit(variables["TIKTOK_API_URL"])
        self.origin, self.api = f"http://{tiktok.netloc}", tiktok.path
        self.strict = variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"]
        keys = {name.lower(): key for name, key in emulator.KEYS.items()}
        self.secrets = boto3.client("secretsmanager", endpoint_url=self.strict, region_name=emulator.REGION, **keys)
        self.credentials = secret(self.secrets, variables["SECRET_ID"])
        self.bucket()

    def app(self):
        """What a person puts into a secret that is not authorized yet."""
        return {name: self.credentials[name] for name in ("app_id", "secret")}

    def bucket(self):
        package = io.BytesIO()
        binary = self.scratch / "bootstrap"
        subprocess.run(["strip", "-o", binary, TARGET / "debug/tiktok-token-refresh"], check=True)
        with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, binary.read_bytes(), zipfile.ZIP_DEFLATED, 1)
        objects = self.cloud.client("s3")
        objects.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": emulator.REGION})
        objects.put_object(Bucket=BUCKET, Key="function.zip", Body=package.getvalue())

    def deploy(self, name, tiktok, secrets, **parameters):
        """The stack of that name, whose function finds TikTok and Secrets Manager at these addresses."""
        template = written()
        template["Resources"]["Function"]["Properties"]["CodeUri"] = {"Bucket": BUCKET, "Key": "function.zip"}
        variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
        variables |= {"TIKTOK_API_URL": tiktok + self.api, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets}
        # Lambda sets it where the function's logging is configured so; the emulator does not.
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        template["Parameters"]["TimeoutSeconds"]["MinValue"] = 1
        # The emulator knows the destinations of the unqualified function alone.
        template["Resources"]["FunctionEventInvokeConfig"]["Properties"]["Qualifier"] = "$LATEST"
        emulator.simpler_alarms(template)
        for policy in TRANSPORT:
            del template["Resources"][policy]
        values = {"Architecture": "x86_64", "TimeoutSeconds": TIMEOUT} | parameters
        formation = self.cloud.client("cloudformation")
        self.cloud.client("s3").put_object(Bucket=BUCKET, Key=f"{name}.json", Body=json.dumps(template, default=str))
        formation.create_stack(
            StackName=name, TemplateURL=f"{self.cloud.url}/{BUCKET}/{name}.json",
            Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": str(value)} for key, value in values.items()],
        )  # fmt: skip
        formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 90})
        return emulator.Stack(self.cloud, name)

    def environment(self, directory, secrets):
        """What a person's shell has. `aws` is the real one; not every version of it heeds the variables for endpoints."""
        program = directory / "aws"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = secretsmanager ] && at={secrets} || at={self.cloud.url}\n'
            f'exec {shutil.which("aws")} --endpoint-url "$at" "$@"\n'
        )
        program.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        path = {"PATH": f"{directory}:{kept['PATH']}"}
        region = {"AWS_REGION": emulator.REGION, "AWS_DEFAULT_REGION": emulator.REGION}
        return kept | path | region | emulator.KEYS | {"AWS_MAX_ATTEMPTS": "1", "REPOSITORY": str(PROJECT)}
