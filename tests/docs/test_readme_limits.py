"""What the README says of a crash: it may leave orphans, which are counted and do no harm."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import discfg_core as discfg

if TYPE_CHECKING:
    from pathlib import Path

# Dies behind the value, which is a blob of its own, and before the commit.
_WRITER = """
import os
import discfg_core as discfg
from discfg_core.substrates.sqlite import SQLiteSubstrate

store = discfg.connect("sqlite:///app.db")
SQLiteSubstrate.swap = lambda *given, **options: os._exit(7)
store.config("mycfg").set("image", bytes(1_000_000))
"""


def test_a_crash_leaves_orphans_that_are_counted(tmp_path: Path) -> None:
    with discfg.connect(f"sqlite:///{tmp_path}/app.db") as store:
        cfg = store.create_config("mycfg")
        cfg.set("a", 1)
        died = subprocess.run(
            [sys.executable, "-c", _WRITER], cwd=tmp_path, timeout=60, check=False
        )
        assert died.returncode == 7
        report = store.check("mycfg")
        assert (report.problems, report.orphans, report.orphan_bytes) == ((), 1, 1_000_000)
        assert cfg.values() == {"/a": 1}
        assert cfg.set("image", bytes(1_000_000)).node.version == 1
