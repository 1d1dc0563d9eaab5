"""Stores for asyncio, and what a test may hold up, count and wait for in them."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

import discfg_core as discfg
from discfg_core.aio import AsyncStore
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.versioned import VersionedEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from discfg_core.substrate import Substrate

PATIENCE_SECONDS = 30.0


class Held:
    """A substrate whose calls are noted with their threads, and held up on demand."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.calls: list[str] = []
        self.held: set[str] = set()
        self.reached = threading.Event()
        self.release = threading.Event()
        self._inner = MemorySubstrate(secrets.token_hex(8))

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._inner, name)
        if not callable(answer):
            return answer

        def noted(*args: Any, **kwargs: Any) -> Any:
            self.threads.add(threading.current_thread().name)
            self.calls.append(name)
            if name in self.held:
                self.reached.set()
                if not self.release.wait(PATIENCE_SECONDS):
                    raise TimeoutError(f"{name} was never released")
            return answer(*args, **kwargs)

        return noted

    def hold(self, *names: str) -> None:
        """Hold up these calls from now on."""
        self.reached.clear()
        self.release.clear()
        self.held = {*names}

    def let_go(self) -> None:
        """Let all of them go on, and hold up no other."""
        self.held = set()
        self.release.set()


@pytest.fixture(autouse=True)
def _no_thread_of_another_test() -> None:
    """Let the last test's threads end: the one that closed a store may do so a little later."""
    end = time.monotonic() + PATIENCE_SECONDS
    while waiting_threads():
        assert time.monotonic() < end, "another test left a thread"
        time.sleep(0.005)


@pytest.fixture
def held() -> Iterator[Held]:
    substrate = Held()
    yield substrate
    substrate.let_go()
    substrate.close()


@pytest.fixture
def sync(held: Held) -> discfg.Store:
    """The synchronous store, with a config `c`."""
    store = discfg.Store(VersionedEngine(cast("Substrate", held)), owns_engine=True, where="a test")
    store.create_config("c")
    held.threads.clear()
    return store


@pytest.fixture
def store(sync: discfg.Store) -> AsyncStore:
    """Its twin. A test closes it, or leaves that to the end of the process."""
    return AsyncStore(sync)


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{secrets.token_hex(8)}"
    return f"sqlite:///{tmp_path}/store.db"


async def until(condition: Callable[[], object]) -> None:
    """Wait for something in the event loop, which must not be blocked meanwhile."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.005)


def waiting_threads() -> list[str]:
    """The threads that wait for news, or for a close."""
    return [each.name for each in threading.enumerate() if each.name == "discfg-aio-wait"]
