"""The servers of a run: each started once, for all its processes, and reported in its last line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A run of its own, with servers of its own.
_FILES = {
    "pytest.ini": f"[pytest]\npythonpath = {ROOT}\naddopts = -p tests.servers.plugin -rs\n",
    "conftest.py": """
import pathlib, tests.servers
tests.servers.__path__.append(str(pathlib.Path(__file__).parent / "more"))
""",
    "more/toy.py": """
import os
from tests.kit.test_server import Counter
class Toy(Counter):
    name = "toy"
    product = "Counter"
    def command(self):
        with open(os.environ["STARTS"], "a") as starts:
            starts.write(f"{self.port} ")
        return super().command()
""",
    "more/absent.py": """
from tests.kit.test_server import Counter
class Absent(Counter):
    name = "absent"
    @classmethod
    def requirement(cls):
        return "no `absent` on PATH"
""",
    "more/dying.py": """
from tests.kit.test_server import Counter
class Dying(Counter):
    name = "dying"
    program = "raise SystemExit('no disk')"
""",
    "test_some.py": """
import os, pathlib, pytest
def note(text):
    with open(os.environ["STARTS"] + ".seen", "a") as seen:
        seen.write(text + "\\n")
@pytest.mark.parametrize("number", range(8))
def test_shared(servers, number):
    note(f"{servers.url('toy')} {os.getpid()} {os.environ['AWS_ACCESS_KEY_ID']}")
def test_absent(servers):
    servers.url("absent")
def test_dying(servers):
    servers.url("dying")
def test_unknown(servers):
    servers.url("oracle")
def test_own(servers):
    with servers.own("toy") as server:
        server.kill()
        server.restart()
        note(server.url)
def test_own_left(servers):
    note(str(servers.own("toy").pid))
def test_slow(servers):
    import time
    note(servers.url("toy"))
    time.sleep(600)
def test_none():
    pass
""",
}


class Run:
    """A pytest run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, content in _FILES.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("DISCFG_")
        }
        environment |= {"STARTS": str(self.folder / "starts"), "TMPDIR": str(self.folder)}
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", *arguments],
            cwd=self.folder,
            env={**environment, "AWS_ACCESS_KEY_ID": "somebody", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *arguments: str, **variables: str) -> tuple[int, list[str]]:
        """Its exit code and the lines it said."""
        with self.start(*arguments, **variables) as process:
            said, _ = process.communicate(timeout=60)
            return process.returncode, said.splitlines()

    @property
    def starts(self) -> list[int]:
        """The ports of the servers that were started, one after the other."""
        path = self.folder / "starts"
        return [int(port) for port in path.read_text().split()] if path.exists() else []

    @property
    def seen(self) -> list[str]:
        """What its tests noted."""
        path = self.folder / "starts.seen"
        return path.read_text().splitlines() if path.exists() else []

    def assert_nothing_left(self) -> None:
        """No process of a server, and no folder of the run's."""
        assert [path.name for path in self.folder.glob("discfg-servers-*")] == []
        end = time.monotonic() + 10
        while left := [port for port in self.starts if self.serves(port)]:
            assert time.monotonic() < end, f"left on {left}"
            time.sleep(0.05)

    def serves(self, port: int) -> bool:
        """Whether there is a process that serves on a port."""
        command = f"\0{port}\0".encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                content = path.read_bytes()
            except OSError:
                continue  # it has just ended
            if content.endswith(command) and b"http.server" in content:
                return True
        return False


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.parametrize("processes", ["-n0", "-n2"])
def test_a_run_has_one_server_of_a_kind(run: Run, processes: str) -> None:
    code, said = run(processes, "-k", "shared or absent")
    assert code == 0, said
    assert said[-1] == "ran: toy (Counter 1); not run: absent (no `absent` on PATH)"
    assert any("absent: no `absent` on PATH" in line for line in said if "SKIPPED" in line)
    (port,) = run.starts
    seen = [line.split() for line in run.seen]
    assert {url for url, _, _ in seen} == {f"http://127.0.0.1:{port}/"}
    assert len({process for _, process, _ in seen}) == (2 if processes == "-n2" else 1)
    run.assert_nothing_left()


