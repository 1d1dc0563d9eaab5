"""What is special to etcd: transactions, revisions and compaction, the quota, prefixes."""

from __future__ import annotations

import secrets
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from discfg_etcd.client import Client as EtcdClient
from discfg_etcd.profile import LIMITS, PART_BYTES

from discfg_core.clock import Deadline
from discfg_core.engine import Finding, FindingStatus
from discfg_core.errors import (
    Corrupt,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnsupportedStore,
)
from discfg_core.substrate import UNCHANGED, BlobRange, Register, SwapConflict
from discfg_core.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core import Store
    from discfg_core.testing.substrate_client import Client
    from tests.servers.etcd import Raw
    from tests.servers.plugin import Servers

MEBIBYTE = 1024 * 1024


# --- transactions --------------------------------------------------------------------------


def test_swap_and_its_blobs_are_one_revision(mine: Client, server: Raw, prefix: str) -> None:
    mine.swap("c", None, b"head", {"a": b"1", "b": b"2" * 300_000})
    keys = server.keys(f"/{prefix}/")
    assert len(keys) == 5, "the register, its random bytes, a, and two parts of b"
    assert len({kv.mod_revision for kv in keys.values()}) == 1


def test_swap_carries_what_fits_and_puts_the_rest_before(
    mine: Client, server: Raw, prefix: str
) -> None:
    mine.swap("c", None, b"head", {"small": b"1", "large": bytes(4 * MEBIBYTE)})
    keys = server.keys(f"/{prefix}/")
    register = keys[f"/{prefix}/~r/c"].mod_revision
    assert keys[f"/{prefix}/~b/c/small/1"].mod_revision == register
    large = [kv.mod_revision for key, kv in keys.items() if "/large/" in key]
    assert len(large) == 16
    assert max(large) < register


def test_swap_at_the_limits_of_a_request_is_taken(mine: Client) -> None:
    token = mine.swap("c", None, bytes(LIMITS.register_max), {"b": bytes(MEBIBYTE)})
    blobs = {f"b{number}": bytes(PART_BYTES) for number in range(6)}
    token = mine.swap("c", token, b"head", blobs)
    mine.swap("c", token, b"head", {f"{number}": b"x" for number in range(126)})
    assert mine.sizes("c")["b5"] == PART_BYTES


def test_register_beyond_the_limit_is_refused_unsent(mine: Client) -> None:
    with pytest.raises(StoreError, match="larger"):
        mine.swap("c", None, bytes(LIMITS.register_max + 1))
    assert mine.read("c") is None


def test_conflict_tells_the_register_in_the_same_round_trip(mine: Client) -> None:
    first = mine.swap("c", None, b"one")
    second = mine.swap("c", first, b"two")
    with pytest.raises(SwapConflict) as caught:
        mine.swap("c", first, b"three")
    assert caught.value.current == Register(b"two", second)
    with pytest.raises(SwapConflict) as caught:
        mine.swap("d", first, b"three")
    assert caught.value.current is None


def test_unchanged_register_does_not_travel(
    client: Callable[..., Client], host: str, prefix: str
) -> None:
    with FaultProxy("127.0.0.1", int(host.rpartition(":")[2])) as proxy:
        mine = client(f"etcd://127.0.0.1:{proxy.port}/{prefix}")
        token = mine.swap("c", None, bytes(MEBIBYTE))
        slow = proxy.delay(0.0)
        began = time.monotonic()
        for _ in range(50):
            assert mine.read("c", token) is UNCHANGED
        unchanged = time.monotonic() - began
        assert slow.hits >= 50, "each is asked of the server"
        began = time.monotonic()
        for _ in range(50):
            assert isinstance(mine.read("c"), Register)
        assert unchanged < (time.monotonic() - began) / 2


# --- blobs ---------------------------------------------------------------------------------


def test_blob_put_again_takes_no_room(mine: Client, server: Raw, prefix: str) -> None:
    for size in (10, 4 * MEBIBYTE):
        mine.put_blob("c", f"b{size}", bytes(size))
    before = {key: kv.mod_revision for key, kv in server.keys(f"/{prefix}/").items()}
    for size in (10, 4 * MEBIBYTE):
        mine.put_blob("c", f"b{size}", bytes(size))
    after = {key: kv.mod_revision for key, kv in server.keys(f"/{prefix}/").items()}
    assert after == before


def test_blob_cut_short_is_never_seen_and_can_be_put_again_or_deleted(
    client: Callable[..., Client], mine: Client, host: str, prefix: str, server: Raw
) -> None:
    data = secrets.token_bytes(5 * MEBIBYTE)
    with FaultProxy("127.0.0.1", int(host.rpartition(":")[2])) as proxy:
        torn = client(f"etcd://127.0.0.1:{proxy.port}/{prefix}")
        torn.swap("c", None, b"head")
        seen = 0

        def midway(request: bytes) -> bool:
            nonlocal seen
            seen += len(request)
            return seen > 3 * MEBIBYTE

        fault = proxy.black_hole(when=midway)
        for blob in ("again", "deleted"):
            seen = 0
            with pytest.raises((OutcomeUnknown, StoreUnavailable)):
                torn.put_blob("c", blob, data, deadline=Deadline.after(2.0))
            proxy.reset_connections()
        assert fault.hits
    assert server.keys(f"/{prefix}/~b/c/again/"), (
        "nothing was put before it broke: the test shows nothing"
    )
    whole = [BlobRange("again"), BlobRange("deleted", 10, 10), BlobRange("again", 0, 0)]
    assert mine.get_blobs("c", whole) == [None, None, None]
    mine.put_blob("c", "again", data)
    assert mine.get_blob("c", "again") == data
    mine.delete_blobs("c", list(mine.sizes("c")))
    assert not server.keys(f"/{prefix}/~b/")


