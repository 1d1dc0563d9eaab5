"""How the head stays small: what moves from it to the history and the stored state, and when.

New commits go into the tail. When the tail has outgrown its share of the register, the swap that
adds the next commit moves it into a segment of the history, in the same atomic step: the head
stays within its bound though nobody ever folds by itself. A small state is stored anew on that
occasion; a large one is due when the history since has grown to a share of it, and is written
after the acknowledgement, by `Committer`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from discfg_core.model import LargeValue, Node
from discfg_core.substrate import Limits
from discfg_core.versioned import budget
from discfg_core.versioned.blobs import make_ref
from discfg_core.versioned.format import (
    BlobRef,
    HistoryRef,
    StateRef,
    TailItem,
    encode,
    entry_of,
)
from discfg_core.versioned.history import append, segment_of
from discfg_core.versioned.snapshot import Snapshot
from discfg_core.versioned.state import State

_ENTRY_OVERHEAD_BYTES = 48


class Due(NamedTuple):
    """A state that should be stored, of a revision that the history holds."""

    state: State
    revision: int
    debt: int
    generation: int


class Draft:
    """The parts of the next head that grow.

    Attributes:
        state, history, tail: Of the next head.
        blobs: By name, to be durable with it.
        garbage: Names of blobs the next head no longer refers to, nor any after it.
        flushed: Whether the tail of the base went into the history.
        due: A state that should be stored afterwards.
    """

    def __init__(self, base: Snapshot, limits: Limits) -> None:
        head = self._head = base.head
        self._base = base
        self._limits = limits
        self.state = head.state
        self.history = head.history
        self.tail = head.tail
        self.blobs: dict[str, bytes] = {}
        self.garbage: list[str] = []
        self.flushed = False
        self.due: Due | None = None

    def append(self, records: list[bytes]) -> None:
        """Add commits behind those of the base."""
        body = encode([msgspec.Raw(record) for record in records])
        room = budget.tail_bytes(self._limits)
        inline = not self._limits.blobs_ride and len(body) <= room
        waiting = sum(_weight(item, inline=inline) for item in self.tail) + len(body)
        if self.tail and (waiting > room or len(self.tail) >= budget.tail_items(self._limits)):
            self._flush()
        first = self._head.revision + 1
        item = TailItem(first, len(records), body if inline else self._put(body))
        self.tail = [*self.tail, item]

    def refer_to_state(self, state: StateRef, debt: int) -> None:
        """Take a state that was stored meanwhile; `debt` is what it pays off."""
        if state.revision > self.state.revision:
            self._discard(self.state.body)
            self.state = StateRef(state.revision, state.body, max(self.state.debt - debt, 0))
        else:
            self._discard(state.body)

    def _flush(self) -> None:
        head, base = self._head, self._base
        data = segment_of(base.recent)
        first = head.flushed + 1
        segment = HistoryRef(first, head.revision, self._put(data))
        self.history, indexes = append(
            self.history,
            segment,
            fan_out=budget.fan_out(self._limits),
            generation=head.generation,
        )
        for ref, index in indexes:
            self.blobs[base.blobs.name(ref.blob)] = index
        for item in self.tail:
            self._discard(item.body)
        self.tail = []
        self.flushed = True
        self._flush_state(len(data))

    def _flush_state(self, grown: int) -> None:
        head = self._head
        debt = self.state.debt + grown
        if head.inline <= budget.SMALL_STATE_BYTES:
            body = encode_state(self._base.state)
            inline = len(body) <= budget.state_bytes(self._limits)
            self._discard(self.state.body)
            self.state = StateRef(head.revision, body if inline else self._put(body))
            return
        self.state = StateRef(self.state.revision, self.state.body, debt)
        if debt > max(budget.LEAST_DEBT_BYTES, head.inline // 4):
            self.due = Due(self._base.state, head.revision, debt, head.generation)

    def _put(self, data: bytes) -> BlobRef:
        ref = make_ref(data, self._head.generation)
        self.blobs[self._base.blobs.name(ref)] = data
        return ref

    def _discard(self, body: bytes | BlobRef) -> None:
        if isinstance(body, BlobRef):
            self.garbage.append(self._base.blobs.name(body))


def _weight(item: TailItem, *, inline: bool) -> int:
    """Bytes of a tail item that count beside others: those in the head, or those in blobs."""
    if isinstance(item.body, bytes):
        return len(item.body)
    return 0 if inline else item.body.size


def stored_size(node: Node, key_size: int) -> int:
    """Bytes that a node adds to a stored state, roughly; a large value lies elsewhere."""
    large = isinstance(node.content, LargeValue)
    return key_size + _ENTRY_OVERHEAD_BYTES + (0 if large else node.size)


def encode_state(state: State) -> bytes:
    """A whole state, as stored."""
    return encode([entry_of(node) for node in state.scan()])
