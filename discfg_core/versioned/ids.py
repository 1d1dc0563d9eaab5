"""Which commit ids were used, and by which commit.

An id that knows its place (`discfg_core.commit_ids`) is looked for among the commits behind that
place, and refused as expired where that is further back than the window. One of the caller's own
design does not tell its age, and a write must never happen twice: it is looked for in the whole
history, once in the life of a process, and remembered from then on.
"""

from __future__ import annotations

import time

from discfg_core import commit_ids
from discfg_core.clock import NANOSECONDS, Deadline
from discfg_core.errors import CommitIdExpired
from discfg_core.versioned.format import Record
from discfg_core.versioned.history import Resolved
from discfg_core.versioned.snapshot import Snapshot

WINDOW_COMMITS = 1024
WINDOW_NS = 24 * 3600 * NANOSECONDS
_KEPT = 64 * WINDOW_COMMITS

Id = tuple[str, str]
"""The actor and the id: one actor's ids are no other's."""


class Ids:
    """The ids of the latest commits; for one thread at a time."""

    def __init__(self) -> None:
        self._incarnation = b""
        self._high = 0
        # All ids of the revisions (low, high], and the callers' own of (own_low, high].
        self._low = self._own_low = 0
        self._revisions: dict[Id, int] = {}
        self._own: dict[Id, int] = {}

    def find(
        self, snapshot: Snapshot, actor: str, commit_id: str, deadline: Deadline
    ) -> Resolved | None:
        """The commit that an actor made with an id; ``None`` if there is none.

        Raises:
            CommitIdExpired: The id is too old to tell.
            StoreError: The history cannot be read.
        """
        placed = commit_ids.parse(commit_id)
        if placed is not None and placed.incarnation != snapshot.incarnation:
            raise CommitIdExpired(f"commit id {commit_id} was made for another incarnation")
        self._catch_up(snapshot, deadline)
        if placed is None or placed.revision > snapshot.revision:
            # One that was made to look placed tells its age no better.
            self._reach_own(snapshot, deadline)
            revision = self._own.get((actor, commit_id))
            return None if revision is None else snapshot.commit_at(revision, deadline)
        floor = placed.revision
        self._reach_back(snapshot, floor, deadline)
        for wanted in spellings(commit_id):
            revision = self._revisions.get((actor, wanted))
            if revision is not None:
                return snapshot.commit_at(revision, deadline)
        if floor < self._low:
            raise CommitIdExpired(f"commit id {commit_id} is older than what is remembered")
        return None

    def _catch_up(self, snapshot: Snapshot, deadline: Deadline) -> None:
        """Know the newest commits; forget all, where too many came since."""
        high = snapshot.revision
        known = self._incarnation == snapshot.head.incarnation and self._high <= high
        if not known:
            self._incarnation = snapshot.head.incarnation
            self._own_low = self._high = high
            self._own = {}
        if not known or high - self._high > WINDOW_COMMITS or len(self._revisions) > _KEPT:
            self._low = high
            self._revisions = {}
        for record in snapshot.records_back(None, deadline):
            if record.revision <= self._high:
                break
            self._note(record)
        self._high = high

    def _reach_back(self, snapshot: Snapshot, floor: int, deadline: Deadline) -> None:
        if self._low <= floor:
            return
        enough = snapshot.revision - WINDOW_COMMITS
        horizon = time.time_ns() - WINDOW_NS
        for record in snapshot.records_back(self._low + 1, deadline):
            if record.revision <= floor or (record.revision <= enough and record.time < horizon):
                break
            self._note(record)
            self._low = record.revision - 1

    def _reach_own(self, snapshot: Snapshot, deadline: Deadline) -> None:
        if self._own_low == 0:
            return
        for record in snapshot.records_back(self._own_low + 1, deadline):
            if record.own is not None:
                self._own.setdefault((record.actor, record.own), record.revision)
            self._own_low = record.revision - 1

    def _note(self, record: Record) -> None:
        self._revisions.setdefault((record.actor, record.shown_id), record.revision)
        if record.own is not None:
            self._own.setdefault((record.actor, record.own), record.revision)


def spellings(commit_id: str) -> tuple[str, ...]:
    """What a commit that is asked for by an id may have as its own.

    `OutcomeUnknown` names a commit that has a random id by a placed one with the same random
    part.
    """
    if commit_ids.parse(commit_id) is None:
        return (commit_id,)
    return (commit_id, commit_id.rpartition(".")[2])


def find_any(
    snapshot: Snapshot, commit_id: str, deadline: Deadline, *, searched: int = 0
) -> Resolved | None:
    """The commit of an id, whoever made it, from the whole history; ``None`` if there is none.

    Args:
        snapshot: Whose history.
        commit_id: The id.
        deadline: The end of it.
        searched: A revision of the same incarnation up to which it was searched for in vain.

    Raises:
        CommitIdExpired: The id belongs to another incarnation.
        StoreError: The history cannot be read.
    """
    placed = commit_ids.parse(commit_id)
    if placed is not None and placed.incarnation != snapshot.incarnation:
        raise CommitIdExpired(f"commit id {commit_id} was made for another incarnation")
    wanted = spellings(commit_id)
    floor = 0 if placed is None or placed.revision > snapshot.revision else placed.revision
    floor = max(floor, searched)
    for record in snapshot.records_back(None, deadline):
        if record.revision <= floor:
            break
        if record.shown_id in wanted:
            return snapshot.commit_at(record.revision, deadline)
    return None
