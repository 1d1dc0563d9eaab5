"""Engines that commit in a broken way, each with one realistic defect."""

from __future__ import annotations

import os
import random
import time
from typing import Any

import msgspec

from discfg_core._override import override
from discfg_core.clock import Deadline, Instant
from discfg_core.engine import ConfigHandle, Transaction
from discfg_core.errors import DiscfgError, OutcomeUnknown, StoreUnavailable
from discfg_core.model import Commit
from discfg_core.substrate import Register, Substrate, SwapConflict
from discfg_core.versioned import settle as settling
from discfg_core.versioned.committer import Committer
from discfg_core.versioned.lead import Doubt, Lead, _answer
from discfg_core.versioned.plan import Plan, Sealed
from discfg_core.versioned.prepare import Prepared
from discfg_core.versioned.settle import Landed, Lost, settle
from discfg_core.versioned.snapshot import Snapshot
from discfg_core.versioned.works import Ask, Work
from tests.conformance import broken_substrates as substrates
from tests.conformance.broken_engine_parts import Sound, rebound

# --- the swap ---------------------------------------------------------------------------------


class CheckThenSwap(Sound):
    """Over a store that compares, then writes over whatever is there by then."""

    below = substrates.CheckThenSwap


class ConflictSwallowed(Sound):
    """Over a store that reports a conflict as done."""

    below = substrates.ConflictSwallowed


class TokenOfALaterRead(Sound):
    """Over a store that reads the token after the write, when it may be another writer's."""

    below = substrates.TokenOfALaterRead


def _settle_for_done(*args: Any, **options: Any) -> Landed:
    outcome = settle(*args, **options)
    return Landed(os.urandom(16)) if isinstance(outcome, Lost) else outcome


class _LostIsDone(Lead):
    _swap = rebound(Lead._swap, settle=_settle_for_done)


class LostRaceTakenForDone(Sound, lead=_LostIsDone):
    """Takes a lost race for a commit."""


def _settle_or_raise(*args: Any, **options: Any) -> Landed:
    outcome = settle(*args, **options)
    if isinstance(outcome, Lost):
        raise SwapConflict
    return outcome


class _LostIsRaised(Lead):
    _swap = rebound(Lead._swap, settle=_settle_or_raise)


class ConflictLeaked(Sound, lead=_LostIsRaised):
    """Leaves a lost race to the caller."""


class _NeverOurs(Lead):
    @override
    def _ours(
        self, sealed: Sealed, register: Register | None, since: float, checked: Instant
    ) -> bool | None:
        super()._ours(sealed, register, since, checked)
        return False


class OwnSuccessTakenForConflict(Sound, lead=_NeverOurs):
    """Does not look whether the commit that was quicker is its own."""


class _OursByCallersId(Lead):
    @override
    def _ours(
        self, sealed: Sealed, register: Register | None, since: float, checked: Instant
    ) -> bool | None:
        verdict = super()._ours(sealed, register, since, checked)
        theirs = self._session.snapshot_of(register, self._deadline)
        if verdict is not False or theirs is None:
            return verdict
        found = theirs.commit_at(sealed.base.revision + 1, self._deadline)
        mine = sealed.plan.committed[0][0].prepared.tx.commit_id
        return found is not None and found.commit.id == mine


class OwnCommitByCallersId(Sound, lead=_OursByCallersId):
    """Recognises its own commit by the caller's id, which another may use too."""


class _AnswersFirst(Lead):
    @override
    def _swap(self, attempt: Doubt, *, in_doubt: bool = False) -> None:
        _answer(attempt.sealed.plan)
        try:
            super()._swap(attempt, in_doubt=in_doubt)
        except DiscfgError:
            return


class AcknowledgedBeforeSwap(Sound, lead=_AnswersFirst):
    """Answers, then swaps."""


class CommitInTwoSwaps(Sound):
    """Commits the first operation, then the others."""

    @override
    def commit(
        self, handle: ConfigHandle, transaction: Transaction, *, deadline: Deadline
    ) -> Commit | None:
        ops = transaction.ops
        if len(ops) < 2:
            return super().commit(handle, transaction, deadline=deadline)
        begun = msgspec.structs.replace(transaction, ops=ops[:1])
        rest = Transaction(ops[1:], actor=transaction.actor, message=transaction.message)
        first = super().commit(handle, begun, deadline=deadline)
        time.sleep(substrates.ROUND_TRIP)
        second = super().commit(handle, rest, deadline=deadline)
        if first is None or second is None:
            return first or second
        changes = {each.key: each for each in (*first.changes, *second.changes)}
        return msgspec.structs.replace(
            second, changes=tuple(changes[key] for key in sorted(changes))
        )


