"""Both sides of an engine: clients above it, and below it a store that a test has its hands on."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeVar

import msgspec
import pytest

from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.errors import DiscfgError, OutcomeUnknown, StoreFull, StoreUnavailable
from discfg_core.substrate import BlobRange, Register
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import Client
from discfg_core.versioned import VersionedEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from discfg_core.engine import StorageEngine
    from discfg_core.substrate import Substrate, Token, Unchanged
    from discfg_core.testing.engine_base import Lab
    from discfg_core.testing.engine_client import Config

Go: TypeAlias = Callable[[], Any]
Handler: TypeAlias = Callable[[Go, Deadline], Any]
S = TypeVar("S", bound=DelegatingSubstrate)


class SteeredSubstrate(DelegatingSubstrate):
    """Hands each call on, unless a handler stands in line for it, which answers in its place."""

    def __init__(self, inner: Substrate) -> None:
        super().__init__(inner)
        self._lines: defaultdict[str, deque[Handler]] = defaultdict(deque)

    def steer(self, method: str, *handlers: Handler) -> None:
        """Put handlers in line; each gets the real call, and answers one."""
        self._lines[method].extend(handlers)

    def _run(self, method: str, go: Go, deadline: Deadline) -> Any:
        try:
            handler = self._lines[method].popleft()
        except IndexError:
            return go()
        return handler(go, deadline)

    @override
    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """See `Substrate.read`."""
        answer: Register | Unchanged | None = self._run(
            "read", lambda: self.inner.read(name, known, deadline=deadline), deadline
        )
        return answer

    @override
    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """See `Substrate.swap`."""
        token: Token = self._run(
            "swap",
            lambda: self.inner.swap(name, expected, data, blobs, deadline=deadline),
            deadline,
        )
        return token

    @override
    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """See `Substrate.put_blob`."""
        self._run(
            "put_blob", lambda: self.inner.put_blob(name, blob, data, deadline=deadline), deadline
        )


# --- handlers ---------------------------------------------------------------------------------


def repeated(go: Go, deadline: Deadline) -> Any:
    """Make the call twice and give the second answer, as client libraries and proxies do."""
    go()
    return go()


def unanswered(go: Go, deadline: Deadline) -> Any:
    """Make the call, and lose the answer."""
    go()
    raise OutcomeUnknown("the answer is lost")


def lost(go: Go, deadline: Deadline) -> Any:
    """Lose the request."""
    raise OutcomeUnknown("the request is lost")


def full(go: Go, deadline: Deadline) -> Any:
    """Refuse the call, for good."""
    raise StoreFull("there is no room")


def away(go: Go, deadline: Deadline) -> Any:
    """Refuse the call, for now."""
    raise StoreUnavailable("the store is away")


def silent(go: Go, deadline: Deadline) -> Any:
    """Give no answer until the call's deadline."""
    time.sleep(deadline.remaining())
    raise OutcomeUnknown("no answer")


def deaf(go: Go, deadline: Deadline) -> Any:
    """Take no connection until the call's deadline."""
    time.sleep(deadline.remaining())
    raise StoreUnavailable("no connection")


class Gate:
    """A handler that holds its call, before the store has it or after; open when its ``with`` ends."""

    def __init__(self, *, after: bool = False) -> None:
        self._after = after
        self._reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, go: Go, deadline: Deadline) -> Any:
        """Hold the call."""
        answer = go() if self._after else None
        self._reached.set()
        assert self._open.wait(30), "nobody opened the gate"
        return answer if self._after else go()

    def reached(self) -> None:
        """Wait until the call is held."""
        assert self._reached.wait(30), "the call never came"

    def open(self) -> None:
        """Let it go on."""
        self._open.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open()


# --- both sides of an engine --------------------------------------------------------------------


