"""What is stored, byte for byte; `docs/format.md` specifies it for other languages.

Everything is msgpack. The head is a map, so that fields this version does not know are seen and
carried through. A commit's record is kept as its own bytes wherever it moves, so that nothing a
newer client put there is lost; the other parts are arrays that are encoded anew, and may only
grow together with `min_writer`.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from discfg_core import values
from discfg_core.errors import Corrupt, NewerFormat
from discfg_core.model import LargeValue, Node

Decoded = TypeVar("Decoded")

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
"""A number of the head; what is beyond it no writer wrote, and msgpack could not hold one more."""

_DAMAGE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

FORMAT = 1
"""The format this version writes, and the newest that it can read and write."""

_WELL_KNOWN = (values.JSON, values.TEXT, values.BYTES)
_CODES = {name: code for code, name in enumerate(_WELL_KNOWN)}


def pack_type(content_type: str) -> int | str:
    """A content type as stored: a small number for the three usual ones."""
    return _CODES.get(content_type, content_type)


def unpack_type(code: int | str) -> str:
    """The content type a stored code stands for; `Corrupt` for an unknown number."""
    if isinstance(code, str):
        return code
    if 0 <= code < len(_WELL_KNOWN):
        return _WELL_KNOWN[code]
    raise Corrupt(f"content type code {code} is unknown")


class BlobRef(msgspec.Struct, array_like=True, frozen=True):
    """A blob of this config. Its name is never used again: `unique` is random."""

    generation: int
    unique: bytes
    size: int
    crc: int


# --- what a commit asks for: its intent, which any base state turns into nodes --------------


class PutOp(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """Write a key."""

    key: str
    content_type: int | str
    value: bytes | BlobRef
    expires: int | None = None


class RemoveOp(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Remove a key, if it is there."""

    key: str


