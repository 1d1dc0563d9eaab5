"""What the documentation says of the code is so: generated parts, and names of tests and files."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from discfg_core.engine import EngineProfile, Guarantee
from discfg_core.substrate import Limits
from discfg_core.testing import EngineSuite, SubstrateSuite
from scripts import engine_docs

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "gen_docs.py"
READMES = sorted((ROOT / "backends").glob("*/README.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *READMES]

_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_TESTS = re.compile(
    r"`(?P<module>(?:engine|substrate)_\w+)\.(?P<group>\w+Tests)(?:\.(?P<test>test_\w+))?`"
)
_FILE = re.compile(r"`(?P<path>(?:discfg_core|tests|scripts|docs)/[\w./-]+)`")


@pytest.fixture
def gen_docs() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("gen_docs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestGeneratedParts:
    def test_they_are_current(self, gen_docs: Any) -> None:
        lagging = [
            page.relative_to(ROOT).as_posix()
            for page in gen_docs.pages()
            if gen_docs.rendered(text := page.read_text(encoding="utf-8"), page) != text
        ]
        assert lagging == [], "run `make docs`"

    def test_each_is_used(self, gen_docs: Any) -> None:
        text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
        used = re.findall(r"<!-- generated: (\w+) -->", text)
        assert sorted(used) == sorted([*gen_docs.MEANINGS, *gen_docs._GENERATORS])

    @pytest.mark.parametrize("readme", READMES, ids=lambda page: page.parent.name)
    def test_each_backend_says_what_its_profile_says(self, readme: Path) -> None:
        assert "<!-- generated:profile -->" in readme.read_text(encoding="utf-8")

    def test_an_edit_of_one_is_undone(self, gen_docs: Any) -> None:
        page = ROOT / "docs" / "reference" / "limits.md"
        text = page.read_text(encoding="utf-8")
        assert gen_docs.rendered(text.replace("16 MiB", "17 MiB"), page) == text

    def test_the_check_names_the_page_and_writes_nothing(
        self, gen_docs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "docs").mkdir()
        (tmp_path / "README.md").write_text("nothing\n", encoding="utf-8")
        page = tmp_path / "docs" / "page.md"
        page.write_text("<!-- generated: window -->\nold\n<!-- /generated -->\n", encoding="utf-8")
        gen_docs.ROOT = tmp_path
        assert gen_docs.main(["--check"]) == 1
        assert "docs/page.md: its generated parts lag behind" in capsys.readouterr().err
        assert "old" in page.read_text(encoding="utf-8")
        assert gen_docs.main([]) == 0
        assert "old" not in page.read_text(encoding="utf-8")
        assert gen_docs.main(["--check"]) == 0

    @pytest.mark.parametrize(
        "text",
        [
            "<!-- generated: errors -->\n",
            "<!-- generated: nothing of the kind -->\n<!-- /generated -->\n",
            "<!-- generated:profile -->\n<!-- /generated -->\n",
        ],
    )
    def test_a_bad_mark_is_refused(self, gen_docs: Any, text: str) -> None:
        with pytest.raises(SystemExit, match="generated"):
            gen_docs.rendered(text, ROOT / "README.md")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("<!-- included: LICENSE -->\n", "README.md: a mark `included` has no end"),
            ("<!-- included: nowhere.py -->\n<!-- /included -->\n", "there is no nowhere.py"),
        ],
    )
    def test_a_bad_inclusion_is_refused(self, gen_docs: Any, text: str, says: str) -> None:
        with pytest.raises(SystemExit, match=says):
            gen_docs.rendered(text, ROOT / "README.md")

    def test_an_included_file_is_the_file(self, gen_docs: Any) -> None:
        page = ROOT / "docs" / "writing-an-engine.md"
        text = page.read_text(encoding="utf-8")
        source = ROOT / "tests" / "plugin_fixture" / "discfg_files" / "substrate.py"
        assert source.read_text(encoding="utf-8").strip() in text
        assert gen_docs.rendered(text.replace("flock", "block"), page).count("block(lock") == 0

    def test_a_backend_without_a_profile_is_refused(self, gen_docs: Any, tmp_path: Path) -> None:
        backend = tmp_path / "backends" / "acme"
        (backend / "discfg_acme").mkdir(parents=True)
        (backend / "discfg_acme" / "__init__.py").touch()
        (backend / "discfg_acme" / "profile.py").write_text("PROFILE = 'fast'\n")
        gen_docs.ROOT = tmp_path
        with pytest.raises(SystemExit, match="its PROFILE is a str"):
            gen_docs.generated("profile", backend / "README.md")
        del sys.modules["discfg_acme.profile"], sys.modules["discfg_acme"]

    def test_engines_are_compared_whichever_of_them_there_are(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_docs, "ROOT", tmp_path)
        assert list(engine_docs.profiles()) == ["memory", "sqlite"]
        assert "| `memory://` | `sqlite://` |\n" in engine_docs.comparison()

    def test_the_part_about_an_engine(self) -> None:
        class Options(msgspec.Struct, frozen=True):
            folder: Annotated[str, msgspec.Meta(description="where it is")]
            tls: Annotated[bool, msgspec.Meta(description="whether")] = False
            mode: Annotated[str | None, msgspec.Meta(description="fast|safe")] = None

        profile = EngineProfile(
            "x://host",
            Options,
            frozenset({Guarantee.SHARED, Guarantee.DURABLE}),
            Limits(register_max=4096, why={"register_max": "a page of it"}),
        )
        assert engine_docs.profile_part(profile).splitlines() == [
            "```text",
            "x://host",
            "```",
            "",
            "| option | takes | default | what it is |",
            "| --- | --- | --- | --- |",
            "| `folder` | text | must be given | where it is |",
            "| `tls` | true or false | `false` | whether |",
            "| `mode` | text |  | fast\\|safe |",
            "",
            "Guarantees beyond those of every engine: `DURABLE`, `SHARED`.",
            "",
            "| limit | what it is | figure | why |",
            "| --- | --- | --- | --- |",
            "| register max | bytes that it cannot exceed | 4,096 | a page of it |",
        ]

    def test_every_error_is_listed(self, gen_docs: Any) -> None:
        page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
        for kind in gen_docs.error_classes():
            assert f"| `{kind.__name__}` |" in page


class TestNames:
    def test_each_guarantee_names_tests_that_exist(self) -> None:
        page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
        _, *sections = re.split(r"^## ", page, flags=re.MULTILINE)
        numbered = {}
        for section in sections:
            numbered[section.split()[0]] = [find(*found) for found in _TESTS.findall(section)]
        promised = [f"G{number}" for number in range(1, 12)]
        assert [name for name in numbered if name != "What"] == promised
        assert [name for name in promised if not numbered[name]] == []

    def test_each_group_of_the_suites_shows_something(self) -> None:
        page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
        named = {find(module, group, "") for module, group, _ in _TESTS.findall(page)}
        groups = {
            kind
            for suite in (EngineSuite, SubstrateSuite)
            for kind in suite.__mro__
            if kind.__name__.endswith("Tests")
        }
        assert groups - named == set()

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
    def test_files_and_links_lead_somewhere(self, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        assert [path for path in _FILE.findall(text) if not (ROOT / path).exists()] == []
        broken = []
        for target in _LINK.findall(text):
            path, _, anchor = target.partition("#")
            if "://" in path:
                continue
            to = (page.parent / path).resolve() if path else page
            if not to.exists() or (anchor and anchor not in anchors(to)):
                broken.append(target)
        assert broken == []

    def test_the_index_of_decisions_has_each_page(self) -> None:
        folder = ROOT / "docs" / "decisions"
        index = (folder / "README.md").read_text(encoding="utf-8")
        listed = re.findall(r"^\| \[\d{4}\]\((.*)\) \| (.*) \| (.*) \|$", index, re.MULTILINE)
        assert [name for name, _, _ in listed] == sorted(page.name for page in folder.glob("0*.md"))
        for name, title, status in listed:
            page = (folder / name).read_text(encoding="utf-8")
            assert page.startswith(f"# {name[:4]}: {title}\n\nStatus: {status}. Date: ")
            parts = re.findall(r"^## (.*)$", page, re.MULTILINE)
            assert parts == ["Context", "Decision", "Alternatives", "Costs"]


def find(module: str, group: str, test: str) -> type:
    """A group of a suite, by its module and name; it has that test."""
    for suite in (EngineSuite, SubstrateSuite):
        for kind in suite.__mro__:
            if (kind.__module__, kind.__name__) == (f"discfg_core.testing.{module}", group):
                assert not test or hasattr(kind, test), f"{group} has no {test}"
                return kind
    pytest.fail(f"no suite has {module}.{group}")


def anchors(page: Path) -> set[str]:
    """The names that a page's headings give."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }
