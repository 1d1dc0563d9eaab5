"""A store whose answers a test decides: each call may be held, repeated, lost or made to fail."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, KeyCondition, Put, Remove, RemovePrefix, Transaction
from discfg_core.errors import OutcomeUnknown, StoreUnavailable
from discfg_core.model import Change, Commit
from discfg_core.substrate import (
    BlobInfo,
    BlobRange,
    Limits,
    Register,
    Substrate,
    Token,
    Unchanged,
)
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.versioned import VersionedEngine
from discfg_core.versioned.format import Head, decode_head, encode_head

Go: TypeAlias = Callable[[], Any]
Handler: TypeAlias = Callable[[Go], Any]


class Scripted(DelegatingSubstrate):
    """Hands each call on, unless a handler was put in line for it.

    A handler gets a function that makes the real call, and answers in its place.

    Attributes:
        calls: The names of the methods called, in order.
        swapped: The bytes of blobs in each swap, in order.
    """

    def __init__(self, inner: Substrate, limits: Limits | None = None) -> None:
        super().__init__(inner)
        self.calls: list[str] = []
        self.swapped: list[int] = []
        self._limits = limits
        self._lines: dict[str, deque[Handler]] = {}
        self._always: dict[str, Handler] = {}

    def then(self, method: str, *handlers: Handler) -> None:
        """Put handlers in line: each answers one call."""
        self._lines.setdefault(method, deque()).extend(handlers)

    def always(self, method: str, handler: Handler | None) -> None:
        """Answer every call that has no handler in line; ``None`` ends that."""
        if handler is None:
            self._always.pop(method, None)
        else:
            self._always[method] = handler

    def count(self, method: str) -> int:
        return self.calls.count(method)

    def _run(self, method: str, go: Go) -> Any:
        self.calls.append(method)
        line = self._lines.get(method)
        try:
            handler = line.popleft() if line else self._always.get(method)
        except IndexError:
            handler = self._always.get(method)
        return go() if handler is None else handler(go)

    def limits(self, name: str) -> Limits:
        return self._limits or super().limits(name)

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        return self._run("read", lambda: self.inner.read(name, known, deadline=deadline))  # type: ignore[no-any-return]  # a script answers what it likes

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        self.swapped.append(sum(map(len, blobs.values())))
        go = lambda: self.inner.swap(name, expected, data, blobs, deadline=deadline)  # noqa: E731 - it is passed on
        return self._run("swap", go)  # type: ignore[no-any-return]  # a script answers what it likes

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        return self._run("get_blobs", lambda: self.inner.get_blobs(name, wanted, deadline=deadline))  # type: ignore[no-any-return]  # a script answers what it likes

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        self._run("put_blob", lambda: self.inner.put_blob(name, blob, data, deadline=deadline))

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        self._run("delete_blobs", lambda: self.inner.delete_blobs(name, blobs, deadline=deadline))

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        return self._run("list_blobs", lambda: self.inner.list_blobs(name, deadline=deadline))  # type: ignore[no-any-return]  # a script answers what it likes

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        self._run("provision", lambda: self.inner.provision(name, settings, deadline=deadline))

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        self._run("drop", lambda: self.inner.drop(name, expected, deadline=deadline))


class Gate:
    """A handler that holds its call until the test lets it go."""

    def __init__(self, *, before: bool = True) -> None:
        self._before = before
        self._reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self, go: Go) -> Any:
        answer = None if self._before else go()
        self._reached.set()
        assert self._opened.wait(10), "nobody opened the gate"
        return go() if self._before else answer

    def reached(self) -> None:
        """Wait until the call is held."""
        assert self._reached.wait(10), "the call never came"

    def open(self) -> None:
        """Let it go on."""
        self._opened.set()


def fails(error: Callable[[], BaseException]) -> Handler:
    """A handler: the call is not made."""

    def handler(go: Go) -> Any:
        raise error()

    return handler


def lost(go: Go) -> Any:
    """A handler: the call is not made, and nobody can tell."""
    raise OutcomeUnknown("no answer")


def unanswered(go: Go) -> Any:
    """A handler: the call is made, and nobody can tell."""
    go()
    raise OutcomeUnknown("no answer")


def repeated(go: Go) -> Any:
    """A handler: a proxy makes the call twice and hands on the second answer."""
    go()
    return go()


class Doing:
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._answer: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._call()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._error = error

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def result(self, seconds: float = 10) -> Any:
        self._thread.join(seconds)
        assert self.over, "the call did not end"
        if self._error is not None:
            raise self._error
        return self._answer

    def error(self, seconds: float = 10) -> BaseException | None:
        self._thread.join(seconds)
        assert self.over, "the call did not end"
        return self._error


class Client:
    """An engine with a store of its own script, and one config of it."""

    def __init__(self, place: str, limits: Limits | None = None, name: str = "c") -> None:
        self.store = Scripted(MemorySubstrate(place), limits)
        self.engine = VersionedEngine(self.store)
        self.handle = ConfigHandle(name)
        self.name = name

    def create(self, **settings: Any) -> Client:
        self.engine.create_config(self.name, settings, deadline=after())
        return self

    def set(
        self, key: str, value: bytes | str = b"", seconds: float = 10, **options: Any
    ) -> Change:
        raw = value if isinstance(value, bytes) else value.encode()
        wanted = KeyCondition(key, **options.pop("condition")) if "condition" in options else None
        return self.engine.set(
            self.handle,
            key,
            raw,
            "text/plain",
            condition=wanted,
            options=Transaction(**options),
            deadline=after(seconds),
        )

    def delete(self, key: str, seconds: float = 10) -> Change:
        return self.engine.delete(self.handle, key, deadline=after(seconds))

    def commit(
        self, *ops: Put | Remove | RemovePrefix, seconds: float = 10, **options: Any
    ) -> Commit | None:
        tx = Transaction(ops, **options)
        return self.engine.commit(self.handle, tx, deadline=after(seconds))

    def get(self, key: str, seconds: float = 10, max_staleness: float | None = None) -> bytes:
        node = self.engine.get(
            self.handle, key, max_staleness=max_staleness, deadline=after(seconds)
        )
        return node.value

    def values(self) -> dict[str, bytes]:
        view = self.engine.view(self.handle, deadline=after())
        return {node.key: node.value for node in view.list()}

    def queued(self, gate: Gate, calls: Sequence[Callable[[], object]]) -> list[Doing]:
        """A first write held in its swap by the gate, and others behind it, in this order."""
        self.store.then("swap", gate)
        doing = [self.do(self.set, "/first")]
        gate.reached()
        queue = self.engine._sessions[self.name][1]._turns._queue
        for number, call in enumerate(calls, 1):
            doing.append(self.do(call))
            for _ in range(5000):
                if len(queue) == number:
                    break
                time.sleep(0.002)
        assert len(queue) == len(calls)
        return doing

    def texts(self) -> dict[str, str]:
        return {key: value.decode() for key, value in self.values().items()}

    def revision(self) -> int:
        return self.engine.view(self.handle, deadline=after()).revision

    def commits(self, **options: Any) -> list[Commit]:
        """The whole history, oldest first."""
        found: list[Commit] = []
        before: int | None = None
        while True:
            page = self.engine.history(
                self.handle, before=before, limit=100, deadline=after(), **options
            )
            found += page.commits
            before = page.rest
            if before is None:
                return found[::-1]

    def drop(self, seconds: float = 10) -> None:
        self.engine.delete_config(self.handle, deadline=after(seconds))

    def undrop(self, seconds: float = 10) -> None:
        self.engine.undelete_config(self.name, deadline=after(seconds))

    def outcome(self, commit_id: str, seconds: float = 10) -> Commit | None:
        return self.engine.outcome(self.handle, commit_id, deadline=after(seconds))

    def problems(self) -> tuple[str, ...]:
        return self.engine.check(self.name, deadline=after()).problems

    def cut_off(self) -> None:
        """From now on no request arrives; the client cannot tell of any."""
        self.store.always("swap", lost)
        self.store.always("read", fails(lambda: StoreUnavailable("away")))

    def reconnect(self) -> None:
        self.store.always("swap", None)
        self.store.always("read", None)

    def do(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Doing:
        return Doing(lambda: call(*args, **kwargs))


class Bench:
    """A place in memory, and clients of it."""

    def __init__(self) -> None:
        self.place = uuid.uuid4().hex
        self.raw = MemorySubstrate(self.place)
        self._clients: list[Client] = []

    def client(self, limits: Limits | None = None, name: str = "c") -> Client:
        """A client with caches of its own."""
        client = Client(self.place, limits, name)
        self._clients.append(client)
        return client

    def register(self, name: str = "c") -> Register:
        found = self.raw.read(name, deadline=after())
        assert isinstance(found, Register)
        return found

    def head(self, name: str = "c") -> Head:
        return decode_head(self.register(name).data)[0]

    def change_head(self, change: Callable[[Head], Head], name: str = "c") -> None:
        """Swap the head for another one, as a client of another version might."""
        register = self.register(name)
        head, unknown = decode_head(register.data)
        self.raw.swap(name, register.token, encode_head(change(head), unknown), deadline=after())

    def put_register(self, data: bytes, name: str = "c") -> None:
        self.raw.swap(name, self.register(name).token, data, deadline=after())

    def blobs(self, name: str = "c") -> dict[str, int]:
        return {info.blob: info.size for info in self.raw.list_blobs(name, deadline=after())}

    def close(self) -> None:
        for client in self._clients:
            client.engine.close()


def after(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def gates() -> Iterator[Callable[[], Gate]]:
    """Gates, each opened in the end, whatever became of the test."""
    made: list[Gate] = []

    def make(*, before: bool = True) -> Gate:
        made.append(Gate(before=before))
        return made[-1]

    yield make
    for gate in made:
        gate.open()


@pytest.fixture
def gate(gates: Callable[[], Gate]) -> Gate:
    return gates()


@pytest.fixture
def scripts() -> dict[str, Handler]:
    """What a store may do to a swap."""
    return {"lost": lost, "unanswered": unanswered, "repeated": repeated}


@pytest.fixture(name="fails")
def fails_fixture() -> Callable[..., Handler]:
    return fails
