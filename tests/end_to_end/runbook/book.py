"""docs/runbook.md: its sections and their commands."""

import re

from support import PROJECT

BOOK = PROJECT / "docs/runbook.md"
HEADING = re.compile(r"^#{1,6} (.*)$")
# A command that is too short for a block; an ellipsis in it stands for a value that differs each time.
INLINE = re.compile(r"`((?:aws|call|edit) [^`…]+)`")


class Section:
    def __init__(self, title):
        self.title, self.lines, self.blocks, self.prose = title, 0, [], ""

    def inline(self):
        return INLINE.findall(self.prose)


def sections():
    """Every section by its title. A block that is not for the shell would not be run, and so must not be there."""
    found, block = [Section("")], None
    for number, line in enumerate(BOOK.read_text().splitlines(), 1):
        if line.startswith("```"):
            if block is not None:
                found[-1].blocks.append("\n".join(block))
                block = None
            else:
                assert line == "```sh", f"{BOOK}:{number}: a block that is not marked sh, and so is not run."
                block = []
        elif block is None and (heading := HEADING.match(line)):
            found.append(Section(heading[1]))
        else:
            found[-1].lines += line.strip() != ""
            if block is None:
                found[-1].prose += f" {line}"
            else:
                block.append(line)
    titles = [section.title for section in found]
    assert len(titles) == len(set(titles)), f"{BOOK} has headings twice: {titles}"
    return {section.title: section for section in found}


def anchors(text):
    """The anchors that GitHub gives to the headings."""
    titles = [heading[1] for heading in map(HEADING.match, text.splitlines()) if heading]
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}
