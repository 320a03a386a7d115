"""What runs the function and the stand-ins around it, for the stages of .ci/run that need them."""

import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

import boto3

FUNCTION = "tiktok-token-refresh"
# For a function that is compiled already; an answer takes milliseconds.
PATIENCE = 60
# Some invocations have so many lines.
LOG_LINES = 40
# What the SDKs insist on. The stand-ins look at the signature's form alone.
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


class Failure(Exception):
    """Ends the run; a sentence."""


def secrets_manager(environment):
    return boto3.client(
        "secretsmanager",
        endpoint_url=environment["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


@contextmanager
def process(command, **options):
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, **options)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()


@contextmanager
def stand_ins(command):
    with process(command, stdout=subprocess.PIPE) as running:
        variables = {}
        for line in running.stdout:
            if line.strip() == "READY":
                break
            name, _, value = line.strip().partition("=")
            variables[name] = value
        else:
            raise Failure(f"{' '.join(command)} ended before it was ready.")
        yield variables


@contextmanager
def watch(environment):
    """`cargo lambda watch`; yields what invokes the function with an event and returns exit status and output.

    Its `command` is the command that does so.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = ["--invoke-address", "127.0.0.1", "--invoke-port", str(port)]

    def command(event):
        return ["cargo", "lambda", "invoke", *address, FUNCTION, "--output-format", "json", "--data-ascii", event]

    def invoke(event):
        try:
            done = subprocess.run(command(event), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"No answer within {PATIENCE} s.") from None
        return done.returncode, done.stdout or done.stderr

    invoke.command = command
    with tempfile.TemporaryFile("w+") as log:
        watching = ["cargo", "lambda", "watch", "--locked", "--ignore-changes", *address]
        try:
            with process(watching, env=environment, stdout=log, stderr=subprocess.STDOUT) as running:
                wait_for(port, running)
                yield invoke
        except BaseException:
            log.seek(0)
            print("The end of what cargo lambda watch and the function logged:", file=sys.stderr)
            print(*log.read().splitlines()[-LOG_LINES:], sep="\n", file=sys.stderr)
            raise


def wait_for(port, running):
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if running.poll() is not None or time.monotonic() > until:
                raise Failure("cargo lambda watch did not start.") from None
            time.sleep(0.1)


def same(found, wanted, what):
    if found != wanted:
        raise Failure(f"{what}\nfound:  {found!r}\nwanted: {wanted!r}")
