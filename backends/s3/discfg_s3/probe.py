"""Whether a bucket's conditional writes are atomic, found out by racing.

Stores speak S3 and do not keep its promises: some let two of several racing writes win, some pass
over ``If-Match`` where there is no object, some over the headers altogether. On any of them commits
would be lost without a sign. So before the first register is created under a prefix, sixteen
writers race, in two rounds, and the conditions that must fail are tried.

That a store passed is recorded in an object under the prefix, and no client tries again. That one
failed is not recorded: it may be upgraded. Readers ask for nothing: where no store was ever
accepted there is nothing to read.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from discfg_core.clock import stamp, to_datetime
from discfg_core.errors import (
    DiscfgError,
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
    Timeout,
    UnsupportedStore,
)
from discfg_core.substrate import SwapConflict
from discfg_s3 import errors
from discfg_s3._version import __version__
from discfg_s3.client import etag, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core.clock import Deadline
    from discfg_s3.client import Client

# For the answer to a conditional write: SeaweedFS lets the losers of a race wait a second or more
# for one another.
_PATIENCE: Final = 60.0
# Of each kind, at the same moment: sixteen in all.
_RACERS: Final = 8
_ROUNDS: Final = 2
# Rounds in a row that nobody wins: each writer may be told that another is at it.
_DRAWS: Final = 5
_FORMAT: Final = 1


class Probe:
    """What one client knows of its store.

    Args:
        client: Of the store.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._record = client.target.place.own("probe.json")
        self._passed = False
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """In the child of a fork: a thread of the parent may hold the lock for ever."""
        self._lock = threading.Lock()

    def require(self, deadline: Deadline) -> None:
        """The store passed, now or before.

        Raises:
            UnsupportedStore: It did not; the message names the gap.
            AccessDenied: It was never tried, and these credentials may not write.
            StoreUnavailable, Timeout: It cannot be told now.
        """
        if self._passed:
            return
        if not self._lock.acquire(timeout=min(deadline.remaining(), threading.TIMEOUT_MAX)):
            raise Timeout("the store was still being tried", engine="s3")
        try:
            if not (self._passed or self._recorded(deadline)):
                self.run(deadline)
                self._write_record(deadline)
            self._passed = True
        finally:
            self._lock.release()

    def _recorded(self, deadline: Deadline) -> bool:
        try:
            answer = self._client.ask("get_object", deadline=deadline, Key=self._record)
            record = json.loads(answer["Body"])
        except (errors.Missing, ValueError):
            return False
        return isinstance(record, dict) and record.get("format") == _FORMAT

    def _write_record(self, deadline: Deadline) -> None:
        record = {
            "format": _FORMAT,
            "passed": to_datetime(stamp()).isoformat(),
            "by": f"discfg-s3 {__version__}",
        }
        body = json.dumps(record).encode()
        # Whoever else passed says the same.
        _certain(
            lambda: self._client.change(
                "put_object",
                deadline=deadline,
                Key=self._record,
                Body=body,
                ContentType="application/json",
            )
        )

    def run(self, deadline: Deadline) -> None:
        """Try the store; what is written for that is deleted again.

        Raises:
            UnsupportedStore: As for `require`.
            StoreError, Timeout: It cannot be told now.
        """
        place = self._client.target.place
        trial = _Trial(self._client, deadline)
        try:
            trial.run()
        except _Gap as gap:
            raise UnsupportedStore(
                f"{place}: the store at {self._client.endpoint} {gap}",
                engine="s3",
                hint="commits would be lost: use a store, or a version of it, with atomic "
                "conditional writes, such as AWS S3 or SeaweedFS 4.48",
            ) from None
        finally:
            trial.clean_up()


class _Gap(Exception):
    """Raised when the store lacks something; its text says what."""


class _Written(NamedTuple):
    """An object as a write left it."""

    etag: str
    data: bytes


class _Trial:
    """One trial, on keys that nobody else uses."""

    def __init__(self, client: Client, deadline: Deadline) -> None:
        self._client = client
        self._deadline = deadline
        self._used: list[str] = []

    def clean_up(self) -> None:
        """Delete what was written; garbage of a few bytes, where that is not allowed."""
        for key in self._used:
            with suppress(DiscfgError):
                self._client.change("delete_object", deadline=self._deadline, Key=key)

    def run(self) -> None:
        """Raises `_Gap`: the store lacks something."""
        for _ in range(_ROUNDS):
            self._round()

    def _round(self) -> None:
        created, replaced = self._new_key(), self._new_key()
        first = self._put(replaced, IfNoneMatch="*")
        if first is None:
            raise _Gap("creates no object with If-None-Match: *")
        if self._put(replaced, IfNoneMatch="*") is not None:
            raise _Gap("overwrites an object although If-None-Match: * forbids it")
        found = self._race(created, replaced, first)
        if found.etag == first.etag or not found.etag:
            raise _Gap("gives two contents of an object the same ETag, or none")
        if self._put(replaced, IfMatch=quoted(first.etag)) is not None:
            raise _Gap("overwrites an object although If-Match names an older ETag")
        if self._put(self._new_key(), IfMatch=quoted(found.etag)) is not None:
            raise _Gap("creates an object although If-Match asks for one that is there")
        answer = self._client.ask("get_object", deadline=self._deadline, Key=replaced)
        if _Written(etag(answer), answer["Body"]) != found:
            raise _Gap("answers a read with something else than what won the race before it")

    def _race(self, created: str, replaced: str, old: _Written) -> _Written:
        """What won the race to replace."""
        creators: list[_Written] = []
        replacers: list[_Written] = []
        for _ in range(_DRAWS):
            line = threading.Barrier(2 * _RACERS)
            create = partial(self._run, line, created, {"IfNoneMatch": "*"})
            replace = partial(self._run, line, replaced, {"IfMatch": quoted(old.etag)})
            won = self._client.parallel.run([create, replace] * _RACERS, self._deadline)
            creators += [each for each in won[::2] if each is not None]
            replacers += [each for each in won[1::2] if each is not None]
            if len(creators) > 1:
                raise _Gap(f"lets {len(creators)} of racing writes with If-None-Match: * win")
            if len(replacers) > 1:
                raise _Gap(f"lets {len(replacers)} of racing writes with If-Match win")
            if creators and replacers:
                return replacers[0]
        raise _Gap("lets none of racing conditional writes win")

    def _run(self, line: threading.Barrier, key: str, condition: dict[str, str]) -> _Written | None:
        with suppress(threading.BrokenBarrierError):
            line.wait(min(self._deadline.remaining(), 2.0))
        return self._put(key, **condition)

    def _new_key(self) -> str:
        self._used.append(self._client.target.place.own(f"race-{os.urandom(16).hex()}"))
        return self._used[-1]

    def _put(self, key: str, **condition: str) -> _Written | None:
        """What a write left; ``None``: its condition did not hold."""
        data = os.urandom(32)
        put = partial(
            self._client.change,
            "put_object",
            deadline=self._deadline,
            patience=_PATIENCE,
            Key=key,
            Body=data,
            **condition,
        )
        try:
            return _Written(etag(_certain(put)), data)
        except (SwapConflict, StoreBusy, errors.Missing):
            return None


def _certain(change: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `change` returns; an unknown outcome leaves the store untried, and no more."""
    try:
        return change()
    except OutcomeUnknown as error:
        raise StoreUnavailable(
            "the store failed while its conditional writes were tried", engine="s3"
        ) from error
