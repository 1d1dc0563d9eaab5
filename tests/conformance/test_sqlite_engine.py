from __future__ import annotations

from pathlib import Path

import pytest

from discfg_core.substrates.sqlite import SQLiteSubstrate
from discfg_core.testing import EngineSuite
from discfg_core.versioned import VersionedEngine


class TestSQLite(EngineSuite):
    @staticmethod
    def open_client(place: Path) -> VersionedEngine:
        return VersionedEngine(SQLiteSubstrate(place))

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "app.db"
