"""A config as one nested object: its document, what JSON Schema and templates work on.

Pure functions; what a value looks like in it is the caller's to say, see `leaf`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

from discfg_core.errors import InvalidValue
from discfg_core.model import Node

OWN = ""
"""The name of a node's own value where there are keys below it. No segment of a key is empty."""

BASE64 = "$base64"
"""The one name in the object that stands for bytes."""


def nested(nodes: Iterable[Node], prefix: str, leaf: Callable[[Node], Any]) -> dict[str, Any]:
    """The object that the keys below a prefix form, a level for each segment; made anew.

    Args:
        nodes: All of them under the prefix, sorted by key.
        prefix: Normalised. Its own node, if there is one, stands under ``""``.
        leaf: What stands for a node.
    """
    top = "" if prefix == "/" else prefix
    whole: dict[str, Any] = {}
    # By path: whether a dict is one of these or a value cannot be told by looking at it.
    objects = {top: whole}
    for node in nodes:
        path, inside = top, whole
        *above, name = node.key[len(top) + 1 :].split("/")
        for segment in above:
            path = f"{path}/{segment}"
            if path not in objects:
                objects[path] = {OWN: inside[segment]} if segment in inside else {}
                inside[segment] = objects[path]
            inside = objects[path]
        inside[name] = leaf(node)
    return whole


def leaf(node: Node) -> Any:
    """A node's data, a fresh object; of bytes ``{"$base64": …}``.

    Raises:
        InvalidValue: The value is not what its content type says; carries the key.
        Corrupt, StoreError: A large value cannot be fetched.
    """
    try:
        data = node.data
    except InvalidValue as error:
        raise InvalidValue(f"key {node.key}: {error.message}", key=node.key) from error
    return of_bytes(data) if isinstance(data, bytes) else data


def of_bytes(raw: bytes) -> dict[str, str]:
    """What stands for bytes."""
    return {BASE64: base64.b64encode(raw).decode()}
