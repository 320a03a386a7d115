"""An emulator and a stand-in for TikTok for each file of tests, and the function that .ci/run has built with `sam build`."""

import functools
import zipfile

import boto3
import emulator
import pytest
from support import AWS, SECRET, secret, stand_ins


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
    """The stand-in: its address, and a credentials document whose tokens it knows."""

    def __init__(self, variables):
        keys = {key: AWS[key.upper()] for key in ("aws_access_key_id", "aws_secret_access_key")}
        where = {"endpoint_url": variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"], "region_name": emulator.REGION}
        self.url, self.document = variables["TIKTOK_API_URL"], secret(boto3.client("secretsmanager", **where, **keys), SECRET)


@pytest.fixture(scope="module")
def tiktok():
    with stand_ins() as variables:
        yield TikTok(variables)


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
