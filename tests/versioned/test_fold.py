"""The head stays small, whatever is written and though nobody ever folds by itself."""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count, islice
from typing import TYPE_CHECKING

import msgspec
import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, Put, RemovePrefix
from discfg_core.errors import StoreFull
from discfg_core.substrate import Limits, SwapConflict
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.versioned import VersionedEngine
from discfg_core.versioned.blobs import blob_name
from discfg_core.versioned.check import _Inspection
from discfg_core.versioned.format import decode_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discfg_core.substrate import Token
    from discfg_core.versioned.format import Head
    from tests.versioned.conftest import Bench, Client, Gate, Go

STORES = {
    "etcd": (Limits(register_budget=2048, blobs_ride=True), 3000),
    "dynamodb": (Limits(register_budget=3 * 1024), 3 * 1024),
    "s3": (Limits(register_budget=64 * 1024), 64 * 1024),
    "sqlite": (Limits(blobs_ride=True), 16 * 1024),
}
each_store = pytest.mark.parametrize("store", STORES)


@each_store
def test_head_stays_within_its_budget(bench: Bench, store: str) -> None:
    limits, bound = STORES[store]
    a = bench.client(limits).create(setting="x" * 50)
    longest = 0
    for number in range(2500):
        a.set(f"/k{number % 40}", b"x" * (number * 37 % 400), message="m" * (number % 60))
        longest = max(longest, len(bench.register().data))
    assert longest <= bound
    assert a.problems() == ()
    fresh = bench.client(limits)
    assert fresh.values() == a.values()
    assert [commit.revision for commit in fresh.commits()] == list(range(1, 2501))


@each_store
def test_head_stays_within_its_budget_when_much_is_written(bench: Bench, store: str) -> None:
    limits, bound = STORES[store]
    a = bench.client(limits).create()
    for number in range(250):
        # Values of every size, and transactions large enough to lie in a blob.
        a.set(f"/v{number % 9}", b"x" * (number * 977 % 9000), message="m" * 4000)
        if number % 10 == 0:
            ops = [Put(f"/many/{n}", b"y" * 90, "text/plain") for n in range(number + 1)]
            a.commit(RemovePrefix("/many"), *ops)
        assert len(bench.register().data) <= bound
    report = a.engine.check("c", deadline=Deadline.after(10))
    assert report.problems == ()
    assert report.orphans == 0
    assert bench.client(limits).values() == a.values()


@each_store
def test_head_stays_within_its_budget_with_a_large_state(bench: Bench, store: str) -> None:
    limits, bound = STORES[store]
    a = bench.client(limits).create()
    for start in range(0, 1000, 100):
        a.commit(*(Put(f"/base{n}", b"z" * 200, "text/plain") for n in range(start, start + 100)))
    assert bench.head().inline > 64 * 1024
    longest, stored = 0, set()
    for number in range(2000):
        a.set(f"/k{number % 300}", b"x" * 500)
        longest = max(longest, len(bench.register().data))
        stored.add(bench.head().state.revision)
    assert longest <= bound
    # Stored anew as the history grows, and not with every segment.
    assert 1 < len(stored) < 20
    assert bench.head().state.debt < 1024 * 1024
    assert a.problems() == ()
    assert bench.client(limits).values() == a.values()


