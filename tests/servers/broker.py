"""One server of a kind for a whole test run, whichever of its processes asks first.

The process that pytest was called in keeps them: it starts each when it is asked for the first
time, over a socket in a folder of the run, and ends them with the run.
"""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import tempfile
import threading
from pathlib import Path

import msgspec

from tests.servers import find, names
from tests.servers.base import Server, ServerFailed


class Request(msgspec.Struct):
    """What a test process wants to know or tells about a server."""

    name: str
    start: bool = False
    """Start the shared one, if it does not run."""
    ran: str | None = None
    """The version of one of its own, which it started."""


class Answer(msgspec.Struct):
    """At most one of the three is not empty."""

    url: str = ""
    missing: str = ""
    failed: str = ""


class Broker:
    """Keeps the shared servers of a run, and what became of each server asked for."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="discfg-servers-"))
        self._shared: dict[str, Server] = {}
        self._ran: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._locks = {name: threading.Lock() for name in names()}
        self._listener = _Listener(str(self.folder / "socket"), self)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.1,), name="discfg-test-broker", daemon=True
        )
        self._thread.start()

    @property
    def ran(self) -> set[str]:
        """The names of the servers that ran."""
        return set(self._ran)

    @property
    def died(self) -> dict[str, str]:
        """The shared servers that ended by themselves, with the end of their logs."""
        return {name: each.log_tail() for name, each in self._shared.items() if not each.running}

    def answer(self, request: Request) -> Answer:
        """Answer one request; any thread may."""
        name = request.name
        if name not in self._locks:
            return Answer(failed=f"no server is called {name!r}; there are {', '.join(names())}")
        with self._locks[name]:
            if request.ran is not None:
                self._note(name, request.ran)
                return Answer()
            if request.start and os.environ.get(url_variable(name)):
                self._ran[name] = f"{name} (at {url_variable(name)})"
                return Answer(url=os.environ[url_variable(name)])
            if name not in self._missing and name not in self._shared:
                reason = find(name).requirement()
                if reason is not None:
                    self._missing[name] = reason
            if name in self._missing:
                return Answer(missing=self._missing[name])
            return self._start(name) if request.start else Answer()

    def _start(self, name: str) -> Answer:
        if name not in self._failed and name not in self._shared:
            folder = self.folder / name
            folder.mkdir()
            server = find(name)(folder)
            try:
                self._note(name, server.start().version)
            except (ServerFailed, OSError) as error:
                server.close()
                self._failed[name] = str(error)
            else:
                self._shared[name] = server
        if name in self._failed:
            return Answer(failed=self._failed[name])
        server = self._shared[name]
        if not server.running:
            return Answer(failed=f"the shared {name} died\n{server.log_tail()}")
        return Answer(url=server.url)

    def _note(self, name: str, version: str) -> None:
        product = find(name).product
        label = f"{name} ({product} {version})" if product else f"{name} {version}"
        self._ran.setdefault(name, label)

    def summary(self) -> str:
        """What ran and what did not, in one line; empty if nobody asked for a server."""
        parts = {
            "ran": [self._ran[name] for name in sorted(self._ran)],
            "failed to start": sorted(self._failed),
            "died": sorted(self.died),
            "not run": [f"{name} ({self._missing[name]})" for name in sorted(self._missing)],
        }
        return "; ".join(f"{what}: {', '.join(which)}" for what, which in parts.items() if which)

    def close(self, *, keep_logs: bool) -> None:
        """End every server; without their logs, nothing is left of them."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
        for server in self._shared.values():
            server.kill()  # its data is thrown away: quicker than a stop
            server.close()
        if not keep_logs or not any(self.folder.glob("*/log")):
            shutil.rmtree(self.folder, ignore_errors=True)


def url_variable(name: str) -> str:
    """The variable that has the URL of a server that runs already."""
    return f"DISCFG_TEST_{name.upper().replace('-', '_')}_URL"


def ask(folder: Path, request: Request) -> Answer:
    """Ask the broker whose folder it is, from any process of the run; blocks for a start."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(folder / "socket"))
        line.sendall(msgspec.json.encode(request) + b"\n")
        with line.makefile("rb") as answer:
            return msgspec.json.decode(answer.readline(), type=Answer)


class _Listener(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: str, broker: Broker) -> None:
        self.broker = broker
        super().__init__(path, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Listener

    def handle(self) -> None:
        request = msgspec.json.decode(self.rfile.readline(), type=Request)
        try:
            answer = self.server.broker.answer(request)
        except Exception as error:  # noqa: BLE001 - the process that asked must hear of any bug
            answer = Answer(failed=f"{type(error).__name__}: {error}")
        self.wfile.write(msgspec.json.encode(answer) + b"\n")
