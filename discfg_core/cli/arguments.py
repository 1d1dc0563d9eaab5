"""What arguments stand for: positions, files, standard input."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from discfg_core.errors import FileUnreadable, InvalidTransaction

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "-"

_MAX_REQUEST_BYTES = 256 * 1024 * 1024


def with_config(words: Sequence[str], needed: int, missing: str) -> tuple[str | None, list[str]]:
    """Positional arguments, of which one more than needed is the config's name, first.

    Returns:
        That name or `None`, and the others.

    Raises:
        click.UsageError: There are fewer, with `missing` as its message, or more.
    """
    if len(words) < needed:
        raise click.UsageError(missing)
    if len(words) > needed + 1:
        raise click.UsageError("there are too many arguments")
    return (words[0] if len(words) > needed else None), list(words[-needed:])


def typed(word: str) -> bytes:
    """The very bytes of an argument, which need not be UTF-8."""
    return os.fsencode(word)


def read_request(path: str) -> bytes:
    """A transaction's bytes, see `read`.

    Raises:
        FileUnreadable: They cannot be read.
        InvalidTransaction: They are too many.
    """
    raw = read(path, _MAX_REQUEST_BYTES)
    if len(raw) > _MAX_REQUEST_BYTES:
        raise InvalidTransaction("this transaction exceeds 256 MiB", hint="split it into several")
    return raw


def read(path: str, most: int) -> bytes:
    """The bytes of a file, or of standard input for ``-``; at most one more than `most`.

    The one more tells the caller that there are too many, without reading all of an endless
    file.

    Raises:
        FileUnreadable: It cannot be read.
    """
    name = "standard input" if path == STDIN else repr(path)
    try:
        if path != STDIN:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib would slow `get` down
                return file.read(most + 1)
        if sys.stdin is None:
            raise FileUnreadable("standard input is closed")
        return sys.stdin.buffer.read(most + 1)
    except (OSError, ValueError) as error:
        # ValueError: a path with a NUL character.
        reason = getattr(error, "strerror", None) or str(error)
        raise FileUnreadable(f"{name} cannot be read: {reason}") from error
