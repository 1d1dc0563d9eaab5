"""What every group of the engine suite stands on: clients, configs, and the checks after a test."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import pytest

from discfg_core.engine import Guarantee
from discfg_core.errors import ConfigNotFound
from discfg_core.testing.engine_client import Client, Config
from discfg_core.testing.invariants import Leaks, assert_checked, assert_sound
from discfg_core.testing.processes import Opener, run_in_processes, run_in_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from discfg_core.testing.processes import Line

P = ParamSpec("P")
R = TypeVar("R")


class Lab:
    """A test's clients and configs, and what is checked of them when it is over."""

    def __init__(self, opener: Opener, place: Any, test: str) -> None:
        self.opener = opener
        self.place = place
        self._test = re.sub(r"[^A-Za-z0-9]+", "-", test).strip("-")[:60]
        self._clients: list[Client] = []
        self._names: list[str] = []

    def open(self) -> Client:
        """A client of its own, closed after the test at the latest."""
        client = Client(self.opener(self.place))
        self._clients.append(client)
        return client

    def name(self) -> str:
        """A config's name that no other test uses; what it names is checked after the test."""
        name = f"t-{uuid.uuid4().hex[:12]}-{self._test}"
        self._names.append(name)
        return name

    def branch(self) -> Lab:
        """Another at the same place, for one of many runs within a test."""
        return Lab(self.opener, self.place, self._test)

    def finish(self) -> None:
        """Check each config through a client that has seen nothing yet, and through each other."""
        observer = self.open()
        for name in self._names:
            if exists(observer, name):
                assert_sound(observer, name)
            else:
                # Never created; or the store keeps nothing of what was deleted.
                with suppress(ConfigNotFound):
                    assert_checked(observer, name)

    def close(self) -> None:
        """Close every client."""
        for client in self._clients:
            client.close()


def exists(client: Client, name: str) -> bool:
    """Whether there is such a config. Not by the list: it may be long, in a store that is used."""
    try:
        client.config(name).info()
    except ConfigNotFound:
        return False
    return True


class Crowd:
    """Several workers at once: threads of one client, of two, or a client for each.

    The last are processes where the store is shared, else threads.
    """

    KINDS = ("threads of one client", "threads of two clients", "a client each")

    def __init__(self, kind: str, lab: Lab, clients: Sequence[Client]) -> None:
        # A process takes far longer to start than a thread.
        self.size = 4 if kind == "a client each" else 16
        self._kind = kind
        self._lab = lab
        self._clients = clients

    def run(
        self, work: Callable[Concatenate[Client, P], R], arguments: Sequence[tuple[Any, ...]]
    ) -> list[R]:
        """Run `work`, a function of `engine_workers`, with each of the arguments at once.

        Returns:
            What they returned, in the order of the arguments.
        """
        if self._kind == "a client each":
            run = run_in_processes if is_shared(self._clients[0]) else run_in_threads
            each = [(self._lab.opener, self._lab.place, work, args) for args in arguments]
            return run(with_own_client, each)
        share = self._clients[: 1 if self._kind == "threads of one client" else 2]
        return run_in_threads(
            with_client,
            [(share[index % len(share)], work, args) for index, args in enumerate(arguments)],
        )


def with_client(
    line: Line, client: Client, work: Callable[..., R], arguments: tuple[Any, ...]
) -> R:
    """A task: work through a client that is there."""
    line.ready()
    return work(client, *arguments)


def with_own_client(
    line: Line, opener: Opener, place: Any, work: Callable[..., R], arguments: tuple[Any, ...]
) -> R:
    """A task: work through a client opened for it."""
    client = Client(opener(place))
    try:
        exists(client, "connected")
        line.ready()
        return work(client, *arguments)
    finally:
        client.close()


def is_shared(client: Client) -> bool:
    """Whether other processes see what this client writes."""
    return Guarantee.SHARED in client.engine.guarantees


class EngineCase:
    """What a test class gives, and what its tests get.

    A test class defines two things. A static method `open_client`: takes a place and returns
    a new client of the store there, in whatever process. A fixture `place`: where that is,
    anything that can be pickled. It may be new for each test or serve them all: the suite uses
    fresh names, and leaves their configs behind.
    """

    @staticmethod
    def url(place: Any) -> str | None:
        """The URL under which `discfg_core.connect` finds the store at `place`, if it has one."""
        return None

    @pytest.fixture
    def lab(self, place: Any, request: pytest.FixtureRequest) -> Iterator[Lab]:
        """The test's clients and configs; the invariants are checked when it is over."""
        opener = Opener.of(type(self))
        # What the client library sets up once a process is no leak of a client.
        warm = Client(opener(place))
        exists(warm, "connected")
        warm.close()
        leaks = Leaks()
        lab = Lab(opener, place, request.function.__name__)
        try:
            yield lab
            lab.finish()
        finally:
            lab.close()
        leaks.assert_none()

    @pytest.fixture
    def client(self, lab: Lab) -> Client:
        """A client."""
        return lab.open()

    @pytest.fixture
    def other(self, lab: Lab) -> Client:
        """Another client of the same store."""
        return lab.open()

    @pytest.fixture
    def name(self, lab: Lab) -> str:
        """The name of a config that does not exist."""
        return lab.name()

    @pytest.fixture
    def config(self, client: Client, name: str) -> Config:
        """A new, empty config."""
        return client.new(name)

    @pytest.fixture
    def twin(self, config: Config, other: Client) -> Config:
        """The same config, held by the other client."""
        return config.seen_by(other)

    @pytest.fixture(params=Crowd.KINDS)
    def crowd(
        self, request: pytest.FixtureRequest, lab: Lab, client: Client, other: Client
    ) -> Crowd:
        """Workers that race; the test runs once with each kind."""
        return Crowd(request.param, lab, (client, other))
