"""When a process holds back, and how long."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.substrate import Limits
from discfg_core.versioned import pace
from discfg_core.versioned.pace import Pace

if TYPE_CHECKING:
    from tests.versioned.conftest import Bench, Client, Go


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        monkeypatch.setattr("discfg_core.versioned.pace.time.monotonic", lambda: self.now)
        monkeypatch.setattr(pace, "sleep", self._sleep)
        monkeypatch.setattr(pace, "jitter", lambda ceiling: ceiling)

    def _sleep(self, seconds: float, deadline: Deadline) -> None:
        if seconds > 0:
            self.slept.append(seconds)
            self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def swap(one: Pace, clock: Clock, base: int, interval: float = 0.0, trip: float = 0.1) -> None:
    one.pause(interval, Deadline(clock.now + 100))
    one.swapping(base)
    clock.now += trip
    one.swapped(base + 1, trip)


def test_lone_writer_with_gaps_never_waits(clock: Clock) -> None:
    one = Pace()
    for revision in range(30):
        swap(one, clock, revision)
        clock.now += 1
    assert clock.slept == []


def test_writer_without_a_gap_waits_once_a_second(clock: Clock) -> None:
    one = Pace()
    for revision in range(100):
        swap(one, clock, revision)
    assert 5 <= len(clock.slept) <= 10
    assert all(seconds == pytest.approx(0.2) for seconds in clock.slept)


def test_writer_that_sees_others_waits_each_time(clock: Clock) -> None:
    one, revision = Pace(), 0
    for _ in range(10):
        swap(one, clock, revision)
        revision += 2
    assert len(clock.slept) >= 8


def test_least_interval_of_the_store_is_kept(clock: Clock) -> None:
    one, swapped = Pace(), []
    for revision in range(5):
        swap(one, clock, revision, interval=1.0)
        swapped.append(clock.now)
    gaps = [later - earlier for earlier, later in pairwise(swapped)]
    assert all(gap >= 1.0 for gap in gaps)


def test_wait_ends_with_the_deadline() -> None:
    one = Pace()
    one.swapped(1, 0.001)
    begin = time.monotonic()
    one.pause(30.0, Deadline.after(0.05))
    assert 0.04 < time.monotonic() - begin < 5


def test_each_of_several_processes_gets_its_share(bench: Bench) -> None:
    clients = [bench.client(Limits(register_budget=64 * 1024)) for _ in range(4)]
    clients[0].create()

    def slow(go: Go) -> object:
        time.sleep(0.002)
        try:
            return go()
        finally:
            time.sleep(0.002)

    counts = [0] * len(clients)
    end = time.monotonic() + 2.5

    def work(number: int, client: Client) -> None:
        while time.monotonic() < end:
            client.set(f"/{number}", "x", seconds=20)
            counts[number] += 1

    for client in clients:
        client.store.always("swap", slow)
        client.store.always("read", slow)
    threads = [
        threading.Thread(target=work, args=(number, client))
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # A quarter of a fair share is promised; a short run may halve that.
    assert min(counts) >= sum(counts) / len(counts) / 8, counts
