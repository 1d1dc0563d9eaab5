"""Connections to the servers of one cluster: one user at a time, several hosts, none left over."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec
import rethinkdb.errors as reql  # type: ignore[import-untyped]  # the driver has no types

from discfg_core.clock import Deadline
from discfg_core.errors import Closed, DiscfgError, StoreBusy, StoreError, Timeout
from discfg_core.urls import Host, StoreURL
from discfg_rethinkdb.errors import SCHEME, translate
from discfg_rethinkdb.wire import Connection, Login, NotRethinkDB

_Result = TypeVar("_Result")

DEFAULT_PORT: Final = 28015

# A host that cannot be reached is given up after so many seconds, however long the deadline is;
# one of several, also when a query hears nothing from it for so long.
_PATIENCE_SECONDS: Final = 10.0


class Target(msgspec.Struct, frozen=True):
    """Whom to connect to, and as whom; no text form shows a secret.

    Attributes:
        url: The store's; it knows how to take its secrets out of a text.
        login: The user and the password.
        tls: How to speak TLS; ``None``: not at all.
        database: The database.
        replicas: Of tables that are made.
        connections: At most, at a time.
    """

    url: StoreURL
    login: Login
    tls: ssl.SSLContext | None
    database: str
    replicas: int = 1
    connections: int = 16

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Each with its port."""
        return tuple(Host(host.host, host.port or DEFAULT_PORT) for host in self.url.hosts)

    def __repr__(self) -> str:
        return f"Target({str(self.url)!r})"

    def __rich_repr__(self) -> Any:
        # Rich would print every field of a struct.
        yield str(self.url)


