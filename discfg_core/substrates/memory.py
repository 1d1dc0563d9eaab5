"""``memory://name``: a store in the memory of this process; for tests, and for trying out.

``memory://name`` is one store for all of the process that asks for that name, and lives as long
as the process; ``memory://`` is a store of its own for each that opens it. Nothing survives the
process. A forked child goes on with a copy of its own.
"""

# ruff: noqa: ARG002 - the signatures are those of the contract

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from discfg_core.clock import Deadline
from discfg_core.engine import (
    EngineProfile,
    Finding,
    FindingStatus,
    Guarantee,
    StorageEngine,
    engine_factory,
)
from discfg_core.errors import Closed, InvalidURL, Timeout
from discfg_core.substrate import (
    UNCHANGED,
    BlobInfo,
    BlobRange,
    Limits,
    Native,
    Register,
    Substrate,
    SwapConflict,
    Token,
    Unchanged,
)

if TYPE_CHECKING:
    from discfg_core.urls import StoreURL

_LIMITS: Final = Limits(
    blobs_ride=True,
    push_wait=True,
    why={
        "blobs_ride": "a swap and its blobs are stored under one lock",
        "push_wait": "a swap wakes those who wait",
    },
)
_GUARANTEES: Final = frozenset({Guarantee.PUSH_WATCH, Guarantee.UNDROP})

# Nobody signals a lock when a caller sets its `cancel`; this is how late it can be noticed.
_CANCEL_SLICE: Final = 0.05


class _Contents:
    """What one store holds. `lock` guards both mappings; `changed` is told of every swap."""

    def __init__(self) -> None:
        self.renew_lock()
        self.registers: dict[str, Register] = {}
        self.blobs: dict[str, dict[str, bytes]] = {}
        _ALIVE.add(self)

    def renew_lock(self) -> None:
        # Entered by itself and not through its condition, whose `__enter__` is Python: a signal's
        # handler that raises in there would leave it locked for good.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)


_ALIVE: Final[weakref.WeakSet[_Contents]] = weakref.WeakSet()
_NAMED: Final[dict[str, _Contents]] = {}


def _renew_locks() -> None:
    # A thread that is not in the child may have held one. What it was doing to the child's
    # copy stays undone or became whole: `swap` publishes the register last.
    for contents in _ALIVE:
        contents.renew_lock()


os.register_at_fork(after_in_child=_renew_locks)


