"""`check` finds what is damaged, and nothing where nothing is."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import ConfigNotFound, StoreUnavailable
from discfg_core.substrate import BlobRange, Limits
from discfg_core.versioned.blobs import blob_name, make_ref
from discfg_core.versioned.format import (
    BlobRef,
    StateRef,
    decode_entries,
    decode_segment,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core.engine import CheckReport
    from discfg_core.versioned.format import Head
    from tests.versioned.conftest import Bench, Client, Handler

SMALL = Limits(register_budget=3 * 1024)


def soon() -> Deadline:
    return Deadline.after(30)


def report(client: Client) -> CheckReport:
    return client.engine.check("c", deadline=soon())


@pytest.fixture(params=["inline", "riding"])
def a(bench: Bench, request: pytest.FixtureRequest) -> Client:
    """A config with all that one can have."""
    client = bench.client(SMALL if request.param == "inline" else None).create(s=1)
    client.set("/large", b"x" * 10_000)
    client.set("/large", b"y" * 10_000)
    for number in range(200):
        client.set(f"/k{number % 7}", str(number))
    client.commit(settings={"s": 2})
    client.delete("/k3")
    client.commits()
    return client


def test_sound_config_has_no_problems(bench: Bench, a: Client) -> None:
    for client in (a, bench.client(SMALL)):
        found = report(client)
        assert found.problems == ()
        assert found.orphans == 0
        assert found.commits == 204
        assert found.keys == 7
        assert found.blobs == len(bench.blobs())
    a.drop()
    assert report(a).problems == ()
    with pytest.raises(ConfigNotFound):
        a.engine.check("nothing", deadline=soon())


def test_each_missing_blob_is_found_even_by_who_has_it_in_memory(bench: Bench, a: Client) -> None:
    assert report(a).problems == ()
    for blob in bench.blobs():
        (data,) = bench.raw.get_blobs("c", [BlobRange(blob)], deadline=soon())
        assert data is not None
        bench.raw.delete_blobs("c", [blob], deadline=soon())
        assert report(a).problems, blob
        assert report(bench.client(SMALL)).problems, blob
        bench.raw.put_blob("c", blob, data, deadline=soon())
    assert report(a).problems == ()


def test_each_damaged_blob_is_found(bench: Bench, a: Client) -> None:
    for blob in bench.blobs():
        (data,) = bench.raw.get_blobs("c", [BlobRange(blob)], deadline=soon())
        assert data is not None
        for bad in (data[:-1], data + b"x", bytes([data[0] ^ 1]) + data[1:]):
            bench.raw.delete_blobs("c", [blob], deadline=soon())
            bench.raw.put_blob("c", blob, bad, deadline=soon())
            assert report(a).problems, blob
        bench.raw.delete_blobs("c", [blob], deadline=soon())
        bench.raw.put_blob("c", blob, data, deadline=soon())
    assert report(a).problems == ()


@pytest.mark.parametrize("field", ["version", "revision", "created", "modified", "value", "key"])
def test_flipped_entry_of_the_state_is_found(bench: Bench, a: Client, field: str) -> None:
    body = bench.head().state.body
    if isinstance(body, BlobRef):
        name = next(blob for blob in bench.blobs() if blob.endswith(body.unique.hex()))
        (data,) = bench.raw.get_blobs("c", [BlobRange(name)], deadline=soon())
        assert data is not None
        body = data
    entries = decode_entries(body)
    first = next(entry for entry in entries if entry.key == "/large")
    value: object = {"value": b"z", "key": "/largf"}.get(field, 7777)
    entries[entries.index(first)] = msgspec.structs.replace(first, **{field: value})

    def flipped(head: Head) -> Head:
        state = StateRef(head.state.revision, encode(entries), head.state.debt)
        return msgspec.structs.replace(head, state=state, sequence=head.sequence + 1)

    bench.change_head(flipped)
    assert report(a).problems
    assert report(bench.client(SMALL)).problems


@pytest.mark.parametrize("field", ["keys", "size", "revision"])
def test_wrong_counts_are_found(bench: Bench, a: Client, field: str) -> None:
    bench.change_head(
        lambda head: msgspec.structs.replace(
            head, sequence=head.sequence + 1, **{field: getattr(head, field) + 1}
        )
    )
    assert report(a).problems
    assert report(bench.client(SMALL)).problems


def test_head_that_is_none_is_found(bench: Bench, a: Client) -> None:
    bench.put_register(b"nonsense")
    assert report(bench.client(SMALL)).problems


def test_replaced_node_that_was_not_there_is_found(bench: Bench, a: Client) -> None:
    """A segment whose checksum is right, but whose contents are not."""
    head = bench.head()
    levels = [list(level) for level in head.history]
    ref = levels[0][-1]
    name = blob_name(head.incarnation, ref.blob)
    (data,) = bench.raw.get_blobs("c", [BlobRange(name)], deadline=soon())
    assert data is not None
    items = decode_segment(data)
    at = next(index for index, item in enumerate(items) if item.replaced)
    entry = msgspec.structs.replace(items[at].replaced[0], version=999)
    items[at] = msgspec.structs.replace(items[at], replaced=[entry])
    data = encode(items)
    blob = make_ref(data, head.generation)
    bench.raw.put_blob("c", blob_name(head.incarnation, blob), data, deadline=soon())
    levels[0][-1] = msgspec.structs.replace(ref, blob=blob)
    bench.change_head(
        lambda head: msgspec.structs.replace(head, history=levels, sequence=head.sequence + 1)
    )
    assert report(bench.client(SMALL)).problems


def test_orphans_are_counted_and_no_problem(bench: Bench, a: Client) -> None:
    incarnation = bench.head().incarnation.hex()
    bench.raw.put_blob("c", f"{incarnation}.0.{'ab' * 12}", b"12345", deadline=soon())
    bench.raw.put_blob("c", f"{'00' * 16}.0.{'ab' * 12}", b"1", deadline=soon())
    found = report(a)
    assert found.problems == ()
    assert (found.orphans, found.orphan_bytes) == (2, 6)


def test_store_that_is_away_is_no_damage(
    bench: Bench, a: Client, fails: Callable[..., Handler]
) -> None:
    client = bench.client(SMALL)
    client.revision()
    client.store.always("get_blobs", fails(lambda: StoreUnavailable("away")))
    with pytest.raises(StoreUnavailable):
        client.engine.check("c", deadline=Deadline.after(0.2))


@pytest.mark.parametrize("store", ["inline", "riding"])
def test_no_false_alarm_beside_writers(bench: Bench, store: str) -> None:
    limits = SMALL if store == "inline" else None
    writer, checker = bench.client(limits).create(), bench.client(limits)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            writer.set(f"/k{number % 11}", b"x" * (number * 997 % 9000))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    found = [report(client).problems for client in (checker, writer) * 12]
    stop.set()
    for thread in threads:
        thread.join(30)
    assert found == [()] * 24
    assert report(checker).orphans == 0


def test_config_that_is_replaced_meanwhile_is_no_damage(bench: Bench) -> None:
    other = bench.client()
    a = bench.client().create()
    for number in range(150):
        a.set(f"/k{number}", b"x" * 5000)

    def replaced(go: object) -> object:
        other.drop()
        other.handle = type(other.handle)("c")
        other.create()
        assert callable(go)
        return go()

    a.store.then("get_blobs", replaced)
    found = report(a)
    assert found.problems == ()
    assert found.commits == 0
