"""A release's files, by themselves in a folder, deploy: with SAM, with CloudFormation alone, and in a CDK app."""

import json
import shutil
import sys
import zipfile

from samtranslator.yaml_helper import yaml_parse

from . import emulator
from .build import built
from .deploy import expect, outcome
from .tools import INFRA, PROJECT, WORK, dump, offline, run, say


def stage():
    """The files of a release deploy in three ways, without Rust, Zig or the repository, and the function works."""
    with emulator.cloud() as cloud, emulator.tiktok() as (tiktok_url, document):
        bucket = "releases"
        cloud.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": emulator.REGION})
        for way in (with_sam, with_cloudformation, with_cdk):
            name = way.__name__.replace("_", "-")
            folder = cloud.scratch / name
            files = release(folder)
            way(cloud, name, folder, bucket, lambda file: for_emulator(folder / file, cloud, tiktok_url))
            stack = emulator.Stack(cloud, name)
            expect(stack.status == "CREATE_COMPLETE", f"{name} ends as {stack.status}")
            stack.put_secret(document | {"publish": json.loads(stack.outputs["PublishField"])})
            expect(outcome(stack.invoke({"action": "refresh"})) == "refreshed", f"deployed {name}, the function does not refresh")
            say(f"{name} from {', '.join(files)}: refreshed")
            # Its tokens are the next one's.
            document = {key: stack.secret()[key] for key in document}


def release(folder):
    """What `.ci/release` makes of the built function, for this machine's architecture."""
    bootstrap = WORK / "release.zip"
    with zipfile.ZipFile(bootstrap, "w", zipfile.ZIP_DEFLATED) as file:
        built()
        file.write(WORK / "sam/Function/bootstrap", "bootstrap")
    run([sys.executable, PROJECT / ".ci/release", "deployable", bootstrap, folder], "no release was made", env=offline())
    return sorted(file.name for file in folder.iterdir())


def for_emulator(file, cloud, tiktok_url):
    """The emulator's own needs alone: no metric math in alarms, and the stand-ins' addresses."""
    template = yaml_parse(file.read_text())
    emulator.simpler_alarms(template)
    variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    variables |= {"TIKTOK_API_URL": tiktok_url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": cloud.url}
    file.write_text(dump(template))


def with_sam(cloud, name, folder, bucket, adapt):
    adapt("template-x86_64.yaml")
    command = ["sam", "deploy", "--template-file", "template-x86_64.yaml", "--stack-name", name, "--s3-bucket", bucket]
    command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--capabilities", "CAPABILITY_NAMED_IAM"]
    run(command, "sam deploy of a release failed", env=cloud.environment(), cwd=folder)


def with_cloudformation(cloud, name, folder, bucket, adapt):
    adapt("template-x86_64.plain.yaml")
    (zipped,) = folder.glob("*.zip")
    upload = [emulator.environment_of("aws") / "aws", "s3", "cp", zipped.name, f"s3://{bucket}/{zipped.name}"]
    run(upload, "the zip was not uploaded", env=cloud.environment(), cwd=folder)
    cloud.aws(name, folder / "template-x86_64.plain.yaml", "--s3-bucket", bucket, CodeS3Bucket=bucket, CodeS3Key=zipped.name)


def with_cdk(cloud, name, folder, bucket, adapt):
    """What `cdk deploy` does with what the app synthesizes: it uploads the assets into the bootstrap stack's bucket, and deploys."""
    packages = WORK / "cdk"
    if not (packages / "package.json").exists() or (packages / "package.json").read_text() != (INFRA / "checks/package.json").read_text():
        shutil.rmtree(packages, ignore_errors=True)
        packages.mkdir(parents=True)
        shutil.copy(INFRA / "checks/package.json", packages)
        run(["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"], "npm install failed", cwd=packages)
    environment = offline() | {"NODE_PATH": str(packages / "node_modules"), "CDK_OUTDIR": "cdk.out"}
    run(["node", "cdk-x86_64.js"], "the CDK app does not synthesize", env=environment, cwd=folder)
    account = cloud.client("sts").get_caller_identity()["Account"]
    assets = json.loads((folder / "cdk.out/tiktok-token-refresh.assets.json").read_text())["files"].values()
    for asset in assets:
        (place,) = asset["destinations"].values()
        assets_bucket = place["bucketName"].replace("${AWS::AccountId}", account).replace("${AWS::Region}", emulator.REGION)
        s3 = cloud.client("s3")
        if assets_bucket not in [it["Name"] for it in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=assets_bucket, CreateBucketConfiguration={"LocationConstraint": emulator.REGION})
        s3.upload_file(str(folder / "cdk.out" / asset["source"]["path"]), assets_bucket, place["objectKey"])
    cloud.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    adapt("cdk.out/tiktok-token-refresh.template.json")
    cloud.aws(name, folder / "cdk.out/tiktok-token-refresh.template.json", "--s3-bucket", bucket)
