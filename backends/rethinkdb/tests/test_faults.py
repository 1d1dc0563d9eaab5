"""What goes wrong between discfg and a RethinkDB: each error is decided rightly, and in time."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import Closed, OutcomeUnknown, StoreError, StoreUnavailable
from discfg_core.substrate import Register
from discfg_core.testing.proxy import FaultProxy
from discfg_core.testing.substrate_client import Client
from discfg_core.urls import parse
from tests.servers.rethinkdb import Admin, RethinkDBServer

if TYPE_CHECKING:
    from tests.servers.plugin import Servers

Open = Callable[..., Client]

# What a call may take beyond its deadline on a loaded machine.
LATE = 2.0


def by_port(url: str, port: int) -> str:
    host = parse(url).hosts[0]
    return url.replace(f"{host.host}:{host.port}", f"127.0.0.1:{port}")


def is_replace(piece: bytes) -> bool:
    """Whether a query has the term REPLACE."""
    return b"[55,[" in piece


def is_insert(piece: bytes) -> bool:
    """Whether a query has the term INSERT."""
    return b"[56,[" in piece


@pytest.fixture
def proxy(database: str) -> Iterator[FaultProxy]:
    host = parse(database).hosts[0]
    with FaultProxy(host.host, host.port or 0) as proxy:
        yield proxy


@pytest.fixture
def afar(client: Open, database: str, proxy: FaultProxy, name: str) -> Client:
    """A client behind the proxy, whose store is ready."""
    afar = client(by_port(database, proxy.port), timeout=10.0)
    afar.provision(name, {})
    return afar


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


# --- one query ---


def test_swap_whose_answer_is_lost_is_unknown_and_done(
    afar: Client, mine: Client, proxy: FaultProxy, name: str
) -> None:
    token = afar.swap(name, None, b"one")
    fault = proxy.reset_after(times=1, when=is_replace, settle=0.1)
    with pytest.raises(OutcomeUnknown):
        afar.swap(name, token, b"two")
    assert fault.hits == 1
    assert mine.register(name).data == b"two"
    assert afar.register(name).data == b"two"


def test_swap_that_never_arrived_is_unknown_and_not_done(
    afar: Client, mine: Client, proxy: FaultProxy, name: str
) -> None:
    token = afar.swap(name, None, b"one")
    fault = proxy.reset_before(times=1, when=is_replace)
    with pytest.raises(OutcomeUnknown):
        afar.swap(name, token, b"two")
    assert fault.hits == 1
    assert mine.read(name) == Register(b"one", token)
    afar.swap(name, token, b"two")


def test_swap_with_nobody_there_is_surely_not_done(
    afar: Client, mine: Client, proxy: FaultProxy, name: str
) -> None:
    token = afar.swap(name, None, b"one")
    proxy.refuse()
    with ends_within(LATE), pytest.raises(StoreUnavailable) as caught:
        afar.swap(name, token, b"two")
    assert caught.value.retryable
    assert f"127.0.0.1:{proxy.port}" in caught.value.message
    assert caught.value.hint
    proxy.clear()
    afar.swap(name, token, b"two")
    assert mine.register(name).data == b"two"


def test_swap_whose_blob_is_in_doubt_is_surely_not_done(
    afar: Client, mine: Client, proxy: FaultProxy, name: str
) -> None:
    fault = proxy.reset_after(times=1, when=is_insert, settle=0.1)
    with pytest.raises(StoreUnavailable):
        afar.swap(name, None, b"one", {"blob": b"data"})
    assert fault.hits == 1
    assert mine.read(name) is None
    proxy.reset_after(times=1, when=is_insert, settle=0.1)
    with pytest.raises(OutcomeUnknown):
        afar.put_blob(name, "blob", b"data")
    assert mine.get_blob(name, "blob") == b"data"


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_silence_ends_with_the_deadline(
    afar: Client, proxy: FaultProxy, name: str, seconds: float
) -> None:
    token = afar.swap(name, None, b"one")
    proxy.black_hole()
    with ends_within(seconds + LATE), pytest.raises(StoreUnavailable):
        afar.read(name, deadline=Deadline.after(seconds))
    with ends_within(seconds + LATE), suppress(OutcomeUnknown, StoreError):
        afar.swap(name, token, b"two", deadline=Deadline.after(seconds))
    with ends_within(seconds + LATE), pytest.raises(StoreUnavailable):
        list(afar.names(deadline=Deadline.after(seconds)))
    proxy.clear()
    assert afar.register(name).data in (b"one", b"two")


def test_slow_answer_is_waited_for(afar: Client, proxy: FaultProxy, name: str) -> None:
    token = afar.swap(name, None, b"one")
    proxy.delay(0.5)
    assert afar.register(name).token == token
    afar.swap(name, token, b"two")


def test_connections_that_died_while_idle_are_not_used(
    afar: Client, proxy: FaultProxy, name: str
) -> None:
    token = afar.swap(name, None, b"0")
    for number in range(1, 6):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(afar.read, [name] * 8))
        proxy.reset_connections()
        time.sleep(0.05)
        token = afar.swap(name, token, b"%d" % number)


def test_something_else_at_the_port_is_named(client: Open, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n\0")
                    connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(StoreUnavailable, match="HTTP/1") as caught:
            client(f"rethinkdb://127.0.0.1:{port}/db").read(name)
        assert not caught.value.retryable
        assert "28015" in (caught.value.hint or "")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_answer_to_another_query_ends_the_connection(
    afar: Client, proxy: FaultProxy, name: str
) -> None:
    token = afar.swap(name, None, b"one")
    body = b'{"t":1,"r":[true]}'
    proxy.answer(struct.pack("<QL", 999_999, len(body)) + body, times=1)
    with pytest.raises(StoreUnavailable):
        afar.read(name, token)
    proxy.clear()
    assert afar.register(name).token == token


# --- close, and fork ---


def test_close_ends_the_calls_under_way(afar: Client, proxy: FaultProxy, name: str) -> None:
    token = afar.swap(name, None, b"one")
    with ThreadPoolExecutor(4) as pool:
        waiting = pool.submit(afar.wait, name, token)
        list(pool.map(afar.read, [name] * 10))
        time.sleep(0.2)
        proxy.black_hole()
        writing = pool.submit(afar.swap, name, token, b"two")
        reading = [pool.submit(afar.read, name) for _ in range(2)]
        time.sleep(0.5)
        with ends_within(LATE):
            afar.close()
            with pytest.raises((OutcomeUnknown, Closed)):
                writing.result()
            with pytest.raises(Closed):
                waiting.result()
            for each in reading:
                with pytest.raises(Closed):
                    each.result()


def test_child_leaves_the_parents_connections_alone(mine: Client, name: str) -> None:
    token = mine.swap(name, None, b"0", {"blob": b"x" * 100_000})
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(mine.wait, name, token, cancel=stop)
        time.sleep(0.2)
        for _ in range(3):
            child = os.fork()
            if child == 0:
                code = 1
                with suppress(BaseException):
                    mine.after_fork()
                    assert mine.register(name).data == b"0"
                    mine.close()
                    code = 0
                os._exit(code)
            for _ in range(20):
                assert len(mine.get_blob(name, "blob")) == 100_000
            assert os.waitpid(child, 0)[1] == 0
        assert not waiting.done()
        mine.swap(name, token, b"1")
        waiting.result(10)


# --- the server dies, hangs, comes back ---


def test_killed_server_has_all_that_was_acknowledged(
    servers: Servers, client: Open, name: str
) -> None:
    with servers.own("rethinkdb") as server:
        opened = client(server.url, timeout=20.0)
        tokens = {f"{name}{number}": b"" for number in range(20)}
        for each in tokens:
            tokens[each] = opened.swap(each, None, each.encode(), {"blob": b"x" * 1000})
        server.kill()
        with ends_within(LATE), pytest.raises(StoreUnavailable):
            opened.read(name)
        server.start()
        with ends_within(5):
            _until_back(opened, name)
        for each, token in tokens.items():
            assert opened.read(each) == Register(each.encode(), token)
            assert opened.get_blob(each, "blob") == b"x" * 1000
            opened.swap(each, token, b"after")


def test_paused_server_costs_no_more_than_the_deadline(
    servers: Servers, client: Open, name: str
) -> None:
    with servers.own("rethinkdb") as server:
        opened = client(server.url, timeout=20.0)
        token = opened.swap(name, None, b"one")
        opened.wait(name, None)
        server.pause()
        with ends_within(1 + LATE), pytest.raises(OutcomeUnknown):
            opened.swap(name, token, b"two", deadline=Deadline.after(1))
        with ends_within(1 + LATE), pytest.raises(StoreError):
            client(server.url).read(name, deadline=Deadline.after(1))
        with ends_within(1 + LATE):
            opened.wait(name, token, deadline=Deadline.after(1))
        server.resume()
        with ends_within(5):
            _until_back(opened, name)
        # Whether the abandoned swap was applied, nobody can tell; another one fences it.
        found = opened.register(name)
        assert found.data in (b"one", b"two")
        found = Register(b"three", opened.swap(name, found.token, b"three"))
        time.sleep(0.5)
        assert opened.read(name) == found


def _until_back(client: Client, name: str) -> None:
    """Return when both tables can be read; a server opens them one by one."""
    deadline = Deadline.after(10)
    while True:
        try:
            client.read(name)
            client.sizes(name)
        except StoreUnavailable:
            if deadline.passed():
                raise
            time.sleep(0.05)
        else:
            return


# --- several hosts ---


def test_dead_hosts_are_passed_over(
    client: Open, database: str, proxy: FaultProxy, name: str
) -> None:
    host = parse(database).hosts[0]
    url = database.replace(str(host), f"127.0.0.1:1,127.0.0.1:{proxy.port},{host}")
    opened = client(url, timeout=20.0)
    token = opened.swap(name, None, b"one")
    proxy.refuse()
    with suppress(StoreUnavailable):
        opened.read(name)  # may meet the connection that just died
    with ends_within(LATE):
        assert opened.register(name).token == token


def test_silent_host_is_left_for_another(
    client: Open, database: str, proxy: FaultProxy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discfg_rethinkdb.client._PATIENCE_SECONDS", 2.0)
    host = parse(database).hosts[0]
    opened = client(database.replace(str(host), f"127.0.0.1:{proxy.port},{host}"), timeout=20.0)
    token = opened.swap(name, None, b"one")
    proxy.black_hole()
    with ends_within(2.0 + LATE), pytest.raises(StoreUnavailable):
        opened.read(name)
    with ends_within(1.5):  # so not by way of the silent one
        assert opened.register(name).token == token


def test_cluster_goes_on_without_one_of_three(servers: Servers, client: Open, name: str) -> None:
    with (
        servers.own("rethinkdb") as first,
        servers.own("rethinkdb", join=first) as second,
        servers.own("rethinkdb", join=first) as third,
    ):
        members: list[RethinkDBServer] = [first, second, third]  # type: ignore[list-item]  # the name decides; `own` gives the class of the name
        hosts = ",".join(member.host for member in members)
        opened = client(f"rethinkdb://{hosts}/discfg?replicas=3", timeout=60.0)
        token = opened.swap(name, None, b"0", {"blob": b"data"})
        admin = Admin(first.url)
        for table in ("discfg_registers", "discfg_blobs"):
            admin.run(admin.table(first.url, table).wait(wait_for="all_replicas_ready"))
        admin.close()
        first.kill()
        deadline = Deadline.after(60)
        while True:
            try:
                register = opened.register(name)
                token = opened.swap(name, register.token, b"%d" % (int(register.data) + 1))
                assert opened.get_blob(name, "blob") == b"data"
            except (StoreUnavailable, OutcomeUnknown):
                assert not deadline.passed(), "no other member took over"
                time.sleep(0.1)
            else:
                break
        assert opened.register(name).token == token
