"""A TCP proxy on loopback that fails on purpose: the faults of a network before a real server.

    with FaultProxy("127.0.0.1", server_port) as proxy:
        client = MySubstrate(f"mystore://127.0.0.1:{proxy.port}/db")
        fault = proxy.reset_after(times=1, when=lambda request: request.startswith(b"PUT"))
        ...                     # the next PUT is applied, and its answer is lost
        assert fault.hits == 1  # it did strike

It passes bytes on unchanged, so TLS and any protocol work. What a *request* is: of HTTP/1.1, a
request; of HTTP/2 (gRPC), the piece in which HEADERS or DATA arrive; else each piece that arrives
from the client.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from discfg_core.testing.proxy_connection import Connection

When: TypeAlias = Callable[[bytes], bool]
Kind: TypeAlias = Literal["reset_before", "reset_after", "delay", "black_hole", "answer"]

_MOST_CONNECTIONS: Final = 512


def http_answer(
    status: int, body: bytes = b"", *, content_type: str = "application/xml", **headers: str
) -> bytes:
    """An HTTP/1.1 answer for `FaultProxy.answer`, after which the connection stays open.

    Args:
        status: Such as 503.
        body: Whole.
        content_type: Of the body.
        headers: More of them; an underscore stands for a dash.
    """
    lines = [f"HTTP/1.1 {status} Fault", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Fault:
    """A fault that was set, and how often it struck. Thread-safe.

    Made by the methods of `FaultProxy`.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        times: int | None = None,
        when: When | None = None,
        seconds: float = 0.0,
        patience: float = 0.0,
        content: bytes = b"",
    ) -> None:
        self.kind: Kind = kind
        self.seconds = seconds
        self.patience = patience
        self.content = content
        self.when = when
        self._left = times
        self._hits = 0
        self._changed = threading.Condition()

    @property
    def hits(self) -> int:
        """How many requests it struck, in full: for `reset_after`, after the server's answer."""
        with self._changed:
            return self._hits

    def wait(self, hits: int = 1, timeout: float = 30.0) -> None:
        """Return when it has struck so often.

        Raises:
            AssertionError: It did not, within `timeout` seconds.
        """
        with self._changed:
            struck = self._changed.wait_for(lambda: self._hits >= hits, timeout)
            assert struck, f"{self.kind} struck {self._hits} times, not {hits}"

    @property
    def takes_all(self) -> bool:
        """Whether nothing chooses what it strikes."""
        return self._left is None and self.when is None

    def take(self, request: bytes) -> bool:
        """Whether it strikes this request; then one of its `times` is used up."""
        if self.when is not None and not self.when(request):
            return False
        with self._changed:
            if self._left == 0:
                return False
            if self._left is not None:
                self._left -= 1
            return True

    def struck(self) -> None:
        """Count a hit."""
        with self._changed:
            self._hits += 1
            self._changed.notify_all()


