"""A process that forks beside gRPC.

gRPC's threads are not in the child of a fork, its locks are, as they were. So there is no
connection, and no call in the library, while a process forks; both go on with new ones.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from pathlib import Path
from typing import Final, Protocol

_LONGEST_SECONDS: Final = 1.0
_SLICE_SECONDS: Final = 0.002
# Linux has room for 15 letters of the name of gRPC's timer, the last of its threads to end.
_TIMER: Final = "grpc_global_tim"


class Forkable(Protocol):
    """What has connections of gRPC's."""

    def pause(self) -> bool:
        """Close every connection, and open none until `resume`; pauses add up.

        Returns:
            Whether there was any.
        """

    def resume(self) -> None:
        """Goes on after a `pause`."""

    def after_fork_in_child(self) -> None:
        """Begins anew, with nothing of the parent's; idempotent."""


_CLIENTS: Final[weakref.WeakSet[Forkable]] = weakref.WeakSet()


def mind(client: Forkable) -> None:
    """Tell it of every fork of this process, for as long as it lives."""
    _CLIENTS.add(client)


def _before_fork() -> None:
    paused = [client.pause() for client in list(_CLIENTS)]
    if any(paused):
        _wait_for_library()


def _wait_for_library() -> None:
    """Until gRPC has shut down, as it does on a thread of its own after its last connection.

    A child that was forked in the midst of that hangs as it connects (seen with grpcio 1.85 on a
    busy machine). Connections that others have keep the library up: there is no use in waiting
    for longer.
    """
    end = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < end and _TIMER in _threads():
        time.sleep(_SLICE_SECONDS)


def _threads() -> set[str]:
    """The names of this process's threads, the library's included; none but on Linux."""
    found = set()
    for name in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):
            found.add(name.read_text().strip())
    return found


def _after_fork_in_parent() -> None:
    for client in list(_CLIENTS):
        client.resume()


def _after_fork_in_child() -> None:
    for client in list(_CLIENTS):
        client.after_fork_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