class RemovePrefixOp(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Remove a prefix and all below it."""

    prefix: str


Op: TypeAlias = PutOp | RemoveOp | RemovePrefixOp


class Record(msgspec.Struct, array_like=True, frozen=True):
    """A commit. `ops` are encoded operations, or lie in the blob `payload`.

    `id` is 16 random bytes, and this commit's alone: two clients that commit with the same `own`
    id, the caller's, must be able to tell which of them did. `digest` is of what was asked for:
    it tells a repetition from another use of the id.
    """

    revision: int
    id: bytes
    time: int
    actor: str
    message: str
    digest: bytes
    ops: bytes
    payload: BlobRef | None = None
    own: str | None = None
    settings: tuple[dict[str, Any], dict[str, Any]] | None = None
    reverted_to: int | None = None
    schema: tuple[str, str] | None = None

    @property
    def shown_id(self) -> str:
        """The id as callers see it."""
        return self.id.hex() if self.own is None else self.own


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """A node of the state, or one that a commit replaced."""

    key: str
    version: int
    revision: int
    created: int
    modified: int
    content_type: int | str
    expires: int | None
    value: bytes | BlobRef


class SegmentItem(msgspec.Struct, array_like=True, frozen=True):
    """A commit in the history: its record's bytes, and the nodes it replaced."""

    record: bytes
    replaced: list[Entry]


class HistoryRef(msgspec.Struct, array_like=True, frozen=True):
    """A segment, or an index of such references, of revisions `first` to `last`."""

    first: int
    last: int
    blob: BlobRef


class TailItem(msgspec.Struct, array_like=True, frozen=True):
    """The records of one swap: encoded in place, or a blob of them."""

    first: int
    count: int
    body: bytes | BlobRef

    @property
    def last(self) -> int:
        """The revision of the last record."""
        return self.first + self.count - 1


class StateRef(msgspec.Struct, array_like=True, frozen=True):
    """The state at `revision`: entries in place, or a blob of them; empty at revision 0.

    `debt` is the size of the history since, which a reader has to replay on top.
    """

    revision: int = 0
    body: bytes | BlobRef = b"\x90"
    debt: int = 0


class Dropped(msgspec.Struct, array_like=True, frozen=True):
    """A tombstone: who deleted the config, when and why. The rest of the head stays."""

    id: bytes
    time: int
    actor: str
    message: str


class Claim(msgspec.Struct, array_like=True, frozen=True):
    """Somebody who lost many races asks all others to hold back, once, for so long."""

    id: bytes
    milliseconds: Count


class Head(msgspec.Struct, frozen=True):
    """A config, as its register holds it."""

    format: int
    min_reader: int
    min_writer: int
    incarnation: bytes
    nonce: bytes
    sequence: Count
    revision: Count
    created: Count
    modified: Count
    generation: Count
    keys: Count
    size: Count
    inline: Count
    settings: dict[str, Any]
    state: StateRef
    history: list[list[HistoryRef]]
    tail: list[TailItem]
    dropped: Dropped | None = None
    claim: Claim | None = None
    schema: str = ""

    @property
    def flushed(self) -> int:
        """The last revision that the history holds; the tail has those after it."""
        # Level 0 has the newest segments, and is never empty once there is one.
        return self.history[0][-1].last if self.history else 0


Unknown: TypeAlias = dict[str, msgspec.Raw]
"""Fields of a head that this version does not know, kept as they are."""

_FIELDS = frozenset(Head.__struct_fields__)

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode

_head_decoder = msgspec.msgpack.Decoder(Head)
_fields_decoder = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_record_decoder = msgspec.msgpack.Decoder(Record)
_records_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_ops_decoder: msgspec.msgpack.Decoder[list[Op]] = msgspec.msgpack.Decoder(list[Op])
_entries_decoder = msgspec.msgpack.Decoder(list[Entry])
_segment_decoder = msgspec.msgpack.Decoder(list[SegmentItem])
_index_decoder = msgspec.msgpack.Decoder(list[HistoryRef])
_int_decoder = msgspec.msgpack.Decoder(int)


def encode_head(head: Head, unknown: Unknown) -> bytes:
    """The register's bytes."""
    if not unknown:
        return encode(head)
    known = {name: getattr(head, name) for name in Head.__struct_fields__}
    return encode({**known, **unknown})


def decode_head(data: bytes) -> tuple[Head, Unknown]:
    """A head from the register's bytes, and the fields this version does not know.

    Raises:
        NewerFormat: Its `min_reader` is above this version's format.
        Corrupt: It is no head.
    """
    try:
        fields = _fields_decoder.decode(data)
        needed = _int_decoder.decode(fields["min_reader"])
        if needed > FORMAT:
            raise NewerFormat(
                f"this config can be read from format {needed} on; this discfg has {FORMAT}"
            )
        head = _head_decoder.decode(data)
    except (*_DAMAGE, KeyError) as error:
        raise Corrupt(f"the config's head cannot be decoded: {error}") from error
    if not all(head.history):
        raise Corrupt("a level of the history is empty")
    unknown = {name: msgspec.Raw(bytes(raw)) for name, raw in fields.items() if name not in _FIELDS}
    return head, unknown


def check_writable(head: Head) -> None:
    """Refuse to swap a head that a newer client forbids this one to change.

    Raises:
        NewerFormat: Its `min_writer` is above this version's format.
    """
    if head.min_writer > FORMAT:
        raise NewerFormat(
            f"this config can be changed from format {head.min_writer} on; this discfg has {FORMAT}"
        )


def decode_record(data: bytes | msgspec.Raw) -> Record:
    """A record; `Corrupt` if it is none."""
    return _decode(_record_decoder, data, "a commit's record")


def split_records(data: bytes) -> list[msgspec.Raw]:
    """The records of a tail item, each its own bytes; `Corrupt` if there are none."""
    return _decode(_records_decoder, data, "a batch of commits")


def decode_ops(data: bytes) -> list[Op]:
    """The operations of a record; `Corrupt` if they are none."""
    return _decode(_ops_decoder, data, "a commit's operations")


def decode_entries(data: bytes) -> list[Entry]:
    """The entries of a state; `Corrupt` if they are none."""
    return _decode(_entries_decoder, data, "a state")


def decode_segment(data: bytes) -> list[SegmentItem]:
    """A segment of the history; `Corrupt` if it is none."""
    return _decode(_segment_decoder, data, "a segment of the history")


def decode_index(data: bytes) -> list[HistoryRef]:
    """An index of the history; `Corrupt` if it is none."""
    return _decode(_index_decoder, data, "an index of the history")


def _decode(
    decoder: msgspec.msgpack.Decoder[Decoded], data: bytes | msgspec.Raw, what: str
) -> Decoded:
    try:
        return decoder.decode(data)
    except _DAMAGE as error:
        raise Corrupt(f"{what} cannot be decoded: {error}") from error


def entry_of(node: Node) -> Entry:
    """A node as stored."""
    content = node.content
    if isinstance(content, LargeValue):
        value = content.same
        if not isinstance(value, BlobRef):
            raise TypeError(f"a stored node's large value is no blob but {value!r}")
    else:
        value = content or b""
    return Entry(
        node.key,
        node.version,
        node.revision,
        node.created_ns,
        node.modified_ns,
        pack_type(node.content_type),
        node.expires_ns,
        value,
    )
