"""The README's shell transcript is what the commands print, but for times and ids."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "docs/howto/shell.md"]

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ID = re.compile(r"\b[0-9a-f]{32}\b")
_MARK = "<end of a command>"


class Step(NamedTuple):
    """A command and what it prints."""

    command: str
    printed: str


def steps_of(text: str) -> list[Step]:
    steps: list[Step] = []
    for block in _BLOCK.findall(text):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                steps.append(Step(line[2:].rstrip("\n"), ""))
            else:
                steps[-1] = steps[-1]._replace(printed=steps[-1].printed + line)
    return steps


def run(steps: list[Step], directory: Path) -> list[str]:
    """What each command prints when all are typed into one shell, errors included."""
    program = directory / "bin" / "discfg"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\nexec '{sys.executable}' -c "
        "'import sys; from discfg_core.cli import main; sys.exit(main())' \"$@\"\n"
    )
    program.chmod(0o755)
    work = directory / "work"
    work.mkdir()
    # `$?` of the next command is that of this one.
    script = "".join(
        f"{step.command}\nstatus=$?; printf '\\n{_MARK}\\n'; (exit $status)\n" for step in steps
    )
    shell = subprocess.run(
        ["sh", "-s"],
        input=script,
        cwd=work,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "LOGNAME": "ann"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    *printed, rest = shell.stdout.split(f"\n{_MARK}\n")
    assert rest == ""
    return printed


def comparable(printed: str) -> Any:
    """What must be equal: JSON as such, however it is laid out; no time, no id."""
    try:
        return _without_times(json.loads(printed))
    except ValueError:
        return _ID.sub("<id>", _TIME.sub("<time>", printed.strip("\n")))


def _without_times(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            name: "<time>" if name.endswith("Nanoseconds") else _without_times(value)
            for name, value in part.items()
        }
    if isinstance(part, list):
        return [_without_times(item) for item in part]
    return comparable_text(part) if isinstance(part, str) else part


def comparable_text(text: str) -> str:
    return _ID.sub("<id>", _TIME.sub("<time>", text))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_transcript_is_what_the_commands_print(name: str, tmp_path: Path) -> None:
    steps = steps_of((ROOT / name).read_text(encoding="utf-8"))
    assert steps, f"{name} has no ```console block"
    printed = run(steps, tmp_path)
    shown = [(step.command, comparable(step.printed)) for step in steps]
    assert [
        (step.command, comparable(text)) for step, text in zip(steps, printed, strict=True)
    ] == shown


def test_each_transcript_is_run() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    with_transcript = {
        page.relative_to(ROOT).as_posix()
        for page in pages
        if _BLOCK.search(page.read_text(encoding="utf-8"))
    }
    assert with_transcript == set(DOCUMENTS)


class TestTheComparisonItself:
    def test_another_value_is_seen(self, tmp_path: Path) -> None:
        (printed,) = run([Step("echo one", "two\n")], tmp_path)
        assert comparable(printed) != comparable("two\n")

    def test_another_time_is_not(self) -> None:
        one = '{"time": "2026-01-01T00:00:00.5Z", "timeNanoseconds": 1}'
        two = '{\n  "time": "2027-01-01T00:00:00.7Z",\n  "timeNanoseconds": 2\n}'
        assert comparable(one) == comparable(two)

    def test_the_exit_code_is_the_last_commands(self, tmp_path: Path) -> None:
        assert run([Step("(exit 3)", ""), Step("echo $?", "3\n")], tmp_path) == ["", "3\n"]
