"""A server of a test does what the tests of faults rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import find, names
from tests.servers.base import Server, ServerFailed
from tests.servers.ports import Port, lease

# Counts the requests since it was made, in a file; a child of its own sleeps.
PROGRAM = """
import http.server, pathlib, subprocess, sys
count = pathlib.Path("count")
child = subprocess.Popen(["sleep", "30"])
pathlib.Path("child").write_text(str(child.pid))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        number = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(number))
        self.send_response(200)
        self.send_header("Content-Length", str(len(str(number))))
        self.end_headers()
        self.wfile.write(str(number).encode())
print("serving", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Counter(Server):
    name = "counter"
    program = PROGRAM

    @classmethod
    def requirement(cls) -> str | None:
        return None

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.program, str(self.port)]

    def ready(self) -> bool:
        with urllib.request.urlopen(self.url, timeout=2) as answer:
            return bool(answer.status == 200)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def version(self) -> str:
        return "1"

    def count(self, timeout: float = 2) -> int:
        with urllib.request.urlopen(self.url, timeout=timeout) as answer:
            return int(answer.read())


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    with Counter(tmp_path).start() as server:
        yield server


def ended(pid: int) -> bool:
    """Whether a process is gone, or but a name that nobody has waited for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def assert_ends(pid: int) -> None:
    end = time.monotonic() + 10
    while not ended(pid):
        assert time.monotonic() < end, f"process {pid} is left"
        time.sleep(0.02)


def test_it_comes_back_on_its_port_with_its_data(counter: Counter) -> None:
    port, before = counter.port, counter.count()
    counter.kill()
    assert not counter.running
    with pytest.raises(OSError, match="refused"):
        counter.count()
    counter.restart()
    assert counter.port == port
    assert counter.count() > before


def test_a_kill_takes_its_whole_process_group(counter: Counter) -> None:
    child = int((counter.folder / "child").read_text())
    assert not ended(child)
    counter.pause()
    counter.kill()
    assert_ends(child)


def test_a_paused_server_is_silent_until_it_goes_on(counter: Counter) -> None:
    counter.pause()
    with pytest.raises(TimeoutError):
        counter.count(timeout=0.3)
    counter.resume()
    assert counter.count() > 1


def test_a_stop_ends_even_a_paused_server(counter: Counter) -> None:
    pid = counter.pid
    counter.pause()
    counter.stop()
    assert_ends(pid)


def test_a_server_that_dies_says_what_its_log_says(tmp_path: Path) -> None:
    class Dying(Counter):
        program = "import sys; sys.exit('no disk')"

    with Dying(tmp_path) as server, pytest.raises(ServerFailed, match=r"exit code 1(.|\n)*no disk"):
        server.start()


def test_a_server_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    class Deaf(Counter):
        program = "import time; print('asleep', flush=True); time.sleep(600)"
        start_timeout = 1.0

    with Deaf(tmp_path) as server:
        with pytest.raises(ServerFailed, match=r"not ready within 1 s(.|\n)*asleep"):
            server.start()
        assert not server.running


def test_closing_leaves_the_log_and_nothing_else(tmp_path: Path) -> None:
    with Counter(tmp_path).start() as server:
        port = server.port
        server.count()
    assert [entry.name for entry in tmp_path.iterdir()] == ["log"]
    assert "serving" in server.log.read_text()
    Port(port).release()


def test_it_survives_the_thread_that_started_it(tmp_path: Path) -> None:
    with Counter(tmp_path) as server:
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
        time.sleep(0.2)  # the system would kill it at once
        assert server.running


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_it_dies_with_a_test_run_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.kit.test_server import Counter\n"
        f"print(Counter(Path({str(tmp_path)!r})).start().pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as run:
        assert run.stdout is not None
        server = int(run.stdout.readline())
        assert not ended(server)
        run.send_signal(signal.SIGKILL)
    assert_ends(server)


def test_a_port_is_leased_once() -> None:
    port = lease()
    with pytest.raises(BlockingIOError):
        Port(port.number)
    port.release()
    Port(port.number).release()


def test_a_server_is_found_by_its_name() -> None:
    for name in names():
        assert find(name).name == name
    with pytest.raises(LookupError, match="no server is called 'oracle'"):
        find("oracle")