def test_many_large_blobs_are_read_in_parts(mine: Client) -> None:
    blobs = {f"b{number}": secrets.token_bytes(600_000) for number in range(40)}
    for blob, data in blobs.items():
        mine.put_blob("c", blob, data)
    assert mine.get_blobs("c", [BlobRange(blob) for blob in blobs]) == list(blobs.values())
    tails = [BlobRange(blob, PART_BYTES - 1, 2) for blob in blobs]
    ends = [data[PART_BYTES - 1 : PART_BYTES + 1] for data in blobs.values()]
    assert mine.get_blobs("c", tails) == ends


def test_blobs_are_listed_in_pages(mine: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("discfg_etcd.blobs._LIST_PAGE", 3)
    sizes = {"a": 1, "a-b": 5 * PART_BYTES, "a.b": 0, "aa": 3 * PART_BYTES + 1, "b": 9}
    for blob, size in sizes.items():
        mine.put_blob("c", blob, bytes(size))
    assert mine.sizes("c") == sizes


def test_names_are_listed_in_pages(mine: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("discfg_etcd.substrate._NAMES_PAGE", 2)
    for name in ("a", "b", "c.d", "e"):
        mine.swap(name, None, b"head")
    assert list(mine.names()) == ["a", "b", "c.d", "e"]
    # Two pages that are full.
    mine.swap("f", None, b"head")
    mine.swap("g", None, b"head")
    assert len(list(mine.names())) == 6


# --- prefixes ------------------------------------------------------------------------------


def test_prefixes_see_nothing_of_each_other(
    store: Callable[..., Store], client: Callable[..., Client], host: str, prefix: str
) -> None:
    prefixes = [prefix, f"{prefix}b", f"{prefix}/b", f"{prefix}/r", f"{prefix}/b/c"]
    for each in prefixes:
        config = store(f"etcd://{host}/{each}").create_config("c")
        config.set("key", each)
        config.set("large", "x" * 300_000)
    for each in prefixes:
        opened = store(f"etcd://{host}/{each}")
        assert opened.configs() == ["c"]
        assert opened.config("c").get("key").data == each
        assert opened.config("c").info().revision == 2
        blobs = client(f"etcd://{host}/{each}").sizes("c")
        assert sum(size > 200_000 for size in blobs.values()) == 1


def test_what_others_keep_beside_is_left_alone(mine: Client, server: Raw, prefix: str) -> None:
    token = mine.swap("c", None, b"head", {"b": b"data"})
    others = [f"/{prefix}", f"/{prefix}/x", f"/{prefix}/~r/a/b", f"/{prefix}/~b/c/odd/xyz"]
    for key in others:
        server.put(key, b"of somebody else")
    assert list(mine.names()) == ["c"]
    assert mine.sizes("c") == {"b": 4}
    assert mine.read("c") == Register(b"head", token)
    mine.delete_blobs("c", ["b"])
    assert set(others) < set(server.keys(f"/{prefix}"))


# --- tokens --------------------------------------------------------------------------------


def test_token_is_of_one_write_although_the_key_was_deleted(
    mine: Client, server: Raw, prefix: str
) -> None:
    old = mine.swap("c", None, b"same")
    server.kv.DeleteRange(
        server.rpc.DeleteRangeRequest(key=f"/{prefix}/".encode(), range_end=f"/{prefix}0".encode())
    )
    assert mine.read("c", old) is None
    new = mine.swap("c", None, b"same")
    assert new != old
    with pytest.raises(SwapConflict):
        mine.swap("c", old, b"other")


def test_token_is_of_one_write_although_the_store_was_restored(
    servers: Servers, client: Callable[..., Client]
) -> None:
    with servers.own("etcd") as own:
        base = client(own.url).swap("c", None, b"base")
        own.stop()
        shutil.copytree(own.folder / "data", own.folder / "backup")
        own.start()
        lost = client(own.url).swap("c", base, b"lost")
        own.stop()
        shutil.rmtree(own.folder / "data")
        shutil.move(own.folder / "backup", own.folder / "data")
        own.start()
        mine = client(own.url)
        now = mine.swap("c", base, b"now")
        # The store's own revision came twice; that makes this test.
        assert lost[:8] == now[:8]
        assert lost != now
        assert mine.read("c", lost) == Register(b"now", now)
        with pytest.raises(SwapConflict):
            mine.swap("c", lost, b"wrong")
        began = time.monotonic()
        mine.wait("c", lost, deadline=Deadline.after(20.0))
        assert time.monotonic() - began < 20.0


def test_register_that_lost_its_other_key_is_corrupt(
    mine: Client, server: Raw, prefix: str
) -> None:
    mine.swap("c", None, b"head")
    server.kv.DeleteRange(server.rpc.DeleteRangeRequest(key=f"/{prefix}/~t/c".encode()))
    with pytest.raises(Corrupt):
        mine.read("c")


# --- the quota -----------------------------------------------------------------------------


def test_full_store_says_so_can_be_read_and_freed(
    servers: Servers,
    store: Callable[..., Store],
    client: Callable[..., Client],
    raw: Callable[[str], Raw],
) -> None:
    with servers.own("etcd", arguments=[f"--quota-backend-bytes={32 * MEBIBYTE}"]) as own:
        opened = store(own.url, timeout=10.0)
        config = opened.create_config("c")
        mine = client(own.url)
        config.set("small", "kept")
        for written in range(16):
            mine.put_blob("filler", f"b{written}", secrets.token_bytes(MEBIBYTE))
        with pytest.raises(StoreFull) as caught:
            mine.put_blob("filler", "last", secrets.token_bytes(32 * MEBIBYTE))
        assert caught.value.hint
        assert "defrag" in caught.value.hint
        assert "alarm disarm" in caught.value.hint
        revision = config.info().revision
        with pytest.raises(StoreFull):
            config.set("small", "refused")
        assert config.get("small").data == "kept"
        assert config.info().revision == revision
        assert find(mine.diagnose(), "alarms").status is FindingStatus.FAILED
        # Room can be made by deleting, too.
        mine.delete_blobs("filler", list(mine.sizes("filler")))
        assert mine.sizes("filler") == {}
        raw(own.url.split("/")[2]).make_room()
        config.set("small", "written")
        assert config.get("small").data == "written"
        assert [commit.revision for commit in config.history()] == [2, 1]


def test_full_store_of_an_older_version_is_freed_key_by_key(
    mine: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        mine.put_blob("c", f"b{number}", bytes(300_000))
    call = EtcdClient.call

    def refuse_transactions(self: EtcdClient, method: str, *rest: Any, **options: Any) -> Any:
        # So did versions before https://github.com/etcd-io/etcd/issues/13429, when they were full.
        if method == "Txn" and options.get("write"):
            raise StoreFull("mvcc: database space exceeded")
        return call(self, method, *rest, **options)

    monkeypatch.setattr(EtcdClient, "call", refuse_transactions)
    mine.delete_blobs("c", ["b0", "b2", "missing"])
    assert mine.sizes("c") == {"b1": 300_000}


# --- the version, and what doctor says -----------------------------------------------------


def find(findings: list[Finding], check: str) -> Finding:
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def test_server_of_a_version_that_loses_data_is_not_written_to(
    mine: Client,
    client: Callable[..., Client],
    host: str,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = mine.swap("c", None, b"head")
    for module in ("client", "diagnose"):
        # No such server can be had here; which versions they are is another test's.
        monkeypatch.setattr(f"discfg_etcd.{module}.refusal", lambda version: "and loses data")
    refused = client(f"etcd://{host}/{prefix}")
    for write in (
        lambda: refused.swap("c", token, b"next"),
        lambda: refused.put_blob("c", "b", b"data"),
        lambda: refused.delete_blobs("c", ["b"]),
    ):
        with pytest.raises(UnsupportedStore, match="loses data"):
            write()
    assert refused.read("c") == Register(b"head", token)
    assert find(refused.diagnose(), "server").status is FindingStatus.FAILED


def test_diagnosis_warns_until_revisions_are_compacted(
    servers: Servers, client: Callable[..., Client], raw: Callable[[str], Raw]
) -> None:
    with servers.own("etcd") as own:
        mine = client(own.url)
        token = mine.swap("c", None, b"one")
        before = {finding.check: finding for finding in mine.diagnose()}
        assert before["compaction"].status is FindingStatus.WARNING
        assert "--auto-compaction-retention" in before["compaction"].hint
        others = [finding for check, finding in before.items() if check != "compaction"]
        assert all(finding.status is FindingStatus.OK for finding in others), others
        assert own.version in before["server"].message
        mine.swap("c", token, b"two")
        raw(own.url.split("/")[2]).compact()
        assert find(mine.diagnose(), "compaction").status is FindingStatus.OK


def test_diagnosis_of_a_server_that_is_away_is_a_finding(
    servers: Servers, client: Callable[..., Client]
) -> None:
    with servers.own("etcd") as own:
        mine = client(own.url)
        own.stop()
        assert find(mine.diagnose(), "server").status is FindingStatus.FAILED


def test_diagnosis_finds_hosts_of_two_clusters(
    servers: Servers, client: Callable[..., Client], host: str
) -> None:
    with servers.own("etcd") as own:
        mine = client(f"etcd://{host},{own.url.split('/')[2]}/p")
        assert find(mine.diagnose(), "cluster").status is FindingStatus.FAILED
