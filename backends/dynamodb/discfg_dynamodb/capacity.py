"""A config's settings that are DynamoDB's: how much capacity its table has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from discfg_core.errors import InvalidSettings

READ: Final = "ReadCapacityUnits"
WRITE: Final = "WriteCapacityUnits"

# What the API's numbers can be. How much an account may have is a quota of its own.
_MOST: Final = (1 << 63) - 1

_HINT: Final = (
    f'give both {READ} and {WRITE}, such as {{"{READ}": 4, "{WRITE}": 2}}, or neither for '
    "capacity on demand"
)


class Capacity(msgspec.Struct, frozen=True):
    """Units a second that are reserved for a table, and paid for whether used or not."""

    read: int
    write: int

    def as_settings(self) -> dict[str, Any]:
        """As a config's settings have it, and DynamoDB's API."""
        return {READ: self.read, WRITE: self.write}


def capacity_of(settings: Mapping[str, Any]) -> Capacity | None:
    """What a config's settings ask for; ``None`` is on demand. Other settings are the user's own.

    Raises:
        InvalidSettings: One of the two is missing, or is no whole number from 1.
    """
    if READ not in settings and WRITE not in settings:
        return None
    return Capacity(_units(settings, READ), _units(settings, WRITE))


def _units(settings: Mapping[str, Any], key: str) -> int:
    value = settings.get(key)
    # A boolean is an int.
    if type(value) is not int or not 1 <= value <= _MOST:
        shown = repr(value) if key in settings else "missing"
        raise InvalidSettings(f"{key} is {shown}, and no whole number from 1", hint=_HINT)
    return value
