"""Many clients at once on one config: what a store that only claims compare-and-swap gets wrong."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, KeyCondition, StorageEngine
from discfg_core.errors import (
    ConditionFailed,
    DiscfgError,
    KeyNotFound,
    OutcomeUnknown,
    StoreBusy,
    Timeout,
)
from discfg_core.model import Change, Commit, Node

KEY = "/race"

_Result = TypeVar("_Result")

_PAGE = 100
# What a call may take beyond its deadline.
_GRACE_SECONDS = 5.0


class Verdict(NamedTuple):
    """What a race showed.

    Attributes:
        problems: One sentence each; none where all was as promised.
        errors: What writes failed with that could have succeeded.
        refused: Writes that the store refused for now, or did not get done in time.
        unknown: Writes whose outcome nobody could tell at once; judged all the same.
        acknowledged: Writes that succeeded.
    """

    problems: list[str]
    errors: list[Exception]
    refused: int
    unknown: int
    acknowledged: int


class Race:
    """The same writes, by clients that know nothing of each other.

    Args:
        clients: An engine each; one engine several times where a store has a single client.
        handle: The config, which nobody else writes to.
        patience: Seconds that a write may take.
        deadline: The end of the race.
    """

    def __init__(
        self,
        clients: Sequence[StorageEngine],
        handle: ConfigHandle,
        patience: float,
        deadline: Deadline,
    ) -> None:
        self._clients = clients
        self._handle = handle
        self._patience = patience
        self._deadline = deadline
        self._stop = threading.Event()
        self._problems: list[str] = []
        self._errors: list[Exception] = []
        self._acknowledged: dict[bytes, Change] = {}
        self._unknown: set[bytes] = set()
        self._refused = 0

    def conditional(self, rounds: int) -> None:
        """All write one key on the same condition, round after round: one wins each."""
        for number in range(rounds):
            before = self._standing()
            condition = KeyCondition(
                KEY, version=None if before is None else before.version, absent=before is None
            )
            values = [b"round %d, client %d" % (number, i) for i in range(len(self._clients))]

            def write(
                client: int,
                condition: KeyCondition = condition,
                values: list[bytes] = values,
            ) -> Change:
                return self._set(client, KEY, values[client], condition)

            answers = self._at_once(write)
            self._judge(f"round {number + 1}", values, answers, before)

    def unconditional(self, times: int) -> None:
        """All write, each a key of its own, `times` times as fast as they can."""

        def value(client: int, number: int) -> bytes:
            return b"write %d, client %d" % (number, client)

        def write(client: int) -> list[Change | Exception]:
            done: list[Change | Exception] = []
            for number in range(times):
                if self._stop.is_set():
                    break
                try:
                    done.append(self._set(client, f"/client/{client}", value(client, number)))
                except DiscfgError as error:
                    done.append(error)
            return done

        for client, answers in enumerate(self._at_once(write)):
            if isinstance(answers, Exception):
                self._errors.append(answers)
                continue
            for number, answer in enumerate(answers):
                self._note(value(client, number), answer)

    def verdict(self) -> Verdict:
        """What it showed, after reading the whole history."""
        problems = [*self._problems, *self._audit()]
        return Verdict(
            problems, self._errors, self._refused, len(self._unknown), len(self._acknowledged)
        )

    def _standing(self) -> Node | None:
        try:
            return self._clients[0].get(self._handle, KEY, deadline=self._deadline)
        except KeyNotFound:
            return None

    def _set(
        self, client: int, key: str, value: bytes, condition: KeyCondition | None = None
    ) -> Change:
        deadline = Deadline.after(min(self._patience, self._deadline.remaining()))
        return self._clients[client].set(
            self._handle, key, value, "text/plain", condition=condition, deadline=deadline
        )

    def _note(self, value: bytes, answer: Change | Exception) -> None:
        """Keep what a write answered; a lost condition is none of this."""
        if isinstance(answer, Change):
            self._acknowledged[value] = answer
        elif isinstance(answer, OutcomeUnknown):
            self._unknown.add(value)
        elif isinstance(answer, StoreBusy) or (isinstance(answer, Timeout) and answer.retryable):
            self._refused += 1
        else:
            self._errors.append(answer)

    def _judge(
        self,
        where: str,
        values: list[bytes],
        answers: Sequence[Change | Exception],
        before: Node | None,
    ) -> None:
        after = self._standing()
        lost = []
        for value, answer in zip(values, answers, strict=True):
            if isinstance(answer, ConditionFailed):
                lost.append(answer)
            else:
                self._note(value, answer)
        won = [value for value in values if value in self._acknowledged]
        doubtful = [value for value in values if value in self._unknown]
        if len(won) > 1:
            self._problems.append(f"{where}: {len(won)} clients won, and one may")
        elif len(lost) == len(values):
            self._problems.append(f"{where}: every client lost, to nobody")
        moved = (after.version if after else 0) - (before.version if before else 0)
        if (won or moved) and (moved != 1 or after is None or after.value not in won + doubtful):
            self._problems.append(f"{where}: what stands there now is not what was acknowledged")
        elif any(each.node != after for each in lost):
            self._problems.append(f"{where}: a client was told of another winner than the real one")

    def _audit(self) -> list[str]:
        commits = self._history()
        revisions = sorted(commit.revision for commit in commits)
        if revisions != list(range(1, len(commits) + 1)):
            return [f"the history has the revisions {_ranges(revisions)}, and none may be missing"]
        problems = []
        found = Counter(
            change.node.value
            for commit in commits
            for change in commit.changes
            if change.node.has_value
        )
        doubled = [value for value in (*self._acknowledged, *self._unknown) if found[value] > 1]
        if doubled:
            problems.append(f"{len(doubled)} writes are in the history twice")
        by_revision = {commit.revision: commit.changes for commit in commits}
        lost = [
            value
            for value, change in self._acknowledged.items()
            if change not in by_revision.get(change.revision, ())
        ]
        if lost:
            problems.append(
                f"{len(lost)} of {len(self._acknowledged)} acknowledged writes are not where "
                "they were said to be in the history"
            )
        return problems

    def _history(self) -> list[Commit]:
        """All of it, newest first, as a client sees it that did the least."""
        reader = self._clients[-1]
        commits: list[Commit] = []
        before: int | None = None
        while before is None or before > 1:
            page = reader.history(
                self._handle, before=before, limit=_PAGE, deadline=self._deadline
            ).commits
            if not page:
                break
            commits += page
            before = page[-1].revision
        return commits

    def _at_once(self, task: Callable[[int], _Result]) -> list[_Result | Exception]:
        """What the task answers or raises for each client, all begun at the same moment."""
        count = len(self._clients)
        barrier = threading.Barrier(count)
        late = Timeout("no answer within the deadline", retryable=False)
        answers: list[_Result | Exception] = [late] * count

        def run(client: int) -> None:
            try:
                barrier.wait(self._deadline.remaining())
                answers[client] = task(client)
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and it is told
                answers[client] = error

        # Daemons: a client that hangs for good must not keep the process.
        threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(count)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(self._deadline.remaining() + _GRACE_SECONDS)
        except BaseException:
            self._stop.set()
            barrier.abort()
            raise
        return list(answers)


def _ranges(revisions: Sequence[int]) -> str:
    shown = ", ".join(map(str, revisions[:20]))
    return shown + (", …" if len(revisions) > 20 else "")
