from __future__ import annotations

from pathlib import Path

import pytest

from discfg_core.substrates.sqlite import SQLiteSubstrate
from discfg_core.testing import SubstrateEngineSuite


class TestSQLiteFaulted(SubstrateEngineSuite):
    @staticmethod
    def open_substrate(place: Path) -> SQLiteSubstrate:
        return SQLiteSubstrate(place)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "app.db"
