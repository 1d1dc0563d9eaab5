"""Processes and clients that come and go: shared stores, forks, deaths, closing, and deadlines."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import discfg_core
from discfg_core import registry
from discfg_core.engine import Guarantee, StorageEngine
from discfg_core.errors import Closed, GuaranteeNotMet, OutcomeUnknown, StoreError, Timeout
from discfg_core.testing.engine_base import EngineCase, exists, is_shared
from discfg_core.testing.engine_client import Client, put
from discfg_core.testing.processes import Worker, run_in_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core.testing.engine_base import Lab
    from discfg_core.testing.engine_client import Config
    from discfg_core.testing.processes import Line, Opener

# A child of a fork that does not end by itself is ended.
_CHILD_SECONDS = 60


class LifeTests(EngineCase):
    """What an engine promises of itself, and what becomes of it."""

    def test_engine_has_every_method(self, client: Client) -> None:
        assert isinstance(client.engine, StorageEngine)
        assert client.engine.scheme == client.engine.scheme.lower() != ""

    def test_guarantees_include_each_other(self, client: Client) -> None:
        guarantees = client.engine.guarantees
        assert isinstance(guarantees, frozenset)
        assert guarantees <= set(Guarantee)
        assert Guarantee.DISTRIBUTED not in guarantees or Guarantee.SHARED in guarantees

    @pytest.mark.parametrize("guarantee", Guarantee)
    def test_guarantee_is_met_or_refused(
        self, lab: Lab, client: Client, place: Any, guarantee: Guarantee
    ) -> None:
        url = self.url(place)

        def demand() -> None:
            if url is None:
                registry.demand(lab.open().engine, {guarantee})
            else:
                discfg_core.connect(url, require={guarantee}).close()

        if guarantee in client.engine.guarantees:
            demand()
            return
        with pytest.raises(GuaranteeNotMet) as caught:
            demand()
        assert guarantee in str(caught.value)

    def test_other_process_sees_a_config_iff_shared(self, lab: Lab, config: Config) -> None:
        config.commit(put("a", b"1"), put("b", b"x" * 200_000))
        with Worker(read_all, lab.opener, lab.place, config.name) as worker:
            seen = worker.result()
        assert seen == (config.values() if is_shared(config.client) else None)

    def test_acknowledged_commits_outlive_a_killed_process(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        with Worker(write_until_killed, lab.opener, lab.place, name) as worker:
            told = [worker.hear() for _ in range(25)]
            worker.kill()
        there = client.config(name).history() if exists(client, name) else []
        ids = {commit.revision: commit.id for commit in there}
        lost = [revision for revision, commit_id in told if ids.get(revision) != commit_id]
        assert not lost or Guarantee.DURABLE not in client.engine.guarantees

    def test_fork(self, lab: Lab, name: str, client: Client) -> None:
        shared = is_shared(client)
        if shared:
            client.create(name)
        with Worker(write_and_fork, lab.opener, lab.place, name, shared) as worker:
            facts = worker.result()
        parents, children, history = facts["parent"], facts["children"], facts["history"]
        assert len(children) == 3
        everything = parents + [each for child in children for each in child]
        assert len(set(everything)) == len(everything), "two processes made one commit id"
        assert all(len(child) == 5 for child in children), "a child could not write"
        expected = everything if shared else parents
        assert sorted(history) == sorted(expected)

    def test_close_while_others_write(self, lab: Lab, config: Config) -> None:
        closing = lab.open()
        started = threading.Barrier(5, timeout=60)
        told = run_in_threads(
            write_until_closed, [(closing, config.name, started, number) for number in range(5)]
        )
        with pytest.raises(Closed):
            closing.config(config.name).get("a")
        history = [commit.id for commit in config.history()]
        acknowledged = [each for worker in told for each in worker]
        assert len(set(acknowledged)) == len(acknowledged)
        assert set(acknowledged) <= set(history)

    def test_deadline_that_has_passed(self, lab: Lab, config: Config) -> None:
        config.set("a", b"before")
        hasty = Client(lab.open().engine, timeout=0.0).config(config.name)
        calls: tuple[Callable[[], object], ...] = (hasty.view, hasty.info, lambda: hasty.get("a"))
        for call in calls:
            with suppress(Timeout, StoreError):
                call()
        happened = [_happened(hasty, config, f"hasty-{number}") for number in range(10)]
        assert config.keys() == ["/a"] + [f"/hasty-{n}" for n in range(10) if happened[n]]
        assert config.revision() == 1 + sum(happened)


def _happened(hasty: Config, patient: Config, commit_id: str) -> bool:
    """Write with no time left; whether it happened, as the writer was told."""
    try:
        hasty.set(commit_id, commit_id=commit_id)
    except (Timeout, StoreError):
        return False
    except OutcomeUnknown:
        return patient.outcome(commit_id) is not None
    return True


# --- tasks for other processes ------------------------------------------------------------


def read_all(line: Line, opener: Opener, place: Any, name: str) -> dict[str, bytes] | None:
    """What another process finds in a config; ``None`` where it finds no such config."""
    client = Client(opener(place))
    try:
        return client.config(name).values() if exists(client, name) else None
    finally:
        client.close()


def write_until_killed(line: Line, opener: Opener, place: Any, name: str) -> NoReturn:
    """Commit, and tell what was acknowledged, for ever."""
    config = Client(opener(place)).new(name)
    number = 0
    while True:
        commit = config.committed(put(f"k{number % 5}", b"x" * (number % 3 * 20_000)))
        line.tell((commit.revision, commit.id))
        number += 1


def write_until_closed(
    line: Line, client: Client, name: str, started: threading.Barrier, number: int
) -> list[str]:
    """Commit until the engine says that it is closed; worker 0 closes it amid that."""
    config = client.config(name)
    line.ready()
    told: list[str] = []
    try:
        for index in range(1000):
            told.append(config.committed(put(f"{number}/{index % 3}")).id)
            if index == 5:
                started.wait()
                if number == 0:
                    client.close()
    except (Closed, OutcomeUnknown):
        return told
    raise AssertionError("a closed engine went on writing")


def write_and_fork(
    line: Line, opener: Opener, place: Any, name: str, shared: bool
) -> dict[str, Any]:
    """Fork while threads write, with everything in memory; the child goes on writing.

    It runs in a process of its own: what a fork may break is not the test run.
    """
    client = Client(opener(place))
    config = client.config(name) if shared else client.new(name)
    told = [config.committed(put("first", b"x" * 50_000)).id]
    config.view()
    ended = threading.Event()
    background: list[list[str]] = [[] for _ in range(3)]

    def write(number: int) -> None:
        while not ended.is_set():
            background[number].append(config.committed(put(f"thread{number}")).id)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    children = []
    try:
        for number in range(3):
            told += [config.committed(put("parent", b"%d" % number)).id for _ in range(5)]
            children.append(_fork(config, number))
            told += [config.committed(put("parent", b"%d" % number)).id for _ in range(5)]
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    answers = [_hear(child) for child in children]
    told += [each for ids in background for each in ids]
    history = [commit.id for commit in config.history()]
    client.close()
    return {"parent": told, "children": answers, "history": history}


def _fork(config: Config, number: int) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    answer: Any = []
    try:
        signal.alarm(_CHILD_SECONDS)
        os.close(reading)
        for index in range(5):
            before = config.find("first")
            assert before is not None
            assert len(before.value) == 50_000
            answer.append(config.committed(put(f"child{number}", b"%d" % index)).id)
        config.client.close()
    except BaseException as error:  # noqa: BLE001 - a child must never run its parent's code
        answer = [repr(error), repr(error.__cause__)]
    finally:
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)


def _hear(child: tuple[int, int]) -> list[str]:
    pid, reading = child
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child of a fork ended with {status}"
    answer: list[str] = json.loads(said)
    assert len(answer) == 5, f"the child of a fork failed: {answer}"
    return answer