class Bench:
    """Clients over a store that a test has its hands on, and the store itself."""

    def __init__(self, suite: SubstrateEngineCase, place: Any) -> None:
        self._suite = suite
        self._place = place
        self._clients: list[Client] = []
        self.raw: Substrate = suite.open_substrate(place)

    def over(self, wrap: Callable[[Substrate], S]) -> tuple[Client, S]:
        """A client of its own, and the substrate under it."""
        substrate = wrap(self._suite.open_substrate(self._place))
        client = Client(self._suite.open_engine(substrate))
        self._clients.append(client)
        return client, substrate

    def fresh(self) -> Client:
        """A client that has seen nothing yet."""
        return self.over(DelegatingSubstrate)[0]

    def steered(self, config: Config) -> tuple[Config, SteeredSubstrate]:
        """A handle of a client with calls to steer; it knows the config's latest revision."""
        client, substrate = self.over(SteeredSubstrate)
        mine = config.seen_by(client)
        mine.view()
        return mine, substrate

    def register(self, name: str) -> Register:
        """The register as it is."""
        found = self.raw.read(name, deadline=soon())
        assert isinstance(found, Register)
        return found

    def head(self, name: str) -> dict[str, Any]:
        """The fields of the head."""
        fields: dict[str, Any] = msgspec.msgpack.decode(self.register(name).data)
        return fields

    def change_head(self, name: str, **fields: Any) -> None:
        """Swap the head for one with other fields, as a client of another version does."""
        before = self.register(name)
        head = self.head(name) | {"nonce": os.urandom(16)} | fields
        head["sequence"] += 1
        self.raw.swap(name, before.token, msgspec.msgpack.encode(head), deadline=soon())

    def blobs(self, name: str) -> dict[str, bytes]:
        """The blobs of a config and their bytes."""
        names = [info.blob for info in self.raw.list_blobs(name, deadline=soon())]
        found = self.raw.get_blobs(name, [BlobRange(each) for each in names], deadline=soon())
        return {blob: data for blob, data in zip(names, found, strict=True) if data is not None}

    def put_blobs(self, name: str, blobs: Mapping[str, bytes]) -> None:
        """Put blobs, whatever they were."""
        for blob, data in blobs.items():
            self.raw.put_blob(name, blob, data, deadline=soon())

    def delete_blobs(self, name: str, blobs: Sequence[str]) -> None:
        """Delete blobs, whoever needs them."""
        self.raw.delete_blobs(name, blobs, deadline=soon())

    def close(self) -> None:
        """Close everything."""
        for client in self._clients:
            client.close()
        self.raw.close()


def soon() -> Deadline:
    """A deadline that no sound store reaches."""
    return Deadline.after(60)


def in_haste(config: Config, seconds: float) -> Config:
    """The config through the same engine, with little time for a call."""
    return config.seen_by(Client(config.client.engine, seconds))


def refusal(call: Callable[[], object]) -> DiscfgError:
    """The error of a call that cannot succeed."""
    with pytest.raises(DiscfgError) as caught:
        call()
    return caught.value


def attempt(call: Callable[[], object]) -> object:
    """What a call returns, or the error that it raises."""
    try:
        return call()
    except DiscfgError as error:
        return error


class SubstrateEngineCase(EngineCase):
    """What a test class gives, and what its tests get, beside all that `EngineCase` has."""

    open_substrate: ClassVar[Any]
    """A static method: a new client of the store at a place, in whatever process."""

    @staticmethod
    def open_engine(substrate: Substrate) -> StorageEngine:
        """The engine over a substrate."""
        return VersionedEngine(substrate)

    @classmethod
    def open_client(cls, place: Any) -> StorageEngine:
        """The engine over the store as it is."""
        return cls.open_engine(cls.open_substrate(place))

    @pytest.fixture
    def bench(self, lab: Lab, place: Any) -> Iterator[Bench]:
        """The store, and engines over it; closed before `lab` checks the configs."""
        bench = Bench(self, place)
        try:
            yield bench
        finally:
            bench.close()
