"""The code blocks of the documentation, and what runs each of them.

Every block has a marker before it, which GitHub does not show:

    <!-- CI runs this: NAME -->              one of RUNNERS runs it as it stands there
    <!-- CI compares this: NAME -->          it is what a program prints
    <!-- CI does not run this: REASON -->

docs/runbook.md has no markers: every block of it is run. A command inside a sentence is part of a block or of a program in .ci, or
stands in NOT_RUN with the reason.
"""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RUNBOOK = "docs/runbook.md"
# Which program, or which suite, runs which snippets. Each fails if one of its own is missing, or was not run.
RUNNERS = {
    ".ci/run": {"demo", "tests", "authorize-page"},
    "tests/end_to_end/consumers": {
        "publish", "aws-cli", "readme-python", "python", "python-caching", "tiktok-sdk", "node", "rust", "airflow", "airbyte", "airbyte-api",
        "singer", "owox", "eventbridge",
    },
    "tests/end_to_end/runbook": {
        "credentials", "put-credentials", "authorize-url", "exchange", "read-token", "credentials-deploy",
        "put-credentials-deploy", "authorize-url-page", "exchange-payload", "exchange-page", "status-event",
        "status-problems", "edit-secret", "add-reader", "airbyte-publish", "attach-reader-policy", "rotate", "fleet-tags",
        "uninstall", "output",
    },
}  # fmt: skip
# Blocks that a test reads.
COMPARED = {"demo-output", "status"}
# Commands in sentences that nothing runs as they stand.
NOT_RUN = {
    "cargo lambda invoke --remote FUNCTION_NAME --data-file events/authorize-url.json": "needs an AWS account",
    "pip install cargo-lambda ziglang": ".ci/requirements.txt installs the same programs",
    "python infra\\edit-secret …": "needs Windows; the runbook runs infra/edit-secret",
    "git pull": "needs the repository on GitHub",
    "aws secretsmanager stop-replication-to-replica": "the emulator has no replicas",
    "cargo doc --open": "opens a browser; .ci/run doc builds the same",
    "cargo +nightly fuzz run document -- -dict=fuzz/dictionary -max_total_time=3600": "takes an hour; .ci/run fuzz runs seconds of it",
    "cargo bench --bench cold_start": "takes half an hour; .ci/run size runs its counts",
    "cargo run -p stand-ins": "runs until it is stopped; .ci/run lambda starts the same program",
    "cargo test --test scenarios crash_sweep": "a part of cargo test, which .ci/run test runs",
    "aws secretsmanager cancel-rotate-secret --secret-id SECRET_ARN": "the runbook runs it with the id of its secret",
    "cargo bench --bench fleet": "takes minutes on a quiet machine",
}

MARKER = re.compile(r"^<!-- CI (runs|compares|does not run) this: (.+) -->$")
FENCE = re.compile(r"^\s*(```|~~~)")
COMMAND = re.compile(r"`((?:aws|cargo|git|pip|python3?|sam|terraform|\.ci/run|infra/check) [^`]+)`")


class Wrong(Exception):
    """A sentence for every problem."""


def pages():
    """The pages whose blocks are marked."""
    named = [PROJECT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "infra/README.md", "benches/README.md")]
    found = [*named, *sorted((PROJECT / "docs").glob("*.md"))]
    return [page for page in found if page.exists() and page != PROJECT / RUNBOOK]


def snippets():
    """The text of every block that is run or compared, by its name. A block without a marker is a problem."""
    found, problems, commands = {}, [], []
    for page in pages():
        marker, block = None, None
        for number, line in enumerate(page.read_text().splitlines(), 1):
            where = f"{page.relative_to(PROJECT)}:{number}"
            fence = FENCE.match(line)
            if block is not None:
                if not FENCE.match(line):
                    block.append(line)
                    continue
                if marker and marker[0] != "does not run":
                    if marker[1] in found:
                        problems.append(f"{where}: '{marker[1]}' is the name of two blocks.")
                    found[marker[1]] = "".join(f"{it}\n" for it in block)
                marker, block = None, None
            elif fence:
                block = []
                if not marker:
                    problems.append(f"{where}: nothing says whether CI runs this block.")
            elif it := MARKER.match(line):
                marker = it.groups()
            elif line.strip():
                if marker:
                    problems.append(f"{where}: a marker stands before something else than a block.")
                marker = None
                commands += [(where, command) for command in COMMAND.findall(line)]
    names = [name for claimed in RUNNERS.values() for name in claimed]
    problems += [f"No block is named '{name}'." for name in {*names, *COMPARED} - set(found)]
    problems += [f"Nothing runs the block '{name}'." for name in set(found) - {*names, *COMPARED}]
    run = "\n".join([*found.values(), *(file.read_text() for file in programs())])
    problems += [f"{where}: nothing runs '{command}'." for where, command in commands if not is_run(command, run)]
    problems += [f"No page has '{command}'." for command in NOT_RUN if command not in {it for _, it in commands}]
    if problems:
        raise Wrong("\n".join(problems))
    return found


def programs():
    """Programs of CI, and the pages that they run as a whole."""
    found = (it for folder in (".ci", "infra/checks", "tests/end_to_end") for it in sorted((PROJECT / folder).rglob("*")))
    return [PROJECT / RUNBOOK, *(it for it in found if it.is_file() and it.suffix in ("", ".py") and it != Path(__file__))]


def is_run(command, run):
    """Some commands name stages, and some are run with options of their own."""
    program, *arguments = command.split(" ")
    if program == ".ci/run":
        return all(f"\nstage_{stage}() {{" in run for stage in arguments)
    if program == "sam":
        return f'"sam", "{arguments[0]}"' in run or f'sam("{arguments[0]}"' in run or f"sam {arguments[0]}" in run
    return command in NOT_RUN or command in run or command.replace(" --", " --locked --", 1) in run


def of(runner):
    """The snippets that this program has to run."""
    found = snippets()
    return {name: found[name] for name in RUNNERS[runner]}
