"""What the suites start ends, and what goes wrong in it is told."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from discfg_core.testing.invariants import Leaks
from discfg_core.testing.processes import (
    Opener,
    Worker,
    WorkerFailed,
    run_in_processes,
    run_in_threads,
)

# Tasks must be importable by the processes, which a test file need not be.
TASKS = """
import os
import time


def double(line, number):
    line.ready()
    return number * 2


def fail(line, number):
    line.ready()
    if number == 1:
        raise LookupError("what went wrong")
    time.sleep(60)


def die(line):
    os._exit(3)


def never_ready(line):
    time.sleep(60)


def tell(line):
    line.tell("first")
    line.tell("second")
    line.ready()
    return os.getpid()


def open_with(line, opener, place):
    line.ready()
    return opener(place)


def count(line):
    line.ready()
    for number in range(1_000_000):
        line.tell(number)
        time.sleep(0.001)
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "tasks_of_a_test.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("tasks_of_a_test")
    del sys.modules["tasks_of_a_test"]


def test_results_come_in_the_order_of_the_arguments(tasks: ModuleType) -> None:
    leaks = Leaks()
    for run in (run_in_processes, run_in_threads):
        assert run(tasks.double, [(3,), (1,), (2,)]) == [6, 2, 4]
    leaks.assert_none(5)


def test_failure_is_told_and_nothing_left_running(tasks: ModuleType) -> None:
    leaks = Leaks()
    began = time.monotonic()
    with pytest.raises(WorkerFailed, match="LookupError: what went wrong"):
        run_in_processes(tasks.fail, [(1,), (2,)])
    assert time.monotonic() - began < 30
    leaks.assert_none(5)
    with pytest.raises(WorkerFailed, match="LookupError: what went wrong"):
        run_in_threads(tasks.fail, [(1,)])


def test_death_is_told(tasks: ModuleType) -> None:
    with pytest.raises(WorkerFailed, match="died, exit code 3"):
        run_in_processes(tasks.die, [()])


def test_time_out_is_told(tasks: ModuleType) -> None:
    with pytest.raises(WorkerFailed, match="did not say 'ready' in time"):
        run_in_processes(tasks.never_ready, [()], timeout=1)


def test_worker_says_things_in_order(tasks: ModuleType) -> None:
    with Worker(tasks.tell) as worker:
        worker.wait_ready()
        worker.go()
        assert worker.result() == worker.pid != os.getpid()
        assert [worker.hear(), worker.hear()] == ["first", "second"]


def test_worker_is_stopped_resumed_and_killed(tasks: ModuleType) -> None:
    with Worker(tasks.count) as worker:
        worker.wait_ready()
        worker.go()
        worker.hear()
        worker.stop()
        with pytest.raises(WorkerFailed, match="in time"):
            _hear_all(worker)
        worker.resume()
        assert worker.hear() > 0
        worker.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


def _hear_all(worker: Worker[None]) -> None:
    while True:
        worker.hear(timeout=1)


class Suite:
    """What a test class is to an `Opener`."""

    @staticmethod
    def open_client(place: str) -> tuple[str, int]:
        return place, os.getpid()


def test_opener_finds_a_class_by_its_file(tasks: ModuleType) -> None:
    opener = Opener.of(Suite)
    assert opener("here") == ("here", os.getpid())
    # Neither the name of this file nor that of its folder can be imported there.
    elsewhere = Opener("no_such_package.module", opener.file, opener.qualname)
    with Worker(tasks.open_with, elsewhere, "there") as worker:
        worker.wait_ready()
        worker.go()
        assert worker.result() == ("there", worker.pid)


def test_opener_refuses_a_class_that_nobody_else_can_find() -> None:
    class Inner(Suite):
        pass

    with pytest.raises(TypeError, match="top level"):
        Opener.of(Inner)


def _of_a_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DISCFG_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_seed_is_the_environments_or_drawn_anew() -> None:
    code = "from discfg_core.testing import profiles; assert profiles.say_seed() == profiles.SEED"
    given = _of_a_process(code, DISCFG_SEED="42")
    assert given.stdout == "to repeat this run: DISCFG_SEED=42\n"
    drawn = {_of_a_process(code).stdout for _ in range(2)}
    assert len(drawn) == 2


def test_profile_is_the_environments() -> None:
    code = "from discfg_core.testing import profiles; print(profiles.profile().max_examples)"
    usual = _of_a_process(code)
    nightly = _of_a_process(code, DISCFG_HYPOTHESIS_PROFILE="nightly")
    assert int(nightly.stdout) > int(usual.stdout)
    unknown = _of_a_process(code, DISCFG_HYPOTHESIS_PROFILE="weekly")
    assert "'weekly', not one of ['ci', 'nightly']" in unknown.stderr
