"""One connection to a RethinkDB server, with a deadline on everything.

The query language, the handshake, the error classes and the numbers of the protocol
(https://rethinkdb.com/docs/writing-drivers/) are the official driver's. Its connection class is
not used: a query of it has no time limit, its deadlines follow the wall clock, and an
interrupted one connects anew by itself.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
import rethinkdb  # type: ignore[import-untyped]  # the driver has no types
import rethinkdb.ast  # type: ignore[import-untyped]  # the driver has no types
import rethinkdb.errors as reql  # type: ignore[import-untyped]  # the driver has no types
from rethinkdb.handshake import HandshakeV1_0  # type: ignore[import-untyped]  # no types
from rethinkdb.ql2_pb2 import Query, Response, Term  # type: ignore[import-untyped]  # no types

from discfg_core.clock import Deadline

r: Final[Any] = rethinkdb.r

_START: Final[int] = Query.QueryType.START
_CONTINUE: Final[int] = Query.QueryType.CONTINUE
_STOP: Final[int] = Query.QueryType.STOP
_FUNCALL: Final[int] = Term.TermType.FUNCALL
_ATOM: Final[int] = Response.ResponseType.SUCCESS_ATOM
_PARTIAL: Final[int] = Response.ResponseType.SUCCESS_PARTIAL
_SUCCESS: Final = frozenset({_ATOM, _PARTIAL, Response.ResponseType.SUCCESS_SEQUENCE})

_ERRORS: Final[dict[int, type[Exception]]] = {
    Response.ErrorType.INTERNAL: reql.ReqlInternalError,
    Response.ErrorType.RESOURCE_LIMIT: reql.ReqlResourceLimitError,
    Response.ErrorType.QUERY_LOGIC: reql.ReqlQueryLogicError,
    Response.ErrorType.NON_EXISTENCE: reql.ReqlNonExistenceError,
    Response.ErrorType.OP_FAILED: reql.ReqlOpFailedError,
    Response.ErrorType.OP_INDETERMINATE: reql.ReqlOpIndeterminateError,
    Response.ErrorType.USER: reql.ReqlUserError,
    Response.ErrorType.PERMISSION_ERROR: reql.ReqlPermissionError,
}

_HEADER: Final = struct.Struct("<QL")
_RECEIVE_BYTES: Final = 256 * 1024
_HANDSHAKE_BYTES: Final = 16 * 1024
# What a socket takes as a time-out.
_LONGEST: Final = 1_000_000.0

# A peer that is gone without a word is noticed after about half a minute, and that only matters
# to a connection that waits for a change and has no question of its own to miss an answer to.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class NotRethinkDB(Exception):
    """Raised when what answers the handshake does not speak the protocol."""


class Answer(msgspec.Struct, frozen=True):
    """One message of the server."""

    kind: int = msgspec.field(name="t")
    rows: list[Any] = msgspec.field(name="r")
    error: int | None = msgspec.field(name="e", default=None)

    @property
    def more(self) -> bool:
        """Whether the query goes on."""
        return self.kind == _PARTIAL

    def check(self) -> None:
        """Raises the driver's class for an error, with the server's message.

        Without the query, which the driver would print: it is long, and nobody's but ours.
        """
        if self.kind in _SUCCESS:
            return
        message = str(self.rows[0]) if self.rows else "no message"
        if self.kind == Response.ResponseType.CLIENT_ERROR:
            raise reql.ReqlDriverError(message)
        if self.kind == Response.ResponseType.COMPILE_ERROR:
            raise reql.ReqlServerCompileError(message)
        raise _ERRORS.get(self.error or 0, reql.ReqlRuntimeError)(message)


class Login(msgspec.Struct, frozen=True):
    """A user and a password; no text form shows them."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Login(***)"

    def __rich_repr__(self) -> Any:
        # Rich would print every field of a struct.
        yield "***"

    def handshake(self, host: str, port: int) -> Any:
        """The driver's handshake.

        It takes the password's characters for bytes; given those of its UTF-8, they are.
        """
        password = self.password.encode().decode("latin-1")
        return HandshakeV1_0(
            msgspec.json.Decoder(), rethinkdb.ast.ReQLEncoder(), host, port, self.user, password
        )


