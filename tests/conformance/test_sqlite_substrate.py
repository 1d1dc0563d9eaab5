from __future__ import annotations

from pathlib import Path

import pytest

from discfg_core.substrates.sqlite import SQLiteSubstrate
from discfg_core.testing import SubstrateSuite


class TestSQLiteSubstrate(SubstrateSuite):
    @staticmethod
    def open_client(place: str) -> SQLiteSubstrate:
        return SQLiteSubstrate(place)

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return str(tmp_path / "store.db")
