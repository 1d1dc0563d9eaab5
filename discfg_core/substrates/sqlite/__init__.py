"""``sqlite:///app.db``: a store in one SQLite file, without a server.

An acknowledged swap is in the file for good (WAL, ``synchronous=FULL``): it survives the death
of any process and a loss of power, as far as the disk keeps what it says it synced. Any number
of threads and processes of one machine share a file; SQLite lets one of them write at a time.

What to know about the file:

* It comes with two more while in use, ``-wal`` and ``-shm``, and belongs together with them:
  copy it with ``sqlite3 app.db ".backup copy.db"``, not with ``cp``.
* Not on a network file system: the log's index is memory that the processes share.
* It does not shrink when data is deleted; the room is used again.
* Removed or replaced while it is open, it is treated as the new file, or none, that it is from
  then on; a swap that meets this in its midst is `OutcomeUnknown`, never acknowledged. A file
  moved into the place of one whose ``-wal`` is still there would be mixed with it by SQLite
  itself: close all that use a file before replacing it, and remove the three together.
* A fork closes the connections of this module and waits for the statements in progress, up to
  10 s; both processes open new ones. A connection that the application itself made to the
  same file must not be open across a fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from discfg_core.engine import EngineProfile, StorageEngine, engine_factory
from discfg_core.errors import InvalidURL
from discfg_core.substrates.sqlite.substrate import GUARANTEES, LIMITS, SQLiteSubstrate

if TYPE_CHECKING:
    from discfg_core.urls import StoreURL

__all__ = ["SQLiteSubstrate", "open_engine"]


class _Options(msgspec.Struct, frozen=True):
    """``sqlite://`` takes no options."""


PROFILE: Final = EngineProfile("sqlite:///path", _Options, GUARANTEES, LIMITS)


@engine_factory(PROFILE)
def open_engine(url: StoreURL) -> StorageEngine:
    """The engine of ``sqlite:///relative/path`` or ``sqlite:////absolute/path``.

    Nothing is opened yet, and nothing made.

    Raises:
        InvalidURL: It has a user, a password or a host, or no path.
        InvalidOption: There is an option; it takes none.
    """
    url.options_as(_Options)
    plain = msgspec.structs.replace(url, user=None, password=None, hosts=())
    if url.user is not None:
        raise InvalidURL(
            f"{url} has a user, and a file has none", engine="sqlite", hint=f"write {plain}"
        )
    if url.hosts:
        host = ",".join(map(str, url.hosts))
        plain = msgspec.structs.replace(plain, path="/".join(filter(None, (host, url.path))))
        raise InvalidURL(
            f"{url} has the host {host!r}, and a file is on none",
            engine="sqlite",
            hint=f"write {plain}, with three slashes",
        )
    if url.path in ("", ":memory:"):
        raise InvalidURL(
            f"{url} names no file",
            engine="sqlite",
            hint="write sqlite:///app.db, or memory:// for a store in memory",
        )
    # Here, so that a store's module can be read, and tested, without the engine.
    from discfg_core.versioned import VersionedEngine  # noqa: PLC0415 - substrates know no engine until one is opened

    return VersionedEngine(SQLiteSubstrate(url.path))
