"""Interrupts: at every line a thread may be at, and in every place it may wait."""

from __future__ import annotations

import linecache
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg
import discfg_core.versioned
from discfg_core.errors import KeyNotFound, OutcomeUnknown
from discfg_core.testing.profiles import say_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from tests.versioned.conftest import Bench, Client, Doing, Gate, Go, Handler

_PACKAGE = discfg_core.versioned.__path__[0]


class Interrupt(BaseException):
    """As a signal handler might raise."""


def interrupted_at(step: int, call: Callable[[], object]) -> bool:
    """Call, and raise at the step-th line of the engine; False if it has fewer lines."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal seen
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return None
        # The interpreter looks for signals after calls and at jumps back: not where a `try` begins,
        # nor between the body of a `with` and its exit, where a line event comes, too.
        line = linecache.getline(code.co_filename, frame.f_lineno).strip()
        if event in {"line", "call"} and not line.startswith(("with ", "try:")):
            seen += 1
            if seen == step:
                sys.settrace(None)
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return seen >= step


# One line in a few: each run of the suite begins elsewhere, so that all come by in time.
_STRIDE = 5


@pytest.mark.parametrize("what", ["set", "get", "outcome", "drop"])
def test_interrupt_at_any_line_leaves_the_config_usable(bench: Bench, what: str) -> None:
    step = 1 + say_seed() % _STRIDE
    while True:
        a = bench.client(name=f"{what}{step}").create()
        a.set("/a", "0")
        calls: dict[str, Callable[[], object]] = {
            "set": lambda: a.set("/x", "1"),  # noqa: B023 - called at once
            "get": lambda: a.get("/a"),  # noqa: B023 - called at once
            "outcome": lambda: a.outcome("never"),  # noqa: B023 - called at once
            "drop": a.drop,
        }
        if not interrupted_at(step, calls[what]):
            break
        if what != "drop":
            a.set("/y", "2", seconds=2)
            assert a.get("/y", seconds=2) == b"2", f"step {step}"
            assert a.problems() == ()
        step += _STRIDE
    assert step > 50


def test_interrupt_at_any_line_of_a_leader_hangs_nobody_behind_it(bench: Bench) -> None:
    step = 1 + say_seed() % (3 * _STRIDE)
    while True:
        a = bench.client(name=f"heirs{step}").create()
        a.set("/a", "0")
        heirs: list[Doing] = []
        a.store.then("swap", partial(_let_others_queue, a, heirs))
        if not interrupted_at(step, partial(a.set, "/x", "1")):
            break
        for heir in heirs:
            assert heir.error() is None, f"step {step}"
        a.set("/y", "2", seconds=2)
        step += 3 * _STRIDE
    assert step > 50


def _let_others_queue(client: Client, heirs: list[Doing], go: Go) -> object:
    turns = client.engine._sessions[client.name][1]._turns
    for number in range(2):
        heirs.append(client.do(client.set, f"/heir{number}", seconds=3))
        while len(turns._queue) <= number:
            time.sleep(0.001)
    return go()


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Interrupt this thread's work after a while."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_interrupted_leader_leaves_its_batch_unknown_and_hands_over(
    bench: Bench, gate: Gate, gates: Callable[[], Gate]
) -> None:
    a = bench.client().create()
    a.store.then("swap", gate)
    first = a.do(a.set, "/first")
    gate.reached()
    leader = a.do(a.set, "/leader")
    turns = a.engine._sessions["c"][1]._turns
    while len(turns._queue) < 1:
        time.sleep(0.001)
    mate = a.do(a.set, "/mate")
    while len(turns._queue) < 2:
        time.sleep(0.001)

    def broken(go: Go) -> object:
        go()
        raise Interrupt

    a.store.then("swap", broken)
    gate.open()
    first.result()
    assert isinstance(leader.error(), Interrupt)
    error = mate.error()
    assert isinstance(error, OutcomeUnknown)
    # It had happened: the cache is behind, and the next write finds that out.
    assert error.commit_id is not None
    assert a.outcome(error.commit_id) is not None
    assert a.set("/next").revision == 4


def test_interrupted_waiter_in_the_queue_never_writes(bench: Bench, gate: Gate) -> None:
    a = bench.client().create()
    a.store.then("swap", gate)
    first = a.do(a.set, "/first")
    gate.reached()
    with alarm(0.1), pytest.raises(Interrupt):
        a.set("/x")
    gate.open()
    first.result()
    a.set("/y", seconds=2)
    with pytest.raises(KeyNotFound):
        a.get("/x")


def test_interrupted_waiter_in_flight_does_not_become_leader(
    bench: Bench, gate: Gate, scripts: dict[str, Handler]
) -> None:
    a = bench.client().create()
    a.store.then("swap", gate)
    first = a.do(a.set, "/first")
    gate.reached()
    leader = a.do(a.set, "/leader", seconds=0.6)
    turns = a.engine._sessions["c"][1]._turns
    while len(turns._queue) < 1:
        time.sleep(0.001)

    def go_on() -> None:
        while len(turns._queue) < 2:
            time.sleep(0.001)
        a.cut_off()
        gate.open()

    threading.Thread(target=go_on).start()
    # The leader has it, is cut off, and gives back what it took when its time is up.
    with alarm(0.3), pytest.raises(Interrupt):
        a.set("/x")
    first.result()
    assert isinstance(leader.error(), OutcomeUnknown)
    a.reconnect()
    a.set("/y", seconds=2)


def test_interrupted_reader_leaves_the_check_to_others(bench: Bench, gate: Gate) -> None:
    a = bench.client().create()
    a.set("/x", "1")
    a.store.then("read", gate)
    with alarm(0.1), pytest.raises(Interrupt):
        a.get("/x")
    assert a.get("/x", seconds=2) == b"1"


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_signals_at_random_leave_the_config_usable(store: str, tmp_path: Path) -> None:
    luck = random.Random(say_seed())
    over = threading.Event()

    def write_on(config: discfg.Config) -> None:
        while not over.is_set():
            # Whose leader was interrupted cannot tell what became of its write.
            with suppress(OutcomeUnknown):
                config.set("theirs", 1)

    def raise_it(*_: object) -> None:
        raise Interrupt

    url = f"sqlite:///{tmp_path}/store.db" if store == "sqlite" else "memory://"
    with discfg.connect(url, timeout=5) as opened:
        config = opened.create_config("c")
        others = [threading.Thread(target=write_on, args=(config,)) for _ in range(3)]
        for other in others:
            other.start()
        # Not SIGALRM, which watches over the test itself.
        before = signal.signal(signal.SIGVTALRM, raise_it)
        try:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                with suppress(Interrupt):
                    signal.setitimer(signal.ITIMER_VIRTUAL, luck.uniform(0.0002, 0.006))
                    while True:
                        config.update("ours", lambda n: (n or 0) + 1)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
            over.set()
        for other in others:
            other.join(10)
            assert not other.is_alive()
        config.set("after", 1)
        assert config.get("after").data == 1
        assert opened.check("c").problems == ()
