"""A sound store passes every check, and nothing is left behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from discfg_core import doctor, errors
from discfg_core.clock import Deadline
from discfg_core.doctor import SCRATCH
from discfg_core.engine import ConfigHandle, FindingStatus
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.substrates.sqlite import SQLiteSubstrate
from discfg_core.versioned import VersionedEngine
from tests.doctor.places import ALL, SOON, Place, found, status_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sound_store_passes_every_check(place: Place) -> None:
    place.create("mine", "k")
    report = place.examine()
    assert status_of(report) == dict.fromkeys(ALL, "ok")
    assert report.status is FindingStatus.OK
    assert report.left is None
    assert place.configs() == ["mine"]
    assert [(each.what, each.times) for each in report.timings] == [
        ("connect", 7),
        ("cold get", 7),
        ("freshness check", 20),
        ("warm set", 20),
    ]
    assert all(0 < each.median <= each.p95 for each in report.timings)
    assert len(place.opened) == 8
    for engine in place.opened:
        with pytest.raises(errors.Closed):
            engine.list_configs(deadline=Deadline.after(SOON))


def test_a_file_passes_and_its_configs_are_let_be(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    engine = VersionedEngine(SQLiteSubstrate(file))
    handle = ConfigHandle("mine")
    engine.create_config("mine", {}, deadline=Deadline.after(SOON))
    before = engine.describe_config(handle, deadline=Deadline.after(SOON))
    report = doctor.examine(lambda: VersionedEngine(SQLiteSubstrate(file)), store="file")
    assert [check for check in report.checks if check.status is not FindingStatus.OK] == []
    assert engine.list_configs(deadline=Deadline.after(SOON)) == ["mine"]
    assert engine.describe_config(handle, deadline=Deadline.after(SOON)) == before
    engine.close()


def test_a_store_with_a_single_client_is_raced_by_threads() -> None:
    report = doctor.examine(lambda: VersionedEngine(MemorySubstrate()), store="memory://")
    assert status_of(report) == dict.fromkeys(ALL, "ok")
    assert "single client" in found(report, "clients").message


def test_no_thread_is_left(place: Place) -> None:
    before = threading.active_count()
    place.examine()
    assert threading.active_count() == before


def test_the_names_it_uses_are_few(place: Place) -> None:
    # A dropped config's data stays until its name is used anew.
    for _ in range(5):
        place.examine(read_only=False, timeout=SOON)
    names = set(place.memory().names(deadline=Deadline.after(SOON)))
    assert all(len(name) == len(SCRATCH) + 2 for name in names)
