"""The commands of README.md and of the pages under docs/, in the order in which a new user pastes them.

They run with the real AWS CLI against the emulator, which has the stack, its roles and its Secrets Manager. So the function
can read and write what the template lets it, and nothing else.
"""

import json
import sys
import time
from pathlib import Path

from cloud import consent
from function import Failure, same
from shell import Shell, documents

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from snippets import of

SECRET = "tiktok/ads"
JOB = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def guide(world, directory):
    began = time.monotonic()
    directory.mkdir()
    with_stack = Guide(world, directory)
    with_stack.all()
    if with_stack.snippets:
        raise Failure(f"Nothing runs these snippets of the documentation: {', '.join(with_stack.snippets)}.")
    print(f"README.md and docs/ ({time.monotonic() - began:.0f} s)", flush=True)


class Guide:
    def __init__(self, world, directory):
        self.world, self.cloud, self.directory = world, world.cloud, directory
        self.snippets = of(".ci/runbook/run")
        self.secrets = self.cloud.client("secretsmanager")
        # IAM policies of the emulator are about the names, so this stack has the names that the pages have.
        self.stack = world.deploy("guide", world.origin, self.cloud.url, SecretName=SECRET, AlarmEmail="somebody@example.org")
        for name in ("events", "infra", "examples"):
            (directory / name).symlink_to(Path(name).resolve())
        self.shell = Shell(world.environment(directory, self.cloud.url), directory)
        outputs = self.stack.outputs
        self.names = {
            "READER_SECRET_ARN": outputs["ReaderSecretArn"], "READER_POLICY_ARN": outputs["ReaderPolicyArn"],
            "SECRET_ARN": outputs["SecretArn"], "FUNCTION_NAME": outputs["FunctionName"], "JOB_ROLE": "job",
            "FUNCTION_ARN": outputs["FunctionAliasArn"], "ACCOUNT_ID": outputs["SecretArn"].split(":")[4],
        }  # fmt: skip

    def all(self):
        for step in (
            self.credentials, self.authorize, self.read, self.edit, self.readers, self.status, self.rotation, self.fleet, self.uninstall,
        ):  # fmt: skip
            step()

    def credentials(self):
        app = self.world.app()
        for suffix in ("-deploy", ""):
            text = self.take(f"credentials{suffix}").replace("YOUR_APP_ID", app["app_id"]).replace("YOUR_APP_SECRET", app["secret"])
            self.file("credentials.json", text)
            self.paste(f"put-credentials{suffix}")
            same(self.document()["app_id"], app["app_id"], "the app's id in the secret")

    def authorize(self):
        payload = self.take("exchange-payload")
        for link, exchange in (("authorize-url", "exchange"), ("authorize-url-page", "exchange-page")):
            self.paste(link)
            address = consent(self.answer()["results"][0]["authorize_url"])
            self.file("exchange.json", payload.replace("THE_WHOLE_ADDRESS", address))
            self.paste(exchange)
            same(self.answer()["results"][0]["outcome"], "authorized", f"the answer to {exchange}")

    def read(self):
        [reader] = documents(self.paste("read-token"))
        same(reader["access_token"], self.document()["access_token"], "the token that a job reads")
        same("refresh_token" in reader, False, "a refresh token in the reader secret")

    def edit(self):
        before = self.document()
        self.file("new-app-secret.txt", f"{before['secret']}\n")
        said = self.paste("edit-secret")
        after = self.document()
        del before["flow"]
        # The reader secret is in publish by its name already, so its ARN adds nothing.
        same(after, before, "the secret after the edits")
        for name in ("access_token", "refresh_token", "secret"):
            same(before[name] in said, False, f"the field {name} in what the script prints")
        labels = self.secrets.describe_secret(SecretId=SECRET)["VersionIdsToStages"]
        same([it for found in labels.values() for it in found if it == "EDIT"], [], "labels that the script has left")
        version = self.version()
        for refused in ("--set access_token=mine", "--remove _refresh", "--set nonsense", "", "--merge credentials.json --set refresh_token=x"):
            self.fails(f"python3 infra/edit-secret {SECRET} {refused}")
        same(self.version(), version, "the version after edits that were refused")

    def readers(self):
        said = self.run(self.take("output").replace("--stack-name tiktok-token-refresh", "--stack-name guide"))
        same("lambda invoke" in said, True, f"the output: {said}")
        self.paste("add-reader")
        self.paste("airbyte-publish")
        same(self.document()["publish"][-1], {"secret_id": f"{SECRET}/airbyte", "format": "airbyte"}, "the entry of publish")
        self.run(f"python3 infra/edit-secret {SECRET} --remove-reader {SECRET}/airbyte")
        roles = self.cloud.client("iam")
        roles.create_role(RoleName="job", AssumeRolePolicyDocument=json.dumps(JOB))
        self.paste("attach-reader-policy")
        attached = roles.list_attached_role_policies(RoleName="job")["AttachedPolicies"]
        same([it["PolicyArn"] for it in attached], [self.names["READER_POLICY_ARN"]], "the job's policies")
        same(self.stack.invoke({"action": "refresh"})[1]["results"][0]["outcome"], "refreshed", "a run after the edits")

    def status(self):
        self.paste("status-event")
        [result] = self.answer()["results"]
        same((result["warnings"], {it["state"] for it in result["readers"]}), ([], {"up_to_date"}), "the status")
        same(self.paste("status-problems"), "", "problems of a secret in order")

    def rotation(self):
        self.paste("rotate")
        described = self.secrets.describe_secret(SecretId=SECRET)
        same(described.get("RotationLambdaARN"), self.names["FUNCTION_ARN"], "what rotates the secret")

    def fleet(self):
        self.paste("fleet-tags")
        for secret in ("tiktok/clients/4711", SECRET):
            tags = self.secrets.describe_secret(SecretId=secret)["Tags"]
            same({"Key": "tiktok-token-refresh", "Value": "agency"} in tags, True, f"the tag of {secret}")

    def uninstall(self):
        self.paste("uninstall")
        same("publish" in self.document(), False, "publish after the removal")

    # -- how

    def take(self, name):
        return self.snippets.pop(name)

    def paste(self, name):
        return self.run(self.take(name))

    def run(self, block):
        for name, value in self.names.items():
            block = block.replace(name, value)
        return self.shell.paste(block)

    def fails(self, command):
        try:
            self.run(command)
        except Failure:
            return
        raise Failure(f"{command} went through.")

    def answer(self):
        return json.loads((self.directory / "answer.json").read_text())

    def document(self):
        return json.loads(self.secrets.get_secret_value(SecretId=SECRET, VersionStage="AWSCURRENT")["SecretString"])

    def version(self):
        return self.secrets.get_secret_value(SecretId=SECRET, VersionStage="AWSCURRENT")["VersionId"]

    def file(self, name, text):
        (self.directory / name).write_text(text)
