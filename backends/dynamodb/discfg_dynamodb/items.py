"""The items of a table: what is under which key.

All of a config's items are in its table under one string each. The register is ``head``; a blob
is ``b/`` and its name, with its size and, if it is small, its bytes; the pieces of a larger one
are ``c/`` and its name, their size and their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from discfg_core.errors import Corrupt
from discfg_core.substrate import Register, Token

KEY: Final = "id"
HEAD: Final = {KEY: {"S": "head"}}
CONDEMNED: Final = "condemned"
BLOB: Final = "b/"

Item = Mapping[str, Any]


def key_of_blob(blob: str) -> str:
    """The key of a blob."""
    return BLOB + blob


def key_of_piece(blob: str, piece_bytes: int, number: int) -> str:
    """The key of a piece of a blob that is cut into pieces of that size."""
    return f"c/{blob}/{piece_bytes}/{number}"


def expecting(token: Token | None) -> dict[str, Any]:
    """The parameters of a write of the register that hold it to this token; ``None``: to absence.

    What stands there instead comes back with the refusal.
    """
    common = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    if token is None:
        return {"ConditionExpression": f"attribute_not_exists({KEY})", **common}
    return {
        "ConditionExpression": "#token = :token",
        # A word that DynamoDB has for itself.
        "ExpressionAttributeNames": {"#token": "token"},
        "ExpressionAttributeValues": {":token": {"B": token}},
        **common,
    }


def condemned(item: Item | None) -> bool:
    """Whether the register says that its table is to go."""
    return item is not None and CONDEMNED in item


def register_of(item: Item | None) -> Register | None:
    """The register; ``None`` where there is none, or its table is to go.

    Raises:
        Corrupt: It is no register.
    """
    if item is None or condemned(item):
        return None
    token, data = bytes_of(item, "token"), bytes_of(item, "data")
    if token is None or data is None:
        raise Corrupt("the register's item has no token, or no data")
    return Register(data, token)


def bytes_of(item: Item, attribute: str) -> bytes | None:
    """An attribute's bytes; ``None`` where it has none."""
    value = item.get(attribute, {}).get("B")
    return None if value is None else bytes(value)


def number_of(item: Item, attribute: str) -> int | None:
    """An attribute's whole number; ``None`` where it has none."""
    value = item.get(attribute, {}).get("N")
    try:
        return None if value is None else int(value)
    except ValueError:
        return None
