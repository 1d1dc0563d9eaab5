"""Other processes for the suites: spawned, started together, and never left behind.

A *task* is a function at the top level of an importable module. Its first argument is a
`Line` to whoever started it; the others, and what it returns, are pickled. The same task runs
in threads of this process, for stores that other processes cannot reach.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import msgspec

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_TIMEOUT = 120.0

_SPAWN = multiprocessing.get_context("spawn")

# The helper process of `multiprocessing` keeps a pipe open as long as this process lives.
# It starts with the first worker, or here, before any leak check has counted what is open.
resource_tracker.ensure_running()


class WorkerFailed(AssertionError):
    """Raised when a task raised, died or did not end in time; the message has its traceback."""


class Line(Protocol):
    """A task's line to whoever started it."""

    def ready(self) -> None:
        """Say that all is prepared, and return when every task of the run is."""

    def tell(self, message: Any) -> None:
        """Send something that can be pickled, see `Worker.hear`."""


# --- the class under test, found again in another process --------------------------------


class Opener(msgspec.Struct, frozen=True):
    """A test class's `open_client`, in a form that reaches another process.

    A test file is often not importable by name (pytest's ``importlib`` mode makes names up),
    so a process that cannot import it loads it from its file.
    """

    module: str
    file: str
    qualname: str

    @classmethod
    def of(cls, suite: type) -> Opener:
        """The opener of a test class at the top level of its file."""
        if "<locals>" in suite.__qualname__:
            raise TypeError(f"{suite.__qualname__} must stand at the top level of its module")
        file = sys.modules[suite.__module__].__file__
        if file is None:
            raise TypeError(f"{suite.__module__} has no file")
        return cls(suite.__module__, str(Path(file).resolve()), suite.__qualname__)

    def load(self) -> Any:
        """The test class."""
        found: Any = self._load_module()
        for part in self.qualname.split("."):
            found = getattr(found, part)
        return found

    def __call__(self, place: Any) -> Any:
        """A new client of the store at `place`."""
        return self.load().open_client(place)

    def _load_module(self) -> ModuleType:
        known = sys.modules.get(self.module) or self._import_by_name()
        if known is not None:
            return known
        spec = importlib.util.spec_from_file_location(self.module, self.file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self.file} cannot be loaded as {self.module}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.module] = module
        spec.loader.exec_module(module)
        return module

    def _import_by_name(self) -> ModuleType | None:
        try:
            spec = importlib.util.find_spec(self.module)
        except (ImportError, ValueError):
            return None
        # Another project's `tests.test_substrate` may be first on the path.
        if spec is None or spec.origin is None or Path(spec.origin).resolve() != Path(self.file):
            return None
        return importlib.import_module(self.module)


# --- one process ------------------------------------------------------------------------


class _ChildLine:
    def __init__(self, pipe: multiprocessing.connection.Connection) -> None:
        self._pipe = pipe

    def ready(self) -> None:
        self._pipe.send(("ready", None))
        self._pipe.recv()

    def tell(self, message: Any) -> None:
        self._pipe.send(("told", message))


def _child(
    pipe: multiprocessing.connection.Connection, task: Callable[..., Any], args: Sequence[Any]
) -> None:
    try:
        answer = ("done", task(_ChildLine(pipe), *args))
    except BaseException:  # noqa: BLE001 - whatever it was belongs to the parent's report
        answer = ("failed", traceback.format_exc())
    pipe.send(answer)
    pipe.close()


