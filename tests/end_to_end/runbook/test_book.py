"""docs/runbook.md is complete, and its sections are short enough for an operator in a hurry."""

import re

import test_sections
from book import BOOK, anchors, sections
from checks.template import resources, written
from support import PROJECT

SECTIONS, TEXT = sections(), BOOK.read_text()
LONGEST = 20
LINK = re.compile(r"\[[^]]+\]\(([^)]*)\)")


def test_every_error_type_has_a_section():
    kinds = re.findall(r"Self::\w+ => \"(\w+)\",", (PROJECT / "src/error.rs").read_text())
    assert len(kinds) >= 13, "They are looked for in the wrong way."
    assert set(kinds) <= set(SECTIONS)


def test_every_alarm_is_in_the_table():
    alarms, table = resources(written(), "AWS::CloudWatch::Alarm"), TEXT.partition("\n## ")[0]
    assert len(alarms) >= 14, "They are looked for in the wrong way."
    assert [alarm for alarm in alarms if f"`{alarm}`" not in table] == []


def test_every_section_with_commands_has_a_scenario():
    marks = [mark for test in vars(test_sections).values() for mark in getattr(test, "pytestmark", [])]
    assert {mark.args[0] for mark in marks} == {title for title, section in SECTIONS.items() if section.blocks}


def test_no_section_is_long():
    assert {title: section.lines for title, section in SECTIONS.items() if section.lines > LONGEST and title != "Runbook"} == {}


def test_every_link_leads_somewhere():
    assert [link for link in LINK.findall(TEXT) if not link.startswith("https:") and not leads_somewhere(link)] == []


def leads_somewhere(link):
    path, _, fragment = link.partition("#")
    text = (BOOK.parent / path).read_text() if path else TEXT
    return not fragment or fragment in anchors(text)
