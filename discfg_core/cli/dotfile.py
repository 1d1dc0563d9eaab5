"""`.discfg`: what a working directory uses, written by `discfg use`.

The first line is a config's name, as the ancestor wrote it, without more. A second line may
name the store::

    mycfg
    store = sqlite:///app.db

Only the working directory's own file is read, none of its parents': a file further up would
change what a command writes to without being seen.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from discfg_core.errors import FileUnreadable, InvalidDotfile
from discfg_core.keys import check_name

NAME = ".discfg"

_MAX_BYTES = 8192
_STORE = "store"


class InUse(NamedTuple):
    """What a directory uses; `None` where its file does not say."""

    config: str | None = None
    store: str | None = None


def read() -> InUse:
    """What the working directory uses; nothing if it has no file.

    Raises:
        FileUnreadable: The file cannot be read.
        InvalidDotfile: It is not of the form above.
        InvalidName: Its first line is not a config's name.
    """
    try:
        # Not pathlib, whose import would cost `get` more than its own work.
        with open(NAME, "rb") as file:  # noqa: PTH123 - see above
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return InUse()
    except OSError as error:
        raise FileUnreadable(f"{NAME} cannot be read: {error.strerror}") from error
    try:
        lines = raw.decode().splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(raw) > _MAX_BYTES or not lines:
        raise _malformed("it does not begin with a config's name")
    store: str | None = None
    for line in filter(str.strip, lines[1:]):
        name, equals, value = (part.strip() for part in line.partition("="))
        if name != _STORE or not equals or not value or store is not None:
            # The line itself may hold a password that somebody wrote by hand.
            raise _malformed("only one line `store = URL` may follow the config's name")
        store = value
    return InUse(check_name(lines[0].strip()), store)


def write(config: str, store: str | None) -> None:
    """Make the working directory use a config, and a store if one is named; atomic.

    Raises:
        FileUnreadable: The file cannot be written.
    """
    text = f"{config}\n" if store is None else f"{config}\n{_STORE} = {store}\n"
    from pathlib import Path

    passing = Path(f"{NAME}.{os.getpid()}")
    try:
        passing.write_text(text, encoding="utf-8")
        passing.replace(NAME)
    except OSError as error:
        passing.unlink(missing_ok=True)
        raise FileUnreadable(
            f"{NAME} cannot be written here: {error.strerror}",
            hint="check the directory and its disk, or name the config with -C",
        ) from error


def _malformed(why: str) -> InvalidDotfile:
    return InvalidDotfile(
        f"{NAME} in this directory cannot be used: {why}",
        hint="write it again with `discfg use NAME`, or delete it",
    )
