"""Blobs: written once, read whole or in parts, listed and deleted for one config alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from discfg_core.substrate import BlobRange, SwapConflict
from discfg_core.testing.substrate_base import Lab, SubstrateBase
from discfg_core.testing.substrate_client import Client

# One byte more than the largest value discfg takes.
LARGE = 16 * 1024 * 1024 + 1
MANY = 1000


class BlobReadTests(SubstrateBase):
    """`Substrate.put_blob` and `Substrate.get_blobs`."""

    @pytest.mark.parametrize(
        "data",
        [b"", b"\0", bytes(range(256)) * 3, b"\xff\xfe", b"text\r\n"],
        ids=["empty", "nul", "every byte", "not UTF-8", "text"],
    )
    def test_blob_is_read_as_it_was_put(
        self, client: Client, other: Client, name: str, data: bytes
    ) -> None:
        client.put_blob(name, "blob", data)
        assert client.get_blob(name, "blob") == data
        assert other.get_blob(name, "blob") == data

    @pytest.mark.parametrize(
        "blob", ["b", "B", "0", "a.b-c_d", "-", "_x", ".x", "x" * 100, "0" * 32 + ".1." + "f" * 32]
    )
    def test_blob_may_have_any_name_allowed(self, client: Client, name: str, blob: str) -> None:
        client.put_blob(name, blob, blob.encode())
        assert client.get_blob(name, blob) == blob.encode()
        assert client.sizes(name) == {blob: len(blob)}

    def test_blob_names_differ_by_case(self, client: Client, name: str) -> None:
        client.put_blob(name, "blob", b"lower")
        client.put_blob(name, "BLOB", b"upper")
        assert client.get_blobs(name, [BlobRange("BLOB"), BlobRange("blob")]) == [
            b"upper",
            b"lower",
        ]
        client.delete_blobs(name, ["BLOB"])
        assert client.sizes(name) == {"blob": 5}

    def test_blob_that_is_missing_is_none(self, client: Client, name: str) -> None:
        assert client.get_blobs(name, [BlobRange("missing")]) == [None]

    def test_blob_of_a_name_never_made_ready_is_none(self, lab: Lab, client: Client) -> None:
        missing = lab.new_name()
        assert client.get_blobs(missing, [BlobRange("blob"), BlobRange("blob", 3)]) == [None, None]

    def test_blobs_are_answered_in_the_order_wanted(self, client: Client, name: str) -> None:
        for blob in ("a", "b", "c", "d"):
            client.put_blob(name, blob, blob.encode())
        wanted = [BlobRange(blob) for blob in ("d", "nil", "a", "c", "none", "b")]
        assert client.get_blobs(name, wanted) == [b"d", None, b"a", b"c", None, b"b"]

    def test_blobs_wanted_twice_are_answered_twice(self, client: Client, name: str) -> None:
        client.put_blob(name, "blob", b"0123456789")
        wanted = [
            BlobRange("blob"),
            BlobRange("nil"),
            BlobRange("blob", 2, 3),
            BlobRange("blob"),
            BlobRange("nil"),
            BlobRange("blob", 2, 3),
        ]
        whole, part = b"0123456789", b"234"
        assert client.get_blobs(name, wanted) == [whole, None, part, whole, None, part]

    def test_blobs_wanted_may_be_none_at_all(self, client: Client, name: str) -> None:
        assert client.get_blobs(name, []) == []

    @pytest.mark.parametrize(
        ("start", "length", "part"),
        [
            (0, None, b"0123456789"),
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (3, None, b"3456789"),
            (9, 1, b"9"),
            (9, None, b"9"),
            (8, 100, b"89"),
            (0, 1 << 40, b"0123456789"),
            (10, None, b""),
            (10, 5, b""),
            (11, None, b""),
            (1 << 40, 7, b""),
            (0, 0, b""),
            (5, 0, b""),
            (10, 0, b""),
            (99, 0, b""),
        ],
    )
    def test_blob_range_is_exactly_what_was_wanted(
        self, client: Client, name: str, start: int, length: int | None, part: bytes
    ) -> None:
        client.put_blob(name, "blob", b"0123456789")
        assert client.get_blobs(name, [BlobRange("blob", start, length)]) == [part]

    @pytest.mark.parametrize(("start", "length"), [(0, None), (0, 0), (0, 1), (1, None), (5, 5)])
    def test_blob_range_of_an_empty_blob_is_empty(
        self, client: Client, name: str, start: int, length: int | None
    ) -> None:
        client.put_blob(name, "blob", b"")
        assert client.get_blobs(name, [BlobRange("blob", start, length)]) == [b""]

    @pytest.mark.parametrize(("start", "length"), [(0, 0), (0, 1), (7, None), (1 << 40, 0)])
    def test_blob_range_of_a_missing_blob_is_none(
        self, client: Client, name: str, start: int, length: int | None
    ) -> None:
        assert client.get_blobs(name, [BlobRange("missing", start, length)]) == [None]

    def test_blob_may_be_put_again(self, client: Client, other: Client, name: str) -> None:
        for _ in range(3):
            client.put_blob(name, "blob", b"data")
            other.put_blob(name, "blob", b"data")
        assert client.get_blob(name, "blob") == b"data"
        assert client.sizes(name) == {"blob": 4}

    def test_blob_needs_no_register(self, client: Client, other: Client, name: str) -> None:
        client.put_blob(name, "blob", b"data")
        assert client.read(name) is None
        assert other.get_blob(name, "blob") == b"data"
        client.swap(name, None, b"head")
        assert other.get_blob(name, "blob") == b"data"

    def test_blob_survives_its_client(self, lab: Lab, client: Client, name: str) -> None:
        client.put_blob(name, "blob", b"data")
        client.close()
        assert lab.open().get_blob(name, "blob") == b"data"


class BlobSwapTests(SubstrateBase):
    """The blobs of a swap."""

    def test_blobs_of_a_swap_are_there_with_it(
        self, client: Client, other: Client, name: str
    ) -> None:
        blobs = {"a": b"one", "b": b"", "c": bytes(range(256))}
        client.swap(name, None, b"head", blobs)
        assert other.get_blobs(name, [BlobRange(blob) for blob in blobs]) == [*blobs.values()]
        assert other.sizes(name) == {"a": 3, "b": 0, "c": 256}

    def test_blobs_of_later_swaps_leave_earlier_ones(self, client: Client, name: str) -> None:
        token = None
        for number in range(5):
            token = client.swap(name, token, b"head", {f"blob{number}": b"%d" % number})
        wanted = [BlobRange(f"blob{number}") for number in range(5)]
        assert client.get_blobs(name, wanted) == [b"0", b"1", b"2", b"3", b"4"]

    def test_blobs_of_a_swap_that_conflicts_harm_nothing(
        self, client: Client, other: Client, name: str
    ) -> None:
        old = client.swap(name, None, b"old", {"first": b"first"})
        new = client.swap(name, old, b"new", {"second": b"second"})
        with pytest.raises(SwapConflict):
            other.swap(name, old, b"theirs", {"third": b"third"})
        assert client.register(name).token == new
        both = client.get_blobs(name, [BlobRange("first"), BlobRange("second")])
        assert both == [b"first", b"second"]

    def test_blobs_of_a_swap_may_be_there_already(self, client: Client, name: str) -> None:
        client.put_blob(name, "blob", b"data")
        token = client.swap(name, None, b"one", {"blob": b"data"})
        client.swap(name, token, b"two", {"blob": b"data", "more": b"more"})
        assert client.sizes(name) == {"blob": 4, "more": 4}

    def test_blobs_of_a_swap_may_be_many(self, client: Client, other: Client, name: str) -> None:
        blobs = {f"blob{number}": b"%d" % number for number in range(300)}
        client.swap(name, None, b"head", blobs)
        assert other.get_blobs(name, [BlobRange(blob) for blob in blobs]) == [*blobs.values()]

    def test_blobs_of_a_swap_may_be_large(self, client: Client, other: Client, name: str) -> None:
        data = bytes(range(256)) * 8192
        client.swap(name, None, b"head", {"large": data, "small": b"small"})
        assert other.get_blob(name, "large", 2**20, 512) == data[:512]
        assert other.sizes(name) == {"large": len(data), "small": 5}


class BlobListTests(SubstrateBase):
    """`Substrate.list_blobs` and `Substrate.delete_blobs`."""

    def test_list_of_no_blobs_is_empty(self, lab: Lab, client: Client, name: str) -> None:
        assert client.sizes(name) == {}
        assert client.sizes(lab.new_name()) == {}

    def test_list_gives_every_blob_and_its_size(
        self, client: Client, other: Client, name: str
    ) -> None:
        client.put_blob(name, "put", b"12345")
        client.swap(name, None, b"head", {"swapped": b"123", "empty": b""})
        expected = {"put": 5, "swapped": 3, "empty": 0}
        assert client.sizes(name) == other.sizes(name) == expected

    def test_list_stays_with_its_config(self, lab: Lab, client: Client) -> None:
        stem = lab.new_name()
        names = [stem, f"{stem}0", f"{stem}-", f"{stem}.", f"{stem}_x", stem[:-1], stem.upper()]
        lab.provision(client, *names)
        for number, each in enumerate(names):
            client.put_blob(each, f"blob{number}", b"%d" % number)
        for number, each in enumerate(names):
            assert client.sizes(each) == {f"blob{number}": 1}, f"blobs of {each}"

    def test_blobs_of_one_name_in_two_configs_are_two(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        beside = lab.provision(client, f"{name}0")
        client.put_blob(name, "blob", b"mine")
        client.put_blob(beside, "blob", b"theirs")
        assert client.get_blob(name, "blob") == b"mine"
        client.delete_blobs(name, ["blob"])
        assert client.get_blob(beside, "blob") == b"theirs"

    @pytest.mark.parametrize("separator", [".", "-", "_"])
    def test_blobs_are_told_apart_from_their_config(
        self, lab: Lab, client: Client, separator: str
    ) -> None:
        name = lab.new_name()
        longer = f"{name}{separator}x"
        lab.provision(client, name, longer)
        client.put_blob(name, f"x{separator}y", b"of the shorter")
        assert not client.has_blob(longer, "y")
        client.put_blob(longer, "y", b"of the longer")
        assert client.get_blob(name, f"x{separator}y") == b"of the shorter"

    def test_deleted_blobs_are_gone(self, client: Client, other: Client, name: str) -> None:
        client.swap(name, None, b"head", {"a": b"a", "b": b"b", "c": b"c"})
        client.delete_blobs(name, ["a", "c"])
        for each in (client, other):
            assert each.get_blobs(name, [BlobRange(blob) for blob in "abc"]) == [None, b"b", None]
            assert each.sizes(name) == {"b": 1}

    def test_deleting_is_repeatable(self, client: Client, other: Client, name: str) -> None:
        client.put_blob(name, "blob", b"data")
        client.put_blob(name, "kept", b"data")
        for each in (client, other, client):
            each.delete_blobs(name, ["blob"])
        assert client.sizes(name) == {"kept": 4}

    def test_deleting_absent_blobs_is_fine(self, lab: Lab, client: Client, name: str) -> None:
        client.put_blob(name, "blob", b"data")
        client.delete_blobs(name, ["missing"])
        client.delete_blobs(name, ["missing", "blob", "gone", "blob"])
        assert client.sizes(name) == {}
        client.delete_blobs(lab.new_name(), ["blob"])

    def test_deleting_nothing_deletes_nothing(self, client: Client, name: str) -> None:
        client.put_blob(name, "blob", b"data")
        client.delete_blobs(name, [])
        assert client.sizes(name) == {"blob": 4}

    def test_deleting_leaves_the_register(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"head", {"blob": b"data"})
        client.delete_blobs(name, ["blob"])
        assert client.register(name).token == token


class BlobSizeTests(SubstrateBase):
    """Blobs larger than a store's items, and many."""

    def test_large_blob_is_one_blob(self, client: Client, other: Client, name: str) -> None:
        # Each 4-byte group is another one: a part taken from a wrong place shows.
        data = b"".join(number.to_bytes(4, "big") for number in range(LARGE // 4 + 1))[:LARGE]
        client.put_blob(name, "large", data)
        assert other.sizes(name) == {"large": LARGE}
        assert len(other.get_blob(name, "large")) == LARGE
        for start in (0, 1, 65_535, 262_143, 2**20 - 1, 2**22 + 3, LARGE - 2, LARGE, LARGE + 1):
            other.get_blob(name, "large", start, 10)
        other.get_blob(name, "large", 100_000, 5_000_000)
        assert other.get_blob(name, "large", LARGE - 1) == data[-1:]
        client.put_blob(name, "large", data)
        assert client.sizes(name) == {"large": LARGE}
        client.delete_blobs(name, ["large"])
        assert not other.has_blob(name, "large")
        assert other.sizes(name) == {}

    def test_many_blobs_are_all_there(self, client: Client, other: Client, name: str) -> None:
        blobs = [f"blob{number:04}" for number in range(MANY)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda blob: client.put_blob(name, blob, blob.encode()), blobs))
        assert other.sizes(name) == dict.fromkeys(blobs, 8)
        found = other.get_blobs(name, [BlobRange(blob, 4) for blob in blobs])
        assert found == [blob[4:].encode() for blob in blobs]
        client.delete_blobs(name, blobs[1:])
        assert other.sizes(name) == {blobs[0]: 8}
