"""Many clients at once, in this process and in others: where stores are caught lying."""

from __future__ import annotations

import os
import secrets
import signal
import time
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import Guarantee
from discfg_core.errors import StoreUnavailable
from discfg_core.substrate import BlobRange, Register, SwapConflict, Unchanged
from discfg_core.testing.processes import Worker, WorkerFailed, run_in_processes, run_in_threads
from discfg_core.testing.substrate_base import Lab, SubstrateBase, with_own_client
from discfg_core.testing.substrate_client import Client

if TYPE_CHECKING:
    from discfg_core.testing.processes import Line

WRITERS = 4
INCREMENTS = 25
PROCESSES = 3


# --- what the workers do ---------------------------------------------------------------


def increment(client: Client, name: str, times: int) -> None:
    """Count a register up, a success at a time, and see that no success of one's own is lost."""
    pause = client.limits(name).min_swap_interval
    for _ in range(times):
        patience = Deadline.after(client.timeout)
        while True:
            before = client.register(name)
            after = int(before.data) + 1
            try:
                token = client.swap(name, before.token, b"%d" % after)
            except SwapConflict as conflict:
                if isinstance(conflict.current, Register):
                    assert int(conflict.current.data) >= after, "a conflict told an old register"
            except StoreUnavailable:
                # Throttled, and surely not done; for as long as one call may take.
                if patience.passed():
                    raise
                time.sleep(0.01)
            else:
                _see_own(client, name, token, after)
                break
        time.sleep(pause)


def _see_own(client: Client, name: str, token: bytes, count: int) -> None:
    seen = client.read(name, token)
    assert isinstance(seen, Register | Unchanged), "the register is gone"
    if isinstance(seen, Register):
        assert int(seen.data) > count, "a read is older than a swap that was acknowledged"


def count_up(line: Line, client: Client, name: str, times: int) -> None:
    """A task: `increment`."""
    client.register(name)
    line.ready()
    increment(client, name, times)


def create(line: Line, client: Client, names: list[str]) -> list[str]:
    """A task: create registers. Returns the names of those that this one created."""
    mine = os.urandom(8)
    won = []
    list(client.names())
    line.ready()
    for name in names:
        try:
            token = client.swap(name, None, mine)
        except SwapConflict:
            continue
        assert client.read(name) == Register(mine, token), "somebody else created it, too"
        won.append(name)
    return won


def swap_once(line: Line, client: Client, name: str, token: bytes, mine: bytes) -> bool:
    """A task: one swap over a token that all the others expect, too."""
    client.read(name)
    line.ready()
    try:
        client.swap(name, token, mine)
    except SwapConflict:
        return False
    return True


def write_blobs(line: Line, client: Client, name: str, times: int) -> int:
    """A task: swaps whose data name a blob of that swap."""
    line.ready()
    done = 0
    register = client.register(name)
    pause = client.limits(name).min_swap_interval
    while done < times:
        blob = secrets.token_hex(8)
        try:
            client.swap(name, register.token, blob.encode(), {blob: blob.encode()})
        except SwapConflict:
            pass
        else:
            done += 1
            time.sleep(pause)
        register = client.register(name)
    client.swap(name, register.token, b"end")
    return done


def follow_blobs(line: Line, client: Client, name: str) -> int:
    """A task: get the blob that each new register names, at once, until one says ``end``."""
    seen = 0
    register = client.register(name)
    line.ready()
    while register.data != b"end":
        blob = register.data.decode()
        assert client.get_blob(name, blob) == register.data, "another blob"
        seen += 1
        answer: Any = client.read(name, register.token)
        while not isinstance(answer, Register):
            answer = client.read(name, register.token)
        register = answer
    return seen


def die_after_swap(line: Line, client: Client, name: str) -> None:
    """A task: swap, say so, and be killed without any good-bye."""
    line.ready()
    token = client.swap(name, None, b"head", {"blob": b"data"})
    client.put_blob(name, "put", b"more")
    line.tell(token)
    os.kill(os.getpid(), signal.SIGKILL)


def look(line: Line, client: Client, name: str) -> bytes | None:
    """A task: what this process finds in the register."""
    line.ready()
    answer = client.read(name)
    return answer.data if isinstance(answer, Register) else None


# --- the tests ---------------------------------------------------------------------------


