"""What the drivers share. A driver runs a snippet of docs/consumers.md in the consumer's own environment and looks at it."""

import json
import os
import subprocess
import sys
from pathlib import Path


def run_snippet():
    """Executes the snippet, which is the driver's first argument; returns the names that it leaves behind."""
    path = Path(sys.argv[1])
    names = {"__name__": "snippet"}
    exec(compile(path.read_text(), str(path), "exec"), names)
    return names


def refresh():
    """Has the function redeem the refresh token. The stand-in ends the access token before."""
    command = json.loads(os.environ["REFRESH_COMMAND"])
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    outcome = done.returncode == 0 and json.loads(done.stdout)["results"][0]["outcome"]
    expect(outcome, "refreshed", done.stdout + done.stderr)


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}\nfound:  {found!r}\nwanted: {wanted!r}")


def expect_not(found, unwanted, what):
    if found == unwanted:
        sys.exit(f"{what}: it is {found!r}")


def advertiser_ids():
    return json.loads(os.environ["ADVERTISER_IDS"])
