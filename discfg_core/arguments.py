"""The arguments of the public calls: what is accepted, before anything is sent.

Each function returns what it was given, or raises an `InvalidInput` subclass that names the
argument and says what to do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias, TypedDict

import msgspec

from discfg_core import values
from discfg_core.clock import to_nanoseconds
from discfg_core.engine import (
    MAX_ACTOR_BYTES,
    MAX_CLOCK_SKEW_SECONDS,
    MAX_COMMIT_ID_BYTES,
    MAX_MESSAGE_BYTES,
    Guarantee,
    KeyCondition,
    Transaction,
)
from discfg_core.errors import InvalidOption, InvalidValue
from discfg_core.keys import normalize_key, normalize_prefix
from discfg_core.values import check_text

DEFAULT_TIMEOUT_SECONDS = 30.0
# Some client libraries count a time-out in milliseconds of 32 bits.
MAX_TIMEOUT_SECONDS = 86_400.0

_PLAIN_NUMBERS = (float, int)
_PAIRS_HINT = "give a mapping, or pairs of key and data"


Moment: TypeAlias = int | datetime
"""A revision, from 0; or a time, which stands for the last revision of that time or before."""


class CommitOptions(TypedDict, total=False):
    """What every write takes besides its own arguments."""

    if_config_revision: int | None
    """The config's revision before the commit, else `ConditionFailed`."""
    commit_id: str | None
    """The actor's own id, 1 to 256 bytes; makes a repetition safe."""
    message: str
    """Why, at most 4 KiB."""
    actor: str | None
    """Who, at most 256 bytes; the store's where left out."""
    timeout: float | None
    """Seconds the call may take; the store's where left out."""


class Defaults(msgspec.Struct, frozen=True):
    """What `connect` was told, for every call that does not say otherwise.

    Attributes:
        actor: Who writes.
        max_staleness: Seconds a read may be behind; ``None`` is linearizable.
        timeout: Seconds a call may take.
        max_clock_skew: Seconds this clock may lie behind a config's last commit.
    """

    actor: str = ""
    max_staleness: float | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    max_clock_skew: float | None = MAX_CLOCK_SKEW_SECONDS

    def check(self) -> Defaults:
        """Itself, its parts checked.

        Raises:
            InvalidOption: A number is out of range, or of another type.
            TextTooLong: The actor exceeds 256 bytes.
        """
        check_text("actor", self.actor, MAX_ACTOR_BYTES)
        check_staleness(self.max_staleness)
        check_timeout(self.timeout)
        skew = self.max_clock_skew
        if skew is not None and not (_is_number(skew) and 0 <= skew < math.inf):
            raise InvalidOption(
                f"max_clock_skew is {skew!r}", hint="give seconds from 0, or None for any skew"
            )
        return self


def check_timeout(timeout: float) -> float:
    """Seconds above 0, up to a day; else `InvalidOption`."""
    if not (_is_number(timeout) and 0 < timeout <= MAX_TIMEOUT_SECONDS):
        raise InvalidOption(
            f"timeout is {timeout!r}", hint="give seconds above 0, at most 86,400 (a day)"
        )
    return timeout


def seconds(defaults: Defaults, timeout: float | None) -> float:
    """The time-out of a call: its own, checked, or the default."""
    return defaults.timeout if timeout is None else check_timeout(timeout)


def check_staleness(max_staleness: float | None) -> float | None:
    """Seconds from 0, infinity included, or ``None``; else `InvalidOption`."""
    # A comparison with NaN is false.
    if max_staleness is not None and not (_is_number(max_staleness) and max_staleness >= 0):
        raise InvalidOption(
            f"max_staleness is {max_staleness!r}",
            hint="give seconds from 0, or None to read the latest",
        )
    return max_staleness


def check_number(name: str, number: int | None, *, least: int, hint: str) -> int | None:
    """A whole number from `least`, or ``None``; else `InvalidOption`."""
    # True == 1, which would make if_version=True hold by accident.
    if number is not None and (
        isinstance(number, bool) or not isinstance(number, int) or number < least
    ):
        raise InvalidOption(f"{name} is {number!r}", hint=hint)
    return number


def check_commit_id(commit_id: str) -> str:
    """A commit id of 1 to 256 bytes; else `InvalidOption` or `TextTooLong`."""
    check_text("commit_id", commit_id, MAX_COMMIT_ID_BYTES)
    if not commit_id:
        raise InvalidOption("commit_id is empty", hint="make one with Config.new_commit_id()")
    return commit_id


def guarantees(require: Iterable[Guarantee | str]) -> frozenset[Guarantee]:
    """The guarantees demanded; `InvalidOption` for what is none."""
    try:
        wanted = [require] if isinstance(require, str) else list(require)
        return frozenset(Guarantee(each) for each in wanted)
    except (TypeError, ValueError) as error:
        raise InvalidOption(
            f"require is {require!r}",
            hint="give a set of " + ", ".join(f"Guarantee.{each.name}" for each in Guarantee),
        ) from error


