"""Group commit: one thread of this process swaps on behalf of all that wait."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle
from discfg_core.errors import DiscfgError, OutcomeUnknown, StoreUnavailable
from discfg_core.model import Commit
from discfg_core.versioned import budget
from discfg_core.versioned.blobs import make_ref
from discfg_core.versioned.fold import Due, encode_state
from discfg_core.versioned.format import BlobRef, StateRef
from discfg_core.versioned.ids import Ids
from discfg_core.versioned.lead import Doubt, Lead, Leftover, late, unknown
from discfg_core.versioned.pace import Pace
from discfg_core.versioned.prepare import Prepared
from discfg_core.versioned.session import Session
from discfg_core.versioned.settle import retried
from discfg_core.versioned.turns import GaveUp, Ticket, Turns
from discfg_core.versioned.works import Ask, Fold, Work, Write

_KEPT_LEFTOVERS = 256


class Committer:
    """All writing of one config by one process; thread-safe."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turns: Turns[Work] = Turns()
        # What follows belongs to whoever leads.
        self._ids = Ids()
        self._pace = Pace()
        self._doubt: Doubt | None = None
        # This belongs to nobody: its single steps are atomic.
        self._leftovers: deque[Leftover] = deque(maxlen=_KEPT_LEFTOVERS)

    def write(self, handle: ConfigHandle, prepared: Prepared, deadline: Deadline) -> Commit | None:
        """Commit a transaction; what `StorageEngine.commit` says holds."""
        if prepared.laid:
            confirmed = self._session.fresh(deadline)
            snapshot = self._session.live(confirmed.snapshot, handle)
            prepared.lay_down(
                snapshot.head.generation,
                lambda ref, data: self._lay_down(snapshot.incarnation, ref, data, deadline),
            )
        return self._submit(Write(handle, prepared), deadline)

    def ask(self, handle: ConfigHandle, commit_id: str, deadline: Deadline) -> Commit | None:
        """What became of a commit id; what `StorageEngine.outcome` says holds."""
        return self._submit(Ask(handle, commit_id), deadline)

    def _submit(self, work: Work, deadline: Deadline) -> Commit | None:
        try:
            self._turns.run(Ticket(work, deadline), self._lead)
        except GaveUp as gave_up:
            taken = gave_up.taken or work.in_doubt
            raise (unknown(work) if taken else late(work)) from None
        if self._leftovers:
            self._clean_up(deadline)
        if work.place is not None:
            work.handle.pin(work.place[0])
        if work.error is not None:
            raise work.error
        return work.commit

    def _lead(self, own: Ticket[Work]) -> None:
        session = self._session
        interval = session.substrate.limits(session.name).min_swap_interval
        self._pace.pause(interval, own.deadline)
        lead = Lead(
            session,
            ids=self._ids,
            pace=self._pace,
            lay_down=self._lay_down,
            own=own,
            doubt=self._doubt,
        )
        try:
            lead.serve(self._turns.take(budget.BATCH_BYTES))
        finally:
            self._doubt = lead.doubt
            self._leftovers.extend(lead.leftovers)

    # --- after the acknowledgement ---

    def _clean_up(self, deadline: Deadline) -> None:
        """Delete what the new head no longer refers to, and store a state that is due.

        No head to come refers to that garbage either: it descends from the new one. A failure
        is no failure of the commit before it, which is acknowledged: a state that could not be
        stored is due again at the next flush; what could not be deleted is tried again after
        another commit, and is an orphan that `check` counts until then.
        """
        while self._leftovers and not deadline.passed():
            try:
                leftover = self._leftovers.popleft()
            except IndexError:
                return
            if leftover.due is not None:
                # Not tried again: each try would leave another whole state behind.
                with suppress(DiscfgError):
                    self._store_state(leftover.incarnation, leftover.due, deadline)
            try:
                if leftover.garbage:
                    self._session.substrate.delete_blobs(
                        self._session.name, leftover.garbage, deadline=deadline
                    )
            except DiscfgError:
                self._leftovers.append(leftover._replace(due=None))
                return

    def _store_state(self, incarnation: str, due: Due, deadline: Deadline) -> None:
        data = encode_state(due.state)
        ref = make_ref(data, due.generation)
        self._lay_down(incarnation, ref, data, deadline)
        handle = ConfigHandle(self._session.name, incarnation)
        self._submit(Fold(handle, StateRef(due.revision, ref), due.debt), deadline)

    def _lay_down(self, incarnation: str, ref: BlobRef, data: bytes, deadline: Deadline) -> None:
        session = self._session
        name = session.blobs_of(bytes.fromhex(incarnation)).name(ref)
        try:
            retried(
                lambda: session.substrate.put_blob(session.name, name, data, deadline=deadline),
                deadline,
            )
        except OutcomeUnknown as error:
            # Whether the blob is there or not, nothing refers to it.
            raise StoreUnavailable("a value could not be written in time") from error
