"""A client that writes while something is done to its store, and the judge of what it was told."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from typing import Self, TypeVar

from discfg_core.errors import DiscfgError, OutcomeUnknown
from discfg_core.substrate import SwapConflict
from discfg_core.testing.engine_client import Client, Config
from discfg_core.testing.invariants import assert_sound
from discfg_core.urls import parse
from tests.stores.places import open_client

NAME = "trial"
# What a call may take while a fault is in force. By how much it may outlast that, and how soon
# the same client works again when the store is back, `soak.py` measures; here, a machine may be
# slow, and what fails is a call that waits for something else than its deadline.
TIMEOUT = 1.0
GRACE = 5.0
BACK_WITHIN = 20.0
_LONG = 60.0

T = TypeVar("T")


class Trial:
    """Writes to one config of a store; use it in a ``with``, whose end judges.

    Args:
        url: The store, as the client under test reaches it.
        direct: The store, with nothing in the way.
        secrets: What no error may hold.
    """

    def __init__(self, url: str, direct: str, secrets: tuple[str, ...] = ()) -> None:
        self.scheme = parse(url).scheme
        self.witness = open_client(direct, _LONG)
        self.witness.create(NAME)
        self.client = open_client(url, TIMEOUT)
        self.config = self.client.config(NAME)
        self._patient = Config(Client(self.client.engine, _LONG), self.config.handle)
        self._secrets = (*secrets, os.environ["AWS_SECRET_ACCESS_KEY"])
        self._number = 0
        self.acked: dict[str, int] = {}
        self.refused: list[str] = []
        # What nobody could tell, by the commit's id.
        self.unknown: dict[str, str] = {}
        # A client that is warm sends nothing but the write itself.
        self._patient.set("warm", message="warm")

    def write(self, *, patient: bool = False) -> DiscfgError | None:
        """One write, in time and honest; the error it ended with.

        Args:
            patient: Whether it has far more time than the fault lasts.
        """
        self._number += 1
        message = f"write {self._number}"
        config = self._patient if patient else self.config
        begin = time.monotonic()
        try:
            change = config.set(f"k{self._number}", message.encode(), message=message)
        except DiscfgError as error:
            self.assert_tells(error, begin, config.client.timeout)
            if isinstance(error, OutcomeUnknown):
                # Without an id nobody could ask, and the judge finds that it was told to nobody.
                self.unknown[error.commit_id or ""] = message
            else:
                self.refused.append(message)
            return error
        self.acked[message] = change.revision
        return None

    def fails(self, call: Callable[[], T]) -> DiscfgError:
        """The error of a call that must fail, in time."""
        begin = time.monotonic()
        try:
            answer = call()
        except DiscfgError as error:
            self.assert_tells(error, begin, TIMEOUT)
            return error
        raise AssertionError(f"it succeeded: {answer}")

    def works_again(self) -> None:
        """The same client reads and writes again, soon."""
        begin = time.monotonic()
        self._number += 1
        message = f"write {self._number}"
        timed = Config(Client(self.client.engine, BACK_WITHIN), self.config.handle)
        self.acked[message] = timed.set(f"k{self._number}", message=message).revision
        timed.get("warm")
        took = time.monotonic() - begin
        assert took < BACK_WITHIN, f"the client worked again after {took:.1f} s"

    def assert_tells(self, error: DiscfgError, begin: float, timeout: float) -> None:
        """It came by the deadline, names engine, operation and remedy, and holds no secret."""
        over = time.monotonic() - begin - timeout
        assert over < GRACE, f"{error!r} came {over:.1f} s after the deadline"
        assert not isinstance(error, SwapConflict), "a substrate's own affair"
        assert error.engine == self.scheme, f"{error!r} names the engine {error.engine}"
        assert error.operation, f"{error!r} names no operation"
        assert error.hint, f"{error!r} ({error}) names no remedy"
        told = "".join(traceback.format_exception(error)) + repr(vars(error))
        for secret in self._secrets:
            assert secret not in told, f"{error!r} holds a secret: {told}"

    def judge(self) -> None:
        """What was told is what happened, and both clients say so.

        Raises:
            AssertionError: It is not, or the config is not sound.
        """
        config = self.witness.config(NAME)
        # Asked first: what is said to be undone must not come to be afterwards.
        settled = {}
        for commit_id in self.unknown:
            asked = [each.outcome(commit_id) for each in (self._patient, config)]
            assert asked[0] == asked[1], "two clients were told differently"
            settled[commit_id] = asked[0] and asked[0].revision
        happened: dict[str, int] = {}
        for commit in config.history():
            assert commit.message not in happened, f"{commit.message} is there twice"
            happened[commit.message] = commit.revision
        assert happened.pop("warm") == 1
        for message, revision in self.acked.items():
            assert happened.pop(message, None) == revision, f"{message} was acknowledged"
        for message in self.refused:
            assert message not in happened, f"{message} surely did not happen, and is there"
        for commit_id, message in self.unknown.items():
            found = happened.pop(message, None)
            assert found == settled[commit_id], f"{message}: `outcome` said {settled[commit_id]}"
        assert not happened, f"told to nobody: {happened}"
        assert_sound(self.witness, NAME)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.judge()
        finally:
            self.client.close()
            self.witness.close()
