"""The documentation and the comments: words, sentences, spelling, links, and that CI runs the commands.

What each tool is told stands beside this file: vocabulary.json has the words that are not used here, with those that are.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from prose import excerpts, openings, scripts
from snippets import PROJECT, RUNBOOK, RUNNERS, pages, snippets

HERE = Path(__file__).parent
# Where .ci/run has installed package.json.
NODE = Path(os.environ.get("CARGO_TARGET_DIR") or PROJECT / "target").resolve() / "ci/docs-node"
# Pages of text with a marker for each block, and those that other checks know the blocks of.
PAGES = [*pages(), *(PROJECT / name for name in (RUNBOOK, "CHANGELOG.md", "events/README.md", "tests/mutants.md"))]
# In a sentence.
MOST_WORDS = 25


def run(program, *arguments, cwd=PROJECT):
    """Runs a tool, whose output says what it objects to."""
    done = subprocess.run([program, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wrong = done.returncode != 0
    assert not wrong, done.stdout.replace(f"{NODE}/excerpts/", "").replace(f"{PROJECT}/", "").replace(".rs.md:", ".rs:")


def npm(program, *arguments, cwd=PROJECT):
    run(NODE / "node_modules/.bin" / program, *arguments, cwd=cwd)


def relative(paths):
    return [path.relative_to(PROJECT) for path in paths]


def text(name):
    return (PROJECT / name).read_text()


def rows(table):
    """The names in code in the first column of a table."""
    return {name for row in table.splitlines() if row.startswith("| `") for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def section(page, heading):
    return text(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_markdown_is_in_order():
    npm("markdownlint-cli2", "--config", HERE / "markdownlint.jsonc", *relative(PAGES))


def test_words_and_sentences_are_ours():
    # textlint finds its rules from the directory that it runs in alone.
    shutil.rmtree(NODE / "excerpts", ignore_errors=True)
    words = {"defaultTerms": False, "terms": json.loads((HERE / "vocabulary.json").read_text())}
    rules = {"en-max-word-count": {"max": MOST_WORDS}, "terminology": words}
    (NODE / ".textlintrc.json").write_text(json.dumps({"rules": rules}))
    npm("textlint", "--format", "unix", *PAGES, excerpts(PAGES, NODE / "excerpts"), cwd=NODE)


def test_links_and_anchors_lead_somewhere():
    plugin = f"{NODE / 'node_modules/remark-validate-links/index.js'}=repository:false"
    npm("remark", "--quiet", "--frail", "--no-stdout", "--use", plugin, *relative(PAGES))


def test_the_spelling_is_in_order():
    run("typos", "--config", HERE / "typos.toml", "--format", "brief")


def test_every_block_says_what_runs_it():
    assert snippets()


@pytest.mark.parametrize("name", sorted(RUNNERS[".ci/run"]))
def test_ci_runs_the_block(name):
    """As it stands there, but for --locked."""
    block = snippets()[name].strip()
    # An example that a browser drives is built by its stage, and started by the driver.
    wanted = f"--example {shlex.split(block)[-1]}" if name == "authorize-page" else block
    assert wanted in text(".ci/run").replace(" --locked", "")


@pytest.mark.parametrize(("page", "lines"), [("README.md", 180), ("SECURITY.md", 60)])
def test_it_is_not_too_long(page, lines):
    assert len(text(page).splitlines()) <= lines


def test_every_variable_of_the_configuration_is_one_of_the_code():
    code = "".join(source.read_text() for source in (PROJECT / "src").rglob("*.rs"))
    table = text("docs/configuration.md").partition("\n## The environment\n")[2]
    variables = set(re.findall(r"^\| (?:`[A-Z_]+`, )*`([A-Z][A-Z_]+)`", table, re.MULTILINE))
    assert variables and [name for name in variables if name not in code and not name.startswith("AWS_")] == []


def test_every_parameter_of_the_documentation_is_one_of_the_template():
    parameters = (
        text("infra/template.yaml").partition("\nParameters:\n")[2].partition("\nRules:\n")[0].partition("\nConditions:\n")[0]
    )
    named = {name for name in rows(section("docs/deploy.md", "Parameters")) if name[0].isupper()}
    assert named and named - set(re.findall(r"^  (\w+):$", parameters, re.MULTILINE)) == set()


def test_the_fields_of_the_credentials_secret_are_those_of_its_schema():
    fields = set(json.loads(text("src/document/credentials.schema.json"))["properties"])
    assert (
        rows(text("docs/configuration.md").partition("## The credentials secret")[2].partition("\n## ")[0]) | {"app_secret"}
        == fields
    )


def test_every_format_of_a_reader_secret_is_documented_and_known_to_edit_secret():
    (listed,) = re.findall(r'"format": \{.*?"enum": \[(.*?)\]', text("src/document/credentials.schema.json"), re.DOTALL)[:1]
    for it in set(re.findall(r'"(\w+)"', listed)):
        assert f"| `{it}` |" in text("docs/consumers.md") and f'"{it}"' in text("infra/edit-secret")


def test_every_proof_of_the_threat_model_is_where_it_says():
    proofs = re.findall(r"\[`(\w+)`\]\(([^)]+)\)", text("docs/threat-model.md"))
    # Fewer would mean that they are no longer found.
    assert len(proofs) >= 40
    assert [it for it in proofs if not re.search(rf"\b(fn|def) {it[0]}\(", text(f"docs/{it[1]}"))] == []


def test_rustdoc_and_docstrings_begin_with_a_subject_or_a_verb():
    """'Returns true if …', 'The number of …'."""
    # Fewer would mean that they are no longer found.
    assert len(scripts()) >= 40
    assert openings() == []
