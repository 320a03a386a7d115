"""The setup of every suite of this folder."""

import signal

import pytest

pytest.register_assert_rewrite("support")


def pytest_configure():
    # A SIGTERM unwinds the fixtures like any other end.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("stopped"))
