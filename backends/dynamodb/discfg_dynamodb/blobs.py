"""Blobs in items: a small one is an item, a larger one pieces and an item that says so.

The pieces are written before the item that makes them a blob, and deleted before it is: what
lists a blob can delete it whole. Of a put that died half-way the pieces stay, seen by nobody,
until the same blob is put, and deleted, again, or the table is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from discfg_core.backoff import Backoff
from discfg_core.clock import Deadline
from discfg_core.errors import Corrupt, StoreBusy, StoreUnavailable, Timeout
from discfg_core.substrate import BlobInfo, BlobRange
from discfg_dynamodb.client import Client
from discfg_dynamodb.items import (
    BLOB,
    KEY,
    Item,
    bytes_of,
    key_of_blob,
    key_of_piece,
    number_of,
)

# Less than a third of what an item may have. A smaller piece would make a part of a blob cheaper
# to read, for a whole item is what one pays for, and a whole blob take more requests.
PIECE_BYTES: Final = 128 * 1024

# DynamoDB takes 25 items, and 16 MB, in a batch of writes, and gives 100, and 16 MB, in one of
# reads; what does not fit into 16 MB is told as not processed.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
_WRITTEN_AT_ONCE: Final = 25
_READ_AT_ONCE: Final = 100

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0

_T = TypeVar("_T")


class _Entry(msgspec.Struct, frozen=True):
    """A blob as its own item has it: `data`, or pieces of `piece_bytes`."""

    size: int
    data: bytes | None
    piece_bytes: int

    def pieces(self, start: int = 0, end: int | None = None) -> range:
        """The numbers of the pieces that hold a part of it."""
        end = self.size if end is None else end
        if self.data is not None or start >= end:
            return range(0)
        return range(start // self.piece_bytes, -(-end // self.piece_bytes))


class Blobs:
    """The blobs of one store, by the tables they are in."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def put(self, table: str, blobs: Mapping[str, bytes], deadline: Deadline) -> None:
        """They are durable when it returns, each visible as a whole or not at all.

        Raises:
            TableMissing: There is no such table.
            OutcomeUnknown, StoreError: Some may be there.
        """
        pieces = (piece for blob, data in blobs.items() for piece in _pieces(blob, data))
        self._write(table, pieces, deadline)
        self._write(table, (_entry(blob, data) for blob, data in blobs.items()), deadline)

    def get(
        self, table: str, wanted: Sequence[BlobRange], deadline: Deadline
    ) -> list[bytes | None]:
        """The bytes asked for, in that order; ``None`` for a blob that does not exist.

        Raises:
            TableMissing: There is no such table.
            StoreError: They cannot be read now.
        """
        entries = self._entries(table, {part.blob for part in wanted}, deadline)
        keys = {
            key_of_piece(part.blob, entry.piece_bytes, number)
            for part in wanted
            if (entry := entries.get(part.blob)) is not None
            for number in entry.pieces(*_bounds(part, entry.size))
        }
        pieces = self._read(table, keys, deadline)
        return [_cut(part, entries.get(part.blob), pieces) for part in wanted]

    def delete(self, table: str, blobs: Sequence[str], deadline: Deadline) -> None:
        """They are gone when it returns; absent ones are fine.

        Raises:
            TableMissing: There is no such table.
            OutcomeUnknown, StoreError: Some may be gone.
        """
        names = dict.fromkeys(blobs)
        entries = self._entries(table, names, deadline, columns="#size, piece")
        pieces = (
            key_of_piece(blob, entry.piece_bytes, number)
            for blob, entry in entries.items()
            for number in entry.pieces()
        )
        self._write(table, map(_deletion, pieces), deadline)
        self._write(table, (_deletion(key_of_blob(blob)) for blob in names), deadline)

    def listed(self, table: str, deadline: Deadline) -> Iterator[BlobInfo]:
        """All blobs, in pages; each item of the table is read for it.

        Raises:
            TableMissing: There is no such table.
            StoreError: Now, or while iterating.
        """
        parameters: dict[str, Any] = {
            "TableName": table,
            "ConsistentRead": True,
            "FilterExpression": f"begins_with({KEY}, :blob)",
            "ExpressionAttributeValues": {":blob": {"S": BLOB}},
            "ProjectionExpression": f"{KEY}, #size",
            "ExpressionAttributeNames": {"#size": "size"},
        }
        while True:
            answer = self._client.ask("scan", parameters, deadline=deadline)
            for item in answer.get("Items", ()):
                yield BlobInfo(item[KEY]["S"].removeprefix(BLOB), number_of(item, "size") or 0)
            if not answer.get("LastEvaluatedKey"):
                return
            parameters["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    # --- batches ---

    def _entries(
        self,
        table: str,
        blobs: Iterable[str],
        deadline: Deadline,
        columns: str | None = None,
    ) -> dict[str, _Entry]:
        items = self._read(table, map(key_of_blob, blobs), deadline, columns)
        return {key.removeprefix(BLOB): _as_entry(key, item) for key, item in items.items()}

    def _read(
        self, table: str, keys: Iterable[str], deadline: Deadline, columns: str | None = None
    ) -> dict[str, Item]:
        """The items that there are of these keys."""
        found: dict[str, Item] = {}
        for batch in _batches(keys, _READ_AT_ONCE):
            request: dict[str, Any] = {
                "Keys": [{KEY: {"S": key}} for key in batch],
                "ConsistentRead": True,
            }
            if columns is not None:
                request["ProjectionExpression"] = f"{KEY}, {columns}"
                request["ExpressionAttributeNames"] = {"#size": "size"}
            backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
            while True:
                answer = self._client.ask(
                    "batch_get_item", {"RequestItems": {table: request}}, deadline=deadline
                )
                items = answer.get("Responses", {}).get(table, ())
                found.update({item[KEY]["S"]: item for item in items})
                left = answer.get("UnprocessedKeys", {}).get(table)
                if not left:
                    break
                request = left
                # Some came, so that the answer was full, and nobody is in the way.
                if not items:
                    _pause(backoff, deadline)
        return found

    def _write(self, table: str, requests: Iterable[dict[str, Any]], deadline: Deadline) -> None:
        try:
            for batch in _batches(requests, _WRITTEN_AT_ONCE):
                self._write_batch(table, batch, deadline)
        except Timeout as late:
            # Which would say that nothing happened.
            raise StoreUnavailable("time was up before all items were written") from late

    def _write_batch(self, table: str, batch: list[dict[str, Any]], deadline: Deadline) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while batch:
            try:
                answer = self._client.call(
                    "batch_write_item",
                    {"RequestItems": {table: batch}},
                    deadline=deadline,
                    writes=True,
                )
            except StoreBusy as busy:
                # None of this batch; and what batches before it wrote is not written again.
                if not busy.retryable:
                    raise
                _pause(backoff, deadline, busy)
                continue
            batch = answer.get("UnprocessedItems", {}).get(table, [])
            if batch:
                _pause(backoff, deadline)


def _pause(backoff: Backoff, deadline: Deadline, cause: StoreBusy | None = None) -> None:
    backoff.pause(deadline)
    if deadline.passed():
        raise StoreBusy(
            "not all items were taken in time",
            hint="the table gets more requests than its capacity takes; try again, or raise it",
        ) from cause


def _batches(of: Iterable[_T], size: int) -> Iterator[list[_T]]:
    batch: list[_T] = []
    for each in of:
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


# --- items ------------------------------------------------------------------------------------


def _put(item: dict[str, Any]) -> dict[str, Any]:
    return {"PutRequest": {"Item": item}}


def _deletion(key: str) -> dict[str, Any]:
    return {"DeleteRequest": {"Key": {KEY: {"S": key}}}}


def _entry(blob: str, data: bytes) -> dict[str, Any]:
    item: dict[str, Any] = {KEY: {"S": key_of_blob(blob)}, "size": {"N": str(len(data))}}
    if len(data) <= PIECE_BYTES:
        item["data"] = {"B": bytes(data)}
    else:
        item["piece"] = {"N": str(PIECE_BYTES)}
    return _put(item)


def _pieces(blob: str, data: bytes) -> Iterator[dict[str, Any]]:
    if len(data) <= PIECE_BYTES:
        return
    for start in range(0, len(data), PIECE_BYTES):
        key = key_of_piece(blob, PIECE_BYTES, start // PIECE_BYTES)
        yield _put({KEY: {"S": key}, "data": {"B": bytes(data[start : start + PIECE_BYTES])}})


def _as_entry(key: str, item: Item) -> _Entry:
    size, piece = number_of(item, "size"), number_of(item, "piece")
    if size is None or (piece is not None and piece < 1):
        raise Corrupt(f"item {key!r} is no blob's")
    # Of a small blob whose data were not asked for there are no pieces either.
    data = None if piece is not None else bytes_of(item, "data") or b""
    return _Entry(size, data, piece or 0)


def _bounds(part: BlobRange, size: int) -> tuple[int, int]:
    end = size if part.length is None else min(part.start + part.length, size)
    return part.start, end


def _cut(part: BlobRange, entry: _Entry | None, pieces: Mapping[str, Item]) -> bytes | None:
    if entry is None:
        return None
    start, end = _bounds(part, entry.size)
    if entry.data is not None:
        return entry.data[start:end]
    parts = []
    numbers = entry.pieces(start, end)
    for number in numbers:
        item = pieces.get(key_of_piece(part.blob, entry.piece_bytes, number))
        if item is None:
            # It is just being deleted, and these went first.
            return None
        parts.append(bytes_of(item, "data") or b"")
    offset = numbers.start * entry.piece_bytes if numbers else start
    return b"".join(parts)[start - offset : end - offset]
