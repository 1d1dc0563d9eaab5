"""Four processes of eight threads on one config, on each store; longer with `DISCFG_SOAK_SECONDS`."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from discfg_core.testing.profiles import say_seed
from tests.conformance.soak import Disturbance, Soak, run
from tests.stores.places import DURABLE, SERVED, fresh, fresh_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.plugin import Servers

# Read as this is collected: the run cleans its environment afterwards.
_NIGHTLY = os.environ.get("DISCFG_HYPOTHESIS_PROFILE") == "nightly"
SECONDS = float(os.environ.get("DISCFG_SOAK_SECONDS", "20" if _NIGHTLY else "5"))

pytestmark = pytest.mark.timeout(SECONDS + 280)


@pytest.mark.parametrize("disturb", [Disturbance.NONE, Disturbance.STOPS])
def test_in_a_file(
    tmp_path: Path, disturb: Disturbance, record_property: Callable[[str, object], None]
) -> None:
    report = run(Soak(fresh_file(tmp_path), tmp_path, SECONDS, disturb), say_seed())
    _keep(report, record_property)


@pytest.mark.parametrize("store", SERVED)
def test_on_a_server(
    servers: Servers,
    store: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    report = run(Soak(fresh(servers.url(store)), tmp_path, SECONDS), say_seed())
    _keep(report, record_property)


@pytest.mark.parametrize("store", DURABLE)
def test_while_the_server_is_killed_and_restarted(
    servers: Servers,
    store: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    with servers.own(store) as server:
        soak = Soak(fresh(server.url), tmp_path, SECONDS, Disturbance.KILLS, server)
        report = run(soak, say_seed())
    assert len(report["disturbed"]) == 2
    _keep(report, record_property)


def _keep(report: dict[str, object], record_property: Callable[[str, object], None]) -> None:
    """Into the run's report, and among the output of a failed test."""
    sys.stdout.write(json.dumps(report) + "\n")
    record_property("soak", report)
