"""A substrate as the suite sees it: every call has a deadline and its answer is judged.

No test calls a substrate but through a `Client`. All clients of a test share one `Ledger`,
which knows what can be known of any store: which content a token stood for, and what each
blob holds.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from discfg_core.clock import Deadline
from discfg_core.engine import Finding
from discfg_core.errors import (
    Closed,
    DiscfgError,
    InvalidSettings,
    OutcomeUnknown,
    StoreError,
    Timeout,
)
from discfg_core.substrate import (
    NOT_TOLD,
    UNCHANGED,
    BlobInfo,
    BlobRange,
    Limits,
    Native,
    Register,
    SwapConflict,
    Unchanged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from discfg_core.engine import Guarantee
    from discfg_core.substrate import Substrate, Token

# What a call may take beyond its deadline: the store's own rounding, and a loaded machine.
GRACE = 5.0

_ANY_CALL = (StoreError, Timeout, Closed)
_WRITE = (*_ANY_CALL, OutcomeUnknown)


class Ledger:
    """What the clients of one test know together; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, Token], bytes] = {}
        self._given: set[tuple[str, Token]] = set()
        self._blobs: dict[tuple[str, str], bytes] = {}

    def saw(self, name: str, token: object, data: object) -> None:
        """A token was seen on this content; it never stands for another."""
        assert isinstance(token, bytes), f"a token is bytes, not {type(token).__name__}"
        assert isinstance(data, bytes), f"a register's data is bytes, not {type(data).__name__}"
        assert token, "a token is never empty"
        with self._lock:
            known = self._tokens.setdefault((name, token), data)
        assert known == data, f"token {token!r} of {name} stood for other data before"

    def gave(self, name: str, token: object, data: bytes) -> None:
        """A swap returned this token; no other swap ever does."""
        self.saw(name, token, data)
        assert isinstance(token, bytes)
        with self._lock:
            again = (name, token) in self._given
            self._given.add((name, token))
        assert not again, f"two swaps of {name} returned the token {token!r}"

    def put(self, name: str, blobs: Mapping[str, bytes]) -> None:
        """These blobs were, or may have been, written."""
        with self._lock:
            self._blobs.update({(name, blob): data for blob, data in blobs.items()})

    def got(self, name: str, wanted: BlobRange, data: object) -> None:
        """A blob, or a part of it, was read; what this ledger knows of it must agree."""
        if data is None:
            return
        assert isinstance(data, bytes), f"a blob is bytes, not {type(data).__name__}"
        whole = self._blobs.get((name, wanted.blob))
        if whole is None:
            return
        end = None if wanted.length is None else wanted.start + wanted.length
        expected = whole[wanted.start : end]
        # Not compared by `==` in the assertion: pytest would print 16 MiB.
        same = data == expected
        assert same, (
            f"{wanted} of {name} is {len(data)} bytes and not the {len(expected)} that were put"
        )


