"""Watching: every commit after a revision, once, in order, whole, to any number of watchers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import News, Remove, RemovePrefix
from discfg_core.errors import ConfigNotFound, ConfigReplaced, InvalidOption, NotFound
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import TIMEOUT, judged, put
from discfg_core.watching import Watch

if TYPE_CHECKING:
    from discfg_core.model import Commit
    from discfg_core.testing.engine_base import Lab
    from discfg_core.testing.engine_client import Config

# A store that is polled, on a loaded machine.
SOON = 15.0


def watch(
    config: Config, prefix: str = "/", *, after: int = 0, timeout: float | None = TIMEOUT
) -> Watch:
    """A watch of the config, as `Config.watch` makes it."""
    return Watch(
        config.client.engine,
        config.handle,
        prefix=prefix,
        after=after,
        timeout=timeout,
        stale_after=60.0,
    )


def until(seen: Watch, revision: int) -> list[Commit]:
    """The commits up to that of a revision."""
    told: list[Commit] = []
    while not told or told[-1].revision < revision:
        told.append(next(seen))
    return told


class WatchTests(EngineCase):
    """`StorageEngine.follow`, and `Watch` on top of it."""

    def test_watch_tells_what_is_there_and_what_comes(self, config: Config, twin: Config) -> None:
        config.commit(put("a", b"1"), put("b"))
        config.set("a", b"2")
        with watch(twin) as seen:
            told = until(seen, 2)
            told.append(config.committed(Remove("a"), put("c"), actor="ann", message="why"))
            told.append(config.committed(settings={"s": 1}))
            assert [*told[:2], *until(seen, 4)] == told
        assert told == twin.history()[::-1]
        assert [[change.action.value for change in commit.changes] for commit in told] == [
            ["added", "added"],
            ["updated"],
            ["removed", "added"],
            [],
        ]
        assert told[2]["/a"].prev_node == told[1]["/a"].node

    def test_watch_goes_on_where_another_ended(self, config: Config, twin: Config) -> None:
        commits = [config.committed(put("a", b"%d" % number)) for number in range(10)]
        with watch(twin) as seen:
            first = until(seen, 4)
            assert seen.revision == 4
        with watch(config, after=seen.revision) as seen:
            assert first + until(seen, 10) == commits
            assert seen.revision == 10

    def test_watch_of_a_prefix_tells_whole_commits_and_how_far_it_is(
        self, config: Config, twin: Config
    ) -> None:
        commits = [
            config.committed(put("db/host"), put("web")),
            config.committed(put("dbs")),
            config.committed(put("db")),
            config.committed(RemovePrefix("db")),
            config.committed(put("web")),
        ]
        with watch(twin, "db", timeout=0.3) as seen:
            assert list(seen) == [commits[0], commits[2], commits[3]]
            # The commits after the last one told are of others, and need no second look.
            assert seen.revision == 5

    def test_watch_ends_when_nothing_comes(self, config: Config) -> None:
        config.set("a")
        began = time.monotonic()
        with watch(config, after=1, timeout=0.3) as seen:
            assert list(seen) == []
            assert seen.revision == 1
        assert 0.25 < time.monotonic() - began < SOON

    def test_watch_that_is_closed_ends(self, config: Config) -> None:
        seen = watch(config)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(list, seen)
            time.sleep(0.2)
            began = time.monotonic()
            seen.close()
            assert waiting.result() == []
        assert time.monotonic() - began < SOON

    def test_many_watchers_miss_nothing_beside_many_writers(
        self, lab: Lab, config: Config, twin: Config
    ) -> None:
        clients = [config, twin, lab.open().config(config.name)]
        writers, times = 3, 15

        def write(number: int) -> None:
            for turn in range(times):
                clients[number].set(f"k{number}", b"%d" % turn)

        with ThreadPoolExecutor(64) as pool:
            watching = [
                pool.submit(until, watch(clients[number % 3]), writers * times)
                for number in range(24)
            ]
            for written in [pool.submit(write, number) for number in range(writers)]:
                written.result()
            told = [each.result() for each in watching]
        history = config.history()[::-1]
        assert len(history) == writers * times
        assert all(each == history for each in told)

    def test_change_of_another_client_is_told_soon(self, config: Config, twin: Config) -> None:
        config.set("a")
        with watch(twin, after=1) as seen, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(next, seen)
            time.sleep(0.5)
            began = time.monotonic()
            commit = config.committed(put("a"))
            assert waiting.result() == commit
        assert time.monotonic() - began < SOON

    def test_watch_of_what_is_long_past(self, config: Config, twin: Config) -> None:
        for number in range(130):
            config.set(f"k{number % 5}", b"x" * 400)
        with watch(twin) as seen:
            told = until(seen, 130)
        assert [commit.revision for commit in told] == list(range(1, 131))
        with watch(twin, "k3", timeout=0.2) as seen:
            assert [commit.revision for commit in seen] == list(range(4, 131, 5))

    @pytest.mark.parametrize("then", ["gone", "replaced"])
    def test_watch_of_a_config_that_ends(self, config: Config, twin: Config, then: str) -> None:
        config.set("a")
        told = []
        with watch(twin) as seen:
            told.append(next(seen))
            config.drop()
            if then == "replaced":
                config.client.new(config.name).set("b")
            with pytest.raises(ConfigNotFound if then == "gone" else ConfigReplaced):
                told.append(next(seen))
        assert [commit.revision for commit in told] == [1]

    def test_watch_of_nothing(self, config: Config) -> None:
        other = config.client.config(config.name + "x")
        with pytest.raises(NotFound):
            next(watch(other))

    def test_follow_stops_when_it_is_cancelled(self, config: Config) -> None:
        cancel = threading.Event()
        cancel.set()
        with judged("follow"):
            news = config.client.engine.follow(
                config.handle, after=0, deadline=Deadline.after(TIMEOUT), cancel=cancel
            )
        assert news == News((), 0)

    def test_follow_takes_its_bounds(self, config: Config, twin: Config) -> None:
        for _ in range(5):
            config.set("a")
        engine, cancel = twin.client.engine, threading.Event()
        with judged("follow"):
            news = engine.follow(
                twin.handle, after=1, limit=2, deadline=Deadline.after(TIMEOUT), cancel=cancel
            )
            assert [commit.revision for commit in news.commits] == [2, 3]
            assert news.revision == 3
        for after, limit in ((-1, 1), (0, 0)):
            with pytest.raises(InvalidOption), judged("follow"):
                engine.follow(
                    twin.handle,
                    after=after,
                    limit=limit,
                    deadline=Deadline.after(TIMEOUT),
                    cancel=cancel,
                )

    def test_no_follower_goes_back(self, config: Config, twin: Config) -> None:
        """Its revisions only grow, whatever other readers of its client are answered."""
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                with suppress(NotFound):
                    twin.view(max_staleness=60.0)
                    twin.view()

        with ThreadPoolExecutor(2) as pool:
            reading = pool.submit(read)
            try:
                with watch(twin) as seen:
                    for revision in range(1, 25):
                        config.set("a")
                        assert next(seen).revision == revision
            finally:
                stop.set()
                reading.result()
