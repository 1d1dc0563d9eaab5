"""The SQLite substrate among processes and threads: locks, deaths, forks, and a full disk."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import Closed, StoreBusy, StoreFull, Timeout
from discfg_core.substrate import UNCHANGED, BlobRange, Register
from discfg_core.substrates.sqlite import SQLiteSubstrate, file, pool, substrate

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from discfg_core.substrates.sqlite.file import Connection

    Start = Callable[..., subprocess.Popen[str]]
    Open = Callable[..., SQLiteSubstrate]


def soon() -> Deadline:
    return Deadline.after(20)


def number_in(store: SQLiteSubstrate, name: str) -> int:
    found = store.read(name, deadline=soon())
    assert isinstance(found, Register)
    return int(found.data)


def assert_sound(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def release(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


# --- locks ---------------------------------------------------------------------------------


def test_write_lock_of_another_process_is_waited_for_then_told(
    start: Start, store: SQLiteSubstrate
) -> None:
    token = store.swap("one", None, b"1", deadline=soon())
    holder = start("hold", store.path)
    await_ready(holder)
    assert store.read("one", token, deadline=soon()) is UNCHANGED
    began = time.monotonic()
    with pytest.raises(StoreBusy) as caught:
        store.swap("one", token, b"2", deadline=Deadline.after(0.3))
    assert 0.3 <= time.monotonic() - began < 30
    assert caught.value.retryable
    assert "another process" in str(caught.value)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(store.swap, "one", token, b"3", deadline=soon())
        time.sleep(0.1)
        assert not waiting.done()
        release(holder)
        waiting.result()
    assert number_in(store, "one") == 3


def test_thread_waits_for_the_threads_of_its_process_then_tells(
    start: Start, store: SQLiteSubstrate
) -> None:
    token = store.swap("one", None, b"1", deadline=soon())
    holder = start("hold", store.path)
    await_ready(holder)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(store.swap, "one", token, b"2", deadline=soon())
        time.sleep(0.1)
        with pytest.raises(StoreBusy, match="other threads"):
            store.put_blob("one", "blob", b"data", deadline=Deadline.after(0.1))
        release(holder)
        first.result()


def test_writer_is_not_starved_by_one_that_never_pauses(
    start: Start, store: SQLiteSubstrate
) -> None:
    other = start("count", store.path)
    await_ready(other)
    release(other)
    waits = []
    token = None
    for number in range(100):
        began = time.monotonic()
        token = store.swap("mine", token, b"%d" % number, deadline=soon())
        waits.append(time.monotonic() - began)
    # A few ms on a quick disk; with SQLite's own waiting the worst are seconds.
    assert sorted(waits)[90] < 1


def test_waiting_looks_seldom_when_nothing_happens(
    store: SQLiteSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = store.swap("one", None, b"1", deadline=soon())
    looks = []
    run = store._pool.run

    def counted(*args: object, **kwargs: object) -> object:
        looks.append(time.monotonic())
        return run(*args, **kwargs)  # type: ignore[arg-type]  # any arguments, handed on

    monkeypatch.setattr(store._pool, "run", counted)
    store.wait("one", token, deadline=Deadline.after(1.5), cancel=threading.Event())
    assert 5 <= len(looks) <= 25
    assert looks[1] - looks[0] < 0.1


def test_waiting_ends_at_once_when_cancelled(
    store: SQLiteSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(substrate, "_POLL_FIRST", 60.0)
    monkeypatch.setattr(substrate, "_POLL_LAST", 60.0)
    token = store.swap("one", None, b"1", deadline=soon())
    cancel = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(store.wait, "one", token, deadline=soon(), cancel=cancel)
        time.sleep(0.2)
        assert not waiting.done()
        cancel.set()
        waiting.result(timeout=5)


def test_deleting_many_blobs_in_too_little_time_says_how_far_it_came(
    store: SQLiteSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = {f"blob{number}": b"" for number in range(500)}
    store.swap("one", None, b"1", blobs, deadline=soon())
    late = Deadline.after(20)
    commit = store._commit

    def slow(connection: Connection) -> None:
        commit(connection)
        late.at = 0

    monkeypatch.setattr(store, "_commit", slow)
    with pytest.raises(Exception, match="when 200 of 500 blobs were deleted"):
        store.delete_blobs("one", list(blobs), deadline=late)
    monkeypatch.undo()
    assert len(list(store.list_blobs("one", deadline=soon()))) == 300
    with pytest.raises(Timeout):
        store.delete_blobs("one", list(blobs), deadline=Deadline.after(0))
    store.delete_blobs("one", list(blobs), deadline=soon())
    assert not list(store.list_blobs("one", deadline=soon()))


def test_list_of_blobs_goes_on_page_by_page(store: SQLiteSubstrate) -> None:
    blobs = {f"blob{number:05}": b"x" * (number % 7) for number in range(2500)}
    store.swap("one", None, b"1", blobs, deadline=soon())
    store.swap("other", None, b"1", {"blob": b"other"}, deadline=soon())
    listed = list(store.list_blobs("one", deadline=soon()))
    assert {info.blob: info.size for info in listed} == {
        blob: len(content) for blob, content in blobs.items()
    }
    assert len(listed) == len(blobs)


# --- deaths ----------------------------------------------------------------------------------


def test_killed_writer_loses_nothing_it_acknowledged(
    start: Start, open_store: Open, path: Path
) -> None:
    randomness = random.Random(os.environ["DISCFG_SEED"])
    found = 0
    for _ in range(8):
        writer = start("count", path)
        await_ready(writer)
        release(writer)
        time.sleep(randomness.uniform(0.01, 0.15))
        writer.kill()
        acknowledged = writer.communicate()[0].split()
        store = open_store()
        if acknowledged:
            found = number_in(store, "one")
            # The last one may have been committed and not yet told.
            assert found - int(acknowledged[-1]) in (0, 1)
            for number in (*acknowledged, found):
                blob = BlobRange(f"blob{number}")
                assert store.get_blobs("one", [blob], deadline=soon()) == [b"x" * 3000]
        store.close()
        assert_sound(path)
    assert found > 8


def test_closing_waits_for_statements_and_leaves_one_file(
    store: SQLiteSubstrate, path: Path
) -> None:
    done = 0

    def count_up() -> None:
        nonlocal done
        token = None
        while True:
            token = store.swap("one", token, b"%d" % (done + 1), deadline=soon())
            done += 1

    with ThreadPoolExecutor(1) as threads:
        counting = threads.submit(count_up)
        time.sleep(0.2)
        store.close()
        with pytest.raises(Closed):
            counting.result()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    again = SQLiteSubstrate(path)
    assert number_in(again, "one") == done > 0
    again.close()


def test_waiting_ends_when_the_store_is_closed(store: SQLiteSubstrate) -> None:
    token = store.swap("one", None, b"1", deadline=soon())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(
            store.wait, "one", token, deadline=soon(), cancel=threading.Event()
        )
        time.sleep(0.1)
        store.close()
        with pytest.raises(Closed):
            waiting.result(timeout=2)


def test_many_threads_leave_few_connections(store: SQLiteSubstrate) -> None:
    store.swap("one", None, b"1", deadline=soon())
    barrier = threading.Barrier(20)

    def work(_: Connection) -> None:
        barrier.wait(timeout=20)

    def run(_: int) -> None:
        store._pool.run(work, deadline=soon(), absent=None)

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(run, range(20)))
    # Some may be closed by one thread while another still counts them.
    assert 1 <= len(store._pool._open) == len(store._pool._idle) < 20
    assert number_in(store, "one") == 1


# --- forks -----------------------------------------------------------------------------------


def test_fork_beside_writing_threads_loses_nothing(
    start: Start, open_store: Open, path: Path
) -> None:
    output, errors = start("fork", path, 6).communicate(timeout=120)
    # From Python 3.12 on, forking beside threads warns.
    assert not errors or "DeprecationWarning" in errors
    told = dict(line.split() for line in output.splitlines())
    assert told.pop("failed") == "0"
    assert len(told) == 6 + 3
    store = open_store()
    for name, number in told.items():
        assert number_in(store, name) == int(number) > 0
        blobs = [BlobRange(f"b{done}") for done in range(int(number))]
        assert None not in store.get_blobs(name, blobs, deadline=soon())
    assert {told[f"child{child}"] for child in range(6)} == {"60"}
    store.close()
    assert_sound(path)


@pytest.mark.skipif(sys.platform != "linux", reason="calls the C library's fork by its name")
def test_fork_that_python_does_not_see_is_refused_in_the_child(
    start: Start, open_store: Open, path: Path
) -> None:
    output, errors = start("fork_unseen", path).communicate(timeout=60)
    assert not errors
    refused = "StoreUnavailable False\n"
    assert output == refused * 2 + "kept True\n" + "0 True\n"
    assert number_in(open_store(), "one") == 1
    assert_sound(path)


def test_fork_closes_what_is_open_and_both_go_on(store: SQLiteSubstrate) -> None:
    """What the parent keeps is not copied into the child: there is nothing to keep."""
    token = store.swap("one", None, b"1", deadline=soon())
    assert store._pool._open
    pool._before_fork()
    assert not store._pool._open
    with pytest.raises(StoreBusy, match="forking"):
        store.read("one", deadline=Deadline.after(0.05))
    pool._after_fork_in_parent()
    assert store.read("one", token, deadline=soon()) is UNCHANGED


# --- no room -----------------------------------------------------------------------------------


def test_full_disk_is_told_and_harmless(
    store: SQLiteSubstrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = store.swap("one", None, b"1", {"large": b"x" * 100_000}, deadline=soon())
    open_existing = file.open_existing

    def open_full(path: str) -> Connection | None:
        connection = open_existing(path)
        if connection is not None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(pool, "open_existing", open_full)
    full = SQLiteSubstrate(store.path)
    with pytest.raises(StoreFull) as caught:
        full.swap("one", token, b"x" * 200_000, {"blob": b"data"}, deadline=soon())
    assert not caught.value.retryable
    with pytest.raises(StoreFull):
        full.put_blob("one", "blob", b"x" * 200_000, deadline=soon())
    assert full.read("one", token, deadline=soon()) is UNCHANGED
    assert [info.blob for info in full.list_blobs("one", deadline=soon())] == ["large"]
    # Room that is freed is used again.
    full.delete_blobs("one", ["large"], deadline=soon())
    full.swap("one", token, b"x" * 90_000, {"blob": b"data"}, deadline=soon())
    full.close()


@pytest.mark.parametrize(
    ("room", "size", "answer"),
    [
        # It fits the page cache, so that COMMIT writes it.
        (5_000, 50_000, "OutcomeUnknown"),
        # It does not, so that the statement does.
        (100_000, 20_000_000, "StoreUnavailable"),
        (100_000, 50_000, "done"),
    ],
)
def test_failed_write_is_certain_before_the_commit_alone(
    start: Start, store: SQLiteSubstrate, room: int, size: int, answer: str
) -> None:
    store.swap("one", None, b"1", deadline=soon())
    output, errors = start("fail_writing_log", store.path, room, size).communicate()
    assert not errors
    assert output.split() == [answer, str(answer != "done"), "True"]
    found = store.read("one", deadline=soon())
    assert isinstance(found, Register)
    assert found.data == b"after"
