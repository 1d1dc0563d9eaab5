"""``files:///dir``: a store in a directory of plain files, on any POSIX file system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from discfg_core.engine import EngineProfile, StorageEngine, engine_factory
from discfg_core.errors import InvalidOption, InvalidURL
from discfg_files.substrate import GUARANTEES, LIMITS, FilesSubstrate

if TYPE_CHECKING:
    from discfg_core.urls import StoreURL

__all__ = ["PROFILE", "FilesSubstrate", "open_engine"]


class Options(msgspec.Struct, frozen=True):
    """What may follow the ``?``."""

    poll: Annotated[
        float, msgspec.Meta(description="seconds between two looks of an idle watch")
    ] = 0.25


PROFILE: Final = EngineProfile(
    url="files:///directory[?poll=seconds]",
    options=Options,
    guarantees=GUARANTEES,
    limits=LIMITS,
)


@engine_factory(PROFILE)
def open_engine(url: StoreURL) -> StorageEngine:
    """The engine of ``files:///relative/directory`` or ``files:////absolute/directory``.

    Nothing is opened yet, and nothing made.

    Raises:
        InvalidURL: It has a user or a host, or no path.
        InvalidOption: An option that is not one of `Options`, or out of range.
    """
    options = url.options_as(Options)
    if not 0.001 <= options.poll <= 60:
        raise InvalidOption(f"poll is {options.poll}, not from 0.001 to 60 seconds", engine="files")
    if url.user is not None or url.hosts or not url.path:
        raise InvalidURL(
            f"{url} names no directory", engine="files", hint="write files:///directory"
        )
    # Here, so that listing the installed engines does not import all of discfg.
    from discfg_core.versioned import VersionedEngine

    return VersionedEngine(FilesSubstrate(url.path, poll=options.poll))
