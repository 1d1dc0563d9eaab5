"""What the command line, the REST server and the Lambda answer, in one place.

Answers are plain dictionaries in camelCase; `encode` gives their bytes. A stored JSON value is
in them as `msgspec.Raw`, its own bytes without the blanks between tokens, so that no digit of
a number is lost: `encode` can write it, the standard library's `json` cannot.

Times are RFC 3339 in UTC with nanoseconds, beside the integer of nanoseconds since 1970.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from discfg_core import document, errors, values
from discfg_core.clock import NANOSECONDS, to_datetime
from discfg_core.engine import CheckReport, EngineProfile, Finding
from discfg_core.model import Change, Commit, ConfigInfo, Node
from discfg_core.schema import Violation

if TYPE_CHECKING:
    from discfg_core.doctor import Report
    from discfg_core.registry import Listed
    from discfg_core.substrate import Limits

Answer: TypeAlias = dict[str, Any]


def encode(answer: Mapping[str, Any]) -> bytes:
    """An answer as JSON in UTF-8: compact, on one line, no line end.

    For people, give it to `msgspec.json.format`.
    """
    return msgspec.json.encode(answer)


# --- results ----------------------------------------------------------------------------


def answer(action: str, node: Node | None, prev: Node | None = None) -> Answer:
    """The answer to an action on one key.

    Returns:
        ``{"action": …, "node": …, "prevNode": …}``; no node is an empty object.

    Raises:
        Corrupt, StoreError: A large value cannot be fetched.
    """
    return {"action": action, "node": _or_empty(node), "prevNode": _or_empty(prev)}


def node_json(node: Node) -> Answer:
    """A node. A removed key has neither ``value`` nor ``contentType``.

    ``value`` is JSON for a JSON content type, a string for a text one, else base64, which
    ``"encoding": "base64"`` tells; so is a value that is not what its content type says.

    Raises:
        Corrupt, StoreError: A large value cannot be fetched.
    """
    shown: Answer = {"key": node.key, "version": node.version}
    if node.has_value:
        shown |= _value(node.value, node.content_type)
        shown["contentType"] = node.content_type
    return shown | _rest_of(node)


def document_json(nodes: Iterable[Node], prefix: str) -> Answer:
    """The nodes below a normalised prefix, sorted, as one nested object: `Config.document`.

    Bytes are ``{"$base64": "…"}``; so is a value that is not what its content type says.

    Raises:
        Corrupt, StoreError: A large value cannot be fetched.
    """
    return document.nested(nodes, prefix, _leaf)


def _leaf(node: Node) -> Any:
    shown = _value(node.value, node.content_type)
    return {document.BASE64: shown["value"]} if "encoding" in shown else shown["value"]


def change_json(change: Change) -> Answer:
    """What a commit did to one key.

    Raises:
        Corrupt, StoreError: A large value cannot be fetched.
    """
    return {
        "action": change.action.value,
        "revision": change.revision,
        "node": node_json(change.node),
        "prevNode": _or_empty(change.prev_node),
    }


def commit_json(commit: Commit) -> Answer:
    """A commit with its changes; ``settings`` and ``prevSettings`` only where it changed them,
    ``schema`` and ``prevSchema`` likewise (null for none), ``revertedTo`` only where it went back
    to a revision.

    Raises:
        Corrupt, StoreError: A large value cannot be fetched.
    """
    shown: Answer = {
        "revision": commit.revision,
        "id": commit.id,
        "actor": commit.actor,
        "message": commit.message,
        **_time("time", commit.time_ns),
        "changes": [change_json(change) for change in commit.changes],
    }
    if commit.settings is not None:
        shown["settings"] = commit.settings
        shown["prevSettings"] = commit.prev_settings
    if commit.schema is not None:
        shown["schema"] = schema_json(commit.schema)
        shown["prevSchema"] = schema_json(commit.prev_schema or "")
    if commit.reverted_to is not None:
        shown["revertedTo"] = commit.reverted_to
    return shown


def commit_answer(action: str, commit: Commit | None) -> Answer:
    """The answer to an action that makes a commit; an empty object where there was nothing to do.

    Raises:
        Corrupt, StoreError: A large value cannot be fetched.
    """
    return {"action": action, "commit": {} if commit is None else commit_json(commit)}


def schema_json(text: str) -> Any:
    """A schema from its text; ``None`` for no schema."""
    return values.parse_json(text) if text else None


def violation_json(violation: Violation) -> Answer:
    """What a schema forbids."""
    return msgspec.structs.asdict(violation)


def governed(commit: Commit) -> list[str]:
    """What a commit changed besides keys: ``settings``, ``schema``."""
    changed = {"settings": commit.settings, "schema": commit.schema}
    return [name for name, now in changed.items() if now is not None]


def watch_json(commit: Commit, change: Change | str) -> Answer:
    """One change of a commit as a watch tells it, with what is the commit's own; a word of
    `governed` stands for a change of something else than a key.

    Raises:
        Corrupt, StoreError: A large value cannot be fetched.
    """
    told = commit_json(msgspec.structs.replace(commit, changes=()))
    del told["changes"]
    return {"action": change, **told} if isinstance(change, str) else told | change_json(change)


def info_json(info: ConfigInfo) -> Answer:
    """A config's description, and the same once more in the ``cfg…`` fields of old."""
    return {
        "name": info.name,
        "incarnation": info.incarnation,
        "revision": info.revision,
        **_time("created", info.created_ns),
        **_time("modified", info.modified_ns),
        "state": info.state.value,
        "settings": info.settings,
        "actualSettings": info.actual_settings,
        "engine": info.engine,
        "keys": info.keys,
        "size": info.size,
        "cfgVersion": info.revision,
        "cfgModified": info.modified_ns // NANOSECONDS,
        "cfgModifiedNanoseconds": info.modified_ns,
        "cfgModifiedParsed": _rfc3339(info.modified_ns)[:19] + "Z",
        "cfgState": info.state.value,
        "cfgStorage": {
            "name": info.engine,
            "interfaceName": info.engine,
            "options": info.actual_settings,
        },
    }


