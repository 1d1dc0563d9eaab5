"""The contract a plugin author implements: a register and a blob store.

A *register* per config holds the config's head and changes by compare-and-swap. *Blobs* are
immutable bytes under a name, written once. The core builds all else on these two, see
`discfg_core.versioned`.

What holds for every method:

* **Thread-safety.** Any method, from any number of threads.
* **Deadline.** The call returns or raises by it; it may be exceeded by no more than the
  store's own rounding.
* **No retries.** The client library's own are off for `swap`: a library that repeats a
  conditional write takes its own success for a conflict. The core retries.
* **Errors** are `DiscfgError` subclasses with the store's own as the cause, each decided as
  *certain* (it did not happen: throttled, refused, full, never connected) or *unknown*
  (`OutcomeUnknown`: time-out, reset, 5xx). Reads are always certain.
* **Names.** `name` is a config's name as `keys.check_name` accepts it; a blob's name is 1 to
  100 of ``[A-Za-z0-9._-]``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from discfg_core.clock import Deadline
from discfg_core.engine import Finding, Guarantee
from discfg_core.errors import DiscfgError
from discfg_core.model import ConfigState

Token: TypeAlias = bytes
"""What a register's content is known by. Opaque, and never the same for two swaps."""


class Register(msgspec.Struct, frozen=True):
    """A register as it was read."""

    data: bytes
    token: Token


class Unchanged:
    """The answer of `Substrate.read` that the register still has the known token."""

    __slots__ = ()


UNCHANGED: Final = Unchanged()

Current: TypeAlias = Register | Literal["not told"] | None
NOT_TOLD: Final = "not told"


class SwapConflict(DiscfgError):
    """Raised when a register is not what was expected; this swap surely did nothing.

    Attributes:
        current: The register as it is (``None``: absent) where the store told it in the same
            round trip, else `NOT_TOLD`.
    """

    code = "swap_conflict"

    def __init__(
        self,
        message: str = "the register has moved on",
        *,
        current: Current = NOT_TOLD,
        **where: Any,
    ) -> None:
        super().__init__(message, **where)
        self.current = current


class BlobRange(msgspec.Struct, frozen=True):
    """A blob, or `length` bytes of it from `start`."""

    blob: str
    start: int = 0
    length: int | None = None


class BlobInfo(msgspec.Struct, frozen=True):
    """A blob, as listed."""

    blob: str
    size: int


class Native(msgspec.Struct, frozen=True):
    """A config's native resource, as the store reports it."""

    state: ConfigState = ConfigState.ACTIVE
    settings: Mapping[str, Any] = {}


class Limits(msgspec.Struct, frozen=True):
    """A store's figures, which shape what the core sends; the default of each is no limit.

    Attributes:
        register_budget: Bytes a register should stay under, for what overwriting it costs.
        register_max: Bytes it cannot exceed.
        blob_max: Bytes of one blob, after any splitting by the substrate.
        min_swap_interval: Seconds between two swaps of one register that the store takes.
        blobs_ride: The blobs of a swap are in its transaction: they cost no request of their
            own, so that each commit's record is a blob and the register stays small.
        push_wait: `wait` is told by the store and does not poll.
        why: A reason for each figure that was set, by its name.
    """

    register_budget: int = 64 * 1024
    register_max: int = 1 << 40
    blob_max: int = 1 << 40
    min_swap_interval: float = 0.0
    blobs_ride: bool = False
    push_wait: bool = False
    why: Mapping[str, str] = {}


@runtime_checkable
class Substrate(Protocol):
    """One store. What holds for all methods is said in the module."""

    @property
    def scheme(self) -> str:
        """The URL scheme."""

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """What the store promises."""

    def limits(self, name: str) -> Limits:
        """The figures for this config; nothing is sent."""

    # --- registers ---

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """Linearizable: it sees every swap that was acknowledged before it began.

        Returns:
            The register; `UNCHANGED` where its token is still `known`; ``None`` where there
            is none, `known` or not.

        Raises:
            StoreError: The store cannot be read now.
        """

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """Atomic: the register becomes `data` iff its token is `expected` (``None``: iff absent).

        `blobs` are durable before the register changes. When it does not change they may be
        left behind or not; the caller never refers to them again.

        Returns:
            The new token, from the write's own response, never from a later read.

        Raises:
            SwapConflict: The token is another one; nothing happened.
            OutcomeUnknown: It may have happened, or happen later.
            StoreError: Nothing happened.
        """

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """The registers that exist, in any order.

        Raises:
            StoreError: The store cannot be read now.
        """

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """Returns when the register has probably moved on from `known`, `cancel` is set, or the
        deadline has passed; which of them is not told, and it may return early.

        Raises:
            StoreError: The store cannot be read now.
        """

    # --- blobs ---

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """The bytes asked for, in that order; ``None`` for a blob that does not exist.

        Raises:
            StoreError: The store cannot be read now.
        """

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """Durable when it returns, and never visible in part. Idempotent for equal bytes; no
        name is ever used for two contents.

        Raises:
            OutcomeUnknown: It may be there; putting it again is safe.
            StoreError: It is not there.
        """

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """They are gone when it returns; idempotent, absent ones are fine. Not atomic.

        Raises:
            OutcomeUnknown: Some may be gone; deleting again is safe.
            StoreError: None, or some, are gone.
        """

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """All of a config's blobs that were durable before it began and not deleted since, in
        any order; never one of another config.

        Raises:
            StoreError: The store cannot be read now.
        """

    # --- the native resource of a config, where there is one ---

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Whether `provision` could take these; nothing is sent. What the store does not know
        is the application's own, and fine.

        Raises:
            InvalidSettings: The store cannot take these.
        """

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        """Make the native resource ready to be used, and change it to what `settings` say;
        repeatable. The change itself may go on after it returned, see `describe`.

        Raises:
            InvalidSettings: The store cannot take these.
            StoreError: It is not ready.
        """

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        """The native resource as it is.

        Raises:
            StoreError: The store cannot be read now.
        """

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        """Remove the native resource, with all that is in it, iff the register's token is
        `expected` (``None``: iff there is no register). Where it is another one the name is in
        use anew, and nothing happens. A store without native resources does nothing, and keeps
        the register. Repeatable.

        No swap may succeed on a resource once it is bound to go: whoever creates anew either
        comes first, and keeps it, or gets `SwapConflict`.

        Raises:
            StoreError: It is still there.
        """

    # --- the store as a whole ---

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """As `StorageEngine.diagnose`."""

    # --- life ---

    def after_fork(self) -> None:
        """Called in the child of a `fork`: forget, without closing them, the connections and
        locks inherited from the parent, and begin anew.
        """

    def close(self) -> None:
        """Idempotent; no thread, socket or file is left. Later calls raise `Closed`."""
