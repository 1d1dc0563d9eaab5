"""The register and the blobs of ``etcd://``: keys under one prefix, swapped by transactions."""

# ruff: noqa: ARG002 - the signatures are those of the contract

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from discfg_core.clock import Deadline
from discfg_core.engine import Finding, Guarantee
from discfg_core.errors import Corrupt, DiscfgError, InvalidName, StoreError
from discfg_core.keys import check_name
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
from discfg_core.urls import StoreURL
from discfg_etcd import diagnose, messages, watch
from discfg_etcd.access import access_of
from discfg_etcd.blobs import Blobs, split_riding
from discfg_etcd.client import Client
from discfg_etcd.layout import NONCE_BYTES, Layout, Span, prefix_of
from discfg_etcd.messages import Message
from discfg_etcd.profile import GUARANTEES, LIMITS

_NAMES_PAGE: Final = 5_000
_REVISION_BYTES: Final = 8
# More than the keys, conditions and reads of a swap add to it.
_SWAP_BYTES: Final = 8 * 1024


class _Stand(NamedTuple):
    """What a token says: the store's revision that wrote the register, and its random bytes.

    A revision alone may come twice: in a cluster that was restored from a backup.
    """

    revision: int
    nonce: bytes

    def token(self) -> Token:
        return self.revision.to_bytes(_REVISION_BYTES, "big") + self.nonce


