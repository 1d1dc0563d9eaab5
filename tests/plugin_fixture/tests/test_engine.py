from pathlib import Path

import pytest
from discfg_files import FilesSubstrate

from discfg_core.testing import EngineSuite
from discfg_core.versioned import VersionedEngine


class TestFiles(EngineSuite):
    @staticmethod
    def open_client(place: Path) -> VersionedEngine:
        return VersionedEngine(FilesSubstrate(place))

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store"
