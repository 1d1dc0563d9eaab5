"""What is stored: carried through whole where it is newer, and `Corrupt` where it is damaged."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import Corrupt, DiscfgError, InvalidSettings, NewerFormat
from discfg_core.substrate import BlobRange, Limits
from discfg_core.versioned import format as stored
from discfg_core.versioned.blobs import blob_name, make_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.versioned.conftest import Bench, Client

DECODERS: list[Callable[[bytes], object]] = [
    stored.decode_head,
    stored.decode_record,
    stored.split_records,
    stored.decode_ops,
    stored.decode_entries,
    stored.decode_segment,
    stored.decode_index,
]

# As DynamoDB's, where parts of the head are inline.
SMALL = Limits(register_budget=3 * 1024)

# Any msgpack value that a newer client might put there.
FUTURE = {"future": [1, {"x": b"\x00\xff"}, None], "ext": msgspec.msgpack.Ext(5, b"abc"), "f": 1.5}


def unpack(data: bytes) -> dict[str, Any]:
    head = msgspec.msgpack.decode(data)
    assert isinstance(head, dict)
    return head


def raw_fields(data: bytes) -> dict[str, bytes]:
    fields = msgspec.msgpack.decode(data, type=dict[str, msgspec.Raw])
    return {name: bytes(raw) for name, raw in fields.items()}


@pytest.fixture
def a(bench: Bench) -> Client:
    return bench.client().create(setting=1)


def test_unknown_fields_pass_through_every_swap(bench: Bench, a: Client) -> None:
    bench.put_register(msgspec.msgpack.encode({**unpack(bench.register().data), **FUTURE}))
    wanted = {name: msgspec.msgpack.encode(value) for name, value in FUTURE.items()}

    def carried() -> bool:
        fields = raw_fields(bench.register().data)
        return {name: fields.get(name) for name in wanted} == wanted

    for client in (a, bench.client()):
        for number in range(150):
            client.set(f"/k{number % 7}", b"x" * 300)
        assert carried()
    a.commit(settings={"setting": 2})
    assert carried()
    assert a.outcome("never") is None
    assert carried()
    a.drop()
    assert carried()
    a.undrop()
    assert carried()


def test_bytes_of_a_record_are_kept_wherever_it_moves(bench: Bench, a: Client) -> None:
    """A newer client's record has more elements: they are in the segment later, untouched."""
    a.set("/x", "1")
    head = bench.head()
    body = head.tail[0].body
    assert isinstance(body, stored.BlobRef)
    a.commits()
    fresh = bench.client()
    fresh.revision()
    snapshot = fresh.engine._sessions["c"][0].latest
    assert snapshot is not None
    assert snapshot.snapshot is not None
    raw = snapshot.snapshot.recent[0].raw
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(raw), "newer", {"a": 1}])
    data = msgspec.msgpack.encode([msgspec.Raw(longer)])
    ref = make_ref(data, 0)
    name = blob_name(head.incarnation, ref)
    bench.raw.put_blob("c", name, data, deadline=Deadline.after(10))
    item = msgspec.structs.replace(head.tail[0], body=ref)
    bench.change_head(lambda head: msgspec.structs.replace(head, tail=[item]))
    writer = bench.client()
    for number in range(200):
        writer.set(f"/k{number}")
    assert bench.head().flushed > 1
    blobs = list(bench.blobs())
    found = bench.raw.get_blobs(
        "c", [BlobRange(blob) for blob in blobs], deadline=Deadline.after(10)
    )
    assert any(longer in data for data in found if data is not None)
    assert bench.client().commits()[0].changes[0].key == "/x"
    assert writer.problems() == ()


def test_newer_reader_is_refused_everything(bench: Bench, a: Client) -> None:
    a.set("/x", "1")
    bench.change_head(lambda head: msgspec.structs.replace(head, min_reader=2, min_writer=2))
    data = bench.register().data
    for client in (a, bench.client()):
        for call in (
            client.revision,
            client.commits,
            client.drop,
            lambda client=client: client.set("/x"),
            lambda client=client: client.outcome("x"),
            lambda client=client: client.get("/x"),
            client.create,
            client.undrop,
        ):
            with pytest.raises(NewerFormat):
                call()
    assert bench.register().data == data
    assert a.engine.list_configs(deadline=Deadline.after(10)) == ["c"]


def test_newer_writer_may_be_read_and_not_changed(bench: Bench, a: Client) -> None:
    a.set("/x", "1")
    bench.change_head(lambda head: msgspec.structs.replace(head, min_writer=2))
    data = bench.register().data
    for client in (a, bench.client()):
        assert client.get("/x") == b"1"
        assert len(client.commits()) == 1
        assert client.problems() == ()
        for call in (client.drop, lambda client=client: client.set("/x")):
            with pytest.raises(NewerFormat):
                call()
    assert bench.register().data == data


