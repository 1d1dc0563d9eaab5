"""What every server for tests has in common: how it starts, dies, and comes back.

A server's own class stands in ``tests/servers/<name>.py``, with underscores for the dashes of its
name, and is found by that name::

    class EtcdServer(Server):
        name = "etcd"
        ports = ("client", "peer")

        def __init__(self, folder: Path, *, quota: int = 0) -> None:  # keyword-only options
            super().__init__(folder)
            self._quota = quota

        @classmethod
        def requirement(cls) -> str | None:
            return None if program("etcd") else "no `etcd` on PATH"

        def command(self) -> list[str]:
            return [str(program("etcd")), "--data-dir", str(self.folder / "data"), ...]

        def ready(self) -> bool:
            return get_json(f"http://127.0.0.1:{self.port}/health")["health"] == "true"

        @property
        def url(self) -> str:
            return f"etcd://127.0.0.1:{self.port}/discfg"

        @property
        def version(self) -> str:
            return "3.4.23"

Client libraries are imported inside the methods that use them: whoever looks a server up does
not pay for them.
"""

from __future__ import annotations

import abc
import concurrent.futures
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.servers.ports import Port, lease

ROOT = Path(__file__).resolve().parents[2]
# What scripts/fetch-servers brought.
FETCHED = ROOT / ".servers"

# The server's process: it dies with the process that started it, however that ends, and then
# becomes the server. `argv`: the parent, then the server's command.
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("the test run is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""

_launcher_lock = threading.Lock()
_launcher: concurrent.futures.ThreadPoolExecutor | None = None


class ServerFailed(AssertionError):
    """Raised when a server did not start in time, or died; the message ends with its log."""


def program(name: str) -> Path | None:
    """Where a program is: fetched, installed beside this Python, or on PATH; None if nowhere."""
    places = [str(FETCHED / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    found = shutil.which(name, path=os.pathsep.join(places))
    return Path(found) if found else None


class Server(abc.ABC):
    """A real server, a process of our own on loopback, with its data on disk.

    Its ports stay its own until `close`, so that it comes back where it was. Its process dies
    with the process that started it, even if that is killed; what it starts itself must then end
    by itself. Not thread-safe but for `kill`,
    `pause` and `resume`; any thread may start it.

    Args:
        folder: For its data and log; it exists. The server's own from now on.
    """

    name: ClassVar[str]
    product: ClassVar[str] = ""
    """What speaks the protocol, where that is not `name`: ``SeaweedFS`` for s3."""
    ports: ClassVar[Sequence[str]] = ("client",)
    """What the server listens for; the first is `port`."""
    environment: ClassVar[Mapping[str, str]] = {}
    """More variables for the server's process."""
    start_timeout: ClassVar[float] = 60.0
    """Seconds until it must be ready."""
    keeps_data: ClassVar[bool] = True
    """Whether what was acknowledged survives `kill` and `restart`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._leases: dict[str, Port] = {}
        for port in self.ports:
            self._leases[port] = lease()

    # --- what a subclass says ---

    @classmethod
    @abc.abstractmethod
    def requirement(cls) -> str | None:
        """Why it cannot run on this machine, such as ``no `java` on PATH``; None if it can."""

    @abc.abstractmethod
    def command(self) -> Sequence[str]:
        """The program and its arguments. It stays in the foreground."""

    @abc.abstractmethod
    def ready(self) -> bool:
        """Whether it serves requests, asked every 50 ms; an OSError means "not yet".

        One question takes at most some seconds.
        """

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """The discfg URL of the server, without credentials."""

    @property
    @abc.abstractmethod
    def version(self) -> str:
        """The server's version as it tells it; it may have to run."""

    def prepare(self) -> None:  # noqa: B027 - most servers need nothing
        """Write what the command needs; before each start, so repeatable. Default: nothing."""

    # --- what tests use ---

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self.port_of(self.ports[0])

    def port_of(self, use: str) -> int:
        """The port of that use, one of `ports`."""
        return self._leases[use].number

    @property
    def pid(self) -> int:
        """The process id, which is also its group's and its session's.

        Raises:
            ServerFailed: It was never started, or stopped.
        """
        if self._process is None:
            raise ServerFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives; a paused one does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it and return when it is ready; on the data that is there.

        Raises:
            ServerFailed: It runs already, died, or was not ready in time; then it is gone.
        """
        if self.running:
            raise ServerFailed(f"{self.name} runs already")
        self.prepare()
        self._paused = False
        self._process = self._launch()
        try:
            self._until_ready(time.monotonic() + self.start_timeout)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """End it in its own way (SIGTERM), after 10 s with SIGKILL; idempotent."""
        if self._process is None:
            return
        self.resume()
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self.kill()

    def kill(self) -> None:
        """End it and what it started with SIGKILL, paused or not, and wait; idempotent."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._paused = False

    def restart(self) -> None:
        """Start it on the same ports and data, after a `kill` or a `stop`, or instead of both.

        Raises:
            ServerFailed: As by `start`.
        """
        self.stop()
        self.start()

    def pause(self) -> None:
        """Suspend it (SIGSTOP): connections stay, and the system still accepts new ones."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let it go on after `pause`; idempotent."""
        if self._paused:
            self._signal(signal.SIGCONT)
            self._paused = False

    def close(self) -> None:
        """Stop it for good and remove its data, but not its log; idempotent."""
        self.stop()
        for port in self._leases.values():
            port.release()
        for entry in self.folder.iterdir():
            if entry == self.log:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- inside ---

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *self.command()]
        with self.log.open("ab") as log:
            log.write(f"--- {self.name} starts\n".encode())
            log.flush()
            return _start_process(command, log.fileno(), self.folder, self.environment)

    def _until_ready(self, end: float) -> None:
        reason: OSError | None = None
        while self.running:
            try:
                if self.ready():
                    return
            except OSError as error:
                reason = error
            if time.monotonic() > end:
                raise ServerFailed(
                    f"{self.name} was not ready within {self.start_timeout:.0f} s ({reason})\n"
                    + self.log_tail()
                )
            time.sleep(0.05)
        assert self._process is not None
        raise ServerFailed(
            f"{self.name} ended, exit code {self._process.returncode}\n{self.log_tail()}"
        )

    def log_tail(self, lines: int = 30) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        """Signal the whole group. Until it was waited for, its id is nobody else's."""
        if self._process is not None and self._process.returncode is None:
            # All of it may be gone already, which `poll` will notice.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def _start_process(
    command: Sequence[str], log: int, folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a process from the one thread that lives as long as this process.

    The system's notice of the parent's death comes already when the *thread* ends that started
    the child (prctl(2), PR_SET_PDEATHSIG), and a test may well restart a server in a thread.
    """
    global _launcher  # noqa: PLW0603 - one thread a process is the point
    with _launcher_lock:
        if _launcher is None:
            _launcher = concurrent.futures.ThreadPoolExecutor(1, "discfg-test-servers")
        return _launcher.submit(
            subprocess.Popen,
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, **environment},
            start_new_session=True,
        ).result()
