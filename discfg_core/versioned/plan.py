"""One attempt: which of the waiting transactions hold on a base, and the head that commits them.

A plan is made anew for each base. What it refuses is no answer yet: the base may be out of date,
or a batch mate's change may never come to be. The committer answers when it knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from discfg_core.clock import LATEST_STAMP, NANOSECONDS, Deadline, stamp
from discfg_core.document import leaf, nested
from discfg_core.engine import (
    MAX_COMMIT_KEYS,
    ConfigHandle,
    KeyCondition,
    PrefixCondition,
)
from discfg_core.errors import (
    ClockSkew,
    CommitIdReused,
    CommitTooLarge,
    ConditionFailed,
    ConfigReplaced,
    DiscfgError,
    DocumentTooLarge,
    KeyNotFound,
    SchemaViolated,
)
from discfg_core.model import Change, Commit, LargeValue, Node
from discfg_core.schema import MAX_DOCUMENT_BYTES, violations
from discfg_core.substrate import Limits, Token
from discfg_core.versioned import fold
from discfg_core.versioned.format import (
    BlobRef,
    Claim,
    Head,
    Record,
    check_writable,
    decode_record,
)
from discfg_core.versioned.format import encode as pack
from discfg_core.versioned.history import Resolved
from discfg_core.versioned.ids import Ids, find_any
from discfg_core.versioned.prepare import Prepared
from discfg_core.versioned.replay import changes_of, commit_of, effect
from discfg_core.versioned.snapshot import Snapshot, not_found
from discfg_core.versioned.state import State, fingerprint
from discfg_core.versioned.works import Ask, Fold, Work, Write

LayDownUnder = Callable[[str, BlobRef, bytes, Deadline], None]
"""Makes a blob of an incarnation durable."""


class Sums(NamedTuple):
    """What a head says of its state: how many keys, their bytes, and those stored in place."""

    keys: int
    size: int
    inline: int

    def after(self, changes: Sequence[Change]) -> Sums:
        """What it is once these were carried out."""
        keys, size, inline = self
        for change in changes:
            before, after = change.prev_node, change.node
            key_size = len(change.node.key.encode())
            for node, sign in ((before, -1), (after, 1)):
                if node is not None and node.has_value:
                    keys += sign
                    size += sign * (key_size + node.size)
                    inline += sign * fold.stored_size(node, key_size)
        return Sums(keys, size, inline)


class Plan:
    """An attempt on one base.

    Attributes:
        base: What it builds on.
        committed: The works that commit, with their commits, in order.
        judged: The works that do not: their answer, or their error.
        must_swap: Whether the register has to change for the answers to hold.
        claim: What the head is to ask of others.
    """

    def __init__(
        self,
        base: Snapshot | None,
        limits: Limits,
        ids: Ids,
        lay_down: LayDownUnder,
        deadline: Deadline,
    ) -> None:
        self.base = base
        self.committed: list[tuple[Write, Commit]] = []
        self.judged: list[tuple[Work, Commit | DiscfgError | None]] = []
        self.must_swap = False
        self.claim: Claim | None = None
        self._limits = limits
        self._ids = ids
        self._lay_down = lay_down
        self._deadline = deadline
        self._now = stamp()
        self._resolved: list[Resolved] = []
        self._by_id: dict[tuple[str, str], Resolved] = {}
        self._blobs: dict[str, bytes] = {}
        self._fold: Fold | None = None
        if base is not None:
            self._state = base.state
            self._revision = base.revision
            self._time = base.head.modified
            self._settings = base.head.settings
            self._schema = base.head.schema
            self._sums = Sums(base.head.keys, base.head.size, base.head.inline)

    def add(self, work: Work, name: str) -> None:
        """Judge one work on what those before it left."""
        work.place = None
        try:
            base = self._live(work.handle, name)
            work.place = (base.incarnation, base.revision)
            if isinstance(work, Write):
                self._add_write(work, base)
            elif isinstance(work, Ask):
                self._add_ask(work, base)
            elif isinstance(work, Fold):
                self._add_fold(work, base)
        except DiscfgError as error:
            self.judged.append((work, error.locate(config=name)))

    def _live(self, handle: ConfigHandle, name: str) -> Snapshot:
        base = self.base
        if base is None or base.head.dropped is not None:
            raise not_found(name)
        if handle.incarnation not in (None, base.incarnation):
            raise ConfigReplaced(f"config {name!r} was deleted and created anew")
        check_writable(base.head)
        return base

    def _add_write(self, work: Write, base: Snapshot) -> None:
        prepared = work.prepared
        tx = prepared.tx
        earlier = self._earlier(prepared, base)
        if earlier is not None:
            self.judged.append((work, earlier))
            return
        behind = base.head.modified - self._now
        if tx.max_clock_skew is not None and behind > tx.max_clock_skew * NANOSECONDS:
            raise ClockSkew(
                f"this clock is {behind / NANOSECONDS:.0f} s behind the config's last commit"
            )
        self._check_conditions(prepared)
        if prepared.laid and prepared.generation < base.head.generation:
            prepared.lay_down(
                base.head.generation,
                lambda ref, data: self._lay_down(base.incarnation, ref, data, self._deadline),
            )
        revision, moment = self._revision + 1, max(self._now, self._time + 1)
        if moment >= LATEST_STAMP:
            raise ClockSkew("the config's last commit is of the last moment that can be stored")
        changes = changes_of(
            self._state,
            prepared.decoded,
            revision=revision,
            time_ns=moment,
            large=base.blobs.large,
        )
        if len(changes) > MAX_COMMIT_KEYS:
            raise CommitTooLarge(f"this commit changes {len(changes):,} keys")
        settings = _change(self._settings, prepared.settings)
        schema = _change(self._schema, prepared.schema)
        if not (changes or settings or schema):
            self.judged.append((work, None))
            return
        sums = self._sums.after(changes)
        state = self._state.updated(effect(changes))
        if (changes or schema) and (text := schema[1] if schema else self._schema):
            self._check_schema(text, state, sums, prepared)
        record = Record(
            revision,
            prepared.id,
            moment,
            tx.actor,
            tx.message,
            prepared.digest,
            prepared.ops,
            prepared.payload,
            tx.commit_id,
            settings,
            tx.reverted_to,
            schema,
        )
        self._revision, self._time = revision, moment
        self._state, self._sums = state, sums
        self._settings = settings[1] if settings else self._settings
        self._schema = schema[1] if schema else self._schema
        for ref, data in prepared.blobs.items():
            self._blobs[base.blobs.name(ref)] = data
        resolved = Resolved(pack(record), commit_of(record, changes))
        self._resolved.append(resolved)
        self._by_id[tx.actor, resolved.commit.id] = resolved
        self.committed.append((work, resolved.commit))
        self.must_swap = True

    def _earlier(self, prepared: Prepared, base: Snapshot) -> Commit | None:
        tx = prepared.tx
        if tx.commit_id is None:
            return None
        found = self._by_id.get((tx.actor, tx.commit_id))
        if found is None:
            found = self._ids.find(base, tx.actor, tx.commit_id, self._deadline)
        if found is None:
            return None
        if decode_record(found.raw).digest != prepared.digest:
            raise CommitIdReused(
                f"commit id {tx.commit_id} was used for something else, "
                f"at revision {found.commit.revision}"
            )
        return found.commit

    def _check_conditions(self, prepared: Prepared) -> None:
        tx = prepared.tx
        if tx.if_config_revision not in (None, self._revision):
            raise ConditionFailed(
                f"the config is at revision {self._revision}, not {tx.if_config_revision}",
                revision=self._revision,
            )
        for condition in tx.conditions:
            if isinstance(condition, PrefixCondition):
                found = fingerprint(self._state.scan(condition.prefix))
                if found != condition.fingerprint:
                    raise ConditionFailed(
                        f"the keys under {condition.prefix} have changed",
                        key=condition.prefix,
                        revision=self._revision,
                    )
            else:
                self._check_key(condition)
        for key in prepared.required:
            if self._state.get(key) is None:
                raise KeyNotFound(f"key {key} does not exist", key=key)
        if prepared.absent is not None:
            key = prepared.absent
            raise KeyNotFound(f"key {key} is removed by this commit before", key=key)

    def _check_key(self, condition: KeyCondition) -> None:
        key = condition.key
        node = self._state.get(key)
        wrong: str | None = None
        if node is None:
            if (condition.version, condition.revision, condition.value) != (None, None, None):
                wrong = f"key {key} does not exist"
        elif condition.absent:
            wrong = f"key {key} exists, at version {node.version}"
        elif condition.version not in (None, node.version):
            wrong = f"key {key} is at version {node.version}, not {condition.version}"
        elif condition.revision not in (None, node.revision):
            wrong = f"key {key} is of revision {node.revision}, not {condition.revision}"
        elif condition.value is not None and not self._holds(node, condition.value):
            wrong = f"key {key} has another value"
        if wrong is not None:
            raise ConditionFailed(wrong, node=node, key=key, revision=self._revision)

    def _holds(self, node: Node, value: bytes) -> bool:
        content = node.content
        if isinstance(content, LargeValue):
            return content.size == len(value) and self._load(content) == value
        return content == value

    def _load(self, content: LargeValue) -> bytes:
        if self.base is not None and isinstance(content.same, BlobRef):
            return self.base.blobs.fetch([content.same], self._deadline)[0]
        return content.load()

    def _check_schema(self, text: str, state: State, sums: Sums, prepared: Prepared) -> None:
        if sums.size > MAX_DOCUMENT_BYTES:
            raise DocumentTooLarge(
                f"this config has a schema, and would come to {sums.size:,} bytes"
            )
        nodes = (self._at_hand(node, prepared) for node in state.scan("/"))
        found = violations(text, nested(nodes, "/", leaf))
        if found:
            more = "" if len(found) == 1 else f", and {len(found) - 1:,} more"
            raise SchemaViolated(f"the schema forbids this: {found[0]}{more}", violations=found)

    def _at_hand(self, node: Node, prepared: Prepared) -> Node:
        """The node with its value, which no store may have yet: it rides in this very swap."""
        content = node.content
        if self.base is None or not isinstance(content, LargeValue):
            return node
        ref = content.same
        if not isinstance(ref, BlobRef):
            return node
        blobs = self.base.blobs
        data = prepared.blobs.get(ref) or self._blobs.get(blobs.name(ref))
        if data is None:
            data = blobs.fetch([ref], self._deadline)[0]
        return msgspec.structs.replace(node, content=data)

    def _add_ask(self, work: Ask, base: Snapshot) -> None:
        # After a lost race only what is new is searched: an attempt that takes longer than those
        # of others, and longer each time, loses to them for ever.
        incarnation, revision = work.searched
        if incarnation != base.incarnation:
            work.found, revision = None, 0
        if work.found is None:
            work.found = find_any(base, work.commit_id, self._deadline, searched=revision)
            work.searched = (base.incarnation, base.revision)
        mate = next((r for r in self._resolved if r.commit.id == work.commit_id), None)
        found = work.found or mate
        if found is None:
            # A request that was abandoned may still land on this very token. Once the register
            # has another one it cannot.
            self.must_swap = True
        self.judged.append((work, None if found is None else found.commit))

    def _add_fold(self, work: Fold, base: Snapshot) -> None:
        head, body = base.head, work.state.body
        # A collection since has taken a blob that no head referred to.
        kept = isinstance(body, BlobRef) and body.generation == head.generation
        if kept and head.state.revision < work.state.revision <= head.flushed:
            self._fold = work
            self.must_swap = True
        self.judged.append((work, None))

    # --- the new head ---

    def seal(self) -> Sealed:
        """The head that commits this plan, and all that goes with it.

        Only for a plan that must swap.
        """
        base = self.base
        if base is None:
            raise ValueError("a plan without a base has nothing to swap")
        draft = fold.Draft(base, self._limits)
        if self._resolved:
            draft.append([resolved.raw for resolved in self._resolved])
        if self._fold is not None:
            draft.refer_to_state(self._fold.state, self._fold.debt)
        head = msgspec.structs.replace(
            base.head,
            nonce=os.urandom(16),
            sequence=base.head.sequence + 1,
            revision=self._revision,
            modified=self._time,
            keys=self._sums.keys,
            size=self._sums.size,
            inline=self._sums.inline,
            settings=self._settings,
            schema=self._schema,
            state=draft.state,
            history=draft.history,
            tail=draft.tail,
            claim=self.claim,
        )
        return Sealed(self, base, head, draft, {**self._blobs, **draft.blobs})

    def snapshot(self, base: Snapshot, sealed: Sealed, token: Token) -> Snapshot:
        """The config after this plan's swap."""
        recent = () if sealed.draft.flushed else base.recent
        return Snapshot(
            sealed.head,
            base.unknown,
            token,
            state=self._state,
            recent=(*recent, *self._resolved),
            blobs=base.blobs,
        )


Changed = TypeVar("Changed")


def _change(before: Changed, wanted: Changed | None) -> tuple[Changed, Changed] | None:
    """Before and after; ``None`` where nothing changes."""
    return None if wanted is None or wanted == before else (before, wanted)


class Sealed(msgspec.Struct, frozen=True, eq=False):
    """A plan with its head: what is swapped, however often."""

    plan: Plan
    base: Snapshot
    head: Head
    draft: fold.Draft
    blobs: dict[str, bytes]

    def snapshot(self, token: Token) -> Snapshot:
        """The config after the swap."""
        return self.plan.snapshot(self.base, self, token)
