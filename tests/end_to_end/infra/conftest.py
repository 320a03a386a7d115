"""An emulator and a stand-in for TikTok for each file of tests, and the function that .ci/run has built with `sam build`."""

import functools
import json
import subprocess
import zipfile

import boto3
import emulator
import pytest
from botocore.config import Config


@pytest.fixture(scope="session")
def zipped(tmp_path_factory):
    """The function as Lambda takes it."""
    file = tmp_path_factory.mktemp("function") / "function.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(emulator.BUILT / "Function/bootstrap", "bootstrap")
    return file


@pytest.fixture(scope="module")
def cloud():
    with emulator.cloud() as it:
        yield it


class TikTok:
    """The project's stand-in: its address, and a credentials document whose tokens it knows."""

    def __init__(self, variables):
        self.url = variables["TIKTOK_API_URL"]
        secrets = boto3.client(
            "secretsmanager",
            endpoint_url=variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
            region_name=emulator.REGION,
            aws_access_key_id="anybody",
            aws_secret_access_key="anything",
            config=Config(proxies={}),
        )
        value = secrets.get_secret_value(SecretId=variables["SECRET_ID"], VersionStage="AWSCURRENT")
        self.document = json.loads(value["SecretString"])


@pytest.fixture(scope="module")
def tiktok():
    command = [emulator.TARGET / "debug/stand-ins"]
    with emulator.process(command, stdout=subprocess.PIPE, text=True, env=emulator.without_aws()) as running:
        lines = iter(running.stdout.readline, "READY\n")
        yield TikTok(dict(line.strip().split("=", 1) for line in lines))


@pytest.fixture(scope="module")
def stand_ins_for(cloud, tiktok):
    """Changes a template so that its function finds the stand-in and the emulator."""

    def change(template):
        variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
        variables |= {"TIKTOK_API_URL": tiktok.url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": cloud.url}

    return change


@pytest.fixture(scope="module")
def deploy(cloud, zipped, stand_ins_for):
    """Deploys a stack with the function, by its name and the parameters."""
    return functools.partial(cloud.deploy, code=cloud.upload(zipped), change=stand_ins_for)
