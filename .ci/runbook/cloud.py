"""Where the runbook's commands run: the stack of infra/template.yaml in an emulator of AWS, with the real function in it.

The function's Secrets Manager is the strict stand-in, its TikTok the other one; the emulator has the rest. What `sam deploy`
would do is done here without it, since the binary of the tests is good enough.
"""

import http.client
import io
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import zipfile
from contextlib import contextmanager
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), "infra"]

from checks import emulator
from checks.template import written
from function import Failure, secrets_manager, stand_ins

BUCKET = "artifacts"
# Instead of a minute: runs that wait for something to come back give up after seconds. Less than 15, and none would redeem.
TIMEOUT = 20
# What the emulator, which speaks plain HTTP, does not let anybody past.
TRANSPORT = ("DeliveryDeadLetterQueuePolicy", "ExecutionFailureQueuePolicy")


@contextmanager
def world(target):
    """Both stand-ins and the emulator, which has the function's package."""
    with stand_ins([str(target / "debug/stand-ins")]) as variables, emulator.cloud() as cloud:
        yield World(cloud, variables, target)


class World:
    def __init__(self, cloud, variables, target):
        self.cloud, self.target = cloud, target
        self.tiktok, self.api = variables["TIKTOK_API_URL"], urllib.parse.urlsplit(variables["TIKTOK_API_URL"]).path
        self.origin = self.tiktok.removesuffix(self.api)
        self.strict = variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"]
        where = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": self.strict, "AWS_REGION": emulator.REGION}
        self.secrets = secrets_manager(where | emulator.KEYS)
        self.credentials = self.document(variables["SECRET_ID"])
        self.bucket()

    def app(self):
        """What a person puts into a secret that is not authorized yet."""
        return {name: self.credentials[name] for name in ("app_id", "secret")}

    def bucket(self):
        package = io.BytesIO()
        binary = self.target / "runbook-bootstrap"
        subprocess.run(["strip", "-o", binary, self.target / "debug/tiktok-token-refresh"], check=True)
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
        return kept | path | region | emulator.KEYS | {"AWS_MAX_ATTEMPTS": "1", "REPOSITORY": str(Path.cwd())}

    def document(self, secret, label="AWSCURRENT"):
        return json.loads(self.secrets.get_secret_value(SecretId=secret, VersionStage=label)["SecretString"])


def consent(link):
    """What a person does with the link of authorize_url: the address that their browser ends on."""
    page = urllib.parse.urlsplit(link)
    connection = http.client.HTTPConnection(page.netloc, timeout=60)
    connection.request("GET", f"/portal/decision?{page.query}&choice=0&decision=allow")
    address = connection.getresponse().headers["Location"]
    if not address or "auth_code=" not in address:
        raise Failure("TikTok's stand-in does not consent.")
    return address


def until(so, what, seconds=60):
    """Waits for what has to become so, and returns it."""
    end = time.monotonic() + seconds
    while not (found := so()):
        if time.monotonic() > end:
            raise Failure(f"Within {seconds} s there was no sign of {what}.")
        time.sleep(0.3)
    return found
