"""A swap against a register that may be applied now, later, twice or never: all short scripts."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any

import pytest

from discfg_core.clock import Deadline
from discfg_core.errors import DiscfgError, OutcomeUnknown, StoreFull, StoreUnavailable, Timeout
from discfg_core.substrate import NOT_TOLD, Register, SwapConflict
from discfg_core.versioned.settle import InDoubt, Landed, Lost, settle

OURS, THEIRS = b"ours", b"theirs"


class Store:
    """One register; each swap is answered as the script says.

    done/late/never: whether and when it is applied; the other half is what the caller is told.
    """

    scheme = "scripted"

    def __init__(self, script: tuple[str, ...]) -> None:
        self.register = Register(b"base", b"0")
        self.applied: list[bytes] = []
        self.under_way: list[tuple[bytes | None, bytes]] = []
        self._script = list(script)
        self._tokens = itertools.count(1)

    def apply(self, expected: bytes | None, data: bytes) -> bytes:
        if self.register.token != expected:
            raise SwapConflict(current=self.register)
        self.register = Register(data, b"%d" % next(self._tokens))
        self.applied.append(data)
        return self.register.token

    def land(self) -> None:
        """Requests that were under way arrive."""
        for expected, data in self.under_way:
            if self.register.token == expected:
                self.apply(expected, data)
        self.under_way = []

    def read(self, name: str, known: object = None, *, deadline: Deadline) -> Register:
        return self.register

    def swap(
        self, name: str, expected: bytes | None, data: bytes, blobs: object, *, deadline: Deadline
    ) -> bytes:
        step = self._script.pop(0) if self._script else "done"
        if step == "done":
            return self.apply(expected, data)
        if step == "untold":
            try:
                return self.apply(expected, data)
            except SwapConflict:
                raise SwapConflict(current=NOT_TOLD) from None
        if step == "unanswered":
            with suppress(SwapConflict):
                self.apply(expected, data)
            raise OutcomeUnknown("no answer")
        if step == "repeated":
            self.apply(expected, data)
            return self.apply(expected, data)
        if step == "late":
            self.under_way.append((expected, data))
            raise OutcomeUnknown("under way")
        if step == "landing":
            self.land()
            return self.apply(expected, data)
        if step == "beaten":
            if self.register.token == expected:
                self.apply(expected, THEIRS)
            return self.apply(expected, data)
        if step == "storm":
            raise SwapConflict(current=NOT_TOLD)
        raise {
            "away": StoreUnavailable("away"),
            "slow": Timeout("slow"),
            "broken": RuntimeError("broken"),
        }[step]


STEPS = [
    "untold",
    "unanswered",
    "repeated",
    "late",
    "landing",
    "beaten",
    "storm",
    "away",
    "slow",
    "broken",
]


@pytest.mark.parametrize("script", list(itertools.product(STEPS, repeat=2)), ids="-".join)
def test_what_is_said_is_what_happened(
    script: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discfg_core.backoff.time.sleep", lambda seconds: None)
    store: Any = Store(script)

    def ours(register: Register | None) -> bool | None:
        assert register is not None
        # The history of the register is what tells, not the latest content.
        return OURS in store.applied

    outcome = settle(store, "c", b"0", OURS, {}, ours=ours, deadline=Deadline.after(5))
    store.land()
    if isinstance(outcome, Landed):
        assert store.applied.count(OURS) == 1
    else:
        assert isinstance(outcome, Lost)
        assert OURS not in store.applied


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize(
    ("error", "certain"),
    [
        (StoreUnavailable("away"), StoreUnavailable),
        (Timeout("slow"), Timeout),
        (StoreFull("no room"), StoreFull),
        (OutcomeUnknown("no answer"), InDoubt),
        (RuntimeError("broken"), InDoubt),
    ],
)
def test_what_is_said_at_the_deadline(
    error: Exception, certain: type[Exception], sent: bool
) -> None:
    class Failing(Store):
        def swap(self, *args: object, **kwargs: object) -> bytes:
            raise error

    store: Any = Failing(())
    with pytest.raises(InDoubt if sent else certain):
        settle(
            store,
            "c",
            b"0",
            OURS,
            {},
            ours=lambda register: False,
            deadline=Deadline.after(0.05),
            in_doubt=sent,
        )


@pytest.mark.parametrize("sent", [False, True])
def test_register_that_can_no_longer_tell(sent: bool) -> None:
    store: Any = Store(("beaten",))

    def call() -> Landed | Lost:
        return settle(
            store,
            "c",
            b"0",
            OURS,
            {},
            ours=lambda register: None,
            deadline=Deadline.after(5),
            in_doubt=sent,
        )

    if sent:
        with pytest.raises(InDoubt) as caught:
            call()
        assert caught.value.final
    else:
        assert isinstance(call(), Lost)


def test_error_while_looking_is_no_verdict() -> None:
    looks = iter([StoreUnavailable("away"), None])

    class Away(Store):
        def read(self, name: str, known: object = None, *, deadline: Deadline) -> Register:
            error = next(looks, None)
            if isinstance(error, DiscfgError):
                raise error
            return self.register

    store: Any = Away(("storm",))
    outcome = settle(
        store, "c", b"0", OURS, {}, ours=lambda register: False, deadline=Deadline.after(5)
    )
    assert isinstance(outcome, Landed)
