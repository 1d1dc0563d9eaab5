"""A config's beginning and end: created, deleted to a tombstone, brought back.

Each is one swap of the register, settled like a commit. The tombstone is the head itself with a
mark on it, so that everything it refers to can be brought back until the name is used anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from discfg_core.clock import Deadline, Instant, stamp
from discfg_core.engine import MAX_ACTOR_BYTES, MAX_MESSAGE_BYTES, ConfigHandle
from discfg_core.errors import (
    ConfigExists,
    ConfigNotFound,
    ConfigReplaced,
    DiscfgError,
    OutcomeUnknown,
    SettingsNotApplied,
)
from discfg_core.substrate import Register, Token
from discfg_core.values import check_text
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
from discfg_core.versioned.prepare import check_settings
from discfg_core.versioned.session import Session
from discfg_core.versioned.settle import InDoubt, Lost, retried, settle
from discfg_core.versioned.snapshot import Snapshot
from discfg_core.versioned.state import State


def create(session: Session, settings: Mapping[str, Any], deadline: Deadline) -> Snapshot:
    """What `StorageEngine.create_config` says."""
    wanted = check_settings(settings)
    substrate, name = session.substrate, session.name
    substrate.check_settings(wanted)
    while True:
        before = session.fresh(deadline).snapshot
        if before is not None and before.head.dropped is None:
            raise ConfigExists(f"config {name!r} exists already", config=name)
        if before is not None:
            check_writable(before.head)
        retried(lambda: substrate.provision(name, wanted, deadline=deadline), deadline)
        made = _create_on(session, before, wanted, deadline)
        if made is not None:
            if before is not None:
                # The config is there; what is left of its forerunner is an orphan at worst.
                with suppress(DiscfgError):
                    _bury(session, before.head.incarnation, deadline)
            return made


def _create_on(
    session: Session, before: Snapshot | None, settings: dict[str, Any], deadline: Deadline
) -> Snapshot | None:
    # A tombstone's sequence goes on, so that the register never seems to go back.
    head = _first_head(settings, 0 if before is None else before.head.sequence + 1)
    blobs = session.blobs_of(head.incarnation)
    return _Swap(session, before, head, {}, deadline).run(
        lambda there: there.incarnation == head.incarnation,
        lambda token: Snapshot(head, {}, token, state=State(), recent=(), blobs=blobs),
    )


def _first_head(settings: dict[str, Any], sequence: int) -> Head:
    now = stamp()
    return Head(
        format=FORMAT,
        min_reader=1,
        min_writer=1,
        incarnation=os.urandom(16),
        nonce=os.urandom(16),
        sequence=sequence,
        revision=0,
        created=now,
        modified=now,
        generation=0,
        keys=0,
        size=0,
        inline=0,
        settings=settings,
        state=StateRef(),
        history=[],
        tail=[],
    )


def drop(
    session: Session, handle: ConfigHandle, actor: str, message: str, deadline: Deadline
) -> Snapshot:
    """What `StorageEngine.delete_config` says; the answer is the config as it was."""
    check_text("actor", actor, MAX_ACTOR_BYTES)
    check_text("message", message, MAX_MESSAGE_BYTES)
    mark = Dropped(os.urandom(16), stamp(), actor, message)
    while True:
        latest = session.fresh(deadline).snapshot
        if latest is not None and latest.head.dropped is not None:
            # Its dropper may have died before it came to this.
            _release(session, latest.token, deadline)
        before = session.live(latest, handle)
        made = _change(session, before, mark, deadline, lambda head: _mark_of(head) == mark.id)
        if made is not None:
            break
    try:
        _release(session, made.token, deadline)
    except DiscfgError as error:
        raise OutcomeUnknown(
            f"config {session.name!r} is deleted, but the store may still keep its resource",
            config=session.name,
            hint="a config created under this name takes it over",
        ) from error
    return before


def _release(session: Session, tombstone: Token, deadline: Deadline) -> None:
    retried(lambda: session.substrate.drop(session.name, tombstone, deadline=deadline), deadline)


def apply_settings(session: Session, handle: ConfigHandle, deadline: Deadline) -> None:
    """Change the native resource to what the config's settings are by now.

    Whoever comes last looks at the config once more afterwards, so that of several at once what
    stays is what the config says.

    Raises:
        SettingsNotApplied: They are committed, and the resource is still as it was.
    """
    substrate, name = session.substrate, session.name
    try:
        applied = None
        while (settings := session.view(handle, None, deadline).head.settings) != applied:
            retried(partial(substrate.provision, name, settings, deadline=deadline), deadline)
            applied = settings
    except (ConfigNotFound, ConfigReplaced):
        return
    except DiscfgError as error:
        raise SettingsNotApplied(
            f"the settings of config {name!r} are committed, but its store does not follow yet",
            config=name,
        ) from error


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
        incarnation = before.head.incarnation

        def back(head: Head, incarnation: bytes = incarnation) -> bool:
            # Whoever brought it back, it is back; that is all the caller asked for.
            return head.incarnation == incarnation and head.dropped is None

        made = _change(session, before, None, deadline, back)
        if made is not None:
            return made


def _mark_of(head: Head) -> bytes | None:
    return None if head.dropped is None else head.dropped.id


def _change(
    session: Session,
    before: Snapshot,
    dropped: Dropped | None,
    deadline: Deadline,
    shows: Callable[[Head], bool],
) -> Snapshot | None:
    """Set or lift the mark of a tombstone."""
    check_writable(before.head)
    head = msgspec.structs.replace(
        before.head,
        nonce=os.urandom(16),
        sequence=before.head.sequence + 1,
        dropped=dropped,
        claim=None,
    )
    return _Swap(session, before, head, before.unknown, deadline).run(
        shows,
        lambda token: Snapshot(
            head,
            before.unknown,
            token,
            state=before.state,
            recent=before.recent,
            blobs=before.blobs,
        ),
    )


class _Swap:
    """One swap of a whole head."""

    def __init__(
        self,
        session: Session,
        before: Snapshot | None,
        head: Head,
        unknown: Unknown,
        deadline: Deadline,
    ) -> None:
        self._session = session
        self._before = before
        self._head = head
        self._data = encode_head(head, unknown)
        self._deadline = deadline
        self._since, self._checked = time.monotonic(), Instant.now()
        self._seen: Snapshot | None = None

    def run(
        self, shows: Callable[[Head], bool], left: Callable[[Token], Snapshot]
    ) -> Snapshot | None:
        """Carry it out.

        Args:
            shows: Whether a head shows that it happened.
            left: The config that it left, from its token.

        Returns:
            The config it left, or a later one; ``None`` if another was quicker.

        Raises:
            OutcomeUnknown: Nobody can tell.
        """
        session = self._session
        try:
            outcome = settle(
                session.substrate,
                session.name,
                None if self._before is None else self._before.token,
                self._data,
                {},
                ours=lambda register: self._ours(register, shows),
                deadline=self._deadline,
            )
        except InDoubt as doubt:
            raise OutcomeUnknown(
                f"nobody can tell whether config {session.name!r} was changed",
                config=session.name,
                hint="look at the config, and repeat what did not happen",
            ) from doubt.__cause__
        if isinstance(outcome, Lost):
            return None
        if outcome.seen is not None:
            return self._seen
        snapshot = left(outcome.token)
        session.publish(snapshot, self._since, self._checked)
        return snapshot

    def _ours(self, register: Register | None, shows: Callable[[Head], bool]) -> bool | None:
        session = self._session
        self._seen = session.snapshot_of(register, self._deadline)
        session.publish(self._seen, self._since, self._checked)
        if self._seen is None:
            return None
        head = self._seen.head
        if shows(head):
            return True
        # Where another swap stands in the chain just where this one would, this one is not.
        # Further on it may have come and gone.
        return False if head.sequence == self._head.sequence else None


def _bury(session: Session, incarnation: bytes, deadline: Deadline) -> None:
    """Delete the blobs of an incarnation whose tombstone was swapped away.

    Nothing can refer to them again: only that tombstone could have been brought back.
    """
    substrate, name = session.substrate, session.name
    listed = retried(lambda: list(substrate.list_blobs(name, deadline=deadline)), deadline)
    dead = [info.blob for info in listed if is_of(info.blob, incarnation)]
    retried(lambda: substrate.delete_blobs(name, dead, deadline=deadline), deadline)
