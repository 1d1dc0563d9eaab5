"""Importing the package costs next to nothing, and still shows all of it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import discfg_core
from discfg_core import errors

# What a first import may bring; each of these takes well under a millisecond.
LIGHT = {"__future__", "importlib", "warnings"}


def modules_after(code: str) -> set[str]:
    """The modules that `code` makes a fresh process load, besides those it starts with."""
    script = (
        "import sys; before = set(sys.modules); exec(sys.argv[1])\n"
        "after = sorted(set(sys.modules) - before)\n"
        "import json; print(json.dumps(after))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script, code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    return set(json.loads(done.stdout))


def test_importing_it_loads_next_to_nothing() -> None:
    loaded = modules_after("import discfg_core; discfg_core.__version__; dir(discfg_core)")
    outside = {name.partition(".")[0] for name in loaded} - {"discfg_core"}
    assert outside <= LIGHT
    assert {name for name in loaded if name.startswith("discfg_core")} == {
        "discfg_core",
        "discfg_core._version",
    }


def test_an_error_class_loads_no_engine() -> None:
    loaded = modules_after("import discfg_core; discfg_core.KeyNotFound")
    assert not loaded & {"msgspec", "stevedore", "json", "sqlite3", "discfg_core.store"}


def test_star_import_gives_all_of_it() -> None:
    space: dict[str, object] = {}
    exec("from discfg_core import *", space)
    assert set(discfg_core.__all__) <= set(space)


def test_each_name_is_there_listed_and_the_same_each_time() -> None:
    assert sorted(set(discfg_core.__all__)) == discfg_core.__all__
    for name in discfg_core.__all__:
        assert getattr(discfg_core, name) is getattr(discfg_core, name)
        assert name in dir(discfg_core)


def test_what_type_checkers_see_is_what_is_there() -> None:
    tree = ast.parse(Path(discfg_core.__file__).read_text(encoding="utf-8"))
    (seen,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    public = {
        alias.name
        for line in seen.body
        if isinstance(line, ast.ImportFrom) and str(line.module).startswith("discfg_core")
        for alias in line.names
    }
    assert public | {"__version__"} == set(discfg_core.__all__)


def test_every_error_is_public() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DiscfgError)
    }
    assert defined <= set(discfg_core.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'discfg_core' has no attribute 'conect'"):
        discfg_core.conect  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        exec("from discfg_core import conect")
