"""One transcript of the command line, the same answers on every store."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner

from discfg_core.cli.app import app
from discfg_core.engine import Guarantee
from discfg_core.registry import open_engine
from discfg_core.urls import parse
from tests.stores.places import STORES, fresh, fresh_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.plugin import Servers

_TRANSCRIPT = Path(__file__).with_name("transcript.txt")

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{9})?Z")
_TIMES = re.compile(r"(created|modified|time|cfgModified)(Nanoseconds|Parsed)?")
_ID = re.compile(r"[0-9a-f]{32}")
# How many blobs there are is the affair of the engine: small ones ride in its register or not.
_OWN = {"state", "actualSettings", "cfgState", "options", "blobs", "orphans", "orphanBytes"}


class Step(NamedTuple):
    """A command of the transcript, and what it answers."""

    line: int
    command: str
    stdin: str = ""
    code: int = 0
    answer: str = ""


def test_the_same_answers_on_every_store(
    servers: Servers, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fresh_file(tmp_path) if store == "sqlite" else fresh(servers.url(store))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISCFG_STORE", url)
    monkeypatch.setenv("LOGNAME", "ann")
    engine = open_engine(parse(url))
    undrop = Guarantee.UNDROP in engine.guarantees
    engine.close()
    shown = _Shown(parse(url).scheme)
    for step in _steps(undrop=undrop):
        told = CliRunner().invoke(app, [*shlex.split(step.command), "-f", "json"], input=step.stdin)
        where = f"line {step.line}: discfg {step.command}\n{told.output}"
        assert told.exit_code == step.code, where
        assert told.stderr == "", where
        assert shown.of(told.stdout) == json.loads(step.answer), where


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _steps(*, undrop: bool) -> Iterator[Step]:
    """The steps for a store that brings a dropped config back, or for one that does not."""
    asked: Step | None = None
    here = True
    for number, line in enumerate(_TRANSCRIPT.read_text(encoding="utf-8").splitlines(), 1):
        mark, rest = line[:1], line[2:]
        if mark in {"", "#"}:
            continue
        if mark == "?":
            here = not rest or (rest == "undrop") == undrop
        elif mark == "$":
            asked = Step(number, rest)
        else:
            assert asked is not None, f"line {number} belongs to no command"
            if mark == "<":
                asked = asked._replace(stdin=rest)
            elif mark == "=":
                asked = asked._replace(code=int(rest))
            elif here:
                yield asked._replace(answer=line)


class _Shown:
    """Answers, without what may differ between two runs or two stores."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._ids: dict[str, str] = {}

    def of(self, answer: str) -> Any:
        """The answer as it stands in the transcript."""
        return self._shown("", json.loads(answer))

    def _shown(self, name: str, part: Any) -> Any:
        if name in _OWN:
            return "OWN"
        if isinstance(part, dict):
            return {
                name: self._shown(name, value)
                for name, value in part.items()
                if not self._is_time(name, value)
            }
        if isinstance(part, list):
            return [self._shown(name, value) for value in part]
        if isinstance(part, str) and name in {"engine", "name", "interfaceName"}:
            return "ENGINE" if part == self._scheme else part
        if isinstance(part, str) and _ID.fullmatch(part):
            return self._ids.setdefault(part, f"ID{len(self._ids) + 1}")
        return part

    def _is_time(self, name: str, value: Any) -> bool:
        if not _TIMES.fullmatch(name):
            return False
        assert isinstance(value, int) or _RFC3339.fullmatch(value), f"{name} is no time: {value}"
        return True
