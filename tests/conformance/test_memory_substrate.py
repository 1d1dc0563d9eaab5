from __future__ import annotations

import uuid

import pytest

from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing import SubstrateSuite


class TestMemorySubstrate(SubstrateSuite):
    @staticmethod
    def open_client(place: str) -> MemorySubstrate:
        return MemorySubstrate(place)

    @pytest.fixture
    def place(self) -> str:
        return uuid.uuid4().hex
