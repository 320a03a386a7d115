"""Where things are, and how other programs are run."""

import json
import os
import shutil
import socket
import subprocess
import venv
from contextlib import contextmanager
from pathlib import Path

INFRA = Path(__file__).resolve().parent.parent
PROJECT = INFRA.parent
TEMPLATE = INFRA / "template.yaml"
PAGE = INFRA / "page.yaml"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or PROJECT / "target").resolve()
WORK = TARGET / "infra"


class Failure(Exception):
    """Ends the check; a sentence, with whatever helps to understand it."""


def run(command, what, *, ok=(0,), **options):
    """Runs a program to its end and returns its standard output."""
    options = {"cwd": INFRA, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True} | options
    done = subprocess.run([str(part) for part in command], check=False, **options)
    if done.returncode not in ok:
        raise Failure(f"{what} (status {done.returncode}):\n{done.stdout or ''}{done.stderr or ''}")
    return done.stdout


def offline():
    """An environment without anybody's credentials or telemetry, in which AWS's tools still find a Region."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"}


def environment_of(name):
    """The bin directory of a virtual environment with infra/requirements-NAME.txt."""
    wanted, home = INFRA / f"requirements-{name}.txt", WORK / name
    installed = home / "requirements.txt"
    if not installed.exists() or installed.read_text() != wanted.read_text():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        pip = [home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", wanted]
        run(pip, f"{wanted.name} could not be installed")
        shutil.copy(wanted, installed)
    return home / "bin"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def process(command, **options):
    """A program that runs until the block ends, with everything that it started."""
    running = subprocess.Popen(
        [str(part) for part in command], stdin=subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield running
    finally:
        for stop in (lambda: os.killpg(running.pid, 15), lambda: os.killpg(running.pid, 9)):
            try:
                stop()
                running.wait(10)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        running.wait()


def accept(findings, accepted, source):
    """Holds findings, each (rule, resource) and its text, against those accepted with a reason. A reason that excuses
    nothing any more has to go."""
    unexplained = [text for key, text in findings.items() if key not in accepted]
    if unexplained:
        raise Failure(f"{source} objects:\n" + "\n".join(unexplained))
    stale = [f"{rule} {resource}" for rule, resource in accepted if (rule, resource) not in findings]
    if stale:
        raise Failure(f"{source} no longer objects; take the reason away: {', '.join(stale)}")
    for (rule, resource), reason in accepted.items():
        print(f"accepted: {rule} {resource}: {reason}")


def dump(value):
    return json.dumps(value, indent=2, default=str)


def say(text):
    print(text, flush=True)
