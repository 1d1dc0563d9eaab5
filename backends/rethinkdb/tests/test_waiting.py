"""Changefeeds: many waiters, one connection, nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import Closed, StoreError, StoreUnavailable
from discfg_core.testing.invariants import Leaks
from discfg_core.testing.proxy import FaultProxy
from discfg_core.testing.substrate_client import Client
from discfg_core.urls import parse
from tests.servers.rethinkdb import Admin

Open = Callable[..., Client]


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def settled() -> None:
    time.sleep(0.3)


def test_sixty_four_waiters_share_a_connection_and_wake_at_once(
    client: Open, mine: Client, database: str, name: str, crowd: ThreadPoolExecutor
) -> None:
    opened = client(f"{database}?connections=1")
    token = mine.swap(name, None, b"0")
    opened.read(name)
    before = Leaks()
    waiting = [crowd.submit(opened.wait, name, token) for _ in range(64)]
    settled()
    left = [each for each in before._left() if each.startswith("socket:")]
    assert len(left) == 1, left
    changed = time.monotonic()
    mine.swap(name, token, b"1")
    for each in waiting:
        each.result(10)
    assert time.monotonic() - changed < 8.0


def test_waiters_on_many_registers_wake_each_for_its_own(
    client: Open, mine: Client, database: str, name: str, crowd: ThreadPoolExecutor
) -> None:
    opened = client(database)
    names = [f"{name}{number}" for number in range(40)]
    tokens = {each: mine.swap(each, None, b"0") for each in names}
    waiting = {each: crowd.submit(opened.wait, each, tokens[each]) for each in names}
    settled()
    for each in names[::2]:
        mine.swap(each, tokens[each], b"1")
        waiting[each].result(10)
    assert not any(waiting[each].done() for each in names[1::2])
    for each in names[1::2]:
        mine.swap(each, tokens[each], b"1")
    for each in names:
        waiting[each].result(10)


def test_each_of_many_changes_wakes_the_waiter(
    mine: Client, client: Open, database: str, name: str
) -> None:
    writer = client(database)
    token = writer.swap(name, None, b"0")
    wakes = 0
    with ThreadPoolExecutor(1) as pool:
        for number in range(1, 30):
            waiting = pool.submit(mine.wait, name, token)
            new = writer.swap(name, token, b"%d" % number)
            waiting.result(5)
            wakes += 1
            token = new
    assert wakes == 29


def test_feed_that_lags_behind_what_the_waiter_knows_ends_nothing(mine: Client, name: str) -> None:
    token = mine.swap(name, None, b"0")
    mine.wait(name, None)
    for number in range(1, 10):
        token = mine.swap(name, token, b"%d" % number)
        began = time.monotonic()
        mine.wait(name, token, deadline=Deadline.after(0.15))
        # One early return is allowed, and costs the caller one look.
        assert time.monotonic() - began > 0.1


def test_cancel_is_noticed_soon_by_all(mine: Client, name: str, crowd: ThreadPoolExecutor) -> None:
    token = mine.swap(name, None, b"0")
    cancel = threading.Event()
    waiting = [crowd.submit(mine.wait, name, token, cancel=cancel) for _ in range(64)]
    settled()
    cancel.set()
    began = time.monotonic()
    for each in waiting:
        each.result(5)
    assert time.monotonic() - began < 4.0


def test_waiter_that_leaves_lets_the_others_wait_on(
    mine: Client, client: Open, database: str, name: str
) -> None:
    writer = client(database)
    token = writer.swap(name, None, b"0")
    with ThreadPoolExecutor(4) as pool:
        short = [
            pool.submit(mine.wait, name, token, deadline=Deadline.after(0.2 * number))
            for number in (1, 2, 3)
        ]
        long = pool.submit(mine.wait, name, token)
        for each in short:
            each.result(5)
        assert not long.done()
        writer.swap(name, token, b"1")
        long.result(2)


def test_lost_connection_is_told_to_all_and_replaced(
    client: Open, database: str, name: str, crowd: ThreadPoolExecutor
) -> None:
    host = parse(database).hosts[0]
    with FaultProxy(host.host, host.port or 0) as proxy:
        opened = client(database.replace(str(host), f"127.0.0.1:{proxy.port}"))
        token = opened.swap(name, None, b"0")
        waiting = [crowd.submit(opened.wait, name, token) for _ in range(16)]
        settled()
        proxy.reset_connections()
        for each in waiting:
            with pytest.raises(StoreUnavailable):
                each.result(5)
        again = crowd.submit(opened.wait, name, token)
        settled()
        assert not again.done()
        opened.swap(name, token, b"1")
        again.result(5)


def test_dropped_table_ends_the_waiting(
    client: Open, admin: Admin, fresh: str, name: str, crowd: ThreadPoolExecutor
) -> None:
    opened = client(fresh)
    token = opened.swap(name, None, b"0")
    waiting = crowd.submit(opened.wait, name, token)
    settled()
    admin.run(admin.r.db(parse(fresh).path).table_drop("discfg_registers"))
    with pytest.raises(StoreError):
        waiting.result(10)


def test_waiting_for_a_store_that_nobody_made_yet(client: Open, fresh: str, name: str) -> None:
    opened = client(fresh)

    def wait() -> None:
        while True:
            try:
                return opened.wait(name, None)
            except StoreUnavailable:
                time.sleep(0.05)  # the tables are there, and not ready yet

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        settled()
        assert not waiting.done()
        client(fresh).swap(name, None, b"0")
        waiting.result(10)


def test_feeds_nobody_waits_on_are_ended(
    client: Open, mine: Client, database: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discfg_rethinkdb.feeds._MOST_FEEDS", 4)
    opened = client(database)
    for number in range(30):
        mine.swap(f"{name}{number}", None, b"0")
        opened.wait(f"{name}{number}", None)
    token = mine.register(f"{name}0").token
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(opened.wait, f"{name}0", token)
        settled()
        mine.swap(f"{name}0", token, b"1")
        waiting.result(5)


def test_closed_store_leaves_nothing_of_its_feeds(
    client: Open, database: str, name: str, crowd: ThreadPoolExecutor
) -> None:
    opened = client(database)
    token = opened.swap(name, None, b"0")
    leaks = Leaks()
    other = client(database)
    waiting = [crowd.submit(other.wait, name, token) for _ in range(8)]
    settled()
    other.close()
    for each in waiting:
        with pytest.raises(Closed):
            each.result(5)
    crowd.shutdown()
    leaks.assert_none(5)


def test_closed_store_leaves_nothing_of_feeds_that_nobody_waits_on(
    client: Open, mine: Client, database: str, name: str
) -> None:
    mine.swap(name, None, b"0")
    leaks = Leaks()
    opened = client(database)
    opened.wait(name, None)
    opened.close()
    leaks.assert_none(5)
