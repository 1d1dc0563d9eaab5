"""What an operator should know of a RethinkDB store as it is set up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from discfg_core.clock import Deadline
from discfg_core.engine import Finding, FindingStatus
from discfg_core.errors import AccessDenied, DiscfgError
from discfg_rethinkdb.client import Pool
from discfg_rethinkdb.making import REGISTERS
from discfg_rethinkdb.tables import Tables, endangered

OK: Final = FindingStatus.OK
WARNING: Final = FindingStatus.WARNING
FAILED: Final = FindingStatus.FAILED

_OLDEST: Final = (2, 4)
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_LOOPBACK: Final = re.compile(r"localhost|127\..*|::1")

# The id of no register: a name never holds this character, and a hash has more behind it.
_NOBODY: Final = "~"


def diagnose(pool: Pool, tables: Tables, deadline: Deadline) -> Iterator[Finding]:
    """What is found, the server first; the rest only where that can be asked."""
    try:
        version = pool.use(lambda connection: connection.version, deadline)
    except DiscfgError as error:
        yield Finding("server", FAILED, error.message, error.hint or "")
        return
    yield _server(version)
    yield from _connection(pool)
    try:
        missing = tables.missing(deadline)
    except DiscfgError as error:
        yield Finding("tables", FAILED, error.message, error.hint or "")
        return
    if len(missing) == 1:
        yield Finding(
            "tables",
            FAILED,
            f"database {pool.target.database!r} has no table {missing[0]}, and the other one",
            "restore it; or drop the other one, too, to begin without data",
        )
        return
    if missing:
        yield Finding(
            "tables",
            WARNING,
            f"database {pool.target.database!r} has no table {' and no '.join(missing)} yet",
            "the first write makes them, if the user has the right `config` on the database",
        )
        return
    yield from _permissions(pool, tables, deadline)
    yield from _settings(tables, deadline)
    yield from _replicas(tables, deadline)


def _server(version: str) -> Finding:
    found = _VERSION.match(version)
    if found is None:
        return Finding("server", WARNING, f"RethinkDB of a version unknown to discfg: {version}")
    if (int(found[1]), int(found[2])) < _OLDEST:
        return Finding("server", FAILED, f"RethinkDB {version}", "upgrade it to 2.4 or later")
    return Finding("server", OK, f"RethinkDB {version}")


def _connection(pool: Pool) -> Iterator[Finding]:
    target = pool.target
    near = all(_LOOPBACK.fullmatch(host.host) for host in target.hosts)
    if target.tls is None and not near:
        yield Finding(
            "encryption",
            WARNING,
            "data travels unencrypted (the password does not travel at all)",
            "give the server `--driver-tls-key` and `--driver-tls-cert`, and the URL `ca`",
        )
    if not target.login.password and not near:
        yield Finding(
            "password",
            WARNING,
            f"user {target.login.user!r} has no password",
            'set one in r.db("rethinkdb").table("users")',
        )


def _permissions(pool: Pool, tables: Tables, deadline: Deadline) -> Iterator[Finding]:
    """Asked by queries that find nothing to read or to write."""
    user = pool.target.login.user
    lacking: list[str] = []
    for right, term in (
        ("read", tables.registers.get(_NOBODY)),
        ("write", tables.registers.get(_NOBODY).delete()),
        ("config", tables.registers.config()["id"]),
    ):
        try:
            pool.run(term, deadline)
        except AccessDenied:
            lacking.append(right)
        except DiscfgError as error:
            yield Finding("permissions", FAILED, error.message, error.hint or "")
            return
    if not lacking:
        yield Finding("permissions", OK, f"user {user!r} may read, write and see the settings")
    elif "read" in lacking:
        yield Finding("permissions", FAILED, f"user {user!r} may not read", _grant(pool, user))
    else:
        yield Finding(
            "permissions",
            WARNING,
            f"user {user!r} may read, but not write: it lacks {' and '.join(lacking)}",
            _grant(pool, user),
        )


def _grant(pool: Pool, user: str) -> str:
    return (
        f'to let it write, run r.db("{pool.target.database}").table("{REGISTERS}")'
        f'.grant("{user}", {{read: true, write: true, config: true}}), and on the other table, too'
    )


def _settings(tables: Tables, deadline: Deadline) -> Iterator[Finding]:
    try:
        settings = tables.settings(deadline)
    except AccessDenied:
        yield Finding(
            "durability",
            WARNING,
            "this user may not see the tables' settings",
            "ask as a user with the right `config`",
        )
        return
    except DiscfgError as error:
        yield Finding("durability", FAILED, error.message, error.hint or "")
        return
    problems = [found for found in map(endangered, settings) if found[0]]
    for problem, remedy in problems:
        yield Finding("durability", FAILED, problem, remedy)
    if not problems:
        yield Finding("durability", OK, "write_acks is majority, durability is hard")


def _replicas(tables: Tables, deadline: Deadline) -> Iterator[Finding]:
    try:
        status = tables.status(deadline)
    except DiscfgError as error:
        yield Finding("replicas", FAILED, error.message, error.hint or "")
        return
    for table in status:
        yield _replicas_of(table)


def _replicas_of(table: dict[str, Any]) -> Finding:
    name, ready = table["name"], table["status"]
    counts = [len(shard["replicas"]) for shard in table["shards"]]
    fewest = min(counts, default=0)
    if not ready["ready_for_writes"]:
        return Finding(
            "replicas",
            FAILED,
            f"table {name} cannot be written now: a majority of its replicas is missing",
            "start the servers that hold them",
        )
    if not ready["all_replicas_ready"]:
        return Finding("replicas", WARNING, f"table {name} has replicas that are not ready")
    if fewest == 1:
        return Finding(
            "replicas",
            WARNING,
            f"table {name} has one replica: its data is lost with that server's disk",
            f'on a cluster, run r.db("{table["db"]}").table("{name}").reconfigure'
            "({shards: 1, replicas: 3})",
        )
    return Finding("replicas", OK, f"table {name} has {fewest} replicas")
