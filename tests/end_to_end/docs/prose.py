"""The text that the checks would not see: comments of source files, and cells of tables.

Each becomes a Markdown file in which every line keeps its number.
"""

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
# Rustdoc and comments of these have the words and the sentences of the documentation.
FOLDERS = ("src", "tests/stand_ins", "tests/scenarios", "examples", "benches")
# Rustdoc of these begins with a subject or a verb. Builds of fuzz/ are in fuzz/target, which has sources of others.
CALLED = ("src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets", "examples")

COMMENT = re.compile(r"^\s*//[/!]? ?(.*)$")
RUSTDOC = re.compile(r"^\s*//[/!] ?(.*)$")
ROW = re.compile(r"^\|(.*)\|\s*$")
# Docstrings of these do so, too. Some programs have no suffix.
SCRIPTS = ("tests/end_to_end", "infra", ".ci", "examples")
PYTHON = re.compile(rb"#!.*python3\n")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
NO_SENTENCE = re.compile(r"(Whether|What|Which|How|Whom?|Whose)\b")
NO_DOCSTRING = re.compile(rf"Where\b|{NO_SENTENCE.pattern}")


def sources(folders=FOLDERS):
    return [file for folder in folders for file in sorted((PROJECT / folder).rglob("*.rs"))]


def comments(text):
    """The text behind //, /// and //!."""
    found = (COMMENT.match(line) for line in text.splitlines())
    return "".join(f"{comment[1] if comment else ''}\n" for comment in found)


def cells(text):
    """Each cell is a sentence at least."""
    lines, in_block = [], False
    for line in text.splitlines():
        in_block ^= line.startswith("```")
        row = None if in_block else ROW.match(line)
        found = [cell.strip() for cell in re.split(r"(?<!\\)\|", row[1])] if row else []
        found = [cell for cell in found if cell.strip("-: ")]
        lines.append(" ".join(cell if cell.endswith((".", "?", "!")) else f"{cell}." for cell in found))
    return "".join(f"{line}\n" for line in lines)


def excerpts(pages, directory):
    """Writes a file for each source and each page with a table, under the name of the original."""
    found = {source: comments(source.read_text()) for source in sources()} | {page: cells(page.read_text()) for page in pages}
    for original, text in found.items():
        copy = directory / f"{original.relative_to(PROJECT)}{'' if original in pages else '.md'}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    return directory


def openings():
    """Rustdoc and docstrings that begin with a noun clause: `Whether the token works` is no sentence."""
    found = []
    for source in sources(CALLED):
        before = None
        for number, line in enumerate(source.read_text().splitlines(), 1):
            doc = RUSTDOC.match(line)
            if doc and not before and NO_SENTENCE.match(doc[1]):
                found.append(f"{source.relative_to(PROJECT)}:{number}: {doc[1]}")
            before = doc
    for script in scripts():
        documented = (it for it in ast.walk(ast.parse(script.read_text())) if isinstance(it, DOCUMENTED))
        for text in filter(None, map(ast.get_docstring, documented)):
            if NO_DOCSTRING.match(text):
                found.append(f"{script.relative_to(PROJECT)}: {text.splitlines()[0]}")
    return found


def scripts():
    files = [file for folder in SCRIPTS for file in sorted((PROJECT / folder).rglob("*")) if file.is_file()]
    return [file for file in files if file.suffix == ".py" or (not file.suffix and PYTHON.match(file.read_bytes()))]
