"""A config as an earlier revision left it, worked out from the latest state and the history."""

from __future__ import annotations

from discfg_core.clock import Deadline
from discfg_core.errors import RevisionNotFound
from discfg_core.model import Node
from discfg_core.versioned.snapshot import Snapshot
from discfg_core.versioned.state import StateView


def state_at(snapshot: Snapshot, revision: int, deadline: Deadline) -> StateView:
    """The keys at a revision of the snapshot's past; 0 is the empty config.

    The commits since are taken back, newest first: each tells the very nodes it replaced.

    Raises:
        RevisionNotFound: The snapshot has not come to that revision.
        BlobMissing, Corrupt, StoreError: The commits since cannot be read.
    """
    if revision > snapshot.revision:
        raise RevisionNotFound(
            f"revision {revision} is not there yet: the config is at {snapshot.revision}"
        )
    before: dict[str, Node | None] = {}
    for resolved in snapshot.commits_back(None, deadline):
        if resolved.commit.revision <= revision:
            break
        for change in resolved.commit.changes:
            before[change.key] = change.prev_node
    return StateView(revision, snapshot.incarnation, snapshot.state.updated(before))


def revision_at(snapshot: Snapshot, time_ns: int, deadline: Deadline) -> int:
    """The last revision of that time or before; 0 where there is none.

    Raises:
        BlobMissing, Corrupt, StoreError: The history cannot be read.
    """
    # Each commit is later than the one before, so halving the revisions halves the times.
    low, high = 0, snapshot.revision
    while low < high:
        middle = (low + high + 1) // 2
        record = next(snapshot.records_back(middle + 1, deadline))
        low, high = (middle, high) if record.time <= time_ns else (low, middle - 1)
    return low
