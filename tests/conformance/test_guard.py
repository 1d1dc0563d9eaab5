"""No standard test can be dropped quietly: each way to do it fails the suite's own guard."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

# Together in one worker: the run is shared.
pytestmark = pytest.mark.xdist_group("guard")

SUITE = """
import pytest

from discfg_core.testing.guard import Guarded, sealed


class Group:
    def test_one(self, place):
        assert place == "here"

    @pytest.mark.parametrize("number", [1, 2])
    def test_two(self, number):
        assert number

    def helper(self):
        return 1

    @pytest.fixture
    def inner(self):
        return 1


@sealed("place", "patience")
class Suite(Group, Guarded):
    patience = 1
"""

HONEST = """
class TestMine(Suite):
    patience = 2

    @pytest.fixture
    def place(self):
        return "here"

    def test_of_my_own(self):
        assert self.helper() == 1
"""


HONEST_TOO = {
    "whole": "",
    "a strict, reasoned xfail": """
    @pytest.mark.xfail(strict=True, reason="the store is slow")
    def test_one(self, place):
        super().test_one("elsewhere")
""",
    "skipped whole with a reason": "pytestmark = pytest.mark.skipif(True, reason='no server')\n",
}

# What is added to the honest class, and what the guard says of it.
INSIDE = {
    "removed": ("    test_one = None\n", "test_one: removed"),
    "made something else": ("    test_one = 'tested elsewhere'\n", "test_one: removed"),
    "overridden": ("    def test_one(self):\n        pass\n", "test_one: overridden without"),
    "overridden with a call": (
        "    def test_one(self, place):\n        super().test_one(place)\n",
        "test_one: overridden without",
    ),
    "overridden with a skip": (
        "    @pytest.mark.skip(reason='slow')\n    def test_one(self):\n        pass\n",
        "test_one: overridden without",
    ),
    "xfail without a reason": (
        "    @pytest.mark.xfail(strict=True)\n    def test_one(self):\n        assert 0\n",
        "test_one: its xfail has no reason",
    ),
    "xfail with a blank reason": (
        "    @pytest.mark.xfail(strict=True, reason=' ')\n    def test_one(self): assert 0\n",
        "test_one: its xfail has no reason",
    ),
    "xfail that is not strict": (
        "    @pytest.mark.xfail(reason='slow')\n    def test_one(self):\n        pass\n",
        "test_one: its xfail is not strict",
    ),
    "xfail under a condition": (
        "    @pytest.mark.xfail(0, strict=True, reason='slow')\n    def test_one(self): pass\n",
        "test_one: its xfail has a condition",
    ),
    "xfail that does not run": (
        "    @pytest.mark.xfail(strict=True, reason='x', run=False)\n    def test_one(self): 0\n",
        "test_one: its xfail does not run",
    ),
    "the suite's own test marked": (
        "    test_one = pytest.mark.xfail(strict=True, reason='slow')(Suite.test_one)\n",
        "test_one: the suite's own test was marked",
    ),
    "the suite itself changed": (
        "    Suite.test_one = lambda self: None\n",
        "test_one: overridden without",
    ),
    "the suite's test deleted": ("    del Group.test_one\n", "test_one: removed"),
    "parametrised anew": (
        "    @pytest.mark.parametrize('number', [1])\n    def test_two(self, number): pass\n",
        "test_two: overridden without",
    ),
    "helper overridden": (
        "    def helper(self):\n        return 1\n",
        "helper: part of Suite and not meant",
    ),
    "fixture overridden": (
        "    @pytest.fixture\n    def inner(self):\n        return 2\n",
        "inner: part of Suite and not meant",
    ),
    "parametrised away by the hook": (
        "    def pytest_generate_tests(self, metafunc):\n        pass\n",
        "pytest_generate_tests: part of Suite and not meant",
    ),
    "guard removed": (
        "    test_no_standard_test_is_lost = None\n",
        "must keep test_no_standard_test_is_lost",
    ),
    "guard overridden": (
        "    def test_no_standard_test_is_lost(self):\n        pass\n",
        "must keep test_no_standard_test_is_lost",
    ),
    "another class before the suite": (
        "class Before:\n    def test_one(self): pass\nclass TestOther(Before, Suite): pass\n",
        "test_one: overridden without",
    ),
    "set when the class is made": (
        "TestMine.test_one = lambda self: None\n",
        "test_one: overridden without",
    ),
    "xfail over the class": (
        "TestMine.pytestmark = [pytest.mark.xfail(reason='slow')]\n",
        "never over a suite",
    ),
    "xfail over the module": (
        "pytestmark = pytest.mark.xfail(reason='slow')\n",
        "never over a suite",
    ),
    "nothing left by a parametrisation": (
        "    @pytest.fixture(params=[])\n    def place(self):\n        return 'here'\n",
        "test_one: silenced by a mark, skip",
    ),
}

# What a conftest.py does with the items of its folder.
OUTSIDE = {
    "deselected": (
        "items[:] = [i for i in items if 'test_one' not in i.name]",
        "test_one: 0 of 1 cases collected",
    ),
    "some parameters deselected": (
        "items[:] = [i for i in items if 'two[1]' not in i.name]",
        "test_two: 1 of 2 cases collected",
    ),
    "marked to be skipped": (
        "[i.add_marker(pytest.mark.skip(reason='slow')) for i in items if 'one' in i.name]",
        "test_one: silenced by a mark, skip",
    ),
    "marked to fail": (
        "[i.add_marker(pytest.mark.xfail(reason='slow')) for i in items if 'one' in i.name]",
        "test_one: silenced by a mark, xfail",
    ),
}

CONFTEST = """
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    mine = [item for item in items if item.path.parent == HERE]
    rest = [item for item in items if item.path.parent != HERE]
    items[:] = [*rest, *act(mine)]