class Client:
    """A substrate under judgement; itself a `Substrate` whose deadlines may be left out.

    Raises:
        AssertionError: From any method: the answer, the error or the time it took breaks the
            contract. The store's own exception, where one leaked, is the cause.
    """

    def __init__(self, inner: Substrate, ledger: Ledger, timeout: float = 60.0) -> None:
        self.inner = inner
        self.ledger = ledger
        self.timeout = timeout

    def _deadline(self, deadline: Deadline | None) -> Deadline:
        return Deadline.after(self.timeout) if deadline is None else deadline

    @property
    def scheme(self) -> str:
        """`Substrate.scheme`."""
        return self.inner.scheme

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """`Substrate.guarantees`."""
        return self.inner.guarantees

    def limits(self, name: str) -> Limits:
        """`Substrate.limits`."""
        with judged("limits", (Closed,)):
            limits = self.inner.limits(name)
        assert isinstance(limits, Limits)
        return limits

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline | None = None
    ) -> Register | Unchanged | None:
        """`Substrate.read`."""
        deadline = self._deadline(deadline)
        with judged("read", _ANY_CALL, deadline):
            answer = self.inner.read(name, known, deadline=deadline)
        if answer is UNCHANGED:
            assert known is not None, "read answered UNCHANGED although no token was known"
        elif answer is not None:
            assert isinstance(answer, Register), f"read returned {answer!r}"
            assert answer.token != known, "read returned a register at the token known"
            self.ledger.saw(name, answer.token, answer.data)
        return answer

    def register(self, name: str) -> Register:
        """The register, which exists."""
        answer = self.read(name)
        assert isinstance(answer, Register), f"{name} is absent"
        return answer

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline | None = None,
    ) -> Token:
        """`Substrate.swap`."""
        self.ledger.put(name, blobs)
        deadline = self._deadline(deadline)
        try:
            with judged("swap", (*_WRITE, SwapConflict), deadline):
                token = self.inner.swap(name, expected, data, blobs, deadline=deadline)
        except SwapConflict as conflict:
            self._judge_conflict(name, expected, conflict)
            raise
        self.ledger.gave(name, token, data)
        return token

    def _judge_conflict(self, name: str, expected: Token | None, conflict: SwapConflict) -> None:
        if conflict.current == NOT_TOLD:
            return
        if conflict.current is None:
            assert expected is not None, "a swap expecting nothing met nothing, and was refused"
            return
        assert isinstance(conflict.current, Register), f"current is {conflict.current!r}"
        assert conflict.current.token != expected, "the token was the expected one, and refused"
        self.ledger.saw(name, conflict.current.token, conflict.current.data)

    def names(self, *, deadline: Deadline | None = None) -> Iterator[str]:
        """`Substrate.names`, all fetched before the first is returned."""
        deadline = self._deadline(deadline)
        with judged("names", _ANY_CALL, deadline):
            names = list(self.inner.names(deadline=deadline))
        assert len(set(names)) == len(names), "a name is listed twice"
        return iter(names)

    def wait(
        self,
        name: str,
        known: Token | None,
        *,
        deadline: Deadline | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """`Substrate.wait`."""
        deadline = self._deadline(deadline)
        with judged("wait", _ANY_CALL, deadline):
            self.inner.wait(name, known, deadline=deadline, cancel=cancel or threading.Event())

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline | None = None
    ) -> list[bytes | None]:
        """`Substrate.get_blobs`."""
        deadline = self._deadline(deadline)
        with judged("get_blobs", _ANY_CALL, deadline):
            found = self.inner.get_blobs(name, wanted, deadline=deadline)
        assert isinstance(found, list), f"get_blobs returned a {type(found).__name__}"
        assert len(found) == len(wanted), f"{len(wanted)} blobs wanted, {len(found)} answered"
        for each, data in zip(wanted, found, strict=True):
            self.ledger.got(name, each, data)
        return found

    def get_blob(self, name: str, blob: str, start: int = 0, length: int | None = None) -> bytes:
        """A blob that exists, or a part of it."""
        (data,) = self.get_blobs(name, [BlobRange(blob, start, length)])
        assert data is not None, f"blob {blob} of {name} does not exist"
        return data

    def has_blob(self, name: str, blob: str) -> bool:
        """Whether a blob exists."""
        return self.get_blobs(name, [BlobRange(blob)]) != [None]

    def put_blob(
        self, name: str, blob: str, data: bytes, *, deadline: Deadline | None = None
    ) -> None:
        """`Substrate.put_blob`."""
        self.ledger.put(name, {blob: data})
        deadline = self._deadline(deadline)
        with judged("put_blob", _WRITE, deadline):
            self.inner.put_blob(name, blob, data, deadline=deadline)

    def delete_blobs(
        self, name: str, blobs: Sequence[str], *, deadline: Deadline | None = None
    ) -> None:
        """`Substrate.delete_blobs`."""
        deadline = self._deadline(deadline)
        with judged("delete_blobs", _WRITE, deadline):
            self.inner.delete_blobs(name, blobs, deadline=deadline)

    def list_blobs(self, name: str, *, deadline: Deadline | None = None) -> Iterator[BlobInfo]:
        """`Substrate.list_blobs`, all fetched before the first is returned."""
        deadline = self._deadline(deadline)
        with judged("list_blobs", _ANY_CALL, deadline):
            found = list(self.inner.list_blobs(name, deadline=deadline))
        assert all(isinstance(info, BlobInfo) for info in found)
        assert len({info.blob for info in found}) == len(found), "a blob is listed twice"
        return iter(found)

    def sizes(self, name: str) -> dict[str, int]:
        """Every blob of a config and its size."""
        return {info.blob: info.size for info in self.list_blobs(name)}

    def provision(
        self, name: str, settings: Mapping[str, Any], *, deadline: Deadline | None = None
    ) -> None:
        """`Substrate.provision`."""
        deadline = self._deadline(deadline)
        with judged("provision", (*_ANY_CALL, InvalidSettings), deadline):
            self.inner.provision(name, settings, deadline=deadline)

    def describe(self, name: str, *, deadline: Deadline | None = None) -> Native:
        """`Substrate.describe`."""
        deadline = self._deadline(deadline)
        with judged("describe", _ANY_CALL, deadline):
            native = self.inner.describe(name, deadline=deadline)
        assert isinstance(native, Native)
        return native

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline | None = None) -> None:
        """`Substrate.drop`."""
        deadline = self._deadline(deadline)
        with judged("drop", _ANY_CALL, deadline):
            self.inner.drop(name, expected, deadline=deadline)

    def diagnose(self, *, deadline: Deadline | None = None) -> list[Finding]:
        """`Substrate.diagnose`, whole."""
        deadline = self._deadline(deadline)
        with judged("diagnose", _ANY_CALL, deadline):
            findings = list(self.inner.diagnose(deadline=deadline))
        assert all(isinstance(finding, Finding) for finding in findings)
        assert all(finding.check and finding.message for finding in findings)
        return findings

    def after_fork(self) -> None:
        """`Substrate.after_fork`."""
        with judged("after_fork", ()):
            self.inner.after_fork()

    def close(self) -> None:
        """`Substrate.close`."""
        with judged("close", ()):
            self.inner.close()


@contextmanager
def judged(
    operation: str, allowed: tuple[type[DiscfgError], ...], deadline: Deadline | None = None
) -> Iterator[None]:
    """Let only the errors through that the contract names for this operation, and in time.

    Raises:
        AssertionError: It was another one, or it came long after the deadline.
    """
    try:
        yield
    except allowed:
        raise
    except DiscfgError as error:
        raise AssertionError(f"{operation} may not raise {type(error).__name__}") from error
    except Exception as error:
        raise AssertionError(
            f"{operation} let {type(error).__qualname__} out, which is no DiscfgError"
        ) from error
    finally:
        if deadline is not None:
            late = time.monotonic() - deadline.at
            # A deadline that had passed when the call began is judged by a test of its own.
            assert late < GRACE, f"{operation} ended {late:.1f} s after its deadline"