class MemorySubstrate:
    """Atomic and linearizable within the process, durable not at all.

    Args:
        name: The store all who give this name share; the empty one is private.
    """

    scheme: Final = "memory"
    guarantees: Final = _GUARANTEES

    def __init__(self, name: str = "") -> None:
        # One operation of a dict, so that two threads cannot both make the store.
        self._contents = _NAMED.setdefault(name, _Contents()) if name else _Contents()
        self._closed = False

    def limits(self, name: str) -> Limits:
        """As in `Substrate.limits`."""
        return _LIMITS

    # --- registers ---

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """As in `Substrate.read`; never waits. Raises `Closed`."""
        with self._open().lock:
            register = self._contents.registers.get(name)
        if register is not None and register.token == known:
            return UNCHANGED
        return register

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """As in `Substrate.swap`; never waits, never unknown.

        Raises:
            SwapConflict: With the register as it is.
            Timeout: The deadline had passed.
            Closed: This was closed.
        """
        replacement = Register(bytes(data), os.urandom(16))
        riding = {blob: bytes(content) for blob, content in blobs.items()}
        contents = self._open_for_writing(name, deadline)
        with contents.lock:
            current = contents.registers.get(name)
            if expected != (current and current.token):
                raise SwapConflict(current=current, engine=self.scheme, config=name)
            contents.blobs.setdefault(name, {}).update(riding)
            contents.registers[name] = replacement
            contents.changed.notify_all()
        return replacement.token

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """As in `Substrate.names`; those of one moment. Raises `Closed`."""
        with self._open().lock:
            return iter(list(self._contents.registers))

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """As in `Substrate.wait`; a swap ends it at once, `cancel` within 50 ms.

        Raises:
            Closed: This was closed, before or meanwhile.
        """
        while not (cancel.is_set() or deadline.passed()):
            contents = self._open()
            with contents.lock:
                current = contents.registers.get(name)
                if (current and current.token) != known:
                    return
                contents.changed.wait(min(deadline.remaining(), _CANCEL_SLICE))

    # --- blobs ---

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """As in `Substrate.get_blobs`. Raises `Closed`."""
        with self._open().lock:
            stored = self._contents.blobs.get(name, {})
            found = [stored.get(part.blob) for part in wanted]
        return [
            content if content is None else _cut(content, part)
            for content, part in zip(found, wanted, strict=True)
        ]

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """As in `Substrate.put_blob`; never unknown. Raises `Timeout`, `Closed`."""
        content = bytes(data)
        contents = self._open_for_writing(name, deadline)
        with contents.lock:
            contents.blobs.setdefault(name, {})[blob] = content

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """As in `Substrate.delete_blobs`; atomic. Raises `Timeout`, `Closed`."""
        contents = self._open_for_writing(name, deadline)
        with contents.lock:
            stored = contents.blobs.get(name, {})
            for blob in blobs:
                stored.pop(blob, None)

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """As in `Substrate.list_blobs`; those of one moment. Raises `Closed`."""
        with self._open().lock:
            stored = self._contents.blobs.get(name, {})
            return iter([BlobInfo(blob, len(content)) for blob, content in stored.items()])

    # --- the native resource: there is none ---

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Takes any."""

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        """Nothing to make ready. Raises `Closed`."""
        self._open()

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        """Always active, without settings of its own. Raises `Closed`."""
        self._open()
        return Native()

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        """Nothing to remove; the register stays. Raises `Closed`."""
        self._open()

    # --- the store as a whole ---

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """As in `Substrate.diagnose`. Raises `Closed`."""
        self._open()
        yield Finding("server", FindingStatus.OK, "the memory of this process")

    # --- life ---

    def after_fork(self) -> None:
        """Nothing to do: this module gives all its stores new locks in every forked child."""

    def close(self) -> None:
        """Ends those who wait, with `Closed`. A named store keeps what it holds."""
        self._closed = True
        with self._contents.lock:
            self._contents.changed.notify_all()

    def _open(self) -> _Contents:
        if self._closed:
            raise Closed("this store was closed", engine=self.scheme)
        return self._contents

    def _open_for_writing(self, name: str, deadline: Deadline) -> _Contents:
        contents = self._open()
        if deadline.passed():
            raise Timeout("the deadline had passed", engine=self.scheme, config=name)
        return contents


def _cut(content: bytes, part: BlobRange) -> bytes:
    end = None if part.length is None else part.start + part.length
    return content[part.start : end]


class _Options(msgspec.Struct, frozen=True):
    """``memory://`` takes no options."""


PROFILE: Final = EngineProfile("memory://[name]", _Options, _GUARANTEES, _LIMITS)


@engine_factory(PROFILE)
def open_engine(url: StoreURL) -> StorageEngine:
    """The engine of ``memory://name``, or of a private ``memory://``.

    Raises:
        InvalidURL: There is more in it than one name.
        InvalidOption: There is an option; it takes none.
    """
    url.options_as(_Options)
    hosts = url.hosts
    named = len(hosts) <= 1 and all(host.port is None for host in hosts)
    if url.user is not None or url.path or not named:
        raise InvalidURL(
            f"{url} is not a store in memory",
            engine="memory",
            hint="write memory://name to share it within the process, memory:// for one of its own",
        )
    # Here, so that a store's module can be read, and tested, without the engine.
    from discfg_core.versioned import VersionedEngine  # noqa: PLC0415 - substrates know no engine until one is opened

    return VersionedEngine(MemorySubstrate(hosts[0].host if hosts else ""))


if TYPE_CHECKING:
    _fits: type[Substrate] = MemorySubstrate
