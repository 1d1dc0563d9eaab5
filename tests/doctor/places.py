"""What the tests of the doctor share: a place, and a store that refuses what it is told to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from discfg_core import doctor, errors
from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.doctor import Report
from discfg_core.engine import ConfigHandle, Finding, StorageEngine
from discfg_core.substrate import Register, Token, Unchanged
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.versioned import VersionedEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from discfg_core.substrate import BlobInfo, BlobRange, Substrate

SOON = 30.0

ALL = [
    *("engine", "connection", "server", "listing", "clock", "create", "set", "clients"),
    *("large value", "delete", "race", "history", "fsck", "removal"),
]


class Place:
    """A store in memory, which substrates of a test's choice reach."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.opened: list[VersionedEngine] = []

    def memory(self) -> MemorySubstrate:
        return MemorySubstrate(self.name)

    def opener(
        self, make: Callable[[MemorySubstrate], Substrate] | None = None
    ) -> Callable[[], StorageEngine]:
        def open_engine() -> StorageEngine:
            substrate = self.memory()
            engine = VersionedEngine(substrate if make is None else make(substrate))
            self.opened.append(engine)
            return engine

        return open_engine

    def examine(
        self, make: Callable[[MemorySubstrate], Substrate] | None = None, **how: Any
    ) -> Report:
        return doctor.examine(self.opener(make), store="memory://place", **how)

    def create(self, name: str, *keys: str) -> None:
        engine = VersionedEngine(self.memory())
        engine.create_config(name, {}, deadline=Deadline.after(SOON))
        for key in keys:
            engine.set(ConfigHandle(name), key, b"v", "text/plain", deadline=Deadline.after(SOON))

    def configs(self) -> list[str]:
        return VersionedEngine(self.memory()).list_configs(deadline=Deadline.after(SOON))


def status_of(report: Report) -> dict[str, str]:
    return {check.check: check.status.value for check in report.checks}


def found(report: Report, check: str) -> Finding:
    (finding,) = [each for each in report.checks if each.check == check]
    return finding


class Refusing(DelegatingSubstrate):
    """Raises what a test wants it to, from the calls that the test names."""

    def __init__(self, inner: Substrate, raises: Mapping[str, BaseException]) -> None:
        super().__init__(inner)
        self.raises = raises

    def _perhaps(self, call: str) -> None:
        if call in self.raises:
            raise self.raises[call]

    @override
    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        self._perhaps("read")
        return super().read(name, known, deadline=deadline)

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
        self._perhaps("swap")
        return super().swap(name, expected, data, blobs, deadline=deadline)

    @override
    def names(self, *, deadline: Deadline) -> Iterator[str]:
        self._perhaps("names")
        return super().names(deadline=deadline)

    @override
    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        self._perhaps("list_blobs")
        return super().list_blobs(name, deadline=deadline)

    @override
    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        self._perhaps("get_blobs")
        return super().get_blobs(name, wanted, deadline=deadline)

    @override
    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        self._perhaps("put_blob")
        super().put_blob(name, blob, data, deadline=deadline)

    @override
    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        self._perhaps("provision")
        super().provision(name, settings, deadline=deadline)

    @override
    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        self._perhaps("drop")
        super().drop(name, expected, deadline=deadline)

    @override
    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        self._perhaps("diagnose")
        return super().diagnose(deadline=deadline)

    @override
    def close(self) -> None:
        self._perhaps("close")
        super().close()


DENIED = errors.AccessDenied("not allowed to do this", hint="ask for the permission")
