"""Values: what bytes and content type a Python object or a person's text becomes, and back."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from discfg_core.errors import (
    InvalidOption,
    InvalidSettings,
    InvalidValue,
    TextTooLong,
    ValueTooLarge,
)

MAX_VALUE_BYTES = 16 * 1024 * 1024
# A parser's own limit depends on the stack below its caller: what one reads another could not.
MAX_SETTINGS_DEPTH = 64

JSON = "application/json"
TEXT = "text/plain"
BYTES = "application/octet-stream"


def encode(data: Any, content_type: str | None = None) -> tuple[bytes, str]:
    """The stored form of a Python object.

    ``bytes`` are stored as they are, ``str`` as UTF-8 text, anything else as JSON. With a
    `content_type` bytes and text keep their own bytes under that type; any other object must
    be JSON, and the type one that says so.

    Returns:
        The bytes and the content type.

    Raises:
        InvalidValue: The object has no JSON form (not a number, a set, a key that is no text,
            a surrogate), the bytes are no JSON though `content_type` says so, or that is not
            ``type/subtype``.
        ValueTooLarge: The bytes exceed 16 MiB.
    """
    if content_type is not None:
        check_content_type(content_type)
    if isinstance(data, bytes | bytearray | memoryview):
        raw, kind = bytes(data), content_type or BYTES
    elif isinstance(data, str) and (content_type is None or not is_json(content_type)):
        try:
            raw, kind = data.encode(), content_type or TEXT
        except UnicodeEncodeError as error:
            raise InvalidValue(f"this text has no UTF-8 form: {error.reason}") from error
    else:
        kind = content_type or JSON
        if not is_json(kind):
            raise InvalidValue(
                f"a {type(data).__name__} cannot be stored as {kind}",
                hint="give bytes or text for this content type",
            )
        raw = encode_json(data)
    check_size(raw)
    if is_json(kind) and isinstance(data, bytes | bytearray | memoryview):
        # What is no JSON would fail everybody who reads it.
        decode(raw, kind)
    return raw, kind


def encode_json(data: Any) -> bytes:
    """Compact JSON in UTF-8, the order of keys kept.

    Raises:
        InvalidValue: The object has no JSON form.
    """
    try:
        # The standard library and not msgspec: msgspec would silently store a set as a list,
        # a datetime as text and NaN as null, which `decode` could not give back.
        text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        _check_keys(data)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(
            f"this value has no JSON form: {error}",
            hint="JSON holds null, booleans, finite numbers, text, lists, and objects "
            "whose keys are text",
        ) from error


def _check_keys(data: Any) -> None:
    # json.dumps turns the key 1 into "1", so that the value read is not the value written.
    pending = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            for name in item:
                if not isinstance(name, str):
                    raise TypeError(f"the key {name!r} of an object is not text")
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)


def decode(raw: bytes, content_type: str) -> Any:
    """The Python form: JSON to objects (fresh ones each time), text to ``str``, else bytes.

    Raises:
        InvalidValue: The bytes are not what the content type says.
    """
    if is_json(content_type):
        try:
            return _loads(raw.decode())
        except (ValueError, RecursionError) as error:
            raise InvalidValue(
                f"this value is JSON by its content type, and is none: {error}"
            ) from error
    if is_text(content_type):
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise InvalidValue(
                f"this value is stored as text but is not UTF-8: {error.reason}"
            ) from error
    return raw


def from_person(raw: bytes) -> tuple[bytes, str]:
    """The stored form of what a person typed or a file holds; the bytes stay untouched.

    Returns:
        The same bytes, as JSON if they parse as JSON, else as text if they are UTF-8,
        else as bytes.

    Raises:
        ValueTooLarge: They exceed 16 MiB.
    """
    check_size(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw, BYTES
    try:
        _loads(text)
    except (ValueError, RecursionError):
        return raw, TEXT
    return raw, JSON


def parse_json(text: str | bytes) -> Any:
    """What JSON text says.

    Raises:
        InvalidValue: It is no JSON.
    """
    try:
        return _loads(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"this is not JSON: {error}") from error


def _loads(text: str) -> Any:
    """JSON and no more than that: what `encode_json` would not write is no JSON here either."""
    data = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    # The standard library also takes half of a surrogate pair, which has no UTF-8 form.
    if "\\u" in text:
        json.dumps(data, ensure_ascii=False).encode()
    return data


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def settings_from(data: Any) -> dict[str, Any]:
    """A config's settings from a mapping, or from JSON text or bytes.

    Raises:
        InvalidSettings: It is no JSON object.
    """
    if isinstance(data, str | bytes):
        try:
            data = _loads(data if isinstance(data, str) else data.decode())
        except (ValueError, RecursionError) as error:
            raise InvalidSettings(f"the settings are not JSON: {error}") from error
    if not isinstance(data, dict):
        raise InvalidSettings(f"the settings are a {type(data).__name__}, not an object")
    if _depth(data) > MAX_SETTINGS_DEPTH:
        raise InvalidSettings(f"the settings are nested deeper than {MAX_SETTINGS_DEPTH}")
    try:
        settings = msgspec.json.decode(encode_json(data), type=dict[str, Any])
        # They are stored as msgpack, whose whole numbers have 64 bits.
        msgspec.msgpack.encode(settings)
    except InvalidValue as error:
        raise InvalidSettings(error.message) from error
    except OverflowError as error:
        raise InvalidSettings("a whole number in the settings exceeds 64 bits") from error
    return settings


def _depth(data: Any) -> int:
    depth, level = 0, [data]
    while level and depth <= MAX_SETTINGS_DEPTH:
        depth += 1
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list | tuple):
                inner.extend(item)
        level = inner
    return depth


def check_size(raw: bytes) -> None:
    """Refuse a value over the limit.

    Raises:
        ValueTooLarge: It exceeds 16 MiB.
    """
    if len(raw) > MAX_VALUE_BYTES:
        raise ValueTooLarge(f"this value has {len(raw):,} bytes; at most 16 MiB are kept")


def check_text(name: str, text: str, most: int) -> str:
    """Text of at most `most` bytes in UTF-8; else `InvalidOption` or `TextTooLong`."""
    if not isinstance(text, str):
        raise InvalidOption(f"{name} is a {type(text).__name__}", hint="give text")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidOption(f"{name} has no UTF-8 form: {error.reason}", hint="give text") from None
    if size > most:
        raise TextTooLong(f"{name} has {size:,} bytes; at most {most:,} are kept")
    return text


def check_content_type(content_type: str) -> str:
    """A content type, as it is.

    Raises:
        InvalidValue: It is not printable ASCII ``type/subtype`` of at most 256 characters.
    """
    if not isinstance(content_type, str):
        raise InvalidValue(f"a content type is text, not {type(content_type).__name__}")
    kind, _, rest = content_type.partition("/")
    if not (kind and rest and content_type.isascii() and content_type.isprintable()):
        raise InvalidValue(f"{content_type!r} is not a content type", hint="such as text/plain")
    if len(content_type) > 256:
        raise InvalidValue("a content type has at most 256 characters")
    return content_type


def is_json(content_type: str) -> bool:
    """Whether a content type is JSON, parameters and ``+json`` included."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == JSON or kind.endswith("+json")


def is_text(content_type: str) -> bool:
    """Whether a content type is text."""
    return content_type.lower().startswith("text/")
