"""The memory substrate: who shares a store, and what happens to it in a fork."""

from __future__ import annotations

import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import Closed
from discfg_core.substrate import BlobRange, Register
from discfg_core.substrates.memory import MemorySubstrate


def soon() -> Deadline:
    return Deadline.after(20)


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def test_named_store_is_shared_and_outlives_its_clients(name: str) -> None:
    first = MemorySubstrate(name)
    token = first.swap("one", None, b"data", {"blob": b"content"}, deadline=soon())
    first.close()
    second = MemorySubstrate(name)
    assert second.read("one", deadline=soon()) == Register(b"data", token)
    assert second.get_blobs("one", [BlobRange("blob", 1, 3)], deadline=soon()) == [b"ont"]
    assert MemorySubstrate(name + "x").read("one", deadline=soon()) is None


def test_store_without_a_name_is_private() -> None:
    first, second = MemorySubstrate(), MemorySubstrate()
    first.swap("one", None, b"data", deadline=soon())
    assert second.read("one", deadline=soon()) is None


def test_threads_that_open_a_name_at_once_share_it(name: str) -> None:
    barrier = threading.Barrier(8)

    def open_and_put(number: int) -> MemorySubstrate:
        barrier.wait()
        store = MemorySubstrate(name)
        store.put_blob("one", f"blob{number}", b"", deadline=soon())
        return store

    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(open_and_put, range(8)))
    assert len(list(stores[0].list_blobs("one", deadline=soon()))) == 8


def test_what_is_stored_is_a_copy(name: str) -> None:
    store = MemorySubstrate(name)
    data, content = bytearray(b"data"), bytearray(b"content")
    # What only claims to be bytes may be changed by the caller afterwards.
    store.swap("one", None, cast("bytes", data), {"blob": cast("bytes", content)}, deadline=soon())
    store.put_blob("one", "put", cast("bytes", content), deadline=soon())
    data[:] = content[:] = b""
    found = store.read("one", deadline=soon())
    assert isinstance(found, Register)
    assert found.data == b"data"
    wanted = [BlobRange("blob"), BlobRange("put")]
    assert store.get_blobs("one", wanted, deadline=soon()) == [b"content", b"content"]


def test_waiting_ends_soon_when_cancelled_or_closed(name: str) -> None:
    store = MemorySubstrate(name)
    token = store.swap("one", None, b"data", deadline=soon())
    cancel = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        cancelled = threads.submit(store.wait, "one", token, deadline=soon(), cancel=cancel)
        time.sleep(0.1)
        cancel.set()
        assert cancelled.result(timeout=1) is None
        closed = threads.submit(store.wait, "one", token, deadline=soon(), cancel=threading.Event())
        time.sleep(0.1)
        store.close()
        with pytest.raises(Closed):
            closed.result(timeout=1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_child_of_a_fork_goes_on_with_a_copy_and_no_lock_of_the_parent(name: str) -> None:
    store = MemorySubstrate(name)
    token = store.swap("one", None, b"parent", deadline=soon())
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with store._contents.changed:
            held.set()
            let_go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    pid = os.fork()
    if pid == 0:
        # Never the way out of a test: this process is a copy of the test run.
        status = 1
        try:
            store.after_fork()
            store.swap("one", token, b"child", deadline=soon())
            MemorySubstrate(name).put_blob("one", "blob", b"", deadline=soon())
            status = 0
        finally:
            os._exit(status)
    end = time.monotonic() + 20
    waited, status = os.waitpid(pid, os.WNOHANG)
    while not waited and time.monotonic() < end:
        time.sleep(0.01)
        waited, status = os.waitpid(pid, os.WNOHANG)
    let_go.set()
    holder.join()
    if not waited:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert waited
    assert status == 0
    found = store.read("one", deadline=soon())
    assert isinstance(found, Register)
    assert found.data == b"parent"
