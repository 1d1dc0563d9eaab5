"""The plugin of the documentation, as a stranger has it: installed by pip, and used by URL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[1] / "plugin_fixture"
PAGE = Path(__file__).parents[2] / "docs" / "writing-an-engine.md"

_CLI = (sys.executable, "-c", "import sys; from discfg_core.cli import main; sys.exit(main())")

# One process installs; the others would only do the same work again.
pytestmark = pytest.mark.xdist_group("packaging")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the plugin, and nothing else, was installed into."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    how = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder)]
    subprocess.run([*install, *how, str(PLUGIN)], check=True, timeout=120)
    return folder


class Installed:
    """Runs things where the plugin is installed, in an empty folder."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.folder = folder
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        self._environment = {**os.environ, "PYTHONPATH": path}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def discfg(self, *words: str) -> Any:
        done = self.run(*_CLI, "-f", "json", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def installed(site: Path, tmp_path: Path) -> Installed:
    return Installed(site, tmp_path)


def test_it_is_listed_with_what_it_says_of_itself(installed: Installed, site: Path) -> None:
    found = {each["scheme"]: each for each in installed.discfg("engines")["engines"]}
    told = found["files"]
    assert (told["state"], told["distribution"], told["version"]) == (
        *("installed", "discfg-files", "1.2.3"),
    )
    assert told["guarantees"] == ["durable", "shared", "undrop"]
    assert told["options"][0]["name"] == "poll"
    where = installed.run(sys.executable, "-c", "import discfg_files as d; print(d.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(site)


def test_it_serves_its_urls_on_the_command_line(installed: Installed) -> None:
    store = ("--store", "files:///store?poll=0.1")
    installed.discfg(*store, "create", "mycfg", '{"setting": 1}')
    installed.discfg(*store, "set", "mycfg", "db/host", "10.0.0.1")
    changed = installed.discfg(*store, "set", "mycfg", "db/host", "10.0.0.2", "-m", "moved")
    assert (changed["node"]["version"], changed["prevNode"]["value"]) == (2, "10.0.0.1")
    assert installed.discfg(*store, "get", "mycfg", "db/host")["node"]["value"] == "10.0.0.2"
    history = installed.discfg(*store, "history", "-C", "mycfg")
    assert [commit["message"] for commit in history["commits"]] == ["moved", ""]
    assert (installed.folder / "store" / "registers" / "mycfg").is_file()


def test_the_doctor_finds_nothing_wrong_with_it(installed: Installed) -> None:
    report = installed.discfg("doctor", "files:///store")
    assert [check for check in report["checks"] if check["status"] != "ok"] == []
    assert report["left"] is None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("files:///store?poll=0", "poll is 0.0"),
        ("files:///store?pool=1", "has no option 'pool'"),
        ("files://host/store", "names no directory"),
    ],
)
def test_a_bad_url_is_refused(installed: Installed, url: str, says: str) -> None:
    done = installed.run(*_CLI, "--store", url, "configs")
    assert done.returncode == 5
    assert says in done.stderr
    assert list(installed.folder.iterdir()) == []


def test_its_own_tests_pass_where_it_is_installed(installed: Installed) -> None:
    # All of them run from the source, in the folder of the plugin; here, one of each file.
    shutil.copytree(PLUGIN / "tests", installed.folder / "tests")
    some = (
        "test_token_is_new_for_equal_data or test_first_set "
        "or test_race_of_sixteen_on_one_token_has_one_winner"
    )
    done = installed.run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", some, "tests")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("3 passed")


def test_its_test_files_are_as_short_as_the_page_says() -> None:
    files = sorted((PLUGIN / "tests").glob("test_*.py"))
    assert [file.name for file in files] == [
        "test_engine.py",
        "test_faulted.py",
        "test_substrate.py",
    ]
    for file in files:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 20


def test_the_page_holds_every_file_of_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    files = [
        *PLUGIN.glob("pyproject.toml"),
        *PLUGIN.glob("discfg_files/*.py"),
        *PLUGIN.glob("tests/*.py"),
    ]
    assert len(files) == 7
    for file in files:
        assert f"<!-- included: tests/plugin_fixture/{file.relative_to(PLUGIN)} -->" in page
