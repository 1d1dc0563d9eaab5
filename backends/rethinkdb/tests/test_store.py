"""What is special to RethinkDB: two tables, their settings, documents, ids and chunks."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from discfg_rethinkdb import tables, target
from discfg_rethinkdb.blobs import CHUNK_BYTES, Blobs
from discfg_rethinkdb.client import Pool
from discfg_rethinkdb.making import BLOBS, REGISTERS
from discfg_rethinkdb.queries import SAME, Queries
from discfg_rethinkdb.substrate import RethinkDBSubstrate
from discfg_rethinkdb.tables import Tables

from discfg_core.clock import Deadline
from discfg_core.errors import Corrupt, StoreBusy, StoreError, StoreUnavailable, UnsupportedStore
from discfg_core.substrate import BlobRange, Register, SwapConflict
from discfg_core.testing.processes import Line, run_in_processes
from discfg_core.testing.substrate_client import Client
from discfg_core.urls import parse
from tests.servers.rethinkdb import Admin

Open = Callable[..., Client]


# --- the tables ---


def make_tables(line: Line, url: str, name: str) -> str:
    """A task: the first write to a database, at one moment with others."""
    client = RethinkDBSubstrate(target(parse(url)))
    deadline = Deadline.after(60)
    line.ready()
    try:
        client.swap(name, None, b"data", {"blob": b"data"}, deadline=deadline)
    except SwapConflict:
        return "lost"
    finally:
        client.close()
    return "won"


def test_first_writers_make_one_database_and_each_table_once(
    client: Open, admin: Admin, fresh: str, name: str
) -> None:
    won = run_in_processes(make_tables, [(fresh, name)] * 4)
    assert sorted(won) == ["lost", "lost", "lost", "won"]
    configs = admin.r.db("rethinkdb").table("table_config").filter({"db": parse(fresh).path})
    found = list(admin.run(configs))
    assert sorted(each["name"] for each in found) == [BLOBS, REGISTERS]
    assert {(each["write_acks"], each["durability"]) for each in found} == {("majority", "hard")}
    assert len(admin.run(admin.r.db_list().filter(lambda each: each == parse(fresh).path))) == 1
    assert client(fresh).register(name).data == b"data"


def test_many_threads_make_the_tables(client: Open, admin: Admin, fresh: str) -> None:
    opened = client(fresh)
    with ThreadPoolExecutor(24) as pool:
        list(pool.map(lambda number: opened.swap(f"c{number}", None, b"data"), range(24)))
    assert len(admin.rows(fresh, REGISTERS)) == 24


def test_reading_makes_nothing(client: Open, admin: Admin, fresh: str, name: str) -> None:
    opened = client(fresh)
    assert opened.read(name) is None
    assert opened.get_blobs(name, [BlobRange("blob")]) == [None]
    assert opened.sizes(name) == {}
    assert list(opened.names()) == []
    opened.wait(name, None, deadline=Deadline.after(0.2))
    opened.wait(name, b"any")
    assert parse(fresh).path not in admin.run(admin.r.db_list())


def test_half_made_store_is_completed(client: Open, admin: Admin, fresh: str, name: str) -> None:
    path = parse(fresh).path
    admin.run(admin.r.db_create(path))
    admin.run(admin.r.db(path).table_create(REGISTERS))
    client(fresh).swap(name, None, b"data", {"blob": b"data"})
    assert sorted(admin.run(admin.r.db(path).table_list())) == [BLOBS, REGISTERS]


def test_claim_of_a_dead_client_is_removed(
    client: Open, admin: Admin, fresh: str, name: str
) -> None:
    path = parse(fresh).path
    admin.run(admin.r.db_create(path))
    admin.run(admin.r.db(path).table_create(f"discfg_making_{int(time.time()) - 90}_dead"))
    client(fresh).swap(name, None, b"data")
    assert sorted(admin.run(admin.r.db(path).table_list())) == [BLOBS, REGISTERS]


def test_claim_of_a_living_client_is_waited_for(
    client: Open, admin: Admin, fresh: str, name: str
) -> None:
    path = parse(fresh).path
    claim = f"discfg_making_{int(time.time())}_alive"
    admin.run(admin.r.db_create(path))
    admin.run(admin.r.db(path).table_create(claim))
    with pytest.raises(StoreUnavailable):
        client(fresh).swap(name, None, b"data", deadline=Deadline.after(1))
    assert admin.run(admin.r.db(path).table_list()) == [claim]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client(fresh).swap, name, None, b"data")
        time.sleep(0.5)
        assert not waiting.done()
        admin.run(admin.r.db(path).table_drop(claim))
        waiting.result(10)


def test_more_replicas_than_servers_is_an_error_that_says_so(
    client: Open, fresh: str, name: str
) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match="replicas"):
        client(f"{fresh}?replicas=16").swap(name, None, b"data")
    assert time.monotonic() - began < 10


DANGERS: list[tuple[dict[str, str], str]] = [
    ({"write_acks": "single"}, "majority"),
    ({"durability": "soft"}, "hard"),
]


@pytest.mark.parametrize("table", [REGISTERS, BLOBS])
@pytest.mark.parametrize("danger", DANGERS)
def test_tables_that_endanger_the_data_are_refused(
    client: Open,
    admin: Admin,
    fresh: str,
    table: str,
    danger: tuple[dict[str, str], str],
) -> None:
    setting, remedy = danger
    first = client(fresh)
    token = first.swap("name", None, b"data")
    admin.run(admin.table(fresh, table).config().update(setting))
    later = client(fresh)
    for write in (
        lambda: later.swap("name", token, b"new"),
        lambda: later.put_blob("name", "blob", b"data"),
        lambda: later.delete_blobs("name", ["blob"]),
        lambda: later.provision("name", {}),
    ):
        with pytest.raises(UnsupportedStore) as caught:
            write()
        assert remedy in (caught.value.hint or "")
        assert table in caught.value.message
    assert later.register("name") == Register(b"data", token)
    back = {"write_acks": "majority", "durability": "hard"}
    admin.run(admin.table(fresh, table).config().update(back))
    later.swap("name", token, b"new")


def test_table_with_a_write_hook_is_refused(
    client: Open, admin: Admin, fresh: str, name: str
) -> None:
    token = client(fresh).swap(name, None, b"data")
    hook = lambda _, old, new: new.merge({"token": "mine"})  # noqa: E731 - what the driver takes
    admin.run(admin.table(fresh, REGISTERS).set_write_hook(hook))
    with pytest.raises(UnsupportedStore, match="write hook"):
        client(fresh).swap(name, token, b"new")


def test_settings_changed_underneath_are_noticed_in_time(
    client: Open, admin: Admin, fresh: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_TRUST_SECONDS", 0.3)
    opened = client(fresh)
    token = opened.swap(name, None, b"data")
    admin.run(admin.table(fresh, REGISTERS).config().update({"write_acks": "single"}))
    time.sleep(0.4)
    with pytest.raises(UnsupportedStore):
        opened.swap(name, token, b"new")


def test_dropped_table_is_an_error_and_never_an_empty_store(
    client: Open, admin: Admin, fresh: str, name: str
) -> None:
    opened = client(fresh)
    token = opened.swap(name, None, b"data", {"blob": b"data"})
    admin.run(admin.r.db(parse(fresh).path).table_drop(REGISTERS))
    for call in (
        lambda: opened.read(name),
        lambda: opened.swap(name, token, b"new"),
        lambda: opened.swap("another", None, b"new"),
        opened.names,
        lambda: opened.wait(name, token),
    ):
        with pytest.raises(StoreError) as caught:
            call()
        assert "restore" in (caught.value.hint or "")
        assert not caught.value.retryable
    assert REGISTERS not in admin.run(admin.r.db(parse(fresh).path).table_list())


# --- registers ---


def test_register_is_one_readable_document(
    mine: Client, admin: Admin, database: str, name: str
) -> None:
    token = mine.swap(name, None, b"data")
    found = admin.run(admin.table(database, REGISTERS).get(name))
    assert found == {"id": name, "token": token.decode(), "data": b"data"}


def test_long_name_is_hashed_and_meets_no_other(
    mine: Client, admin: Admin, database: str, name: str
) -> None:
    longest, shorter = name.ljust(128, "x"), name.ljust(127, "x")
    tokens = {each: mine.swap(each, None, each.encode()) for each in (longest, shorter)}
    for each, token in tokens.items():
        assert mine.read(each) == Register(each.encode(), token)
    key = f"~{hashlib.sha256(longest.encode()).hexdigest()}"
    found = admin.run(admin.table(database, REGISTERS).get(key))
    assert found["name"] == longest
    assert {longest, shorter} <= set(mine.names())


def test_document_of_another_name_is_not_taken_for_it(
    mine: Client, admin: Admin, database: str, name: str
) -> None:
    longest = name.ljust(128, "x")
    key = f"~{hashlib.sha256(longest.encode()).hexdigest()}"
    other = {"id": key, "name": name.ljust(128, "y"), "token": "t", "data": b""}
    admin.run(admin.table(database, REGISTERS).insert(other))
    with pytest.raises(Corrupt):
        mine.read(longest)
    admin.run(admin.table(database, REGISTERS).get(key).delete())


@pytest.mark.parametrize("document", [{}, {"token": "t"}, {"token": 5, "data": b""}, {"data": 1}])
def test_document_that_discfg_did_not_write_is_corrupt(
    mine: Client, admin: Admin, database: str, name: str, document: dict[str, Any]
) -> None:
    admin.run(admin.table(database, REGISTERS).insert({"id": name, **document}))
    with pytest.raises(Corrupt, match=name):
        mine.read(name)
    with pytest.raises(Corrupt, match=name):
        mine.swap(name, None, b"data")
    admin.run(admin.table(database, REGISTERS).get(name).delete())


def test_conflict_tells_what_is_there_in_the_same_round_trip(mine: Client, name: str) -> None:
    with pytest.raises(SwapConflict) as caught:
        mine.swap(name, b"any", b"data")
    assert caught.value.current is None
    token = mine.swap(name, None, b"data")
    for expected in (None, b"any", b"\xff\x00"):
        with pytest.raises(SwapConflict) as caught:
            mine.swap(name, expected, b"new")
        assert caught.value.current == Register(b"data", token)


def test_known_register_does_not_travel(database: str, mine: Client, name: str) -> None:
    token = mine.swap(name, None, b"x" * 100_000)
    pool = Pool(target(parse(database)))
    queries = Queries(Tables(pool).registers)
    deadline = Deadline.after(20)
    assert pool.run(queries.check.of(name, token.decode()), deadline) is SAME
    assert pool.run(queries.check.of(name, "old"), deadline)["token"] == token.decode()
    assert pool.run(queries.check.of(f"{name}0", "old"), deadline) is None
    pool.close()


# --- blobs ---


def chunked(size: int) -> bytes:
    return hashlib.shake_256(str(size).encode()).digest(size)


SIZES = [
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    2 * CHUNK_BYTES,
    2 * CHUNK_BYTES + 1,
    5 * CHUNK_BYTES + 7,
]


@pytest.mark.parametrize("size", SIZES)
def test_blob_of_about_so_many_chunks(mine: Client, name: str, size: int) -> None:
    mine.put_blob(name, "blob", chunked(size))
    edges = [edge + by for edge in range(0, size, CHUNK_BYTES) for by in (-1, 0, 1)]
    wanted = [BlobRange("blob", start, 2) for start in (*edges, size - 1, size) if start >= 0]
    mine.get_blobs(name, [BlobRange("blob"), *wanted, BlobRange("blob", CHUNK_BYTES - 5)])
    assert mine.sizes(name) == {"blob": size}
    mine.delete_blobs(name, ["blob"])


def test_chunks_of_a_blob_are_its_own(mine: Client, admin: Admin, database: str, name: str) -> None:
    before = admin.run(admin.table(database, BLOBS).count())
    longest = "b" * 100
    mine.put_blob(name, longest, chunked(3 * CHUNK_BYTES))
    mine.put_blob(name, "small", b"data")
    assert admin.run(admin.table(database, BLOBS).count()) == before + 1 + 3 + 1
    mine.delete_blobs(name, [longest])
    assert admin.run(admin.table(database, BLOBS).count()) == before + 1
    assert mine.sizes(name) == {"small": 4}


def test_blob_that_was_not_written_to_its_end_is_absent_listed_and_deletable(
    mine: Client, admin: Admin, database: str, name: str
) -> None:
    data = chunked(3 * CHUNK_BYTES)
    mine.put_blob(name, "blob", data)
    table = admin.table(database, BLOBS)
    mine_only = table.filter({"config": name})
    admin.run(mine_only.update({"partial": True}))
    assert not mine.has_blob(name, "blob")
    assert mine.sizes(name) == {"blob": len(data)}
    mine.put_blob(name, "blob", data)
    assert mine.get_blob(name, "blob") == data
    admin.run(mine_only.update({"partial": True}))
    before = admin.run(table.count())
    mine.delete_blobs(name, ["blob"])
    assert admin.run(table.count()) == before - 4


def test_late_beginning_of_a_put_does_not_unmake_a_whole_blob(
    mine: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = chunked(2 * CHUNK_BYTES)
    mine.put_blob(name, "blob", data)
    # A put that dies after its first request.
    inserted = "discfg_rethinkdb.blobs.Blobs._insert"
    monkeypatch.setattr(inserted, lambda *_: (_ for _ in ()).throw(StoreUnavailable("died")))
    with pytest.raises(StoreUnavailable):
        mine.put_blob(name, "blob", data)
    assert mine.get_blob(name, "blob") == data


def test_blob_deleted_while_it_is_written_is_not_acknowledged(
    mine: Client, client: Open, database: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, insert = client(database), Blobs._insert

    def insert_then_delete(self: Blobs, documents: Any, deadline: Deadline) -> None:
        insert(self, documents, deadline)
        other.delete_blobs(name, ["blob"])

    monkeypatch.setattr(Blobs, "_insert", insert_then_delete)
    with pytest.raises(StoreUnavailable, match="deleted while"):
        mine.put_blob(name, "blob", chunked(2 * CHUNK_BYTES))
    assert not mine.has_blob(name, "blob")


def test_swap_with_many_large_blobs(mine: Client, name: str) -> None:
    blobs = {f"b{number}": chunked(200_000 + number) for number in range(20)}
    blobs["large"] = chunked(3 * CHUNK_BYTES)
    mine.swap(name, None, b"head", blobs)
    assert mine.sizes(name) == {blob: len(data) for blob, data in blobs.items()}
    assert mine.get_blobs(name, [BlobRange(blob) for blob in blobs]) == [*blobs.values()]
    mine.delete_blobs(name, list(blobs))
    assert mine.sizes(name) == {}


def test_listing_reads_one_configs_range_only(
    mine: Client, admin: Admin, database: str, name: str
) -> None:
    for config in (name, f"{name}2"):
        mine.put_blob(config, "blob", b"data")
    (document,) = admin.run(admin.table(database, BLOBS).filter({"config": name}))
    prefix = document["id"].split("/")[0]
    assert len(document["id"]) == 22 + 1 + len("blob")
    between = admin.table(database, BLOBS).between(f"{prefix}/", f"{prefix}0")
    assert admin.run(between.count()) == 1


# --- connections ---


def sockets() -> int:
    links = (entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return sum(str(link).startswith("socket:") for link in links)


def test_connections_are_bounded_and_shared(client: Open, database: str, name: str) -> None:
    opened = client(f"{database}?connections=3")
    opened.provision(name, {})
    others = sockets() - 1
    with ThreadPoolExecutor(32) as pool:
        made = [pool.submit(opened.swap, f"{name}{number}", None, b"x") for number in range(200)]
        peak = 0
        while not all(each.done() for each in made):
            with contextlib.suppress(FileNotFoundError):
                peak = max(peak, sockets() - others)
        assert len({each.result() for each in made}) == 200
    assert 1 < peak <= 3
    opened.close()
    assert sockets() == others


def test_no_connection_free_in_time_is_busy(
    client: Open, database: str, name: str, mine: Client
) -> None:
    opened = client(f"{database}?connections=1")
    opened.provision(name, {})
    substrate = opened.inner
    assert isinstance(substrate, RethinkDBSubstrate)
    with substrate._pool.lend(Deadline.after(5)), pytest.raises(StoreBusy) as caught:
        opened.swap(name, None, b"data", deadline=Deadline.after(0.3))
    assert "connections" in (caught.value.hint or "")
    assert mine.read(name) is None


def test_another_database_is_another_store(
    client: Open, database: str, fresh: str, name: str
) -> None:
    client(database).swap(name, None, b"here")
    assert client(fresh).read(name) is None
    client(fresh).swap(name, None, b"there")
    assert client(database).register(name).data == b"here"