class Pool:
    """Connections to `target`, opened when needed, each lent to one thread at a time.

    A connection that failed, or has an answer outstanding, is never lent again. Hosts are tried
    in the URL's order, from the one that served last.
    """

    def __init__(self, target: Target) -> None:
        self.target: Final = target
        self._hosts = target.hosts
        self._closed = False
        self._renew()

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._idle: list[Connection] = []
        # In somebody's hands, or being opened.
        self._lent: set[Connection] = set()
        # Those lent, and those being opened.
        self._taken = 0
        self._first = 0

    # --- queries ---

    def run(self, term: Any, deadline: Deadline, *, write: bool = False) -> Any:
        """The answer to a query, see `Connection.run`.

        Args:
            term: The query.
            deadline: The end of it.
            write: It changes something, so that without an answer its outcome is unknown.

        Raises:
            OutcomeUnknown: It is a write, and may have happened.
            StoreError, Timeout: It did not.
            Closed: This was closed.
        """
        return self.use(lambda connection: connection.run(term, deadline), deadline, write=write)

    def use(
        self, work: Callable[[Connection], _Result], deadline: Deadline, *, write: bool = False
    ) -> _Result:
        """What `work` returns, called with a connection that it has for itself. As `run`."""
        with self.lend(deadline) as connection, self.translated(connection, write=write):
            return work(connection)

    @contextmanager
    def translated(self, connection: Connection, *, write: bool = False) -> Iterator[None]:
        """Raise what the block raises of the store's as what it means."""
        connection.sent = False
        try:
            yield
        except (reql.ReqlError, OSError) as error:
            in_doubt = write and connection.sent
            if not in_doubt:
                # Then it may be `close` that ended the connection.
                self.check_open()
            if isinstance(error, reql.ReqlAvailabilityError | OSError):
                # Another server of the cluster may be there, and see those that this one does not.
                self._shun(connection)
            found = self.error(error, connection, in_doubt=in_doubt)
            raise found from found.__cause__

    def error(
        self, error: Exception, where: Connection | Host, *, in_doubt: bool = False
    ) -> DiscfgError:
        """What an error of the store's means, see `translate`, without any secret; the error is
        its cause, unless that holds one.
        """
        text, scrub = str(error), self.target.url.scrub
        found = translate(error, str(Host(where.host, where.port)), scrub, in_doubt=in_doubt)
        found.__cause__ = error if scrub(text) == text else None
        return found

    # --- lending ---

    @contextmanager
    def lend(self, deadline: Deadline) -> Iterator[Connection]:
        """A connection, given back at the end, or dropped where it is of no more use.

        Raises:
            StoreBusy: All were in use until the deadline.
            StoreError, Timeout: None could be opened.
            Closed: This was closed.
        """
        connection = self._take(deadline)
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _take(self, deadline: Deadline) -> Connection:
        self._reserve(deadline)
        try:
            connection = self._pop() or self.connect(deadline)
        except BaseException:
            self._release()
            raise
        return connection

    def _reserve(self, deadline: Deadline) -> None:
        """One of the connections that there may be is the caller's."""
        with self._lock:
            while True:
                self.check_open()
                if deadline.passed():
                    raise Timeout("the deadline had passed", engine=SCHEME)
                if self._taken < self.target.connections:
                    self._taken += 1
                    return
                if not self._changed.wait(min(deadline.remaining(), threading.TIMEOUT_MAX)):
                    raise StoreBusy(
                        f"all {self.target.connections} connections were in use",
                        engine=SCHEME,
                        hint="raise the URL's option `connections`, or use a longer timeout",
                    )

    def _release(self) -> None:
        with self._lock:
            self._taken -= 1
            self._changed.notify()

    def _pop(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
                self._lent.add(connection)
            if not connection.stale():
                return connection
            self.drop(connection)

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            self._taken -= 1
            keep = connection.idle and not self._closed
            if keep:
                self._lent.discard(connection)
                self._idle.append(connection)
            self._changed.notify()
        if not keep:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection that the caller has; idempotent."""
        connection.close()
        with self._lock:
            self._lent.discard(connection)

    def _shun(self, connection: Connection) -> None:
        """Begin with the next host, and keep no connection to this one."""
        if len(self._hosts) == 1:
            return
        connection.idle = False
        with self._lock:
            if self._hosts[self._first] == connection.address:
                self._first = (self._first + 1) % len(self._hosts)
            shunned = [each for each in self._idle if each.address == connection.address]
            self._idle = [each for each in self._idle if each not in shunned]
        for each in shunned:
            each.close()

    # --- connecting ---

    def connect(self, deadline: Deadline) -> Connection:
        """A new connection, for the caller to `drop`, to the first host that takes it.

        Raises:
            AccessDenied: A server refuses the user.
            StoreError: None can be reached; the error is the last host's.
            Closed: This was closed meanwhile.
        """
        first, count = self._first, len(self._hosts)
        failure: StoreError | None = None
        for tried in range(count):
            index = (first + tried) % count
            share = min(deadline.remaining() / (count - tried), _PATIENCE_SECONDS)
            host = self._hosts[index]
            connection = Connection(host.host, host.port or DEFAULT_PORT)
            with self._lock:
                self.check_open()
                self._lent.add(connection)
            try:
                connection.open(self.target.login, self.target.tls, Deadline.after(share))
            except (OSError, reql.ReqlError, NotRethinkDB) as error:
                self.drop(connection)
                self.check_open()
                found = self.error(error, host)
                if isinstance(error, reql.ReqlAuthError):
                    raise found from found.__cause__
                assert isinstance(found, StoreError), "nothing was sent"
                failure = found
                continue
            except BaseException:
                self.drop(connection)
                raise
            self._first = index
            if count > 1:
                connection.patience = _PATIENCE_SECONDS
            return connection
        assert failure is not None, "a target has a host"
        raise failure from failure.__cause__

    # --- life ---

    def check_open(self) -> None:
        """Raises `Closed` after `close`."""
        if self._closed:
            raise Closed("this store was closed", engine=SCHEME)

    def after_fork(self) -> None:
        """Begin anew, in a forked child: the parent's connections stay as they are.

        Only this process's descriptors of them are given back, which sends nothing; kept, they
        would hide the parent's end from the server.
        """
        inherited = [*self._idle, *self._lent]
        self._renew()
        for connection in inherited:
            connection.close()

    def close(self) -> None:
        """End every connection; those in use fail with `Closed`; idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for connection in self._lent:
                connection.interrupt()
            self._changed.notify_all()
        for connection in idle:
            connection.close()
