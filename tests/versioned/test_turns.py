"""Taking turns: every order of coming, being served, giving up."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from discfg_core.clock import Deadline
from discfg_core.versioned.turns import GaveUp, Ticket, Turns


class Job:
    """What one thread wants: to be marked."""

    def __init__(self, weight: int = 1) -> None:
        self.weight = weight
        self.answered = False


class Line:
    """Threads in a queue, each held by the test when it leads."""

    def __init__(self) -> None:
        self.turns: Turns[Job] = Turns()
        self.batches: list[list[Job]] = []
        self.led: list[Job] = []
        self.gave_up: dict[Job, bool] = {}
        self.threads: dict[Job, threading.Thread] = {}
        self.holds: dict[Job, threading.Event] = {}
        self.answers: dict[Job, int | None] = {}

    def come(
        self,
        job: Job,
        *,
        held: bool = False,
        answers: int | None = None,
        limit: int = 10**9,
        seconds: float = 10,
    ) -> None:
        """A thread with this job; as leader it waits if `held`, then answers so many of its batch."""
        ticket = Ticket(job, Deadline.after(seconds))
        if held:
            self.holds[job] = threading.Event()

        def lead(own: Ticket[Job]) -> None:
            batch = [one.item for one in self.turns.take(limit)]
            self.batches.append(batch)
            self.led.append(own.item)
            if held:
                assert self.holds[job].wait(10)
            for one in batch[:answers]:
                one.answered = True
            own.item.answered = True

        def run() -> None:
            try:
                self.turns.run(ticket, lead)
            except GaveUp as gave_up:
                self.gave_up[job] = gave_up.taken

        queued, leading = len(self.turns._queue), self.turns._leader
        self.threads[job] = threading.Thread(target=run, daemon=True)
        self.threads[job].start()
        if leading is None:
            until(lambda: job in self.led or job.answered)
        else:
            until(lambda: len(self.turns._queue) > queued)

    def end(self, *jobs: Job) -> None:
        for job in jobs or list(self.threads):
            self.threads[job].join(5)
            assert not self.threads[job].is_alive()


def until(holds: object) -> None:
    assert callable(holds)
    for _ in range(5000):
        if holds():
            return
        time.sleep(0.001)
    raise AssertionError("it never came to be")


def test_first_leads_and_takes_all_that_wait_in_order() -> None:
    line, jobs = Line(), [Job() for _ in range(6)]
    line.come(jobs[0], held=True)
    for job in jobs[1:]:
        line.come(job)
    line.holds[jobs[0]].set()
    line.end()
    assert line.batches == [jobs[:1], jobs[1:]]
    assert line.led == jobs[:2]
    assert line.turns._leader is None


@pytest.mark.parametrize("answered", range(5))
def test_what_a_leader_leaves_goes_back_to_the_front_in_order(answered: int) -> None:
    line, jobs = Line(), [Job() for _ in range(6)]
    line.come(jobs[0], held=True)
    line.come(jobs[1], held=True, answers=answered)
    for job in jobs[2:5]:
        line.come(job)
    line.holds[jobs[0]].set()
    until(lambda: jobs[1] in line.led)
    line.come(jobs[5])
    line.holds[jobs[1]].set()
    line.end()
    rest = jobs[1:5][max(answered, 1) :]
    assert line.batches[2] == [*rest, jobs[5]]
    assert all(job.answered for job in jobs)


@pytest.mark.parametrize("order", list(itertools.permutations(range(1, 4))))
def test_whoever_gives_up_in_the_queue_was_not_taken(order: tuple[int, ...]) -> None:
    line, jobs = Line(), [Job() for _ in range(4)]
    line.come(jobs[0], held=True)
    for place, number in enumerate(order):
        line.come(jobs[number], seconds=0.03 if place != 1 else 10)
    gone = [jobs[order[0]], jobs[order[2]]]
    line.end(*gone)
    assert line.gave_up == dict.fromkeys(gone, False)
    line.holds[jobs[0]].set()
    line.end()
    assert line.batches == [[jobs[0]], [jobs[order[1]]]]


def test_whoever_gives_up_in_a_batch_is_not_given_back() -> None:
    line, jobs = Line(), [Job() for _ in range(4)]
    line.come(jobs[0], held=True)
    line.come(jobs[1], held=True, answers=0)
    line.come(jobs[2], seconds=0.2)
    line.come(jobs[3])
    line.holds[jobs[0]].set()
    until(lambda: jobs[1] in line.led)
    line.end(jobs[2])
    assert line.gave_up == {jobs[2]: True}
    line.holds[jobs[1]].set()
    line.end()
    assert line.batches[-1] == [jobs[3]]


def test_batch_is_limited_by_weight_and_never_empty() -> None:
    line = Line()
    jobs = [Job(weight) for weight in (1, 90, 5, 5, 1, 200, 3)]
    line.come(jobs[0], held=True, limit=100)
    for job in jobs[1:]:
        line.come(job, limit=100)
    line.holds[jobs[0]].set()
    line.end()
    weights = [[job.weight for job in batch] for batch in line.batches]
    assert weights == [[1], [90, 5, 5], [1], [200], [3]]


def test_leader_that_fails_hands_over() -> None:
    turns: Turns[Job] = Turns()

    def fail(own: Ticket[Job]) -> None:
        turns.take(1)
        raise RuntimeError("the work broke")

    for _ in range(3):
        with pytest.raises(RuntimeError):
            turns.run(Ticket(Job(), Deadline.after(1)), fail)
    assert turns._leader is None
    assert not turns._queue


def test_deadline_beyond_the_platforms_longest_wait() -> None:
    line, jobs = Line(), [Job(), Job()]
    line.come(jobs[0], held=True)
    line.come(jobs[1], seconds=1e12)
    line.holds[jobs[0]].set()
    line.end()


def test_many_threads_are_each_served_once() -> None:
    turns: Turns[Job] = Turns()
    served: list[Job] = []

    def lead(own: Ticket[Job]) -> None:
        batch = turns.take(20)
        for ticket in batch[: max(1, len(batch) - 2)]:
            served.append(ticket.item)
            ticket.item.answered = True

    def work() -> None:
        for _ in range(100):
            turns.run(Ticket(Job(), Deadline.after(30)), lead)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(served) == len(set(served)) == 3200
    assert turns._leader is None
