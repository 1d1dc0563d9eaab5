from pathlib import Path

import pytest
from discfg_files import FilesSubstrate

from discfg_core.testing import SubstrateEngineSuite


class TestFilesFaulted(SubstrateEngineSuite):
    @staticmethod
    def open_substrate(place: Path) -> FilesSubstrate:
        return FilesSubstrate(place)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store"
