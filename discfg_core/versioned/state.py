"""The state of a config at one revision: an immutable sorted mapping of key to node.

A commit makes a new state that shares nearly all of the old one: a large base that stays, and a
small delta on top that is copied. The delta is folded into a new base when it has outgrown the
square root of it, so that a commit costs little at any size, and a fold little per commit.

Callers know this interface alone; how a state is stored and loaded is `snapshot`'s matter.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from heapq import merge
from math import isqrt

from discfg_core.keys import normalize_key, normalize_prefix
from discfg_core.model import Node

_SMALLEST_DELTA = 64


class _Base:
    """Nodes that many states share; `keys` are sorted when somebody first needs it."""

    __slots__ = ("_keys", "nodes")

    def __init__(self, nodes: dict[str, Node]) -> None:
        self.nodes = nodes
        self._keys: list[str] | None = None

    @property
    def keys(self) -> list[str]:
        if self._keys is None:
            # Two threads may sort at once; both get the same list.
            self._keys = sorted(self.nodes)
        return self._keys


class State:
    """Immutable; safe to share between threads."""

    __slots__ = ("_base", "_count", "_delta")

    def __init__(self, nodes: dict[str, Node] | None = None) -> None:
        """A state of these nodes, which belong to it from now on."""
        self._base = _Base(nodes or {})
        self._delta: dict[str, Node | None] = {}
        self._count = len(self._base.nodes)

    def get(self, key: str) -> Node | None:
        """The node of a normalised key; ``None`` for an absent one."""
        if key in self._delta:
            return self._delta[key]
        return self._base.nodes.get(key)

    def __len__(self) -> int:
        return self._count

    def scan(self, prefix: str = "/", after: str = "") -> Iterator[Node]:
        """The nodes of a normalised prefix and below it, behind `after`, sorted by key."""
        if prefix != "/" and after < prefix:
            node = self.get(prefix)
            if node is not None:
                yield node
        # "0" is the character behind "/": all keys below the prefix lie between the two.
        low, high = ("/", "0") if prefix == "/" else (prefix + "/", prefix + "0")
        delta = self._delta
        keys = self._base.keys
        start = max(bisect_left(keys, low), bisect_right(keys, after))
        stop = bisect_left(keys, high)
        old = (keys[i] for i in range(start, stop) if keys[i] not in delta)
        new = sorted(
            key
            for key, node in delta.items()
            if node is not None and low <= key < high and key > after
        )
        nodes = self._base.nodes
        for key in merge(old, new):
            node = delta.get(key)
            yield nodes[key] if node is None else node

    def updated(self, changes: Mapping[str, Node | None]) -> State:
        """This state with nodes put, or removed where ``None``."""
        fresh = State.__new__(State)
        fresh._base = self._base
        fresh._delta = {**self._delta, **changes}
        fresh._count = self._count
        for key, node in changes.items():
            fresh._count += (node is not None) - (self.get(key) is not None)
        if len(fresh._delta) > max(_SMALLEST_DELTA, isqrt(len(self._base.nodes))):
            nodes = dict(self._base.nodes)
            for key, node in fresh._delta.items():
                if node is None:
                    nodes.pop(key, None)
                else:
                    nodes[key] = node
            fresh._base = _Base(nodes)
            fresh._delta = {}
        return fresh


class StateView:
    """A config's keys at one revision: the `View` that callers read.

    Attributes:
        revision: The revision all of it is of.
        incarnation: The incarnation all of it is of.
        state: The nodes.
    """

    __slots__ = ("incarnation", "revision", "state")

    def __init__(self, revision: int, incarnation: str, state: State) -> None:
        self.revision = revision
        self.incarnation = incarnation
        self.state = state

    def get(self, key: str) -> Node | None:
        """The node; ``None`` for an absent key."""
        return self.state.get(normalize_key(key))

    def list(self, prefix: str = "/", *, after: str | None = None) -> Iterator[Node]:
        """The nodes of the prefix and below it, sorted by key."""
        return self.state.scan(
            normalize_prefix(prefix), "" if after is None else normalize_key(after)
        )

    def fingerprint(self, prefix: str) -> bytes:
        """What `PrefixCondition` compares."""
        return fingerprint(self.list(prefix))


def fingerprint(nodes: Iterator[Node] | list[Node]) -> bytes:
    """16 bytes that differ where the keys or their revisions do."""
    digest = blake2b(digest_size=16)
    for node in nodes:
        # The length keeps apart what would read the same when written one behind the other.
        key = node.key.encode()
        digest.update(b"%d:%b%d;" % (len(key), key, node.revision))
    return digest.digest()
