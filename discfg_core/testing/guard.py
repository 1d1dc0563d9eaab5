"""A suite cannot be switched off quietly.

A class that passes a suite means something only if it ran the whole of it. So each suite is
*sealed* as it is published, and a test in it holds the subclass it runs in against the seal.
A standard test may be replaced in one way: by one that is marked
``@pytest.mark.xfail(strict=True, reason="...")``, which shows in every report and fails on the
day the reason is gone.
"""

from __future__ import annotations

import inspect
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

S = TypeVar("S", bound="type[Guarded]")

_SILENCING = ("skip", "skipif", "xfail")
# Options of pytest that choose among the tests, for which none is then lost.
_CHOOSING = ("keyword", "markexpr", "deselect", "lf", "stepwise")


class _Seal(msgspec.Struct, frozen=True):
    """A suite as it was published: its members, and the marks of its tests."""

    members: Mapping[str, object]
    marks: Mapping[str, list[pytest.Mark]]


_SEALS: dict[type, _Seal] = {}


def sealed(*hooks: str) -> Callable[[S], S]:
    """A class decorator: what the suite is now is what its subclasses must run.

    Args:
        hooks: The members that a subclass is meant to define; every other is the suite's own.
    """

    def seal(suite: S) -> S:
        members = {
            name: inspect.getattr_static(suite, name)
            for base in suite.__mro__[:-1]
            for name in vars(base)
            if not name.startswith("__") and name not in hooks and name != "pytestmark"
        }
        marks = {name: _marks(member) for name, member in members.items() if _is_test(name)}
        _SEALS[suite] = _Seal(members, marks)
        return suite

    return seal


def _is_test(name: str) -> bool:
    return name.startswith("test")


def _marks(holder: object) -> list[pytest.Mark]:
    found: Any = getattr(holder, "pytestmark", [])
    marks = found if isinstance(found, list) else [found]
    return [mark.mark if isinstance(mark, pytest.MarkDecorator) else mark for mark in marks]


def find_tampering(cls: type) -> list[str]:
    """What of its suites a test class removed or replaced, one sentence each; none if nothing."""
    found = []
    for suite in cls.__mro__:
        seal = _SEALS.get(suite)
        if seal is None:
            continue
        for name, standard in seal.members.items():
            mine = inspect.getattr_static(cls, name, None)
            if mine is not standard:
                found += _judge_replacement(name, mine, suite)
            elif _is_test(name) and _marks(standard) != seal.marks[name]:
                # A mark used as a function on the suite's own test marks it for every subclass.
                found.append(f"{name}: the suite's own test was marked; override it instead")
    return found


def _judge_replacement(name: str, mine: object, suite: type) -> list[str]:
    if not _is_test(name):
        return [f"{name}: part of {suite.__name__} and not meant to be overridden"]
    if not callable(mine):
        return [f"{name}: removed"]
    marks = [mark for mark in _marks(mine) if mark.name in _SILENCING]
    if [mark.name for mark in marks] != ["xfail"]:
        return [f"{name}: overridden without one @pytest.mark.xfail(strict=True, reason=...)"]
    return [f"{name}: its xfail {fault}" for fault in _faults_of_xfail(marks[0])]


def _faults_of_xfail(mark: pytest.Mark) -> list[str]:
    options = mark.kwargs
    judged = {
        "has a condition, without which the override passes as the test": bool(mark.args)
        or "condition" in options,
        "is not strict=True": options.get("strict") is not True,
        "has no reason": not str(options.get("reason") or "").strip(),
        "does not run": options.get("run") is False,
    }
    return [fault for fault, holds in judged.items() if holds]


def find_silenced(cls: type, items: Iterable[pytest.Item]) -> list[str]:
    """Which of the collected standard tests of a class a mark from elsewhere keeps from failing.

    A class or module may be skipped as a whole, with a reason; a single test may not, nor may
    a parametrisation leave nothing of it.
    """
    standard = _standard_tests(cls)
    found: dict[str, None] = {}
    for item in items:
        name = getattr(item, "originalname", item.name)
        if getattr(item, "cls", None) is not cls or name not in standard:
            continue
        own = _marks(inspect.getattr_static(cls, name, None))
        for node, mark in item.iter_markers_with_node():
            if mark.name not in _SILENCING or (mark.name == "xfail" and mark in own):
                continue
            whole = node is not item and mark.name != "xfail"
            if not whole or not str(mark.kwargs.get("reason") or "").strip():
                found[f"{name}: silenced by a mark, {mark.name}{mark.args}{mark.kwargs}"] = None
    return list(found)


def find_uncollected(cls: type, session: pytest.Session) -> list[str]:
    """Which standard tests of a class this run does not have, although it asked for all."""
    options = session.config.option
    if any(getattr(options, name, None) for name in _CHOOSING) or any(
        "::" in argument for argument in session.config.args
    ):
        return []
    there = Counter(
        getattr(item, "originalname", item.name)
        for item in session.items
        if getattr(item, "cls", None) is cls
    )
    return [
        f"{name}: {there[name]} of {cases} cases collected"
        for name, cases in sorted(_standard_tests(cls).items())
        if there[name] < cases
    ]


def _standard_tests(cls: type) -> dict[str, int]:
    """The standard tests of a class, and how many cases each has at least."""
    return {
        name: math.prod(
            len(mark.args[1]) for mark in _SEALS[suite].marks[name] if mark.name == "parametrize"
        )
        for suite in cls.__mro__
        if suite in _SEALS
        for name in _SEALS[suite].marks
    }


class Guarded:
    """The base of every suite: brings the test that guards the others."""

    def test_no_standard_test_is_lost(self, request: pytest.FixtureRequest) -> None:
        """This class runs every test of its suites, as they were published."""
        found = (
            find_tampering(type(self))
            + find_silenced(type(self), request.session.items)
            + find_uncollected(type(self), request.session)
        )
        assert not found, "the suite was tampered with:\n" + "\n".join(found)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Pytest's hook, as the class is collected: what would silence the guard itself fails here.

        Raises:
            CollectError: The guard is gone, or an ``xfail`` lies over the whole class.
        """
        cls = type(self)
        guard = Guarded.test_no_standard_test_is_lost
        if inspect.getattr_static(cls, guard.__name__, None) is not guard:
            raise pytest.Collector.CollectError(f"{cls.__name__} must keep {guard.__name__}")
        if metafunc.function.__name__ == guard.__name__ and any(
            metafunc.definition.iter_markers("xfail")
        ):
            raise pytest.Collector.CollectError(
                f"{cls.__name__}: an xfail may lie over a single test, never over a suite"
            )
