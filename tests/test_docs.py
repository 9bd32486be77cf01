"""The documents are true: what README and guides show runs, what can be typed is in them, links lead somewhere."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest
from recording import python

from joulebook.accounting.factors import MATCHES
from joulebook.accounting.records import METHODS
from joulebook.cli.arguments import parse, parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
GUIDES = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
SHOWN = "\n".join([README, *((ROOT / guide).read_text("utf-8") for guide in GUIDES)])
PAGES = ("README.md", *GUIDES, "ARCHITECTURE.md", "CHANGELOG.md", "DECISIONS.md", "data/README.md")
COMMANDS = next(action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
# A block may stand under this comment, where it needs what a test has not.
NOT_RUN = "<!-- not run -->"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"({NOT_RUN}\s*)?^```{language}\n(.*?)^```$", SHOWN, re.MULTILINE | re.DOTALL)
    return [code for skipped, code in found if not skipped]


def typed() -> list[list[str]]:
    """Every `joulebook …` of README and guides, in their blocks of commands and in their running text."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(joulebook [^`]+)`", SHOWN)
    typed = [shlex.split(line, comments=True) for line in lines if line.startswith("joulebook ")]
    return [words[: words.index(">")] if ">" in words else words for words in typed]  # what follows is the shell's


@pytest.mark.parametrize("code", blocks("python"))
def test_every_block_of_python_runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for path in (home / "journal").glob("*.jsonl") for line in path.read_text().splitlines()]
    begun = [line["span_id"] for line in lines if line["event"] == "span_start"]
    ended = [line["span_id"] for line in lines if line["event"] == "span_end" and line["ok"]]
    assert begun
    assert sorted(begun) == sorted(ended)


def test_every_command_stands_in_the_readme_and_can_be_typed_as_it_stands_there() -> None:
    words = [line for line in typed() if "…" not in line]
    assert {line[1] for line in words} >= set(COMMANDS)
    for line in words:
        assert parse(line[1:]).command == line[1], line


def test_every_method_and_match_is_explained() -> None:
    assert [word for word in METHODS if f"`{word}`" not in README and word != "unknown"] == []
    assert [word for word in MATCHES if f"`{word}`" not in README] == []


def test_every_guide_stands_in_the_readme() -> None:
    assert [guide for guide in GUIDES if f"({guide})" not in README] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_are_there(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [link for link in links if "://" not in link and link and not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_every_target_of_make_that_the_readme_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(
        re.findall(r"\bmake ([a-z]+)\b", "\n".join(blocks("sh")) + " ".join(re.findall(r"`make [^`]+`", SHOWN)))
    )
    assert named
    assert named <= targets
