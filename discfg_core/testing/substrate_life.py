"""What a store says of itself, waiting, deadlines, and the end of a client."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import Guarantee
from discfg_core.errors import Closed, OutcomeUnknown, StoreError, StoreUnavailable, Timeout
from discfg_core.substrate import BlobRange, Limits, Register, Substrate, SwapConflict
from discfg_core.testing.invariants import Leaks
from discfg_core.testing.substrate_base import LEAK_PATIENCE, Lab, SubstrateBase
from discfg_core.testing.substrate_blobs import LARGE
from discfg_core.testing.substrate_client import GRACE, Client

if TYPE_CHECKING:
    from collections.abc import Callable


class DescriptionTests(SubstrateBase):
    """Scheme, guarantees and limits."""

    def test_substrate_has_every_method(self, client: Client) -> None:
        assert isinstance(client.inner, Substrate)

    def test_scheme_is_lower_case(self, client: Client, other: Client) -> None:
        assert client.scheme
        assert client.scheme == client.scheme.lower() == other.scheme

    def test_guarantees_are_a_frozen_set(self, client: Client, other: Client) -> None:
        assert isinstance(client.guarantees, frozenset)
        assert all(isinstance(each, Guarantee) for each in client.guarantees)
        assert client.guarantees == other.guarantees

    def test_guarantees_include_each_other(self, client: Client) -> None:
        if Guarantee.DISTRIBUTED in client.guarantees:
            assert Guarantee.SHARED in client.guarantees

    def test_push_is_promised_iff_it_is_done(self, client: Client, name: str) -> None:
        assert client.limits(name).push_wait == (Guarantee.PUSH_WATCH in client.guarantees)

    def test_limits_are_figures_that_can_be_kept(self, client: Client, name: str) -> None:
        limits = client.limits(name)
        assert 0 < limits.register_budget <= limits.register_max
        assert limits.blob_max >= LARGE, "a value of 16 MiB works on every store"
        assert limits.min_swap_interval >= 0

    def test_limits_say_why(self, client: Client, name: str) -> None:
        limits, default = client.limits(name), Limits()
        figures = [field for field in limits.__struct_fields__ if field != "why"]
        assert set(limits.why) <= set(figures), "a reason for what is no figure"
        for figure in figures:
            if getattr(limits, figure) != getattr(default, figure):
                assert limits.why.get(figure, "").strip(), f"{figure} has no reason"

    def test_limits_need_no_store(self, lab: Lab, client: Client) -> None:
        assert client.limits(lab.new_name()) == client.limits(lab.new_name())


class WaitTests(SubstrateBase):
    """`Substrate.wait`."""

    def _wakes(self, waiting: Callable[[], None], change: Callable[[], object]) -> None:
        """`waiting`, begun before `change`, ends soon after it."""
        with ThreadPoolExecutor(1) as pool:
            waiter = pool.submit(waiting)
            time.sleep(0.2)
            changed = time.monotonic()
            change()
            waiter.result()
        took = time.monotonic() - changed
        assert took < self.wake_within, f"woken {took:.1f} s after the change"

    def _patient(self) -> Deadline:
        return Deadline.after(self.wake_within * 2)

    def test_wait_returns_after_a_swap_by_another_client(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"one")
        self._wakes(
            lambda: client.wait(name, token, deadline=self._patient()),
            lambda: other.swap(name, token, b"two"),
        )

    def test_wait_returns_after_a_swap_by_the_same_client(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"one")
        self._wakes(
            lambda: client.wait(name, token, deadline=self._patient()),
            lambda: client.swap(name, token, b"two"),
        )

    def test_wait_for_an_absent_register_returns_when_it_is_created(
        self, client: Client, other: Client, name: str
    ) -> None:
        self._wakes(
            lambda: client.wait(name, None, deadline=self._patient()),
            lambda: other.swap(name, None, b"new"),
        )

    def test_wait_returns_when_the_register_moved_on_before(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"one")
        other.swap(name, token, b"two")
        self._wakes(lambda: client.wait(name, token, deadline=self._patient()), lambda: None)
        self._wakes(lambda: client.wait(name, None, deadline=self._patient()), lambda: None)

    def test_wait_returns_when_cancelled(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"one")
        cancel = threading.Event()
        self._wakes(
            lambda: client.wait(name, token, deadline=self._patient(), cancel=cancel), cancel.set
        )

    def test_wait_returns_when_it_was_cancelled_before(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"one")
        cancel = threading.Event()
        cancel.set()
        began = time.monotonic()
        client.wait(name, token, deadline=self._patient(), cancel=cancel)
        assert time.monotonic() - began < GRACE

    def test_wait_ends_with_its_deadline(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"one")
        for seconds in (-1.0, 0.0, 0.3):
            # `Client` judges how long it took.
            client.wait(name, token, deadline=Deadline.after(seconds))
        assert client.register(name).token == token

    def test_wait_does_not_spin(self, client: Client, name: str) -> None:
        token = client.swap(name, None, b"one")
        deadline = Deadline.after(0.5)
        returns = 0
        while not deadline.passed():
            client.wait(name, token, deadline=deadline)
            returns += 1
        assert returns < 100, f"wait returned {returns} times in half a second of nothing"

    def test_wait_tells_many_at_once(self, lab: Lab, client: Client, name: str) -> None:
        token = client.swap(name, None, b"one")
        waiters = [client, client, lab.open(), lab.open()]
        with ThreadPoolExecutor(len(waiters)) as pool:
            waiting = [
                pool.submit(each.wait, name, token, deadline=self._patient()) for each in waiters
            ]
            time.sleep(0.2)
            changed = time.monotonic()
            client.swap(name, token, b"two")
            for each in waiting:
                each.result()
        assert time.monotonic() - changed < self.wake_within


def _calls(client: Client, name: str, deadline: Deadline | None) -> dict[str, Callable[[], object]]:
    """Every call that goes to the store, by its name."""
    return {
        "read": lambda: client.read(name, deadline=deadline),
        "swap": lambda: client.swap(name, None, b"data", {"swapped": b"data"}, deadline=deadline),
        "names": lambda: list(client.names(deadline=deadline)),
        "wait": lambda: client.wait(name, None, deadline=deadline),
        "get_blobs": lambda: client.get_blobs(name, [BlobRange("blob")], deadline=deadline),
        "put_blob": lambda: client.put_blob(name, "blob", b"data", deadline=deadline),
        "delete_blobs": lambda: client.delete_blobs(name, ["kept"], deadline=deadline),
        "list_blobs": lambda: list(client.list_blobs(name, deadline=deadline)),
        "provision": lambda: client.provision(name, {}, deadline=deadline),
        "describe": lambda: client.describe(name, deadline=deadline),
        "drop": lambda: client.drop(name, None, deadline=deadline),
        "diagnose": lambda: client.diagnose(deadline=deadline),
    }


WRITES = ["swap", "put_blob", "delete_blobs"]
READS = ["read", "names", "wait", "get_blobs", "list_blobs", "describe"]
CALLS = [*WRITES, *READS, "provision", "drop", "diagnose"]


class DeadlineTests(SubstrateBase):
    """Every call ends by its deadline, and a write that was too late did not happen."""

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize("seconds", [-1.0, 0.0])
    def test_deadline_that_has_passed_ends_a_call_promptly(
        self, client: Client, name: str, call: str, seconds: float
    ) -> None:
        began = time.monotonic()
        # What needs no waiting and writes nothing may answer, too.
        with contextlib.suppress(Timeout, StoreUnavailable):
            _calls(client, name, Deadline.after(seconds))[call]()
        assert time.monotonic() - began < GRACE

    @pytest.mark.parametrize("call", WRITES)
    @pytest.mark.parametrize("seconds", [-1.0, 0.0])
    def test_deadline_that_has_passed_prevents_a_write(
        self, client: Client, other: Client, name: str, call: str, seconds: float
    ) -> None:
        client.put_blob(name, "kept", b"data")
        with pytest.raises((Timeout, StoreUnavailable)):
            _calls(client, name, Deadline.after(seconds))[call]()
        time.sleep(0.05)
        assert other.read(name) is None
        assert other.sizes(name) == {"kept": 4}

    def test_deadline_that_has_passed_prevents_a_replacement(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"one")
        with pytest.raises((Timeout, StoreUnavailable)):
            client.swap(name, token, b"two", deadline=Deadline.after(-1))
        assert other.read(name) == Register(b"one", token)
        client.swap(name, token, b"two")

    def test_deadline_however_short_leaves_no_doubt(
        self, client: Client, other: Client, name: str
    ) -> None:
        register = Register(b"0", client.swap(name, None, b"0"))
        for number in range(1, 60):
            data = b"%d" % number
            deadline = Deadline.after(1e-5 * 1.15**number)
            expected: tuple[bytes, ...]
            try:
                client.swap(name, register.token, data, deadline=deadline)
                expected = (data,)
            except OutcomeUnknown:
                expected = (data, register.data)
            except (StoreError, Timeout):
                expected = (register.data,)
            found = self._settled(other, name, register, unknown=len(expected) > 1)
            assert found.data in expected, f"after a swap of {data!r}"
            register = found

    @staticmethod
    def _settled(client: Client, name: str, register: Register, *, unknown: bool) -> Register:
        if unknown:
            # Whichever lands first fences the other: what is read then stays.
            with contextlib.suppress(SwapConflict):
                client.swap(name, register.token, register.data)
        return client.register(name)


class CloseTests(SubstrateBase):
    """`Substrate.close`."""

    def test_close_is_idempotent(self, lab: Lab) -> None:
        client = lab.open()
        for _ in range(3):
            client.close()

    def test_close_after_use_is_idempotent(self, client: Client, name: str) -> None:
        client.swap(name, None, b"data", {"blob": b"data"})
        for _ in range(3):
            client.close()

    @pytest.mark.parametrize("call", CALLS)
    def test_closed_client_raises_closed(self, client: Client, name: str, call: str) -> None:
        client.swap(name, None, b"data")
        client.close()
        with pytest.raises(Closed):
            _calls(client, name, None)[call]()

    def test_closed_client_leaves_others_open(
        self, client: Client, other: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"one", {"blob": b"data"})
        client.close()
        assert other.read(name) == Register(b"one", token)
        assert other.get_blob(name, "blob") == b"data"
        other.swap(name, token, b"two")

    def test_closed_clients_leave_no_thread_and_no_file(
        self, lab: Lab, client: Client, name: str
    ) -> None:
        token = client.swap(name, None, b"data", {"blob": b"data"})
        leaks = Leaks()
        clients = [lab.open() for _ in range(4)]

        def use(each: Client) -> None:
            each.read(name)
            each.get_blob(name, "blob")
            each.put_blob(name, "blob", b"data")
            each.wait(name, token, deadline=Deadline.after(0.1))
            each.wait(name, None, deadline=Deadline.after(GRACE))
            list(each.names())
            list(each.list_blobs(name))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(use, clients * 2))
        for each in clients:
            each.close()
        leaks.assert_none(LEAK_PATIENCE)
