from __future__ import annotations

import uuid

import pytest

from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing import EngineSuite
from discfg_core.versioned import VersionedEngine


class TestMemory(EngineSuite):
    @staticmethod
    def open_client(place: str) -> VersionedEngine:
        return VersionedEngine(MemorySubstrate(place))

    @staticmethod
    def url(place: str) -> str:
        return f"memory://{place}"

    @pytest.fixture
    def place(self) -> str:
        return uuid.uuid4().hex
