"""What threads want of the committer: to write, to know what became of a write, to store a state."""

from __future__ import annotations

import time

from discfg_core.engine import ConfigHandle
from discfg_core.errors import DiscfgError
from discfg_core.model import Commit
from discfg_core.versioned.format import StateRef
from discfg_core.versioned.history import Resolved
from discfg_core.versioned.prepare import Prepared


class Work:
    """What one thread wants of the committer, and what became of it.

    Attributes:
        handle: The config it means.
        submitted: Monotonic seconds at which it came.
        commit: The answer, where there is one; `error` else.
        answered: Whether either is valid.
        in_doubt: Whether a swap with it may have happened.
        place: The incarnation and revision it was last judged on.
    """

    __slots__ = ("answered", "commit", "error", "handle", "in_doubt", "place", "submitted")

    def __init__(self, handle: ConfigHandle) -> None:
        self.handle = handle
        self.submitted = time.monotonic()
        self.commit: Commit | None = None
        self.error: DiscfgError | None = None
        self.answered = False
        self.in_doubt = False
        self.place: tuple[str, int] | None = None

    @property
    def weight(self) -> int:
        """Bytes it adds to a batch, roughly."""
        return 0

    def answer(self, verdict: Commit | DiscfgError | None) -> None:
        """Give the answer, unless there is one already."""
        if self.answered:
            return
        if isinstance(verdict, DiscfgError):
            self.error = verdict
        else:
            self.commit = verdict
        self.answered = True


class Write(Work):
    """A transaction."""

    __slots__ = ("prepared",)

    def __init__(self, handle: ConfigHandle, prepared: Prepared) -> None:
        super().__init__(handle)
        self.prepared = prepared

    @property
    def weight(self) -> int:
        """Bytes it adds to a batch, roughly."""
        return self.prepared.weight


class Ask(Work):
    """The question what became of a commit id.

    Attributes:
        searched: The incarnation and revision up to which it was searched for.
        found: What that search found.
    """

    __slots__ = ("commit_id", "found", "searched")

    def __init__(self, handle: ConfigHandle, commit_id: str) -> None:
        super().__init__(handle)
        self.commit_id = commit_id
        self.searched = ("", 0)
        self.found: Resolved | None = None


class Fold(Work):
    """A state that was written, for the head to refer to."""

    __slots__ = ("debt", "state")

    def __init__(self, handle: ConfigHandle, state: StateRef, debt: int) -> None:
        super().__init__(handle)
        self.state = state
        self.debt = debt
