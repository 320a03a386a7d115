"""docs/runbook.md: its sections, their commands, and what it promises about itself."""

import re
from pathlib import Path

from checks.template import resources, written
from function import Failure

BOOK = Path("docs/runbook.md")
# So short that somebody who was asleep a minute ago reads all of it.
LONGEST = 20
HEADING = re.compile(r"^#{1,6} (.*)$")
LINK = re.compile(r"\[[^]]+\]\(([^)]*)\)")


# A command that is too short for a block; an ellipsis in it stands for what nobody can know.
INLINE = re.compile(r"`((?:aws|call|edit) [^`…]+)`")


class Section:
    def __init__(self, title):
        self.title, self.lines, self.blocks, self.prose = title, 0, [], ""

    def inline(self):
        return INLINE.findall(self.prose)


def sections(text=None):
    """Every section by its title. A block that is not for the shell would not be run, and so must not be there."""
    found, block = [Section("")], None
    for number, line in enumerate((text or BOOK.read_text()).splitlines(), 1):
        if line.startswith("```"):
            if block is not None:
                found[-1].blocks.append("\n".join(block))
                block = None
            elif line == "```sh":
                block = []
            else:
                raise Failure(f"{BOOK}:{number}: a block that is not marked sh, and so is not run.")
        elif block is None and (heading := HEADING.match(line)):
            found.append(Section(heading[1]))
        else:
            found[-1].lines += line.strip() != ""
            if block is None:
                found[-1].prose += f" {line}"
            else:
                block.append(line)
    titles = [section.title for section in found]
    twice = {title for title in titles if titles.count(title) > 1}
    if twice:
        raise Failure(f"{BOOK} has these headings twice: {', '.join(twice)}.")
    return {section.title: section for section in found}


def anchor(title):
    """What GitHub makes of a heading."""
    return re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")


def anchors_of(text):
    return {anchor(it[1]) for it in map(HEADING.match, text.splitlines()) if it}


def check(found):
    """The book is complete: every error type has a heading, every alarm a row, every link a target, and no section is long."""
    text = BOOK.read_text()
    kinds = re.findall(r"Self::\w+ => \"(\w+)\",", Path("src/error.rs").read_text())
    alarms = resources(written(), "AWS::CloudWatch::Alarm")
    problems = [f"The error type {kind} has no section." for kind in kinds if kind not in found]
    problems += [f"The alarm {alarm} is in no table." for alarm in alarms if f"`{alarm}`" not in text.partition("\n## ")[0]]
    anchors = {anchor(title) for title in found}
    for target in LINK.findall(text):
        path, _, fragment = target.partition("#")
        if path.startswith("https:"):
            continue
        file = BOOK.parent / path if path else BOOK
        known = anchors if not path else anchors_of(file.read_text())
        if fragment and fragment not in known:
            problems.append(f"The link {target} leads nowhere.")
    long = [section for section in found.values() if section.lines > LONGEST and section.title not in ("Runbook",)]
    problems += [f"The section '{section.title}' has {section.lines} lines, more than {LONGEST}." for section in long]
    if len(kinds) < 13 or len(alarms) < 14:
        problems.append(f"Found {len(kinds)} error types and {len(alarms)} alarms only: they are looked for in the wrong way.")
    if problems:
        raise Failure("\n".join([f"{BOOK}:", *problems]))
    print(f"{len(kinds)} error types and {len(alarms)} alarms, each with its way to go", flush=True)
