"""Substrates that are broken on purpose, each in one way that real stores and clients have.

`test_suite_catches_substrates` runs the suite on them; pytest does not collect this file. It
is a long list, and one file: the processes that the suite starts find a class by its file.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

import pytest

from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.engine import Guarantee
from discfg_core.errors import Closed, OutcomeUnknown, StoreError
from discfg_core.substrate import (
    UNCHANGED,
    BlobInfo,
    BlobRange,
    Limits,
    Register,
    SwapConflict,
    Token,
    Unchanged,
)
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing import SubstrateSuite
from discfg_core.testing.delegate import DelegatingSubstrate

# What a request to a server would take, in seconds.
ROUND_TRIP = 0.0005


class Swap(NamedTuple):
    """The arguments of a swap."""

    name: str
    expected: Token | None
    data: bytes
    blobs: Mapping[str, bytes]
    deadline: Deadline


class Sound(DelegatingSubstrate):
    """Nothing is wrong with it; what the others are built on."""

    def __init__(self, place: str) -> None:
        super().__init__(MemorySubstrate(place))
        self.place = place

    @override
    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        return self.do_read(name, known, deadline)

    def do_read(
        self, name: str, known: Token | None, deadline: Deadline
    ) -> Register | Unchanged | None:
        return self.inner.read(name, known, deadline=deadline)

    @override
    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        return self.do_swap(Swap(name, expected, data, blobs, deadline))

    def do_swap(self, swap: Swap) -> Token:
        return self.inner.swap(*swap[:4], deadline=swap.deadline)

    def now(self, name: str) -> Register | None:
        """The register as it is."""
        answer = self.inner.read(name, deadline=Deadline.after(10))
        return answer if isinstance(answer, Register) else None

    def now_token(self, name: str) -> Token | None:
        """Its token."""
        there = self.now(name)
        return None if there is None else there.token


# --- swaps ------------------------------------------------------------------------------


class CheckThenSwap(Sound):
    """Compares, then writes over whatever is there by then."""

    @override
    def do_swap(self, swap: Swap) -> Token:
        if swap.expected != self.now_token(swap.name):
            raise SwapConflict
        time.sleep(ROUND_TRIP)
        while True:
            try:
                return super().do_swap(swap._replace(expected=self.now_token(swap.name)))
            except SwapConflict:
                continue


class ConflictSwallowed(Sound):
    """Throws the transaction's answer away and reads the token instead."""

    @override
    def do_swap(self, swap: Swap) -> Token:
        try:
            return super().do_swap(swap)
        except SwapConflict:
            return self.now_token(swap.name) or b""


class TokenOfALaterRead(Sound):
    """Asks for the token after the write: by then it may be another writer's."""

    @override
    def do_swap(self, swap: Swap) -> Token:
        super().do_swap(swap)
        time.sleep(ROUND_TRIP)
        return self.now_token(swap.name) or b""


class ConflictTellsOldRegister(Sound):
    """Answers a conflict from what this client last wrote."""

    last: Register | None = None

    @override
    def do_swap(self, swap: Swap) -> Token:
        try:
            token = super().do_swap(swap)
        except SwapConflict:
            raise SwapConflict(current=self.last) from None
        self.last = Register(swap.data, token)
        return token


class AbsentTakesAnyToken(Sound):
    """Ignores the condition where nothing is there, as some servers do with If-Match."""

    @override
    def do_swap(self, swap: Swap) -> Token:
        absent = self.now(swap.name) is None
        return super().do_swap(swap._replace(expected=None) if absent else swap)


class BlobsAfterRegister(Sound):
    """Writes the blobs of a swap once the register has changed."""

    @override
    def do_swap(self, swap: Swap) -> Token:
        token = super().do_swap(swap._replace(blobs={}))
        time.sleep(ROUND_TRIP)
        for blob, content in swap.blobs.items():
            self.put_blob(swap.name, blob, content, deadline=swap.deadline)
        return token


class DeadlineIgnored(Sound):
    """Takes all the time it wants."""

    @override
    def do_swap(self, swap: Swap) -> Token:
        return super().do_swap(swap._replace(deadline=Deadline.after(10)))


