"""A person's shell, in which the runbook's set-up was pasted once."""

import json
import subprocess

from function import Failure

# A block may start a dozen Python programs, on a machine that runs other stages at the same time.
PATIENCE = 300


class Shell:
    def __init__(self, environment, directory):
        self.environment, self.directory = environment, directory
        self.set_up = ""

    def paste(self, block, typed="", **variables):
        """Runs a block as a person pastes it, every command of it having to succeed; returns what it prints."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{self.set_up}\n{block}"], input=typed, capture_output=True, text=True,
            timeout=PATIENCE, cwd=self.directory, env=self.environment | variables,
        )  # fmt: skip
        if done.returncode != 0 or done.stderr:
            said = f"{done.stdout}\n{done.stderr}".strip()
            raise Failure(f"{block}\n\nended with status {done.returncode}:\n{said[-6000:]}")
        return done.stdout

    def remember(self, block):
        """Keeps the names that a block defines, without asking AWS for them again."""
        self.set_up = self.paste(f"{block}\ndeclare -p STACK RESOURCES FUNCTION LOGS ROLE GROUP UNDELIVERED FAILED SECRET\ndeclare -f")


def documents(output):
    """The JSON documents that a program prints, one after the other, among other lines."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(output):
        if output[at] in "{[":
            try:
                document, at = decoder.raw_decode(output, at)
                found.append(document)
                continue
            except ValueError:
                pass
        at += 1
    return found
