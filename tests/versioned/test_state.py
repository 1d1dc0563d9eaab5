"""The state against a sorted dict, at every size where it changes its inner form."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from discfg_core.keys import under
from discfg_core.model import Node
from discfg_core.versioned.state import State, fingerprint

# Neighbours of each other and of "/" in the order of characters.
SEGMENTS = ["a", "a-", "a.", "a0", "a1", "ab", "b", "A", "é", "z\U0001f600", "\uffff", " "]
key = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
prefix = st.one_of(key, st.just("/"))
change = st.dictionaries(key, st.one_of(st.none(), st.integers(1, 9)), max_size=40)


def node(name: str, revision: int = 1) -> Node:
    return Node(name, b"", "text/plain", 1, revision, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(key, st.integers(1, 9)), st.lists(change, max_size=8), prefix, key)
def test_state_is_a_sorted_dict(
    first: dict[str, int], changes: list[dict[str, int | None]], below: str, behind: str
) -> None:
    model = dict(first)
    state = State({name: node(name, number) for name, number in first.items()})
    earlier: list[tuple[State, dict[str, int]]] = []
    for step in changes:
        earlier.append((state, dict(model)))
        state = state.updated(
            {name: None if number is None else node(name, number) for name, number in step.items()}
        )
        for name, number in step.items():
            if number is None:
                model.pop(name, None)
            else:
                model[name] = number
    for one, expected in [*earlier, (state, model)]:
        assert len(one) == len(expected)
        assert [(n.key, n.revision) for n in one.scan()] == sorted(expected.items())
        inside = sorted(name for name in expected if under(name, below))
        assert [n.key for n in one.scan(below)] == inside
        assert [n.key for n in one.scan(below, behind)] == [n for n in inside if n > behind]
        for name in [*expected, behind]:
            found = one.get(name)
            assert (None if found is None else found.revision) == expected.get(name)


@pytest.mark.parametrize("below", ["/a", "/a/b", "/"])
def test_prefix_stops_at_whole_segments(below: str) -> None:
    names = ["/a", "/a ", "/a-", "/a-/x", "/a/", "/a/b", "/a/b/c", "/a/b0", "/a0", "/a0/b", "/ab"]
    names.remove("/a/")
    state = State({name: node(name) for name in names})
    assert [n.key for n in state.scan(below)] == sorted(n for n in names if under(n, below))


def test_state_of_many_commits_stays_right() -> None:
    state = State()
    model: dict[str, int] = {}
    for number in range(3000):
        name = f"/k{number * 7919 % 700}"
        if number % 5 == 4:
            state, _ = state.updated({name: None}), model.pop(name, None)
        else:
            state, model[name] = state.updated({name: node(name, number)}), number
    assert [(n.key, n.revision) for n in state.scan()] == sorted(model.items())
    assert len(state) == len(model)


def test_fingerprint_tells_keys_and_revisions_apart() -> None:
    sets = [
        [],
        [node("/a", 1)],
        [node("/a", 11)],
        [node("/a1", 1)],
        [node("/a", 1), node("/b", 1)],
        [node("/a", 1), node("/b", 2)],
        [node("/a", 1), node("/b", 1), node("/c", 1)],
        [node("/a;1:/b", 1)],
    ]
    assert len({fingerprint(nodes) for nodes in sets}) == len(sets)
    assert fingerprint([node("/a", 1)]) == fingerprint(State({"/a": node("/a", 1)}).scan())
