import functools

from .tools import WORK, Failure, offline, run, say

BUILT = WORK / "sam"
# All that Lambda's provided.al2023 has.
NEWEST_GLIBC = (2, 34)


def stage():
    """sam build makes the deployable function of the crate, for x86_64."""
    # arm64, the default, needs Rust's standard library for it, which not every machine that runs this check has.
    command = ["sam", "build", "--parameter-overrides", "Architecture=x86_64", "--build-dir", BUILT]
    run(command, "sam build failed", env=offline())
    bootstrap = BUILT / "Function" / "bootstrap"
    symbols = run(["readelf", "--dyn-syms", "--wide", bootstrap], "readelf failed")
    needed = {tuple(map(int, word.split("@GLIBC_")[1].strip("()@").split("."))) for word in symbols.split() if "@GLIBC_" in word}
    if not needed or max(needed) > NEWEST_GLIBC:
        raise Failure(f"provided.al2023 has glibc {NEWEST_GLIBC}, the function needs {sorted(needed)[-1:]}")
    say(f"bootstrap: {bootstrap.stat().st_size} bytes, needs glibc {'.'.join(map(str, max(needed)))}")


@functools.cache
def built():
    """The built template. Built anew once a run, or a stage by itself would deploy what there was before the last change."""
    stage()
    return BUILT / "template.yaml"
