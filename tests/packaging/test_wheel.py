"""What is built is what is meant: one package, typed, with nothing of this machine in it."""

from __future__ import annotations

import email
import re
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from discfg_core._version import __version__

ROOT = Path(__file__).parents[2]

# One process builds; the others would only do the same work again.
pytestmark = pytest.mark.xdist_group("packaging")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end and return its output; fail with all of it."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel built from it: the way a stranger gets it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"discfg-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def sdist(dist: Path) -> Path:
    return dist / f"discfg-{__version__}.tar.gz"


def test_the_top_level_names_are_exactly_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        top_level = {name.partition("/")[0] for name in archive.namelist()}
    assert top_level == {"discfg_core", f"discfg-{__version__}.dist-info"}


def test_the_wheel_holds_every_module_and_the_typing_marker(wheel: Path) -> None:
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "discfg_core").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert "discfg_core/py.typed" in source
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("discfg_core/")}
    assert packed == source


def test_the_sdist_holds_no_more_than_its_list(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        top_level = {name.split("/")[1] for name in archive.getnames()}
    assert top_level <= {
        *("discfg_core", "tests", "conftest.py", "docs", "README.md", "CHANGELOG.md", "LICENSE"),
        *("pyproject.toml", "PKG-INFO"),
        ".gitignore",  # hatchling adds it, and the pyproject.toml, by itself
    }


def test_the_metadata_says_what_an_installer_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"discfg-{__version__}.dist-info"
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert metadata["Name"] == "discfg"
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra", [])) == {
        *("cli", "testing"),
        *("dynamodb", "etcd", "rethinkdb", "s3"),
    }
    assert "discfg = discfg_core.cli:main" in entry_points
    assert "memory = discfg_core.substrates.memory:open_engine" in entry_points
    assert "sqlite = discfg_core.substrates.sqlite:open_engine" in entry_points


def test_the_metadata_names_nothing_of_this_machine(wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = [archive.read(name) for name in archive.namelist() if ".dist-info/" in name]
    with tarfile.open(sdist) as tar:
        info = tar.extractfile(f"discfg-{__version__}/PKG-INFO")
        assert info is not None
        texts.append(info.read())
    traces = {str(ROOT), sys.prefix, sys.base_prefix, socket.gethostname()} - {"localhost"}
    # As words: a host may have a name as short as a syllable.
    patterns = {trace: re.compile(rf"(?<![\w-]){re.escape(trace)}(?![\w-])") for trace in traces}
    found = {trace for trace in traces for text in texts if patterns[trace].search(text.decode())}
    assert found == set()


def test_the_installed_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
        *("--no-compile", "--target", tmp_path, wheel),
        cwd=tmp_path,
    )
    # The folder goes first on the path, before the editable install.
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "import discfg_core, discfg_core.substrates.memory; print(discfg_core.__file__)"
    )
    imported = Path(run(sys.executable, "-c", program, cwd=tmp_path).strip())
    assert imported.is_relative_to(tmp_path)
