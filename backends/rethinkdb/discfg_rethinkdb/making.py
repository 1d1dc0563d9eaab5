"""How the two tables come to be, once, whoever else makes them at the same moment.

RethinkDB looks for a table's name before it makes one, and not as it does: two clients that ask
for one table at one moment get two of one name, which nobody can use. So a client first makes a
table whose name is its own, a *claim*. It goes on only if it then sees no other client's claim,
else it takes its own back and tries again later: of two claims, whoever looks last sees both.
(It could rename its claim to what it is to become, if only users with a right to the system's own
tables might do that.)
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

import rethinkdb.errors as reql  # type: ignore[import-untyped]  # the driver has no types

from discfg_core.backoff import Backoff
from discfg_core.clock import Deadline
from discfg_core.errors import StoreBusy
from discfg_rethinkdb.errors import SCHEME
from discfg_rethinkdb.wire import Connection, r

REGISTERS: Final = "discfg_registers"
BLOBS: Final = "discfg_blobs"

# A claim says when it was made; one so old is a dead client's.
_CLAIM: Final = "discfg_making"
_CLAIM_SECONDS: Final = 60.0

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0


def make_tables(connection: Connection, database: str, replicas: int, deadline: Deadline) -> None:
    """Make what is not there, beside others who do the same, and wait until it is ready.

    Raises:
        StoreBusy: Others were at it until the deadline.
        rethinkdb.errors.ReqlError: The server refuses.
        OSError: The connection failed, or the deadline passed.
    """
    maker = _Maker(connection, database, replicas, deadline)
    backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
    maker.make_database()
    while maker.missing():
        if not maker.others() and maker.claimed():
            maker.make()
            continue
        backoff.pause(deadline)
        if deadline.passed():
            raise StoreBusy(
                f"other clients were making the tables of {database!r}",
                engine=SCHEME,
                hint=f"try again; if one of them died at it, {_CLAIM_SECONDS:.0f} s later",
            )
    maker.wait()


class _Maker:
    """One client's try. Each method raises as `make_tables`."""

    def __init__(
        self, connection: Connection, database: str, replicas: int, deadline: Deadline
    ) -> None:
        self._connection = connection
        self._name = database
        self._database = r.db(database)
        self._replicas = replicas
        self._deadline = deadline
        self._claim = ""

    def _run(self, term: Any) -> Any:
        return self._connection.run(term, self._deadline)

    def _create(self, table: str) -> None:
        self._run(self._database.table_create(table, durability="hard", replicas=self._replicas))

    def make_database(self) -> None:
        there = r.db_list().contains(self._name)
        try:
            self._run(r.branch(there, None, r.db_create(self._name)))
        except reql.ReqlOpFailedError:
            # Of a database the server sees to it that there is one of a name.
            if not self._run(there):
                raise

    def missing(self) -> list[str]:
        there = self._run(self._database.table_list())
        return [name for name in (BLOBS, REGISTERS) if name not in there]

    def others(self) -> list[str]:
        """The claims of others; those of dead clients are removed."""
        found = []
        for name in self._run(self._database.table_list()):
            if not name.startswith(f"{_CLAIM}_") or name == self._claim:
                continue
            made = name.removeprefix(f"{_CLAIM}_").partition("_")[0]
            if made.isdigit() and abs(time.time() - int(made)) < _CLAIM_SECONDS:
                found.append(name)
            else:
                self._drop(name)
        return found

    def _drop(self, table: str) -> None:
        try:
            self._run(self._database.table_drop(table))
        except reql.ReqlOpFailedError:
            return  # somebody else did

    def claimed(self) -> bool:
        """Whether this client's claim stands alone; else it is taken back."""
        self._claim = f"{_CLAIM}_{int(time.time())}_{secrets.token_hex(6)}"
        self._create(self._claim)
        if not self.others():
            return True
        self._drop(self._claim)
        return False

    def make(self) -> None:
        """Make what is missing, under the claim; the registers last, without which nobody writes."""
        try:
            for name in self.missing():
                self._create(name)
        except reql.ReqlError:
            self._drop(self._claim)
            raise
        self._drop(self._claim)

    def wait(self) -> None:
        tables = [self._database.table(name) for name in (REGISTERS, BLOBS)]
        self._run(r.expr([table.wait(wait_for="ready_for_writes") for table in tables]))
