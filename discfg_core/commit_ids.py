"""Commit ids that know their place: made here, read by engines.

Such an id names the incarnation and the revision at which it was made, so that an engine can
tell for good whether it was used: only a later revision of that incarnation can carry it.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_PLACED = re.compile(r"dc1\.([0-9a-f]{32})\.(0|[1-9][0-9]{0,18})\.[0-9a-f]{32}")


class PlacedId(NamedTuple):
    """Where a commit id was made."""

    incarnation: str
    revision: int


def make(incarnation: str, revision: int) -> str:
    """A fresh commit id: 128 bits of randomness, never the same twice, `fork` or not.

    Args:
        incarnation: The config's, 32 hex digits.
        revision: The config's latest, or an earlier one.
    """
    return place(incarnation, revision, os.urandom(16).hex())


def place(incarnation: str, revision: int, unique: str) -> str:
    """The commit id that names the place of a random one, 32 hex digits."""
    return f"dc1.{incarnation}.{revision}.{unique}"


def parse(text: str) -> PlacedId | None:
    """Where `make` made this id; ``None`` for an id of the caller's own design."""
    match = _PLACED.fullmatch(text)
    return None if match is None else PlacedId(match[1], int(match[2]))
