"""Blobs: a document each, or a document and its chunks.

The table holds, for a config whose name hashes to H and a blob B of it:

* ``H/B``: the blob, whole in ``data``, or, where it is larger than a chunk, its size alone;
* ``H~K~n``: chunk n of it, K being a hash of B.

Ids have at most 127 characters (https://rethinkdb.com/limitations/); H and K are 132 bits of a
SHA-256, so that a config's blobs are one range of the primary key, and no other's.

Only a document changes atomically. So the document of a chunked blob is written first, with the
mark ``partial``, which is taken away behind the last chunk. A blob that has the mark is absent for
readers, but it is listed: what a dead writer left behind can be found and deleted.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from discfg_core.clock import Deadline
from discfg_core.errors import Corrupt, StoreError, StoreUnavailable
from discfg_core.substrate import BlobInfo, BlobRange
from discfg_rethinkdb.errors import SCHEME
from discfg_rethinkdb.tables import Tables
from discfg_rethinkdb.wire import binary, from_binary, r

CHUNK_BYTES: Final = 256 * 1024

# What one query writes or asks for: neither may keep others waiting for long.
_QUERY_BYTES: Final = 1024 * 1024
_QUERY_IDS: Final = 500


class Blobs:
    """The blobs of a store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    # --- writing ---

    def put(self, config: str, blobs: Mapping[str, bytes], deadline: Deadline) -> None:
        """Durable when it returns, each visible as a whole or not at all; repeatable: the server
        acknowledges a write that changes nothing like any other, when all before it are on disk.

        Raises:
            OutcomeUnknown: Some may be there.
            StoreError, Timeout: Some are not there.
        """
        small = [
            _document(config, blob, len(data), data=binary(data))
            for blob, data in blobs.items()
            if len(data) <= CHUNK_BYTES
        ]
        sizes = [len(data) for data in blobs.values() if len(data) <= CHUNK_BYTES]
        for documents in _portions(small, sizes):
            self._insert(documents, deadline)
        for blob, data in blobs.items():
            if len(data) > CHUNK_BYTES:
                self._put_chunked(config, blob, data, deadline)

    def _put_chunked(self, config: str, blob: str, data: bytes, deadline: Deadline) -> None:
        whole = _document(config, blob, len(data))
        place = self._tables.blobs.get(whole["id"])
        # Written late, by a request that was given up, it must not unmake a blob that is whole.
        self._write(
            place.replace(
                lambda old: r.branch(
                    r.and_(old.ne(None), old.has_fields("partial").not_()),
                    old,
                    {**whole, "partial": True},
                ),
                durability="hard",
            ),
            deadline,
        )
        chunks = range(0, len(data), CHUNK_BYTES)
        for numbers in _portions(chunks, [CHUNK_BYTES] * len(chunks)):
            self._insert(
                [
                    {
                        "id": _chunk_id(config, blob, start // CHUNK_BYTES),
                        "data": binary(data[start : start + CHUNK_BYTES]),
                    }
                    for start in numbers
                ],
                deadline,
            )
        answer = self._write(
            place.replace(lambda old: r.branch(old.eq(None), None, whole), durability="hard"),
            deadline,
        )
        if answer["skipped"]:
            raise StoreUnavailable(
                f"blob {blob} of {config!r} was deleted while it was written", engine=SCHEME
            )

    def _insert(self, documents: Sequence[Any], deadline: Deadline) -> None:
        self._write(
            self._tables.blobs.insert(documents, conflict="replace", durability="hard"), deadline
        )

    def _write(self, term: Any, deadline: Deadline) -> dict[str, Any]:
        answer: dict[str, Any] = self._tables.write(term, deadline)
        if answer.get("errors"):
            raise StoreError(
                f"RethinkDB refused a document: {str(answer['first_error'])[:200]}", engine=SCHEME
            )
        return answer

    def delete(self, config: str, blobs: Sequence[str], deadline: Deadline) -> None:
        """They are gone when it returns; absent ones are fine.

        Raises:
            OutcomeUnknown: Some may be gone.
            StoreError, Timeout: None, or some, are gone.
        """
        table = self._tables.blobs
        for names in _slices(list(dict.fromkeys(blobs))):
            ids = [_id(config, blob) for blob in names]
            chunked: list[dict[str, Any]] = self._tables.read(
                table.get_all(*ids).filter(lambda each: each.has_fields("data").not_()),
                deadline,
                absent=[],
            )
            if chunked:
                # First they are absent for readers, then for good; a delete that is cut short
                # leaves their documents, by which the next finds the chunks.
                self._write(
                    table.get_all(*(each["id"] for each in chunked)).update(
                        {"partial": True}, durability="hard"
                    ),
                    deadline,
                )
            for each in chunked:
                count = _chunks(each["size"])
                numbers = _slices(range(count))
                for some in numbers:
                    keys = [_chunk_id(config, _blob(each["id"]), number) for number in some]
                    self._write(table.get_all(*keys).delete(durability="hard"), deadline)
            self._write(table.get_all(*ids).delete(durability="hard"), deadline)

    # --- reading ---

    def get(
        self, config: str, wanted: Sequence[BlobRange], deadline: Deadline
    ) -> list[bytes | None]:
        """The bytes asked for, in that order; ``None`` for a blob that does not exist.

        Raises:
            StoreError: They cannot be read now.
            Corrupt: A document is not what it must be.
        """
        documents = self._documents(
            [_id(config, blob) for blob in dict.fromkeys(part.blob for part in wanted)], deadline
        )
        found: list[bytes | None] = []
        for part in wanted:
            document = documents.get(_id(config, part.blob))
            if document is None or document.get("partial"):
                found.append(None)
            elif "data" in document:
                found.append(_cut(_data(document), part))
            else:
                found.append(self._chunked(config, part, document["size"], deadline))
        return found

    def _chunked(self, config: str, part: BlobRange, size: int, deadline: Deadline) -> bytes | None:
        start = min(part.start, size)
        end = size if part.length is None else min(start + part.length, size)
        numbers = range(start // CHUNK_BYTES, _chunks(end)) if start < end else range(0)
        ids = [_chunk_id(config, part.blob, number) for number in numbers]
        documents: dict[str, Any] = {}
        for some in _slices(ids, _QUERY_BYTES // CHUNK_BYTES):
            documents.update(self._documents(some, deadline))
        if len(documents) < len(ids):
            return None  # it was just deleted
        data = b"".join(_data(documents[each]) for each in ids)
        first = numbers.start * CHUNK_BYTES
        return data[start - first : end - first]

    def _documents(self, ids: Sequence[str], deadline: Deadline) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for some in _slices(ids):
            rows = self._tables.read(self._tables.blobs.get_all(*some), deadline, absent=[])
            found.update((row["id"], row) for row in rows)
        return found

    def list(self, config: str, deadline: Deadline) -> Iterator[BlobInfo]:
        """Every blob of a config, with those that were never written to the end.

        The server reads the blobs that have no chunks, but sends only their names and sizes.

        Raises:
            StoreError: They cannot be read now.
        """
        prefix = _hash(config)
        # "0" is the character behind "/".
        rows = self._tables.read(
            self._tables.blobs.between(f"{prefix}/", f"{prefix}0").pluck("id", "size"),
            deadline,
            absent=[],
        )
        for row in rows:
            yield BlobInfo(_blob(row["id"]), int(row["size"]))


def _document(config: str, blob: str, size: int, **data: Any) -> dict[str, Any]:
    # `config` is for people who look into the table.
    return {"id": _id(config, blob), "config": config, "size": size, **data}


def _hash(name: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).decode()[:22]


def _id(config: str, blob: str) -> str:
    return f"{_hash(config)}/{blob}"


def _blob(key: str) -> str:
    return key.partition("/")[2]


def _chunk_id(config: str, blob: str, number: int) -> str:
    return f"{_hash(config)}~{_hash(blob)}~{number:06}"


def _chunks(size: int) -> int:
    return -(-int(size) // CHUNK_BYTES)


def _data(document: dict[str, Any]) -> bytes:
    try:
        return from_binary(document["data"])
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"document {document['id']} of the blobs holds no bytes") from error


def _cut(data: bytes, part: BlobRange) -> bytes:
    return data[part.start :] if part.length is None else data[part.start :][: part.length]


def _slices(items: Sequence[Any], most: int = _QUERY_IDS) -> Iterator[Sequence[Any]]:
    return (items[start : start + most] for start in range(0, len(items), most))


def _portions(items: Iterable[Any], sizes: Iterable[int]) -> Iterator[list[Any]]:
    """The items, in portions that a query may hold."""
    portion: list[Any] = []
    held = 0
    for item, size in zip(items, sizes, strict=True):
        if portion and (held + size > _QUERY_BYTES or len(portion) >= _QUERY_IDS):
            yield portion
            portion, held = [], 0
        portion.append(item)
        held += size
    if portion:
        yield portion
