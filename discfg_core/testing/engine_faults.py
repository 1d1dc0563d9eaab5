"""Engines over a store that fails: what they tell stays true, whatever becomes of a request.

`EngineSuite` sees an engine from outside. These tests stand on both sides of it: they hold,
repeat and lose what it sends, and change what it stored as another client would. They are for
`VersionedEngine`, and for any engine that keeps configs over a `Substrate` as
``docs/format.md`` says.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import KeyCondition
from discfg_core.errors import (
    ConfigNotFound,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    Timeout,
)
from discfg_core.testing.engine_bench import (
    Gate,
    SteeredSubstrate,
    SubstrateEngineCase,
    attempt,
    away,
    deaf,
    full,
    in_haste,
    lost,
    refusal,
    repeated,
    silent,
    unanswered,
)
from discfg_core.testing.engine_client import put
from discfg_core.testing.engine_format import LARGE, FormatTests
from discfg_core.testing.engine_workers import count, write_distinct
from discfg_core.testing.faults import FaultPlan, FaultySubstrate, LateSubstrate
from discfg_core.testing.guard import Guarded, sealed
from discfg_core.testing.processes import run_in_threads

if TYPE_CHECKING:
    from discfg_core.testing.engine_bench import Bench, Handler
    from discfg_core.testing.engine_client import Client, Config
    from discfg_core.testing.processes import Line

HOUR = 3600.0
# So long after its deadline a call may end on a loaded machine.
SLACK = 5.0
# How long a thread takes to reach a queue. Where it takes longer a test shows less, and does
# not fail for it.
ARRIVAL = 0.15

MIXED = FaultPlan(
    read_before=0.05,
    swap_before=0.1,
    swap_after=0.1,
    swap_lost=0.1,
    conflict=0.05,
    storm=2,
    put_before=0.1,
    put_after=0.1,
    delay=0.2,
    delay_seconds=0.003,
)
DOUBTFUL = FaultPlan(swap_before=0.2, swap_after=0.3, swap_lost=0.3)


class OutcomeTests(SubstrateEngineCase):
    """What is told of a write whose request met with something."""

    @pytest.mark.parametrize("fate", [repeated, unanswered, lost, away])
    def test_commit_happens_once(self, bench: Bench, config: Config, fate: Handler) -> None:
        last = config.set("a", b"first").node
        mine, store = bench.steered(config)
        for number in range(3):
            store.steer("swap", fate)
            change = mine.set("a", b"%d" % number)
            assert (change.prev_node, change.revision) == (last, number + 2)
            last = change.node
        assert config.get("a") == last
        assert config.revision() == 4

    @pytest.mark.parametrize("fate", [repeated, unanswered, lost, away])
    def test_life_of_a_config_happens_once(
        self, bench: Bench, client: Client, name: str, fate: Handler
    ) -> None:
        mine, store = bench.over(SteeredSubstrate)
        store.steer("swap", fate)
        config = mine.new(name)
        assert client.config(name).info() == config.info()
        config.set("a")
        store.steer("swap", fate)
        config.drop()
        with pytest.raises(ConfigNotFound):
            client.config(name).view()
        store.steer("swap", fate)
        if mine.bring_back(name) is None:
            return
        assert client.config(name).keys() == ["/a"]

    @pytest.mark.parametrize("method", ["swap", "put_blob"])
    def test_failure_is_told_and_leaves_nothing(
        self, bench: Bench, config: Config, method: str
    ) -> None:
        config.set("a", b"before")
        mine, store = bench.steered(config)
        store.steer(method, full)
        told = attempt(lambda: mine.set("a", LARGE))
        if isinstance(told, StoreFull):
            assert config.value("a") == b"before"
        else:
            # It took no such request.
            assert method == "put_blob"
            assert config.value("a") == LARGE
        assert mine.set("a", b"after").node == config.get("a")
        assert config.revision() == (2 if isinstance(told, StoreFull) else 3)

    def test_one_commit_id_by_two_actors_at_once(self, bench: Bench, config: Config) -> None:
        mine, store = bench.steered(config)
        with ThreadPoolExecutor(1) as pool, Gate() as gate:
            store.steer("swap", gate)
            doing = pool.submit(mine.committed, put("a"), actor="ann", commit_id="deploy")
            gate.reached()
            bobs = config.committed(put("b"), actor="bob", commit_id="deploy")
            gate.open()
            anns = doing.result(60)
        assert config.history() == [anns, bobs]

    @pytest.mark.parametrize("commit_id", [None, "deploy"])
    def test_late_swap_does_not_land_once_it_was_denied(
        self, bench: Bench, config: Config, commit_id: str | None
    ) -> None:
        client, store = bench.over(LateSubstrate)
        mine = config.seen_by(client)
        mine.view()
        store.arm(100_000)
        error = refusal(lambda: in_haste(mine, 0.3).set("a", b"late", commit_id=commit_id))
        store.arm(0)
        asked = commit_id
        if isinstance(error, OutcomeUnknown):
            asked = error.commit_id
            assert asked is not None, "nobody can ask what became of it"
            assert config.outcome(asked) is None
        else:
            assert isinstance(error, (Timeout, StoreError))
        store.apply_pending()
        assert config.find("a") is None, f"it was denied by {error!r}, and landed later"
        assert asked is None or config.outcome(asked) is None
        assert mine.set("a", b"next").revision == 1

    @pytest.mark.parametrize("commit_id", [None, "deploy"])
    def test_late_swap_that_landed_is_found(
        self, bench: Bench, config: Config, commit_id: str | None
    ) -> None:
        client, store = bench.over(LateSubstrate)
        mine = config.seen_by(client)
        mine.view()
        store.arm(100_000)
        error = refusal(lambda: in_haste(mine, 0.3).set("a", b"late", commit_id=commit_id))
        store.arm(0)
        assert isinstance(error, OutcomeUnknown)
        asked = error.commit_id
        assert asked is not None, "nobody can ask what became of it"
        assert store.apply_pending() == 1
        history = config.history()
        assert [each.outcome(asked) for each in (config, mine)] == history * 2
        # Whoever just repeats it under the id that was named writes nothing twice.
        told = attempt(lambda: mine.set("a", b"late", commit_id=asked))
        assert config.history() == history, f"written twice; told {told}"
        assert mine.set("a", b"next").prev_node == history[0]["/a"].node

    def test_late_swap_that_lands_after_a_look_is_not_repeated(
        self, bench: Bench, config: Config
    ) -> None:
        client, store = bench.over(lambda inner: LateSubstrate(inner, after_reads=1))
        mine = config.seen_by(client)
        for number in range(3):
            mine.view()
            store.arm(1)
            assert mine.set("a", b"%d" % number).revision == number + 1
            mine.view()
            assert config.revision() == number + 1

    @pytest.mark.parametrize("seed", range(3))
    def test_faults_of_every_kind(self, bench: Bench, config: Config, seed: int) -> None:
        clients = [
            bench.over(lambda inner, at=at: FaultySubstrate(inner, 10 * seed + at, MIXED))[0]  # type: ignore[misc]  # mypy sees no type for `at`
            for at in range(2)
        ]
        told = run_in_threads(
            count_and_write, [(clients[at % 2], config.name, at) for at in range(4)]
        )
        reached = sorted(value for values, _ in told for value in values)
        assert reached == list(range(1, len(reached) + 1))
        written = {key: revision for _, each in told for key, revision in each}
        nodes = {node.key: node.revision for node in config.view().list()}
        assert nodes.pop("/count") > 0
        assert nodes == written
        assert config.revision() == len(reached) + len(written)

    @pytest.mark.parametrize("seed", range(3))
    def test_every_answer_is_true(self, bench: Bench, config: Config, seed: int) -> None:
        client, _ = bench.over(lambda inner: FaultySubstrate(inner, seed, DOUBTFUL))
        mine = config.seen_by(client)
        mine.view()
        happened = []
        for number in range(25):
            commit_id = f"id-{number}"
            told = attempt(lambda: in_haste(mine, 0.02).set(commit_id, commit_id=commit_id))  # noqa: B023 - called at once
            if isinstance(told, OutcomeUnknown):
                assert told.commit_id == commit_id
                told = config.outcome(commit_id)
            elif isinstance(told, (Timeout, StoreError)):
                told = None
            assert (config.find(commit_id) is not None) == (told is not None)
            happened += [commit_id] if told is not None else []
        assert [commit.id for commit in reversed(config.history())] == happened

    @pytest.mark.parametrize("silence", [silent, deaf, lost, away])
    def test_write_ends_by_its_deadline(
        self, bench: Bench, config: Config, silence: Handler
    ) -> None:
        mine, store = bench.steered(config)
        store.steer("swap", *[silence] * 1000)
        begun = time.monotonic()
        error = refusal(lambda: in_haste(mine, 0.3).set("a"))
        assert time.monotonic() - begun < 0.3 + SLACK
        assert isinstance(error, (OutcomeUnknown, Timeout, StoreError))

    @pytest.mark.parametrize("silence", [deaf, away])
    def test_read_ends_by_its_deadline(
        self, bench: Bench, config: Config, silence: Handler
    ) -> None:
        mine, store = bench.steered(config)
        store.steer("read", *[silence] * 1000)
        begun = time.monotonic()
        error = refusal(lambda: in_haste(mine, 0.3).view())
        assert time.monotonic() - begun < 0.3 + SLACK
        assert isinstance(error, (Timeout, StoreError))


class OrderTests(SubstrateEngineCase):
    """What is seen of a commit before, while and after it happens."""

    def test_nobody_sees_a_commit_before_it_happened(self, bench: Bench, config: Config) -> None:
        mine, store = bench.steered(config)
        with ThreadPoolExecutor(2) as pool, Gate() as gate:
            store.steer("swap", gate)
            doing = pool.submit(mine.set, "a")
            gate.reached()
            assert mine.view(max_staleness=HOUR).revision == 0
            assert pool.submit(mine.view).result(60).revision == 0
            assert not doing.done()
            gate.open()
            assert doing.result(60).revision == 1
        assert mine.view().revision == mine.view(max_staleness=HOUR).revision == 1

    def test_commit_that_failed_refuses_nobody(self, bench: Bench, config: Config) -> None:
        # Two that wait together want the same; the one that is first to try cannot.
        mine, store = bench.steered(config)
        absent = KeyCondition("a", absent=True)
        with ThreadPoolExecutor(3) as pool, Gate() as gate:
            store.steer("swap", gate, full)
            before = pool.submit(mine.set, "before")
            gate.reached()
            rivals = [
                pool.submit(attempt, lambda: mine.set("a", condition=absent)) for _ in range(2)
            ]
            time.sleep(ARRIVAL)
            gate.open()
            before.result(60)
            told = [each.result(60) for each in rivals]
        refused = [each for each in told if isinstance(each, StoreFull)]
        assert len(refused) == 1, f"nothing but want of room stood against them: {told}"
        assert config.get("a").revision == 2

    def test_late_answer_does_not_replace_a_newer_state(self, bench: Bench, config: Config) -> None:
        mine, store = bench.steered(config)
        for number in range(1, 4):
            with ThreadPoolExecutor(1) as pool, Gate(after=True) as gate:
                store.steer("read", gate)
                reader = pool.submit(mine.view)
                gate.reached()
                assert mine.set("a").revision == number
                gate.open()
                assert reader.result(60).revision in (number - 1, number)
            assert mine.view(max_staleness=HOUR).revision == number
            assert mine.view().revision == number

    def test_check_that_began_before_a_commit_does_not_serve_who_came_after(
        self, bench: Bench, config: Config
    ) -> None:
        mine, store = bench.steered(config)
        with ThreadPoolExecutor(2) as pool, Gate(after=True) as gate:
            store.steer("read", gate)
            early = pool.submit(mine.view)
            gate.reached()
            config.set("a")
            later = pool.submit(mine.view)
            time.sleep(ARRIVAL)
            gate.open()
            assert early.result(60).revision in (0, 1)
            assert later.result(60).revision == 1


def count_and_write(
    line: Line, client: Client, name: str, number: int
) -> tuple[list[int], list[tuple[str, int]]]:
    """Count up with others, then write keys of one's own; the numbers reached, and revisions."""
    line.ready()
    return count(client, name, number, 5), write_distinct(client, name, number, 5)


@sealed("open_substrate", "open_engine", "place")
class SubstrateEngineSuite(OutcomeTests, OrderTests, FormatTests, Guarded):
    """Every test of an engine over a store that fails; beside `EngineSuite`, not instead of it.

    Define `open_substrate`, a static method that opens a new client of the store at a place,
    and a fixture `place`, as for `SubstrateSuite`; `open_engine` too where the engine over it
    is not `VersionedEngine`. No two tests depend on each other.
    """
