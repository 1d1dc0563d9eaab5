"""Text for a person's eyes: on one line, shortened, and harmless to a terminal.

A value, a key's actor or a store's error may hold escape sequences that move the cursor, set
the title or answer for the user. Nothing that came from a store reaches a terminal raw.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from discfg_core.model import Change, Commit, Node

MAX_SHOWN = 60
_MAX_LOOKED_AT = 4096

# Controls (C0, DEL, C1), line and paragraph separators, what reverses the reading direction,
# and surrogates, which have no encoding.
_RISKY = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_ANY = re.compile(f"[{_RISKY}]")
_BUT_LINES = re.compile(f"(?![\n\t])[{_RISKY}]")


def visible(text: str, *, lines: bool = False) -> str:
    r"""`text` with what a terminal might act on spelled out, as in ``\x1b``.

    Args:
        text: Any.
        lines: Whether line feeds and tabs stay.
    """
    return (_BUT_LINES if lines else _ANY).sub(_spelled, text)


def json_escaped(text: str) -> str:
    r"""The same for JSON, where such characters stand in strings alone: ``\u001b``."""
    return _BUT_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def encodable(text: str) -> str:
    """`text` with a UTF-8 form: an argument that has none may stand in an error."""
    return text.encode("utf-8", "backslashreplace").decode()


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def shortened(text: str, width: int = MAX_SHOWN) -> str:
    """At most `width` characters of one line, the cut marked."""
    shown = visible(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def preview(node: Node) -> str:
    """The beginning of a node's value on one line; of what is no text or is large, the size.

    A large value is not fetched.
    """
    if not node.has_value:
        return ""
    if node.size > _MAX_LOOKED_AT:
        return f"({node.size:,} bytes)"
    try:
        return shortened(node.value.decode())
    except UnicodeDecodeError:
        return f"({node.size:,} bytes)"


def was_and_is(change: Change) -> str:
    """The beginnings of a change's values: what was, an arrow, what is, as far as they exist."""
    before = "" if change.prev_node is None else preview(change.prev_node)
    if change.prev_node is None or not change.node.has_value:
        return before or preview(change.node)
    return (
        f"{shortened(before, MAX_SHOWN // 2)} → {shortened(preview(change.node), MAX_SHOWN // 2)}"
    )


def committed(made: Commit | None) -> str:
    """What a commit did, in a line."""
    if made is None:
        return "nothing to change"
    count = len(made.changes)
    return f"revision {made.revision}: {count} {'key' if count == 1 else 'keys'} changed"


def moment(when: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as plain text, its columns aligned, no line with blanks at its end."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )
