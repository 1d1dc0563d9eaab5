"""The backends as strangers get them: five distributions, and an extra of discfg for each store."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from discfg_core._version import __version__

ROOT = Path(__file__).parents[2]
BACKENDS = sorted(path.parent.name for path in ROOT.glob("backends/*/pyproject.toml"))

# One process builds; the others would only do the same work again.
pytestmark = pytest.mark.xdist_group("packaging")

# Asks in the environment that discfg was installed into, for all that it finds there.
_LOOK = """
import sys
from importlib.metadata import entry_points
for engine in sorted(entry_points(group="discfg.engines")):
    loaded = engine.load()
    print(engine.name, engine.dist.name, sys.modules[loaded.__module__].__file__)
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end and return its output; fail with all of it."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240, env=environment
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make build` builds: an sdist of each, and the wheel from it."""
    out = tmp_path_factory.mktemp("dist")
    for folder in (ROOT, *(ROOT / "backends" / name for name in BACKENDS)):
        build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", out, folder)
        run(*build, cwd=out)
    return out


@pytest.fixture(scope="module")
def python(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python into which pip put `discfg` with every store's extra, all from `dist`.

    It sees what is installed here of others, as no test fetches packages, but nothing of ours.
    """
    folder = tmp_path_factory.mktemp("stranger")
    others = folder / "others"
    others.mkdir()
    for entry in _installed():
        if not (others / entry.name).exists():
            (others / entry.name).symlink_to(entry)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(python, "-I", "-c", code, cwd=folder).strip())
    (site / "others.pth").write_text(f"{others}\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    wanted = f"discfg[{','.join(BACKENDS)}]=={__version__}"
    run(*pip, "--no-index", "--find-links", dist, wanted, cwd=folder)
    return python


def _installed() -> Iterator[Path]:
    for key in ("purelib", "platlib"):
        for entry in Path(sysconfig.get_path(key)).iterdir():
            ours = "discfg" in entry.name.lower()
            if not ours and entry.suffix != ".pth" and entry.name != "__pycache__":
                yield entry


def test_every_store_that_is_promised_is_there() -> None:
    assert BACKENDS == ["dynamodb", "etcd", "rethinkdb", "s3"]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_wheel_holds_its_package_and_no_more(dist: Path, name: str) -> None:
    package = f"discfg_{name}"
    (wheel,) = dist.glob(f"{package}-*.whl")
    folder = ROOT / "backends" / name
    source = {
        path.relative_to(folder).as_posix()
        for path in (folder / package).rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert f"{package}/py.typed" in source
    with zipfile.ZipFile(wheel) as archive:
        assert {each for each in archive.namelist() if ".dist-info/" not in each} == source


@pytest.mark.parametrize("name", BACKENDS)
def test_a_wheel_says_what_it_needs(dist: Path, name: str) -> None:
    (wheel,) = dist.glob(f"discfg_{name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (about,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(about))
    assert metadata["Name"] == f"discfg-{name}"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "discfg>=0.1" in metadata.get_all("Requires-Dist", [])
    assert metadata.get_payload()


@pytest.mark.parametrize("name", BACKENDS)
def test_the_extra_brings_the_engine(python: Path, name: str) -> None:
    found = run(python, "-c", _LOOK, cwd=python.parent).splitlines()
    (where,) = [line.split()[2] for line in found if line.startswith(f"{name} discfg-{name} ")]
    assert Path(where).is_relative_to(python.parents[1])
