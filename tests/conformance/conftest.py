"""A store in memory, and engines over it that are kept from it in whatever way a test chooses."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing import FaultPlan, FaultySubstrate, LateSubstrate
from discfg_core.testing.engine_client import Client, Config, put
from discfg_core.testing.invariants import assert_sound
from discfg_core.versioned import VersionedEngine

Call: TypeAlias = Callable[[Config], object]

NAME = "cfg"
WRITES: dict[str, Call] = {
    "set": lambda config: config.set("new"),
    "large set": lambda config: config.set("new", b"x" * 300_000),
    "delete": lambda config: config.delete("old"),
    "commit": lambda config: config.commit(put("new"), put("old")),
    "settings": lambda config: config.commit(settings={"new": True}),
}


class Bench:
    """One store in memory, and clients that reach it through whatever is put between."""

    def __init__(self) -> None:
        self._place = uuid.uuid4().hex
        self._clients: list[Client] = []
        self.sound = self._client(self.substrate(), 60.0)
        self.sound.create(NAME)

    def substrate(self) -> MemorySubstrate:
        return MemorySubstrate(self._place)

    def _client(
        self, substrate: MemorySubstrate | FaultySubstrate | LateSubstrate, timeout: float
    ) -> Client:
        client = Client(VersionedEngine(substrate), timeout)
        self._clients.append(client)
        return client

    def faulty(self, seed: int, plan: FaultPlan, timeout: float) -> tuple[Config, FaultySubstrate]:
        """The config, by a client whose store fails as planned."""
        substrate = FaultySubstrate(self.substrate(), seed, plan)
        return self._client(substrate, timeout).config(NAME), substrate

    def late(self, timeout: float, after_reads: int | None = None) -> tuple[Config, LateSubstrate]:
        """The config, by a client whose swaps may land late."""
        substrate = LateSubstrate(self.substrate(), after_reads=after_reads)
        return self._client(substrate, timeout).config(NAME), substrate

    @property
    def config(self) -> Config:
        return self.sound.config(NAME)

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    assert_sound(bench.sound, NAME)
    bench.close()


@pytest.fixture(params=WRITES)
def call(request: pytest.FixtureRequest) -> Call:
    """A kind of write; it needs the key ``old``."""
    return WRITES[request.param]
