"""Two processes, one stopped now and then, for a while; longer with ``DISCFG_SOAK_SECONDS``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Read as this is collected: the run cleans its environment afterwards.
SECONDS = float(os.environ.get("DISCFG_SOAK_SECONDS", "20"))


@pytest.mark.timeout(SECONDS + 280)
def test_soak(record_testsuite_property: Callable[[str, object], None]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("soak.py")), "--seconds", str(SECONDS)],
        capture_output=True,
        text=True,
        timeout=SECONDS + 240,
        check=False,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    record_testsuite_property("soak", done.stdout)
    assert report["stops"]
    assert report["unknown"] == 0
