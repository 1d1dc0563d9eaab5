from __future__ import annotations

import uuid

import pytest

from discfg_core.testing import SubstrateSuite
from tests.conformance.tables import TablesSubstrate


class TestTablesSubstrate(SubstrateSuite):
    @staticmethod
    def open_client(place: str) -> TablesSubstrate:
        return TablesSubstrate(place)

    @pytest.fixture
    def place(self) -> str:
        return uuid.uuid4().hex
