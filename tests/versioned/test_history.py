"""The forest of segments, for many lengths and fan-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.versioned.blobs import Blobs, make_ref
from discfg_core.versioned.format import HistoryRef
from discfg_core.versioned.history import History, Levels, append

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discfg_core.versioned.format import BlobRef

INCARNATION = bytes(16)


class Forest:
    """A history of segments of 1, 2, 3, 1, 2, 3, … revisions; the segments themselves are absent."""

    def __init__(self, fan_out: int) -> None:
        self.substrate = MemorySubstrate()
        self.blobs = Blobs(self.substrate, "c", INCARNATION, 1)
        self.levels: Levels = []
        self.fan_out = fan_out
        self.segments: list[HistoryRef] = []
        self.last = 0

    def grow(self) -> None:
        size = len(self.segments) % 3 + 1
        segment = HistoryRef(self.last + 1, self.last + size, make_ref(b"", 0))
        self.last += size
        before = [list(level) for level in self.levels]
        levels, written = append(self.levels, segment, fan_out=self.fan_out, generation=0)
        assert self.levels == before, "the old head's lists are still in use"
        for ref, data in written:
            self.substrate.put_blob(
                "c", self.blobs.name(ref.blob), data, deadline=Deadline.after(9)
            )
        self.levels = levels
        self.segments.append(segment)

    def history(self) -> History:
        return History(self.levels, self.blobs, Deadline.after(9))


@pytest.mark.parametrize("fan_out", [2, 3, 4, 7, 64])
def test_segments_are_all_found_in_order(fan_out: int) -> None:
    forest = Forest(fan_out)
    for _ in range(200):
        forest.grow()
        assert forest.levels[0][-1].last == forest.last
        assert all(len(level) <= fan_out for level in forest.levels)
        if len(forest.segments) % 67 in {0, 1}:
            history = forest.history()
            assert list(history.segments(1, forest.last)) == forest.segments
            assert list(history.segments_back(forest.last)) == forest.segments[::-1]
    history, last = forest.history(), forest.last
    for first in range(1, last + 1, 13):
        for end in (first, first + 1, first + 30, last):
            wanted = [s for s in forest.segments if s.last >= first and s.first <= end]
            assert list(history.segments(first, end)) == wanted
        assert list(history.segments_back(first)) == [
            s for s in forest.segments[::-1] if s.first <= first
        ]


@pytest.mark.parametrize("fan_out", [4, 8, 64])
def test_levels_grow_with_the_logarithm(fan_out: int) -> None:
    forest = Forest(fan_out)
    depth, capacity = 1, fan_out
    for count in range(1, 3000):
        forest.grow()
        while count > capacity:
            depth += 1
            capacity += fan_out**depth
        assert len(forest.levels) <= depth + 1


class Counted(Blobs):
    """Blobs that count requests; each of one blob, for nothing is cached yet."""

    requests = 0

    def fetch(self, refs: Sequence[BlobRef], deadline: Deadline) -> list[bytes]:
        self.requests += 1
        return super().fetch(refs, deadline)


@pytest.mark.parametrize("fan_out", [4, 64])
def test_one_revision_is_found_in_few_requests(fan_out: int) -> None:
    forest = Forest(fan_out)
    for _ in range(1000):
        forest.grow()
    for revision in (1, 2, 777, forest.last // 2, forest.last):
        blobs = Counted(forest.substrate, "c", INCARNATION, 1)
        history = History(forest.levels, blobs, Deadline.after(9))
        found = next(history.segments_back(revision))
        assert found.first <= revision <= found.last
        assert blobs.requests <= len(forest.levels) + 1
