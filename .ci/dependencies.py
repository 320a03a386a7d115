"""The other people's crates that the function is made of, as Cargo.lock pins them, by the way they get in."""

import subprocess
from functools import cache

TARGETS = {"arm64": "aarch64-unknown-linux-gnu", "x86_64": "x86_64-unknown-linux-gnu"}
OWN = "tiktok-token-refresh"


def dependencies(target):
    """The crates that are compiled into the function, and those that only run while it is compiled: {(name, version): license} of each.

    Without what tests, benchmarks and examples need, and without the features that they turn on.
    """
    linked = crates("normal,no-proc-macro", target)
    everything = crates("normal,build", target)
    return linked, {crate: license for crate, license in everything.items() if crate not in linked}


@cache
def crates(edges, target):
    command = ["cargo", "tree", "--locked", "--target", target, "--edges", edges, "--prefix", "none", "--format", "{p}|{l}"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = {}
    for line in lines:
        package, license = line.removesuffix(" (*)").split("|")
        name, version, *_ = package.split()
        found[name, version.removeprefix("v")] = license
    return {crate: license for crate, license in found.items() if crate[0] != OWN}
