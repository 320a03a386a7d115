"""The code blocks of the documentation, and what runs each of them.

A block that a reader can run has a marker before it, which GitHub does not show:

    <!-- CI runs this: NAME -->              one of RUNNERS runs it as it stands there
    <!-- CI compares this: NAME -->          it is what a program prints
    <!-- CI does not run this: REASON -->

docs/runbook.md has no markers: every block of it is run.
"""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RUNBOOK = "docs/runbook.md"
# Which program runs which snippets. Each fails if one of its own is missing, or was not run.
RUNNERS = {
    ".ci/run": {"demo", "tests", "authorize-page"},
    ".ci/consumers/run": {
        "publish", "aws-cli", "python", "python-caching", "tiktok-sdk", "node", "rust", "airflow", "airbyte", "airbyte-api",
        "singer", "owox", "eventbridge",
    },
    ".ci/runbook/run": {
        "credentials", "put-credentials", "authorize-url", "exchange", "read-token", "credentials-deploy",
        "put-credentials-deploy", "authorize-url-page", "exchange-payload", "exchange-page", "status-event",
        "status-problems", "edit-secret", "add-reader", "airbyte-publish", "attach-reader-policy", "rotate", "fleet-tags",
        "uninstall", "output",
    },
}  # fmt: skip
# What a reader pastes into a shell or a program.
RUNNABLE = {"sh", "powershell", "python", "js", "rust"}

MARKER = re.compile(r"^<!-- CI (runs|compares|does not run) this: (.+) -->$")
FENCE = re.compile(r"^```([a-z]*)$")


class Wrong(Exception):
    """A sentence for every problem."""


def pages():
    """The pages whose blocks are marked. CONTRIBUTING.md is for people who run the stages themselves."""
    named = [PROJECT / name for name in ("README.md", "SECURITY.md", "infra/README.md", "benches/README.md")]
    found = [*named, *sorted((PROJECT / "docs").glob("*.md"))]
    return [page for page in found if page.exists() and page != PROJECT / RUNBOOK]


def snippets():
    """The text of every block that is run or compared, by its name. A runnable block without a marker is a problem."""
    found, problems = {}, []
    for page in pages():
        marker, language, block = None, None, None
        for number, line in enumerate(page.read_text().splitlines(), 1):
            where = f"{page.relative_to(PROJECT)}:{number}"
            fence = FENCE.match(line)
            if block is not None:
                if line != "```":
                    block.append(line)
                    continue
                if marker and marker[0] != "does not run":
                    if marker[1] in found:
                        problems.append(f"{where}: '{marker[1]}' is the name of two blocks.")
                    found[marker[1]] = "".join(f"{it}\n" for it in block)
                marker, block = None, None
            elif fence:
                language, block = fence[1], []
                if language in RUNNABLE and not marker:
                    problems.append(f"{where}: nothing says whether CI runs this block.")
            elif it := MARKER.match(line):
                marker = it.groups()
            elif line.strip():
                if marker:
                    problems.append(f"{where}: a marker stands before something else than a block.")
                marker = None
    names = [name for claimed in RUNNERS.values() for name in claimed]
    compared = {"demo-output"}
    problems += [f"No block is named '{name}'." for name in {*names, *compared} - set(found)]
    problems += [f"Nothing runs the block '{name}'." for name in set(found) - {*names, *compared}]
    if problems:
        raise Wrong("\n".join(problems))
    return found


def of(runner):
    """The snippets that this program has to run."""
    found = snippets()
    return {name: found[name] for name in RUNNERS[runner]}
