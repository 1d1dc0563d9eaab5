"""The operations that make one state of a config into another."""

from __future__ import annotations

from collections.abc import Mapping

from discfg_core import values
from discfg_core.engine import Put, Remove, View
from discfg_core.errors import InvalidValue
from discfg_core.keys import under
from discfg_core.model import Node


def to_values(present: View, wanted: Mapping[str, tuple[bytes, str]]) -> tuple[Put | Remove, ...]:
    """What leaves exactly the keys of `wanted`, each with its bytes and content type.

    A node that decodes to the same data is left as it is, whatever its bytes and type.
    """
    there = {node.key: node for node in present.list()}
    gone = [Remove(key) for key in there if key not in wanted]
    put = [
        Put(key, *stored)
        for key, stored in wanted.items()
        if key not in there or not _means(there[key], stored)
    ]
    return (*gone, *put)


def _means(node: Node, stored: tuple[bytes, str]) -> bool:
    try:
        return (node.value, node.content_type) == stored or values.encode(node.data) == stored
    except InvalidValue:
        # Bytes that are not what their type says: not what anybody asks for.
        return False


def to_past(present: View, past: View, prefixes: tuple[str, ...]) -> tuple[Put | Remove, ...]:
    """What puts the keys under the prefixes back to a past view's."""

    def chosen(view: View) -> dict[str, Node]:
        return {
            node.key: node
            for node in view.list()
            if any(under(node.key, prefix) for prefix in prefixes)
        }

    there, then = chosen(present), chosen(past)
    gone = [Remove(key) for key in there if key not in then]
    put = [
        Put(key, node.value, node.content_type)
        for key, node in then.items()
        if key not in there or not node.same_value(there[key])
    ]
    return (*gone, *put)