def check_json(report: CheckReport) -> Answer:
    """What a check of one config found."""
    return {
        "config": report.config,
        "problems": report.problems,
        "commits": report.commits,
        "keys": report.keys,
        "blobs": report.blobs,
        "orphans": report.orphans,
        "orphanBytes": report.orphan_bytes,
    }


def doctor_json(report: Report) -> Answer:
    """What an examination of a store found; ``status`` is the gravest of its checks."""
    return {
        "store": report.store,
        "status": str(report.status),
        "checks": [_finding(check) for check in report.checks],
        "timings": [
            {
                "what": timing.what,
                "times": timing.times,
                "medianMilliseconds": timing.median,
                "p95Milliseconds": timing.p95,
            }
            for timing in report.timings
        ],
        "left": report.left,
    }


def _finding(finding: Finding) -> Answer:
    return {
        "check": finding.check,
        "status": str(finding.status),
        "message": finding.message,
        "hint": finding.hint,
    }


def engine_json(listed: Listed) -> Answer:
    """An engine: ``state`` is ``installed``, ``broken`` or ``missing``; what is not known of it
    is left out.
    """
    state = "missing" if listed.engine is None else "broken" if listed.error else "installed"
    shown: Answer = {"scheme": listed.scheme, "state": state}
    if listed.engine is not None:
        shown["distribution"] = listed.engine.distribution
        shown["version"] = listed.engine.version
    if listed.profile is not None:
        shown |= profile_json(listed.profile)
    if listed.error is not None:
        shown["error"] = error_json("engines", listed.error)["error"]
    return shown


