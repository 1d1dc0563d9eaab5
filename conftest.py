"""What every test run shares: servers, one seed, and an environment that is nobody's.

The conformance suite relies on nothing in this file: it must work in a
stranger's project, too.
"""

from __future__ import annotations

import os
import platform
import secrets
import sqlite3
from typing import TYPE_CHECKING

import hypothesis
import msgspec
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.servers.plugin"]

# Settings of the test run itself; each other DISCFG_ variable is a user's.
_OF_THE_RUN = ("DISCFG_TEST_", "DISCFG_HYPOTHESIS_", "DISCFG_REQUIRE", "DISCFG_SEED")


def pytest_configure() -> None:
    """Choose the seed before the processes that share the work start: they inherit it.

    No random test fails for being slow.
    """
    os.environ.setdefault("DISCFG_SEED", str(secrets.randbits(32)))
    patient = hypothesis.settings(
        deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.register_profile("patient", patient)
    hypothesis.settings.load_profile("patient")


def pytest_report_header() -> str:
    return (
        f"discfg on {platform.python_implementation()} {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, msgspec {msgspec.__version__}, "
        f"hypothesis profile {os.environ.get('DISCFG_HYPOTHESIS_PROFILE', 'ci')}, "
        f"DISCFG_SEED={os.environ['DISCFG_SEED']}"
    )


@pytest.fixture(scope="session", autouse=True)
def _nobodys_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's own settings, stores or credentials.

    It holds for processes that tests start, too: they inherit the environment. The credentials
    of AWS are the affair of ``tests/servers/plugin.py``.
    """
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            user_setting = name.startswith("DISCFG_") and not name.startswith(_OF_THE_RUN)
            if user_setting or name.startswith("XDG_"):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("NO_COLOR", "1")
        yield
