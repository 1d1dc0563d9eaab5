"""The twins have every method of what they are twins of, with the same arguments."""

from __future__ import annotations

import inspect
from typing import Any, get_overloads

import pytest

import discfg_core as discfg
from discfg_core import Config, ConfigTransaction, Store, Subscription, Watch, aio
from discfg_core.aio import (
    AsyncConfig,
    AsyncStore,
    AsyncSubscription,
    AsyncTransaction,
    AsyncWatch,
)
from discfg_core.aio.twins import awaited

TWINS = [
    (Config, AsyncConfig),
    (Store, AsyncStore),
    (ConfigTransaction, AsyncTransaction),
    (Watch, AsyncWatch),
    (Subscription, AsyncSubscription),
]

# Attributes that objects get when they are made, which a class does not show.
OF_OBJECTS = {Watch: {"revision"}, Subscription: {"error"}}

# What a method with a result of another kind says that it gives.
GIVES = {
    "ConfigTransaction": "AsyncTransaction",
    "Watch": "AsyncWatch",
    "Subscription": "Opening[AsyncSubscription]",
    "Store": "Opening[AsyncStore]",
    "Config": "AsyncConfig",
}
# These send nothing when they are called: there is nothing to await.
PLAIN = {
    Config: {"transaction", "watch", "on_change"},
    Store: {"config"},
    ConfigTransaction: {"set", "delete", "delete_prefix", "check"},
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def takes(function: Any) -> list[inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return [each for name, each in parameters.items() if name != "self"]


def differences(sync: type, twin: type) -> list[str]:
    """How a twin differs from what it is a twin of."""
    found = [f"{name} is missing" for name in sorted(public(sync) - public(twin))]
    strange = public(twin) - public(sync) - OF_OBJECTS.get(sync, set())
    found += [f"{name} is of the twin alone" for name in sorted(strange)]
    for name in sorted(public(sync) & public(twin)):
        ours, theirs = getattr(sync, name), getattr(twin, name)
        if isinstance(ours, property) or isinstance(theirs, property):
            if type(ours) is not type(theirs):
                found.append(f"{name} is a property of one of them")
            continue
        mine = [takes(ours), *map(takes, get_overloads(ours))]
        if inspect.unwrap(theirs) is ours:
            # mypy takes the first overload of what it derives from, and forgets the others.
            its = [takes(theirs)]
        else:
            its = [takes(theirs), *map(takes, get_overloads(theirs))]
        if mine != its:
            found.append(f"{name} takes other arguments")
        found += _kind(ours, theirs, name, plain=name in PLAIN.get(sync, set()))
    return found


def _kind(ours: Any, theirs: Any, name: str, *, plain: bool) -> list[str]:
    gives = inspect.signature(ours).return_annotation
    if plain:
        right = not (inspect.iscoroutinefunction(theirs) or inspect.isasyncgenfunction(theirs))
    elif gives.startswith("Iterator["):
        right = inspect.isasyncgenfunction(theirs)
    else:
        right = inspect.iscoroutinefunction(theirs)
    if not right:
        return [f"{name} is awaited where it should not be, or the other way round"]
    told = inspect.signature(theirs).return_annotation
    # What is made of the other has its signature and all.
    if inspect.unwrap(theirs) is ours or told == GIVES.get(gives, gives):
        return []
    return [f"{name} gives {told}, not {gives}"]


@pytest.mark.parametrize(("sync", "twin"), TWINS)
def test_no_twin_differs(sync: type, twin: type) -> None:
    assert differences(sync, twin) == []


@pytest.mark.parametrize(("sync", "twin"), TWINS[:3])
def test_derived_methods_have_the_docstrings(sync: type, twin: type) -> None:
    derived = [
        name
        for name in public(sync)
        if inspect.isfunction(getattr(twin, name))
        and inspect.unwrap(getattr(twin, name)) is getattr(sync, name)
    ]
    assert len(derived) >= 5
    for name in derived:
        assert getattr(twin, name).__doc__ == getattr(sync, name).__doc__


def test_differences_are_found() -> None:
    async def get(self: AsyncConfig, key: str) -> None:
        """Too few."""

    async def wait_for(self: AsyncConfig, revision: int, *, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as the twin
        return True

    def info(self: AsyncConfig, *, timeout: float | None = None) -> None:
        """Not awaited."""

    one_of_each = {
        "get": get,
        "wait_for": wait_for,
        "info": info,
        "name": AsyncConfig.info,
        "more": AsyncConfig.info,
        "update": awaited(Config.update),
    }
    assert differences(Config, type("Drifted", (AsyncConfig,), one_of_each)) == [
        "more is of the twin alone",
        "get takes other arguments",
        "get gives None, not Any",
        "info is awaited where it should not be, or the other way round",
        "name is a property of one of them",
        "update takes other arguments",
        "wait_for gives bool, not None",
    ]
    further = type("Longer", (AsyncTransaction,), {"further": AsyncTransaction.get})
    assert differences(further, AsyncTransaction)[0] == "further is missing"


def test_connect_takes_what_the_other_takes() -> None:
    mine, theirs = takes(discfg.connect), takes(aio.connect)
    assert [each for each in theirs if each.name != "threads"] == mine
    assert GIVES["Store"] == inspect.signature(aio.connect).return_annotation


def test_all_names_are_there() -> None:
    assert sorted(aio.__all__) == aio.__all__
    for name in aio.__all__:
        assert getattr(aio, name).__doc__
