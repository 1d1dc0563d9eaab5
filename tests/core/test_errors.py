"""Every error class: what it carries, that it survives pickling, and that it is alive."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest

import discfg_core
from discfg_core import errors
from discfg_core.errors import (
    ConditionFailed,
    DiscfgError,
    KeyNotFound,
    NotFound,
    OutcomeUnknown,
    StoreBusy,
    StoreFull,
)
from discfg_core.model import Node

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, DiscfgError)
]
by_name = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)

NODE = Node("/k", b"v", "text/plain", 1, 2, 3, 4)


def filled(kind: type[DiscfgError]) -> DiscfgError:
    more: dict[str, Any] = {}
    if issubclass(kind, ConditionFailed):
        more = {"node": NODE, "revision": 7}
    if issubclass(kind, OutcomeUnknown):
        more = {"commit_id": "c1"}
    return kind(
        "it broke",
        engine="sqlite",
        operation="set",
        config="cfg",
        key="/k",
        hint="mend it",
        retryable=True,
        **more,
    )


@by_name
def test_the_docstring_says_when(kind: type[DiscfgError]) -> None:
    assert (kind.__doc__ or "").startswith("Raised when ")


def test_codes_are_unique_words() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


@by_name
def test_all_fields_survive_pickling_and_copying(kind: type[DiscfgError]) -> None:
    error = filled(kind)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert vars(again) == vars(error)
        assert str(again) == str(error)
        assert again.args == error.args


@by_name
def test_the_message_and_the_hint_are_in_the_text(kind: type[DiscfgError]) -> None:
    assert str(filled(kind)) == "it broke: mend it"
    plain = kind("it broke")
    assert str(plain) == ("it broke" if plain.hint is None else f"it broke: {plain.hint}")
    assert plain.hint == kind.default_hint


@by_name
def test_the_code_and_what_is_unknown(kind: type[DiscfgError]) -> None:
    error = kind("it broke")
    assert (error.engine, error.operation, error.config, error.key) == (None,) * 4
    assert error.retryable is kind.default_retryable


def test_retryable_is_decided_per_cause() -> None:
    assert StoreBusy("locked").retryable
    assert not StoreBusy("locked for ever", retryable=False).retryable
    assert not StoreFull("full").retryable
    assert StoreFull("full for now", retryable=True).retryable


def test_an_absent_key_is_a_key_error_with_a_readable_text() -> None:
    with pytest.raises(KeyError) as caught:
        raise KeyNotFound("no key '/a'", key="/a")
    assert isinstance(caught.value, NotFound)
    assert str(caught.value) == "no key '/a'"


def test_locate_fills_in_and_never_overwrites() -> None:
    error = KeyNotFound("no", key="/a")
    assert error.locate(key="/b", engine="sqlite", operation="get", config="c") is error
    assert (error.key, error.engine, error.operation, error.config) == ("/a", "sqlite", "get", "c")


def test_a_failed_condition_says_what_is_there() -> None:
    assert ConditionFailed("no").node is None
    assert ConditionFailed("no", node=NODE, revision=3).node == NODE


# --- no dead class --------------------------------------------------------------------

PACKAGE = Path(inspect.getfile(discfg_core)).parent
HERE = Path(__file__).parent
TESTS = Path(__file__).parents[1]

# Callers catch these; what is raised is always one of their subclasses.
CAUGHT_ONLY = {"DiscfgError", "InvalidInput", "NotFound", "EngineError"}
# These two name every class for the sake of naming every class.
NAME_THEM_ALL = {"test_errors.py", "test_wire.py"}
ALL = {kind.__name__ for kind in CLASSES}


def names_in(*nodes: ast.expr | None) -> set[str]:
    parts = [part for node in nodes if node is not None for part in ast.walk(node)]
    used = {part.id for part in parts if isinstance(part, ast.Name)}
    return (used | {part.attr for part in parts if isinstance(part, ast.Attribute)}) & ALL


def nodes_of(root: Path, leave_out: set[Path]) -> list[ast.AST]:
    paths = [path for path in sorted(root.rglob("*.py")) if not leave_out & {path, *path.parents}]
    return [node for path in paths for node in ast.walk(ast.parse(path.read_text(), str(path)))]


def raised() -> set[str]:
    """Classes that the product calls or raises, or that it maps a store's own errors to."""
    found = set()
    for node in nodes_of(PACKAGE, {PACKAGE / "errors.py", PACKAGE / "testing"}):
        if isinstance(node, ast.Call):
            found |= names_in(node.func)
        elif isinstance(node, ast.Raise):
            found |= names_in(node.exc)
        elif isinstance(node, ast.Dict):
            found |= names_in(*node.values)
        if isinstance(node, ast.Call):
            # A row of a substrate's table of its store's errors.
            found |= names_in(*(part for part in node.args if isinstance(part, ast.Name)))
    return found


def asserted() -> set[str]:
    """Classes that a test expects: in `pytest.raises`, `isinstance`, a comparison or a table."""
    found = set()
    for node in nodes_of(TESTS, {HERE / name for name in NAME_THEM_ALL}) + nodes_of(
        PACKAGE / "testing", set()
    ):
        if isinstance(node, ast.Call):
            found |= names_in(*node.args)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Compare):
            found |= names_in(node)
        elif isinstance(node, ast.Dict):
            found |= names_in(*node.values)
        elif isinstance(node, ast.Constant):
            # The command line's tests know an error by its code.
            found |= {kind.__name__ for kind in CLASSES if kind.code == node.value}
    return found


def test_every_class_is_raised_somewhere() -> None:
    assert sorted(ALL - CAUGHT_ONLY - raised()) == []


def test_every_class_is_asserted_somewhere() -> None:
    assert sorted(ALL - CAUGHT_ONLY - asserted()) == []
