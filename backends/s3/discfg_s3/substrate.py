"""The register and the blobs of ``s3://``: objects, the register changed by conditional PUT."""

# ruff: noqa: ARG002 - the signatures are those of the contract

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from discfg_core.backoff import jitter
from discfg_core.clock import Deadline
from discfg_core.errors import Corrupt, OutcomeUnknown, StoreUnavailable, Timeout
from discfg_core.substrate import (
    UNCHANGED,
    BlobInfo,
    BlobRange,
    Limits,
    Native,
    Register,
    Substrate,
    SwapConflict,
    Token,
    Unchanged,
)
from discfg_s3 import errors
from discfg_s3.blobs import Blobs, list_keys
from discfg_s3.client import Client, etag, quoted
from discfg_s3.diagnose import diagnose
from discfg_s3.place import understand
from discfg_s3.probe import Probe
from discfg_s3.profile import GUARANTEES, LIMITS, NONCE_BYTES

if TYPE_CHECKING:
    from discfg_core.engine import Finding
    from discfg_core.urls import StoreURL

# Between two looks at a register, in seconds. An idle watcher costs 0.5 $ a month on AWS.
_POLL_FIRST: Final = 0.1
_POLL_LAST: Final = 2.0
_POLL_GROWTH: Final = 1.5
# Seconds for the answer to a swap: SeaweedFS lets the losers of a race wait for one another.
_SWAP_PATIENCE: Final = 10.0