def profile_json(profile: EngineProfile) -> Answer:
    """What an engine says of itself. A figure that is ``null`` is no limit."""
    return {
        "url": profile.url,
        "guarantees": sorted(str(each) for each in profile.guarantees),
        "limits": _limits(profile.limits),
        "options": _options(profile.options),
    }


def _limits(limits: Limits) -> Answer:
    return {
        _camel(field.name): {
            "figure": _figure(field, getattr(limits, field.name)),
            "why": limits.why.get(field.name, ""),
        }
        for field in msgspec.structs.fields(limits)
        if field.name != "why"
    }


def _figure(field: msgspec.structs.FieldInfo, value: float) -> float | None:
    return None if field.name.endswith("_max") and value == field.default else value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _options(options: type[msgspec.Struct]) -> list[Answer]:
    from msgspec import inspect  # noqa: PLC0415 - a few ms, and hardly any answer needs it

    info = inspect.type_info(options)
    assert isinstance(info, inspect.StructType), "options are a struct"
    return [
        {
            "name": field.encode_name,
            "type": _type_in_words(field.type),
            "default": None if field.required else field.default,
            "required": field.required,
            "description": _description(field.type),
        }
        for field in info.fields
    ]


def _description(kind: Any) -> str:
    schema = getattr(kind, "extra_json_schema", None) or {}
    return str(schema.get("description", ""))


def _type_in_words(kind: Any) -> str:
    """What may be written for an option; that it may be left out is told elsewhere."""
    from msgspec import inspect  # noqa: PLC0415 - as above

    if isinstance(kind, inspect.Metadata):
        return _type_in_words(kind.type)
    if isinstance(kind, inspect.UnionType):
        parts = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return " or ".join(map(_type_in_words, parts))
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(map(str, kind.values))
    if isinstance(kind, inspect.EnumType):
        return " or ".join(str(member.value) for member in kind.cls)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        word = "whole number" if isinstance(kind, inspect.IntType) else "number"
        bounds = {"from": kind.ge, "above": kind.gt, "to": kind.le, "below": kind.lt}
        told = (f"{name} {bound:g}" for name, bound in bounds.items() if bound is not None)
        return " ".join((word, *told))
    return "true or false" if isinstance(kind, inspect.BoolType) else "text"


def _or_empty(node: Node | None) -> Answer:
    return {} if node is None else node_json(node)


def _rest_of(node: Node) -> Answer:
    rest: Answer = {
        "revision": node.revision,
        **_time("created", node.created_ns),
        **_time("modified", node.modified_ns),
    }
    if node.expires_ns is not None:
        rest |= _time("expires", node.expires_ns)
    return rest


def _value(raw: bytes, content_type: str) -> Answer:
    try:
        if values.is_json(content_type):
            # The encoder copies raw JSON as it is, and `format` does not look into strings.
            raw.decode()
            return {"value": msgspec.Raw(msgspec.json.format(raw, indent=-1))}
        if values.is_text(content_type):
            return {"value": raw.decode()}
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        # The content type is the writer's claim, and nothing that reading may fail on.
        pass
    return {"value": base64.b64encode(raw).decode(), "encoding": "base64"}


def _time(name: str, nanoseconds: int) -> Answer:
    return {name: _rfc3339(nanoseconds), f"{name}Nanoseconds": nanoseconds}


def _rfc3339(nanoseconds: int) -> str:
    seconds = to_datetime(nanoseconds).isoformat(timespec="seconds")[:19]
    return f"{seconds}.{nanoseconds % NANOSECONDS:09d}Z"


# --- errors -----------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What a class of errors is to a shell and to an HTTP client."""

    exit_code: int
    http_status: HTTPStatus


_FAILED, _ABSENT, _CONDITION, _INPUT, _UNREACHABLE = 1, 3, 4, 5, 6

