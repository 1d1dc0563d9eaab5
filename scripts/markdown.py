"""Markdown, as the generated parts of the documentation have it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def one_line(text: str) -> str:
    """Return text with its line breaks and reST quotes as Markdown has them."""
    return " ".join(text.replace("``", "`").split())