def test_newer_format_with_fields_of_other_types_is_no_corruption(bench: Bench, a: Client) -> None:
    head = unpack(bench.register().data)
    bench.put_register(msgspec.msgpack.encode({**head, "min_reader": 7, "tail": "elsewhere"}))
    with pytest.raises(NewerFormat):
        bench.client().revision()


# --- damage -----------------------------------------------------------------------------------


def samples(bench: Bench, client: Client) -> list[bytes]:
    for number in range(60):
        own = f"é{number}" if number % 3 == 0 else None
        client.set(f"/k{number % 9}", f"v{number}", message="why", commit_id=own)
    client.commit(settings={"deep": [1, {"x": None}]})
    names = list(bench.blobs())
    found = bench.raw.get_blobs("c", [BlobRange(n) for n in names], deadline=Deadline.after(10))
    return [bench.register().data, *(data for data in found if data is not None)]


def damaged(data: bytes, rnd: random.Random) -> bytes:
    mutable = bytearray(data)
    for _ in range(rnd.choice([1, 1, 1, 2, 4])):
        if not mutable:
            break
        at, how = rnd.randrange(len(mutable)), rnd.randrange(5)
        if how == 0:
            mutable[at] = rnd.randrange(256)
        elif how == 1:
            del mutable[at : at + rnd.randrange(1, 9)]
        elif how == 2:
            mutable[at:at] = rnd.randbytes(rnd.randrange(1, 5))
        elif how == 3:
            del mutable[at:]
        else:
            mutable[at] ^= 1 << rnd.randrange(8)
    return bytes(mutable)


def only_ours(call: Callable[[], object]) -> None:
    with suppress(DiscfgError):
        call()


CRAFTED = [
    b"",
    b"\xc0",
    b"\x80",
    b"\x90",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\x91" * 100_000,
    b"\x81\xaamin_reader\x01",
    b"\x81\xaamin_reader\xa1x",
    b"\x81\xa1\xff\x01",
    b"\xc1",
    bytes(range(256)),
]


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
def test_damaged_bytes_are_corrupt_and_nothing_else(
    bench: Bench, decode: Callable[[bytes], object]
) -> None:
    found = samples(bench, bench.client(SMALL).create())
    for data in CRAFTED:
        only_ours(lambda data=data: decode(data))  # type: ignore[misc]  # the loop's variable is bound
    rnd = random.Random(7)
    for _ in range(3000):
        data = damaged(rnd.choice(found), rnd)
        only_ours(lambda data=data: decode(data))  # type: ignore[misc]  # the loop's variable is bound


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*path, index))


ODD: list[Any] = [
    None,
    -1,
    0,
    2**63,
    2**64 - 1,
    [],
    [[]],
    [[], []],
    {},
    "",
    "/a",
    b"",
    b"x",
    b"\x90",
    1.5,
    True,
    b"\x00" * 16,
]


def test_head_with_any_field_wrong_breaks_no_call(bench: Bench) -> None:
    samples(bench, bench.client(SMALL).create())
    good = bench.register().data
    rnd = random.Random(11)
    everything = list(places(unpack(good)))
    for _ in range(400):
        head: Any = unpack(good)
        path = rnd.choice(everything)
        inner = head
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = rnd.choice(ODD)
        bench.put_register(msgspec.msgpack.encode(head))
        client = bench.client(SMALL)
        for call in (
            client.revision,
            client.commits,
            client.problems,
            lambda client=client: client.set("/k1", seconds=0.05, commit_id="q"),
            lambda client=client: client.outcome("never", seconds=0.05),
            lambda client=client: client.drop(0.05),
            lambda client=client: client.undrop(0.05),
        ):
            only_ours(call)
        client.engine.close()
        bench.put_register(good)


def test_damaged_blob_is_corrupt_and_not_served(bench: Bench) -> None:
    a = bench.client().create()
    a.set("/large", b"x" * 10_000)
    (name,) = (blob for blob, size in bench.blobs().items() if size == 10_000)
    bench.raw.delete_blobs("c", [name], deadline=Deadline.after(10))
    bench.raw.put_blob("c", name, b"x" * 9_999 + b"y", deadline=Deadline.after(10))
    with pytest.raises(Corrupt):
        bench.client().get("/large")


def test_settings_that_could_not_be_read_again_are_refused(bench: Bench) -> None:
    nested: object = None
    for _ in range(900):
        nested = [nested]
    with pytest.raises(InvalidSettings):
        bench.client().create(a=nested)
    a = bench.client().create()
    for bad in ({"a": nested}, {"a": 2**70}, {"a": float("nan")}, {"a": "\ud800"}, {1: 2}):
        with pytest.raises(InvalidSettings):
            a.commit(settings=bad)
    assert bench.head().revision == 0
