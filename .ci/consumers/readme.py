"""The snippets of README.md's section "Read the token", so that what is printed there is what runs here."""

import re
from pathlib import Path

# A marker that GitHub does not show, then the block.
SNIPPET = re.compile(r"^<!-- CI runs this: ([a-z-]+) -->\n+```[a-z]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(name, readme=Path("README.md")):
    text = readme.read_text()
    _, _, rest = text.partition(f"\n## {name}\n")
    return rest.partition("\n## ")[0]


def snippets(name="Read the token"):
    """The section's snippets by their markers. A block without a marker would not be run, and so must not be there."""
    text = section(name)
    found = dict(SNIPPET.findall(text))
    blocks = text.count("\n```") // 2
    if not found or len(found) != blocks:
        raise ValueError(f"README.md, {name!r}: {blocks} blocks, and {len(found)} of them are marked to be run.")
    return found
