"""What a system's error means: is it certain that nothing happened, and whose move is it now?"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from discfg_core.errors import AccessDenied, StoreError, StoreFull, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_PERMISSIONS: Final = "this user needs to read and write the directory and all in it"

# The whole table. Every one is certain: what cannot be told is decided where it arises, after
# the rename of a swap.
_MEANINGS: Final[dict[int, tuple[type[StoreError], str]]] = {
    errno.EACCES: (AccessDenied, _PERMISSIONS),
    errno.EPERM: (AccessDenied, _PERMISSIONS),
    errno.EROFS: (AccessDenied, "the file system is mounted read-only"),
    errno.ENOSPC: (StoreFull, "free some space"),
    errno.EDQUOT: (StoreFull, "free some space, or have the quota raised"),
    errno.EMFILE: (StoreUnavailable, "raise the limit on open files (ulimit -n)"),
    errno.ENFILE: (StoreUnavailable, "raise the system's limit on open files"),
}


def translate(error: OSError, root: Path) -> StoreError:
    """What to raise for the system's error, which becomes its cause; nothing happened."""
    kind, hint = _MEANINGS.get(error.errno or 0, (StoreUnavailable, f"look at {root}"))
    return kind(f"{root}: {error.strerror}", engine="files", hint=hint)