# The nearest class of an error's ancestry counts. 0 is success, 2 wrong usage.
OUTCOMES: dict[type[errors.DiscfgError], Outcome] = {
    errors.DiscfgError: Outcome(_FAILED, HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.InvalidInput: Outcome(_INPUT, HTTPStatus.BAD_REQUEST),
    errors.ValueTooLarge: Outcome(_INPUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    errors.CommitTooLarge: Outcome(_INPUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    errors.DocumentTooLarge: Outcome(_CONDITION, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    errors.SchemaViolated: Outcome(_CONDITION, HTTPStatus.UNPROCESSABLE_ENTITY),
    errors.NotFound: Outcome(_ABSENT, HTTPStatus.NOT_FOUND),
    # Creating is conditional on absence.
    errors.ConfigExists: Outcome(_CONDITION, HTTPStatus.CONFLICT),
    errors.ConfigReplaced: Outcome(_CONDITION, HTTPStatus.CONFLICT),
    errors.ConditionFailed: Outcome(_CONDITION, HTTPStatus.PRECONDITION_FAILED),
    errors.CommitIdReused: Outcome(_CONDITION, HTTPStatus.CONFLICT),
    errors.CommitIdExpired: Outcome(_CONDITION, HTTPStatus.CONFLICT),
    errors.StoreUnavailable: Outcome(_UNREACHABLE, HTTPStatus.SERVICE_UNAVAILABLE),
    errors.StoreFull: Outcome(_FAILED, HTTPStatus.INSUFFICIENT_STORAGE),
    errors.AccessDenied: Outcome(_FAILED, HTTPStatus.BAD_GATEWAY),
    errors.Timeout: Outcome(_UNREACHABLE, HTTPStatus.GATEWAY_TIMEOUT),
    errors.OutcomeUnknown: Outcome(_UNREACHABLE, HTTPStatus.GATEWAY_TIMEOUT),
    errors.SettingsNotApplied: Outcome(_UNREACHABLE, HTTPStatus.SERVICE_UNAVAILABLE),
    # A scheme that nobody serves is a mistake in the URL, one that could be installed is not.
    errors.UnknownEngine: Outcome(_INPUT, HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.EngineNotInstalled: Outcome(_FAILED, HTTPStatus.INTERNAL_SERVER_ERROR),
    errors.Closed: Outcome(_FAILED, HTTPStatus.SERVICE_UNAVAILABLE),
}


def exit_code(error: errors.DiscfgError) -> int:
    """What a command that failed with this error exits with."""
    return _outcome(error).exit_code


def http_status(error: errors.DiscfgError) -> HTTPStatus:
    """What a request that failed with this error is answered with."""
    return _outcome(error).http_status


def _outcome(error: errors.DiscfgError) -> Outcome:
    return next(OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES)


def error_json(action: str, error: errors.DiscfgError) -> Answer:
    """The answer to an action that failed; fields of the error that say nothing are left out.

    A failed condition has the config's ``revision`` and the ``node`` that stands there, an
    empty object where the key is absent. A violated schema has the ``violations``.
    """
    shown: Answer = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "engine": error.engine,
        "operation": error.operation,
        "config": error.config,
        "key": error.key,
    }
    if isinstance(error, errors.OutcomeUnknown):
        shown["commitId"] = error.commit_id
    if isinstance(error, errors.ConditionFailed):
        shown["revision"] = error.revision
        shown["node"] = _without_failing(error.node)
    if isinstance(error, errors.SchemaViolated):
        shown["violations"] = [violation_json(each) for each in error.violations]
    told = {name: _printable(value) for name, value in shown.items() if value is not None}
    return {"action": action, "error": told | {"retryable": error.retryable}}


def _printable(value: Any) -> Any:
    # What a caller typed may have no UTF-8 form, and is quoted in the error that says so.
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _without_failing(node: Node | None) -> Answer:
    try:
        return _or_empty(node)
    except errors.DiscfgError:
        # A large value that cannot be fetched now must not hide the error it is a detail of.
        assert node is not None, "only a node's value is fetched"
        return {"key": node.key, "version": node.version} | _rest_of(node)
