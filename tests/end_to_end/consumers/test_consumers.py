"""The readers of the secret: every snippet of docs/consumers.md and docs/airbyte.md, and the programs they are for.

The consumers are as their makers publish them. The function refreshes between their reads.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
import requests
from airbyte_api import SOURCE, Airbyte
from aws_secretsmanager_caching import SecretCache, SecretCacheConfig
from business_api_client import AccountManagementApi, ApiClient, AuthenticationApi, Configuration, Oauth2AccessTokenBody
from business_api_client.tiktok_business.tiktok_code import NumericErrorCodes as Codes
from business_api_client.tiktok_business.tiktok_exceptions import TiktokSDKError
from jsonschema import Draft7Validator
from moto.events.models import EventPattern
from support import PROJECT, READER, SECRET, TARGET, follows

# Where .ci/run has installed the consumers that need environments of their own.
TOOLS = TARGET / "ci"


def executed(snippet):
    """Executes Python; returns the names that it leaves behind."""
    names = {"__name__": "snippet"}
    exec(compile(snippet, "snippet", "exec"), names)
    return names


@pytest.fixture
def run(tmp_path):
    """Runs a command in a scratch directory; returns what it prints. It has to succeed, or with `fails` to fail."""

    def run(*command, fails=False, **variables):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path, env=os.environ | variables
        )
        assert (done.returncode != 0) == fails, f"{done.stdout}\n{done.stderr}"[-6000:]
        return done.stdout + done.stderr if fails else done.stdout

    return run


@pytest.fixture
def shell(run):
    """Runs a snippet for the shell, with the programs of these consumers."""

    def shell(snippet, *consumers, **options):
        path = os.pathsep.join([*(str(programs(consumer)) for consumer in consumers), os.environ["PATH"]])
        return run("bash", "-euo", "pipefail", "-c", snippet, PATH=path, **options)

    return shell


def programs(consumer):
    return TOOLS / f"consumers-{consumer}/bin"


@pytest.fixture
def across_a_refresh(run, read, refresh):
    def across_a_refresh(*command):
        for _ in range(2):
            found, current = json.loads(run(*command)), read()
            for field in ("access_token", "advertiser_ids"):
                assert found[field] == current[field]
            refresh()
            assert current["access_token"] != read()["access_token"]

    return across_a_refresh


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_aws_cli_reads_what_the_schema_of_reader_secrets_says(shell, snippets, read):
    found = json.loads(shell(snippets.pop("aws-cli")))
    assert follows("document/reader.schema.json", found)
    assert found == read()


def test_python_as_in_the_readme_reads_the_new_token_after_a_refresh(snippets, across_a_refresh, tmp_path):
    show = "print(json.dumps({'access_token': token, 'advertiser_ids': advertisers}))\n"
    across_a_refresh(sys.executable, written(tmp_path / "readme.py", snippets.pop("readme-python") + show))


def test_boto3_and_requests_read_again_once_when_a_refresh_has_ended_their_token(snippets, refresh):
    names = executed(snippets.pop("python"))
    tiktok, campaigns = names["tiktok"], names["campaigns"]
    assert campaigns["code"] == 0 and campaigns["data"]["list"] == []
    reads, read, old = [], tiktok.read, tiktok.secret["access_token"]
    tiktok.read = lambda: (reads.append(1), read())
    refresh()
    assert tiktok.get("user/info/")["code"] == 0
    assert tiktok.secret["access_token"] != old
    assert len(reads) == 1
    assert tiktok.get("user/info/")["code"] == 0 and len(reads) == 1
    # A token that is dead for good is read again once.
    tiktok.secret_id = f"{SECRET}/withdrawn"
    tiktok.read()
    reads.clear()
    assert tiktok.get("user/info/")["code"] == 40105 and len(reads) == 1


def test_the_caching_client_keeps_the_secret_until_it_is_told_to_look_again(snippets, refresh):
    def code(secret):
        url = "https://business-api.tiktok.com/open_api/v1.3/user/info/"
        return requests.get(url, headers={"Access-Token": secret["access_token"]}, timeout=60).json()["code"]

    tiktok_secret = executed(snippets.pop("python-caching"))["tiktok_secret"]
    # The credentials secret has the labels of claims and staged versions beside AWSCURRENT.
    never_older = SecretCache(SecretCacheConfig(secret_refresh_interval=0))
    first = tiktok_secret()
    assert code(first) == 0 and code(json.loads(never_older.get_secret_string(SECRET))) == 0
    refresh()
    assert tiktok_secret() == first, "Within its interval the cache does not look."
    assert code(first) == 40105
    again = tiktok_secret(again=True)
    assert again["access_token"] != first["access_token"] and code(again) == 0
    assert tiktok_secret() == again, "The cache keeps what was read again."
    assert json.loads(never_older.get_secret_string(SECRET))["access_token"] == again["access_token"]


@pytest.fixture
def sdk():
    # TikTok's SDK looks at no variable of the environment.
    configuration = Configuration()
    configuration.proxy, configuration.ssl_ca_cert = os.environ["HTTPS_PROXY"], os.environ["SSL_CERT_FILE"]
    Configuration.set_default(configuration)


def test_tiktoks_sdk_lists_the_advertisers(snippets, sdk, advertisers):
    listed = executed(snippets.pop("tiktok-sdk"))["advertisers"]
    assert [one["advertiser_id"] for one in listed] == advertisers
    assert {type(one["advertiser_name"]) for one in listed} == {str}


def test_the_stand_in_for_tiktok_takes_the_requests_of_its_sdk_and_has_its_codes(sdk, read, advertisers):
    def ids(answer):
        return [one["advertiser_id"] for one in answer["data"]["list"]]

    def refused(code, call, *arguments, **options):
        with pytest.raises(TiktokSDKError, match=f"^Error Code: {code}, message: ") as error:
            call(*arguments, **options)
        assert "request_id: None" not in str(error.value)

    app_id, app_secret, token = (read(SECRET)[name] for name in ("app_id", "secret", "access_token"))
    client = ApiClient()
    authentication, account = AuthenticationApi(client), AccountManagementApi(client)
    body = Oauth2AccessTokenBody(app_id=app_id, secret=app_secret, auth_code=os.environ["TIKTOK_AUTH_CODE"])
    answer = authentication.oauth2_access_token(body=body)
    granted = answer["data"]
    assert isinstance(answer["request_id"], str)
    assert granted["advertiser_ids"] == advertisers
    assert ids(authentication.oauth2_advertiser_get(app_id, app_secret, granted["access_token"])) == advertisers
    info = account.advertiser_info(advertisers, granted["access_token"], fields=["advertiser_id", "name", "currency"])
    assert ids(info) == advertisers
    assert {tuple(sorted(one)) for one in info["data"]["list"]} == {("advertiser_id", "currency", "name")}

    refused(Codes.ERROR_CODE_AUTH_CODE_ERROR, authentication.oauth2_access_token, body=body)
    refused(Codes.ERROR_CODE_INVALID_ACCESS_TOKEN, authentication.oauth2_advertiser_get, app_id, app_secret, "no-such-token")
    refused(Codes.ERROR_CODE_EMPTY_ACCESS_TOKEN, authentication.oauth2_advertiser_get, app_id, app_secret, "")
    refused(Codes.ERROR_CODE_APP_FORBIDDEN, authentication.oauth2_advertiser_get, app_id, "another-secret", token)
    refused(Codes.ERROR_CODE_PERMISSION_ERROR, account.advertiser_info, ["7999999999999999999"], token)
    refused(Codes.ERROR_CODE_PARAM_ERROR, account.advertiser_info, [], token)


def test_node_reads_the_new_token_after_a_refresh(snippets, across_a_refresh):
    show = "console.log(JSON.stringify({ access_token, advertiser_ids }));\n"
    # Node.js looks for modules from where the program is.
    across_a_refresh("node", written(TOOLS / "consumers-node/snippet.mjs", snippets.pop("node") + show))


def test_rust_reads_the_new_token_after_a_refresh(snippets, across_a_refresh):
    example = (PROJECT / "examples/read_token.rs").read_text()
    compiled = example.partition("// docs/consumers.md: rust\n")[2].partition("// docs/consumers.md: end\n")[0]
    assert snippets.pop("rust") == compiled
    across_a_refresh(TARGET / "debug/examples/read_token")


def test_singers_tap_takes_the_configuration_and_syncs_the_advertisers(snippets, shell, run, read, advertisers, tmp_path):
    shell(snippets.pop("singer"), "singer")
    tap = [programs("singer") / "tap-tiktok-ads", "--config"]
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    for stream in catalog["streams"]:
        if stream["tap_stream_id"] == "advertisers":
            stream["metadata"] = [entry | {"metadata": {"selected": True}} for entry in stream["metadata"]]
    lines = run(*tap, "config.json", "--catalog", written(tmp_path / "selected.json", catalog)).splitlines()
    records = [line["record"] for line in map(json.loads, lines) if line["type"] == "RECORD"]
    assert sorted(record["advertiser_id"] for record in records) == advertisers
    # What it takes is not just anything.
    bare = read(f"{SECRET}/singer")
    del bare["start_date"]
    refused = run(*tap, written(tmp_path / "bare.json", bare), "--discover", fails=True)
    assert "missing required keys: ['start_date']" in refused


def test_owoxs_own_migration_arrives_at_the_configuration(snippets, shell, run):
    shell(snippets.pop("owox"))
    [migration] = TOOLS.glob("owox/package/dist/src/migrations/*-migrate-tiktok-ads-to-oauth2-structure.js")
    run("node", Path(__file__).with_name("owox.cjs"), migration, "tiktok-ads.json")


def test_a_task_of_airflow_reads_the_secret_with_the_hook_of_the_amazon_provider(snippets, run, advertisers, tmp_path):
    snippet = snippets.pop("airflow")
    if not programs("airflow").exists():
        pytest.skip("Airflow is installed with NIGHTLY=1.")
    # Called as the worker calls it. Airflow logs to standard output as well.
    called = "import json\nprint()\nprint(json.dumps(advertisers.function()))\n"
    said = run(programs("airflow") / "python", written(tmp_path / "task.py", snippet + called), AIRFLOW_HOME=str(tmp_path))
    assert json.loads(said.splitlines()[-1]) == advertisers


def test_airbytes_connector_takes_the_configuration_and_reads(snippets, shell, run, advertisers, tmp_path):
    snippet = snippets.pop("airbyte")
    if not programs("airbyte").exists():
        pytest.skip("Airbyte's connector wants Python 3.10 or 3.11.")
    trust = {"PYTHONPATH": str(Path(__file__).with_name("trust"))}

    def said(output, kind, name):
        """The messages of one kind that a connector writes as lines of JSON."""
        messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [message[name] for message in messages if message["type"] == kind]

    assert said(shell(snippet, "airbyte", **trust), "CONNECTION_STATUS", "connectionStatus") == [{"status": "SUCCEEDED"}]
    connector = programs("airbyte") / "source-tiktok-marketing"
    [specification] = said(run(connector, "spec"), "SPEC", "spec")
    Draft7Validator(specification["connectionSpecification"]).validate(json.loads((tmp_path / "config.json").read_text()))
    stream = {"name": "advertisers", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
    catalog = {"streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}]}
    configured = written(tmp_path / "configured.json", catalog)
    records = said(run(connector, "read", "--config", "config.json", "--catalog", configured, **trust), "RECORD", "record")
    assert sorted(str(record["data"]["advertiser_id"]) for record in records) == advertisers


def test_the_example_gives_airbytes_source_the_new_token_and_changes_nothing_else(
    snippets, shell, read, refresh, httpserver, tmp_path
):
    airbyte = Airbyte()
    boto3.client("secretsmanager").create_secret(Name="airbyte/application", SecretString=json.dumps(airbyte.application))
    httpserver.expect_request(re.compile(".*")).respond_with_handler(airbyte.respond)
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    snippet = snippets.pop("airbyte-api").replace("https://api.airbyte.com/v1", httpserver.url_for("/v1"))
    for _ in range(2):
        said = shell(snippet.replace("YOUR_SOURCE_ID", SOURCE))
        assert json.loads(said) == {"source": SOURCE, "outcome": "updated"}
        token = read(f"{SECRET}/airbyte")["credentials"]["access_token"]
        assert token not in said
        assert airbyte.stored["credentials"]["access_token"] == token
        assert airbyte.stored["start_date"] == "2020-01-01"
        refresh()
    wrong = snippet.replace("YOUR_SOURCE_ID", "00000000-0000-0000-0000-000000000000")
    assert "Check SOURCE_ID" in shell(wrong, fails=True)


@pytest.fixture(scope="module")
def pattern(snippets):
    return EventPattern.load(snippets.pop("eventbridge"))


@pytest.mark.parametrize(
    "name, label, fires", [(READER, "AWSCURRENT", True), (READER, "TIKTOK_CLAIM", False), (SECRET, "AWSCURRENT", False)]
)
def test_the_rule_of_eventbridge_fires_when_awscurrent_of_the_reader_moves_and_for_nothing_else(pattern, name, label, fires):
    event = {
        "version": "0", "id": "0", "source": "aws.secretsmanager", "detail-type": "Secret Label Updated",
        "account": "123456789012", "region": "eu-west-1", "time": "2026-11-22T03:00:02Z",
        "resources": [f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{READER}-a1b2c3"],
        "detail": {"name": name, "labelUpdated": label, "versionId": "5c5b9ef6-5a4c-5f0c-9d6e-000000000000"},
    }  # fmt: skip
    assert pattern.matches_event(event) == fires


def test_every_snippet_of_the_pages_was_run(snippets):
    assert snippets == {}
