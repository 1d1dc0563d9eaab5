"""Keys, prefixes and config names: what is accepted, and one spelling for each.

Pure functions; everything here runs before any request is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from discfg_core.errors import InvalidKey, InvalidName

MAX_KEY_BYTES = 1024
MAX_NAME_LENGTH = 128

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# C0, DEL and C1. A surrogate is caught by the encoding to UTF-8.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def normalize_key(key: str) -> str:
    """The one spelling of a key: with its leading ``/``.

    Returns:
        `key`, a missing leading ``/`` added; idempotent.

    Raises:
        InvalidKey: It is empty, has an empty, ``.`` or ``..`` segment, a control
            character, is not valid UTF-8, or exceeds 1,024 bytes with its leading ``/``.
    """
    if not isinstance(key, str):
        raise InvalidKey(f"a key is text, not {type(key).__name__}")
    return _normalize(key)


# Applications read the same few keys over and over; the check must not cost what a read does.
@lru_cache(maxsize=8192)
def _normalize(key: str) -> str:
    path = key if key.startswith("/") else "/" + key
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        raise InvalidKey("this key is not valid UTF-8") from None
    if size > MAX_KEY_BYTES:
        raise InvalidKey(f"this key has {size} bytes, beginning {path[:40]!r}")
    if _CONTROL.search(path):
        raise InvalidKey(f"key {key!r} has a control character", key=key)
    for segment in path[1:].split("/"):
        if segment in ("", ".", ".."):
            raise InvalidKey(f"key {key!r} has the segment {segment!r}", key=key)
    return path


def normalize_prefix(prefix: str) -> str:
    """The one spelling of a prefix; ``/`` stands for every key.

    A prefix is a key, the empty text or ``/``; one trailing ``/`` is accepted.
    It matches whole segments, see `under`.

    Raises:
        InvalidKey: It is none of these.
    """
    if prefix in ("", "/"):
        return "/"
    if not isinstance(prefix, str):
        raise InvalidKey(f"a prefix is text, not {type(prefix).__name__}")
    return normalize_key(prefix.removesuffix("/"))


def under(key: str, prefix: str) -> bool:
    """Whether a normalised key is the normalised prefix itself or below it.

    ``/a/b`` is under ``/a``; ``/ab`` is not.
    """
    return prefix == "/" or key == prefix or key.startswith(prefix + "/")


def prefixes_of(key: str) -> Iterator[str]:
    """Every prefix that a normalised key is under: ``/``, its parents, and itself."""
    yield "/"
    end = key.find("/", 1)
    while end > 0:
        yield key[:end]
        end = key.find("/", end + 1)
    yield key


def check_name(name: str) -> str:
    """A config's name, as it is.

    Raises:
        InvalidName: It is not 1 to 128 of ``[A-Za-z0-9._-]``, the first alphanumeric.
    """
    if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        shown = repr(name) if len(str(name)) <= MAX_NAME_LENGTH else f"{str(name)[:40]!r}…"
        raise InvalidName(f"{shown} is not a config's name")
    return name