# --- outcomes ---------------------------------------------------------------------------------


class _OneLook(settling._Settling):
    @override
    def _once(self) -> Landed | Lost | None:
        outcome = super()._once()
        if outcome is None and isinstance(self._failure, OutcomeUnknown):
            there = self._look()
            if there is not None and there.token == self._expected:
                raise StoreUnavailable("the swap did not arrive")
        return outcome


class _DecidesByOneLook(Lead):
    _swap = rebound(Lead._swap, settle=rebound(settle, _Settling=_OneLook))


class UnknownOutcomeDecidedByOneRead(Sound, lead=_DecidesByOneLook):
    """Takes a swap whose answer is lost for undone when it does not see it."""


class _AsksWithoutSwap(Plan):
    @override
    def _add_ask(self, work: Ask, base: Snapshot) -> None:
        before = self.must_swap
        super()._add_ask(work, base)
        self.must_swap = before


class OutcomeWithoutSwap(Sound, plan=_AsksWithoutSwap):
    """Says "not committed" while the request may still be under way."""


class OutcomeUnknownWithoutId(Sound):
    """Does not say what to ask for."""

    @override
    def _commit(
        self, handle: ConfigHandle, transaction: Transaction, deadline: Deadline
    ) -> Commit | None:
        try:
            return super()._commit(handle, transaction, deadline)
        except OutcomeUnknown as error:
            error.commit_id = None
            raise


class _Overruns(Committer):
    @override
    def _submit(self, work: Work, deadline: Deadline) -> Commit | None:
        return super()._submit(work, Deadline(deadline.at + 8))


class DeadlineOverrun(Sound, committer=_Overruns):
    """Goes on trying for a while."""


class _ForgetsIds(Plan):
    @override
    def _earlier(self, prepared: Prepared, base: Snapshot) -> Commit | None:
        return None


class CommitIdForgotten(Sound, plan=_ForgetsIds):
    """Does not look for a commit id before it commits."""


class _TakesAnyContent(Plan):
    @override
    def _earlier(self, prepared: Prepared, base: Snapshot) -> Commit | None:
        if prepared.tx.commit_id is None:
            return None
        found = self._ids.find(base, prepared.tx.actor, prepared.tx.commit_id, self._deadline)
        return None if found is None else found.commit


class CommitIdReusedUnseen(Sound, plan=_TakesAnyContent):
    """Takes whatever has a known commit id for a repetition."""


class ReusedIdAfterFork(Sound):
    """Draws its ids from a generator of its own, which a fork copies."""

    def __init__(self, substrate: Substrate) -> None:
        super().__init__(substrate)
        self._random = random.Random(os.urandom(16))

    @override
    def _commit(
        self, handle: ConfigHandle, transaction: Transaction, deadline: Deadline
    ) -> Commit | None:
        _, committer = self._at(handle.name)
        prepared = Prepared(transaction, self._substrate.limits(handle.name))
        prepared.id = self._random.randbytes(16)
        return committer.write(handle, prepared, deadline)


# --- conditions -------------------------------------------------------------------------------


class _JudgesByCache(Plan):
    @override
    def add(self, work: Work, name: str) -> None:
        super().add(work, name)
        # As if the cache had been confirmed since it came.
        work.submitted = 0.0


class ConditionJudgedOnCache(Sound, plan=_JudgesByCache):
    """Refuses by what it has in memory, without another look."""


class _AnswersMates(Lead):
    @override
    def _swap(self, attempt: Doubt, *, in_doubt: bool = False) -> None:
        for work, verdict in attempt.sealed.plan.judged:
            work.answer(verdict)
        super()._swap(attempt, in_doubt=in_doubt)


class BatchMatesChangeAnswered(Sound, lead=_AnswersMates):
    """Refuses by what a batch mate is about to commit, before that has happened."""


class _PublishesPlans(Lead):
    @override
    def _swap(self, attempt: Doubt, *, in_doubt: bool = False) -> None:
        sealed = attempt.sealed
        self._session.publish(sealed.snapshot(sealed.base.token), time.monotonic(), Instant.now())
        super()._swap(attempt, in_doubt=in_doubt)


class PlanShownToReaders(Sound, lead=_PublishesPlans):
    """Shows readers a commit whose swap is still under way."""


class _IgnoresConditions(Plan):
    @override
    def _check_conditions(self, prepared: Prepared) -> None:
        return


class ConditionIgnored(Sound, plan=_IgnoresConditions):
    """Judges nothing."""
