"""One thread's turn as committer: it answers a batch of waiting works, its own among them.

The order of things is what the guarantees hang on:

* A positive answer is given after the swap was acknowledged, or found in the history.
* A negative one ("condition failed", "no such key", "nothing to change") is given from a state
  that was current after the transaction came: a swap on it succeeded since, or a read that began
  since returned it. A cache alone may be behind, and would refuse the right writer.
* A swap whose outcome is unknown is repeated, as it was, until it is known. When the leader's
  time is up before that, the attempt stays in doubt and the next leader takes it over.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from copy import copy
from typing import NamedTuple

from discfg_core import commit_ids
from discfg_core.backoff import sleep
from discfg_core.clock import Deadline, Instant
from discfg_core.errors import DiscfgError, OutcomeUnknown, Timeout
from discfg_core.substrate import Register
from discfg_core.versioned.blobs import BlobMissing
from discfg_core.versioned.fold import Due
from discfg_core.versioned.format import Claim, check_writable, decode_record, encode_head
from discfg_core.versioned.ids import Ids
from discfg_core.versioned.pace import Pace
from discfg_core.versioned.plan import LayDownUnder, Plan, Sealed
from discfg_core.versioned.session import Confirmed, Session
from discfg_core.versioned.settle import InDoubt, Lost, read, settle
from discfg_core.versioned.snapshot import Snapshot
from discfg_core.versioned.turns import Ticket
from discfg_core.versioned.works import Work, Write

# Who lost so often, for so many seconds, asks for room: as long as so many of its attempts take.
_PATIENT_LOSSES = 3
_PATIENT_SECONDS = 1.0
_ROOM_ATTEMPTS = 3
_LONGEST_ROOM = 10.0
# How often whoever gives way looks whether it still must.
_LOOKS = 8


class Doubt(NamedTuple):
    """An attempt whose outcome is unknown."""

    sealed: Sealed
    data: bytes


class Leftover(NamedTuple):
    """What a swap left to be done after its acknowledgement."""

    incarnation: str
    due: Due | None
    garbage: list[str]


class Lead:
    """The turn. `doubt` is taken over from the turn before, and left to the next."""

    def __init__(
        self,
        session: Session,
        *,
        ids: Ids,
        pace: Pace,
        lay_down: LayDownUnder,
        own: Ticket[Work],
        doubt: Doubt | None,
    ) -> None:
        self._session = session
        self._ids = ids
        self._pace = pace
        self._lay_down = lay_down
        self._own = own
        self._deadline = own.deadline
        self.doubt = doubt
        self.leftovers: list[Leftover] = []
        self._losses = 0
        self._began = time.monotonic()
        self._slowest = 0.0
        self._claim = b""

    def serve(self, batch: list[Ticket[Work]]) -> None:
        """Answer the leader's own work, and of the batch as much as its deadline allows.

        What is not answered surely did not happen, or is in `doubt`.
        """
        try:
            self._answer_orphans(batch)
            if self.doubt is not None:
                self._take_over(self.doubt, batch)
            while waiting := [t.item for t in batch if not (t.item.answered or t.abandoned)]:
                if self._deadline.passed():
                    raise late(self._own.item)
                self._give_way()
                self._attempt(waiting)
            self._withdraw()
        except InDoubt as doubt:
            own = self._own.item
            if not own.answered:
                own.answer(unknown(own, doubt) if own.in_doubt else late(own, doubt))
        except DiscfgError as error:
            if error.retryable:
                # It failed for want of this leader's time; the others may have more.
                self._own.item.answer(error)
            else:
                for ticket in batch:
                    ticket.item.answer(_twin(error))

    def _answer_orphans(self, batch: list[Ticket[Work]]) -> None:
        """Those whose swap was under way when its leader was interrupted: nobody can tell."""
        kept = [] if self.doubt is None else [id(w) for w, _ in self.doubt.sealed.plan.committed]
        for ticket in batch:
            if ticket.item.in_doubt and id(ticket.item) not in kept:
                ticket.item.answer(unknown(ticket.item))

    def _attempt(self, waiting: list[Work]) -> None:
        session = self._session
        latest = session.latest or session.refresh(self._deadline)
        if self._starves() and latest.snapshot is not None and self._may_claim(latest.snapshot):
            self._ask_for_room(latest.snapshot)
            return
        begin = time.monotonic()
        plan = self._plan_on(latest.snapshot)
        for work in waiting:
            plan.add(work, session.name)
        if plan.must_swap:
            sealed = plan.seal()
            planned = time.monotonic()
            self._swap(Doubt(sealed, encode_head(sealed.head, sealed.base.unknown)))
            # Not all that the swap took: it may have waited for a store that was away.
            trip = self._pace.round_trip or time.monotonic() - planned
            self._slowest = max(self._slowest, planned - begin + trip)
            return
        # A clock may stand still for longer than this takes: what is no later is not after.
        if latest.since <= max(work.submitted for work in waiting):
            latest = session.refresh(self._deadline)
        if latest.snapshot is plan.base:
            _answer(plan)

    def _plan_on(self, base: Snapshot | None) -> Plan:
        session = self._session
        limits = session.substrate.limits(session.name)
        return Plan(base, limits, self._ids, self._lay_down, self._deadline)

    # --- room for who loses every race ---
    #
    # What takes longer to plan, or to send, than others take to swap is overtaken each time:
    # a large transaction, or a client far away. So whoever starves writes into the head, by a
    # swap that is quick, how long it needs; who reads that holds back, once for each claim.

    def _starves(self) -> bool:
        patient = time.monotonic() - self._began < _PATIENT_SECONDS
        return self._losses >= _PATIENT_LOSSES and not patient

    def _may_claim(self, base: Snapshot) -> bool:
        claim = base.head.claim
        return base.head.dropped is None and (claim is None or claim.id != self._claim)

    def _ask_for_room(self, base: Snapshot) -> None:
        check_writable(base.head)
        plan = self._plan_on(base)
        wanted = min(_ROOM_ATTEMPTS * self._slowest, _LONGEST_ROOM)
        self._claim = os.urandom(16)
        plan.claim = Claim(self._claim, int(wanted * 1000) + 1)
        sealed = plan.seal()
        self._swap(Doubt(sealed, encode_head(sealed.head, sealed.base.unknown)))

    def _give_way(self) -> None:
        """Hold back while another one's claim stands, and no longer than it asks for.

        Only who swapped within that time: it took claims away by that, so this one is young, and
        it is who is in the way. A claim of long ago, whose owner died, delays nobody.
        """
        session = self._session
        claim = _claim_of(session.latest)
        if claim is None or claim.id == self._claim:
            return
        asked = min(claim.milliseconds / 1000, _LONGEST_ROOM)
        if not self._pace.honours(claim.id, asked):
            return
        # Half of what is left of the leader's own time is left to it.
        room = Deadline.after(min(asked, self._deadline.remaining() / 2))
        slice_ = room.remaining() / _LOOKS
        while not room.passed() and _claim_of(session.latest) == claim:
            sleep(slice_, room)
            session.refresh(self._deadline)
        # What went by was a gift: it is no reason for a claim in return.
        self._losses, self._began = 0, time.monotonic()

    def _withdraw(self) -> None:
        """Take back a claim that nothing came of: what it was for was refused."""
        latest = self._session.latest
        claim = _claim_of(latest)
        if claim is None or claim.id != self._claim or self._deadline.passed():
            return
        assert latest is not None, "a claim is in a head"
        sealed = self._plan_on(latest.snapshot).seal()
        # All have their answers already. A claim that is left standing costs who is busy one pause.
        with suppress(InDoubt, DiscfgError):
            self._swap(Doubt(sealed, encode_head(sealed.head, sealed.base.unknown)))

    def _take_over(self, doubt: Doubt, batch: list[Ticket[Work]]) -> None:
        waiting = {id(ticket.item) for ticket in batch if not ticket.abandoned}
        if any(id(work) in waiting for work, _ in doubt.sealed.plan.committed):
            self._swap(doubt, in_doubt=True)
        else:
            # Nobody asks any more. Should it still land, the next swap on that token conflicts.
            self.doubt = None

    def _swap(self, attempt: Doubt, *, in_doubt: bool = False) -> None:
        sealed, session = attempt.sealed, self._session
        plan, base = sealed.plan, sealed.base
        self._pace.swapping(base.revision)
        since, checked = time.monotonic(), Instant.now()

        def ours(register: Register | None) -> bool | None:
            return self._ours(sealed, register, since, checked)

        # From here to a certain outcome, an interrupt at any line leaves them in doubt.
        for work, _ in plan.committed:
            work.in_doubt = True
        try:
            outcome = settle(
                session.substrate,
                session.name,
                base.token,
                attempt.data,
                sealed.blobs,
                ours=ours,
                deadline=self._deadline,
                in_doubt=in_doubt,
            )
        except InDoubt as doubt:
            self._keep(attempt, doubt)
        except DiscfgError as error:
            for work, _ in plan.committed:
                work.in_doubt = False
                if not error.retryable:
                    work.answer(_twin(error))
            if error.retryable or not plan.committed:
                raise
        else:
            self.doubt = None
            if isinstance(outcome, Lost):
                self._losses += 1
                for work, _ in plan.committed:
                    work.in_doubt = False
                return
            self._pace.swapped(sealed.head.revision, time.monotonic() - since)
            if outcome.seen is None:
                session.publish(sealed.snapshot(outcome.token), since, checked)
            _answer(plan)
            draft = sealed.draft
            self.leftovers.append(Leftover(base.incarnation, draft.due, draft.garbage))

    def _keep(self, attempt: Doubt, doubt: InDoubt) -> None:
        """Nobody can tell what became of an attempt: for good, or until the next leader does."""
        if doubt.final:
            for work, _ in attempt.sealed.plan.committed:
                work.answer(unknown(work, doubt))
        self.doubt = None if doubt.final else attempt
        if not doubt.final:
            raise doubt

    def _ours(
        self, sealed: Sealed, register: Register | None, since: float, checked: Instant
    ) -> bool | None:
        """Whether a register shows that this attempt happened; it goes into the cache."""
        session, base = self._session, sealed.base
        while True:
            snapshot = session.snapshot_of(register, self._deadline)
            session.publish(snapshot, since, checked)
            if snapshot is None or snapshot.incarnation != base.incarnation:
                return None
            if not sealed.plan.committed:
                return snapshot.head.nonce == sealed.head.nonce
            try:
                found = snapshot.commit_at(base.revision + 1, self._deadline)
            except BlobMissing:
                register = read(session.substrate, session.name, self._deadline)
                if register is not None and register.token == snapshot.token:
                    raise
                continue
            # By the commit's own random id: a caller's id may be another client's commit too.
            first, _ = sealed.plan.committed[0]
            return found is not None and decode_record(found.raw).id == first.prepared.id


def _claim_of(latest: Confirmed | None) -> Claim | None:
    return None if latest is None or latest.snapshot is None else latest.snapshot.head.claim


def _answer(plan: Plan) -> None:
    for write, commit in plan.committed:
        write.answer(commit)
    for work, verdict in plan.judged:
        work.answer(verdict)


def _twin(error: DiscfgError) -> DiscfgError:
    """The same error for another thread: a traceback is one thread's."""
    twin = copy(error)
    twin.__cause__ = error.__cause__
    return twin


def unknown(work: Work, cause: BaseException | None = None) -> DiscfgError:
    """The error for a work that may have happened."""
    if not isinstance(work, Write):
        return late(work, cause)
    commit_id = work.prepared.tx.commit_id
    if commit_id is None:
        # A random id says nothing of its place; with it, nobody searches the whole history.
        unique = work.prepared.id.hex()
        commit_id = unique if work.place is None else commit_ids.place(*work.place, unique)
    error = OutcomeUnknown(
        f"nobody can tell whether this commit of config {work.handle.name!r} happened",
        commit_id=commit_id,
        config=work.handle.name,
    )
    error.__cause__ = _store_error(cause)
    return error


def late(work: Work, cause: BaseException | None = None) -> Timeout:
    """The error for a work that surely did not happen, for want of time."""
    error = Timeout(
        f"config {work.handle.name!r} could not be written in time", config=work.handle.name
    )
    error.__cause__ = _store_error(cause)
    return error


def _store_error(cause: BaseException | None) -> BaseException | None:
    return cause.__cause__ if isinstance(cause, InDoubt) else cause