class FaultProxy:
    """Passes connections on to a server, until it is told to fail. Thread-safe.

    One fault is in force at a time: each method replaces the one before, for connections that are
    open, too. A fault strikes `times` requests (None: until it is replaced), of those for which
    `when` is true of the first bytes: of HTTP/1.1 the request's head, else the piece. `when` runs
    in the proxy's thread; what it raises, `close` raises again. At most 512 connections.

    The process must not fork while it is open: a child's copy of a socket would keep it alive.

    Args:
        host: The server's.
        port: The server's. It need not be up: then a connection is reset once it was accepted.
    """

    def __init__(self, host: str, port: int) -> None:
        self._upstream: Final = (host, port)
        # Bound and never listening: while connections are refused, the port stays ours.
        self._reservation = _bind(0)
        self.port: Final[int] = self._reservation.getsockname()[1]
        self._fault: Fault | None = None
        self._error: BaseException | None = None
        self._listener: socket.socket | None = None
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._closed = False
        self._commands = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="discfg-fault-proxy", daemon=True
        )
        self._thread.start()
        self._do(self._listen())

    # --- what it is told ---

    def clear(self) -> None:
        """Pass everything on again; what a fault has hold of already, it keeps."""
        self._do(self._enforce(None))

    def refuse(self) -> None:
        """Refuse connections and reset those that are open, until the next call: a dead server."""
        self._do(self._refuse())

    def reset_connections(self) -> None:
        """Reset the connections that are open, whatever they are at, and accept new ones."""
        self._do(self._reset_connections())

    def reset_before(self, *, times: int | None = None, when: When | None = None) -> Fault:
        """Reset the connection as a request arrives; the server sees nothing of it."""
        return self._set(Fault("reset_before", times=times, when=when))

    def reset_after(
        self,
        *,
        times: int | None = None,
        when: When | None = None,
        patience: float = 10.0,
        settle: float = 0.0,
    ) -> Fault:
        """Pass a request on, wait for its answer, drop that, and reset the connection.

        The client cannot know what became of the request, which was applied. Only bytes of the
        answer count as a hit; without any for `patience` seconds, the connection is reset, too.

        Args:
            times: See the class.
            when: See the class.
            patience: Seconds.
            settle: Seconds more, for a protocol of which the proxy cannot tell an answer from
                some other bytes of the server's (neither HTTP nor gRPC).
        """
        fault = Fault("reset_after", times=times, when=when, patience=patience, seconds=settle)
        return self._set(fault)

    def delay(self, seconds: float, *, times: int | None = None, when: When | None = None) -> Fault:
        """Hold a request for so long before it is passed on, and its answer for as long again."""
        return self._set(Fault("delay", times=times, when=when, seconds=seconds))

    def black_hole(self, *, times: int | None = None, when: When | None = None) -> Fault:
        """Swallow a request, and all that follows in either direction; the connection stays open.

        With neither `times` nor `when`, every open connection falls silent at once, what a server
        sends unasked included. A connection that fell silent stays so.
        """
        return self._set(Fault("black_hole", times=times, when=when))

    def answer(
        self, content: bytes, *, times: int | None = None, when: When | None = None
    ) -> Fault:
        """Answer a request in the server's place, once it has arrived whole; see `http_answer`."""
        return self._set(Fault("answer", times=times, when=when, content=content))

    def close(self) -> None:
        """Reset what is open and stop listening; no thread and no socket is left. Idempotent.

        Raises:
            Exception: What a `when` raised.
        """
        if self._closed:
            return
        self._closed = True
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reservation.close()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- in its thread ---

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        # One at a time: each leaves either a listener or none.
        with self._commands:
            asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def _set(self, fault: Fault) -> Fault:
        self._do(self._enforce(fault))
        return fault

    async def _enforce(self, fault: Fault | None) -> None:
        self._fault = fault
        if self._listener is None:
            await self._listen()
        if fault is not None and fault.kind == "black_hole" and fault.takes_all:
            for connection in self._connections.values():
                connection.silence()

    async def _listen(self) -> None:
        self._listener = _bind(self.port)
        self._listener.settimeout(0)
        self._listener.listen(_MOST_CONNECTIONS)
        # Not `loop.sock_accept`: cancelled at the wrong moment, it loses a socket.
        self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _refuse(self) -> None:
        self._fault = None
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await self._reset_connections()

    async def _reset_connections(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        try:
            line, _ = listener.accept()
        except OSError:
            return  # the client is gone again
        if len(self._connections) >= _MOST_CONNECTIONS:
            line.close()
            return
        line.settimeout(0)
        connection = Connection(self._strike, self._upstream, line)
        task = self._loop.create_task(connection.run())
        self._connections[task] = connection
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        """After a connection, which may have been cancelled before it ran."""
        self._connections.pop(task).reset()
        if not task.cancelled() and task.exception() is not None:
            self._error = task.exception()

    def _strike(self, request: bytes) -> Fault | None:
        """The fault in force, if it strikes this request."""
        fault = self._fault
        return fault if fault is not None and fault.take(request) else None


def _bind(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