def test_nothing_starts_that_no_test_asks_for(run: Run) -> None:
    code, said = run("-n0", "-k", "none")
    assert code == 0
    assert "1 passed" in said[-1]
    assert run.starts == []
    run.assert_nothing_left()


def test_the_credentials_are_nobodys_unless_a_store_is_named(run: Run) -> None:
    run("-n0", "-k", "shared")
    run("-n0", "-k", "shared", DISCFG_TEST_S3_URL="s3://bucket/prefix")
    assert {line.split()[-1] for line in run.seen[:8]} == {"discfgtests"}
    assert {line.split()[-1] for line in run.seen[8:]} == {"somebody"}


def test_a_server_that_runs_already_is_used(run: Run) -> None:
    url = "toy://elsewhere"
    code, said = run("-n0", "-k", "shared", DISCFG_TEST_TOY_URL=url)
    assert code == 0
    assert said[-1] == "ran: toy (at DISCFG_TEST_TOY_URL)"
    assert {line.split()[0] for line in run.seen} == {url}
    assert run.starts == []


def test_an_own_server_comes_back_and_is_ended_with_the_run(run: Run) -> None:
    code, said = run("-n0", "-k", "own and not unknown")
    assert code == 0, said
    first, again, other = run.starts
    assert first == again
    assert other != first
    assert said[-1] == "ran: toy (Counter 1)"
    run.assert_nothing_left()


@pytest.mark.parametrize("required", ["absent", "toy,absent"])
def test_a_required_server_that_is_absent_is_a_failure(run: Run, required: str) -> None:
    code, said = run("-n2", "-k", "absent", DISCFG_REQUIRE=required)
    assert code == 1
    assert any("absent: no `absent` on PATH, and DISCFG_REQUIRE asks for it" in _ for _ in said)


def test_a_required_server_that_no_test_used_is_a_failure_of_a_whole_run(run: Run) -> None:
    (run.folder / "pytest.ini").write_text(_FILES["pytest.ini"] + "testpaths = some\n")
    (run.folder / "some").mkdir()
    (run.folder / "some" / "test_other.py").write_text("def test_none(): pass\n")
    code, said = run("-n0", DISCFG_REQUIRE="toy")
    assert code == 1
    assert "DISCFG_REQUIRE: no test ran on toy" in said
    code, said = run("-n0", "-k", "none", DISCFG_REQUIRE="toy")
    assert code == 0, said


def test_a_required_server_that_is_unknown_is_a_mistake(run: Run) -> None:
    code, said = run("-n0", "-k", "none", DISCFG_REQUIRE="etdc")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert any("DISCFG_REQUIRE: no server is called 'etdc'; there are absent" in _ for _ in said)


def test_a_server_that_can_run_and_does_not_start_is_a_failure(run: Run) -> None:
    code, said = run("-n0", "-k", "dying or unknown")
    assert code == 1
    assert any("2 failed" in line for line in said)
    assert any("no disk" in line for line in said)
    assert said[-1] == "failed to start: dying"
    (logs,) = run.folder.glob("discfg-servers-*")
    assert said[-2] == f"the servers' logs: {logs}"
    assert "no disk" in (logs / "dying" / "log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_killed_run_leaves_no_server(run: Run) -> None:
    with run.start("-n0", "-k", "slow") as process:
        end = time.monotonic() + 30
        while not run.seen:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert all(map(run.serves, run.starts))
        process.send_signal(signal.SIGKILL)
    for folder in run.folder.glob("discfg-servers-*"):
        folder.rename(run.folder / "killed")
    run.assert_nothing_left()
