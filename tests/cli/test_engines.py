"""`discfg engines`: those installed, those broken, and those that could be installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

_SOUND = """
import msgspec
from typing import Annotated
from discfg_core.engine import EngineProfile, Guarantee, engine_factory
from discfg_core.substrate import Limits

class Options(msgspec.Struct, frozen=True):
    region: Annotated[str | None, msgspec.Meta(description="where it is")] = None

@engine_factory(EngineProfile(
    "{scheme}://host[/path]", Options, frozenset({{Guarantee.DISTRIBUTED, Guarantee.SHARED}}),
    Limits(min_swap_interval=1.5, why={{"min_swap_interval": "it takes one write a second"}}),
))
def open_engine(url):
    raise AssertionError("no store is opened")
"""


class Install(Protocol):
    def __call__(self, source: str, name: str = "acme") -> str: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install an engine of a scheme of its own; gives the scheme."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def install(source: str, name: str = "acme") -> str:
        module = f"{name}_{tmp_path.name}".replace("-", "_").lower()
        scheme = module.replace("_", "-")
        (folder / f"{module}.py").write_text(source.format(scheme=scheme))
        info = folder / f"{module}-2.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: discfg-{name}\nVersion: 2.5\n"
        )
        (info / "entry_points.txt").write_text(
            f"[discfg.engines]\n{scheme} = {module}:open_engine\n"
        )
        return scheme

    return install


def test_a_person_is_told_of_each(run: Run, install: Install) -> None:
    scheme = install(_SOUND)
    told = run("engines").text
    lines = told.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(scheme))
    assert lines[first].split() == [scheme, "discfg-acme", "2.5", "url", f"{scheme}://host[/path]"]
    assert [line.split() for line in lines[first + 1 : first + 4]] == [
        ["guarantees", "distributed,", "shared"],
        ["?region=", "text:", "where", "it", "is"],
        ["min", "swap", "interval", "1.5", "s:", "it", "takes", "one", "write", "a", "second"],
    ]
    assert any(line.startswith("sqlite ") and "sqlite:///path" in line for line in lines)


def test_a_program_is_told_of_each(run: Run, install: Install) -> None:
    scheme = install(_SOUND)
    answer = run("engines", "-f", "json").json
    assert answer["action"] == "engines"
    found = {each["scheme"]: each for each in answer["engines"]}
    assert found[scheme]["state"] == "installed"
    assert found[scheme]["guarantees"] == ["distributed", "shared"]
    assert found[scheme]["limits"]["minSwapInterval"] == {
        "figure": 1.5,
        "why": "it takes one write a second",
    }
    assert found["memory"]["guarantees"] == ["push_watch", "undrop"]
    assert list(found) == sorted(found)


def test_a_broken_one_is_listed_as_broken(run: Run, install: Install) -> None:
    scheme = install("raise OSError('no such library')")
    line = next(line for line in run("engines").text.splitlines() if line.startswith(scheme))
    assert "broken" in line
    assert "OSError: no such library" in line
    assert "reinstall its distribution" in line
    (found,) = [
        each for each in run("engines", "-f", "json").json["engines"] if each["scheme"] == scheme
    ]
    assert found["state"] == "broken"
    assert found["error"]["code"] == "engine_load_failed"
    assert (found["distribution"], found["version"]) == ("discfg-acme", "2.5")


def test_one_that_says_nothing_is_listed_plainly(run: Run, install: Install) -> None:
    scheme = install("def open_engine(url): pass")
    line = next(line for line in run("engines").text.splitlines() if line.startswith(scheme))
    assert line.split()[:3] == [scheme, "discfg-acme", "2.5"]
    assert "it says nothing of itself" in line
    (found,) = [
        each for each in run("engines", "-f", "json").json["engines"] if each["scheme"] == scheme
    ]
    assert found == {
        "scheme": scheme,
        "state": "installed",
        "distribution": "discfg-acme",
        "version": "2.5",
    }


def test_those_not_installed_come_with_the_line_that_installs_them(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    lines = run("engines").text.splitlines()
    assert 'rethinkdb  not installed  install  pip install "discfg[rethinkdb]"' in lines
    found = {each["scheme"]: each for each in run("engines", "-f", "json").json["engines"]}
    assert found["rethinkdb"]["state"] == "missing"
    assert found["rethinkdb"]["error"]["hint"] == 'pip install "discfg[rethinkdb]"'


def test_it_needs_no_store(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCFG_STORE", "nonsense")
    assert run("engines").out