class Worker(Generic[R]):
    """A spawned process that runs one task; use it in a ``with``, which kills what is left.

    Args:
        task: A top-level function; see the module.
        args: The rest of its arguments.
    """

    def __init__(
        self, task: Callable[Concatenate[Line, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        assert not kwargs, "a task takes positional arguments"
        self._pipe, theirs = _SPAWN.Pipe()
        self._told: list[Any] = []
        self._process = _SPAWN.Process(target=_child, args=(theirs, task, args), daemon=True)
        self._process.start()
        self.pid: int = self._process.pid or 0
        theirs.close()

    def wait_ready(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Returns when the task has called `Line.ready`."""
        self._until("ready", time.monotonic() + timeout)

    def go(self) -> None:
        """Let a task that is ready go on."""
        self._pipe.send(None)

    def hear(self, timeout: float = DEFAULT_TIMEOUT) -> Any:
        """The next message of `Line.tell`, in order."""
        return self._told.pop(0) if self._told else self._until("told", time.monotonic() + timeout)

    def result(self, timeout: float = DEFAULT_TIMEOUT) -> R:
        """What the task returned.

        Raises:
            WorkerFailed: It raised, died, or did not end in time.
        """
        result: R = self._until("done", time.monotonic() + timeout)
        self._process.join(timeout)
        return result

    def _until(self, wanted: str, end: float) -> Any:
        while True:
            if not self._pipe.poll(max(end - time.monotonic(), 0)):
                raise WorkerFailed(f"process {self.pid} did not say {wanted!r} in time")
            try:
                kind, content = self._pipe.recv()
            except EOFError:
                self._process.join(5)
                code = self._process.exitcode
                raise WorkerFailed(f"process {self.pid} died, exit code {code}") from None
            if kind == wanted:
                return content
            if kind == "failed":
                raise WorkerFailed(f"in process {self.pid}:\n{content}")
            if kind == "told":
                self._told.append(content)
            else:
                raise WorkerFailed(f"process {self.pid} said {kind!r} instead of {wanted!r}")

    def stop(self) -> None:
        """Suspend it, whatever it is at."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `stop`."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it with SIGKILL, suspended or not, and wait until it is gone; idempotent."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(10)

    def __enter__(self) -> Worker[R]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._pipe.close()
        self._process.close()


def run_in_processes(
    task: Callable[Concatenate[Line, P], R],
    arguments: Iterable[Sequence[Any]],
    *,
    timeout: float = DEFAULT_TIMEOUT,
) -> list[R]:
    """Run a task once for each set of arguments, in a process each, started together.

    The task must call `Line.ready` exactly once, when its client is open.

    Returns:
        What they returned, in the order of the arguments.

    Raises:
        WorkerFailed: One of them raised, died, or did not end in time; none is left running.
    """
    workers: list[Worker[R]] = []
    end = time.monotonic() + timeout
    try:
        start: Callable[..., Worker[R]] = Worker
        workers.extend(start(task, *each) for each in arguments)
        for worker in workers:
            worker.wait_ready(end - time.monotonic())
        for worker in workers:
            worker.go()
        return [worker.result(end - time.monotonic()) for worker in workers]
    finally:
        for worker in workers:
            worker.__exit__(None, None, None)


# --- the same in threads -----------------------------------------------------------------


class _ThreadLine:
    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier
        self.told: list[Any] = []

    def ready(self) -> None:
        self._barrier.wait()

    def tell(self, message: Any) -> None:
        self.told.append(message)


def run_in_threads(
    task: Callable[Concatenate[Line, P], R],
    arguments: Iterable[Sequence[Any]],
    *,
    timeout: float = DEFAULT_TIMEOUT,
) -> list[R]:
    """As `run_in_processes`, in a thread each; arguments and results are not pickled.

    Threads change far more often than usual meanwhile, so that a race shows itself.
    """
    argued = list(arguments)
    barrier = threading.Barrier(len(argued), timeout=timeout)
    results: dict[int, R] = {}
    failures: list[str] = []

    def run(index: int, args: Sequence[Any]) -> None:
        call: Callable[..., R] = task
        try:
            results[index] = call(_ThreadLine(barrier), *args)
        except threading.BrokenBarrierError:
            failures.append("not every task became ready")
        except BaseException:  # noqa: BLE001 - whatever it was belongs to the report
            failures.insert(0, traceback.format_exc())
            barrier.abort()

    threads = [
        threading.Thread(target=run, args=(index, args), daemon=True)
        for index, args in enumerate(argued)
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        end = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))
    finally:
        sys.setswitchinterval(interval)
    if failures:
        raise WorkerFailed("in a thread:\n" + failures[0])
    if len(results) < len(argued):
        raise WorkerFailed(f"{len(argued) - len(results)} threads did not end in time")
    return [results[index] for index in range(len(argued))]