def encode(data: Any, content_type: str | None) -> tuple[bytes, str]:
    """The stored form, as `values.encode` gives it; a type that is no text is `InvalidValue`."""
    if content_type is not None and not isinstance(content_type, str):
        raise InvalidValue(f"content_type is a {type(content_type).__name__}", hint="give text")
    return values.encode(data, content_type)


def settings(given: Mapping[str, Any] | str | bytes | None) -> dict[str, Any]:
    """A config's settings, empty for ``None``; else `InvalidSettings` for what is no JSON object."""
    if given is None:
        return {}
    return values.settings_from(dict(given) if isinstance(given, Mapping) else given)


def nanoseconds(name: str, moment: datetime) -> range:
    """The nanoseconds since 1970 that a time covers; `InvalidOption` without a zone.

    A datetime knows microseconds. A commit's own time, cut to them, must find that commit.
    """
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidOption(
            f"{name} is {moment!r}",
            hint="give a datetime with its zone, such as datetime.now(timezone.utc)",
        )
    first = to_nanoseconds(moment)
    return range(first, first + 1000)


def moment_from(text: str) -> int | datetime:
    """A revision in digits, or a time as RFC 3339 has it; else `InvalidOption`."""
    if text.isdecimal() and text.isascii():
        return int(text[:20])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidOption(
            f"{text!r} is neither a revision nor a time with its zone",
            hint="give a revision such as 3, or a time such as 2026-03-01T09:14:00Z",
        )
    return moment


def actor(given: str) -> str:
    """An actor's name; else `TextTooLong` or `InvalidOption`."""
    return check_text("actor", given, MAX_ACTOR_BYTES)


def prefixes(given: Iterable[str]) -> tuple[str, ...]:
    """Prefixes, normalised; `InvalidKey` for a bad one, `InvalidOption` for what is no list."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidOption(f"keys is {given!r}", hint="give a list of keys")
    return tuple(sorted({normalize_prefix(each) for each in given}))


def pairs(given: Any) -> Iterator[tuple[str, Any]]:
    """The keys and data of what a dict's `update` takes; `InvalidOption` for anything else."""
    if hasattr(given, "keys"):
        for key in given.keys():  # noqa: SIM118 - all that is known of it are keys and items
            yield key, given[key]
        return
    if not isinstance(given, Iterable):
        raise InvalidOption(f"update cannot take a {type(given).__name__}", hint=_PAIRS_HINT)
    for pair in given:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InvalidOption("update met what is not a pair of key and data", hint=_PAIRS_HINT)
        yield pair[0], pair[1]


def key_condition(
    key: str,
    *,
    version: int | None,
    revision: int | None,
    absent: bool,
    value: Any,
    content_type: str | None = None,
) -> KeyCondition | None:
    """The condition that the ``if_*`` arguments of a write say; ``None`` where they say none.

    Raises:
        InvalidKey: A bad key.
        InvalidOption: A version or revision below 1, or absence along with anything else.
        InvalidValue, ValueTooLarge: The value has no stored form.
    """
    if version is None and revision is None and absent is False and value is None:
        return None
    if not isinstance(absent, bool):
        raise InvalidOption(f"if_absent is {absent!r}", hint="give True or False")
    if absent and not (version is None and revision is None and value is None):
        raise InvalidOption(
            "if_absent excludes if_version, if_revision and if_value", hint="give one of them"
        )
    hint = "give one that a node showed, from 1; if_absent=True is for a key that must be absent"
    return KeyCondition(
        normalize_key(key),
        version=check_number("if_version", version, least=1, hint=hint),
        revision=check_number("if_revision", revision, least=1, hint=hint),
        absent=absent,
        value=_compared(value, content_type),
    )


def _compared(value: Any, content_type: str | None) -> bytes | None:
    """The stored bytes that a condition speaks of; bytes stand for themselves, whatever they are."""
    if value is None:
        return None
    of_bytes = isinstance(value, bytes | bytearray | memoryview)
    return encode(value, None if of_bytes else content_type)[0]


def how_to_commit(defaults: Defaults, options: CommitOptions) -> Transaction:
    """A `Transaction` without ops that says how to commit.

    Raises:
        InvalidOption: One is unknown, a revision below 0, a commit id empty.
        TextTooLong: A message over 4 KiB, an actor or commit id over 256 bytes.
    """
    for name in options:
        if name not in CommitOptions.__annotations__:
            raise InvalidOption(
                f"there is no argument {name!r}",
                hint=f"besides its own this call takes {', '.join(CommitOptions.__annotations__)}",
            )
    actor, commit_id = options.get("actor"), options.get("commit_id")
    return Transaction(
        actor=defaults.actor if actor is None else check_text("actor", actor, MAX_ACTOR_BYTES),
        message=check_text("message", options.get("message", ""), MAX_MESSAGE_BYTES),
        commit_id=None if commit_id is None else check_commit_id(commit_id),
        if_config_revision=check_number(
            "if_config_revision",
            options.get("if_config_revision"),
            least=0,
            hint="give a config's revision, from 0",
        ),
        max_clock_skew=defaults.max_clock_skew,
    )


def _is_number(value: object) -> bool:
    # The second half costs more than a cached read may.
    return type(value) in _PLAIN_NUMBERS or (
        isinstance(value, int | float) and not isinstance(value, bool)
    )
