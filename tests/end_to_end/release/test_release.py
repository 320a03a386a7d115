"""Wrong tags, and bills of materials that are not true, are refused."""

import copy
import json
import os
from pathlib import Path

import pytest
from release import PROJECT, TARGETS, Refused, notes, verify

CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.0 (2026-01-02)\n\nNew.\n\n## 1.1.0\n\n## 1.1.0-rc.1\n\nA try.\n"
# Where .ci/run has put the release together.
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR") or PROJECT / "target").resolve() / "ci/release"
# Changes to the components of a bill of materials that make it untrue.
LIES = {
    "a-crate-less": lambda components: components.pop(),
    "a-crate-more": lambda components: components.append(components[0] | {"name": "openssl", "bom-ref": "openssl"}),
    "a-crate-twice": lambda components: components.append(components[0] | {"bom-ref": "again"}),
    "another-version": lambda components: components[0].update(version="0.0.0"),
    "another-checksum": lambda components: components[0]["hashes"][0].update(content="0" * 64),
    "a-macro-inside": lambda components: next(it for it in components if it["scope"] == "excluded").update(scope="required"),
    "what-cyclonedx-does-not-know": lambda components: components[0].update(type="crate"),
}


@pytest.fixture(scope="module")
def bill():
    """The bill of materials of the release, which is true, and what it is for."""
    (file,) = RELEASE.glob("*.cdx.json")
    bill, target = json.loads(file.read_text()), next(it for architecture, it in TARGETS.items() if architecture in file.name)
    verify(bill, target)
    return bill, target


def test_the_notes_are_the_changelogs_section_of_the_version():
    assert notes("v1.2.0", "1.2.0", CHANGELOG) == "New."


@pytest.mark.parametrize(
    ("tag", "version"), [("v1.2.1", "1.2.0"), ("1.2.0", "1.2.0"), ("v1.3.0", "1.3.0"), ("v1.1.0", "1.1.0"), ("v1.2", "1.2")]
)
def test_a_tag_is_refused_without_its_version_and_notes(tag, version):
    with pytest.raises(Refused):
        notes(tag, version, CHANGELOG)


@pytest.mark.parametrize("lie", LIES)
def test_a_bill_of_materials_is_refused_with(lie, bill):
    bill, target = copy.deepcopy(bill[0]), bill[1]
    LIES[lie](bill["components"])
    with pytest.raises(Refused):
        verify(bill, target)
