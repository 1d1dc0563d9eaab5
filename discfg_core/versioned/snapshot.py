"""A config at one revision, as one process knows it, and how it is made from a register.

A snapshot is immutable. A new one is built on the one before wherever that can be: only the
commits since are fetched and carried out.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from discfg_core.clock import Deadline
from discfg_core.errors import ConfigNotFound, Corrupt
from discfg_core.substrate import Token
from discfg_core.versioned.blobs import Blobs
from discfg_core.versioned.format import (
    BlobRef,
    Head,
    Record,
    Unknown,
    decode_entries,
    decode_ops,
    decode_record,
    split_records,
)
from discfg_core.versioned.history import History, Resolved, payload_of
from discfg_core.versioned.replay import changes_of, commit_of, effect, node_of
from discfg_core.versioned.state import State, StateView

_CATCH_UP_COMMITS = 10_000
"""Further behind than this, the stored state is loaded instead of every commit since."""


class Snapshot(StateView):
    """A config at one revision.

    Attributes:
        head: What the register holds.
        unknown: Its fields that this version does not know.
        token: The register's token.
        state: The nodes. Of a deleted config too, as they were.
        recent: The commits that the history does not hold yet, oldest first.
        blobs: Where the rest is.
    """

    __slots__ = ("blobs", "head", "recent", "token", "unknown")

    def __init__(
        self,
        head: Head,
        unknown: Unknown,
        token: Token,
        *,
        state: State,
        recent: tuple[Resolved, ...],
        blobs: Blobs,
    ) -> None:
        super().__init__(head.revision, head.incarnation.hex(), state)
        self.head = head
        self.unknown = unknown
        self.token = token
        self.recent = recent
        self.blobs = blobs

    # --- history ---

    def commits_after(self, revision: int, deadline: Deadline) -> Iterator[Resolved]:
        """The commits behind a revision, oldest first."""
        flushed = self.head.flushed
        if revision < flushed:
            yield from History(self.head.history, self.blobs, deadline).after(revision, flushed)
        for resolved in self.recent:
            if resolved.commit.revision > revision:
                yield resolved

    def commits_back(self, before: int | None, deadline: Deadline) -> Iterator[Resolved]:
        """The commits before a revision (``None``: all), newest first."""
        last = self.head.revision if before is None else before - 1
        for resolved in reversed(self.recent):
            if resolved.commit.revision <= last:
                yield resolved
        last = min(last, self.head.flushed)
        if last > 0:
            yield from History(self.head.history, self.blobs, deadline).back_from(last)

    def records_back(self, before: int | None, deadline: Deadline) -> Iterator[Record]:
        """The records of the commits before a revision (``None``: all), newest first.

        What they did is not worked out: for looking through many of them.
        """
        last = self.head.revision if before is None else before - 1
        for resolved in reversed(self.recent):
            if resolved.commit.revision <= last:
                yield decode_record(resolved.raw)
        last = min(last, self.head.flushed)
        if last > 0:
            for item in History(self.head.history, self.blobs, deadline).items_back(last):
                yield decode_record(item.record)

    def commit_at(self, revision: int, deadline: Deadline) -> Resolved | None:
        """The commit of a revision; ``None`` where there is none yet."""
        if not 0 < revision <= self.head.revision:
            return None
        return next(self.commits_back(revision + 1, deadline), None)


def load(
    head: Head,
    unknown: Unknown,
    token: Token,
    *,
    blobs: Blobs,
    known: Snapshot | None,
    deadline: Deadline,
) -> Snapshot:
    """The snapshot of a head.

    Args:
        head: What was read.
        unknown: Its unknown fields.
        token: The register's token.
        blobs: Those of the head's incarnation.
        known: An earlier snapshot of the same incarnation, to build on.
        deadline: The end of it.

    Raises:
        BlobMissing: The head is out of date, or the config damaged.
        Corrupt: Its parts do not fit together.
        StoreError: They cannot be read now.
    """
    recent: tuple[Resolved, ...] = ()
    if known is None or head.revision - known.revision > _CATCH_UP_COMMITS:
        state, at = _stored_state(head, blobs, deadline), head.state.revision
    else:
        state, at, recent = known.state, known.revision, known.recent
    flushed = head.flushed
    fresh: list[Resolved] = []
    if at < flushed:
        for resolved in History(head.history, blobs, deadline).after(at, flushed):
            state, at = _step(state, at, resolved)
    for raw in _tail_records(head, at, blobs, deadline):
        record = decode_record(raw)
        if record.revision <= at:
            continue
        changes = changes_of(
            state,
            decode_ops(payload_of(record, blobs, deadline)),
            revision=record.revision,
            time_ns=record.time,
            large=blobs.large,
        )
        resolved = Resolved(bytes(raw), commit_of(record, changes))
        state, at = _step(state, at, resolved)
        fresh.append(resolved)
    if at != head.revision or len(state) != head.keys:
        raise Corrupt(
            f"the parts of the config give revision {at} with {len(state)} keys; "
            f"its head says revision {head.revision} with {head.keys}"
        )
    kept = tuple(resolved for resolved in recent if resolved.commit.revision > flushed)
    return Snapshot(head, unknown, token, state=state, recent=(*kept, *fresh), blobs=blobs)


def _stored_state(head: Head, blobs: Blobs, deadline: Deadline) -> State:
    body = head.state.body
    if isinstance(body, BlobRef):
        body = blobs.fetch([body], deadline)[0]
    return State({entry.key: node_of(entry, blobs.large) for entry in decode_entries(body)})


def _tail_records(head: Head, at: int, blobs: Blobs, deadline: Deadline) -> Iterator[msgspec.Raw]:
    items = [item for item in head.tail if item.last > at]
    refs = [item.body for item in items if isinstance(item.body, BlobRef)]
    bodies = dict(zip(refs, blobs.fetch(refs, deadline), strict=True))
    for item in items:
        body = bodies[item.body] if isinstance(item.body, BlobRef) else item.body
        yield from split_records(body)


def _step(state: State, at: int, resolved: Resolved) -> tuple[State, int]:
    commit = resolved.commit
    if commit.revision != at + 1:
        raise Corrupt(f"revision {at} is followed by {commit.revision}")
    return state.updated(effect(commit.changes)), commit.revision


def not_found(name: str) -> ConfigNotFound:
    """The error for a config that is absent or deleted."""
    return ConfigNotFound(f"config {name!r} does not exist", config=name)
