"""Free ports on loopback that no other test process takes, in this run or another.

A port that was free a moment ago is not enough: two processes may find the same one, and a
killed server's port may become the local end of somebody's connection before it is restarted.
So ports are leased under a file lock each, below the range that the system uses by itself.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_LOWEST = 20_000


class Port:
    """A leased port; the system ends the lease with the process, if nobody does before.

    Raises:
        OSError: The port is in use.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        folder = Path(tempfile.gettempdir()) / f"discfg-test-ports-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._lock = os.open(folder / str(number), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", number))
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """End the lease; idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def lease() -> Port:
    """A free port on 127.0.0.1, for this process alone until it is released.

    Raises:
        OSError: No port is free.
    """
    for number in random.sample(range(_LOWEST, _highest()), 500):
        try:
            return Port(number)
        except OSError:
            continue
    raise OSError("no free port on 127.0.0.1")


def _highest() -> int:
    """Where the system's own choice of ports begins."""
    try:
        lowest, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except OSError:
        return 32_768
    return int(lowest) if int(lowest) > _LOWEST + 1000 else 32_768
