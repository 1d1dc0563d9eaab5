"""Processes with threads write one config of a store, while somebody is in their way.

Run by ``test_soak.py``, or by hand for as long as wanted::

    python -m tests.conformance.soak etcd --seconds 600 --disturb kills

It prints what it measured, as JSON, and fails with a message if anything was lost, doubled, out
of order, or other than it was told.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from discfg_core.testing.engine_client import Client
from discfg_core.testing.invariants import assert_sound
from discfg_core.testing.processes import Worker
from discfg_core.testing.profiles import say_seed
from tests.conformance.soak_writer import (
    EXPIRED,
    NAME,
    PATIENT,
    Ack,
    Job,
    Told,
    counts,
    write,
)
from tests.servers import find
from tests.stores.places import STORES, fresh, fresh_file, open_client

if TYPE_CHECKING:
    from tests.servers.base import Server

# Of the writers' common average, what the slowest of them gets at least.
LEAST_SHARE = 0.25
# Whoever swapped last is the quickest again, for up to a second: it takes many of those seconds
# until shares tell more than who was lucky. A shorter run, as among the other tests, is held to
# no time either: it shares its machine with them.
TELLING_SECONDS = 20.0
# Seconds after the server is back within which somebody has committed again.
BACK_WITHIN = 5.0
# Seconds by which a call may outlast its deadline, on a machine with far more threads than cores.
GRACE = 2.0
KILLS = 2


class Disturbance(StrEnum):
    """What happens meanwhile."""

    NONE = "none"
    STOPS = "stops"
    """One of the writing processes is stopped and continued, again and again."""
    KILLS = "kills"
    """The server is killed and started again, twice."""


class Span(NamedTuple):
    """When somebody was out of action; monotonic."""

    begin: float
    end: float


class Soak(NamedTuple):
    """What to run.

    Attributes:
        url: A place in the store where nothing is yet.
        folder: For a file of the soak's own.
        seconds: How long the writers write, at least.
        disturb: What happens meanwhile.
        server: The store's own, for `Disturbance.KILLS`.
        processes: That write.
        threads: In each of them.
    """

    url: str
    folder: Path
    seconds: float
    disturb: Disturbance = Disturbance.NONE
    server: Server | None = None
    processes: int = 4
    threads: int = 8

    def jobs(self) -> list[Job]:
        """What each process does."""
        stop = self.folder / "stop"
        impatient = self.disturb is Disturbance.KILLS
        return [
            Job(self.url, stop, number, self.threads, impatient) for number in range(self.processes)
        ]


def run(soak: Soak, seed: int) -> dict[str, Any]:
    """Write, disturb, and hold what was told against the history.

    Returns:
        What was measured.

    Raises:
        AssertionError: Something was lost, doubled, out of order, or told wrongly.
    """
    client = open_client(soak.url, PATIENT)
    client.create(NAME)
    jobs = soak.jobs()
    with ExitStack() as workers_end:
        workers = [workers_end.enter_context(Worker(write, job)) for job in jobs]
        for worker in workers:
            worker.wait_ready()
        begin = time.monotonic()
        for worker in workers:
            worker.go()
        spans = _disturb(soak, workers, random.Random(seed))
        took = time.monotonic() - begin
        jobs[0].stop.touch()
        told = [worker.result(PATIENT * 2) for worker in workers]
    judge(client, told)
    client.close()
    return {"seconds": round(took, 1), **_measured(soak, told, spans)}


# --- meanwhile -----------------------------------------------------------------------------


def _disturb(soak: Soak, workers: list[Worker[Told]], chance: random.Random) -> list[Span]:
    """Be in the way for as long as the soak is to last."""
    end = time.monotonic() + soak.seconds
    spans: list[Span] = []
    if soak.disturb is Disturbance.STOPS:
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.2, 1.2))
            worker = chance.choice(workers)
            begin = time.monotonic()
            worker.stop()
            time.sleep(chance.uniform(0.05, 1.0))
            worker.resume()
            spans.append(Span(begin, time.monotonic()))
    elif soak.disturb is Disturbance.KILLS:
        assert soak.server is not None, "nothing to kill"
        undisturbed = soak.seconds / (KILLS + 1)
        for _ in range(KILLS):
            time.sleep(undisturbed)
            begin = time.monotonic()
            soak.server.kill()
            time.sleep(chance.uniform(0.2, 1.5))
            soak.server.start()
            spans.append(Span(begin, time.monotonic()))
        # The writers pause longer and longer while the server is away.
        end = max(end, time.monotonic() + max(undisturbed, BACK_WITHIN))
    time.sleep(max(end - time.monotonic(), 0))
    return spans


# --- afterwards ----------------------------------------------------------------------------


def judge(client: Client, told: list[Told]) -> None:
    """What was told is what happened.

    Raises:
        AssertionError: It is not, or the config is not sound.
    """
    config = client.config(NAME)
    happened: dict[str, int] = {}
    for commit in config.history(limit=1000):
        assert commit.message not in happened, f"{commit.message} is in the history twice"
        happened[commit.message] = commit.revision
    acks = [ack for each in told for ack in each.acks]
    lost = [ack for ack in acks if happened.get(ack.message) != ack.revision]
    assert not lost, f"{len(lost)} acknowledged, and not in the history as told: {lost[:5]}"
    never = [message for each in told for message in (*each.refused, *each.beaten)]
    refused = [message for message in never if message in happened]
    assert not refused, f"in the history, although it surely did not happen: {refused[:5]}"
    settled = {message: what for each in told for message, what in each.settled.items()}
    for message, revision in settled.items():
        found = happened.get(message)
        assert revision in {EXPIRED, found}, (
            f"{message}: `outcome` told {revision}, and the history has {found}"
        )
    others = happened.keys() - {ack.message for ack in acks} - settled.keys()
    assert not others, f"in the history, and told to nobody: {sorted(others)[:5]}"
    counted = sum(counts(int(message.split()[1])) for message in happened)
    assert int(config.value("count")) == counted, "the shared number is not the sum of its steps"
    assert_sound(client, NAME)


def _measured(soak: Soak, told: list[Told], spans: list[Span]) -> dict[str, Any]:
    """Rates, how fairly the writers were served, and how soon all went on.

    Raises:
        AssertionError: A writer got too little, or an answer came too late.
    """
    acks = [ack for each in told for ack in each.acks]
    settled = [what for each in told for what in each.settled.values()]
    refused = sum(len(each.refused) for each in told)
    latest = max(each.latest for each in told)
    telling = soak.seconds >= TELLING_SECONDS
    if telling:
        assert latest < GRACE, f"a call ended {latest:.1f} s after its deadline"
    if soak.disturb is not Disturbance.KILLS:
        assert not settled, f"{len(settled)} unknown, and the store was never away"
        assert not refused, f"{refused} refused, and the store was never away"
    back = [_back_after(soak, acks, span) for span in spans]
    if telling and soak.disturb is Disturbance.KILLS:
        first = max(times[0] for times in back)
        assert first < BACK_WITHIN, f"nobody committed for {first:.1f} s after the server was back"
    free = Counter(
        ack.writer for ack in acks if not any(begin <= ack.at <= end for begin, end in spans)
    )
    # Whoever gives up before its turn can come has no share to claim.
    writers = [
        job.writer(thread)
        for job in soak.jobs()
        for thread in range(soak.threads)
        if not job.gives_up_early(thread)
    ]
    average = sum(free[writer] for writer in writers) / len(writers)
    slowest = min(writers, key=lambda writer: free[writer])
    share = free[slowest] / average if average else 0.0
    if telling:
        assert share >= LEAST_SHARE, f"writer {slowest} got {share:.2f} of a fair share: {free}"
    return {
        "commits": len(acks),
        "disturbed": [round(span.end - span.begin, 1) for span in spans],
        "unknown_done": sum(what not in {None, EXPIRED} for what in settled),
        "unknown_never": settled.count(None),
        "unknown_expired": settled.count(EXPIRED),
        "refused": refused,
        # Of each disturbance: until the first process, and until the last one, had committed.
        "back_after": [(round(times[0], 1), round(times[-1], 1)) for times in back],
        "latest": round(latest, 2),
        # A fair share is 1.0; the design promises 0.25.
        "smallest_share": round(share, 2),
    }


def _back_after(soak: Soak, acks: list[Ack], span: Span) -> list[float]:
    """Seconds after a disturbance until each process had committed again, the quickest first."""
    first = {str(job.number): float("inf") for job in soak.jobs()}
    for ack in acks:
        process = ack.writer.partition("-")[0]
        if ack.at > span.end:
            first[process] = min(first[process], ack.at)
    return sorted(at - span.end for at in first.values())


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", choices=STORES)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--disturb", type=Disturbance, default=Disturbance.NONE)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    seed = say_seed() if arguments.seed is None else arguments.seed
    with tempfile.TemporaryDirectory() as name, ExitStack() as ends:
        folder = Path(name)
        server = None
        url = fresh_file(folder)
        if arguments.store != "sqlite":
            # It sets the credentials for servers on loopback.
            import tests.servers.plugin  # noqa: F401 - see above

            (folder / "server").mkdir()
            server = ends.enter_context(find(arguments.store)(folder / "server")).start()
            url = fresh(server.url)
        report = run(
            Soak(
                url,
                folder,
                arguments.seconds,
                arguments.disturb,
                server,
                arguments.processes,
                arguments.threads,
            ),
            seed,
        )
    sys.stdout.write(json.dumps({"store": arguments.store, "seed": seed, **report}) + "\n")


if __name__ == "__main__":
    main()
