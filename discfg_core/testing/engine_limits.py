"""Sizes up to their limits, input beyond them, and time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import KeyCondition, PrefixCondition, Put, Remove, RemovePrefix
from discfg_core.errors import (
    ClockSkew,
    CommitTooLarge,
    InvalidInput,
    InvalidKey,
    InvalidOption,
    InvalidValue,
    TextTooLong,
    ValueTooLarge,
)
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import BYTES, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core.testing.engine_client import Client, Config

BAD_KEYS = {
    "empty": "",
    "root": "/",
    "two slashes": "a//b",
    "leading slashes": "//a",
    "trailing slash": "a/",
    "dot": ".",
    "dot inside": "a/./b",
    "two dots": "..",
    "two dots inside": "a/../b",
    "nul": "a\x00b",
    "newline": "a\nb",
    "delete": "a\x7f",
    "c1 control": "a\x85",
    "surrogate": "a\ud800",
    "1,025 bytes with its slash": "x" * 1024,
    "1,025 bytes": "/" + "é" * 512,
}
BAD_PREFIXES = {
    name: key for name, key in BAD_KEYS.items() if name not in ("empty", "root", "trailing slash")
} | {"two trailing slashes": "a//"}
BAD_CONTENT_TYPES = ("", "text", "/plain", "text/", "text/ü", "text/a\nb", "text/" + "x" * 252)

MIB = 1024 * 1024
SECOND = 1_000_000_000

KEY_CALLS: dict[str, Callable[[Config, str], object]] = {
    "get": lambda config, key: config.get(key),
    "get, maybe stale": lambda config, key: config.get(key, max_staleness=3600.0),
    "set": lambda config, key: config.set(key),
    "delete": lambda config, key: config.delete(key),
    "put": lambda config, key: config.commit(put("ok"), put(key)),
    "remove": lambda config, key: config.commit(put("ok"), Remove(key, missing_ok=True)),
    "condition of a set": lambda config, key: config.set(
        "ok", condition=KeyCondition(key, absent=True)
    ),
    "condition": lambda config, key: config.commit(
        put("ok"), conditions=(KeyCondition(key, absent=True),)
    ),
}
PREFIX_CALLS: dict[str, Callable[[Config, str], object]] = {
    "history": lambda config, prefix: config.page(prefix),
    "remove prefix": lambda config, prefix: config.commit(put("ok"), RemovePrefix(prefix)),
    "prefix condition": lambda config, prefix: config.commit(
        put("ok"), conditions=(PrefixCondition(prefix, b""),)
    ),
}


def _pattern(size: int) -> bytes:
    # Not one repeated byte: a chunk stored twice or in the wrong place would go unseen.
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


class LimitTests(EngineCase):
    """What fits, what does not, and that what is refused leaves no trace."""

    # --- values ---

    @pytest.mark.parametrize("size", [0, 1, 4096, 70_000, MIB + 1, 16 * MIB])
    def test_value_of_any_size(self, config: Config, twin: Config, size: int) -> None:
        value = _pattern(size)
        change = config.set("a", value)
        assert change.node.size == twin.get("a").size == size
        assert change.node.has_value
        assert twin.value("a") == config.value("a") == value
        assert [node.value for node in twin.view().list()] == [value]
        last = twin.set("a", b"small")
        assert last.prev_node is not None
        assert last.prev_node.value == value
        assert config.history()[-1]["/a"].node.value == value
        assert config.values() == {"/a": b"small"}

    def test_value_over_the_limit(self, config: Config) -> None:
        value = bytes(16 * MIB + 1)
        with pytest.raises(ValueTooLarge):
            config.set("a", value)
        with pytest.raises(ValueTooLarge):
            config.commit(put("b"), put("a", value))
        assert config.revision() == 0
        assert config.keys() == []

    def test_every_byte(self, config: Config, twin: Config) -> None:
        value = bytes(range(256)) * 3
        config.set("a", value)
        assert twin.value("a") == value

    def test_data_by_content_type(self, config: Config, twin: Config) -> None:
        config.commit(
            put("json", b'{"a":[1,null]}', "application/json"),
            put("text", "grüße".encode(), "text/plain"),
            put("bytes", b"\xff\x00"),
        )
        data = {node.key: node.data for node in twin.view().list()}
        assert data == {"/json": {"a": [1, None]}, "/text": "grüße", "/bytes": b"\xff\x00"}
        first = twin.get("json")
        first.data["a"].append("mine")
        assert first.data == twin.get("json").data == {"a": [1, None]}

    def test_mutable_bytes_are_not_kept(self, config: Config) -> None:
        settings = {"list": [1]}
        config.commit(settings=settings)
        settings["list"].append(2)
        assert config.info().settings == {"list": [1]}

    # --- commits ---

    def test_commit_of_10_000_keys(self, config: Config, twin: Config) -> None:
        keys = [f"/part{number % 7}/key{number:05}" for number in range(10_000)]
        first = config.committed(*(put(key, key.encode()) for key in keys))
        assert len(first.changes) == 10_000
        assert twin.values() == {key: key.encode() for key in sorted(keys)}
        assert twin.info().keys == 10_000
        assert twin.set("/part0/key00000").revision == 2
        second = twin.committed(RemovePrefix("part1"), Remove("part2/key00002"))
        assert len(second.changes) == sum(key.startswith("/part1/") for key in keys) + 1
        assert len(config.keys()) == 10_000 - len(second.changes)
        assert config.history()[-1] == first

    def test_commit_of_too_many_keys(self, config: Config) -> None:
        config.set("a")
        with pytest.raises(CommitTooLarge):
            config.commit(*(Put(f"/k{number}", b"", BYTES) for number in range(100_001)))
        assert config.revision() == 1
        assert config.keys() == ["/a"]

    def test_texts_up_to_their_limits(self, config: Config, twin: Config) -> None:
        actor, message, commit_id = "ä" * 128, "m" * 4094 + "é", "i" * 256
        commit = config.committed(put("a"), actor=actor, message=message, commit_id=commit_id)
        assert (commit.actor, commit.message, commit.id) == (actor, message, commit_id)
        assert twin.history() == [commit]
        assert twin.outcome(commit_id) == commit

    # --- refused ---

    @pytest.mark.parametrize("bad", BAD_KEYS)
    def test_bad_key(self, config: Config, bad: str) -> None:
        for call in KEY_CALLS.values():
            with pytest.raises(InvalidKey):
                call(config, BAD_KEYS[bad])
        with pytest.raises(InvalidKey):
            config.view().get(BAD_KEYS[bad])
        with pytest.raises(InvalidKey):
            config.view().list(after=BAD_KEYS[bad])
        assert config.revision() == 0

    @pytest.mark.parametrize("bad", BAD_PREFIXES)
    def test_bad_prefix(self, config: Config, bad: str) -> None:
        for call in PREFIX_CALLS.values():
            with pytest.raises(InvalidKey):
                call(config, BAD_PREFIXES[bad])
        with pytest.raises(InvalidKey):
            config.view().list(BAD_PREFIXES[bad])
        with pytest.raises(InvalidKey):
            config.view().fingerprint(BAD_PREFIXES[bad])
        assert config.revision() == 0

    @pytest.mark.parametrize("bad", BAD_CONTENT_TYPES)
    def test_bad_content_type(self, config: Config, bad: str) -> None:
        with pytest.raises(InvalidValue):
            config.set("a", b"1", bad)
        with pytest.raises(InvalidValue):
            config.commit(put("b"), put("a", b"1", bad))
        assert config.revision() == 0

    @pytest.mark.parametrize(
        "text", [{"actor": "x" * 257}, {"message": "é" * 2049}, {"commit_id": "x" * 257}]
    )
    def test_text_too_long(self, config: Config, text: dict[str, str]) -> None:
        for call in (
            lambda: config.set("a", **text),  # type: ignore[arg-type]  # bad input, on purpose
            lambda: config.commit(put("a"), **text),  # type: ignore[arg-type]  # bad input, on purpose
            lambda: config.delete("a", **text),  # type: ignore[arg-type]  # bad input, on purpose
        ):
            with pytest.raises(TextTooLong):
                call()
        assert config.revision() == 0

    def test_outcome_of_too_long_an_id(self, config: Config) -> None:
        with pytest.raises(TextTooLong):
            config.outcome("x" * 257)

    def test_bad_page(self, config: Config) -> None:
        config.set("a")
        for limit in (0, -1):
            with pytest.raises(InvalidOption):
                config.page(limit=limit)
        with pytest.raises(InvalidOption):
            config.page(before=-1)

    def test_input_is_judged_before_anything_is_sent(self, client: Client, name: str) -> None:
        # The config does not exist: an engine that sent something would say that instead.
        config = client.config(name)
        for bad in (
            lambda: config.get("a//b"),
            lambda: config.set("a//b"),
            lambda: config.delete("a//b"),
            lambda: config.page("a//b"),
            lambda: config.page(limit=0),
            lambda: config.set("a", b"1", "text"),
            lambda: config.set("a", message="x" * 4097),
            lambda: config.commit(put("a", bytes(16 * MIB + 1))),
            lambda: config.commit(settings={"a": float("inf")}),
            lambda: config.outcome("x" * 257),
            lambda: config.drop(actor="x" * 257),
        ):
            with pytest.raises(InvalidInput):
                bad()

    # --- time ---

    def test_times_are_those_of_the_commits(self, config: Config) -> None:
        info = config.info()
        begun = time.time_ns()
        first = config.committed(put("a"), put("b"))
        second = config.committed(put("a"))
        ended = time.time_ns()
        assert begun <= first.time_ns < second.time_ns <= ended
        assert info.created_ns < first.time_ns
        assert first["/a"].node.created_ns == second["/a"].node.created_ns == first.time_ns
        assert second["/a"].node.modified_ns == second.time_ns == config.info().modified_ns
        assert config.info().created_ns == info.created_ns

    def test_time_never_goes_back(
        self, config: Config, twin: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = config.committed(put("a"))
        _set_clock(monkeypatch, -30.0)
        second = twin.committed(put("a"))
        third = twin.committed(put("a"))
        assert second.time_ns == first.time_ns + 1
        assert third.time_ns == second.time_ns + 1

    def test_clock_far_behind_is_refused(
        self, config: Config, twin: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = config.committed(put("a"))
        _set_clock(monkeypatch, -90.0)
        for call in (
            lambda: twin.set("a"),
            lambda: twin.delete("a"),
            lambda: twin.commit(put("b"), settings={"a": 1}),
        ):
            with pytest.raises(ClockSkew):
                call()
        assert config.history() == [first]
        assert twin.value("a") == b"value"

    def test_clock_far_behind_is_let_through_on_demand(
        self, config: Config, twin: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = config.committed(put("a"))
        _set_clock(monkeypatch, -90.0)
        second = twin.committed(put("a"), max_clock_skew=None)
        assert second.time_ns == first.time_ns + 1
        third = twin.set("a", max_clock_skew=1000.0)
        assert third.node.modified_ns == second.time_ns + 1

    def test_own_limit_of_the_skew(
        self, config: Config, twin: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config.set("a")
        _set_clock(monkeypatch, -30.0)
        with pytest.raises(ClockSkew):
            twin.set("a", max_clock_skew=1.0)
        assert config.revision() == 1


def _set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Move this process's wall clock by so many seconds."""
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + seconds)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(seconds * SECOND))
