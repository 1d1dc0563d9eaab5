"""Readers: shared checks, late answers, a cache that only moves forward."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import (
    ConfigNotFound,
    Corrupt,
    KeyNotFound,
    StoreBusy,
    StoreUnavailable,
    Timeout,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.versioned.conftest import Bench, Client, Gate, Handler


@pytest.fixture
def a(bench: Bench) -> Client:
    return bench.client().create()


def test_late_answer_to_an_early_read_replaces_nothing(
    bench: Bench, a: Client, gates: Callable[..., Gate]
) -> None:
    a.set("/x", "1")
    held = gates(before=False)
    a.store.then("read", held)
    bench.client().set("/x", "2")
    early = a.do(a.get, "/x")
    held.reached()
    a.set("/x", "3")
    held.open()
    # It began before the write was acknowledged: either is right; the cache stays ahead.
    assert early.result() in {b"2", b"3"}
    assert a.get("/x", max_staleness=60) == b"3"


def test_late_answer_that_there_is_no_config(bench: Bench, gates: Callable[..., Gate]) -> None:
    a, held = bench.client(), gates(before=False)
    a.store.then("read", held)
    early = a.do(a.revision)
    held.reached()
    bench.client().create()
    held.open()
    assert isinstance(early.error(), ConfigNotFound)
    a.set("/x", "1")
    assert a.get("/x", max_staleness=60) == b"1"


def test_reader_is_never_answered_by_a_check_that_began_before_it(
    bench: Bench, a: Client, gates: Callable[..., Gate]
) -> None:
    other = bench.client()
    other.set("/x", "1")
    held = gates(before=False)
    a.store.then("read", held)
    early = a.do(a.get, "/x")
    held.reached()
    other.set("/x", "2")
    late = a.do(a.get, "/x")
    time.sleep(0.02)
    held.open()
    assert early.result() == b"1"
    assert late.result() == b"2"


def test_one_check_serves_all_that_came_before_it(a: Client, gates: Callable[..., Gate]) -> None:
    a.set("/x", "1")
    held = gates()
    a.store.then("read", held)
    first = a.do(a.get, "/x")
    held.reached()
    others = [a.do(a.get, "/x") for _ in range(20)]
    checks = a.engine._sessions["c"][0]._checks
    patience = Deadline.after(30)
    while len(checks._queue) < 20:
        assert not patience.passed()
        time.sleep(0.001)
    before = a.store.count("read")
    held.open()
    assert {doing.result() for doing in (first, *others)} == {b"1"}
    assert a.store.count("read") == before + 1


def test_follower_with_more_time_outlives_its_leader(
    a: Client, gate: Gate, fails: Callable[..., Handler]
) -> None:
    a.set("/x", "1")
    a.store.always("read", fails(lambda: StoreUnavailable("away")))
    leader = a.do(a.get, "/x", seconds=0.1)
    follower = a.do(a.get, "/x", seconds=10)
    assert isinstance(leader.error(), StoreUnavailable | Timeout)
    a.store.always("read", None)
    assert follower.result() == b"1"


def test_follower_with_less_time_does_not_wait_for_its_leader(a: Client, gate: Gate) -> None:
    a.set("/x", "1")
    a.store.then("read", gate)
    leader = a.do(a.get, "/x")
    gate.reached()
    with pytest.raises(Timeout):
        a.get("/x", seconds=0.05)
    gate.open()
    assert leader.result() == b"1"


def test_state_is_not_seen_before_its_swap_was_acknowledged(a: Client, gate: Gate) -> None:
    a.set("/x", "1")
    a.store.then("swap", gate)
    writing = a.do(a.set, "/x", "2")
    gate.reached()
    assert a.get("/x") == b"1"
    assert a.get("/x", max_staleness=60) == b"1"
    gate.open()
    writing.result()
    assert a.get("/x", max_staleness=60) == b"2"


def test_store_gone_back_is_told(bench: Bench, a: Client) -> None:
    a.set("/x", "1")
    backup = bench.register().data
    a.set("/x", "2")
    bench.put_register(backup)
    with pytest.raises(Corrupt, match="gone back"):
        a.get("/x")
    with pytest.raises(Corrupt):
        a.set("/x", "3")


def test_slow_reader_whose_blobs_were_folded_away_looks_again(bench: Bench, gate: Gate) -> None:
    writer = bench.client().create()
    for number in range(60):
        writer.set(f"/k{number}", str(number))
    reader = bench.client()
    reader.store.then("get_blobs", gate)
    reading = reader.do(reader.values)
    gate.reached()
    for number in range(100):
        writer.set(f"/k{number}", str(number))
    gate.open()
    assert reading.result() == writer.values()


def test_blob_that_is_missing_for_good_is_corrupt(bench: Bench) -> None:
    writer = bench.client().create()
    for number in range(200):
        writer.set(f"/k{number}", str(number))
    bench.raw.delete_blobs("c", list(bench.blobs()), deadline=Deadline.after(10))
    with pytest.raises(Corrupt):
        bench.client().values()


@pytest.mark.parametrize("what", ["get", "large", "history", "outcome", "id", "check", "load"])
def test_reading_survives_a_store_that_is_busy_for_a_moment(
    bench: Bench, fails: Callable[..., Handler], what: str
) -> None:
    writer = bench.client().create()
    writer.set("/large", b"x" * 10_000, commit_id="mine")
    for number in range(150):
        writer.set(f"/k{number}", str(number))
    a = bench.client()
    busy = fails(lambda: StoreBusy("for a moment"))
    for method in ("read", "get_blobs", "list_blobs"):
        a.store.then(method, busy, busy)
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: a.get("/k1"),
        "large": lambda: a.get("/large"),
        "history": a.commits,
        "outcome": lambda: a.outcome("mine"),
        "id": lambda: a.set("/large", b"x" * 10_000, commit_id="mine"),
        "check": a.problems,
        "load": a.values,
    }
    calls[what]()


@pytest.mark.parametrize("what", ["large", "history", "set", "if_value"])
def test_call_ends_by_its_deadline(bench: Bench, fails: Callable[..., Handler], what: str) -> None:
    writer = bench.client().create()
    writer.set("/large", b"x" * 10_000)
    for number in range(150):
        writer.set(f"/k{number}", str(number))
    a = bench.client()
    a.revision()
    busy = fails(lambda: StoreBusy("for long"))
    for method in ("get_blobs", "delete_blobs", "put_blob"):
        a.store.always(method, busy)
    calls: dict[str, Callable[[], object]] = {
        "large": lambda: a.get("/large", seconds=0.2),
        "history": lambda: a.engine.history(a.handle, deadline=Deadline.after(0.2)),
        "set": lambda: [a.set(f"/k{n}", seconds=0.2) for n in range(65)],
        "if_value": lambda: a.set("/large", seconds=0.2, condition={"value": b"y" * 10_000}),
    }
    begin = time.monotonic()
    try:
        calls[what]()
    except (StoreBusy, Timeout):
        assert what != "set"
    assert time.monotonic() - begin < 20


def test_threads_read_their_own_writes_and_never_go_back(bench: Bench, a: Client) -> None:
    other = bench.client()
    a.set("/x", "0")
    stop = threading.Event()
    wrong: list[str] = []

    def read(client: Client, staleness: float | None) -> None:
        last = 0
        while not stop.is_set():
            seen = int(client.get("/x", max_staleness=staleness))
            if seen < last:
                wrong.append(f"{seen} after {last}")
            last = seen
            time.sleep(0.0005)

    def write(name: str) -> None:
        for number in range(60):
            a.set(f"/{name}", str(number))
            if a.get(f"/{name}") != str(number).encode():
                wrong.append(f"{name} lost {number}")

    readers = [
        threading.Thread(target=read, args=(client, staleness))
        for client in (a, other)
        for staleness in (None, 0.001, 60)
    ]
    writers = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(4)]
    for thread in (*readers, *writers):
        thread.start()
    for number in range(1, 100):
        (a if number % 2 else other).set("/x", str(number))
    for thread in writers:
        thread.join(30)
    stop.set()
    for thread in readers:
        thread.join(30)
    assert wrong == []


def test_sixty_four_threads_on_one_config(bench: Bench, a: Client) -> None:
    def work(name: str) -> None:
        for number in range(20):
            a.set(
                f"/{name}",
                str(number),
                condition={"version": number} if number else {"absent": True},
            )

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert a.revision() == 1280
    assert a.store.count("swap") < 1280
    assert set(a.values().values()) == {b"19"}
    assert [commit.revision for commit in a.commits()] == list(range(1, 1281))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_child_of_a_fork_inherits_no_lock_and_no_queue(bench: Bench, a: Client, gate: Gate) -> None:
    a.set("/large", b"x" * 10_000)
    node = a.engine.view(a.handle, deadline=Deadline.after(10)).get("/large")
    assert node is not None
    session, committer = a.engine._sessions["c"]
    a.store.then("swap", gate)
    held = a.do(a.set, "/held")
    gate.reached()
    locks = [
        session._mutex,
        committer._turns._mutex,
        session._checks._mutex,
        session.blobs_of(bench.head().incarnation)._lock,
    ]
    for lock in locks:
        lock.acquire()
    child = os.fork()
    if child == 0:
        import signal

        signal.alarm(5)
        a.set("/y", seconds=3)
        os._exit(0 if node.value == a.get("/large") else 1)
    for lock in locks:
        lock.release()
    gate.open()
    held.result()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_absent_key_is_told_after_a_check_of_its_own(bench: Bench, a: Client) -> None:
    with pytest.raises(KeyNotFound):
        a.get("/x")
    bench.client().set("/x", "1")
    assert a.get("/x") == b"1"
