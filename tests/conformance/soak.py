"""Two processes write one SQLite config while one of them, now and then, is stopped and continued.

Run by ``test_soak.py``, or by hand for as long as wanted::

    python tests/conformance/soak.py --seconds 600

It prints what it measured, as JSON, and fails with a message if anything was lost, doubled or
out of order.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from discfg_core.engine import KeyCondition
from discfg_core.errors import ConditionFailed, OutcomeUnknown
from discfg_core.substrates.sqlite import SQLiteSubstrate
from discfg_core.testing.engine_client import Client, Config, put
from discfg_core.testing.invariants import assert_sound
from discfg_core.testing.processes import Line, Worker
from discfg_core.testing.profiles import say_seed
from discfg_core.versioned import VersionedEngine

NAME = "soak"
PROCESSES = 2
THREADS = 8
# Far longer than anybody is stopped: every write is to be acknowledged in the end.
TIMEOUT = 120.0


class Ack(NamedTuple):
    """A commit that was acknowledged.

    Attributes:
        writer: Which thread of which process, ``process-thread``.
        message: The commit's own, unlike any other's.
        revision: As told.
        at: When it was told, monotonic.
        counted: Whether it counted up the shared number.
    """

    writer: str
    message: str
    revision: int
    at: float
    counted: bool


def open_client(path: Path) -> Client:
    """A client of the store in this file."""
    return Client(VersionedEngine(SQLiteSubstrate(str(path))), TIMEOUT)


# --- in the writing processes --------------------------------------------------------------


def write(line: Line, path: Path, process: int) -> tuple[list[Ack], list[str]]:
    """Write with several threads until the file ``stop`` is there.

    Returns:
        What was acknowledged, and the messages of what is unknown.
    """
    client = open_client(path)
    acks: list[Ack] = []
    unknown: list[str] = []
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            write_in_thread(client.config(NAME), f"{process}-{thread}", path, acks, unknown)
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            failures.append(error)

    line.ready()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    if failures:
        raise failures[0]
    return acks, unknown


def write_in_thread(
    config: Config, writer: str, path: Path, acks: list[Ack], unknown: list[str]
) -> None:
    """Every third commit counts up the shared number; the others write what is the writer's own."""
    stop = path.with_name("stop")
    index = 0
    while not stop.exists():
        message = f"{writer} {index}"
        counted = index % 3 == 0
        try:
            if counted:
                revision = count_up(config, message)
            else:
                value = message.encode() + b"x" * (index % 50 // 49 * 100_000)
                ops = (put(f"own/{writer}/{index % 20}", value), put(f"pair/{writer}", value[:20]))
                revision = config.committed(*ops, message=message).revision
            acks.append(Ack(writer, message, revision, time.monotonic(), counted))
        except OutcomeUnknown:
            unknown.append(message)
        index += 1


def count_up(config: Config, message: str) -> int:
    """Count up by compare-and-set, as often as it takes; the revision."""
    node = config.find("count")
    while True:
        value = b"%d" % (1 if node is None else int(node.value) + 1)
        condition = KeyCondition(
            "count", revision=None if node is None else node.revision, absent=node is None
        )
        try:
            return config.set("count", value, condition=condition, message=message).revision
        except ConditionFailed as error:
            node = error.node


# --- in the parent -------------------------------------------------------------------------


class Stops(NamedTuple):
    """When somebody was stopped: from, to, monotonic."""

    times: list[tuple[float, float]]

    def free(self, at: float) -> bool:
        """Whether nobody was stopped then."""
        return not any(begin <= at <= end for begin, end in self.times)


def disturb(workers: list[Worker[Any]], seconds: float, chance: random.Random) -> Stops:
    """Stop one of the processes and let it go on, again and again, for so long."""
    times: list[tuple[float, float]] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 1.2))
        worker = chance.choice(workers)
        begin = time.monotonic()
        worker.stop()
        time.sleep(chance.uniform(0.05, 1.0))
        worker.resume()
        times.append((begin, time.monotonic()))
    return Stops(times)


def soak(path: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Write, disturb, and hold what was told against the history.

    Returns:
        What was measured.

    Raises:
        AssertionError: Something was lost, doubled or out of order.
    """
    client = open_client(path)
    client.create(NAME)
    begin = time.monotonic()
    workers = [Worker(write, path, number) for number in range(PROCESSES)]
    try:
        for worker in workers:
            worker.wait_ready()
        for worker in workers:
            worker.go()
        stops = disturb(workers, seconds, random.Random(seed))
        path.with_name("stop").touch()
        told = [worker.result(TIMEOUT * 2) for worker in workers]
    finally:
        for worker in workers:
            worker.__exit__(None, None, None)
    took = time.monotonic() - begin
    acks = [ack for each, _ in told for ack in each]
    unknown = {message for _, each in told for message in each}
    judge(client, acks, unknown)
    client.close()
    return {**measured(acks, stops), "seconds": round(took, 1), "unknown": len(unknown)}


def judge(client: Client, acks: list[Ack], unknown: set[str]) -> None:
    """Everything acknowledged happened once, at the revision told, and nothing else did."""
    config = client.config(NAME)
    happened: dict[str, int] = {}
    for commit in config.history(limit=1000):
        assert commit.message not in happened, f"{commit.message} is in the history twice"
        happened[commit.message] = commit.revision
    lost = [ack for ack in acks if happened.get(ack.message) != ack.revision]
    assert not lost, f"acknowledged, and not in the history as told: {lost[:5]}"
    others = happened.keys() - {ack.message for ack in acks} - unknown
    assert not others, f"in the history, and told to nobody: {sorted(others)[:5]}"
    counted = sum(int(message.split()[1]) % 3 == 0 for message in happened)
    assert int(config.value("count")) == counted, "the shared number is not the sum of its steps"
    assert counted >= sum(ack.counted for ack in acks)
    assert_sound(client, NAME)


def measured(acks: list[Ack], stops: Stops) -> dict[str, Any]:
    """Rates, and how fairly the writers were served while nobody was stopped.

    Raises:
        AssertionError: A writer got nowhere.
    """
    writers = [f"{process}-{thread}" for process in range(PROCESSES) for thread in range(THREADS)]
    whole = Counter(ack.writer for ack in acks)
    idle = [writer for writer in writers if not whole[writer]]
    assert not idle, f"writers that committed nothing: {idle}"
    free = Counter(ack.writer for ack in acks if stops.free(ack.at))
    fair = sum(free.values()) / len(writers)
    return {
        "commits": len(acks),
        "stops": len(stops.times),
        "stopped_seconds": round(sum(end - begin for begin, end in stops.times), 1),
        "commits_while_nobody_was_stopped": sum(free.values()),
        # A fair share is 1.0; the design promises 0.25.
        "smallest_share": round(min(free[writer] for writer in writers) / fair, 2)
        if fair
        else None,
    }


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    seed = say_seed() if arguments.seed is None else arguments.seed
    with tempfile.TemporaryDirectory() as folder:
        report = soak(Path(folder) / "soak.db", arguments.seconds, seed)
    sys.stdout.write(json.dumps({"seed": seed, **report}) + "\n")


if __name__ == "__main__":
    main()
