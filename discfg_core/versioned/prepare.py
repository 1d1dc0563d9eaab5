"""A transaction made ready to commit: judged, encoded, and its large parts laid down.

All that can be slow and does not depend on the state happens here, before the transaction
queues: nobody waits for another's 16 MiB.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from discfg_core.engine import (
    MAX_ACTOR_BYTES,
    MAX_COMMIT_ID_BYTES,
    MAX_COMMIT_KEYS,
    MAX_MESSAGE_BYTES,
    KeyCondition,
    PrefixCondition,
    Put,
    Remove,
    Transaction,
)
from discfg_core.errors import (
    CommitTooLarge,
    InvalidOption,
    InvalidSettings,
    InvalidValue,
)
from discfg_core.keys import normalize_key, normalize_prefix, prefixes_of
from discfg_core.schema import schema_text
from discfg_core.substrate import Limits
from discfg_core.values import (
    check_content_type,
    check_size,
    check_text,
    encode_json,
    settings_from,
)
from discfg_core.versioned import budget
from discfg_core.versioned.blobs import make_ref
from discfg_core.versioned.format import (
    BlobRef,
    Op,
    PutOp,
    RemoveOp,
    RemovePrefixOp,
    encode,
    pack_type,
)

MAX_SETTINGS_BYTES = 16 * 1024

LayDown = Callable[[BlobRef, bytes], None]
"""Makes a blob durable."""


class Prepared:
    """A transaction ready to commit.

    Attributes:
        tx: As it was asked for, keys normalised.
        ops: Its operations, encoded; empty where they lie in `payload`.
        payload: The blob that has them.
        decoded: The same operations, for carrying them out.
        required: Keys that must be there before the commit, for their `Remove`.
        absent: A key that cannot be there when its `Remove` comes, whatever the state.
        id: 16 random bytes, this commit's alone.
        blobs: Small blobs that go with the swap, in a store where that costs nothing.
        digest: Of what is written, to tell a repetition from another use of its id.
        generation: Of the blobs it refers to.
        laid: Whether it refers to any.
    """

    __slots__ = (
        "_limits",
        "_sources",
        "absent",
        "blobs",
        "decoded",
        "digest",
        "generation",
        "id",
        "laid",
        "ops",
        "payload",
        "required",
        "schema",
        "settings",
        "tx",
    )

    def __init__(self, tx: Transaction, limits: Limits) -> None:
        """Judge and encode; nothing is sent.

        Raises:
            InvalidInput: A subclass for each kind of bad input.
        """
        _check_texts(tx)
        self._limits = limits
        self._sources: list[Put | Remove | RemovePrefixOp] = []
        self.required: tuple[str, ...] = ()
        self.absent: str | None = None
        self._read_ops(tx)
        self.settings = None if tx.settings is None else check_settings(tx.settings)
        self.schema = schema_text(tx.schema) if tx.schema else tx.schema
        self.tx = msgspec.structs.replace(
            tx,
            ops=(),
            conditions=tuple(_normalized(condition) for condition in tx.conditions),
            settings=None,
            schema=None,
            asked=None,
        )
        self.id = os.urandom(16)
        self.digest = self._digest(tx.asked)
        self.blobs: dict[BlobRef, bytes] = {}
        self.payload: BlobRef | None = None
        self.generation = 0
        self.laid = False
        self.decoded: list[Op] = []
        self.ops = b""
        threshold = budget.value_bytes(limits)
        if all(not isinstance(op, Put) or len(op.value) <= threshold for op in self._sources):
            self._encode([_plain(op) for op in self._sources])
            self.laid = len(self.ops) > budget.ops_bytes(limits)
        else:
            self.laid = True

    @property
    def weight(self) -> int:
        """Bytes it adds to a batch's swap, roughly."""
        riding = sum(map(len, self.blobs.values()))
        settings = 0 if self.settings is None else len(encode(self.settings))
        schema = len(self.schema or "")
        return len(self.ops) + len(self.tx.message) + riding + settings + schema + 100

    def lay_down(self, generation: int, put: LayDown) -> None:
        """Make the blobs it refers to durable, under this generation; again after a collection.

        Only where `laid`.

        Raises:
            StoreError, OutcomeUnknown: They could not be written.
        """
        self.generation = generation
        self.payload = None
        self.blobs = {}
        threshold = budget.value_bytes(self._limits)
        ops: list[Op] = []
        for op in self._sources:
            if isinstance(op, Put) and len(op.value) > threshold:
                ref = make_ref(op.value, generation)
                self.blobs[ref] = op.value
                ops.append(PutOp(op.key, pack_type(op.content_type), ref))
            else:
                ops.append(_plain(op))
        self._encode(ops)
        if len(self.ops) > budget.ops_bytes(self._limits):
            self.payload = make_ref(self.ops, generation)
            self.blobs[self.payload] = self.ops
            self.ops = b""
        riding = sum(map(len, self.blobs.values())) <= budget.riding_bytes(self._limits)
        if not riding:
            for ref, data in self.blobs.items():
                put(ref, data)
            self.blobs = {}

    def _encode(self, ops: list[Op]) -> None:
        self.decoded = ops
        self.ops = encode(ops)

    def _read_ops(self, tx: Transaction) -> None:
        if len(tx.ops) > MAX_COMMIT_KEYS:
            raise CommitTooLarge(f"this commit has {len(tx.ops):,} operations")
        required = []
        # What the operations so far say of a key, and since when: put, or removed.
        known: dict[str, tuple[int, bool]] = {}
        cleared: dict[str, int] = {}
        for index, op in enumerate(tx.ops):
            if isinstance(op, Put):
                key = normalize_key(op.key)
                if not isinstance(op.value, bytes):
                    raise InvalidValue(f"the value of {key} is no bytes", key=key)
                check_size(op.value)
                check_content_type(op.content_type)
                self._sources.append(Put(key, op.value, op.content_type))
                known[key] = (index, True)
            elif isinstance(op, Remove):
                key = normalize_key(op.key)
                since, there = known.get(key, (-1, None))
                if any(cleared.get(prefix, -1) > since for prefix in prefixes_of(key)):
                    there = False
                if not op.missing_ok:
                    if there is False:
                        self.absent = self.absent or key
                    elif there is None:
                        required.append(key)
                self._sources.append(Remove(key))
                known[key] = (index, False)
            else:
                prefix = normalize_prefix(op.prefix)
                self._sources.append(RemovePrefixOp(prefix))
                cleared[prefix] = index
        self.required = tuple(required)

    def _digest(self, asked: bytes | None) -> bytes:
        # Not of the conditions: whoever repeats a transaction has read anew.
        digest = blake2b(asked or b"", digest_size=8)
        for op in self._sources if asked is None else ():
            if isinstance(op, Put):
                head = encode(("put", op.key, op.content_type, len(op.value)))
                digest.update(head)
                digest.update(op.value)
            elif isinstance(op, Remove):
                digest.update(encode(("remove", op.key)))
            else:
                digest.update(encode(("prefix", op.prefix)))
        digest.update(encode(self.settings))
        if self.schema is not None:
            digest.update(encode(("schema", self.schema)))
        return digest.digest()


