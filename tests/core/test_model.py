"""Nodes, changes, commits and descriptions."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from discfg_core.errors import Corrupt, InvalidValue
from discfg_core.model import (
    Action,
    Change,
    Commit,
    ConfigInfo,
    ConfigState,
    LargeValue,
    Node,
)
from discfg_core.values import BYTES, JSON, TEXT


def node(content: bytes | LargeValue | None = b"1", content_type: str = JSON, **more: Any) -> Node:
    fields: dict[str, Any] = {
        "version": 2,
        "revision": 5,
        "created_ns": 1_500,
        "modified_ns": 2_999,
    }
    return Node("/k", content, content_type, **fields | more)


@pytest.mark.parametrize(
    ("raw", "content_type", "data"),
    [
        (b'{"a": [1]}', JSON, {"a": [1]}),
        (b"text", TEXT, "text"),
        (b"\xff", BYTES, b"\xff"),
        (b"", TEXT, ""),
        (b"", BYTES, b""),
        (b"null", JSON, None),
    ],
)
def test_the_value_and_its_decoded_form(raw: bytes, content_type: str, data: Any) -> None:
    it = node(raw, content_type)
    assert (it.value, it.data, it.has_value, it.size) == (raw, data, True, len(raw))


def test_a_removed_key_has_no_value() -> None:
    it = node(None)
    assert (it.value, it.data, it.has_value, it.size) == (b"", None, False, 0)
    assert it != node(b"")


def test_a_content_type_that_lies_is_an_error_of_data_alone() -> None:
    it = node(b"{", JSON)
    assert it.value == b"{"
    with pytest.raises(InvalidValue):
        _ = it.data


def test_a_large_value_is_fetched_each_time_and_only_then() -> None:
    fetched: list[int] = []

    def load() -> bytes:
        fetched.append(1)
        return b'{"big":1}'

    it = node(LargeValue(9, "blob-1", load))
    assert (it.size, it.has_value, fetched) == (9, True, [])
    assert (it.value, it.data, len(fetched)) == (b'{"big":1}', {"big": 1}, 2)


def test_a_large_value_that_is_lost_is_an_error() -> None:
    def lost() -> bytes:
        raise Corrupt("the blob is missing")

    with pytest.raises(Corrupt):
        _ = node(LargeValue(9, "blob-1", lost)).value


def test_equality_fetches_a_large_value_only_where_it_must() -> None:
    def unwanted() -> bytes:
        raise AssertionError("fetched")

    one = node(LargeValue(3, "b", unwanted))
    assert one == node(LargeValue(3, "b", unwanted))
    assert one != node(LargeValue(4, "b", unwanted))
    assert one != node(LargeValue(3, "b", unwanted), revision=6)
    assert node(LargeValue(3, "b", lambda: b"abc")) == node(LargeValue(3, "c", lambda: b"abc"))
    assert node(LargeValue(3, "b", lambda: b"abc")) == node(b"abc")
    assert node(LargeValue(3, "b", lambda: b"abc")) != node(b"abd")


@pytest.mark.parametrize(
    "other",
    [
        node(b"2"),
        node(content_type=TEXT),
        node(version=3),
        node(revision=6),
        node(created_ns=1_501),
        node(modified_ns=3_000),
        node(expires_ns=0),
        msgspec.structs.replace(node(), key="/l"),
        "a node",
    ],
)
def test_nodes_differ_in_any_field(other: object) -> None:
    assert node() != other
    assert node() == node()
    assert hash(node()) == hash(node())


def test_a_node_is_immutable() -> None:
    with pytest.raises(AttributeError):
        node().version = 3  # type: ignore[misc]  # bad input, on purpose


def test_a_node_survives_pickling_and_copying() -> None:
    it = node(b"\xff", BYTES, expires_ns=7)
    assert pickle.loads(pickle.dumps(it)) == it == copy.deepcopy(it)


def test_times_are_utc_cut_to_microseconds() -> None:
    it = node(expires_ns=4_102_444_800_000_000_000)
    assert it.created == datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert it.modified == datetime(1970, 1, 1, 0, 0, 0, 2, tzinfo=UTC)
    assert it.expires == datetime(2100, 1, 1, tzinfo=UTC)
    assert node().expires is None


def test_a_commit_gives_its_changes_by_key() -> None:
    change = Change(Action.UPDATED, node(), node(b"0", version=1), 5)
    commit = Commit(5, "id", "ann", "why", 2_000, (change,))
    assert commit["/k"] is change
    assert (change.key, commit.time.microsecond) == ("/k", 2)
    with pytest.raises(KeyError):
        _ = commit["k"]


def test_a_description_has_its_times() -> None:
    info = ConfigInfo("c", "0" * 32, 0, 1_000, 2_000, ConfigState.ACTIVE, {}, {}, "memory", 0, 0)
    assert (info.created.microsecond, info.modified.microsecond) == (1, 2)
    assert info.created.tzinfo is UTC


def test_states_and_actions_are_the_words_of_the_answers() -> None:
    assert [str(state) for state in ConfigState] == ["ACTIVE", "CREATING", "UPDATING", "DELETING"]
    assert [str(action) for action in Action] == ["added", "updated", "removed", "expired"]
