from __future__ import annotations

import uuid

import pytest

from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing import SubstrateEngineSuite


class TestMemoryFaulted(SubstrateEngineSuite):
    @staticmethod
    def open_substrate(place: str) -> MemorySubstrate:
        return MemorySubstrate(place)

    @pytest.fixture
    def place(self) -> str:
        return uuid.uuid4().hex
