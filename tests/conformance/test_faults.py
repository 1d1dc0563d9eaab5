"""The engine over substrates that fail on purpose: what it says happened is what happened."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from discfg_core.engine import KeyCondition, Remove
from discfg_core.errors import (
    ConditionFailed,
    DiscfgError,
    KeyNotFound,
    OutcomeUnknown,
    StoreError,
    Timeout,
)
from discfg_core.testing import FaultPlan
from discfg_core.testing.engine_client import Config, put
from discfg_core.testing.processes import run_in_threads
from discfg_core.testing.profiles import profile, say_seed

if TYPE_CHECKING:
    from discfg_core.model import Commit
    from discfg_core.testing.processes import Line
    from tests.conformance.conftest import Bench, Call

# A call may end so much later than its deadline: the machine may be busy with anything.
SLACK = 20.0
CERTAIN = (Timeout, StoreError)

MILD = FaultPlan(
    read_before=0.1,
    swap_before=0.1,
    swap_after=0.15,
    swap_lost=0.1,
    conflict=0.05,
    storm=3,
    put_before=0.1,
    put_after=0.1,
    delay=0.1,
    delay_seconds=0.005,
)
HARSH = FaultPlan(
    read_before=0.3, swap_before=0.1, swap_after=0.4, swap_lost=0.4, put_before=0.2, put_after=0.2
)


@pytest.fixture(params=range(profile().max_examples // 4 + 1))
def seed(request: pytest.FixtureRequest) -> int:
    return say_seed() + int(request.param)


# --- many writers, any fault ----------------------------------------------------------------


class Answer(NamedTuple):
    """What a writer was told of one commit.

    Attributes:
        message: The commit's own, unlike any other's.
        commit: What was acknowledged.
        error: What was said instead.
        asked: What `outcome` said of an unknown one, if it could say; a list of one.
    """

    message: str
    commit: Commit | None
    error: DiscfgError | None
    asked: list[Commit | None]


def write(line: Line, config: Config, witness: Config, seed: int, number: int) -> list[Answer]:
    """Write by every kind of call; ask, through another client, what became of the unknown."""
    chance = random.Random(f"{seed} {number}")
    answers = []
    line.ready()
    for index in range(12):
        message = f"{number}-{index}"
        commit_id = None if chance.random() < 0.5 else f"id-{message}"
        key = chance.choice("abc")
        value = message.encode() + b"x" * chance.choice((0, 0, 6_000, 80_000))
        condition = chance.choice((None, KeyCondition(key, absent=True)))
        ops = (put(key, value),) if chance.random() < 0.8 else (put(key, value), put("both", value))
        try:
            commit = config.committed(
                *ops,
                conditions=(condition,) if condition else (),
                message=message,
                commit_id=commit_id,
            )
            answers.append(Answer(message, commit, None, []))
        except DiscfgError as error:
            answers.append(Answer(message, None, error, _ask(witness, error)))
    return answers


def _ask(witness: Config, error: DiscfgError) -> list[Commit | None]:
    if not isinstance(error, OutcomeUnknown):
        return []
    assert error.commit_id is not None, "an unknown outcome without an id to ask about"
    try:
        return [witness.outcome(error.commit_id)]
    except (*CERTAIN, OutcomeUnknown):
        return []


def assert_true(answers: list[Answer], config: Config) -> Counter[str]:
    """Every answer is borne out by the history; how many there were of each kind."""
    history: dict[str, list[Commit]] = {}
    for commit in config.history():
        history.setdefault(commit.message, []).append(commit)
    kinds: Counter[str] = Counter()
    for answer in answers:
        happened = history.get(answer.message, [])
        if answer.commit is not None:
            kinds["acknowledged"] += 1
            assert happened == [answer.commit], f"{answer.commit} was acknowledged"
        elif isinstance(answer.error, OutcomeUnknown):
            kinds["unknown"] += 1
            assert len(happened) <= 1, f"{answer.message} happened twice"
            truth = happened[0] if happened else None
            for told in answer.asked:
                assert told == truth, f"{told} was the outcome of {answer.message}, and is {truth}"
            assert answer.error.commit_id is not None
            assert config.outcome(answer.error.commit_id) == truth
        else:
            kinds[type(answer.error).__name__] += 1
            assert not happened, f"{answer.message} happened in spite of {answer.error!r}"
    return kinds


@pytest.mark.parametrize("plan", [MILD, HARSH], ids=["mild", "harsh"])
def test_what_writers_are_told_is_what_happened(bench: Bench, seed: int, plan: FaultPlan) -> None:
    timeout = 2.0 if plan is MILD else 0.15
    configs = [bench.faulty(seed + number, plan, timeout)[0] for number in range(3)]
    told = run_in_threads(
        write,
        [(configs[number % 2], configs[2], seed, number) for number in range(4)],
    )
    kinds = assert_true([answer for answers in told for answer in answers], bench.config)
    assert set(kinds) <= {
        "acknowledged",
        "unknown",
        "ConditionFailed",
        "Timeout",
        "StoreUnavailable",
    }
    assert kinds["acknowledged"]


def count(line: Line, config: Config, stop: threading.Event, sure: int) -> tuple[int, int]:
    """Count up by compare-and-set until so many are sure; the sure ones and the unknown."""
    line.ready()
    done = unknown = 0
    while done < sure and not stop.is_set():
        try:
            node = config.find("count")
            value = b"%d" % (1 if node is None else int(node.value) + 1)
            condition = (
                KeyCondition("count", absent=True)
                if node is None
                else KeyCondition("count", revision=node.revision)
            )
            config.set("count", value, condition=condition)
            done += 1
        except OutcomeUnknown:
            unknown += 1
        except (ConditionFailed, *CERTAIN):
            continue
    return done, unknown


def test_counter_counts_what_was_acknowledged(bench: Bench, seed: int) -> None:
    plan = FaultPlan(read_before=0.1, swap_before=0.1, swap_after=0.3, swap_lost=0.2, conflict=0.1)
    configs = [bench.faulty(seed + number, plan, 0.5)[0] for number in range(2)]
    stop = threading.Event()
    watchdog = threading.Timer(60, stop.set)
    watchdog.start()
    told = run_in_threads(count, [(configs[number % 2], stop, 10) for number in range(4)])
    watchdog.cancel()
    watchdog.join()
    done, unknown = (sum(column) for column in zip(*told, strict=True))
    reached = int(bench.config.value("count"))
    assert done <= reached <= done + unknown
    assert bench.config.revision() == reached


def test_late_swaps_of_several_writers(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    late = [bench.late(1.0, chance.choice((1, 2, None))) for _ in range(2)]
    for _, substrate in late:
        substrate.arm(chance.randrange(2, 6))
    told = run_in_threads(
        write,
        [(late[number % 2][0], bench.config, seed, number) for number in range(4)],
    )
    for _, substrate in late:
        substrate.apply_pending()
    assert_true([answer for answers in told for answer in answers], bench.config)


# --- one fault at a time ---------------------------------------------------------------------


def test_swap_that_is_done_and_rarely_answered(bench: Bench, call: Call) -> None:
    for number in range(10):
        config, _ = bench.faulty(say_seed() + number, FaultPlan(swap_after=0.7), 20.0)
        bench.config.commit(put("old"), Remove("new", missing_ok=True), settings={})
        before = bench.config.revision()
        assert call(config) is not None
        assert bench.config.revision() == before + 1


def test_swap_that_is_done_and_never_answered(bench: Bench, call: Call) -> None:
    bench.config.set("old")
    config, _ = bench.faulty(say_seed(), FaultPlan(swap_after=1.0), 20.0)
    # The register shows that it was done; nobody need be told that it is unknown.
    assert call(config) is not None
    assert bench.config.revision() == 2


def test_swap_that_is_lost_and_never_answered(bench: Bench, call: Call) -> None:
    bench.config.set("old")
    config, substrate = bench.faulty(say_seed(), FaultPlan(swap_lost=1.0), 0.3)
    with pytest.raises(OutcomeUnknown) as caught:
        call(config)
    assert caught.value.__cause__ is not None
    commit_id = caught.value.commit_id
    assert commit_id is not None
    assert bench.config.outcome(commit_id) is None
    substrate.plan = FaultPlan()
    assert config.outcome(commit_id) is None
    assert bench.config.revision() == 1
    assert call(config) is not None
    assert bench.config.revision() == 2


@pytest.mark.parametrize(
    "plan",
    [FaultPlan(swap_before=1.0), FaultPlan(conflict=1.0)],
    ids=["never sent", "endless conflicts"],
)
def test_swap_that_surely_did_nothing(bench: Bench, call: Call, plan: FaultPlan) -> None:
    bench.config.set("old")
    config, substrate = bench.faulty(say_seed(), plan, 0.3)
    begin = time.monotonic()
    with pytest.raises(CERTAIN) as caught:
        call(config)
    assert time.monotonic() - begin < 0.3 + SLACK
    assert caught.value.retryable
    assert bench.config.revision() == 1
    substrate.plan = FaultPlan()
    config.client.timeout = 20.0
    assert call(config) is not None
    assert bench.config.revision() == 2


def test_storms_of_conflicts_blow_over(bench: Bench) -> None:
    for number in range(8):
        plan = FaultPlan(conflict=0.4, storm=3)
        config, _ = bench.faulty(say_seed() + number, plan, 20.0)
        assert config.set("a").revision == number + 1


@pytest.mark.parametrize(
    "plan",
    [FaultPlan(put_before=1.0), FaultPlan(put_after=1.0)],
    ids=["never sent", "never answered"],
)
def test_blob_that_cannot_be_put(bench: Bench, plan: FaultPlan) -> None:
    config, substrate = bench.faulty(say_seed(), plan, 0.3)
    value = b"x" * 2_000_000
    with pytest.raises((*CERTAIN, OutcomeUnknown)):
        config.set("a", value)
    assert bench.config.find("a") is None
    substrate.plan = FaultPlan()
    config.set("a", value)
    assert bench.config.value("a") == value


def test_register_that_cannot_be_read(bench: Bench) -> None:
    bench.config.set("a", b"1")
    config, substrate = bench.faulty(say_seed(), FaultPlan(), 0.3)
    assert config.value("a") == b"1"
    substrate.plan = FaultPlan(read_before=1.0)
    begin = time.monotonic()
    for read in (
        lambda: config.get("a"),
        config.view,
        config.info,
        config.page,
        lambda: config.delete("absent"),
    ):
        with pytest.raises(CERTAIN) as caught:
            read()
        assert caught.value.retryable
    assert time.monotonic() - begin < 5 * 0.3 + SLACK
    # Whoever is content with what is in memory needs no store.
    assert config.get("a", max_staleness=3600.0).value == b"1"
    substrate.plan = FaultPlan()
    with pytest.raises(KeyNotFound):
        config.delete("absent")


def test_configs_whose_swaps_are_rarely_answered(bench: Bench) -> None:
    # An own success is never taken for another's: no ConfigExists, no ConfigNotFound.
    for number in range(10):
        config, _ = bench.faulty(say_seed() + number, FaultPlan(swap_after=0.6), 20.0)
        name = f"another-{number}"
        info = config.client.create(name)
        assert bench.sound.config(name).info().incarnation == info.incarnation
        config = config.client.config(name)
        config.drop()
        assert name not in bench.sound.names()
        assert config.client.undelete(name).incarnation == info.incarnation
        config.drop()
        assert config.client.create(name).incarnation != info.incarnation


def test_configs_whose_swaps_are_never_answered(bench: Bench) -> None:
    config, _ = bench.faulty(say_seed(), FaultPlan(swap_after=1.0), 20.0)
    info = config.client.create("another")
    config.client.config("another").drop()
    assert "another" not in bench.sound.names()
    assert config.client.undelete("another").incarnation == info.incarnation
