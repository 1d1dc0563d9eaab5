"""`engines`: what is installed, and what could be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from discfg_core import wire
from discfg_core.cli.options import Command, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discfg_core.registry import Listed

_UNITS = {
    "registerBudget": " bytes",
    "registerMax": " bytes",
    "blobMax": " bytes",
    "minSwapInterval": " s",
}
_CAPITAL = re.compile("(?=[A-Z])")


@click.command("engines", cls=Command)
@click.pass_context
def engines(context: click.Context) -> None:
    """List the engines.

    Each with its distribution, how its URLs are written, what it guarantees beyond what every
    engine does, and its limits with their reasons; those that are broken, with the cause; and
    those of discfg's own that are not installed, with the line that installs them. No store is
    opened.
    """
    from discfg_core.registry import survey

    this = session(context)
    listed = survey()
    shown = [wire.engine_json(each) for each in listed]
    this.output.table(
        lambda: {"action": "engines", "engines": shown},
        ("SCHEME", "DISTRIBUTION", "", ""),
        [row for each, answer in zip(listed, shown, strict=True) for row in _rows(each, answer)],
        nothing="no engines",
    )


def _rows(listed: Listed, answer: wire.Answer) -> Iterator[tuple[str, str, str, str]]:
    """An engine's first row names it; each row has one thing to say of it."""
    names = (listed.scheme, "not installed" if listed.engine is None else str(listed.engine))
    for what, told in _facts(listed, answer):
        yield (*names, what, told)
        names = ("", "")


def _facts(listed: Listed, answer: wire.Answer) -> Iterator[tuple[str, str]]:
    if listed.engine is None and listed.error is not None:
        yield "install", str(listed.error.hint)
        return
    if listed.error is not None:
        yield "broken", str(listed.error)
        return
    if listed.profile is None:
        yield "", "it says nothing of itself"
        return
    yield "url", listed.profile.url
    yield "guarantees", ", ".join(answer["guarantees"]) or "none beyond what every engine gives"
    for option in answer["options"]:
        yield f"?{option['name']}=", f"{option['type']}: {option['description']}"
    for name, limit in answer["limits"].items():
        if limit["why"]:
            words = _CAPITAL.sub(" ", name).lower()
            yield words, f"{_figure(limit['figure'])}{_UNITS.get(name, '')}: {limit['why']}"


def _figure(figure: Any) -> str:
    if isinstance(figure, bool):
        return "yes" if figure else "no"
    return "none" if figure is None else f"{figure:,}"
