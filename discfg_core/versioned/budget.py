"""How much goes where, from a store's limits: every threshold of the engine in one place."""

from __future__ import annotations

from discfg_core.substrate import Limits

_VALUE_BYTES = 4096
_KEY_ALLOWANCE = 1100
_REF_BYTES = 48

RIDING_BYTES = 64 * 1024
"""A riding store takes records as blobs of a swap; they may be so large."""

SMALL_STATE_BYTES = 64 * 1024
"""A state up to this is stored anew with every segment."""

LEAST_DEBT_BYTES = 256 * 1024
"""History that a larger state lets grow before it is stored anew, at least."""

BATCH_BYTES = 1024 * 1024
"""Transactions that one swap takes on."""


def value_bytes(limits: Limits) -> int:
    """A value above this lies in a blob of its own."""
    return min(_VALUE_BYTES, _record_bytes(limits) // 3)


def ops_bytes(limits: Limits) -> int:
    """Operations above this, encoded, lie in a blob, written once however often a race is lost."""
    return max(_record_bytes(limits) // 4, value_bytes(limits) + _KEY_ALLOWANCE)


def riding_bytes(limits: Limits) -> int:
    """A transaction's blobs up to this in all go with its swap."""
    return 4 * RIDING_BYTES if limits.blobs_ride else 0


def tail_bytes(limits: Limits) -> int:
    """Records that wait in the tail before they become a segment."""
    return 4 * RIDING_BYTES if limits.blobs_ride else limits.register_budget * 3 // 8


def tail_items(limits: Limits) -> int:
    """Swaps whose records wait in the tail, however small they are."""
    return min(max(limits.register_budget // (2 * _REF_BYTES), 8), 64)


def state_bytes(limits: Limits) -> int:
    """A state up to this sits in the head."""
    return 0 if limits.blobs_ride else limits.register_budget // 4


def fan_out(limits: Limits) -> int:
    """References that a level of the history holds before they become an index."""
    return min(max(limits.register_budget // (16 * _REF_BYTES), 4), 64)


def _record_bytes(limits: Limits) -> int:
    return RIDING_BYTES if limits.blobs_ride else limits.register_budget
