"""What the documentation says of engines, from their profiles alone.

The profiles of `backends/` are read from the source there, installed or not, so that every
checkout generates the same pages.
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from discfg_core import wire
from discfg_core.engine import EngineProfile, Guarantee
from discfg_core.substrates import memory, sqlite
from discfg_core.versioned import budget
from scripts.markdown import one_line, table

ROOT = Path(__file__).resolve().parents[1]

EMBEDDED = {"memory": memory.PROFILE, "sqlite": sqlite.PROFILE}

_GUARANTEES = {
    Guarantee.DURABLE: "an acknowledged commit survives the death of the process",
    Guarantee.SHARED: "other processes see the same configs",
    Guarantee.DISTRIBUTED: "other machines do",
    Guarantee.PUSH_WATCH: "the store announces a change by itself; nobody polls",
    Guarantee.UNDROP: "a dropped config can be brought back until its name is used anew",
}
_FIGURES = {
    "registerBudget": "bytes that a config's head should stay under",
    "registerMax": "bytes that it cannot exceed",
    "blobMax": "bytes of one blob, of which a large value is one",
    "minSwapInterval": "seconds between two commits of one config",
    "blobsRide": "whether a commit's blobs cost no request of their own",
    "pushWait": "whether the store tells of a change by itself",
}
_CAPITAL = re.compile("(?=[A-Z])")


def profiles() -> dict[str, EngineProfile]:
    """Return the profile of each engine of this repository, by scheme."""
    found = dict(EMBEDDED)
    for source in sorted((ROOT / "backends").glob("*/discfg_*/profile.py")):
        found[source.parents[1].name] = profile_of(source.parents[1])
    return found


def profile_of(backend: Path) -> EngineProfile:
    """Return the profile of a backend, by its folder."""
    sys.path.insert(0, str(backend))
    try:
        found = import_module(f"discfg_{backend.name}.profile").PROFILE
    finally:
        sys.path.remove(str(backend))
    if not isinstance(found, EngineProfile):
        raise SystemExit(f"{backend}: its PROFILE is a {type(found).__name__}")
    return found


def profile_part(profile: EngineProfile) -> str:
    """Return what a page about one engine says of it."""
    told = wire.profile_json(profile)
    guarantees = ", ".join(f"`{each.upper()}`" for each in told["guarantees"])
    reasons = {name: limit for name, limit in told["limits"].items() if limit["why"]}
    parts = [
        f"```text\n{profile.url}\n```\n",
        _options_table(told["options"]) if told["options"] else "It takes no options.\n",
        f"Guarantees beyond those of every engine: {guarantees or 'none'}.\n",
    ]
    if reasons:
        rows = (
            (_words(name), _FIGURES[name], _shown(limit["figure"]), limit["why"])
            for name, limit in reasons.items()
        )
        parts.append(table(("limit", "what it is", "figure", "why"), rows))
    return "\n".join(parts)


def _options_table(options: list[dict[str, Any]]) -> str:
    return table(
        ("option", "takes", "default", "what it is"),
        (
            (f"`{option['name']}`", option["type"], _default(option), option["description"])
            for option in options
        ),
    )


def _default(option: dict[str, Any]) -> str:
    if option["required"]:
        return "must be given"
    default = option["default"]
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def embedded() -> str:
    """Return what there is to say of the engines that come with discfg itself."""
    return "\n".join(
        f"### {scheme}\n\n{profile_part(profile)}" for scheme, profile in EMBEDDED.items()
    )


def comparison() -> str:
    """Return all engines side by side: what they guarantee, and their figures."""
    engines = profiles()
    columns = tuple(f"`{scheme}://`" for scheme in engines)
    promised = (
        (
            f"`{guarantee.name}`",
            meaning,
            *("yes" if guarantee in each.guarantees else "no" for each in engines.values()),
        )
        for guarantee, meaning in _GUARANTEES.items()
    )
    told = [wire.profile_json(each)["limits"] for each in engines.values()]
    figures = (
        (_words(name), meaning, *(_shown(limits[name]["figure"]) for limits in told))
        for name, meaning in _FIGURES.items()
    )
    return "\n".join(
        (
            table(("guarantee", "what it means", *columns), promised),
            table(("figure", "what it is", *columns), figures),
        )
    )


def thresholds() -> str:
    """Return what the engine makes of each store's figures."""
    limits = {scheme: profile.limits for scheme, profile in profiles().items()}
    rows = (
        (
            f"`{name}`",
            one_line(inspect.getdoc(function) or "").removesuffix("."),
            *(f"{function(each):,}" for each in limits.values()),
        )
        for name, function in vars(budget).items()
        if inspect.isfunction(function) and not name.startswith("_")
    )
    return table(("threshold", "what it is", *(f"`{scheme}://`" for scheme in limits)), rows)


def _words(name: str) -> str:
    return _CAPITAL.sub(" ", name).lower()


def _shown(figure: bool | float | None) -> str:
    if isinstance(figure, bool):
        return "yes" if figure else "no"
    return "no limit" if figure is None else f"{figure:,}".removesuffix(".0")