class S3Substrate:
    """Linearizable and durable as S3 is; see the package, and `place` for the objects.

    A register's token is its object's ETag. That is a hash of the content on most stores, so the
    content begins with random bytes: no two swaps write the same.

    Args:
        url: The store's.

    Raises:
        InvalidURL, InvalidOption, FileUnreadable: As for `discfg_s3.open_engine`.
    """

    scheme: Final = "s3"
    guarantees: Final = GUARANTEES

    def __init__(self, url: StoreURL) -> None:
        self._target = understand(url)
        self._limits = msgspec.structs.replace(
            LIMITS, min_swap_interval=self._target.options.min_swap_interval
        )
        self._client = Client(self._target)
        self._blobs = Blobs(self._client)
        self._probe = Probe(self._client)

    def limits(self, name: str) -> Limits:
        """As in `Substrate.limits`."""
        return self._limits

    # --- registers ---

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """As in `Substrate.read`: a GET, conditional where a token is known.

        Raises:
            StoreError, Timeout, Closed: See `discfg_s3.errors`.
        """
        condition: dict[str, Any] = {} if known is None else {"IfNoneMatch": quoted(known.decode())}
        try:
            with errors.located(name):
                answer = self._client.ask(
                    "get_object", deadline=deadline, Key=self._target.place.head(name), **condition
                )
        except errors.NotModified:
            return UNCHANGED
        except errors.Missing:
            return None
        token = etag(answer).encode()
        if token == known:
            # A server that does not know the condition.
            return UNCHANGED
        if not token:
            raise StoreUnavailable("a read was answered without an ETag", engine="s3", config=name)
        data: bytes = answer["Body"]
        if len(data) < NONCE_BYTES:
            raise Corrupt(
                f"{self._target.place}: the register of {name!r} is too short",
                engine="s3",
                config=name,
            )
        return Register(data[NONCE_BYTES:], token)

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """As in `Substrate.swap`: the blobs in parallel, then a conditional PUT, sent once.

        The first register that a client creates, see `discfg_s3.probe`, takes a request more, or
        some fifty where the bucket was never tried.

        Raises:
            SwapConflict: It does not tell the register, unless there is none.
            OutcomeUnknown: S3 failed, or its answer did not come.
            UnsupportedStore: The store is not one that discfg may write to.
            StoreError, Timeout, Closed: Nothing happened.
        """
        try:
            with errors.located(name):
                if expected is None:
                    self._probe.require(deadline)
                    condition = {"IfNoneMatch": "*"}
                else:
                    # Whoever wrote what is expected knew that the store can be trusted.
                    condition = {"IfMatch": quoted(expected.decode())}
                self._blobs.put_all(name, blobs, deadline)
                answer = self._client.change(
                    "put_object",
                    deadline=deadline,
                    patience=_SWAP_PATIENCE,
                    Key=self._target.place.head(name),
                    Body=os.urandom(NONCE_BYTES) + data,
                    ContentType="application/octet-stream",
                    **condition,
                )
        except errors.Missing as error:
            raise SwapConflict(current=None, engine="s3", config=name) from error
        token = etag(answer).encode()
        if not token:
            raise OutcomeUnknown("the write was answered without an ETag", engine="s3", config=name)
        return token

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """As in `Substrate.names`, sorted, a thousand a request. Raises `StoreError`, `Closed`."""
        self._client.check_open()
        heads = self._target.place.heads
        return (key.removeprefix(heads) for key, _ in list_keys(self._client, heads, deadline))

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """As in `Substrate.wait`, by asking: after 0.1 s at first, every 2 s when idle.

        Raises:
            StoreError: The register cannot be read now.
            Closed: This was closed, before or meanwhile.
        """
        self._client.check_open()
        pause = _POLL_FIRST
        while not (cancel.is_set() or deadline.passed()):
            try:
                if self._moved(name, known, deadline):
                    return
            except (StoreUnavailable, Timeout):
                if deadline.passed():
                    return
                raise
            cancel.wait(min(pause / 2 + jitter(pause), deadline.remaining()))
            pause = min(pause * _POLL_GROWTH, _POLL_LAST)

    def _moved(self, name: str, known: Token | None, deadline: Deadline) -> bool:
        condition: dict[str, Any] = {} if known is None else {"IfNoneMatch": quoted(known.decode())}
        try:
            with errors.located(name):
                answer = self._client.ask(
                    "head_object", deadline=deadline, Key=self._target.place.head(name), **condition
                )
        except errors.NotModified:
            return False
        except errors.Missing:
            return known is not None
        return etag(answer).encode() != known

    # --- blobs ---

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """As in `Substrate.get_blobs`, up to 16 at once. Raises `StoreError`, `Closed`."""
        self._client.check_open()
        with errors.located(name):
            return self._blobs.get(name, wanted, deadline)

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """As in `Substrate.put_blob`. Raises `OutcomeUnknown`, `StoreError`, `Closed`."""
        with errors.located(name):
            self._blobs.put(name, blob, data, deadline)

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """As in `Substrate.delete_blobs`, a thousand a request.

        Raises:
            OutcomeUnknown, StoreError, Closed: As in `Substrate.delete_blobs`.
        """
        self._client.check_open()
        with errors.located(name):
            self._blobs.delete(name, blobs, deadline)

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """As in `Substrate.list_blobs`, sorted, in pages; a blob put meanwhile may be missed.

        Raises:
            StoreError, Closed: Now, or while iterating.
        """
        self._client.check_open()
        return self._blobs.list(name, deadline)

    # --- the native resource: there is none ---

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Takes any."""

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        """Nothing to make ready. Raises `Closed`."""
        self._client.check_open()

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        """Always active, without settings of its own. Raises `Closed`."""
        self._client.check_open()
        return Native()

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        """Nothing to remove; the register stays. Raises `Closed`."""
        self._client.check_open()

    # --- the store as a whole ---

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """As in `Substrate.diagnose`. Raises `StoreError`, `Timeout`, `Closed`."""
        self._client.check_open()
        return diagnose(self._client, self._probe, deadline)

    # --- life ---

    def after_fork(self) -> None:
        """As in `Substrate.after_fork`."""
        self._client.after_fork()
        self._probe.after_fork()

    def close(self) -> None:
        """Idempotent; waits for the blobs that are on their way, up to their deadlines."""
        self._client.close()


if TYPE_CHECKING:
    _fits: type[Substrate] = S3Substrate
