"""History: append-only segments of commits under a forest of indexes.

The head refers to a few levels, each a short list of references: level 0 to the newest segments,
level n to indexes that hold references of level n - 1. A full level becomes one index on the
level above, so that the head grows with the logarithm of the history, nothing is ever rewritten,
and one revision is found in as many small requests as there are levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from discfg_core.clock import Deadline
from discfg_core.model import Commit
from discfg_core.versioned.blobs import Blobs, make_ref
from discfg_core.versioned.format import (
    HistoryRef,
    Record,
    SegmentItem,
    decode_index,
    decode_ops,
    decode_record,
    decode_segment,
    encode,
    entry_of,
)
from discfg_core.versioned.replay import changes_of, commit_of, replaced


class Resolved(msgspec.Struct, frozen=True):
    """A commit with the bytes of its record, which are kept as they are."""

    raw: bytes
    commit: Commit


def resolve(item: SegmentItem, blobs: Blobs, deadline: Deadline) -> Resolved:
    """A commit of a segment.

    Raises:
        BlobMissing, Corrupt, StoreError: Its payload cannot be had.
    """
    record = decode_record(item.record)
    base = replaced(item.replaced, blobs.large)
    changes = changes_of(
        base,
        decode_ops(payload_of(record, blobs, deadline)),
        revision=record.revision,
        time_ns=record.time,
        large=blobs.large,
    )
    return Resolved(item.record, commit_of(record, changes))


def payload_of(record: Record, blobs: Blobs, deadline: Deadline) -> bytes:
    """The encoded operations of a record, wherever they lie."""
    if record.payload is None:
        return record.ops
    return blobs.fetch([record.payload], deadline)[0]


def segment_of(commits: Sequence[Resolved]) -> bytes:
    """A segment of these commits."""
    return encode(
        [
            SegmentItem(
                resolved.raw,
                [
                    entry_of(change.prev_node)
                    for change in resolved.commit.changes
                    if change.prev_node is not None
                ],
            )
            for resolved in commits
        ]
    )


Levels = list[list[HistoryRef]]


def append(
    levels: Levels, segment: HistoryRef, *, fan_out: int, generation: int
) -> tuple[Levels, list[tuple[HistoryRef, bytes]]]:
    """The levels with one more segment, and the indexes that have to be written for it."""
    levels = [list(level) for level in levels] or [[]]
    written = []
    carried: HistoryRef | None = segment
    depth = 0
    while carried is not None:
        if depth == len(levels):
            levels.append([])
        levels[depth].append(carried)
        carried = None
        if len(levels[depth]) > fan_out:
            # The newest stays, so that every level in use has one and the last revision can be
            # told from the head alone.
            full, levels[depth] = levels[depth][:-1], levels[depth][-1:]
            data = encode(full)
            carried = HistoryRef(full[0].first, full[-1].last, make_ref(data, generation))
            written.append((carried, data))
        depth += 1
    return levels, written


class History:
    """The history below one head."""

    def __init__(self, levels: Levels, blobs: Blobs, deadline: Deadline) -> None:
        self._levels = levels
        self._blobs = blobs
        self._deadline = deadline

    def segments(self, first: int, last: int) -> Iterator[HistoryRef]:
        """The segments that hold revisions `first` to `last`, oldest first."""
        for depth in range(len(self._levels) - 1, -1, -1):
            yield from self._below(self._levels[depth], depth, first, last)

    def segments_back(self, last: int) -> Iterator[HistoryRef]:
        """The segments that hold revisions up to `last`, newest first."""
        for depth, level in enumerate(self._levels):
            yield from self._below_back(level, depth, last)

    def _below(
        self, refs: list[HistoryRef], depth: int, first: int, last: int
    ) -> Iterator[HistoryRef]:
        for ref in refs:
            if ref.last < first or ref.first > last:
                continue
            if depth == 0:
                yield ref
            else:
                yield from self._below(self._index(ref), depth - 1, first, last)

    def _below_back(self, refs: list[HistoryRef], depth: int, last: int) -> Iterator[HistoryRef]:
        for ref in reversed(refs):
            if ref.first > last:
                continue
            if depth == 0:
                yield ref
            else:
                yield from self._below_back(self._index(ref), depth - 1, last)

    def _index(self, ref: HistoryRef) -> list[HistoryRef]:
        return decode_index(self._blobs.fetch([ref.blob], self._deadline)[0])

    def after(self, revision: int, last: int) -> Iterator[Resolved]:
        """The commits behind `revision` up to `last`, oldest first, fetched a few segments at
        a time.
        """
        refs = list(self.segments(revision + 1, last))
        for start in range(0, len(refs), 32):
            chunk = refs[start : start + 32]
            segments = self._blobs.fetch([ref.blob for ref in chunk], self._deadline)
            for ref, data in zip(chunk, segments, strict=True):
                for offset, item in enumerate(decode_segment(data)):
                    if revision < ref.first + offset <= last:
                        yield resolve(item, self._blobs, self._deadline)

    def items_back(self, last: int) -> Iterator[SegmentItem]:
        """The stored commits up to `last`, newest first."""
        for ref in self.segments_back(last):
            items = decode_segment(self._blobs.fetch([ref.blob], self._deadline)[0])
            for offset in range(len(items) - 1, -1, -1):
                if ref.first + offset <= last:
                    yield items[offset]

    def back_from(self, last: int) -> Iterator[Resolved]:
        """The commits up to `last`, newest first."""
        for item in self.items_back(last):
            yield resolve(item, self._blobs, self._deadline)
