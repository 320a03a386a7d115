"""`.ci/run` says by its exit status whether all stages passed, and leaves nothing running."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
# The functions of the stages end here, and what calls them begins.
AFTER_THE_STAGES = 'if [ "$*" = --list ]; then\n'
NAMES = subprocess.run([PROJECT / ".ci/run", "--list"], check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def start(tmp_path):
    """Starts .ci/run with stages that do nothing, but for those that are given; its output goes to a file."""
    runs = []

    def start(*arguments, **stages):
        text = (PROJECT / ".ci/run").read_text()
        assert text.count(AFTER_THE_STAGES) == 1
        stand_ins = "".join(f"stage_{name}() {{ {stages.get(name, ':')}; }}\n" for name in NAMES)
        script = tmp_path / ".ci/run"
        script.parent.mkdir()
        script.write_text(text.replace(AFTER_THE_STAGES, stand_ins + AFTER_THE_STAGES))
        script.chmod(0o755)
        with (tmp_path / "output").open("w") as output:
            runs.append(
                subprocess.Popen(
                    [script, *arguments],
                    env=os.environ | {"CARGO_TARGET_DIR": str(tmp_path / "target")},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        return runs[-1]

    yield start
    for run in runs:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()


@pytest.fixture
def output(tmp_path):
    return (tmp_path / "output").read_text


def hangs(pid_file):
    """A stage that says which process it waits for, and does not end by itself."""
    return f"sleep 600 & echo $! >'{pid_file}.new'; mv '{pid_file}.new' '{pid_file}'; wait"


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.05)


def is_running(pid_file):
    try:
        status = Path("/proc", pid_file.read_text().strip(), "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # In a container that collects no orphans, what was killed stays as a zombie.
    return "State:\tZ" not in status


@pytest.mark.parametrize("arguments", [(), NAMES], ids=["in-two-lanes", "one-by-one"])
def test_all_stages_pass_and_the_status_is_0(start, output, arguments):
    assert start(*arguments).wait(60) == 0, output()
    assert all(name in output() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_one_stage_fails_and_the_status_is_1(start, output, name):
    assert start(**{name: "echo its output; false; echo more"}).wait(60) == 1, output()
    assert "its output\n" in output() and "more" not in output() and f"{name} failed with status 1" in output()


def test_a_stage_that_fails_ends_the_other_lane(start, output, tmp_path):
    pid_file = tmp_path / "pid"
    run = start(test=hangs(pid_file), docs=f"until [ -e '{pid_file}' ]; do sleep 0.05; done; false")
    assert run.wait(60) == 1, output()
    assert not is_running(pid_file)


def test_a_signal_ends_both_lanes(start, output, tmp_path):
    busy, waiting = tmp_path / "busy", tmp_path / "waiting"
    run = start(fmt=hangs(busy), workflows=hangs(waiting))
    wait_for(lambda: busy.exists() and waiting.exists())
    run.terminate()
    assert run.wait(60) == 143, output()
    assert not is_running(busy) and not is_running(waiting)


def test_a_stage_that_is_not_there_is_refused(start, output):
    assert start("fmt", "format").wait(60) == 2
    assert "no stage 'format'" in output()