class Connection:
    """A connection to one server, once `open` returned; for one thread at a time.

    Attributes:
        host, port: Of the server.
        version: The server's, as it says itself.
        sent: The last query was handed to the system whole: the server may have it.
        idle: No answer is outstanding, so that the connection can serve the next one.
        patience: Seconds of silence after which an answer is no longer waited for.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.version = ""
        self.sent = False
        self.idle = True
        self.patience = _LONGEST
        self._next = 0
        self._buffer = bytearray()
        self._socket: socket.socket | None = None
        self._interrupted = False

    @property
    def address(self) -> tuple[str, int]:
        """The server's host and port."""
        return self.host, self.port

    def open(self, login: Login, tls: ssl.SSLContext | None, deadline: Deadline) -> None:
        """Connect.

        Raises:
            OSError: The server cannot be reached in time, or its certificate is not trusted.
            rethinkdb.errors.ReqlError: It refuses the user.
            NotRethinkDB: Something else answers there.
        """
        try:
            self._connect(tls, deadline)
            self._shake_hands(login, deadline)
        except BaseException:
            self.close()
            raise

    def _connect(self, tls: ssl.SSLContext | None, deadline: Deadline) -> None:
        failure: OSError | None = None
        addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            share = Deadline.after(deadline.remaining() / (len(addresses) - number))
            try:
                self._use(socket.socket(family, kind, protocol))
                self._timed(share).connect(address)
                _set_options(self._line)
                if tls is not None:
                    plain = self._timed(share)
                    self._use(tls.wrap_socket(plain, server_hostname=self.host))
            except OSError as error:
                self.close()
                failure = error
            else:
                return
        raise failure or OSError(f"{self.host} has no address")

    def _use(self, line: socket.socket) -> None:
        self._socket = line
        if self._interrupted:
            raise ConnectionAbortedError("interrupted")

    @property
    def _line(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionAbortedError("the connection is not open")
        return self._socket

    def _shake_hands(self, login: Login, deadline: Deadline) -> None:
        handshake = login.handshake(self.host, self.port)
        answer: bytes | None = None
        try:
            while (request := handshake.next_message(answer)) is not None:
                if request:
                    self._send(request, deadline)
                while (end := self._buffer.find(0)) < 0:
                    if len(self._buffer) > _HANDSHAKE_BYTES:
                        raise NotRethinkDB("it talks without an end")
                    self._read(self._timed(deadline))
                answer = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                if not self.version:
                    self.version = str(msgspec.json.decode(answer).get("server_version", "unknown"))
        except (ValueError, LookupError, AttributeError, msgspec.MsgspecError) as error:
            said = answer or bytes(self._buffer)
            raise NotRethinkDB(f"it says {said[:80]!r}") from error

    # --- queries ---

    def run(self, term: Any, deadline: Deadline) -> Any:
        """The value of a query; a list of all rows where it is a sequence.

        Args:
            term: The query, of the driver's making or a `Prepared` one's.
            deadline: The end of it.

        Raises:
            rethinkdb.errors.ReqlError: The server's answer.
            OSError: The connection failed, or the deadline passed; see `sent`.
        """
        answer = self.ask(term, deadline)
        if answer.kind == _ATOM:
            return answer.rows[0]
        rows = answer.rows
        while answer.more:
            answer = self.ask_more(deadline)
            rows.extend(answer.rows)
        return rows

    def ask(self, term: Any, deadline: Deadline) -> Answer:
        """The first part of a query's answer. Raises as `run`."""
        query = self.start(term, deadline)
        return self._answer(query, deadline)

    def ask_more(self, deadline: Deadline) -> Answer:
        """The next part of the last query's answer. Raises as `run`."""
        query = self._next - 1
        self.go_on(query, deadline)
        return self._answer(query, deadline)

    def start(self, term: Any, deadline: Deadline) -> int:
        """Send a query, whose answer is not waited for. Returns its number. Raises OSError."""
        body = term if isinstance(term, bytes) else _encode(term)
        text = b"[%d,%b,{}]" % (_START, body)
        self._next += 1
        query = self._next - 1
        self.idle = False
        self._send(_HEADER.pack(query, len(text)) + text, deadline)
        return query

    def go_on(self, query: int, deadline: Deadline) -> None:
        """Ask for more of a query's answer, which is not waited for. Raises OSError."""
        self._say(_CONTINUE, query, deadline)

    def stop(self, query: int, deadline: Deadline) -> None:
        """End a query; a word or two of it may yet come. Raises OSError."""
        self._say(_STOP, query, deadline)

    def _say(self, what: int, query: int, deadline: Deadline) -> None:
        text = b"[%d]" % what
        self._send(_HEADER.pack(query, len(text)) + text, deadline)

    def _answer(self, query: int, deadline: Deadline) -> Answer:
        while (message := self._message()) is None:
            self._read(self._timed(deadline))
        number, answer = message
        if number != query:
            raise ConnectionAbortedError(f"an answer to query {number} instead of {query}")
        self.idle = not answer.more
        answer.check()
        return answer

    def receive_all(self) -> Iterator[tuple[int, Answer]]:
        """The messages that are there, each with the number of its query, without waiting.

        Raises:
            OSError: The connection failed.
        """
        line = self._line
        line.settimeout(0)
        with suppress(BlockingIOError, ssl.SSLWantReadError):
            while True:
                self._read(line)
        while (message := self._message()) is not None:
            yield message

    def _message(self) -> tuple[int, Answer] | None:
        if len(self._buffer) < _HEADER.size:
            return None
        number, length = _HEADER.unpack_from(self._buffer)
        end = _HEADER.size + length
        if len(self._buffer) < end:
            return None
        with memoryview(self._buffer) as view:
            try:
                answer = msgspec.json.decode(view[_HEADER.size : end], type=Answer)
            except msgspec.MsgspecError as error:
                raise ConnectionAbortedError("the answer is no JSON of the protocol") from error
        del self._buffer[:end]
        return number, answer

    # --- bytes ---

    def _send(self, data: bytes, deadline: Deadline) -> None:
        self.sent = False
        view = memoryview(data)
        while view:
            view = view[self._timed(deadline).send(view) :]
        # Without its last byte a query is none.
        self.sent = True

    def _read(self, line: socket.socket) -> None:
        chunk = line.recv(_RECEIVE_BYTES)
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        self._buffer += chunk

    def _timed(self, deadline: Deadline) -> socket.socket:
        """The socket, whose next operation ends by the deadline."""
        remaining = deadline.remaining()
        if not remaining:
            raise TimeoutError("no answer in time")
        self._line.settimeout(min(remaining, self.patience))
        return self._line

    # --- life ---

    def stale(self) -> bool:
        """Whether an idle connection was ended by the server, or has said what nobody asked."""
        return bool(self._buffer) or not self.idle or self.poll(0)

    def poll(self, seconds: float) -> bool:
        """Whether something came, or the connection ended, within so many seconds."""
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def interrupt(self) -> None:
        """End what another thread is waiting for on it, opening included; that one closes it."""
        self._interrupted = True
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back; idempotent. In a forked child the parent's stays as it is."""
        self.idle = False
        if self._socket is not None:
            self._socket.close()


class Prepared:
    """A query with parameters, put into the protocol's form once and not at each use: with the
    driver that takes longer than the server's answer.

    Args:
        function: Takes the parameters, as the query language's variables; returns the query. No
            bound method, whose `self` the driver would take for one of them.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._text = _encode(rethinkdb.ast.Func(function))

    def of(self, *values: Any) -> bytes:
        """The query with these values: text, None, or a dict of them and of `binary`."""
        arguments = b",".join((self._text, *map(msgspec.json.encode, values)))
        return b"[%d,[%b]]" % (_FUNCALL, arguments)


def _encode(term: Any) -> bytes:
    text: str = rethinkdb.ast.ReQLEncoder().encode(term)
    return text.encode()


def binary(data: bytes) -> dict[str, str]:
    """Bytes, as a query takes them."""
    return {"$reql_type$": "BINARY", "data": b2a_base64(data, newline=False).decode()}


def from_binary(value: Any) -> bytes:
    """Bytes, as an answer has them.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, dict) or value.get("$reql_type$") != "BINARY":
        raise TypeError(f"a {type(value).__name__} where bytes should be")
    return a2b_base64(value["data"])


def _set_options(line: socket.socket) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        for name, seconds in _KEEPALIVE:
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
