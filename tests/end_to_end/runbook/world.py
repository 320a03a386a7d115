"""The place where the runbook's commands run: the stack of infra/template.yaml in an emulator of AWS, with the real function in it.

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

import shutil
import subprocess
import zipfile
from urllib.parse import urlsplit

import boto3
import emulator
from support import PROJECT, TARGET, secret

# Instead of a minute: runs that wait for something to come back give up after seconds. Less than 15, and none would redeem.
TIMEOUT = 20


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
        self.code = cloud.upload(self.package())

    def app(self):
        """The fields that a person puts into a secret that is not authorized yet."""
        return {name: self.credentials[name] for name in ("app_id", "secret")}

    def package(self):
        """The function of the tests as Lambda takes it, without its debug information."""
        file, binary = self.scratch / "function.zip", self.scratch / "bootstrap"
        subprocess.run(["strip", "-o", binary, TARGET / "debug/tiktok-token-refresh"], check=True)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(binary, "bootstrap")
        return file

    def deploy(self, name, tiktok, secrets, **parameters):
        """The stack of that name, whose function finds TikTok and Secrets Manager at these addresses."""

        def change(template):
            variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
            variables |= {"TIKTOK_API_URL": tiktok + self.api, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets}
            # Lambda sets it where the function's logging is configured so; the emulator does not.
            variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
            template["Parameters"]["TimeoutSeconds"]["MinValue"] = 1
            emulator.fillable_queues(template)

        return self.cloud.deploy(name, {"TimeoutSeconds": TIMEOUT} | parameters, code=self.code, change=change)

    def environment(self, directory, secrets):
        """The variables of a person's shell. `aws` is the real one; not every version of it heeds the variables for endpoints."""
        program = directory / "aws"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = secretsmanager ] && at={secrets} || at={self.cloud.url}\n'
            f'exec {shutil.which("aws")} --endpoint-url "$at" "$@"\n'
        )
        program.chmod(0o755)
        kept = emulator.without_aws()
        path = {"PATH": f"{directory}:{kept['PATH']}"}
        region = {"AWS_REGION": emulator.REGION, "AWS_DEFAULT_REGION": emulator.REGION}
        return kept | path | region | emulator.KEYS | {"AWS_MAX_ATTEMPTS": "1", "REPOSITORY": str(PROJECT)}
