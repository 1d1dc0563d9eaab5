"""The two tables of a store, as they are used, and what they must be like."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import rethinkdb.errors as reql  # type: ignore[import-untyped]  # the driver has no types

from discfg_core.clock import Deadline
from discfg_core.errors import Timeout, UnsupportedStore
from discfg_rethinkdb.client import Pool
from discfg_rethinkdb.errors import SCHEME, is_missing
from discfg_rethinkdb.making import BLOBS, REGISTERS, make_tables
from discfg_rethinkdb.wire import Connection, r

# How old the last look at the tables' settings may be when something is written.
_TRUST_SECONDS: Final = 60.0


class Tables:
    """The tables of `pool`'s database; made by the first write, never by a read.

    Attributes:
        registers, blobs: The tables, for queries; they read what a majority of the replicas has
            on disk, which makes a read linearizable.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._name: Final = pool.target.database
        self._database: Final = r.db(self._name)
        self.registers: Final = self._database.table(REGISTERS, read_mode="majority")
        self.blobs: Final = self._database.table(BLOBS, read_mode="majority")
        self._settings: Final = r.expr([self.registers.config(), self.blobs.config()])
        # They were there once: from then on their absence is a loss, and no beginning.
        self._seen = False
        self._trusted_until = 0.0
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew, in a forked child."""
        self._lock = threading.Lock()

    # --- using them ---

    def read(self, term: Any, deadline: Deadline, *, absent: Any) -> Any:
        """The answer to a query that only reads; `absent` where the tables were never made.

        Raises:
            StoreError: They cannot be read now, or were dropped.
        """

        def work(connection: Connection) -> Any:
            try:
                answer = connection.run(term, deadline)
            except reql.ReqlOpFailedError as error:
                if self._seen or not is_missing(error):
                    raise
                return absent
            self._seen = True
            return answer

        return self._pool.use(work, deadline)

    def write(self, term: Any, deadline: Deadline) -> Any:
        """The answer to a query that writes, on tables that are there and as they must be.

        Raises:
            UnsupportedStore: Their settings endanger the data.
            OutcomeUnknown: It may have happened.
            StoreError, Timeout: It did not.
        """
        self.make_ready(deadline)
        return self._pool.run(term, deadline, write=True)

    def make_ready(self, deadline: Deadline) -> None:
        """Make what is not there, and look at the settings unless that was done within a minute.

        Raises:
            UnsupportedStore: They endanger the data.
            StoreError, Timeout: It could not be done, or not be seen.
        """
        if time.monotonic() < self._trusted_until:
            return
        if not self._lock.acquire(timeout=min(deadline.remaining(), threading.TIMEOUT_MAX)):
            raise Timeout("the tables could not be looked at in time", engine=SCHEME)
        try:
            if time.monotonic() >= self._trusted_until:
                self._look(deadline)
        finally:
            self._lock.release()

    def there(self, deadline: Deadline) -> bool:
        """Whether they are there, or were when somebody last looked. Raises `StoreError`."""
        if not self._seen:
            self._seen = not self.missing(deadline)
        return self._seen

    # --- what they are like ---

    def settings(self, deadline: Deadline) -> list[dict[str, Any]]:
        """The `table_config` of both, https://rethinkdb.com/api/javascript/config/.

        Raises:
            AccessDenied: The user may not see them.
            StoreError: They are not there, or cannot be read now.
        """
        found: list[dict[str, Any]] = self._pool.run(self._settings, deadline)
        return found

    def status(self, deadline: Deadline) -> list[dict[str, Any]]:
        """The `table_status` of both, which any user may see. Raises as `settings`."""
        status = r.expr([self.registers.status(), self.blobs.status()])
        found: list[dict[str, Any]] = self._pool.run(status, deadline)
        return found

    def missing(self, deadline: Deadline) -> list[str]:
        """The names of those that are not there. Raises `StoreError`."""
        there: list[str] = self._pool.run(
            r.branch(r.db_list().contains(self._name), self._database.table_list(), r.expr([])),
            deadline,
        )
        return [name for name in (REGISTERS, BLOBS) if name not in there]

    def _look(self, deadline: Deadline) -> None:
        def work(connection: Connection) -> Any:
            try:
                return connection.run(self._settings, deadline)
            except reql.ReqlOpFailedError as error:
                if self._seen or not is_missing(error):
                    raise
                return None

        found = self._pool.use(work, deadline)
        if found is None:
            replicas = self._pool.target.replicas
            # Not as a write: what the caller is about to write has surely not happened.
            self._pool.use(
                lambda connection: make_tables(connection, self._name, replicas, deadline), deadline
            )
            found = self.settings(deadline)
        self._seen = True
        for settings in found:
            problem, remedy = endangered(settings)
            if problem:
                raise UnsupportedStore(problem, engine=SCHEME, hint=remedy)
        self._trusted_until = time.monotonic() + _TRUST_SECONDS


def endangered(settings: dict[str, Any]) -> tuple[str, str]:
    """What in a table's settings endangers the data, and the remedy; both empty if nothing does."""
    table = f'r.db("{settings["db"]}").table("{settings["name"]}")'
    acks, durability = settings["write_acks"], settings["durability"]
    if acks != "majority":
        problem = f"{table} acknowledges what one replica has, and a fail-over may lose it"
        change = 'config().update({write_acks: "majority"})'
    elif durability != "hard":
        problem = f"{table} acknowledges what is in memory, and a crash may lose it"
        change = 'config().update({durability: "hard"})'
    elif settings.get("write_hook") is not None:
        problem = f"{table} has a write hook, which may change what discfg writes"
        change = "setWriteHook(null)"
    else:
        return "", ""
    return problem, f"run {table}.{change}"
