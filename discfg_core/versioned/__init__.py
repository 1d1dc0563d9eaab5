"""`StorageEngine` over a register and blobs: commits, versions, history, compare-and-set.

Read in this order: `format` (what is stored), `state` and `replay` (what commits do to it),
`history`, `snapshot` (a config at one revision), `session` (the cache and the freshness check),
`prepare`, `plan`, `settle`, `lead` and `committer` (how a commit comes about), `engine`.
"""

from discfg_core.versioned.engine import VersionedEngine

__all__ = ["VersionedEngine"]
