"""Time: deadlines, staleness, stamps."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from discfg_core import clock
from discfg_core.clock import Deadline, Instant, to_datetime


def test_a_deadline_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    deadline = Deadline.after(2.5)
    assert (deadline.at, deadline.remaining(), deadline.passed()) == (102.5, 2.5, False)
    now[0] = 102.5
    assert (deadline.remaining(), deadline.passed()) == (0.0, True)
    now[0] = 200.0
    assert deadline.remaining() == 0.0


def test_a_deadline_without_time_has_passed() -> None:
    assert Deadline.after(0).passed()
    assert Deadline.after(-1).remaining() == 0.0


@pytest.mark.parametrize(
    ("boot", "wall", "age"),
    [
        (3.0, 3.0, 3.0),
        (3.0, 60.0, 60.0),  # the boot clock stood still
        (60.0, -1000.0, 60.0),  # the wall clock was set back
        (0.0, -1000.0, 0.0),
    ],
)
def test_an_age_is_what_the_clock_that_saw_more_says(
    monkeypatch: pytest.MonkeyPatch, boot: float, wall: float, age: float
) -> None:
    monkeypatch.setattr(clock, "boottime", lambda: 50.0)
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    then = Instant.now()
    monkeypatch.setattr(clock, "boottime", lambda: 50.0 + boot)
    monkeypatch.setattr(time, "time", lambda: 1000.0 + wall)
    assert then.age() == age


def test_a_system_without_a_boot_clock_uses_the_monotonic_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "_BOOT_CLOCK", None)
    monkeypatch.setattr(time, "monotonic", lambda: 7.0)
    assert clock.boottime() == 7.0


def test_the_boot_clock_goes_on() -> None:
    assert 0 < clock.boottime() <= clock.boottime()


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (999, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_464_675_792_991_825_937, datetime(2016, 5, 31, 6, 23, 12, 991825, tzinfo=UTC)),
        (4_102_444_800_000_000_000, datetime(2100, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_a_stamp_is_cut_to_microseconds_and_never_rounded(
    nanoseconds: int, expected: datetime
) -> None:
    assert to_datetime(nanoseconds) == expected
    assert to_datetime(nanoseconds).utcoffset() is not None
