from pathlib import Path

import pytest
from discfg_files import FilesSubstrate

from discfg_core.testing import SubstrateSuite


class TestFilesSubstrate(SubstrateSuite):
    @staticmethod
    def open_client(place: Path) -> FilesSubstrate:
        return FilesSubstrate(place)

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "store"
