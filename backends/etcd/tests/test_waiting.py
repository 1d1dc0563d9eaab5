"""Waiting for a change, told by etcd's watch."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import Closed, StoreUnavailable, Timeout
from discfg_core.substrate import UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core.testing.substrate_client import Client
    from tests.servers.etcd import Raw
    from tests.servers.plugin import Servers


def waking(
    mine: Client, token: bytes | None, timeout: float
) -> tuple[threading.Thread, list[float]]:
    """Wait for a change in a thread; when it was over goes into the list."""
    over: list[float] = []

    def run() -> None:
        mine.wait("c", token, deadline=Deadline.after(timeout))
        over.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    return thread, over


def test_wait_is_told_at_once(mine: Client, client: Callable[..., Client], place: str) -> None:
    token = mine.swap("c", None, b"one")
    delays = []
    for _ in range(5):
        thread, over = waking(mine, token, 20.0)
        began = time.monotonic()
        token = mine.swap("c", token, b"two")
        thread.join()
        delays.append(over[0] - began)
    assert sorted(delays)[2] < 0.1, delays


def test_wait_notices_cancel_within_a_moment(mine: Client) -> None:
    token = mine.swap("c", None, b"one")
    delays = []
    for _ in range(5):
        cancel = threading.Event()
        waiter = threading.Thread(
            target=mine.wait,
            args=("c", token),
            kwargs={"deadline": Deadline.after(20.0), "cancel": cancel},
        )
        waiter.start()
        time.sleep(0.2)
        began = time.monotonic()
        cancel.set()
        waiter.join()
        delays.append(time.monotonic() - began)
    assert sorted(delays)[2] < 0.15, delays


def test_wait_for_what_is_older_than_the_compaction(mine: Client, server: Raw, prefix: str) -> None:
    token = mine.swap("c", None, b"one")
    for _ in range(3):
        server.put(f"/{prefix}/other", b"moves the revision on")
    server.compact()
    thread, over = waking(mine, token, 20.0)
    assert not over, "it took a compaction for a change"
    mine.swap("c", token, b"two")
    thread.join(5.0)
    assert over


def test_wait_survives_the_death_of_the_server(
    servers: Servers, client: Callable[..., Client]
) -> None:
    with servers.own("etcd") as own:
        mine, other = client(own.url), client(own.url)
        token = mine.swap("c", None, b"one")
        ended: list[Exception | None] = []

        def until_told() -> None:
            deadline = Deadline.after(30.0)
            while not deadline.passed():
                try:
                    mine.wait("c", token, deadline=deadline)
                except (StoreUnavailable, Timeout):
                    time.sleep(0.05)
                    continue
                if mine.read("c", token) is not UNCHANGED:
                    ended.append(None)
                    return

        thread = threading.Thread(target=until_told)
        thread.start()
        time.sleep(0.3)
        own.kill()
        time.sleep(0.3)
        own.restart()
        back = time.monotonic()
        other.swap("c", token, b"two")
        thread.join(30.0)
        assert ended == [None]
        assert time.monotonic() - back < 30.0


def test_wait_leaves_no_thread(mine: Client) -> None:
    token = mine.swap("c", None, b"one")
    before = threading.active_count()
    for _ in range(20):
        mine.wait("c", token, deadline=Deadline.after(0.02))
    end = time.monotonic() + 3.0
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_wait_ends_when_the_client_is_closed(mine: Client) -> None:
    token = mine.swap("c", None, b"one")
    ended: list[float] = []

    def run() -> None:
        with pytest.raises(Closed):
            mine.wait("c", token, deadline=Deadline.after(20.0))
        ended.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    mine.close()
    thread.join()
    assert ended[0] - began < 1.0
