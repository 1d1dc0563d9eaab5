"""Stores to test with: two clients of one store, and a spy that says what was sent."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

import pytest

import discfg_core as discfg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from discfg_core.engine import StorageEngine


class Spy:
    """An engine that notes the name of each call before it passes it on."""

    def __init__(self, engine: StorageEngine) -> None:
        self.sent: list[str] = []
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._engine, name)
        if not callable(answer):
            return answer

        def noted(*args: Any, **kwargs: Any) -> Any:
            self.sent.append(name)
            return answer(*args, **kwargs)

        return noted


class Spied:
    """A config whose calls to the engine are noted."""

    def __init__(self, store: discfg.Store) -> None:
        self._spy = Spy(store.engine)
        self.store = discfg.Store(cast("StorageEngine", self._spy))
        self.config = self.store.create_config("spied")
        self._spy.sent.clear()

    def take(self) -> list[str]:
        """What was sent since the last time."""
        sent, self._spy.sent = self._spy.sent, []
        return sent


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{secrets.token_hex(8)}"
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def memory() -> Iterator[discfg.Store]:
    with discfg.connect(f"memory://{secrets.token_hex(8)}", actor="ann") as store:
        yield store


@pytest.fixture
def cfg(memory: discfg.Store) -> discfg.Config:
    return memory.create_config("mycfg")


@pytest.fixture
def spied(memory: discfg.Store) -> Spied:
    return Spied(memory)


@pytest.fixture
def clients(url: str) -> Iterator[tuple[discfg.Config, discfg.Config]]:
    """Two clients of one config: each with an engine, and thus a cache, of its own."""
    with discfg.connect(url, actor="ann") as ann, discfg.connect(url, actor="bob") as bob:
        yield ann.create_config("mycfg"), bob.config("mycfg")
