"""What is found in the store, and what is read where nothing may be written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from discfg_core import clock
from discfg_core.clock import Deadline
from discfg_core.doctor import SCRATCH
from discfg_core.engine import FindingStatus
from discfg_core.substrates.memory import MemorySubstrate
from tests.doctor.places import DENIED, SOON, Place, Refusing, found, status_of

if TYPE_CHECKING:
    from discfg_core.substrate import Substrate


@pytest.mark.parametrize(
    ("ahead", "status"), [(0.0, "ok"), (-500.0, "ok"), (30.0, "warning"), (600.0, "failed")]
)
def test_a_clock_that_disagrees_with_earlier_commits(
    place: Place, monkeypatch: pytest.MonkeyPatch, ahead: float, status: str
) -> None:
    def shifted() -> int:
        return time.time_ns() + int(ahead * clock.NANOSECONDS)

    with monkeypatch.context() as patch:
        patch.setattr("discfg_core.versioned.lifecycle.stamp", shifted)
        place.create("mine")
    report = place.examine()
    finding = found(report, "clock")
    assert finding.status == status
    if status != "ok":
        assert f"mine was committed to {ahead:.0f} s in the future" in finding.message


def test_what_an_earlier_examination_left_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "discfg_core.versioned.lifecycle.stamp",
            lambda: time.time_ns() - 7200 * clock.NANOSECONDS,
        )
        place.create(f"{SCRATCH}zz")
    place.create(f"{SCRATCH}yy")
    report = place.examine()
    finding = found(report, "leftovers")
    assert finding.status is FindingStatus.WARNING
    assert finding.hint == f"discfg drop {SCRATCH}zz"
    assert set(place.configs()) == {f"{SCRATCH}zz", f"{SCRATCH}yy"}


def test_a_name_that_is_in_use_is_let_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("discfg_core.doctor.scratch._NAMES", 1)
    place.create(f"{SCRATCH}00", "precious")
    report = place.examine()
    finding = found(report, "create")
    assert finding.status is FindingStatus.FAILED
    assert "no name is free" in finding.message
    assert report.left is None
    assert place.configs() == [f"{SCRATCH}00"]


def test_a_damaged_config_of_others_does_not_stop_it(place: Place) -> None:
    place.memory().swap("damaged", None, b"no head", deadline=Deadline.after(SOON))
    report = place.examine()
    assert found(report, "configs").status is FindingStatus.WARNING
    assert "damaged" in found(report, "configs").message
    assert found(report, "race").status is FindingStatus.OK


# --- read only ---------------------------------------------------------------------------


def read_only(inner: MemorySubstrate) -> Substrate:
    calls = ("swap", "put_blob", "provision", "drop", "diagnose")
    return Refusing(inner, {call: AssertionError(f"it called {call}") for call in calls})


def test_nothing_is_written_when_told_so(place: Place) -> None:
    place.create("mine", "a", "b")
    report = place.examine(read_only, read_only=True)
    looked = ["engine", "connection", "listing", "clock", "reading"]
    assert status_of(report) == dict.fromkeys(looked, "ok")
    assert "mine at revision 2, and 2 of its commits" in found(report, "reading").message
    assert [(each.what, each.times) for each in report.timings] == [
        ("connect", 3),
        ("cold get", 3),
        ("freshness check", 20),
    ]


def test_reading_takes_the_config_it_is_told(place: Place) -> None:
    place.create("mine", "a")
    place.create("other", "a", "b", "c")
    report = place.examine(read_only, read_only=True, config="other")
    assert "other at revision 3" in found(report, "reading").message


def test_reading_needs_no_right_to_list(place: Place) -> None:
    place.create("mine", "a")
    report = place.examine(
        lambda inner: Refusing(inner, {"names": DENIED}), read_only=True, config="mine"
    )
    assert found(report, "listing").status is FindingStatus.WARNING
    assert found(report, "reading").status is FindingStatus.OK


@pytest.mark.parametrize(("keys", "status"), [((), "ok"), (None, "warning")])
def test_reading_where_there_is_little(
    place: Place, keys: tuple[str, ...] | None, status: str
) -> None:
    if keys is not None:
        place.create("mine", *keys)
    report = place.examine(read_only, read_only=True)
    assert found(report, "reading").status == status
    assert report.timings == ()


def test_reading_a_config_that_is_not_there(place: Place) -> None:
    report = place.examine(read_only, read_only=True, config="nowhere")
    assert found(report, "reading").status is FindingStatus.FAILED
