"""What is DynamoDB's own: the names of tables, one request where one will do, and
what its limits and its throttling come to.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from discfg_dynamodb.blobs import PIECE_BYTES
from discfg_dynamodb.names import config_of, table_of
from discfg_dynamodb.substrate import DynamoDBSubstrate

import discfg_core
from discfg_core.clock import Deadline
from discfg_core.errors import (
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
)
from discfg_core.substrate import UNCHANGED, BlobRange, Register, SwapConflict

NAME = "app"
THROTTLED = "ProvisionedThroughputExceededException"


def soon(seconds: float = 30.0) -> Deadline:
    """A deadline; by default one that no sound store reaches."""
    return Deadline.after(seconds)


@pytest.fixture
def token(store: DynamoDBSubstrate) -> bytes:
    """That of a register that is there."""
    store.provision(NAME, {}, deadline=soon())
    return store.swap(NAME, None, b"data", deadline=soon())


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("app", "discfg.app"),
        ("my-app_2.json", "discfg.my-app_2.json"),
        ("App", "discfg.App.-1"),
        ("aPP", "discfg.aPP.-6"),
        ("app.-1", "discfg.app.-1.-0"),
        ("App.-1", "discfg.App.-1.-1"),
        ("Z" * 128, f"discfg.{'Z' * 128}.-{'f' * 32}"),
    ],
)
def test_names_of_tables_are_those_of_their_configs(name: str, table: str) -> None:
    assert table_of("discfg.", name) == table
    assert config_of("discfg.", table) == name
    assert len(table_of("p" * 64, name)) <= 255


@pytest.mark.parametrize(
    "table", ["other.app", "discfg.", "discfg", "discfg.-app", "discfg.App", "discfg.app.-1"]
)
def test_names_of_other_tables_are_no_configs(table: str) -> None:
    assert config_of("discfg.", table) is None


def test_names_differ_in_more_than_case() -> None:
    names = ["app", "App", "APP", "app.-1", "App.-1", "app.-7", "app.-1.-0"]
    assert len({table_of("discfg.", name).lower() for name in names}) == len(names)


def test_names_of_many_tables_come_in_pages(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, front: Any
) -> None:
    names = {f"app{number}" for number in range(7)}
    for name in names:
        store.provision(name, {}, deadline=soon())
    tables = sorted(map(store._tables.name_of, names))

    def two_at_a_time(request: dict[str, Any], _ask: Any) -> tuple[int, Any]:
        left = [table for table in tables if table > request.get("ExclusiveStartTableName", "")]
        page: dict[str, Any] = {"TableNames": left[:2]}
        if len(left) > 2:
            page["LastEvaluatedTableName"] = left[1]
        return 200, page

    assert set(seen.names(deadline=soon())) == names
    front.always("ListTables", two_at_a_time)
    front.requests.clear()
    assert set(seen.names(deadline=soon())) == names
    assert front.requests == {"ListTables": 4}


# --- requests -----------------------------------------------------------------------------------


def test_requests_of_a_register(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    assert seen.read(NAME, deadline=soon()) == Register(b"data", token)
    assert seen.read(NAME, token, deadline=soon()) is UNCHANGED
    assert front.requests == {"GetItem": 2}
    assert all(body["ConsistentRead"] for _, body in front.bodies)
    # What may be written to is looked at before the first write of a process.
    token = seen.swap(NAME, token, b"more", deadline=soon())
    front.reset()
    token = seen.swap(NAME, token, b"more still", deadline=soon())
    assert front.requests == {"PutItem": 1}
    newer = store.swap(NAME, token, b"newer", deadline=soon())
    with pytest.raises(SwapConflict) as caught:
        seen.swap(NAME, token, b"late", deadline=soon())
    assert caught.value.current == Register(b"newer", newer)
    assert front.requests == {"PutItem": 2}


def test_requests_of_a_swap_with_blobs(seen: DynamoDBSubstrate, token: bytes, front: Any) -> None:
    token = seen.swap(NAME, token, b"warm", deadline=soon())
    front.reset()
    blobs = {f"blob{number}": b"x" * 100 for number in range(25)}
    seen.swap(NAME, token, b"more", blobs, deadline=soon())
    assert front.requests == {"BatchWriteItem": 1, "PutItem": 1}
    front.reset()
    wanted = [BlobRange(blob) for blob in blobs]
    assert seen.get_blobs(NAME, wanted, deadline=soon()) == [b"x" * 100] * 25
    assert front.requests == {"BatchGetItem": 1}


def test_requests_of_a_commit_and_of_reads(place: str, fronted: str, front: Any) -> None:
    with discfg_core.connect(place) as plain:
        plain.create_config(NAME).set("key", "value")
    with discfg_core.connect(fronted) as store:
        config = store.config(NAME)
        assert config["key"] == "value"
        assert front.requests == {"GetItem": 1}, "a cold get"
        front.reset()
        assert config["key"] == "value"
        assert front.requests == {"GetItem": 1}, "a check whether it is fresh"
        config.set("key", "first")
        front.reset()
        config.set("key", "second")
        assert front.requests == {"PutItem": 1}, "a warm set"


def test_requests_of_a_part_are_for_the_pieces_it_touches(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    data = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"
    seen.put_blob(NAME, "large", data, deadline=soon())
    front.reset()
    part = BlobRange("large", PIECE_BYTES - 1, 2)
    assert seen.get_blobs(NAME, [part], deadline=soon()) == [data[PIECE_BYTES - 1 :][:2]]
    last = [keys_of(body) for _, body in front.bodies][-1]
    assert len(last) == 2
    assert [key.rpartition("/")[2] for key in sorted(last)] == ["0", "1"]


def keys_of(body: dict[str, Any]) -> list[str]:
    (request,) = body["RequestItems"].values()
    return [key["id"]["S"] for key in request["Keys"]]


# --- throttling, and batches that are taken in part -------------------------------------------


def test_throttled_swap_surely_did_nothing(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    front.refuse("PutItem", THROTTLED)
    with pytest.raises(StoreBusy) as caught:
        seen.swap(NAME, token, b"more", deadline=soon())
    assert caught.value.retryable
    assert "ReadCapacityUnits" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert front.requests["PutItem"] == 1, "the client library tried again by itself"


def test_throttling_is_waited_for_within_the_deadline(place: str, fronted: str, front: Any) -> None:
    with discfg_core.connect(fronted, timeout=20.0) as store:
        config = store.create_config(NAME)
        for operation in ("GetItem", "PutItem"):
            front.refuse(operation, THROTTLED, times=4)
        change = config.set("key", "value")
        assert (change.revision, config["key"]) == (1, "value")
        hasty = store.config(NAME)
        front.refuse("PutItem", THROTTLED, times=1000)
        began = time.monotonic()
        with pytest.raises(StoreBusy):
            hasty.set("key", "other", timeout=1.0)
        assert time.monotonic() - began < 20.0
        front.reset()
        assert config.set("key", "last").revision == 2


def test_batch_of_writes_taken_in_part_is_finished(
    seen: DynamoDBSubstrate, store: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    def half(request: dict[str, Any], _ask: Any) -> tuple[int, Any]:
        # DynamoDB says which it left out; here the store is given the others by another client.
        ((table, items),) = request["RequestItems"].items()
        taken, left = items[::2], items[1::2]
        for item in taken:
            put = item["PutRequest"]["Item"]
            store.put_blob(NAME, put["id"]["S"].removeprefix("b/"), b"x", deadline=soon())
        return 200, {"UnprocessedItems": {table: left} if left else {}}

    blobs = {f"blob{number}": b"x" for number in range(20)}
    front.always("BatchWriteItem", half)
    seen.swap(NAME, token, b"more", blobs, deadline=soon())
    front.reset()
    assert {info.blob for info in store.list_blobs(NAME, deadline=soon())} == set(blobs)


def test_batch_of_writes_never_taken_ends_by_the_deadline(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    front.always(
        "BatchWriteItem",
        lambda request, _ask: (200, {"UnprocessedItems": request["RequestItems"]}),
    )
    seen.swap(NAME, token, b"warm", deadline=soon())
    began = time.monotonic()
    with pytest.raises(StoreBusy):
        seen.put_blob(NAME, "blob", b"x", deadline=soon(0.5))
    assert time.monotonic() - began < 20.0


def test_batch_of_reads_answered_in_part_is_finished(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    blobs = {f"blob{number:03}": b"%d" % number for number in range(130)}
    seen.swap(NAME, token, b"more", blobs, deadline=soon())

    def part(request: dict[str, Any], ask: Any) -> tuple[int, Any]:
        status, answer = ask()
        ((table, items),) = answer["Responses"].items()
        asked = request["RequestItems"][table]
        told = items[:7]
        keys = {item["id"]["S"] for item in told}
        left = [key for key in asked["Keys"] if key["id"]["S"] not in keys]
        more = {table: {**asked, "Keys": left}} if left else {}
        return status, {"Responses": {table: told}, "UnprocessedKeys": more}

    front.always("BatchGetItem", part)
    wanted = [BlobRange(blob) for blob in blobs]
    assert seen.get_blobs(NAME, wanted, deadline=soon()) == list(blobs.values())


def test_list_of_blobs_comes_in_pages(store: DynamoDBSubstrate, token: bytes) -> None:
    # A page is 1 MB of what is read, the pieces among it.
    blobs = {f"blob{number}": b"x" * (PIECE_BYTES * 2) for number in range(8)}
    for blob, data in blobs.items():
        store.put_blob(NAME, blob, data, deadline=soon())
    found = {info.blob: info.size for info in store.list_blobs(NAME, deadline=soon())}
    assert found == dict.fromkeys(blobs, PIECE_BYTES * 2)


def test_blob_whose_pieces_are_gone_is_absent_and_can_be_deleted(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    seen.put_blob(NAME, "large", b"x" * (PIECE_BYTES + 1), deadline=soon())
    # A deletion that dies after the pieces.
    front.reply("BatchWriteItem", lambda _request, ask: ask())
    front.refuse("BatchWriteItem", "InternalServerError", status=500)
    with pytest.raises(OutcomeUnknown):
        seen.delete_blobs(NAME, ["large"], deadline=soon())
    assert seen.get_blobs(NAME, [BlobRange("large")], deadline=soon()) == [None]
    assert [info.blob for info in seen.list_blobs(NAME, deadline=soon())] == ["large"]
    seen.delete_blobs(NAME, ["large"], deadline=soon())
    assert list(seen.list_blobs(NAME, deadline=soon())) == []


def test_blob_is_not_there_before_its_last_piece(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    data = b"x" * (PIECE_BYTES * 30)
    front.reply("BatchWriteItem", lambda _request, ask: ask())
    front.refuse("BatchWriteItem", "InternalServerError", status=500)
    with pytest.raises(OutcomeUnknown):
        seen.put_blob(NAME, "large", data, deadline=soon())
    assert list(seen.list_blobs(NAME, deadline=soon())) == []
    assert seen.get_blobs(NAME, [BlobRange("large", 0, 1)], deadline=soon()) == [None]
    seen.put_blob(NAME, "large", data, deadline=soon())
    assert seen.get_blobs(NAME, [BlobRange("large")], deadline=soon()) == [data]


def test_unknown_blobs_of_a_swap_leave_the_register_certain(
    seen: DynamoDBSubstrate, token: bytes, front: Any
) -> None:
    front.refuse("BatchWriteItem", "InternalServerError", status=500)
    with pytest.raises(StoreUnavailable):
        seen.swap(NAME, token, b"more", {"blob": b"x"}, deadline=soon())
    assert front.requests["PutItem"] == 0
