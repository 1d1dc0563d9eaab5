"""Several endpoints, servers that die, hang and come back, and connections that break."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
import traceback
import warnings
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import DiscfgError, OutcomeUnknown, StoreError, StoreUnavailable, Timeout
from discfg_core.substrate import UNCHANGED, Register
from discfg_core.testing.proxy import FaultProxy
from tests.servers.etcd import EtcdServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from discfg_core import Config, Store
    from discfg_core.testing.substrate_client import Client
    from tests.servers.plugin import Servers

# Every client works again so soon after its server is back.
BACK_WITHIN = 30.0


@pytest.fixture
def members(servers: Servers) -> Iterator[list[EtcdServer]]:
    """Three members, up and running."""
    with ExitStack() as stack:
        found = []
        for _ in range(3):
            member = servers.own("etcd", start=False)
            assert isinstance(member, EtcdServer)
            found.append(stack.enter_context(member))
        EtcdServer.form_cluster(found)
        yield found
        for member in found:
            # Asked to stop, the last ones would wait for the others.
            member.kill()


def url_of(members: list[EtcdServer]) -> str:
    return f"etcd://{','.join(member.host for member in members)}/p"


def assert_all_there(config: Config, values: list[int]) -> None:
    """Each of the values was set, once, in this order."""
    commits = [commit for commit in config.history() if commit.changes]
    written = [commit.changes[0].node.data for commit in reversed(commits)]
    assert written == values
    assert [commit.revision for commit in commits] == list(range(len(values), 0, -1))


@pytest.mark.parametrize("end", ["kill", "pause"])
def test_death_of_any_member_is_survived(
    members: list[EtcdServer], store: Callable[..., Store], end: str
) -> None:
    config = store(url_of(members), timeout=40.0).create_config("c")
    values: list[int] = []

    def write(times: int) -> None:
        for _ in range(times):
            config.set("n", len(values))
            values.append(len(values))

    write(5)
    for member in members:
        getattr(member, end)()
        began = time.monotonic()
        write(5)
        assert config.get("n").data == values[-1]
        assert time.monotonic() - began < 25.0
        if end == "kill":
            member.restart()
        else:
            member.resume()
    assert_all_there(config, values)


def test_minority_answers_in_time_and_the_majority_heals_it(
    members: list[EtcdServer], store: Callable[..., Store], client: Callable[..., Client]
) -> None:
    config = store(url_of(members), timeout=3.0).create_config("c")
    config.set("n", 1)
    for member in members[:2]:
        member.kill()
    for call in (lambda: config.get("n"), lambda: config.set("n", 2)):
        began = time.monotonic()
        with pytest.raises(DiscfgError) as caught:
            call()
        assert isinstance(caught.value, StoreUnavailable | Timeout | OutcomeUnknown)
        assert time.monotonic() - began < 20.0
    # A member without a leader says so, and lets nobody wait for one.
    lone = client(url_of(members[2:]))
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="no leader"):
        lone.read("c")
    assert time.monotonic() - began < 15.0
    members[0].restart()
    back = time.monotonic()
    while True:
        try:
            config.set("n", 3)
            break
        except (StoreUnavailable, Timeout, OutcomeUnknown):
            assert time.monotonic() - back < BACK_WITHIN
    assert config.get("n").data == 3


def test_wait_outlives_the_member_it_asks(
    members: list[EtcdServer], client: Callable[..., Client]
) -> None:
    mine, other = client(url_of(members)), client(url_of(members))
    token = mine.swap("c", None, b"0")
    for number, member in enumerate(members):
        told = threading.Event()

        def until_told(known: bytes = token, told: threading.Event = told) -> None:
            deadline = Deadline.after(30.0)
            while not deadline.passed():
                try:
                    mine.wait("c", known, deadline=deadline)
                    if mine.read("c", known) is not UNCHANGED:
                        told.set()
                        return
                except StoreUnavailable:
                    time.sleep(0.05)

        thread = threading.Thread(target=until_told)
        thread.start()
        time.sleep(0.3)
        member.kill()
        end = Deadline.after(20.0)
        while True:
            try:
                token = other.swap("c", token, b"%d" % (number + 1))
                break
            except StoreUnavailable:
                assert not end.passed()
            except OutcomeUnknown:
                register = other.register("c")
                if register.data == b"%d" % (number + 1):
                    token = register.token
                    break
        assert told.wait(10.0), "the change was never told"
        thread.join()
        member.restart()


def test_endpoint_that_hangs_leaves_time_for_the_others(
    servers: Servers, client: Callable[..., Client]
) -> None:
    with servers.own("etcd") as own, FaultProxy("127.0.0.1", own.port) as proxy:
        proxy.black_hole()
        hosts = f"127.0.0.1:{proxy.port},127.0.0.1:{own.port}"
        token = client(own.url).swap("c", None, b"data")
        # Which endpoint comes first is a matter of chance.
        for _ in range(6):
            mine = client(f"etcd://{hosts}/discfg", timeout=2.0)
            began = time.monotonic()
            assert mine.read("c") == Register(b"data", token)
            # Never connected: certain, and so tried elsewhere, a write too.
            mine.put_blob("c", f"b{time.time_ns()}", b"data")
            assert time.monotonic() - began < 15.0


# --- one endpoint --------------------------------------------------------------------------


def test_server_that_was_killed_lost_nothing_and_is_used_again(
    servers: Servers, store: Callable[..., Store]
) -> None:
    with servers.own("etcd") as own:
        config = store(own.url, timeout=20.0).create_config("c")
        values: list[int] = []
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                config.set("n", len(values))
                values.append(len(values))

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(2):
            time.sleep(0.5)
            own.kill()
            time.sleep(0.5)
            own.restart()
            back, count = time.monotonic(), len(values)
            while len(values) == count:
                assert time.monotonic() - back < BACK_WITHIN
                time.sleep(0.01)
        stop.set()
        writer.join()
        assert_all_there(config, values)


def test_server_that_hangs_is_given_up_in_time_and_used_again(
    servers: Servers, store: Callable[..., Store]
) -> None:
    with servers.own("etcd") as own:
        config = store(own.url, timeout=2.0).create_config("c")
        config.set("n", 1)
        own.pause()
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown) as unknown:
            config.set("n", 2)
        assert time.monotonic() - began < 20.0
        with pytest.raises((StoreUnavailable, Timeout)):
            config.get("n")
        # Nothing is sent before the server showed that it is there: so this one is certain.
        with pytest.raises((StoreUnavailable, Timeout)):
            config.set("n", 2)
        assert time.monotonic() - began < 40.0
        own.resume()
        back = time.monotonic()
        assert unknown.value.commit_id is not None
        config.outcome(unknown.value.commit_id)
        config.set("n", 3)
        assert time.monotonic() - back < BACK_WITHIN
        assert config.get("n").data == 3


def test_server_that_is_not_there_is_told_at_once_and_surely(
    servers: Servers, client: Callable[..., Client]
) -> None:
    with servers.own("etcd", start=False) as own:
        mine = client(own.url)
        for call in (
            lambda: mine.read("c"),
            lambda: mine.swap("c", None, b"data"),
            lambda: mine.put_blob("c", "b", b"data"),
            lambda: mine.wait("c", None),
        ):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert time.monotonic() - began < 15.0
            assert f"127.0.0.1:{own.port}" in caught.value.message
            assert caught.value.retryable
            assert caught.value.hint


@pytest.mark.parametrize("seconds", [1e6, 1e10, 1e15, float("inf")])
def test_deadline_may_be_far_away(mine: Client, seconds: float) -> None:
    deadline = Deadline.after(seconds)
    token = mine.swap("c", None, b"data", {"b": b"data"}, deadline=deadline)
    assert mine.read("c", token, deadline=deadline) is UNCHANGED
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    mine.wait("c", token, deadline=deadline, cancel=cancel)


def test_answer_that_was_lost_is_an_unknown_outcome(
    client: Callable[..., Client], host: str, prefix: str, mine: Client
) -> None:
    with FaultProxy("127.0.0.1", int(host.rpartition(":")[2])) as proxy:
        broken = client(f"etcd://127.0.0.1:{proxy.port}/{prefix}")
        token = broken.swap("c", None, b"one")
        fault = proxy.reset_after(times=1)
        with pytest.raises(OutcomeUnknown):
            broken.swap("c", token, b"two")
        assert fault.hits == 1
        assert mine.register("c").data == b"two"
        broken.put_blob("c", "b", b"connects again")
        proxy.black_hole(times=1)
        with pytest.raises(OutcomeUnknown):
            broken.swap("c", mine.register("c").token, b"three", deadline=Deadline.after(0.5))
        proxy.clear()
        proxy.reset_connections()
        began = time.monotonic()
        while True:
            try:
                assert broken.register("c").data == b"two"
                break
            except StoreUnavailable:
                assert time.monotonic() - began < BACK_WITHIN


def test_commits_through_a_network_that_breaks_happen_once(
    store: Callable[..., Store], host: str, prefix: str, place: str
) -> None:
    with FaultProxy("127.0.0.1", int(host.rpartition(":")[2])) as proxy:
        config = store(f"etcd://127.0.0.1:{proxy.port}/{prefix}", timeout=30.0).create_config("c")
        values = []
        for number in range(30):
            if number % 3 == 0:
                proxy.reset_after(times=1)
            elif number % 3 == 1:
                proxy.reset_before(times=1)
            config.set("n", number)
            values.append(number)
        assert_all_there(store(place).config("c"), values)


# --- fork ----------------------------------------------------------------------------------


def test_fork_in_the_midst_of_calls_disturbs_nobody(mine: Client) -> None:
    token = mine.swap("c", None, b"head")
    stop = threading.Event()
    failures: list[str] = []

    def again(call: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                call()
            except StoreError as error:
                # The connection was given up for a fork; nothing worse.
                if not error.retryable:
                    failures.append(traceback.format_exc())

    def read() -> None:
        mine.read("c", token)

    def wait() -> None:
        mine.wait("c", token, deadline=Deadline.after(1.0), cancel=stop)

    threads = [threading.Thread(target=again, args=(each,)) for each in (read, read, read, wait)]
    for thread in threads:
        thread.start()
    try:
        for number in range(5):
            time.sleep(0.1)
            assert _in_a_child(partial(_use, mine, f"of-child-{number}")) == 0
            assert mine.read("c", token) is UNCHANGED
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    assert set(mine.names()) == {"c", *(f"of-child-{number}" for number in range(5))}


def test_fork_takes_no_connection_along(mine: Client, host: str) -> None:
    port = int(host.rpartition(":")[2])
    token = mine.swap("c", None, b"head")
    assert port in _peers()
    waiter = threading.Thread(
        target=mine.wait, args=("c", token), kwargs={"deadline": Deadline.after(2.0)}
    )
    waiter.start()
    time.sleep(0.2)
    assert _in_a_child(partial(_assert_alone, port)) == 0
    waiter.join()


def _assert_alone(port: int) -> None:
    assert port not in _peers()


def _peers() -> set[int]:
    """The ports that this process is connected to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as copy:
            found.add(copy.getpeername()[1])
    return found


def _use(mine: Client, name: str) -> None:
    token = mine.swap(name, None, b"child", {"b": b"data"})
    assert mine.get_blob(name, "b") == b"data"
    assert mine.read(name, token) is UNCHANGED
    mine.wait(name, token, deadline=Deadline.after(0.1))


def _in_a_child(work: Callable[[], None]) -> int:
    """Do this in the child of a fork; returns how it ended."""
    with warnings.catch_warnings():
        # Python warns of forking beside threads; that is the very thing to be survived.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it was belongs into the parent's output
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1
