"""What a commit's operations do: against a model that carries them out one by one."""

from __future__ import annotations

import time

import hypothesis.strategies as st
from hypothesis import given, settings

from discfg_core.model import Action, Change, LargeValue, Node
from discfg_core.versioned.format import (
    BlobRef,
    Op,
    PutOp,
    RemoveOp,
    RemovePrefixOp,
    entry_of,
)
from discfg_core.versioned.replay import changes_of, effect, replaced
from discfg_core.versioned.state import State

SEGMENTS = ["a", "a0", "a-", "b", "é"]
key = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
op = st.one_of(
    st.builds(PutOp, key, st.sampled_from([0, 1, 2, "x/y"]), st.binary(max_size=3)),
    st.builds(RemoveOp, key),
    st.builds(RemovePrefixOp, st.one_of(key, st.just("/"))),
)
TYPES = ["application/json", "text/plain", "application/octet-stream"]


def large(ref: BlobRef) -> LargeValue:
    return LargeValue(ref.size, ref, lambda: b"")


def inside(name: str, prefix: str) -> bool:
    """Whole segments, spelt out."""
    parts, wanted = name.split("/")[1:], [part for part in prefix.split("/")[1:] if part]
    return parts[: len(wanted)] == wanted


def one_by_one(before: dict[str, Node], ops: list[Op]) -> dict[str, tuple[bytes, str] | None]:
    """What each touched key holds in the end."""
    now: dict[str, tuple[bytes, str]] = {
        name: (node.value, node.content_type) for name, node in before.items()
    }
    touched: set[str] = set()
    for one in ops:
        if isinstance(one, PutOp):
            kind = (
                one.content_type if isinstance(one.content_type, str) else TYPES[one.content_type]
            )
            assert isinstance(one.value, bytes)
            now[one.key] = (one.value, kind)
            touched.add(one.key)
        elif isinstance(one, RemoveOp):
            now.pop(one.key, None)
            touched.add(one.key)
        else:
            for name in [name for name in now if inside(name, one.prefix)]:
                del now[name]
                touched.add(name)
    return {name: now.get(name) for name in touched}


def carry_out(before: dict[str, Node], ops: list[Op]) -> tuple[Change, ...]:
    return changes_of(State(dict(before)), ops, revision=9, time_ns=99, large=large)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(key, st.integers(1, 5), max_size=8), st.lists(op, max_size=12))
def test_changes_are_what_the_operations_leave(old: dict[str, int], ops: list[Op]) -> None:
    before = {
        name: Node(name, b"old", "text/plain", version, version, 5, 6)
        for name, version in old.items()
    }
    final = one_by_one(before, ops)
    changes = carry_out(before, ops)
    wanted = sorted(name for name, left in final.items() if left is not None or name in before)
    assert [change.key for change in changes] == wanted
    for change in changes:
        left, prev = final[change.key], before.get(change.key)
        node = change.node
        assert change.prev_node is prev
        assert change.revision == node.revision == 9
        assert node.version == (1 if prev is None else prev.version + 1)
        assert node.modified_ns == 99
        assert node.created_ns == (99 if prev is None else 5)
        if left is None:
            assert change.action is Action.REMOVED
            assert not node.has_value
        else:
            assert change.action is (Action.ADDED if prev is None else Action.UPDATED)
            assert (node.value, node.content_type) == left
    # Stored with what it replaced, it comes out the same; whatever else the state held.
    entries = [entry_of(change.prev_node) for change in changes if change.prev_node is not None]
    again = changes_of(replaced(entries, large), ops, revision=9, time_ns=99, large=large)
    assert again == changes
    assert effect(again).keys() == effect(changes).keys()


def test_many_operations_take_linear_time() -> None:
    def seconds(count: int) -> float:
        ops: list[Op] = []
        for number in range(count):
            ops += [PutOp(f"/k{number}/a", 1, b""), RemovePrefixOp(f"/k{number}")]
        before = {
            f"/k{number}/b": Node(f"/k{number}/b", b"", "text/plain", 1, 1, 1, 1)
            for number in range(count)
        }
        begin = time.perf_counter()
        changes = carry_out(before, ops)
        entries = [entry_of(change.prev_node) for change in changes if change.prev_node]
        changes_of(replaced(entries, large), ops, revision=9, time_ns=99, large=large)
        return time.perf_counter() - begin

    seconds(100)
    assert seconds(3000) < 24 * max(seconds(500), 0.002)
