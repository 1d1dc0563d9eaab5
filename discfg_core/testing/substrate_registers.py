"""Reading and swapping registers, one caller at a time."""

from __future__ import annotations

import pytest

from discfg_core.substrate import NOT_TOLD, UNCHANGED, Register, SwapConflict
from discfg_core.testing.substrate_base import Lab, SubstrateBase
from discfg_core.testing.substrate_client import Client

MEBIBYTE = 1024 * 1024


class ReadTests(SubstrateBase):
    """`Substrate.read`."""

    def test_read_of_an_absent_register_is_none(self, client: Client, name: str) -> None:
        assert client.read(name) is None

    def test_read_of_an_absent_register_with_a_known_token_is_none(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        elsewhere = lab.provision(client, lab.new_name())
        token = client.swap(elsewhere, None, b"data")
        assert client.read(name, token) is None

    def test_read_of_a_name_never_made_ready_is_none(self, lab: Lab, client: Client) -> None:
        assert client.read(lab.new_name()) is None

    def test_read_returns_what_was_swapped_in(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"data")
        assert client.read(name) == Register(b"data", token)

    def test_read_sees_the_latest_swap(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"one")
        token = client.swap(name, token, b"two")
        assert client.read(name) == Register(b"two", token)

    def test_read_sees_each_swap_of_another_client(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"0")
        for number in range(1, 11):
            writer, reader = (client, other) if number % 2 else (other, client)
            token = writer.swap(name, token, b"%d" % number)
            assert reader.read(name) == Register(b"%d" % number, token)

    def test_read_of_the_known_token_is_unchanged(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"data")
        assert client.read(name, token) is UNCHANGED
        assert other.read(name, token) is UNCHANGED

    def test_read_with_an_old_token_returns_the_register(self, client: Client, name: str) -> None:
        old = client.swap(name, None, b"old")
        new = client.swap(name, old, b"new")
        assert client.read(name, old) == Register(b"new", new)

    def test_read_looks_before_it_says_unchanged(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"0")
        for number in range(1, 6):
            assert client.read(name, token) is UNCHANGED
            new = other.swap(name, token, b"%d" % number)
            assert client.read(name, token) == Register(b"%d" % number, new)
            token = new

    def test_read_through_a_new_client_sees_what_was_there(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"data")
        client.close()
        assert lab.open().read(name) == Register(b"data", token)

    @pytest.mark.parametrize(
        "data",
        [b"", b"\0", bytes(range(256)), b"\xff\xfe\xc3\x28", b"line\r\nline\n", b"'\"\\%s{}"],
        ids=["empty", "nul", "every byte", "not UTF-8", "line ends", "quotes"],
    )
    def test_read_returns_any_bytes_as_they_were(
        self, client: Client, other: Client, name: str, data: bytes
    ) -> None:
        token = client.swap(name, None, data)
        assert other.read(name) == Register(data, token)

    def test_read_returns_a_large_register(self, client: Client, other: Client, name: str) -> None:
        size = min(MEBIBYTE, client.limits(name).register_max)
        data = bytes(range(256)) * (size // 256)
        token = client.swap(name, None, data)
        assert other.register(name).data == data
        assert other.read(name, token) is UNCHANGED


class SwapTests(SubstrateBase):
    """`Substrate.swap`."""

    def test_swap_expecting_nothing_creates(self, client: Client, name: str) -> None:
        client.swap(name, None, b"data")
        assert client.register(name).data == b"data"

    def test_swap_expecting_nothing_of_a_register_that_exists_is_a_conflict(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"first")
        for late in (client, other):
            with pytest.raises(SwapConflict) as caught:
                late.swap(name, None, b"second")
            assert caught.value.current in (NOT_TOLD, Register(b"first", token))
        assert client.read(name) == Register(b"first", token)

    def test_swap_expecting_a_token_of_an_absent_register_is_a_conflict(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        elsewhere = lab.provision(client, lab.new_name())
        token = client.swap(elsewhere, None, b"data")
        with pytest.raises(SwapConflict) as caught:
            client.swap(name, token, b"data")
        assert caught.value.current in (NOT_TOLD, None)
        assert client.read(name) is None

    def test_swap_expecting_an_old_token_is_a_conflict(self, client: Client, name: str) -> None:
        old = client.swap(name, None, b"old")
        new = client.swap(name, old, b"new")
        with pytest.raises(SwapConflict):
            client.swap(name, old, b"newer")
        assert client.read(name) == Register(b"new", new)

    def test_swap_expecting_an_old_token_is_a_conflict_after_another_client(
        self, client: Client, other: Client, name: str
    ) -> None:
        old = client.swap(name, None, b"old")
        new = other.swap(name, old, b"theirs")
        with pytest.raises(SwapConflict):
            client.swap(name, old, b"mine")
        assert client.read(name) == Register(b"theirs", new)

    def test_swap_of_equal_data_over_an_old_token_is_a_conflict(
        self, client: Client, other: Client, name: str
    ) -> None:
        old = client.swap(name, None, b"old")
        other.swap(name, old, b"same")
        with pytest.raises(SwapConflict):
            client.swap(name, old, b"same")

    def test_swap_conflict_tells_the_register_or_that_it_does_not(
        self, client: Client, other: Client, name: str
    ) -> None:
        old = client.swap(name, None, b"old")
        new = other.swap(name, old, b"new")
        with pytest.raises(SwapConflict) as caught:
            client.swap(name, old, b"newer")
        current = caught.value.current
        assert current in (NOT_TOLD, Register(b"new", new))
        if isinstance(current, Register):
            client.swap(name, current.token, b"newer")
            assert other.register(name).data == b"newer"

    def test_swap_succeeds_after_a_conflict(self, client: Client, other: Client, name: str) -> None:
        old = client.swap(name, None, b"old")
        other.swap(name, old, b"theirs")
        with pytest.raises(SwapConflict):
            client.swap(name, old, b"mine")
        token = client.swap(name, client.register(name).token, b"mine")
        assert other.read(name) == Register(b"mine", token)

    def test_swap_takes_a_token_that_another_client_read(
        self, client: Client, other: Client, name: str
    ) -> None:
        client.swap(name, None, b"one")
        token = other.swap(name, other.register(name).token, b"two")
        assert client.read(name) == Register(b"two", token)

    def test_swap_changes_no_other_register(self, lab: Lab, client: Client, name: str) -> None:
        beside = lab.provision(client, lab.new_name())
        token = client.swap(beside, None, b"beside")
        mine = client.swap(name, None, b"mine")
        client.swap(name, mine, b"mine again")
        assert client.read(beside) == Register(b"beside", token)

    def test_swap_to_empty_data_keeps_the_register(self, client: Client, name: str) -> None:
        token = client.swap(name, client.swap(name, None, b"data"), b"")
        assert client.read(name) == Register(b"", token)
        with pytest.raises(SwapConflict):
            client.swap(name, None, b"new")

    def test_swap_takes_a_long_row_of_data_sizes(self, client: Client, name: str) -> None:
        limit = min(MEBIBYTE, client.limits(name).register_max)
        token = None
        for size in (0, 1, 4095, 4096, 65_536, 131_073, 10):
            if size <= limit:
                token = client.swap(name, token, b"x" * size)
                assert len(client.register(name).data) == size


class TokenTests(SubstrateBase):
    """Tokens: opaque, and never the same for two swaps. The `Ledger` watches them all."""

    def test_token_of_a_swap_is_the_one_read_afterwards(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = None
        for number in range(5):
            token = client.swap(name, token, b"%d" % number)
            assert client.register(name).token == other.register(name).token == token

    def test_token_is_new_for_equal_data(self, client: Client, name: str) -> None:
        token = None
        seen = set()
        for _ in range(10):
            token = client.swap(name, token, b"the same")
            seen.add(token)
        assert len(seen) == 10

    def test_token_is_new_when_old_data_comes_back(self, client: Client, name: str) -> None:
        first = client.swap(name, None, b"A")
        second = client.swap(name, first, b"B")
        third = client.swap(name, second, b"A")
        assert len({first, second, third}) == 3
        assert client.read(name, first) == Register(b"A", third)
        with pytest.raises(SwapConflict):
            client.swap(name, first, b"C")
        assert client.read(name) == Register(b"A", third)

    def test_token_is_new_whichever_client_swaps(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = None
        seen = set()
        for number in range(20):
            token = (client, other)[number % 2].swap(name, token, b"same")
            seen.add(token)
        assert len(seen) == 20

    def test_token_is_new_for_each_client_ever_opened(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"same")
        seen = {token}
        for _ in range(5):
            fresh = lab.open()
            token = fresh.swap(name, token, b"same")
            seen.add(token)
            fresh.close()
        assert len(seen) == 6

    def test_token_of_another_register_is_a_conflict(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        beside = lab.provision(client, lab.new_name())
        foreign = client.swap(beside, None, b"same")
        token = client.swap(name, None, b"same")
        with pytest.raises(SwapConflict):
            client.swap(name, foreign, b"new")
        assert client.read(name) == Register(b"same", token)

    def test_token_holds_for_a_client_opened_later(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"one")
        client.close()
        later = lab.open()
        assert later.read(name, token) is UNCHANGED
        later.swap(name, token, b"two")


class NameTests(SubstrateBase):
    """Which registers exist, and that similar names are different ones."""

    def test_names_list_what_was_swapped_in(
        self, lab: Lab, client: Client, other: Client, name: str
    ) -> None:
        beside = lab.provision(client, lab.new_name())
        client.swap(name, None, b"data")
        client.swap(beside, None, b"")
        assert {name, beside} <= set(client.names())
        assert {name, beside} <= set(other.names())

    def test_names_do_not_list_what_was_never_there(self, lab: Lab, client: Client) -> None:
        missing = lab.new_name()
        client.read(missing)
        assert missing not in set(client.names())

    def test_names_list_each_register_once(self, client: Client, other: Client, name: str) -> None:
        token = client.swap(name, None, b"0", {"blob": b"data"})
        other.swap(name, token, b"1", {"another": b"data"})
        assert list(client.names()).count(name) == 1

    def test_names_of_every_form_are_registers_of_their_own(
        self, lab: Lab, client: Client, other: Client
    ) -> None:
        stem = f"{lab.new_name()}ab"
        names = [
            stem,
            stem.upper(),
            stem.capitalize(),
            f"{stem}.",
            f"{stem}-",
            f"{stem}_",
            f"{stem}..",
            f"{stem}.json",
            f"{stem}0",
            stem[:-1],
            f"9{stem}",
            stem.ljust(128, "x"),
            stem.ljust(127, "x"),
        ]
        lab.provision(client, *names)
        tokens = {each: client.swap(each, None, each.encode()) for each in names}
        for each in names:
            assert other.read(each) == Register(each.encode(), tokens[each])
        listed = [each for each in other.names() if each in tokens]
        assert sorted(listed) == sorted(names)
