"""The scene of docs/runbook.md: an emulator of AWS with the stack in it, and the desk at which its sections are pasted."""

import itertools
from contextlib import ExitStack

import emulator
import pytest

pytest.register_assert_rewrite("book", "desk")

import book  # noqa: E402
from desk import Desk  # noqa: E402
from support import stand_ins  # noqa: E402
from world import World  # noqa: E402

# A secret takes a hundred versions within a day, and a refresh by hand leaves the last of them alone. No section takes half.
MANY_VERSIONS = 40


def pytest_configure(config):
    config.addinivalue_line("markers", "section(title): the scenario of a section of the runbook")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    with emulator.cloud() as cloud, stand_ins() as variables:
        yield World(cloud, variables, tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def desks(world, tmp_path_factory):
    """One desk after another: each has a stack and a secret of its own."""
    with ExitStack() as stack:
        sections, directory = book.sections(), tmp_path_factory.mktemp
        yield (Desk(world, sections, directory("desk"), f"desk-{n}", stack.enter_context) for n in itertools.count(1))


@pytest.fixture(scope="session")
def taken():
    """The desk that is in use, if there is one that another section can be played at."""
    return []


@pytest.fixture
def desk(desks, taken, request):
    """The desk in the situation before a section, whose commands the test has to run, all of them."""
    if not taken or taken[0].versions() > MANY_VERSIONS:
        taken[:] = [next(desks)]
    [desk] = taken
    desk.sit_down(request.node.get_closest_marker("section").args[0])
    yield desk
    if request.session.testsfailed:
        # A failure may have left it in any situation.
        taken.clear()
    else:
        assert desk.not_pasted() == []
