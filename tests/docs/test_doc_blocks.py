"""Every Python block in the documentation runs, or says why it does not.

The blocks of one document run in order, in one namespace, in an empty folder.
A block that cannot run here is marked, on the line before its fence:

    <!-- not run: it needs an AWS account -->
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sybil import Region

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "backends").glob("*/README.md"),
    ]
)

# Deliberately looser than any Markdown parser: it must see the blocks that the
# runner would miss (another spelling of the language, an attribute, an indent).
_FENCE = re.compile(
    r"^[\s>*+-]*(?:`{3,}|~{3,})\s*\{?\.?(?P<language>py|py3|pycon|python|python3)\b",
    re.MULTILINE | re.IGNORECASE,
)
_MARKER = re.compile(r"<!--\s*not run(?P<rest>.*?)-->[ \t]*\n[ \t]*\Z", re.DOTALL)
_REASON = re.compile(r":\s*\S+(?:\s+\S+)+\s*\Z")
_LOOSE_MARKER = re.compile(r"<!--\s*not run", re.IGNORECASE)


@dataclass(frozen=True)
class Blocks:
    """The Python blocks of one document, by what is done with them."""

    run: list[int]
    """Lines of the fences of the blocks that run."""
    marked: list[int]
    """The same of those that do not, for a reason."""
    problems: list[str]


def not_run(document: Document, start: int) -> re.Match[str] | None:
    """Return the marker before the fence at `start`, if there is one."""
    return _MARKER.search(document.text, 0, document.text.rfind("\n", 0, start) + 1)


def parse(text: str, name: str) -> Document:
    """Parse a document, leaving out the blocks that are marked."""
    document = Document(text, name)
    parser = PythonCodeBlockParser()

    def unmarked(document: Document) -> Iterator[Region]:
        return (region for region in parser(document) if not not_run(document, region.start))

    for region in unmarked(document):
        document.add(region)
    return document


def classify(text: str, name: str = "page.md") -> Blocks:
    """Say of each Python block whether it runs, and what is wrong with the rest."""
    document = parse(text, name)

    def line(position: int) -> int:
        return text.count("\n", 0, position) + 1

    run = sorted({line(region.start) for _, region in document.regions})
    marked = []
    problems = []
    used = 0
    for fence in _FENCE.finditer(text):
        start = text.rfind("\n", 0, fence.start("language")) + 1
        marker = not_run(document, start)
        used += marker is not None
        if marker and not _REASON.match(marker["rest"]):
            problems.append(f"{name}:{line(start)}: the marker `not run` gives no reason")
        elif marker:
            marked.append(line(start))
        elif line(start) not in run:
            problems.append(f"{name}:{line(start)}: would not run; open it with ```python")
    if used != len(_LOOSE_MARKER.findall(text)):
        problems.append(f"{name}: a marker `not run` that is not right before a Python block")
    return Blocks(run, marked, problems)


def identify(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=identify)
def test_the_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for example in parse(path.read_text(encoding="utf-8"), str(path)).examples():
        example.evaluate()


@pytest.mark.parametrize("path", DOCUMENTS, ids=identify)
def test_no_block_is_left_out_in_silence(path: Path) -> None:
    assert classify(path.read_text(encoding="utf-8"), identify(path)).problems == []


def test_the_readme_names_the_two_commands_of_a_newcomer() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in readme
    assert "make test" in readme


class TestTheGuardItself:
    def test_a_plain_block_runs(self) -> None:
        assert classify("text\n\n```python\nx = 1\n```\n") == Blocks([3], [], [])

    def test_a_failing_block_fails_with_its_line(self) -> None:
        document = parse("# page\n\n```python\nx = 1\nassert x == 2\n```\n", "page.md")
        (example,) = document.examples()
        with pytest.raises(AssertionError) as caught:
            example.evaluate()
        assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == ("page.md", 5)

    def test_blocks_share_a_namespace(self) -> None:
        for example in parse("```python\nx = 1\n```\n\n```python\nassert x\n```\n", "p").examples():
            example.evaluate()

    def test_a_marked_block_does_not_run(self) -> None:
        text = "<!-- not run: needs a server -->\n```python\n1 / 0\n```\n"
        assert classify(text) == Blocks([], [2], [])

    @pytest.mark.parametrize(
        "marker", ["<!-- not run -->", "<!-- not run: -->", "<!-- not run: no -->"]
    )
    def test_a_marker_needs_a_reason(self, marker: str) -> None:
        (problem,) = classify(f"{marker}\n```python\n1 / 0\n```\n").problems
        assert "gives no reason" in problem

    @pytest.mark.parametrize(
        "opening",
        [
            "```py",
            "```Python",
            "``` {.python}",
            "~~~py",
            "> ```pycon",
            "- ```python3",
            "```python title=x",
        ],
    )
    def test_a_block_that_the_runner_misses_is_named(self, opening: str) -> None:
        (problem,) = classify(f"{opening}\nx = 1\n```\n").problems
        assert "would not run" in problem

    def test_a_marker_away_from_its_block_is_named(self) -> None:
        text = "<!-- not run: needs a server -->\n\ntext\n\n```python\nx = 1\n```\n"
        (problem,) = classify(text).problems
        assert "not right before" in problem

    def test_other_languages_are_let_be(self) -> None:
        assert classify("```sh\nmake test\n```\n\n```toml\nx = 1\n```\n") == Blocks([], [], [])
