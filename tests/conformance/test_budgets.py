"""The engine suite over memory, with the limits of stores that bill by the byte or the request."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from discfg_core.substrate import Limits
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing import EngineSuite
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.versioned import VersionedEngine

if TYPE_CHECKING:
    from discfg_core.substrate import Substrate


class Limited(DelegatingSubstrate):
    """Memory of other limits than its own."""

    def __init__(self, inner: Substrate, limits: Limits) -> None:
        super().__init__(inner)
        self._limits = limits

    def limits(self, name: str) -> Limits:
        return self._limits


class TestSmallHead(EngineSuite):
    """As where a write is billed by its size: blobs apart, 3 KiB of head."""

    @staticmethod
    def open_client(place: str) -> VersionedEngine:
        limits = Limits(register_budget=3 * 1024, why={"register_budget": "billed by size"})
        return VersionedEngine(Limited(MemorySubstrate(place), limits))

    @pytest.fixture
    def place(self) -> str:
        return uuid.uuid4().hex


class TestLargeHead(EngineSuite):
    """As where a write is billed by the request: blobs apart, 64 KiB of head."""

    @staticmethod
    def open_client(place: str) -> VersionedEngine:
        limits = Limits(register_budget=64 * 1024, why={"register_budget": "billed by request"})
        return VersionedEngine(Limited(MemorySubstrate(place), limits))

    @pytest.fixture
    def place(self) -> str:
        return uuid.uuid4().hex
