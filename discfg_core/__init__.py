"""discfg: versioned configuration, with the same guarantees on every store.

    import discfg_core as discfg

    with discfg.connect("sqlite:///app.db", actor="ann") as store:
        cfg = store.create_config("mycfg")
        cfg.set("db/host", "10.0.0.1")

What is listed here is the public surface. It is loaded when it is first used, so that
importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module

from discfg_core._version import __version__

# `typing` would cost more to import than all the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from discfg_core.config import Config
    from discfg_core.engine import CheckReport, Guarantee
    from discfg_core.errors import (
        AccessDenied,
        ClockSkew,
        Closed,
        CommitIdExpired,
        CommitIdReused,
        CommitTooLarge,
        ConditionFailed,
        ConfigExists,
        ConfigNotFound,
        ConfigReplaced,
        Corrupt,
        DiscfgError,
        DocumentTooLarge,
        DuplicateEngine,
        EngineError,
        EngineLoadFailed,
        EngineNotInstalled,
        FileUnreadable,
        GuaranteeNotMet,
        InvalidDotfile,
        InvalidInput,
        InvalidKey,
        InvalidName,
        InvalidOption,
        InvalidSchema,
        InvalidSettings,
        InvalidTransaction,
        InvalidURL,
        InvalidValue,
        KeyNotFound,
        NewerFormat,
        NotFound,
        OutcomeUnknown,
        RevisionNotFound,
        SchemaViolated,
        SettingsNotApplied,
        StoreBusy,
        StoreError,
        StoreFull,
        StoreUnavailable,
        TextTooLong,
        Timeout,
        UnknownEngine,
        UnsupportedStore,
        ValueTooLarge,
        WatchStale,
    )
    from discfg_core.model import Action, Change, Commit, ConfigInfo, ConfigState, Node
    from discfg_core.schema import Violation
    from discfg_core.store import Store, connect
    from discfg_core.transaction import ConfigTransaction
    from discfg_core.watching import Subscription, Watch

# Where each public name lives.
_HOME = {
    "AccessDenied": "errors",
    "Action": "model",
    "Change": "model",
    "CheckReport": "engine",
    "ClockSkew": "errors",
    "Closed": "errors",
    "Commit": "model",
    "CommitIdExpired": "errors",
    "CommitIdReused": "errors",
    "CommitTooLarge": "errors",
    "ConditionFailed": "errors",
    "Config": "config",
    "ConfigExists": "errors",
    "ConfigInfo": "model",
    "ConfigNotFound": "errors",
    "ConfigReplaced": "errors",
    "ConfigState": "model",
    "ConfigTransaction": "transaction",
    "Corrupt": "errors",
    "DiscfgError": "errors",
    "DocumentTooLarge": "errors",
    "DuplicateEngine": "errors",
    "EngineError": "errors",
    "EngineLoadFailed": "errors",
    "EngineNotInstalled": "errors",
    "FileUnreadable": "errors",
    "Guarantee": "engine",
    "GuaranteeNotMet": "errors",
    "InvalidInput": "errors",
    "InvalidDotfile": "errors",
    "InvalidKey": "errors",
    "InvalidName": "errors",
    "InvalidOption": "errors",
    "InvalidSchema": "errors",
    "InvalidSettings": "errors",
    "InvalidTransaction": "errors",
    "InvalidURL": "errors",
    "InvalidValue": "errors",
    "KeyNotFound": "errors",
    "NewerFormat": "errors",
    "Node": "model",
    "NotFound": "errors",
    "RevisionNotFound": "errors",
    "SchemaViolated": "errors",
    "SettingsNotApplied": "errors",
    "OutcomeUnknown": "errors",
    "Store": "store",
    "StoreBusy": "errors",
    "StoreError": "errors",
    "StoreFull": "errors",
    "StoreUnavailable": "errors",
    "TextTooLong": "errors",
    "Timeout": "errors",
    "UnknownEngine": "errors",
    "UnsupportedStore": "errors",
    "WatchStale": "errors",
    "Watch": "watching",
    "Subscription": "watching",
    "ValueTooLarge": "errors",
    "Violation": "schema",
    "connect": "store",
}

__all__ = [
    "AccessDenied",
    "Action",
    "Change",
    "CheckReport",
    "ClockSkew",
    "Closed",
    "Commit",
    "CommitIdExpired",
    "CommitIdReused",
    "CommitTooLarge",
    "ConditionFailed",
    "Config",
    "ConfigExists",
    "ConfigInfo",
    "ConfigNotFound",
    "ConfigReplaced",
    "ConfigState",
    "ConfigTransaction",
    "Corrupt",
    "DiscfgError",
    "DocumentTooLarge",
    "DuplicateEngine",
    "EngineError",
    "EngineLoadFailed",
    "EngineNotInstalled",
    "FileUnreadable",
    "Guarantee",
    "GuaranteeNotMet",
    "InvalidDotfile",
    "InvalidInput",
    "InvalidKey",
    "InvalidName",
    "InvalidOption",
    "InvalidSchema",
    "InvalidSettings",
    "InvalidTransaction",
    "InvalidURL",
    "InvalidValue",
    "KeyNotFound",
    "NewerFormat",
    "Node",
    "NotFound",
    "OutcomeUnknown",
    "RevisionNotFound",
    "SchemaViolated",
    "SettingsNotApplied",
    "Store",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "Subscription",
    "TextTooLong",
    "Timeout",
    "UnknownEngine",
    "UnsupportedStore",
    "ValueTooLarge",
    "Violation",
    "Watch",
    "WatchStale",
    "__version__",
    "connect",
]


if not TYPE_CHECKING:
    # Hidden from type checkers, for which it would make every misspelt name an `Any`.
    def __getattr__(name):
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
