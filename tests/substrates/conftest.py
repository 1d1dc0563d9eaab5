from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from discfg_core.substrates.sqlite import SQLiteSubstrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., subprocess.Popen[str]]
    Open = Callable[..., SQLiteSubstrate]

_WORKER = Path(__file__).with_name("sqlite_worker.py")


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``sqlite_worker.py`` with a task and its arguments; kills what is left of it."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(_WORKER), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be; the directory is otherwise empty."""
    directory = tmp_path / "store"
    directory.mkdir()
    return directory / "app.db"


@pytest.fixture
def open_store(path: Path) -> Iterator[Open]:
    """Opens a substrate on `path`, or another; closes it after the test."""
    opened: list[SQLiteSubstrate] = []

    def open_store(where: Path | str = path) -> SQLiteSubstrate:
        opened.append(SQLiteSubstrate(where))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open) -> SQLiteSubstrate:
    return open_store()
