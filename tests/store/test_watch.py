"""`Config.watch`, `on_change` and `wait_for`: through failures, for many, in one process."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg
from discfg_core import arguments
from discfg_core._override import override
from discfg_core.config import Config
from discfg_core.engine import ConfigHandle
from discfg_core.errors import (
    AccessDenied,
    ConfigNotFound,
    InvalidOption,
    RevisionNotFound,
    StoreUnavailable,
    Timeout,
    WatchStale,
)
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.versioned import VersionedEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discfg_core.clock import Deadline
    from discfg_core.errors import DiscfgError
    from discfg_core.substrate import Register, Token, Unchanged


class Counted(DelegatingSubstrate):
    """Counts the looks at a store, and fails them while there is an error to fail them with."""

    def __init__(self, place: str) -> None:
        super().__init__(MemorySubstrate(place))
        self.error: DiscfgError | None = None
        self.reads = 0
        self.waiting = 0
        self.most_waiting = 0
        self._lock = threading.Lock()

    @override
    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        with self._lock:
            self.reads += 1
        if self.error is not None:
            raise self.error
        return super().read(name, known, deadline=deadline)

    @override
    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        if self.error is not None:
            raise self.error
        with self._lock:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            super().wait(name, known, deadline=deadline, cancel=cancel)
        finally:
            with self._lock:
                self.waiting -= 1


@pytest.fixture
def place() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def writer(place: str) -> Config:
    return discfg.connect(f"memory://{place}").create_config("c")


@pytest.fixture
def store(place: str, writer: Config) -> Iterator[Counted]:
    counted = Counted(place)
    yield counted
    counted.close()


@pytest.fixture
def cfg(store: Counted) -> Config:
    return Config(
        VersionedEngine(store), ConfigHandle("c"), defaults=arguments.Defaults(), where="a test"
    )


def test_watch_begins_now_or_where_it_is_told(cfg: Config, writer: Config) -> None:
    writer.set("a", 1)
    writer.set("a", 2)
    now = cfg.watch(timeout=0.2)
    assert now.revision == 2
    writer.set("a", 3)
    assert [c.revision for c in now] == [3]
    assert [c.revision for c in cfg.watch(after=0, timeout=0.1)] == [1, 2, 3]
    assert [c.revision for c in cfg.watch("b", after=0, timeout=0.1)] == []


def test_bad_arguments(cfg: Config, writer: Config) -> None:
    writer.set("a", 1)
    for bad in ({"after": -1}, {"after": True}, {"timeout": 0}, {"stale_after": -1}):
        with pytest.raises(InvalidOption):
            cfg.watch(**bad)
    for revision in (0, None, "1", True):
        with pytest.raises(InvalidOption):
            cfg.wait_for(revision)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(InvalidOption):
        cfg.on_change("print")  # type: ignore[arg-type]  # what is refused
    with pytest.raises(RevisionNotFound):
        cfg.watch(after=2)


def test_watch_survives_a_store_that_is_away(cfg: Config, writer: Config, store: Counted) -> None:
    writer.set("a", 0)
    with cfg.watch(after=0) as watch:
        assert next(watch).revision == 1
        store.error = StoreUnavailable("away")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: [next(watch).revision for _ in range(10)])
            for number in range(10):
                writer.set("a", number)
            time.sleep(0.3)
            assert not waiting.done()
            store.error = None
            assert waiting.result(timeout=20) == list(range(2, 12))
        assert watch.stale_for < 5


def test_watch_says_when_it_is_stale_and_goes_on(
    cfg: Config, writer: Config, store: Counted
) -> None:
    with cfg.watch(after=0, stale_after=0.3) as watch:
        store.error = StoreUnavailable("away")
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(WatchStale) as caught:
                next(watch)
            assert time.monotonic() - began >= 0.2
            assert caught.value.retryable
            assert caught.value.config == "c"
            assert isinstance(caught.value.__cause__, StoreUnavailable)
        writer.set("a", 1)
        store.error = None
        assert next(watch).revision == 1


def test_watch_ends_with_what_does_not_pass(cfg: Config, store: Counted) -> None:
    with cfg.watch() as watch:
        store.error = AccessDenied("the key was revoked")
        with pytest.raises(AccessDenied):
            next(watch)


def test_watch_ends_with_its_store(cfg: Config) -> None:
    watch = cfg.watch()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, watch)
        time.sleep(0.1)
        cfg._engine.close()
        with pytest.raises(discfg.Closed):
            waiting.result(timeout=20)


def test_a_thousand_watchers_share_one_look_at_the_store(
    cfg: Config, writer: Config, store: Counted
) -> None:
    number, times = 1000, 5
    told: list[list[int]] = [[] for _ in range(number)]
    watches = [cfg.watch(after=0) for _ in range(number)]

    def follow(mine: int) -> None:
        for commit in watches[mine]:
            told[mine].append(commit.revision)
            if commit.revision == times:
                return

    threads = [threading.Thread(target=follow, args=(mine,)) for mine in range(number)]
    for thread in threads:
        thread.start()
    while not store.waiting:
        time.sleep(0.01)
    before = store.reads
    for value in range(times):
        writer.set("a", value)
        time.sleep(0.2)
    for thread in threads:
        thread.join(60)
    assert all(each == list(range(1, times + 1)) for each in told)
    assert store.most_waiting == 1
    # A look for each change, and not for each watcher; a few more where one came late.
    assert store.reads - before < 10 * times


def test_on_change(cfg: Config, writer: Config) -> None:
    seen: list[Any] = []
    enough = threading.Event()

    def heard(commit: discfg.Commit) -> None:
        seen.append((commit.revision, threading.current_thread().name))
        if commit.revision == 5:
            enough.set()

    writer.set("other", 1)
    with cfg.on_change(heard, "a", after=0) as subscription:
        for number in range(4):
            writer.set("a", number)
        assert enough.wait(20)
    assert not subscription.alive
    assert subscription.error is None
    assert seen == [(revision, "discfg-watch") for revision in (2, 3, 4, 5)]
    writer.set("a", 9)
    time.sleep(0.1)
    assert len(seen) == 4


def test_subscription_ends_with_an_error_of_its_function(
    cfg: Config, writer: Config, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(commit: discfg.Commit) -> None:
        raise ValueError(f"cannot take revision {commit.revision}")

    subscription = cfg.on_change(broken)
    writer.set("a", 1)
    writer.set("a", 2)
    deadline = time.monotonic() + 20
    while subscription.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not subscription.alive
    assert str(subscription.error) == "cannot take revision 1"
    assert "cannot take revision 1" in caplog.text
    subscription.close()


def test_subscription_can_be_closed_by_its_function(cfg: Config, writer: Config) -> None:
    made: list[Any] = []
    seen: list[int] = []

    def once(commit: discfg.Commit) -> None:
        seen.append(commit.revision)
        made[0].close()

    made.append(cfg.on_change(once))
    writer.set("a", 1)
    writer.set("a", 2)
    deadline = time.monotonic() + 20
    while made[0].alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not made[0].alive
    assert seen == [1]


def test_subscription_outlives_a_stale_store(
    cfg: Config, writer: Config, store: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    heard = threading.Event()
    with cfg.on_change(lambda commit: heard.set(), stale_after=0.1):
        store.error = StoreUnavailable("away")
        time.sleep(0.8)
        writer.set("a", 1)
        store.error = None
        assert heard.wait(20)
    assert "heard nothing" in caplog.text


def test_wait_for(cfg: Config, writer: Config, store: Counted) -> None:
    writer.set("a", 1)
    cfg.wait_for(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cfg.wait_for, 3, timeout=20)
        writer.set("a", 2)
        time.sleep(0.05)
        assert not waiting.done()
        store.error = StoreUnavailable("away for a moment")
        time.sleep(0.1)
        store.error = None
        writer.set("a", 3)
        waiting.result()
    assert cfg.get("a", max_staleness=60).data == 3
    with pytest.raises(Timeout):
        cfg.wait_for(9, timeout=0.1)
    store.error = StoreUnavailable("away")
    with pytest.raises(Timeout) as caught:
        cfg.wait_for(9, timeout=0.2)
    assert isinstance(caught.value.__cause__, StoreUnavailable | Timeout)
    store.error = None


def test_wait_for_a_config_that_is_dropped(place: str, cfg: Config, writer: Config) -> None:
    writer.set("a", 1)
    cfg.wait_for(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cfg.wait_for, 2, timeout=20)
        time.sleep(0.05)
        discfg.connect(f"memory://{place}").drop_config("c")
        with pytest.raises(ConfigNotFound):
            waiting.result()
