"""What every group of the substrate suite stands on: clients, names, and the checks after a test."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from discfg_core.engine import Guarantee
from discfg_core.substrate import UNCHANGED, BlobRange, Register
from discfg_core.testing.invariants import Leaks
from discfg_core.testing.processes import Opener, run_in_processes, run_in_threads
from discfg_core.testing.substrate_client import Client, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Blobs beyond so many, or this size, are not read again after a test: only listed.
_BLOBS_AUDITED = 20
_AUDITED_SIZE = 1024 * 1024

# What a closed client may take to be gone, in seconds.
LEAK_PATIENCE = 3.0


class Lab:
    """A test's clients and names, and what is checked of them when it is over."""

    def __init__(self, opener: Opener, place: Any) -> None:
        self.opener = opener
        self.place = place
        self.ledger = Ledger()
        self._clients: list[Client] = []
        self._names: list[str] = []

    def open(self) -> Client:
        """A client of its own, closed after the test at the latest."""
        client = Client(self.opener(self.place), self.ledger)
        self._clients.append(client)
        return client

    def new_name(self) -> str:
        """A name that no test used before; the place may be older than this test."""
        return f"t{secrets.token_hex(6)}"

    def provision(self, client: Client, *names: str) -> str:
        """Make these names ready; they are checked, and their blobs deleted, after the test.

        Returns:
            The first of them.
        """
        for name in names:
            client.provision(name, {})
            self._names.append(name)
        return names[0]

    def finish(self) -> None:
        """Check each name through a client that has seen nothing yet, then clean up."""
        observer = self.open()
        there = set(observer.names())
        for name in self._names:
            _audit(observer, name, there)
            observer.delete_blobs(name, list(observer.sizes(name)))
            assert not observer.sizes(name), f"{name}: deleted blobs are still listed"
            left = observer.read(name)
            observer.drop(name, left.token if isinstance(left, Register) else None)

    def close(self) -> None:
        """Close every client."""
        for client in self._clients:
            client.close()

    def crowd(self, task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run a task, see `processes`, with each of the arguments at once and a client for each.

        In a process each where the store is shared between processes, else in threads. The
        task gets the `Line`, its client, and the arguments.
        """
        client = self.open()
        shared = Guarantee.SHARED in client.guarantees
        client.close()
        if shared:
            calls = [(self.opener, self.place, task, each) for each in arguments]
            return run_in_processes(with_own_client, calls)
        # One ledger for all, which spawned processes cannot have.
        return run_in_threads(task, [(self.open(), *each) for each in arguments])


def with_own_client(
    line: Any, opener: Opener, place: Any, task: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    """A task: another task, with a client opened for it in this process."""
    client = Client(opener(place), Ledger())
    try:
        return task(line, client, *arguments)
    finally:
        client.close()


def _audit(client: Client, name: str, there: set[str]) -> None:
    answer = client.read(name)
    if isinstance(answer, Register):
        assert client.read(name, answer.token) is UNCHANGED, f"{name} changes by itself"
        assert name in there, f"{name} exists and is not among the names"
    sizes = client.sizes(name)
    small = [blob for blob, size in sizes.items() if size <= _AUDITED_SIZE][:_BLOBS_AUDITED]
    found = client.get_blobs(name, [BlobRange(blob) for blob in small])
    for blob, data in zip(small, found, strict=True):
        assert data is not None, f"{name}: blob {blob} is listed and does not exist"
        assert len(data) == sizes[blob], (
            f"{name}: blob {blob} is listed with {sizes[blob]} bytes and has {len(data)}"
        )


class SubstrateBase:
    """What a test class gives, and what its tests get.

    A test class defines two things. A static method `open_client`: takes a place and returns
    a new client of the store there, in whatever process. A fixture `place`: where that is,
    anything that can be pickled. It may be new for each test or serve them all: the suite
    uses fresh names, and leaves their registers behind.
    """

    wake_within: ClassVar[float] = 20.0
    """Seconds within which `wait` must tell of a swap by another client."""

    @pytest.fixture
    def lab(self, place: Any) -> Iterator[Lab]:
        """The test's clients and names; the invariants are checked when it is over."""
        opener = Opener.of(type(self))
        # What the client library sets up once a process is no leak of a client.
        warm = Lab(opener, place)
        client = warm.open()
        client.read(warm.new_name())
        client.close()
        leaks = Leaks()
        lab = Lab(opener, place)
        try:
            yield lab
            lab.finish()
        finally:
            lab.close()
        leaks.assert_none(LEAK_PATIENCE)

    @pytest.fixture
    def client(self, lab: Lab) -> Client:
        """A client."""
        return lab.open()

    @pytest.fixture
    def other(self, lab: Lab) -> Client:
        """Another client of the same store."""
        return lab.open()

    @pytest.fixture
    def name(self, lab: Lab, client: Client) -> str:
        """A name that is ready, with no register yet."""
        return lab.provision(client, lab.new_name())