def act(items):
    {body}
    return items
"""


PYTEST = [sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "no:cacheprovider"]
PYTEST += ["--import-mode=importlib", "--tb=short"]


def _pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and the report of a pytest on a folder."""
    run = subprocess.run(
        [*PYTEST, "--rootdir", str(folder), *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def _folder(root: Path, trick: str) -> Path:
    return root / trick.replace(" ", "_").replace("'", "").replace(",", "")


def _lay_out(root: Path, trick: str, added: str, conftest: str = "") -> None:
    folder = _folder(root, trick)
    folder.mkdir()
    # Each file has a suite of its own: some tricks change the suite itself.
    (folder / "test_mine.py").write_text(f"{SUITE}\n{HONEST}\n{added}")
    (folder / "conftest.py").write_text(conftest)


@pytest.fixture(scope="module")
def tricked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The part of one report that is about each trick, by its file."""
    root = tmp_path_factory.mktemp("tricks")
    for trick, (added, _) in INSIDE.items():
        _lay_out(root, trick, added)
    for trick, (body, _) in OUTSIDE.items():
        _lay_out(root, trick, "", CONFTEST.format(body=body))
    code, report = _pytest(root, "--continue-on-collection-errors", "-rfE", "--junitxml=r.xml")
    assert code == pytest.ExitCode.TESTS_FAILED, report
    found: dict[str, str] = {}
    for case in ET.parse(root / "r.xml").iter("testcase"):
        where = case.attrib["classname"] or case.attrib["name"]
        folder = where.split(".")[0]
        faults = [each.text or "" for kind in ("failure", "error") for each in case.iter(kind)]
        found[folder] = found.get(folder, "") + "\n".join(faults)
    return found


@pytest.mark.parametrize("trick", INSIDE | OUTSIDE)
def test_guard_catches(tricked: dict[str, str], trick: str) -> None:
    _, words = (INSIDE | OUTSIDE)[trick]
    assert words in tricked[_folder(Path(), trick).name]


def test_guard_lets_honest_classes_be(tmp_path: Path) -> None:
    for honest, added in HONEST_TOO.items():
        _lay_out(tmp_path, honest, added)
    code, report = _pytest(tmp_path)
    assert code == pytest.ExitCode.OK, report


@pytest.mark.parametrize("choice", [["-k", "lost"], ["-k", "lost or one"], ["--deselect=x::y"]])
def test_guard_lets_a_person_choose_tests(tmp_path: Path, choice: list[str]) -> None:
    _lay_out(tmp_path, "mine", "")
    code, report = _pytest(tmp_path, *choice)
    assert code == pytest.ExitCode.OK, report
