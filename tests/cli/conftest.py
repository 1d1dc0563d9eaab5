"""One command at a time, in this process or in one of its own, in an empty directory."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest
from click.testing import CliRunner

from discfg_core.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

_PROGRAM = (sys.executable, "-c", "import sys; from discfg_core.cli import main; sys.exit(main())")


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Run(Protocol):
    def __call__(self, *words: str, code: int | None = 0, stdin: bytes = b"") -> Ran: ...


class Start(Protocol):
    def __call__(self, *words: str, **how: Any) -> subprocess.Popen[bytes]: ...


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, whose store is a SQLite file in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISCFG_STORE", "sqlite:///app.db")
    monkeypatch.setenv("LOGNAME", "ann")
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run a command in this process; it must end with `code`, unless that is `None`."""

    def run(*words: str, code: int | None = 0, stdin: bytes = b"") -> Ran:
        result = CliRunner().invoke(app, list(words), input=stdin)
        told = Ran(result.exit_code, result.stdout_bytes, result.stderr)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert code is None or told.code == code, told
        return told

    return run


@pytest.fixture
def typed(run: Run) -> Any:
    """Run a command as it is typed into a shell."""

    def typed(line: str, **how: Any) -> Ran:
        program, *words = shlex.split(line)
        assert program in {"discfg", "./discfg"}
        return run(*words, **how)

    return typed


@pytest.fixture
def mycfg(run: Run) -> str:
    """A config in use."""
    run("create", "mycfg")
    run("use", "mycfg")
    return "mycfg"


@pytest.fixture
def start() -> Start:
    """Start a command in a process of its own, in a session of its own."""

    def start(*words: str, **how: Any) -> subprocess.Popen[bytes]:
        how = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **how,
        }
        return subprocess.Popen([*_PROGRAM, *words], start_new_session=True, **how)

    return start


@pytest.fixture
def finish(start: Start) -> Run:
    """The same as `run`, in a process of its own."""

    def finish(*words: str, code: int | None = 0, stdin: bytes = b"") -> Ran:
        process = start(*words, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=60)
        told = Ran(process.returncode, out, os.fsdecode(err))
        assert code is None or told.code == code, told
        return told

    return finish
