from __future__ import annotations

import uuid

import pytest

from discfg_core.testing import SubstrateEngineSuite
from tests.conformance.tables import TablesSubstrate


class TestTablesFaulted(SubstrateEngineSuite):
    @staticmethod
    def open_substrate(place: str) -> TablesSubstrate:
        return TablesSubstrate(place)

    @pytest.fixture
    def place(self) -> str:
        return uuid.uuid4().hex