class RaceTests(SubstrateBase):
    """Races: of threads, and of processes wherever other processes reach the store."""

    def test_race_of_two_clients_counts_exactly(
        self, client: Client, other: Client, name: str
    ) -> None:
        client.swap(name, None, b"0")
        pair = (client, other)
        run_in_threads(
            count_up, [(pair[number % 2], name, INCREMENTS) for number in range(WRITERS)]
        )
        assert client.register(name).data == b"%d" % (WRITERS * INCREMENTS)

    def test_race_of_many_clients_counts_exactly(self, lab: Lab, client: Client, name: str) -> None:
        client.swap(name, None, b"0")
        lab.crowd(count_up, [(name, INCREMENTS)] * PROCESSES)
        assert client.register(name).data == b"%d" % (PROCESSES * INCREMENTS)

    def test_race_to_create_has_one_winner(self, lab: Lab, client: Client) -> None:
        names = [lab.new_name() for _ in range(8)]
        lab.provision(client, *names)
        won = lab.crowd(create, [(names,)] * PROCESSES)
        assert sorted(name for each in won for name in each) == sorted(names)

    def test_race_of_sixteen_on_one_token_has_one_winner(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"start")
        clients = [client, *(lab.open() for _ in range(3))]
        for _ in range(4):
            rivals = [b"%d" % number for number in range(16)]
            won = run_in_threads(
                swap_once,
                [(clients[number % 4], name, token, mine) for number, mine in enumerate(rivals)],
            )
            register = client.register(name)
            assert [mine for mine, each in zip(rivals, won, strict=True) if each] == [register.data]
            token = register.token

    def test_race_of_a_reader_finds_every_blob(
        self, client: Client, other: Client, name: str
    ) -> None:
        client.swap(name, None, b"first", {"first": b"first"})

        def either(line: Line, who: Client, *arguments: Any) -> int:
            return (write_blobs if arguments[1:] else follow_blobs)(line, who, *arguments)

        written, seen = run_in_threads(either, [(client, name, INCREMENTS), (other, name)])
        assert written == INCREMENTS
        assert seen > 0

    def test_blobs_of_another_process_are_there_with_its_swap(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        client.swap(name, None, b"first", {"first": b"first"})
        if Guarantee.SHARED in client.guarantees:
            with Worker(
                with_own_client, lab.opener, lab.place, write_blobs, (name, INCREMENTS)
            ) as writer:
                writer.wait_ready()
                assert follow_blobs(_Start(writer), client, name) > 0
                assert writer.result() == INCREMENTS
        else:
            self._is_not_shared(lab, client, name)

    def test_other_processes_see_what_is_promised(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        client.swap(name, None, b"data")
        if Guarantee.SHARED in client.guarantees:
            (found,) = run_in_processes(with_own_client, [(lab.opener, lab.place, look, (name,))])
            assert found == b"data"
        else:
            self._is_not_shared(lab, client, name)

    def test_death_of_a_writer_takes_nothing_with_it(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        if Guarantee.SHARED not in client.guarantees:
            self._is_not_shared(lab, client, name)
            return
        with Worker(with_own_client, lab.opener, lab.place, die_after_swap, (name,)) as writer:
            writer.wait_ready()
            writer.go()
            token = writer.hear()
            with pytest.raises(WorkerFailed, match="died"):
                writer.result()
        assert client.read(name) == Register(b"head", token)
        both = client.get_blobs(name, [BlobRange("blob"), BlobRange("put")])
        assert both == [b"data", b"more"]
        # Neither may it hold up those who live.
        client.swap(name, token, b"next")

    @staticmethod
    def _is_not_shared(lab: Lab, client: Client, name: str) -> None:
        """The store promises that no other process sees it, and none does."""
        assert Guarantee.DISTRIBUTED not in client.guarantees
        assert Guarantee.DURABLE not in client.guarantees
        before = client.read(name)
        (found,) = run_in_processes(with_own_client, [(lab.opener, lab.place, look, (name,))])
        assert found is None, "other processes see it, although SHARED is not among its guarantees"
        assert client.read(name) == before


class _Start:
    """The line of a task that its starter carries out itself, beside a worker."""

    def __init__(self, worker: Worker[Any]) -> None:
        self._worker = worker

    def ready(self) -> None:
        """Both begin now."""
        self._worker.go()

    def tell(self, message: Any) -> None:
        """Nobody to tell."""


class ForkTests(SubstrateBase):
    """A client goes on in a forked child, beside its parent."""

    def test_fork_leaves_both_a_working_client(self, client: Client, name: str) -> None:
        client.swap(name, None, b"0", {"blob": b"data"})
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Python warns of forking beside threads; that is the very thing to be survived.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _in_child(client, name, reading, writing)
        os.close(writing)
        try:
            increment(client, name, INCREMENTS)
            report = _read_all(reading, seconds=60)
        finally:
            os.close(reading)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert report == "done", report
        shared = Guarantee.SHARED in client.guarantees
        # A store inside the process was copied: the child counted on its own copy.
        assert client.register(name).data == b"%d" % (INCREMENTS * (2 if shared else 1))
        assert client.has_blob(name, "of-the-child") == shared


def _in_child(client: Client, name: str, reading: int, writing: int) -> None:
    # Nothing of the test run may go on in the child, whatever happens here.
    try:
        os.close(reading)
        client.after_fork()
        assert client.get_blob(name, "blob") == b"data"
        increment(client, name, INCREMENTS)
        client.put_blob(name, "of-the-child", b"data")
        client.close()
        os.write(writing, b"done")
    except BaseException:  # noqa: BLE001 - whatever it was belongs to the parent's report
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(0)


def _read_all(descriptor: int, seconds: float) -> str:
    os.set_blocking(descriptor, False)
    end = time.monotonic() + seconds
    text = b""
    while time.monotonic() < end:
        try:
            part = os.read(descriptor, 65_536)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        if not part:
            return text.decode()
        text += part
    return f"the child was not done after {seconds} s; it said {text.decode()!r}"
