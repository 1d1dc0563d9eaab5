"""Which servers may be written to."""

from __future__ import annotations

import re
from typing import Final

_OLDEST: Final = (3, 4)
_LOSING: Final = ((3, 5, 0), (3, 5, 2))


def refusal(version: str) -> str | None:
    """Why a server of this version is not written to, in words; ``None`` if it may be.

    3.5.0 to 3.5.2 can lose writes they acknowledged when they are killed, and then differ from
    each other: https://github.com/etcd-io/etcd/blob/main/Documentation/postmortems/v3.5-data-inconsistency.md
    """
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        # A server of somebody's own making; its answers are judged as etcd's.
        return None
    number = tuple(map(int, found.groups()))
    if number[:2] < _OLDEST:
        return "older than 3.4"
    if _LOSING[0] <= number <= _LOSING[1]:
        return "and 3.5.0 to 3.5.2 can lose acknowledged writes when they are killed"
    return None
