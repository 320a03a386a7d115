"""A release's files, by themselves in a folder, deploy without Rust, Zig or the repository, and the function works."""

import json
import os
import shutil
import subprocess
import sys

import emulator
import pytest
from checks.template import PROJECT
from samtranslator.yaml_helper import yaml_parse

BUCKET = "releases"


@pytest.fixture(scope="module")
def release(zipped, tmp_path_factory):
    """The files that `.ci/release.py` makes of the built function, for this machine's architecture."""
    folder = tmp_path_factory.mktemp("release") / "files"
    subprocess.run([sys.executable, PROJECT / ".ci/release.py", "deployable", zipped, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def bucket(cloud):
    cloud.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": emulator.REGION})
    return cloud.client("s3")


@pytest.fixture
def folder(release, tmp_path):
    return shutil.copytree(release, tmp_path / "release")


@pytest.fixture
def adapt(stand_ins_for):
    """Changes a file for the emulator's own needs alone: no metric math in alarms, and the stand-ins' addresses."""

    def change(file):
        template = yaml_parse(file.read_text())
        emulator.simpler_alarms(template)
        stand_ins_for(template)
        file.write_text(json.dumps(template, default=str))

    return change


@pytest.fixture
def refreshes(tiktok):
    """Holds a stack to what it is for."""

    def check(stack):
        assert stack.status == "CREATE_COMPLETE"
        stack.put_secret(tiktok.document | {"publish": json.loads(stack.outputs["PublishField"])})
        assert stack.outcome(action="refresh") == "refreshed"
        # Its tokens are the next one's.
        tiktok.document |= {key: stack.secret()[key] for key in tiktok.document}

    return check


def test_it_deploys_with_sam(cloud, bucket, folder, adapt, refreshes):
    adapt(folder / "template-x86_64.yaml")
    command = ["sam", "deploy", "--template-file", "template-x86_64.yaml", "--stack-name", "sam", "--s3-bucket", BUCKET]
    command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--capabilities", "CAPABILITY_NAMED_IAM"]
    cloud.run(*command, cwd=folder)
    refreshes(emulator.Stack(cloud, "sam"))


def test_it_deploys_with_cloudformation_alone(cloud, bucket, folder, adapt, refreshes):
    template = folder / "template-x86_64.plain.yaml"
    adapt(template)
    (zipped,) = folder.glob("*.zip")
    cloud.run("aws", "s3", "cp", zipped.name, f"s3://{BUCKET}/{zipped.name}", cwd=folder)
    refreshes(cloud.aws_deploy("cloudformation", template, "--s3-bucket", BUCKET, CodeS3Bucket=BUCKET, CodeS3Key=zipped.name))


def test_it_deploys_in_a_cdk_app(cloud, bucket, folder, adapt, refreshes):
    """Does as `cdk deploy`: it uploads the assets that the app synthesizes into the bootstrap stack's bucket, and deploys."""
    subprocess.run(["node", "cdk-x86_64.js"], cwd=folder, env=os.environ | {"CDK_OUTDIR": "cdk.out"}, check=True)
    account = cloud.client("sts").get_caller_identity()["Account"]
    assets = json.loads((folder / "cdk.out/tiktok-token-refresh.assets.json").read_text())["files"].values()
    for number, asset in enumerate(assets):
        (place,) = asset["destinations"].values()
        name = place["bucketName"].replace("${AWS::AccountId}", account).replace("${AWS::Region}", emulator.REGION)
        if number == 0:
            bucket.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": emulator.REGION})
        bucket.upload_file(str(folder / "cdk.out" / asset["source"]["path"]), name, place["objectKey"])
    cloud.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    template = folder / "cdk.out/tiktok-token-refresh.template.json"
    adapt(template)
    refreshes(cloud.aws_deploy("cdk", template, "--s3-bucket", BUCKET))
