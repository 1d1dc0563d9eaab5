"""A config's beginning and end: created, deleted to a tombstone, brought back.

Each is one swap of the register, settled like a commit. The tombstone is the head itself with a
mark on it, so that everything it refers to can be brought back until the name is used anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from discfg_core.clock import Deadline, Instant
from discfg_core.engine import MAX_ACTOR_BYTES, MAX_MESSAGE_BYTES, ConfigHandle
from discfg_core.errors import ConfigExists, ConfigNotFound, DiscfgError, OutcomeUnknown
from discfg_core.substrate import Register
from discfg_core.versioned.blobs import is_of
from discfg_core.versioned.format import (
    FORMAT,
    Dropped,
    Head,
    StateRef,
    Unknown,
    check_writable,
    encode_head,
)
from discfg_core.versioned.prepare import check_settings, check_text
from discfg_core.versioned.session import Session
from discfg_core.versioned.settle import InDoubt, Lost, retried, settle
from discfg_core.versioned.snapshot import Snapshot, not_found

Verdict = Callable[[Snapshot | None], bool | None]


def create(session: Session, settings: Mapping[str, Any], deadline: Deadline) -> Snapshot:
    """What `StorageEngine.create_config` says."""
    wanted = check_settings(settings)
    substrate, name = session.substrate, session.name
    retried(lambda: substrate.provision(name, wanted, deadline=deadline), deadline)
    incarnation = os.urandom(16)
    while True:
        before = session.fresh(deadline).snapshot
        if before is not None and before.head.dropped is None:
            raise ConfigExists(f"config {name!r} exists already", config=name)
        # A tombstone's sequence goes on, so that the register never seems to go back.
        sequence = 0 if before is None else before.head.sequence + 1
        now = time.time_ns()
        head = Head(
            format=FORMAT,
            min_reader=1,
            min_writer=1,
            incarnation=incarnation,
            nonce=os.urandom(16),
            sequence=sequence,
            revision=0,
            created=now,
            modified=now,
            generation=0,
            keys=0,
            size=0,
            inline=0,
            settings=wanted,
            state=StateRef(),
            history=[],
            tail=[],
        )

        def ours(current: Snapshot | None) -> bool | None:
            return current is not None and current.head.incarnation == incarnation

        made = _swap(session, before, head, {}, ours=ours, deadline=deadline)
        if made is not None:
            if before is not None:
                # The config is there; what is left over of its forerunner is an orphan at worst.
                with suppress(DiscfgError):
                    _bury(session, before.head.incarnation, deadline)
            return made


def drop(
    session: Session, handle: ConfigHandle, actor: str, message: str, deadline: Deadline
) -> Snapshot:
    """What `StorageEngine.delete_config` says; the answer is the config as it was."""
    check_text("actor", actor, MAX_ACTOR_BYTES)
    check_text("message", message, MAX_MESSAGE_BYTES)
    mark = Dropped(os.urandom(16), time.time_ns(), actor, message)

    def ours(current: Snapshot | None) -> bool | None:
        if current is None:
            return None
        dropped = current.head.dropped
        return dropped is not None and dropped.id == mark.id

    while True:
        before = session.live(session.fresh(deadline).snapshot, handle)
        check_writable(before.head)
        buried = _next(before.head, mark)
        if _swap(session, before, buried, before.unknown, ours=ours, deadline=deadline):
            break
    retried(lambda: session.substrate.drop(session.name, deadline=deadline), deadline)
    return before


def undrop(session: Session, deadline: Deadline) -> Snapshot:
    """What `StorageEngine.undelete_config` says."""
    name = session.name
    while True:
        before = session.fresh(deadline).snapshot
        if before is None:
            raise ConfigNotFound(
                f"there is no deleted config {name!r} to bring back", config=name, hint=""
            )
        if before.head.dropped is None:
            raise ConfigExists(f"config {name!r} exists", config=name)
        check_writable(before.head)
        incarnation = before.head.incarnation

        def ours(current: Snapshot | None, incarnation: bytes = incarnation) -> bool | None:
            # Whoever brought it back, it is back; that is all the caller asked for.
            if current is None or current.head.incarnation != incarnation:
                return None
            return current.head.dropped is None

        back = _next(before.head, None)
        made = _swap(session, before, back, before.unknown, ours=ours, deadline=deadline)
        if made is not None:
            return made


def _next(head: Head, dropped: Dropped | None) -> Head:
    return msgspec.structs.replace(
        head, nonce=os.urandom(16), sequence=head.sequence + 1, dropped=dropped
    )


def _swap(
    session: Session,
    before: Snapshot | None,
    head: Head,
    unknown: Unknown,
    *,
    ours: Verdict,
    deadline: Deadline,
) -> Snapshot | None:
    """The snapshot this swap left; ``None`` if another was quicker."""
    since, checked = time.monotonic(), Instant.now()

    def verdict(register: Register | None) -> bool | None:
        snapshot = session.snapshot_of(register, deadline)
        session.publish(snapshot, since, checked)
        return ours(snapshot)

    data = encode_head(head, unknown)
    try:
        outcome = settle(
            session.substrate,
            session.name,
            None if before is None else before.token,
            data,
            {},
            ours=verdict,
            deadline=deadline,
        )
    except InDoubt as doubt:
        raise OutcomeUnknown(
            f"nobody can tell whether config {session.name!r} was changed",
            config=session.name,
            hint="look at the config, and repeat what did not happen",
        ) from doubt.__cause__
    if isinstance(outcome, Lost):
        return None
    register = Register(data, outcome.token) if outcome.seen is None else outcome.seen
    snapshot = session.snapshot_of(register, deadline)
    session.publish(snapshot, since, checked)
    if snapshot is None:
        raise not_found(session.name)
    return snapshot


def _bury(session: Session, incarnation: bytes, deadline: Deadline) -> None:
    """Delete the blobs of an incarnation whose tombstone was swapped away.

    Nothing can refer to them again: only that tombstone could have been brought back.
    """
    substrate, name = session.substrate, session.name
    listed = retried(lambda: list(substrate.list_blobs(name, deadline=deadline)), deadline)
    dead = [info.blob for info in listed if is_of(info.blob, incarnation)]
    retried(lambda: substrate.delete_blobs(name, dead, deadline=deadline), deadline)
