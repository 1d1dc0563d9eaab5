"""The checks that write: to a config of the doctor's own, which is removed."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from discfg_core.clock import Deadline
from discfg_core.doctor.bench import SCRATCH, Bench
from discfg_core.doctor.race import Race
from discfg_core.doctor.report import FAILED, WARNING, broken
from discfg_core.engine import ConfigHandle, Finding, Guarantee, StorageEngine, Transaction
from discfg_core.errors import (
    AccessDenied,
    ConfigExists,
    ConfigNotFound,
    Corrupt,
    DiscfgError,
    KeyNotFound,
    OutcomeUnknown,
)

if TYPE_CHECKING:
    from discfg_core.model import Change, Node

CLIENTS = 8

# A dropped config's data may stay until its name is used anew. So the names are few, and what
# the runs of years leave behind is bounded.
_NAMES = 256
_NAME_TRIES = 8
_OWNER = "discfg doctor"
_MESSAGE = "examining the store"

_LARGE_BYTES = 256 * 1024
_ROUNDS = 5
_WRITES_EACH = 3
# A store on which one commit takes longer than this gets less to do.
_SLOW_SECONDS = 0.5
_REMOVAL_SECONDS = 20.0


class Scratch:
    """A config of a random name, and what can be done to it.

    Attributes:
        left: Its name, from when it may exist until it is surely gone.
    """

    def __init__(self, bench: Bench) -> None:
        self.left: str | None = None
        self._bench = bench
        self._settings: dict[str, str] = {}
        self._handle: ConfigHandle | None = None
        self._clients: list[StorageEngine] = []

    def work(self) -> None:
        """Do what applications do.

        Raises:
            Over: The config cannot be created, written to, or seen by others.
        """
        bench = self._bench
        bench.check("create", self._create, needed=True)
        bench.check("set", self._set_and_set, needed=True)
        bench.check("clients", self._gather, needed=True)
        bench.check("large value", self._large_value)
        bench.check("delete", self._delete)
        bench.measure("freshness check", lambda: self._get("/key"))
        bench.measure("warm set", lambda: self._set("/key", b"measured"))
        bench.check("race", self._race)
        bench.check("history", self._look_back)
        bench.check("fsck", self._fsck)

    def remove(self) -> None:
        """Remove the config, if it may be there; repeatable."""
        if self.left is not None and (
            self._handle or self._find_mine(Deadline.after(_REMOVAL_SECONDS / 2))
        ):
            self._bench.check("removal", self._remove)

    # --- create ---

    def _create(self) -> Finding | str:
        for _ in range(_NAME_TRIES):
            name = f"{SCRATCH}{int.from_bytes(os.urandom(2), 'big') % _NAMES:02x}"
            # By these it is known again where an answer was lost.
            self._settings = {"created by": _OWNER, "run": os.urandom(8).hex()}
            self.left = name
            try:
                info = self._bench.engine.create_config(
                    name, self._settings, deadline=self._bench.deadline
                )
            except ConfigExists:
                self.left = None
                continue
            except OutcomeUnknown:
                if not self._find_mine(self._bench.deadline):
                    raise
            except AccessDenied as error:
                self.left = None
                hint = f"{error.hint}; with --read-only nothing is written"
                return Finding("create", FAILED, error.message, hint)
            except DiscfgError:
                self.left = None
                raise
            else:
                self._handle = ConfigHandle(name, info.incarnation)
            return f"{name}, which will be removed"
        raise ConfigExists(
            f"no name is free for a scratch config: {SCRATCH}00 and so on",
            hint="drop those of earlier examinations",
        )

    def _find_mine(self, deadline: Deadline) -> bool:
        """Whether the config that was to be created is there."""
        with suppress(DiscfgError):
            info = self._bench.engine.describe_config(
                ConfigHandle(self.left or ""), deadline=deadline
            )
            if info.settings == self._settings:
                self._handle = ConfigHandle(info.name, info.incarnation)
        return self._handle is not None

    @property
    def _mine(self) -> ConfigHandle:
        assert self._handle is not None, "the scratch config was created"
        return self._handle

    # --- use ---

    def _set(self, key: str, value: bytes, content_type: str = "text/plain") -> Change:
        return self._bench.engine.set(
            self._mine,
            key,
            value,
            content_type,
            options=Transaction(actor=_OWNER, message=_MESSAGE),
            deadline=self._bench.deadline,
        )

    def _get(self, key: str, client: StorageEngine | None = None) -> Node:
        engine = client or self._bench.engine
        return engine.get(self._mine, key, deadline=self._bench.deadline)

    def _set_and_set(self) -> Finding | str:
        first, second = self._set("/key", b"one"), self._set("/key", b"two")
        if (first.prev_node, second.prev_node) != (None, first.node):
            return broken("set", "a write did not return the very node that it replaced")
        if self._get("/key") != second.node:
            return broken("set", "what was read is not what had been written")
        return "a write returned the very node that it replaced, and was read back"

    def _gather(self) -> Finding | str:
        """Open the clients of the race; each meets the config for the first time."""
        self._clients = [self._bench.engine]
        while len(self._clients) < CLIENTS:
            client = self._bench.open()
            try:
                node = self._bench.meet(client, self._mine, "/key")
            except ConfigNotFound:
                if Guarantee.SHARED in self._bench.engine.guarantees:
                    return broken("clients", "a client does not see a config that another created")
                self._clients *= CLIENTS
                return f"the store has a single client, which is used by {CLIENTS} threads"
            if node.value != b"two":
                return broken("clients", "a client read what had been overwritten before")
            self._clients.append(client)
        return f"{CLIENTS} clients with connections of their own see the same config"

    def _large_value(self) -> Finding | str:
        large = os.urandom(_LARGE_BYTES)
        self._set("/large", large, "application/octet-stream")
        if self._get("/large", self._clients[-1]).value != large:
            return broken("large value", "a large value was read back as another one")
        return f"{_LARGE_BYTES // 1024} KiB, read back as they were written"

    def _delete(self) -> Finding | str:
        self._bench.engine.delete(self._mine, "/large", deadline=self._bench.deadline)
        try:
            self._get("/large", self._clients[-1])
        except KeyNotFound:
            return "a key was deleted, and another client does not find it"
        return broken("delete", "a deleted key is still there")

    def _race(self) -> Finding | str:
        taken, left = self._bench.typical("warm set"), self._bench.deadline.remaining()
        rounds, each = (2, 1) if taken > _SLOW_SECONDS else (_ROUNDS, _WRITES_EACH)
        # The last of all who write at once waits for all the others.
        patience = min(max(2 * CLIENTS * taken, left / 10), left / 3)
        race = Race(self._clients, self._mine, patience, self._bench.deadline)
        try:
            race.conditional(rounds)
            race.unconditional(each)
            verdict = race.verdict()
        except Corrupt as error:
            return broken("race", error.message)
        if verdict.problems:
            return broken("race", "; ".join(verdict.problems))
        if verdict.errors:
            told = sorted({f"{type(error).__name__}: {error}" for error in verdict.errors})
            message = f"{len(verdict.errors)} writes failed: {'; '.join(told)}"
            return Finding("race", FAILED, message)
        message = (
            f"{rounds} rounds of {CLIENTS} writers on one condition, one winner each; "
            f"{verdict.acknowledged} writes, each once in the history"
        )
        if verdict.unknown:
            message += f"; of {verdict.unknown} more the outcome was unknown at first"
        if verdict.refused:
            message += f"; {verdict.refused} were refused, or not done in {patience:.0f} s"
            return Finding("race", WARNING, message, "give the store more capacity")
        return message

    def _look_back(self) -> Finding | str:
        page = self._bench.engine.history(
            self._mine, prefix="/large", deadline=self._bench.deadline
        )
        actions = [change.action.value for commit in page.commits for change in commit.changes]
        if actions != ["removed", "added"]:
            return broken("history", f"of a key that was added and removed it says {actions}")
        last = page.commits[-1]
        if (last.actor, last.message) != (_OWNER, _MESSAGE):
            return broken("history", "it lost who made a commit, and why")
        return "who, why and what, as it was done"

    def _fsck(self) -> Finding | str:
        report = self._bench.engine.check(self._mine.name, deadline=self._bench.deadline)
        if report.problems:
            return broken("fsck", "; ".join(report.problems))
        return f"{report.commits} commits replayed, {report.keys} keys compared"

    # --- remove ---

    def _remove(self) -> Finding | str:
        try:
            self._delete_config(self._bench.engine)
        except DiscfgError:
            # What a store that lies did to this client need not be true of another.
            try:
                self._delete_config(self._bench.open())
            except DiscfgError as error:
                name = self._mine.name
                hint = f"{error.hint or 'see what is wrong'}; then: discfg drop {name}"
                return Finding("removal", FAILED, error.message, hint)
        self.left = None
        return f"{self._mine.name} is gone"

    def _delete_config(self, client: StorageEngine) -> None:
        def delete() -> None:
            client.delete_config(self._mine, actor=_OWNER, message="examined", deadline=deadline)

        deadline = Deadline.after(_REMOVAL_SECONDS / 2)
        with suppress(ConfigNotFound):
            try:
                delete()
            except OutcomeUnknown:
                delete()
