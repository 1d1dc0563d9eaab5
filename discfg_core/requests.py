"""A transaction, or a whole set of values, as JSON: what the command line and the REST API read.

The request is an object, or the array of its operations alone::

    {"ops": [{"op": "set", "key": "db/host", "value": "10.0.0.1", "ifVersion": 3},
             {"op": "delete", "key": "db/old", "missingOk": true},
             {"op": "deletePrefix", "prefix": "cache"},
             {"op": "check", "key": "db/owner", "ifValue": "ann"}],
     "message": "move the database", "ifConfigRevision": 7, "commitId": "deploy-42"}

``set``, ``delete`` and ``check`` (which writes nothing) take the conditions ``ifVersion``,
``ifRevision`` and ``ifValue``, ``set`` and ``check`` also ``ifAbsent``; null is no condition.

A value is text, stored as text, or any other JSON, stored with the very bytes it has in the
request. ``contentType`` names another type. ``"encoding": "base64"`` says that ``value`` and
``ifValue`` are base64, as answers spell bytes.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from discfg_core import values
from discfg_core.errors import InvalidTransaction, InvalidValue

if TYPE_CHECKING:
    from discfg_core.transaction import ConfigTransaction

_T = TypeVar("_T")

# Raw JSON does not go into a union with None.
_NOT_GIVEN = msgspec.Raw()
_BASE64 = "base64"
_HINT = (
    'a transaction is {"ops": [{"op": "set", "key": …, "value": …}, {"op": "delete", "key": …}]}, '
    "or that array alone"
)
_VALUES_HINT = 'give an object of keys and values: {"db/host": "10.0.0.1", "hits": 3}'


class _Op(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, tag_field="op"):
    pass


class _Set(_Op, frozen=True, kw_only=True, tag="set"):
    key: str
    value: msgspec.Raw
    encoding: str | None = None
    content_type: str | None = None
    if_version: int | None = None
    if_revision: int | None = None
    if_absent: bool = False
    if_value: msgspec.Raw = _NOT_GIVEN


class _Delete(_Op, frozen=True, kw_only=True, tag="delete"):
    key: str
    missing_ok: bool = False
    encoding: str | None = None
    if_version: int | None = None
    if_revision: int | None = None
    if_value: msgspec.Raw = _NOT_GIVEN


class _DeletePrefix(_Op, frozen=True, kw_only=True, tag="deletePrefix"):
    prefix: str


class _Check(_Op, frozen=True, kw_only=True, tag="check"):
    key: str
    encoding: str | None = None
    if_version: int | None = None
    if_revision: int | None = None
    if_absent: bool = False
    if_value: msgspec.Raw = _NOT_GIVEN


_Ops: TypeAlias = list[_Set | _Delete | _DeletePrefix | _Check]


class CommitRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A transaction as it was asked for: its options, and operations for `apply`."""

    ops: _Ops
    message: str = ""
    if_config_revision: int | None = None
    commit_id: str | None = None

    def apply(self, transaction: ConfigTransaction) -> None:
        """Put the operations into a transaction, in order; nothing is sent.

        Conditions are judged before the first of the operations, whichever they stand at.

        Raises:
            InvalidKey, InvalidOption: A key or condition is none.
            InvalidValue: A value has no stored form of its content type, or is no base64.
            ValueTooLarge: A value exceeds 16 MiB.
        """
        for op in self.ops:
            if isinstance(op, _DeletePrefix):
                transaction.delete_prefix(op.prefix)
                continue
            if_value = _condition(op.if_value, op.encoding)
            if isinstance(op, _Set):
                value, content_type = _stored(op.value, op.encoding, op.content_type)
                transaction.set(
                    op.key,
                    value,
                    content_type=content_type,
                    if_version=op.if_version,
                    if_revision=op.if_revision,
                    if_absent=op.if_absent,
                    if_value=if_value,
                )
            elif isinstance(op, _Check):
                transaction.check(
                    op.key,
                    if_version=op.if_version,
                    if_revision=op.if_revision,
                    if_absent=op.if_absent,
                    if_value=if_value,
                )
            else:
                transaction.delete(
                    op.key,
                    missing_ok=op.missing_ok,
                    if_version=op.if_version,
                    if_revision=op.if_revision,
                    if_value=if_value,
                )


def commit_request(raw: bytes) -> CommitRequest:
    """The transaction that JSON of the above shape asks for.

    Raises:
        InvalidTransaction: It is not JSON of that shape. The message says where.
    """
    if raw.lstrip()[:1] == b"[":
        return CommitRequest(ops=_decode(raw, _Ops))
    return _decode(raw, CommitRequest)


def values_request(raw: bytes) -> dict[str, Any]:
    """Keys and values: a JSON object, decoded as `Config` decodes a JSON value.

    Raises:
        InvalidTransaction: It is not that.
    """
    try:
        decoded = values.decode(raw, values.JSON)
    except InvalidValue as error:
        raise InvalidTransaction(f"this is not JSON: {error.message}", hint=_VALUES_HINT) from error
    if not isinstance(decoded, dict):
        raise InvalidTransaction("this is JSON, but not an object", hint=_VALUES_HINT)
    return decoded


def _decode(raw: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTransaction(f"this is not a transaction: {error}", hint=_HINT) from error


def _condition(raw: msgspec.Raw, encoding: str | None) -> bytes | None:
    return None if bytes(raw) in {b"", b"null"} else _stored(raw, encoding)[0]


def _stored(
    raw: msgspec.Raw, encoding: str | None, content_type: str | None = None
) -> tuple[bytes, str]:
    """The stored bytes and type of a value as a request spells it."""
    written = bytes(raw)
    text = _decode(written, str) if written[:1] == b'"' else None
    if encoding is not None:
        if encoding != _BASE64 or text is None:
            raise InvalidValue(
                f"a value of encoding {encoding!r} cannot be read",
                hint=f'the one encoding is "{_BASE64}", and its value is text',
            )
        try:
            return values.encode(binascii.a2b_base64(text, strict_mode=True), content_type)
        except (binascii.Error, ValueError) as error:
            raise InvalidValue(f"this value is not base64: {error}") from error
    kind = content_type or (values.JSON if text is None else values.TEXT)
    if not values.is_json(kind):
        if text is None:
            raise InvalidValue(
                f"JSON that is not text cannot be stored as {kind}",
                hint="write the value as text, or as base64",
            )
        return values.encode(text, kind)
    if values.from_person(written)[1] != values.JSON:
        # The two parsers differ in how deep, and how long a number, they take.
        raise InvalidValue("this value could not be read back as JSON")
    return values.encode(written, kind)