def _plain(op: Put | Remove | RemovePrefixOp) -> Op:
    if isinstance(op, Put):
        return PutOp(op.key, pack_type(op.content_type), op.value)
    return RemoveOp(op.key) if isinstance(op, Remove) else op


def check_settings(settings: Any) -> dict[str, Any]:
    """Settings as they are stored.

    Raises:
        InvalidSettings: They are no JSON object, or over 16 KiB of JSON.
    """
    stored = settings_from(dict(settings) if isinstance(settings, Mapping) else settings)
    if len(encode_json(stored)) > MAX_SETTINGS_BYTES:
        raise InvalidSettings("the settings exceed 16 KiB of JSON", hint="keep the rest in keys")
    return stored


def _check_texts(tx: Transaction) -> None:
    check_text("actor", tx.actor, MAX_ACTOR_BYTES)
    check_text("message", tx.message, MAX_MESSAGE_BYTES)
    if tx.commit_id is not None:
        check_text("commit id", tx.commit_id, MAX_COMMIT_ID_BYTES)
        if not tx.commit_id:
            raise InvalidOption("a commit id is not empty", hint="leave it out for a random one")
    if tx.if_config_revision is not None and tx.if_config_revision < 0:
        raise InvalidOption(f"revision {tx.if_config_revision} is negative")


def _normalized(condition: KeyCondition | PrefixCondition) -> KeyCondition | PrefixCondition:
    if isinstance(condition, PrefixCondition):
        return PrefixCondition(normalize_prefix(condition.prefix), condition.fingerprint)
    if condition.absent and (condition.version, condition.revision, condition.value) != (
        None,
        None,
        None,
    ):
        raise InvalidOption(
            f"{condition.key} cannot be absent and have a version, revision or value",
            hint="give one of the two conditions",
            key=condition.key,
        )
    return KeyCondition(
        normalize_key(condition.key),
        condition.version,
        condition.revision,
        condition.absent,
        condition.value,
    )
