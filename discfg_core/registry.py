"""From a URL's scheme to an engine: the only module that knows how plugins are found.

An engine is an entry point of the group ``discfg.engines``. Its name is the URL scheme; it
gives a callable that takes a `StoreURL` and returns a `StorageEngine`. The embedded engines
come through the same door as everybody else's.

Three habits of stevedore shape this module. Its list of entry points comes from a cache on
disk that rounds file times to about two minutes, drops the distribution, and folds equal
entries of two distributions into one: so it is given the interpreter's own list. It reports
a name that is missing, or there twice, only after loading and logging: so both are settled
before it is asked. It takes a falsy instance for none: so it hands over the callable alone.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Collection
from functools import cache
from typing import TypeAlias

import msgspec
from stevedore.driver import DriverManager

from discfg_core.engine import EngineProfile, Guarantee, StorageEngine
from discfg_core.errors import (
    DiscfgError,
    DuplicateEngine,
    EngineError,
    EngineLoadFailed,
    EngineNotInstalled,
    GuaranteeNotMet,
    UnknownEngine,
)
from discfg_core.urls import StoreURL

GROUP = "discfg.engines"

EngineFactory: TypeAlias = Callable[[StoreURL], StorageEngine]

# What brings each of our own engines.
_OURS = {
    "memory": "discfg",
    "sqlite": "discfg",
    "etcd": "discfg[etcd]",
    "s3": "discfg[s3]",
    "dynamodb": "discfg[dynamodb]",
    "rethinkdb": "discfg[rethinkdb]",
}


class InstalledEngine(msgspec.Struct, frozen=True, order=True):
    """An engine that is installed, working or not."""

    scheme: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Listed(msgspec.Struct, frozen=True):
    """An engine as `survey` finds it.

    Attributes:
        scheme: Of its URLs.
        engine: What is installed; ``None`` for one of discfg's own that is not.
        profile: What it says of itself; ``None`` where it says nothing, or cannot.
        error: Why it cannot be used; ``None`` for one that can.
    """

    scheme: str
    engine: InstalledEngine | None = None
    profile: EngineProfile | None = None
    error: EngineError | None = None


def open_engine(url: StoreURL, require: Collection[Guarantee] = frozenset()) -> StorageEngine:
    """The engine for a URL; it gives every guarantee required. The caller closes it.

    Only the engine of this scheme is imported.

    Args:
        url: The store's.
        require: What the engine must give.

    Raises:
        UnknownEngine: No installed engine has this scheme; the hint lists those there are.
        EngineNotInstalled: It is one of discfg's own; the hint is the line that installs it.
        DuplicateEngine: Several distributions claim the scheme; all are named.
        EngineLoadFailed: It cannot be imported or started, or what it gives is no engine.
        GuaranteeNotMet: Names what is missing and what there is; the engine was closed.
        DiscfgError: What the engine itself says of the URL or the store.
    """
    try:
        made: object = _factory(url.scheme)(url)
        # A class has all that its instances have.
        engine = made if isinstance(made, StorageEngine) and not isinstance(made, type) else None
        given: frozenset[Guarantee] = (
            frozenset() if engine is None else frozenset(engine.guarantees)
        )
    except DiscfgError as error:
        error.locate(engine=url.scheme)
        raise
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        raise _not_started(url, error) from _harmless(url, error)
    if engine is None:
        raise EngineLoadFailed(
            f"the engine for {url.scheme}:// gave a {type(made).__name__}, no StorageEngine",
            engine=url.scheme,
            hint=_whose_fault(url.scheme),
        )
    return _demand(engine, url.scheme, frozenset(require), given)


def demand(engine: StorageEngine, require: Collection[Guarantee]) -> StorageEngine:
    """The engine, if it gives every guarantee required; else it is closed.

    Raises:
        GuaranteeNotMet: Names what is missing and what there is.
    """
    return _demand(engine, engine.scheme, frozenset(require), frozenset(engine.guarantees))


def installed() -> tuple[InstalledEngine, ...]:
    """The engines that are installed, sorted by scheme; none of them is imported.

    Raises:
        EngineLoadFailed: The installed distributions cannot be listed.
    """
    return tuple(sorted(map(_describe, _entry_points())))


def profile(scheme: str) -> EngineProfile | None:
    """What an installed engine says of itself; only this one is imported, no store is opened.

    Returns:
        It; ``None`` for an engine that says nothing, which may be a sound one.

    Raises:
        UnknownEngine, DuplicateEngine, EngineLoadFailed: As `open_engine`.
    """
    factory = _factory(scheme.lower())
    try:
        found: object = getattr(factory, "profile", None)
    except Exception as error:
        raise EngineLoadFailed(
            f"the profile of the engine for {scheme}:// cannot be had: "
            f"{type(error).__name__}: {error}",
            engine=scheme,
            hint=_whose_fault(scheme),
        ) from error
    if found is None or isinstance(found, EngineProfile):
        return found
    raise EngineLoadFailed(
        f"the engine for {scheme}:// has a {type(found).__name__} for a profile",
        engine=scheme,
        hint=_whose_fault(scheme),
    )


def survey() -> tuple[Listed, ...]:
    """All engines, sorted by scheme: those installed, working or broken, and those of discfg's
    own that could be. Each one installed is imported.

    Raises:
        EngineLoadFailed: The installed distributions cannot be listed.
    """
    found = installed()
    schemes = {engine.scheme for engine in found}
    missing = [Listed(scheme, error=_unknown(scheme)) for scheme in _OURS if scheme not in schemes]
    listed = [*map(_looked_at, found), *missing]
    return tuple(sorted(listed, key=lambda each: (each.scheme, each.engine or ())))


def _looked_at(engine: InstalledEngine) -> Listed:
    try:
        return Listed(engine.scheme, engine, profile(engine.scheme))
    except EngineError as error:
        return Listed(engine.scheme, engine, error=error)


def _demand(
    engine: StorageEngine, scheme: str, require: frozenset[str], given: frozenset[str]
) -> StorageEngine:
    missing = require - given
    if not missing:
        return engine
    gives = ", ".join(sorted(given)) or "none of them"
    refusal = GuaranteeNotMet(
        f"{scheme}:// does not give {', '.join(sorted(missing))}; it gives {gives}",
        engine=scheme,
    )
    try:
        engine.close()
    except Exception as error:
        raise refusal from error
    raise refusal


# Remembered when it succeeds only: what is installed meanwhile is found.
@cache
def _factory(scheme: str) -> EngineFactory:
    claims = [point for point in _entry_points() if point.name.lower() == scheme]
    if not claims:
        raise _unknown(scheme)
    if len(claims) > 1:
        named = " and ".join(sorted(str(_describe(point)) for point in claims))
        raise DuplicateEngine(f"{scheme}:// is claimed by {named}", engine=scheme)
    try:
        factory = _Loader(GROUP, claims[0].name).driver
    # A module that ends the interpreter when it is imported is broken like any other.
    except (Exception, SystemExit) as error:
        raise EngineLoadFailed(
            f"the engine for {scheme}:// ({_describe(claims[0])}) cannot be imported: "
            f"{type(error).__name__}: {error}",
            engine=scheme,
            hint=_whose_fault(scheme),
        ) from error
    if not callable(factory):
        raise EngineLoadFailed(
            f"the entry point for {scheme}:// ({_describe(claims[0])}) is a "
            f"{type(factory).__name__}, nothing that can be called",
            engine=scheme,
            hint=_whose_fault(scheme),
        )
    return factory


class _Loader(DriverManager):  # type: ignore[type-arg] # its older releases take no argument
    def list_entry_points(self) -> list[importlib.metadata.EntryPoint]:
        return _entry_points()


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    try:
        return list(importlib.metadata.entry_points(group=GROUP))
    except (ValueError, OSError) as error:
        raise EngineLoadFailed(
            f"the installed distributions cannot be listed: {error}",
            hint="one of them has a damaged entry_points.txt; reinstall it",
        ) from error


def _describe(point: importlib.metadata.EntryPoint) -> InstalledEngine:
    # A damaged distribution may lack either.
    headers = point.dist.metadata.json if point.dist else {}
    name, version = (str(headers.get(field) or "unknown") for field in ("name", "version"))
    return InstalledEngine(point.name.lower(), name, version)


def _unknown(scheme: str) -> UnknownEngine:
    if scheme in _OURS:
        return EngineNotInstalled(
            f"the engine for {scheme}:// is not installed",
            engine=scheme,
            hint=f'pip install "{_OURS[scheme]}"',
        )
    schemes = ", ".join(sorted({engine.scheme for engine in installed()})) or "none"
    return UnknownEngine(
        f"no engine for {scheme}:// is installed",
        engine=scheme,
        hint=f"the schemes installed here: {schemes}",
    )


def _whose_fault(scheme: str) -> str:
    if scheme in _OURS:
        return f'pip install --force-reinstall "{_OURS[scheme]}"'
    return "reinstall its distribution, or tell its authors"


def _not_started(url: StoreURL, error: Exception) -> EngineLoadFailed:
    return EngineLoadFailed(
        f"the engine for {url.scheme}:// cannot be started: "
        f"{type(error).__name__}: {url.scrub(str(error))}",
        engine=url.scheme,
        hint=_whose_fault(url.scheme),
    )


def _harmless(url: StoreURL, error: Exception) -> Exception | None:
    """The cause to chain: none where a traceback of it would show a secret."""
    linked: BaseException | None = error
    while linked is not None:
        if url.scrub(str(linked)) != str(linked):
            return None
        linked = linked.__cause__ or linked.__context__
    return error
