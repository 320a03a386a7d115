"""The commands of README.md and of the pages under docs/, in the order in which a new user pastes them.

They run with the real AWS CLI against the emulator, which has the stack, its roles and its Secrets Manager. So the function
can read and write what the template lets it, and nothing else.
"""

import json

from desk import Shell, documents
from snippets import of
from support import PROJECT, SECRET, consent, secret

LAMBDA = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
JOB = {"Version": "2012-10-17", "Statement": [LAMBDA]}


class Guide:
    def __init__(self, world, directory):
        self.app, self.cloud, self.directory = world.app(), world.cloud, directory
        self.snippets = of("tests/end_to_end/runbook")
        self.secrets = self.cloud.client("secretsmanager")
        # IAM policies of the emulator are about the names, so this stack has the names that the pages have.
        self.stack = world.deploy("guide", world.origin, self.cloud.url, SecretName=SECRET, AlarmEmail="somebody@example.org")
        for name in ("events", "infra", "examples"):
            (directory / name).symlink_to(PROJECT / name)
        self.shell = Shell(world.environment(directory, self.cloud.url), directory)
        outputs = self.stack.outputs
        self.names = {
            "READER_SECRET_ARN": outputs["ReaderSecretArn"], "READER_POLICY_ARN": outputs["ReaderPolicyArn"],
            "SECRET_ARN": outputs["SecretArn"], "FUNCTION_NAME": outputs["FunctionName"], "JOB_ROLE": "job",
            "FUNCTION_ALIAS_ARN": outputs["FunctionAliasArn"], "ACCOUNT_ID": outputs["SecretArn"].split(":")[4],
        }  # fmt: skip

    def take(self, name):
        return self.snippets.pop(name)

    def paste(self, name):
        return self.shell.paste(self.named(self.take(name)))

    def named(self, block):
        for name, value in self.names.items():
            block = block.replace(name, value)
        return block

    def answer(self):
        """The result in the file that the commands write answers to."""
        [result] = json.loads((self.directory / "answer.json").read_text())["results"]
        return result

    def document(self):
        return secret(self.secrets, SECRET)

    def described(self, name=SECRET):
        return self.secrets.describe_secret(SecretId=name)

    def file(self, name, text):
        (self.directory / name).write_text(text)


def test_the_commands_of_the_pages_do_what_their_text_says(world, tmp_path):
    guide = Guide(world, tmp_path)
    for step in (
        the_credentials_of_the_app_get_into_the_secret, the_link_and_the_address_that_a_browser_ends_on_authorize,
        a_job_reads_the_token_and_no_refresh_token, edits_change_what_they_name_and_show_no_token, wrong_edits_are_refused,
        the_output_says_how_to_invoke, readers_are_added_and_a_job_gets_their_policy,
        the_status_of_a_secret_in_order_has_no_problems, the_secret_is_rotated_by_the_function, the_tags_of_a_fleet_are_set,
        uninstalling_keeps_the_secret_without_its_readers,
    ):  # fmt: skip
        step(guide)
    assert guide.snippets == {}, "Nothing runs these."


def the_credentials_of_the_app_get_into_the_secret(guide):
    for suffix in ("-deploy", ""):
        text = guide.take(f"credentials{suffix}").replace("YOUR_APP_ID", guide.app["app_id"])
        guide.file("credentials.json", text.replace("YOUR_APP_SECRET", guide.app["secret"]))
        guide.paste(f"put-credentials{suffix}")
        assert guide.document()["app_id"] == guide.app["app_id"]


def the_link_and_the_address_that_a_browser_ends_on_authorize(guide):
    payload = guide.take("exchange-payload")
    for link, exchange in (("authorize-url", "exchange"), ("authorize-url-page", "exchange-page")):
        guide.paste(link)
        guide.file("exchange.json", payload.replace("THE_WHOLE_ADDRESS", consent(guide.answer()["authorize_url"])))
        guide.paste(exchange)
        assert guide.answer()["outcome"] == "authorized"


def a_job_reads_the_token_and_no_refresh_token(guide):
    [reader] = documents(guide.paste("read-token"))
    assert reader["access_token"] == guide.document()["access_token"]
    assert "refresh_token" not in reader


def edits_change_what_they_name_and_show_no_token(guide):
    before = guide.document()
    guide.file("new-app-secret.txt", f"{before['secret']}\n")
    said = guide.paste("edit-secret")
    for name in ("access_token", "refresh_token", "secret"):
        assert before[name] not in said
    del before["flow"]
    # The reader secret is in publish by its name already, so its ARN adds nothing.
    assert guide.document() == before
    assert "EDIT" not in sum(guide.described()["VersionIdsToStages"].values(), [])


def wrong_edits_are_refused(guide):
    before = guide.described()["VersionIdsToStages"]
    for edit in (
        "", "--set nonsense", "--set access_token=mine", "--remove _refresh", "--merge credentials.json --set refresh_token=x",
    ):  # fmt: skip
        assert guide.shell.run(f"python3 infra/edit-secret {SECRET} {edit}").returncode != 0
    assert guide.described()["VersionIdsToStages"] == before


def the_output_says_how_to_invoke(guide):
    block = guide.take("output").replace("--stack-name tiktok-token-refresh", "--stack-name guide")
    assert "lambda invoke" in guide.shell.paste(block)


def readers_are_added_and_a_job_gets_their_policy(guide):
    guide.paste("add-reader")
    guide.paste("airbyte-publish")
    assert guide.document()["publish"][-1] == {"secret_id": f"{SECRET}/airbyte", "format": "airbyte"}
    guide.shell.paste(f"python3 infra/edit-secret {SECRET} --remove-reader {SECRET}/airbyte")
    roles = guide.cloud.client("iam")
    roles.create_role(RoleName="job", AssumeRolePolicyDocument=json.dumps(JOB))
    guide.paste("attach-reader-policy")
    attached = roles.list_attached_role_policies(RoleName="job")["AttachedPolicies"]
    assert [it["PolicyArn"] for it in attached] == [guide.names["READER_POLICY_ARN"]]
    assert guide.stack.invoke({"action": "refresh"})[1]["results"][0]["outcome"] == "refreshed"


def the_status_of_a_secret_in_order_has_no_problems(guide):
    guide.paste("status-event")
    assert guide.answer()["warnings"] == []
    assert {it["state"] for it in guide.answer()["readers"]} == {"up_to_date"}
    assert guide.paste("status-problems") == ""


def the_secret_is_rotated_by_the_function(guide):
    guide.paste("rotate")
    assert guide.described().get("RotationLambdaARN") == guide.names["FUNCTION_ALIAS_ARN"]


def the_tags_of_a_fleet_are_set(guide):
    guide.paste("fleet-tags")
    for name in ("tiktok/clients/4711", SECRET):
        assert {"Key": "tiktok-token-refresh", "Value": "agency"} in guide.described(name)["Tags"]


def uninstalling_keeps_the_secret_without_its_readers(guide):
    guide.paste("uninstall")
    assert "publish" not in guide.document()
