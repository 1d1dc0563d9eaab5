"""Blobs: cut into parts, put so that none is ever seen in part, fetched in few requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from discfg_core.clock import Deadline
from discfg_core.errors import StoreFull, StoreUnavailable, Timeout
from discfg_core.substrate import BlobInfo, BlobRange
from discfg_etcd import messages
from discfg_etcd.client import Client
from discfg_etcd.layout import Layout, Span, count_parts, size_of
from discfg_etcd.profile import PART_BYTES, REQUEST_BYTES, TXN_OPS

# What an answer may hold, in parts: 8 MiB, so that the server need not build a larger one.
_PARTS_AN_ANSWER: Final = 32
_LIST_PAGE: Final = 5_000
# What a key and its operation add to a request beside the value.
_OP_BYTES: Final = 64

_Item = TypeVar("_Item")
Part = tuple[bytes, bytes]
"""A key and its bytes."""


def weight(part: Part) -> int:
    """What a part adds to a request."""
    return len(part[0]) + len(part[1]) + _OP_BYTES


def split_riding(parts: Iterable[list[Part]], taken: int) -> tuple[list[Part], list[list[Part]]]:
    """Which blobs fit into a swap's own transaction, and which are to be put before it.

    Args:
        parts: Those of each blob.
        taken: Bytes that the transaction has already, with two operations.
    """
    riding: list[Part] = []
    before: list[list[Part]] = []
    # Small ones first: the more of them ride, the fewer requests are left.
    for blob in sorted(parts, key=lambda blob: sum(map(weight, blob))):
        size = sum(map(weight, blob))
        if taken + size <= REQUEST_BYTES and len(riding) + len(blob) <= TXN_OPS - 2:
            taken += size
            riding += blob
        else:
            before.append(blob)
    return riding, before


class Blobs:
    """The blobs of one store."""

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client = client
        self._layout = layout

    # --- writing ---

    def put(self, blobs: Sequence[list[Part]], deadline: Deadline) -> None:
        """Put blobs, durably. A part that is there already is left: it holds the same bytes.

        Raises:
            OutcomeUnknown: Some may be there.
            StoreError: Not all are there.
            Timeout: The deadline had passed.
        """
        # In the order given: the first part of a blob, the last of its list, is what makes it
        # exist, and comes in the same transaction as the others or in a later one.
        batches = _batches([part for blob in blobs for part in blob], weight)
        for number, batch in enumerate(batches):
            request = messages.txn(
                [messages.exists(key) for key, _ in batch],
                failure=[messages.put(key, value) for key, value in batch],
            )
            size = sum(map(weight, batch))
            try:
                self._client.call("Txn", request, deadline, write=True, size=size)
            except Timeout as error:
                if number == 0:
                    raise
                raise StoreUnavailable("time was up when a part of the blobs was put") from error

    def delete(self, name: str, blobs: Sequence[str], deadline: Deadline) -> None:
        """Delete blobs, each as a whole.

        Raises:
            OutcomeUnknown: Some may be gone.
            StoreError: Some may be gone, not all are.
            Timeout: The deadline had passed; none is gone.
        """
        spans = [self._layout.blob(name, blob) for blob in dict.fromkeys(blobs)]
        for number, batch in enumerate(_batches(spans, _span_weight)):
            try:
                self._delete(batch, deadline)
            except Timeout as error:
                if number == 0:
                    raise
                raise StoreUnavailable(
                    "time was up when a part of the blobs was deleted"
                ) from error

    def _delete(self, spans: Sequence[Span], deadline: Deadline) -> None:
        deletions = [messages.delete(span) for span in spans]
        try:
            self._client.call("Txn", messages.txn([], deletions), deadline, write=True)
        except StoreFull:
            # Older versions refuse any transaction when they are full, also one that only makes
            # room: https://github.com/etcd-io/etcd/issues/13429
            for deletion in deletions:
                self._client.call("DeleteRange", deletion, deadline, write=True)

    # --- reading ---

    def get(self, name: str, wanted: Sequence[BlobRange], deadline: Deadline) -> list[bytes | None]:
        """The bytes asked for, in that order; ``None`` for a blob that is not there."""
        heads: list[_Head | None] = []
        for batch in _batches(wanted, lambda _: 0):
            heads += self._heads(name, batch, deadline)
        needed = [
            self._layout.part(name, part.blob, head.size, number)
            for part, head in zip(wanted, heads, strict=True)
            if head is not None
            for number in _parts_of(part, head.size)
            if number
        ]
        parts = self._parts(dict.fromkeys(needed), deadline)
        return [
            None if head is None else self._assemble(name, part, head, parts)
            for part, head in zip(wanted, heads, strict=True)
        ]

    def _heads(
        self, name: str, wanted: Sequence[BlobRange], deadline: Deadline
    ) -> list[_Head | None]:
        request = messages.txn(
            [],
            [
                messages.scan(
                    self._layout.blob(name, part.blob),
                    limit=1,
                    keys_only=part.start >= PART_BYTES or part.length == 0,
                )
                for part in wanted
            ],
        )
        answer = self._client.call("Txn", request, deadline, size=len(wanted) * PART_BYTES)
        found: list[_Head | None] = []
        for each in messages.ranges(answer):
            # Parts without their first one are what was left of a put that never ended.
            whole = [kv for kv in each.kvs if kv.key.count(b"/") == self._depth(name)]
            found.append(_Head(size_of(whole[0].key), whole[0].value) if whole else None)
        return found

    def _depth(self, name: str) -> int:
        return self._layout.blobs(name).start.count(b"/") + 1

    def _parts(self, keys: Iterable[bytes], deadline: Deadline) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for batch in _batches(list(keys), lambda _: 0, most=_PARTS_AN_ANSWER):
            request = messages.txn([], [messages.get(key) for key in batch])
            answer = self._client.call("Txn", request, deadline, size=len(batch) * PART_BYTES)
            for each in messages.ranges(answer):
                found.update((kv.key, kv.value) for kv in each.kvs)
        return found

    def _assemble(
        self, name: str, part: BlobRange, head: _Head, parts: Mapping[bytes, bytes]
    ) -> bytes | None:
        numbers = _parts_of(part, head.size)
        if not numbers:
            return b""
        found = []
        for number in numbers:
            key = self._layout.part(name, part.blob, head.size, number)
            data = parts.get(key) if number else head.first
            if data is None:
                # Deleted between the requests.
                return None
            found.append(data)
        start = part.start - numbers[0] * PART_BYTES
        end = None if part.length is None else start + part.length
        return b"".join(found)[start:end]

    def list(self, name: str, deadline: Deadline) -> Iterator[BlobInfo]:
        """All blobs of a config, sorted; also what was left of a put that never ended, so that
        it can be deleted.
        """
        span = self._layout.blobs(name)
        last = b""
        while True:
            request = messages.scan(span, limit=_LIST_PAGE, keys_only=True)
            answer = self._client.call("Range", request, deadline, size=_LIST_PAGE * 256)
            keys = [kv.key for kv in answer.kvs]
            yield from self._layout.list_blobs(name, keys, last)
            if not answer.more:
                return
            last = keys[-1]
            span = Span(last + b"\0", span.end)


class _Head(NamedTuple):
    """A blob's size, and its first part if that was asked for."""

    size: int
    first: bytes


def _parts_of(part: BlobRange, size: int) -> range:
    """The numbers of the parts that hold these bytes; none where there are no bytes."""
    end = size if part.length is None else min(part.start + part.length, size)
    if part.start >= end:
        return range(0)
    return range(part.start // PART_BYTES, count_parts(end))


def _span_weight(span: Span) -> int:
    return len(span.start) + len(span.end) + _OP_BYTES


def _batches(
    items: Sequence[_Item], weigh: Callable[[_Item], int], most: int = TXN_OPS
) -> Iterator[list[_Item]]:
    """The items, in order, so many at a time that a transaction takes them."""
    batch: list[_Item] = []
    size = 0
    for item in items:
        if batch and (len(batch) >= most or size + weigh(item) > REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weigh(item)
    if batch:
        yield batch
