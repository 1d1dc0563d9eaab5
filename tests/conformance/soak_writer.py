"""The writing processes of the soak: what they do, and what they tell of it."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from discfg_core.engine import KeyCondition
from discfg_core.errors import CommitIdExpired, ConditionFailed, DiscfgError, OutcomeUnknown
from discfg_core.registry import open_engine
from discfg_core.testing.engine_client import Client, put
from discfg_core.urls import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core.testing.engine_client import Config
    from discfg_core.testing.processes import Line

NAME = "soak"
# Longer than anything that is done to the store or the processes lasts.
PATIENT = 60.0
# Shorter than a server is away: these writers do hear "unknown" and "not done".
IMPATIENT = 0.7
READ_EVERY = 10
COUNT_TRIES = 3
EXPIRED = -1

T = TypeVar("T")


def counts(index: int) -> bool:
    """Whether a writer's commit of this number counts up what all of them share."""
    return index % 12 == 0


class Job(NamedTuple):
    """What one writing process is to do.

    Attributes:
        url: The store.
        stop: It ends when this file is there.
        number: Of the process.
        threads: How many write.
        impatient: Whether every fourth of them gives up early.
    """

    url: str
    stop: Path
    number: int
    threads: int
    impatient: bool

    def writer(self, thread: int) -> str:
        """The name of one of its writers."""
        return f"{self.number}-{thread}"

    def gives_up_early(self, thread: int) -> bool:
        """Whether this writer has little time for each of its commits."""
        return self.impatient and thread % 4 == 3


class Ack(NamedTuple):
    """A commit that was acknowledged.

    Attributes:
        writer: Which thread of which process, ``process-thread``.
        message: The commit's own, unlike any other's.
        revision: As told.
        at: When it was told, monotonic.
    """

    writer: str
    message: str
    revision: int
    at: float


class Told(msgspec.Struct):
    """What the writers of one process were told.

    Attributes:
        acks: Of what was done.
        refused: The messages of what was surely not done, as the error said.
        beaten: The messages of those whose condition failed to the last.
        settled: By the message of what was unknown: the revision that `outcome` told, ``None``
            for "never", or `EXPIRED` for what is too old to be told.
        latest: Seconds after its deadline at which the slowest call ended.
    """

    acks: list[Ack] = []
    refused: list[str] = []
    beaten: list[str] = []
    settled: dict[str, int | None] = {}
    latest: float = 0.0


def write(line: Line, job: Job) -> Told:
    """Write with several threads until the file is there; the task of a process."""
    engine = open_engine(parse(job.url))
    patient = Client(engine, PATIENT)
    told = Told()
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        client = Client(engine, IMPATIENT) if job.gives_up_early(thread) else patient
        try:
            _Writer(job.writer(thread), client.config(NAME), patient.config(NAME), told).run(
                job.stop
            )
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            failures.append(error)

    patient.config(NAME).info()
    line.ready()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(job.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    patient.close()
    if failures:
        raise failures[0]
    return told


class _Writer:
    """One writing thread. `patient` is for asking what became of a commit."""

    def __init__(self, name: str, config: Config, patient: Config, told: Told) -> None:
        self._name = name
        self._config = config
        self._patient = patient
        self._told = told
        # What may stand under each of its own keys: one value, unless nobody can tell.
        self._own: dict[str, set[bytes | None]] = {}

    def run(self, stop: Path) -> None:
        index = 0
        while not stop.exists():
            message = f"{self._name} {index}"
            if counts(index):
                self._commit(message, partial(self._count_up, message))
            else:
                self._write_own(message, index)
            if index % READ_EVERY == READ_EVERY - 1:
                self._read_own(index)
            index += 1

    def _write_own(self, message: str, index: int) -> None:
        key = self._key(index)
        value = message.encode() + b"x" * (index % 50 // 49 * 100_000)
        ops = (put(key, value), put(f"pair/{self._name}", value[:20]))
        done = self._commit(
            message,
            lambda: self._timed(lambda: self._config.committed(*ops, message=message)).revision,
        )
        before = self._own.get(key, {None})
        self._own[key] = before | {value} if done is None else {value} if done else before

    def _read_own(self, index: int) -> None:
        """Nobody else writes these keys, so what was acknowledged last stands there."""
        key = self._key(index)
        try:
            node = self._timed(lambda: self._config.find(key))
        except DiscfgError as error:
            _check_passing(error)
            return
        found = None if node is None else node.value
        allowed = self._own.get(key, {None})
        assert found in allowed, f"{key}: read {_short(found)}, not one of {map(_short, allowed)}"

    def _key(self, index: int) -> str:
        return f"own/{self._name}/{index % 20}"

    def _commit(self, message: str, commit: Callable[[], int]) -> bool | None:
        """Whether it happened; ``None`` for what is too old to be told."""
        try:
            revision = commit()
        except OutcomeUnknown as error:
            settled = self._told.settled[message] = self._settle(error)
            return None if settled == EXPIRED else settled is not None
        except ConditionFailed:
            self._told.beaten.append(message)
            return False
        except DiscfgError as error:
            _check_passing(error)
            self._told.refused.append(message)
            return False
        self._told.acks.append(Ack(self._name, message, revision, time.monotonic()))
        return True

    def _settle(self, error: OutcomeUnknown) -> int | None:
        assert error.commit_id is not None, "an unknown commit without an id"
        try:
            commit = self._patient.outcome(error.commit_id)
        except CommitIdExpired:
            return EXPIRED
        return None if commit is None else commit.revision

    def _count_up(self, message: str) -> int:
        """Count up the shared number by compare-and-set, as often as it takes; the revision."""
        node = self._timed(lambda: self._config.find("count"))
        # Of many who count at once all but one are beaten, each time: after some times one goes
        # on, for how often a writer comes to its turn is measured here, too.
        for left in reversed(range(COUNT_TRIES)):
            value = b"%d" % (1 if node is None else int(node.value) + 1)
            condition = KeyCondition(
                "count", revision=None if node is None else node.revision, absent=node is None
            )
            try:
                count = partial(
                    self._config.set, "count", value, condition=condition, message=message
                )
                return self._timed(count).revision
            except ConditionFailed as error:
                if not left:
                    raise
                node = error.node
        raise AssertionError("the last try returns or raises")

    def _timed(self, call: Callable[[], T]) -> T:
        begin = time.monotonic()
        try:
            return call()
        finally:
            over = time.monotonic() - begin - self._config.client.timeout
            self._told.latest = max(self._told.latest, over)


def _check_passing(error: DiscfgError) -> None:
    assert error.retryable, f"the store is away for a while, and this is final: {error!r}"


def _short(value: bytes | None) -> str:
    return "nothing" if value is None else repr(value[:40])