def test_two_clients_that_fold_at_once_lose_nothing(bench: Bench) -> None:
    clients = [bench.client(STORES["s3"][0]) for _ in range(2)]
    clients[0].create()
    for start in range(0, 600, 100):
        clients[0].commit(
            *(Put(f"/base{n}", b"z" * 200, "text/plain") for n in range(start, start + 100))
        )

    def work(client: Client, name: str) -> None:
        for number in range(500):
            client.set(f"/{name}{number % 50}", b"x" * 900)

    threads = [
        threading.Thread(target=work, args=(client, name))
        for client, name in zip(clients, "ab", strict=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    fresh = bench.client(STORES["s3"][0])
    assert fresh.revision() == 6 + 2000
    assert fresh.problems() == ()
    assert fresh.values() == clients[0].values() == clients[1].values()


def test_fold_of_a_state_that_a_collection_took_is_dropped(bench: Bench, gate: Gate) -> None:
    limits = STORES["s3"][0]
    a, other = bench.client(limits).create(), bench.client(limits)
    for start in range(0, 600, 100):
        a.commit(*(Put(f"/base{n}", b"z" * 200, "text/plain") for n in range(start, start + 100)))
    stored = bench.head().state.revision
    number = 0

    def held(go: Go) -> object:
        answer = go()
        collect(bench)
        return answer

    # The state is laid down by the writer that is due; a collection takes it before the fold.
    a.store.then("put_blob", held)
    while a.store._lines["put_blob"]:
        a.set(f"/k{number % 50}", b"x" * 900)
        number += 1
        assert number < 5000
    assert bench.head().generation == 1
    for _ in range(100):
        a.set("/after", b"x" * 900)
    assert bench.head().state.revision >= stored
    assert other.problems() == ()
    assert bench.client(limits).values() == a.values()


def collect(bench: Bench) -> None:
    """A collection as another client would do it: list, swap to a new generation, delete."""
    listed = list(bench.blobs())

    def next_generation(head: Head) -> Head:
        return msgspec.structs.replace(
            head, generation=head.generation + 1, sequence=head.sequence + 1
        )

    bench.change_head(next_generation)
    fresh = bench.client()
    fresh.revision()
    confirmed = fresh.engine._sessions["c"][0].latest
    assert confirmed is not None
    assert confirmed.snapshot is not None
    inspection = _Inspection(confirmed.snapshot, Deadline.after(30))
    inspection.run()
    incarnation = bench.head().incarnation
    reached = {blob_name(incarnation, ref) for ref in inspection.reached}
    dead = [blob for blob in listed if blob not in reached]
    bench.raw.delete_blobs("c", dead, deadline=Deadline.after(30))


@pytest.mark.parametrize("store", ["s3", "sqlite"])
@pytest.mark.parametrize("size", [10_000, 400_000])
def test_collection_between_laying_down_and_the_swap(bench: Bench, store: str, size: int) -> None:
    limits = STORES[store][0]
    a = bench.client(limits).create()
    a.set("/old", b"o" * 10_000)

    def collected(go: Go) -> object:
        collect(bench)
        return go()

    a.store.then("swap", collected)
    a.set("/large", b"x" * size)
    assert bench.head().generation == 1
    fresh = bench.client(limits)
    assert fresh.get("/large") == b"x" * size
    assert fresh.get("/old") == b"o" * 10_000
    assert fresh.problems() == ()


def test_collection_under_writers_takes_nothing_they_need(bench: Bench) -> None:
    limits = STORES["s3"][0]
    clients = [bench.client(limits) for _ in range(2)]
    clients[0].create()

    def work(client: Client, name: str) -> None:
        for number in range(60):
            client.set(f"/{name}{number % 5}", bytes([number]) * 5000)

    threads = [
        threading.Thread(target=work, args=(client, name))
        for client, name in zip(clients, "ab", strict=True)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        # A collection that lost the race for the head has deleted nothing.
        with suppress(SwapConflict):
            collect(bench)
    for thread in threads:
        thread.join(30)
    fresh = bench.client(limits)
    assert fresh.revision() == 120
    assert fresh.problems() == ()


class Unfolding(DelegatingSubstrate):
    """Takes commits, and refuses the swap that only refers to a stored state."""

    def __init__(self) -> None:
        super().__init__(MemorySubstrate())
        self.revision = -1
        self.states = 0

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        self.states += 1
        super().put_blob(name, blob, data, deadline=deadline)

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        revision = decode_head(data)[0].revision
        if revision == self.revision:
            raise StoreFull("no room for this one")
        token = super().swap(name, expected, data, blobs, deadline=deadline)
        self.revision = revision
        return token


def test_state_that_cannot_be_stored_is_not_written_again_at_once() -> None:
    store = Unfolding()
    engine = VersionedEngine(store)
    handle = ConfigHandle("c")
    engine.create_config("c", {}, deadline=Deadline.after(10))

    numbers = count()

    def write(commits: int) -> None:
        for number in islice(numbers, commits):
            key, value = f"/k{number % 100}", b"x" * 1000
            engine.set(handle, key, value, "text/plain", deadline=Deadline.after(10))

    write(400)
    assert store.states > 0
    tried = store.states
    write(30)
    # Perhaps a flush came by, at which it is due again; not one try for each commit.
    assert store.states <= tried + 1
    assert engine.check("c", deadline=Deadline.after(10)).problems == ()
    engine.close()
