"""Which commit ids were used, and by which commit."""

from __future__ import annotations

import time

from discfg_core import commit_ids
from discfg_core.clock import NANOSECONDS, Deadline
from discfg_core.errors import CommitIdExpired
from discfg_core.versioned.history import Resolved
from discfg_core.versioned.snapshot import Snapshot

WINDOW_COMMITS = 1024
WINDOW_NS = 24 * 3600 * NANOSECONDS
_KEPT = 64 * WINDOW_COMMITS

Id = tuple[str, str]
"""The actor and the id: one actor's ids are no other's."""


class Ids:
    """The ids of a contiguous range of revisions; for one thread at a time."""

    def __init__(self) -> None:
        self._incarnation = b""
        # The revisions (low, high] are known.
        self._low = self._high = 0
        self._revisions: dict[Id, int] = {}

    def find(
        self, snapshot: Snapshot, actor: str, commit_id: str, deadline: Deadline
    ) -> Resolved | None:
        """The commit that an actor made with an id of its own; ``None`` if there is none.

        Raises:
            CommitIdExpired: The id is too old to tell.
            StoreError: The history cannot be read.
        """
        placed = commit_ids.parse(commit_id)
        if placed is not None and placed.incarnation != snapshot.incarnation:
            raise CommitIdExpired(f"commit id {commit_id} was made for another incarnation")
        self._catch_up(snapshot, deadline)
        floor = 0 if placed is None else min(placed.revision, snapshot.revision)
        self._reach_back(snapshot, floor, deadline)
        for wanted in spellings(commit_id):
            revision = self._revisions.get((actor, wanted))
            if revision is not None:
                return snapshot.commit_at(revision, deadline)
        if placed is not None and floor < self._low:
            raise CommitIdExpired(f"commit id {commit_id} is older than what is remembered")
        return None

    def _catch_up(self, snapshot: Snapshot, deadline: Deadline) -> None:
        revision = snapshot.revision
        known = self._incarnation == snapshot.head.incarnation and self._high <= revision
        if not known or revision - self._high > WINDOW_COMMITS or len(self._revisions) > _KEPT:
            self._incarnation = snapshot.head.incarnation
            self._low = self._high = revision
            self._revisions = {}
        for resolved in snapshot.commits_after(self._high, deadline):
            self._note(resolved)
            self._high = resolved.commit.revision

    def _reach_back(self, snapshot: Snapshot, floor: int, deadline: Deadline) -> None:
        if self._low <= floor:
            return
        enough = snapshot.revision - WINDOW_COMMITS
        horizon = time.time_ns() - WINDOW_NS
        for resolved in snapshot.commits_back(self._low + 1, deadline):
            commit = resolved.commit
            if commit.revision <= floor or (commit.revision <= enough and commit.time_ns < horizon):
                break
            self._note(resolved)
            self._low = commit.revision - 1

    def _note(self, resolved: Resolved) -> None:
        commit = resolved.commit
        self._revisions.setdefault((commit.actor, commit.id), commit.revision)


def spellings(commit_id: str) -> tuple[str, ...]:
    """What a commit that is asked for by an id may have as its own.

    `OutcomeUnknown` names a commit that has a random id by a placed one with the same random
    part.
    """
    if commit_ids.parse(commit_id) is None:
        return (commit_id,)
    return (commit_id, commit_id.rpartition(".")[2])


def find_any(snapshot: Snapshot, commit_id: str, deadline: Deadline) -> Resolved | None:
    """The commit of an id, whoever made it, from the whole history; ``None`` if there is none.

    Raises:
        CommitIdExpired: The id belongs to another incarnation.
        StoreError: The history cannot be read.
    """
    placed = commit_ids.parse(commit_id)
    if placed is not None and placed.incarnation != snapshot.incarnation:
        raise CommitIdExpired(f"commit id {commit_id} was made for another incarnation")
    wanted = spellings(commit_id)
    floor = 0 if placed is None else placed.revision
    for resolved in snapshot.commits_back(None, deadline):
        if resolved.commit.revision <= floor:
            break
        if resolved.commit.id in wanted:
            return resolved
    return None