# --- tokens -----------------------------------------------------------------------------


class OwnTokens(Sound):
    """Gives out tokens of its own making; all clients of a place share the table of them."""

    tables: ClassVar[dict[str, dict[Token | None, Token]]] = {}

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.table = self.tables.setdefault(place, {})

    def make(self, swap: Swap) -> Token:
        """A new token, and no good one."""
        return bytes(len(swap.data) + 1)

    @override
    def do_read(
        self, name: str, known: Token | None, deadline: Deadline
    ) -> Register | Unchanged | None:
        there = self.now(name)
        if there is None:
            return None
        token = self.table[there.token]
        return UNCHANGED if token == known else Register(there.data, token)

    @override
    def do_swap(self, swap: Swap) -> Token:
        there = self.now_token(swap.name)
        if swap.expected != self.table.get(there):
            raise SwapConflict
        token = super().do_swap(swap._replace(expected=there))
        self.table[token] = self.make(swap)
        return self.table[token]


class TokenFromContent(OwnTokens):
    """A hash of the data: old data brings its old token back."""

    @override
    def make(self, swap: Swap) -> Token:
        return hashlib.sha256(swap.data).digest()


class TokenCountedByClient(OwnTokens):
    """Each client counts its own swaps."""

    count = 0

    @override
    def make(self, swap: Swap) -> Token:
        self.count += 1
        return b"%d" % self.count


class TokenCountedByRegister(OwnTokens):
    """A version for each register: two registers at version 1 have one token."""

    counts: ClassVar[dict[tuple[str, str], int]] = {}

    @override
    def make(self, swap: Swap) -> Token:
        where = (self.place, swap.name)
        self.counts[where] = self.counts.get(where, 0) + 1
        return b"%d" % self.counts[where]


# --- reads ------------------------------------------------------------------------------


class UnchangedFromCache(Sound):
    """Says unchanged of what it was asked about before."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.unchanged: set[Token | None] = set()

    @override
    def do_read(
        self, name: str, known: Token | None, deadline: Deadline
    ) -> Register | Unchanged | None:
        answer = UNCHANGED if known in self.unchanged else super().do_read(name, known, deadline)
        if answer is UNCHANGED:
            self.unchanged.add(known)
        return answer


class LaggingReplica(Sound):
    """Reads from a copy that is one read behind."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.copies: dict[str, Register | None] = {}

    @override
    def do_read(
        self, name: str, known: Token | None, deadline: Deadline
    ) -> Register | Unchanged | None:
        new = self.now(name)
        old = self.copies.get(name, new)
        self.copies[name] = new
        return UNCHANGED if old and old.token == known else old


class EmptyIsAbsent(Sound):
    """Takes empty data for none."""

    @override
    def do_read(
        self, name: str, known: Token | None, deadline: Deadline
    ) -> Register | Unchanged | None:
        answer = super().do_read(name, known, deadline)
        return None if isinstance(answer, Register) and not answer.data else answer


class LineEndsTranslated(Sound):
    """Stores bytes as text."""

    @override
    def do_swap(self, swap: Swap) -> Token:
        return super().do_swap(swap._replace(data=swap.data.replace(b"\r\n", b"\n")))


class LibraryErrorLeaked(Sound):
    """Lets the client library's own exception out."""

    @override
    def do_read(
        self, name: str, known: Token | None, deadline: Deadline
    ) -> Register | Unchanged | None:
        if self.now(name) is None:
            raise KeyError(name)
        return super().do_read(name, known, deadline)


class ReadOfUnknownOutcome(Sound):
    """Raises of a read what only a write can be."""

    @override
    def do_read(
        self, name: str, known: Token | None, deadline: Deadline
    ) -> Register | Unchanged | None:
        if self.now(name) is None:
            raise OutcomeUnknown("no answer")
        return super().do_read(name, known, deadline)


