"""Names: which table a config has, and which config a table is of."""

from __future__ import annotations

import re
from typing import Final

from discfg_core.errors import InvalidName
from discfg_core.keys import check_name

_CASE: Final = re.compile(r"(.+)\.-([0-9a-f]+)")


def table_of(prefix: str, name: str) -> str:
    """The table of a config: ``discfg.app``, or ``discfg.App.-1`` for one with capital letters.

    No two configs have tables whose names differ in case alone. DynamoDB would tell those apart;
    DynamoDB Local, whose tables are SQLite's, would not. So a name that is not all in lower case
    is followed by which of its letters are capitals, a bit each in hexadecimal, the first letter
    the lowest; and so is one that happens to end like that.
    """
    capitals = sum(1 << place for place, letter in enumerate(name) if letter.isupper())
    if not capitals and not _CASE.fullmatch(name):
        return prefix + name
    return f"{prefix}{name}.-{capitals:x}"


def config_of(prefix: str, table: str) -> str | None:
    """The config whose table this is; ``None`` if it is no config's of this prefix."""
    if not table.startswith(prefix):
        return None
    name = table.removeprefix(prefix)
    marked = _CASE.fullmatch(name)
    if marked is not None:
        name = marked.group(1)
    try:
        check_name(name)
    except InvalidName:
        return None
    return name if table_of(prefix, name) == table else None
