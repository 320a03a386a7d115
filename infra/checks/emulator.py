"""Where it was before tests/end_to_end/emulator.py, for as long as somebody imports it from here."""

import sys

from .tools import PROJECT

sys.path.insert(0, str(PROJECT / "tests/end_to_end"))

from emulator import *  # noqa: E402, F403
