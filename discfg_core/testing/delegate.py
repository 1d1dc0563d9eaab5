"""A substrate that hands every call to another: what wrappers are built on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from discfg_core.clock import Deadline
    from discfg_core.engine import Finding, Guarantee
    from discfg_core.substrate import (
        BlobInfo,
        BlobRange,
        Limits,
        Native,
        Register,
        Substrate,
        Token,
        Unchanged,
    )


class DelegatingSubstrate:
    """Every method is the inner substrate's, errors included; a subclass changes some.

    It owns `inner`: closing it closes that one.
    """

    def __init__(self, inner: Substrate) -> None:
        self.inner = inner

    @property
    def scheme(self) -> str:
        """The inner one's."""
        return self.inner.scheme

    @property
    def guarantees(self) -> frozenset[Guarantee]:
        """The inner one's."""
        return self.inner.guarantees

    def limits(self, name: str) -> Limits:
        """See `Substrate.limits`."""
        return self.inner.limits(name)

    def read(
        self, name: str, known: Token | None = None, *, deadline: Deadline
    ) -> Register | Unchanged | None:
        """See `Substrate.read`."""
        return self.inner.read(name, known, deadline=deadline)

    def swap(
        self,
        name: str,
        expected: Token | None,
        data: bytes,
        blobs: Mapping[str, bytes] = {},
        *,
        deadline: Deadline,
    ) -> Token:
        """See `Substrate.swap`."""
        return self.inner.swap(name, expected, data, blobs, deadline=deadline)

    def names(self, *, deadline: Deadline) -> Iterator[str]:
        """See `Substrate.names`."""
        return self.inner.names(deadline=deadline)

    def wait(
        self, name: str, known: Token | None, *, deadline: Deadline, cancel: threading.Event
    ) -> None:
        """See `Substrate.wait`."""
        self.inner.wait(name, known, deadline=deadline, cancel=cancel)

    def get_blobs(
        self, name: str, wanted: Sequence[BlobRange], *, deadline: Deadline
    ) -> list[bytes | None]:
        """See `Substrate.get_blobs`."""
        return self.inner.get_blobs(name, wanted, deadline=deadline)

    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        """See `Substrate.put_blob`."""
        self.inner.put_blob(name, blob, data, deadline=deadline)

    def delete_blobs(self, name: str, blobs: Sequence[str], *, deadline: Deadline) -> None:
        """See `Substrate.delete_blobs`."""
        self.inner.delete_blobs(name, blobs, deadline=deadline)

    def list_blobs(self, name: str, *, deadline: Deadline) -> Iterator[BlobInfo]:
        """See `Substrate.list_blobs`."""
        return self.inner.list_blobs(name, deadline=deadline)

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """See `Substrate.check_settings`."""
        self.inner.check_settings(settings)

    def provision(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> None:
        """See `Substrate.provision`."""
        self.inner.provision(name, settings, deadline=deadline)

    def describe(self, name: str, *, deadline: Deadline) -> Native:
        """See `Substrate.describe`."""
        return self.inner.describe(name, deadline=deadline)

    def drop(self, name: str, expected: Token | None, *, deadline: Deadline) -> None:
        """See `Substrate.drop`."""
        self.inner.drop(name, expected, deadline=deadline)

    def diagnose(self, *, deadline: Deadline) -> Iterator[Finding]:
        """See `Substrate.diagnose`."""
        return self.inner.diagnose(deadline=deadline)

    def after_fork(self) -> None:
        """See `Substrate.after_fork`."""
        self.inner.after_fork()

    def close(self) -> None:
        """See `Substrate.close`."""
        self.inner.close()