class EtcdSubstrate:
    """Linearizable, durable, and shared by all who reach the cluster; see the package.

    Args:
        url: ``etcd://[user[:password]@]host[:port][,…]/prefix``. Nothing is sent yet.

    Raises:
        InvalidURL, InvalidOption, FileUnreadable: See `discfg_etcd.open_engine`.
    """

    scheme: Final = "etcd"
    guarantees: Final[frozenset[Guarantee]] = GUARANTEES

    def __init__(self, url: StoreURL) -> None:
        self._layout = Layout(prefix_of(url))
        self._client = Client(access_of(url))
        self._blobs = Blobs(self._client, self._layout)

    def limits(self, name: str) -> Limits:
        """As in `Substrate.limits`."""
        return LIMITS

    # --- registers ---

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """As in `Substrate.read`; one request, and an unchanged register does not travel.

        Raises:
            StoreError: See `discfg_etcd.errors`.
            Timeout: The deadline had passed.
            Closed: This was closed.
        """
        with self._locating(name):
            if known is None:
                request = messages.txn([], self._get(name))
            else:
                request = messages.txn(self._is_at(name, known), failure=self._get(name))
            answer = self._client.call("Txn", request, deadline, size=LIMITS.register_max)
            return self._register(answer) if answer.responses else UNCHANGED

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """As in `Substrate.swap`; one transaction with the blobs, as far as they fit into it.

        Raises:
            SwapConflict: With the register as it is, from the same round trip.
            OutcomeUnknown: It was sent, and its answer never came.
            StoreError: Nothing happened; see `discfg_etcd.errors`.
            Timeout: The deadline had passed.
            Closed: This was closed.
        """
        nonce = os.urandom(NONCE_BYTES)
        with self._locating(name):
            if len(data) > LIMITS.register_max:
                raise StoreError(
                    f"a register of {len(data):,} bytes is larger than {LIMITS.register_max:,}"
                )
            riding, before = split_riding(
                [self._layout.parts(name, blob, bytes(each)) for blob, each in blobs.items()],
                len(data) + _SWAP_BYTES,
            )
            self._blobs.put(before, deadline)
            request = messages.txn(
                self._is_at(name, expected),
                [
                    *(messages.put(key, value) for key, value in riding),
                    messages.put(self._layout.nonce(name), nonce),
                    messages.put(self._layout.register(name), bytes(data)),
                ],
                self._get(name),
            )
            answer = self._client.call(
                "Txn", request, deadline, write=True, size=request.ByteSize()
            )
            if not answer.succeeded:
                raise SwapConflict(current=self._register(answer))
            return _Stand(answer.header.revision, nonce).token()

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """As in `Substrate.names`, sorted, in pages; one made meanwhile may be missed.

        Raises:
            StoreError, Timeout, Closed: Now, or while iterating.
        """
        self._client.check_open()
        return self._names(deadline)

    def _names(self, deadline: Deadline) -> Iterator[str]:
        span = self._layout.registers
        with self._locating(None):
            while True:
                request = messages.scan(span, limit=_NAMES_PAGE, keys_only=True)
                answer = self._client.call("Range", request, deadline, size=_NAMES_PAGE * 256)
                for kv in answer.kvs:
                    name = self._layout.register_name(kv.key)
                    if _is_name(name):
                        yield name
                if not answer.more:
                    return
                span = Span(answer.kvs[-1].key + b"\0", span.end)

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """As in `Substrate.wait`; the server tells of a swap, `cancel` is noticed within 50 ms.

        Raises:
            StoreError: The register cannot be looked at now.
            Closed: This was closed, before or meanwhile.
        """

        def unchanged_since() -> int | None:
            request = messages.txn(
                self._is_at(name, known),
                [messages.get(self._layout.register(name), keys_only=True)],
                [messages.get(self._layout.register(name), keys_only=True)],
            )
            answer = self._client.call("Txn", request, deadline)
            revision: int = answer.header.revision
            return revision if answer.succeeded else None

        with self._locating(name):
            self._client.check_open()
            watch.wait(self._client, self._layout.register(name), unchanged_since, deadline, cancel)

    # --- blobs ---

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """As in `Substrate.get_blobs`; 128 blobs a request, and 32 more parts of large ones.

        Raises:
            StoreError, Timeout, Closed: See `read`.
        """
        with self._locating(name):
            self._client.check_open()
            return self._blobs.get(name, wanted, deadline)

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """As in `Substrate.put_blob`; one request for each 1.3 MiB.

        Raises:
            OutcomeUnknown, StoreError, Timeout, Closed: See `swap`.
        """
        with self._locating(name):
            self._blobs.put([self._layout.parts(name, blob, bytes(data))], deadline)

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """As in `Substrate.delete_blobs`, 128 at a time.

        Raises:
            OutcomeUnknown, StoreError, Timeout, Closed: See `swap`.
        """
        with self._locating(name):
            self._client.check_open()
            self._blobs.delete(name, blobs, deadline)

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """As in `Substrate.list_blobs`, sorted, in pages; a blob put meanwhile may be missed.

        A put that never ended is listed too, so that what is left of it can be deleted.

        Raises:
            StoreError, Timeout, Closed: Now, or while iterating.
        """
        self._client.check_open()
        return self._list_blobs(name, deadline)

    def _list_blobs(self, name: str, deadline: Deadline) -> Iterator[BlobInfo]:
        with self._locating(name):
            yield from self._blobs.list(name, deadline)

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

    # --- life ---

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """As in `Substrate.diagnose`. Raises `Closed`."""
        self._client.check_open()
        return diagnose.findings(self._client, self._layout, deadline)

    def after_fork(self) -> None:
        """As in `Substrate.after_fork`; a fork that Python knows of has done it already."""
        self._client.after_fork_in_child()

    def close(self) -> None:
        """Ends what is under way, and every connection."""
        self._client.close()

    # --- transactions on a register ---

    def _is_at(self, name: str, token: Token | None) -> list[Message]:
        """The conditions under which the register is at this token."""
        if token is None:
            return [messages.is_absent(self._layout.register(name))]
        revision = int.from_bytes(token[:_REVISION_BYTES], "big", signed=True)
        return [
            messages.revision_is(self._layout.register(name), max(revision, 1)),
            messages.value_is(self._layout.nonce(name), token[_REVISION_BYTES:]),
        ]

    def _get(self, name: str) -> list[Message]:
        return [messages.get(self._layout.register(name)), messages.get(self._layout.nonce(name))]

    @staticmethod
    def _register(answer: Message) -> Register | None:
        """The register, as the reads of `_get` found it.

        Raises:
            Corrupt: A part of it is missing.
        """
        registers, nonces = (each.kvs for each in messages.ranges(answer))
        if not registers:
            return None
        if not nonces:
            # Nobody would ever swap it again; and it was surely not written by a swap.
            raise Corrupt(f"{registers[0].key.decode(errors='replace')} has lost its other key")
        return Register(
            registers[0].value, _Stand(registers[0].mod_revision, nonces[0].value).token()
        )

    @contextmanager
    def _locating(self, name: str | None) -> Iterator[None]:
        try:
            yield
        except DiscfgError as error:
            error.locate(engine=self.scheme, config=name)
            raise


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except InvalidName:
        return False
    return True


if TYPE_CHECKING:
    _fits: type[Substrate] = EtcdSubstrate
