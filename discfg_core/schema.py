"""JSON Schema 2020-12 of a config's document: what is accepted as a schema, and what violates it.

No schema reaches the network or a file: a reference leads into the schema itself or to the
specification's own. Patterns run in time linear in the text; what a linear engine cannot do
(look-around, back-references) is refused as the schema is set. ``format`` is an annotation, as
the specification has it by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from discfg_core.errors import InvalidSchema, InvalidValue
from discfg_core.values import encode_json, parse_json

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

MAX_SCHEMA_BYTES: Final = 16 * 1024
"""A schema's JSON at most; it is read with the config."""

MAX_DOCUMENT_BYTES: Final = 1024 * 1024
"""The keys and values of a config with a schema at most."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

NO_SCHEMA: Final = ""
"""The text of a schema that is not there."""

# A value may be a secret, and an error is shown to whoever may write, and kept in logs.
_MASK: Final = "the value"
_MOST_VIOLATIONS: Final = 1000
_LONGEST_MESSAGE: Final = 500


class Violation(msgspec.Struct, frozen=True):
    """One thing that a schema forbids.

    Attributes:
        pointer: Where in the document, a JSON pointer (RFC 6901); empty for all of it.
        keyword: Of the schema, such as ``type`` or ``required``.
        expected: What the schema says, in words; the value itself is not quoted.
    """

    pointer: str
    keyword: str
    expected: str

    def __str__(self) -> str:
        return f"{self.pointer or 'the document'}: {self.expected}"


def schema_text(given: Any) -> str:
    """A schema as it is stored.

    Args:
        given: A mapping or a boolean, or JSON text or bytes of one.

    Raises:
        InvalidSchema: It is no schema of JSON Schema 2020-12, refers to another place, has a
            pattern that needs more than linear time, or exceeds 16 KiB.
    """
    try:
        data = parse_json(given) if isinstance(given, str | bytes) else given
        text = encode_json(data).decode()
    except (InvalidValue, ValueError, RecursionError) as error:
        raise InvalidSchema(f"the schema is not JSON: {error}") from error
    if not isinstance(data, dict | bool):
        raise InvalidSchema(f"the schema is a {type(data).__name__}, not an object")
    if len(text.encode()) > MAX_SCHEMA_BYTES:
        raise InvalidSchema("the schema exceeds 16 KiB of JSON", hint="leave out descriptions")
    dialect = data.get("$schema", DIALECT) if isinstance(data, dict) else DIALECT
    if not isinstance(dialect, str) or dialect.removesuffix("#") != DIALECT:
        raise InvalidSchema("the schema names another dialect", hint=f'set "$schema" to {DIALECT}')
    _validator(text, None)
    return text


def violations(text: str, document: Any) -> tuple[Violation, ...]:
    """What of a document a schema forbids, the first 1,000; empty for a valid one.

    Raises:
        InvalidSchema: The text is no schema that this version understands.
    """
    try:
        errors = _validator(text, _MASK).iter_errors(document)
        found = [
            Violation(_pointer(error.instance_path), error.kind.name, _cut(error.message))
            for error in islice(errors, _MOST_VIOLATIONS)
        ]
    except (RecursionError, ValueError) as error:
        return (Violation("", "", f"something that can be validated: {_cut(str(error))}"),)
    return tuple(sorted(found, key=lambda each: (each.pointer, each.keyword)))


@lru_cache(maxsize=64)
def _validator(text: str, mask: str | None) -> Draft202012Validator:
    import jsonschema_rs  # noqa: PLC0415 - most configs have no schema, and a command is quick

    try:
        return jsonschema_rs.Draft202012Validator(
            parse_json(text),
            mask=mask,
            # The library's own default backtracks.
            pattern_options=jsonschema_rs.RegexOptions(),
            validate_formats=False,
            offline=True,
        )
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
        told = getattr(error, "message", None) or str(error)
        raise InvalidSchema(f"this is no schema: {_cut(told)}") from error


def _pointer(path: Sequence[str | int]) -> str:
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join(f"/{step}" for step in steps)


def _cut(message: str) -> str:
    line = message.splitlines()[0] if message else ""
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE] + "…"