class NamesFolded(Sound):
    """Keeps names as a file system does that ignores case."""

    @override
    def do_read(
        self, name: str, known: Token | None, deadline: Deadline
    ) -> Register | Unchanged | None:
        return super().do_read(name.lower(), known, deadline)

    @override
    def do_swap(self, swap: Swap) -> Token:
        return super().do_swap(swap._replace(name=swap.name.lower()))


# --- blobs ------------------------------------------------------------------------------


class ListByStringPrefix(Sound):
    """Lists the blobs of every config whose name begins alike."""

    @override
    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        for each in (name, f"{name}0", f"{name}-", f"{name}."):
            yield from super().list_blobs(each, deadline=deadline)


class ListCutShort(Sound):
    """Forgets to ask for the second page."""

    @override
    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        return iter([*super().list_blobs(name, deadline=deadline)][:500])


class PartsListed(Sound):
    """Lists the parts of a blob that was split."""

    @override
    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        part = 1024 * 1024
        for info in super().list_blobs(name, deadline=deadline):
            for start in range(0, info.size, part):
                yield BlobInfo(f"{info.blob}.{start}", min(part, info.size - start))


class RangesIgnored(Sound):
    """Gives the whole blob."""

    @override
    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        return super().get_blobs(name, [BlobRange(each.blob) for each in wanted], deadline=deadline)


class EachBlobOnce(Sound):
    """Answers a blob once, however often it was wanted."""

    @override
    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        return super().get_blobs(name, list(dict.fromkeys(wanted)), deadline=deadline)


class AbsentBlobLeftOut(Sound):
    """Answers only the blobs that exist."""

    @override
    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        found = super().get_blobs(name, wanted, deadline=deadline)
        return [each for each in found if each is not None]


class DeleteForgotten(Sound):
    """Deletes only the first of many."""

    @override
    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        super().delete_blobs(name, blobs[:1], deadline=deadline)


# --- the rest ---------------------------------------------------------------------------


class WaitNeverWakes(Sound):
    """Sleeps until the deadline."""

    @override
    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        cancel.wait(deadline.remaining())


class WaitDeafToCancel(Sound):
    """Does not look at `cancel`."""

    @override
    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        super().wait(name, known, deadline=deadline, cancel=threading.Event())


class WaitSpins(Sound):
    """Returns at once, always."""

    @override
    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        return


class CloseLeavesThread(Sound):
    """Leaves a thread behind."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        idle = threading.Event()
        threading.Thread(target=idle.wait, args=(20,), daemon=True, name="poller").start()


class CloseLeavesFile(Sound):
    """Leaves a file open."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        os.open(__file__, os.O_RDONLY)


class CloseTwiceFails(Sound):
    """Is not idempotent."""

    closed = False

    @override
    def close(self) -> None:
        if self.closed:
            raise Closed("closed already")
        self.closed = True
        super().close()


class UsableAfterClose(Sound):
    """Connects again by itself."""

    @override
    def close(self) -> None:
        return


class UselessAfterFork(Sound):
    """Goes on with its parent's connection in a forked child, which answers there no more."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.process = os.getpid()

    @override
    def do_swap(self, swap: Swap) -> Token:
        if self.process != os.getpid():
            raise StoreError("broken pipe")
        return super().do_swap(swap)


class SharedInNameOnly(Sound):
    """Claims that other processes see it."""

    @property
    @override
    def guarantees(self) -> frozenset[Guarantee]:
        return super().guarantees | {Guarantee.SHARED}


class FigureWithoutReason(Sound):
    """Sets a limit and does not say why."""

    @override
    def limits(self, name: str) -> Limits:
        return Limits(register_budget=4096, push_wait=True)


# --- the suite on each of them --------------------------------------------------------------


@pytest.fixture
def place() -> str:
    return uuid.uuid4().hex


for _name, _broken in list(globals().items()):
    if isinstance(_broken, type) and issubclass(_broken, Sound):
        # At the top level, where processes that the suite starts find it.
        globals()[f"Test{_name}"] = type(
            f"Test{_name}",
            (SubstrateSuite,),
            {"open_client": staticmethod(_broken), "wake_within": 0.5, "__module__": __name__},
        )
