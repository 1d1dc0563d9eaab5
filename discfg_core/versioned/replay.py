"""What a commit's operations do to a state: one function, for committing and for loading.

A record holds what a commit asked for, not what came of it, so that it is independent of the
state below it. Whoever commits it and whoever reads it later must therefore come to the same
nodes: both call `changes_of`, and `docs/format.md` specifies it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from discfg_core.keys import prefixes_of
from discfg_core.model import Action, Change, Commit, LargeValue, Node
from discfg_core.versioned.format import (
    BlobRef,
    Entry,
    Op,
    PutOp,
    Record,
    RemovePrefixOp,
    unpack_type,
)
from discfg_core.versioned.state import State

Large = Callable[[BlobRef], LargeValue]
"""Makes the value that a blob holds; nothing is fetched by it."""


def changes_of(
    state: State, ops: Sequence[Op], *, revision: int, time_ns: int, large: Large
) -> tuple[Change, ...]:
    """The net effect of operations, one change a key, sorted by key.

    A key that was there keeps its time of creation and counts one version, however often the
    operations wrote it; one that was not begins at version 1; one that is absent before and
    after has no change.
    """
    final = _outcome(state, ops)
    changes = []
    for key in sorted(final) if len(final) > 1 else final:
        put, before = final[key], state.get(key)
        version = 1 if before is None else before.version + 1
        created = time_ns if before is None else before.created_ns
        if put is not None:
            content = put.value if isinstance(put.value, bytes) else large(put.value)
            kind = unpack_type(put.content_type)
            node = Node(key, content, kind, version, revision, created, time_ns, put.expires)
            action = Action.ADDED if before is None else Action.UPDATED
        elif before is not None:
            node = Node(key, None, before.content_type, version, revision, created, time_ns)
            action = Action.REMOVED
        else:
            continue
        changes.append(Change(action, node, before, revision))
    return tuple(changes)


def _outcome(state: State, ops: Sequence[Op]) -> dict[str, PutOp | None]:
    """For each key that is touched, what is put there in the end.

    One pass over the operations and one scan for each outermost prefix: a commit may have
    100,000 of both.
    """
    final: dict[str, PutOp | None] = {}
    turn: dict[str, int] = {}
    cleared: dict[str, int] = {}
    for index, op in enumerate(ops):
        if isinstance(op, RemovePrefixOp):
            cleared[op.prefix] = index
        else:
            final[op.key] = op if isinstance(op, PutOp) else None
            turn[op.key] = index
    if cleared:
        for key, index in turn.items():
            if any(cleared.get(prefix, -1) > index for prefix in prefixes_of(key)):
                final[key] = None
        for prefix in cleared:
            if not any(above in cleared for above in prefixes_of(prefix) if above != prefix):
                for node in state.scan(prefix):
                    final.setdefault(node.key, None)
    return final


def effect(changes: Sequence[Change]) -> dict[str, Node | None]:
    """What changes do to a state: the nodes put, ``None`` for those removed."""
    return {change.node.key: change.node if change.node.has_value else None for change in changes}


def commit_of(record: Record, changes: tuple[Change, ...]) -> Commit:
    """A record and what came of it, as callers see it."""
    before, after = record.settings or (None, None)
    prev_schema, schema = record.schema or (None, None)
    return Commit(
        record.revision,
        record.shown_id,
        record.actor,
        record.message,
        record.time,
        changes,
        after,
        before,
        record.reverted_to,
        schema,
        prev_schema,
    )


def node_of(entry: Entry, large: Large) -> Node:
    """A stored node."""
    value = entry.value
    return Node(
        entry.key,
        value if isinstance(value, bytes) else large(value),
        unpack_type(entry.content_type),
        entry.version,
        entry.revision,
        entry.created,
        entry.modified,
        entry.expires,
    )


def replaced(entries: Iterable[Entry], large: Large) -> State:
    """The nodes that a stored commit replaced, as the base to carry its operations out on.

    They suffice: what the operations touch and is not among them was absent.
    """
    return State({entry.key: node_of(entry, large) for entry in entries})
