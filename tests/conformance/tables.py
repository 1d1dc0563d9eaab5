"""A store in memory that keeps each config in a table of its own: what a native resource asks of
the core, without a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discfg_core.engine import Guarantee
from discfg_core.errors import InvalidSettings, StoreUnavailable
from discfg_core.substrate import NOT_TOLD, Native, SwapConflict
from discfg_core.substrates.memory import MemorySubstrate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discfg_core.clock import Deadline
    from discfg_core.substrate import Token

CAPACITY = "capacity"
_TABLES: dict[str, dict[str, dict[str, Any]]] = {}


class TablesSubstrate(MemorySubstrate):
    """A table has a capacity, and takes all that is in it along when it goes."""

    guarantees = frozenset({Guarantee.PUSH_WATCH})  # type: ignore[misc]  # another kind of store in the same memory

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._tables = _TABLES.setdefault(place, {})

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        with self._contents.lock:
            if name not in self._tables:
                # Whoever creates finds it dropped meanwhile, and makes it ready once more.
                self._open()
                raise SwapConflict(
                    current=NOT_TOLD if expected is None else None, engine=self.scheme, config=name
                )
            return super().swap(name, expected, data, blobs, deadline=deadline)

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        with self._contents.lock:
            self._check_table(name)
            super().put_blob(name, blob, data, deadline=deadline)

    def _check_table(self, name: str) -> None:
        self._open()
        if name not in self._tables:
            raise StoreUnavailable(f"there is no table {name!r}", retryable=False)

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        if not isinstance(settings.get(CAPACITY, 1), int):
            raise InvalidSettings(f"{CAPACITY} is {settings[CAPACITY]!r}, and no number")

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        super().provision(name, settings, deadline=deadline)
        self.check_settings(settings)
        with self._contents.lock:
            self._tables[name] = {CAPACITY: settings.get(CAPACITY, 1)}

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        native = super().describe(name, deadline=deadline)
        return Native(native.state, dict(self._tables.get(name, {})))

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        super().drop(name, expected, deadline=deadline)
        with self._contents.lock:
            current = self._contents.registers.get(name)
            if (current and current.token) == expected:
                self._contents.registers.pop(name, None)
                self._contents.blobs.pop(name, None)
                self._tables.pop(name, None)
