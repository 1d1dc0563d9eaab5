from __future__ import annotations

import uuid

import pytest

from discfg_core.testing import EngineSuite
from discfg_core.versioned import VersionedEngine
from tests.conformance.tables import TablesSubstrate


class TestTables(EngineSuite):
    @staticmethod
    def open_client(place: str) -> VersionedEngine:
        return VersionedEngine(TablesSubstrate(place))

    @pytest.fixture
    def place(self) -> str:
        return uuid.uuid4().hex
