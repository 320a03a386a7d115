"""The common parts of the suites: paths, the stand-ins, and the function behind `cargo lambda`."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, validate

PROJECT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or PROJECT / "target").resolve()
# For a program that is compiled already.
PATIENCE = 60
FUNCTION = "tiktok-token-refresh"
# The names that the documentation has, and the stand-ins.
SECRET, READER = "tiktok/ads", "tiktok/ads/reader"
# What the SDKs insist on. The stand-ins look at the signature's form alone.
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


@contextmanager
def process(command, **options):
    """A program that runs until the block ends, with everything that it started."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, start_new_session=True, **options) as running:
        try:
            yield running
        finally:
            for way in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(running.pid, way)
                    running.wait(10)
                    break
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


@contextmanager
def stand_ins(**options):
    """The stand-ins for Secrets Manager and TikTok; yields the function's variables."""
    with process([TARGET / "debug/stand-ins"], stdout=subprocess.PIPE, env=os.environ | options) as running:
        lines = takewhile(lambda line: line != "READY\n", running.stdout)
        variables = dict(line.strip().split("=", 1) for line in lines)
        assert "SECRET_ID" in variables, "The stand-ins ended before they were ready."
        yield variables


class Function:
    """The function behind `cargo lambda`; `command` is what a developer types before an event."""

    def __init__(self, address):
        self.command = ["cargo", "lambda", "invoke", *address, FUNCTION, "--output-format", "json", "--data-ascii"]

    def invoke(self, event):
        return subprocess.run(
            [*self.command, json.dumps(event)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )

    def answer(self, **event):
        """The answer to an event, which has to succeed."""
        done = self.invoke(event)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def cargo_lambda():
    """`cargo lambda watch` with the variables of this process.

    The function is the binary that the other stages have built. With NIGHTLY=1, `cargo lambda watch` builds and starts it,
    as for a developer: for minutes, because that build is without the features that tests turn on in dependencies.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = ["--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
    apart = not os.environ.get("NIGHTLY")
    how = ["--only-lambda-apis"] if apart else ["--locked"]
    with ExitStack() as stack:
        stack.enter_context(process(["cargo", "lambda", "watch", "--ignore-changes", *how, *address], cwd=PROJECT))
        until(lambda: listens(port), "cargo lambda watch")
        if apart:
            variables = {
                "AWS_LAMBDA_FUNCTION_NAME": FUNCTION, "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
                "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt/{FUNCTION}",
            }  # fmt: skip
            stack.enter_context(process([TARGET / "debug" / FUNCTION], env=os.environ | variables))
        yield Function(address)


def listens(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def until(so, what, seconds=PATIENCE):
    """Waits for what has to become so, and returns it."""
    end = time.monotonic() + seconds
    while not (found := so()):
        assert time.monotonic() < end, f"Within {seconds} s there was no sign of {what}."
        time.sleep(0.1)
    return found


def consent(link, choice=0):
    """Opens the link of authorize_url as a person does, and returns the address that the browser ends on."""
    page = urlsplit(link)
    connection = http.client.HTTPConnection(page.netloc, timeout=PATIENCE)
    connection.request("GET", f"{page.path}?{page.query}")
    assert "Allow" in connection.getresponse().read().decode(), "TikTok's stand-in does not ask for consent."
    connection.request("GET", f"/portal/decision?{page.query}&choice={choice}&decision=allow")
    address = connection.getresponse().headers["Location"]
    assert address and "auth_code=" in address, "TikTok's stand-in does not consent."
    return address


def secret(client, name, label="AWSCURRENT"):
    return json.loads(client.get_secret_value(SecretId=name, VersionStage=label)["SecretString"])


def follows(schema, value):
    """True if a value follows one of the project's schemas. Otherwise it raises an error that says what is wrong."""
    schema = json.loads((PROJECT / "src" / schema).read_text())
    validate(value, schema, Draft202012Validator, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return True
