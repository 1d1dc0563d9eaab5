"""How engines are found: what is installed decides, and every way to fail has its own error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from discfg_core import errors, registry
from discfg_core.engine import Guarantee, StorageEngine
from discfg_core.registry import InstalledEngine, Listed, installed, open_engine, profile, survey
from discfg_core.urls import parse

FIXTURE = Path(__file__).parents[1] / "plugin_fixture"

# A module of a plugin: an engine of the right shape that does nothing.
ENGINE = """
from discfg_core.engine import Guarantee, StorageEngine

closed = []
urls = []

class Engine:
    scheme = "x"
    guarantees = frozenset({Guarantee.DURABLE, Guarantee.SHARED})

for name in vars(StorageEngine):
    if not name.startswith("_") and not hasattr(Engine, name):
        setattr(Engine, name, lambda self, *args, **options: None)

Engine.close = lambda self: closed.append(self)

def open_engine(url):
    urls.append(url)
    return Engine()
"""


@dataclass
class Plugins:
    """A folder of installed distributions, on the path of this process."""

    folder: Path
    count: int = field(default=0)

    def add(
        self, scheme: str, source: str = ENGINE, *, attribute: str = "open_engine", name: str = ""
    ) -> str:
        """Install a distribution as an installer would leave it; gives its module's name."""
        self.count += 1
        module = f"{self.folder.name.replace('-', '_')}_{self.count}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        name = name or f"dist-{module}"
        metadata = self.folder / f"{name.replace('-', '_')}-{self.count}.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {self.count}.0\n"
        )
        (metadata / "entry_points.txt").write_text(
            f"[discfg.engines]\n{scheme} = {module}:{attribute}\n"
        )
        return module


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    """What a process has imported once it finds again, installed or not."""
    registry._factory.cache_clear()


@pytest.fixture
def plugins(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    folder = tmp_path_factory.mktemp("plugins")
    monkeypatch.syspath_prepend(str(folder))
    return Plugins(folder)


def scheme_of(plugins: Plugins) -> str:
    """A scheme that no other test has: what was found once is remembered."""
    return plugins.folder.name.replace("_", "-").lower()


def test_an_engine_is_found_by_its_scheme_and_given_the_url(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    module = plugins.add(scheme)
    url = parse(f"{scheme}://u:p@host/path?a=1")
    engine = open_engine(url)
    assert isinstance(engine, StorageEngine)
    assert sys.modules[module].urls == [url]


@pytest.mark.parametrize("spelling", [str.upper, str.lower, str.title])
def test_the_case_of_a_scheme_does_not_matter(plugins: Plugins, spelling: object) -> None:
    assert callable(spelling)
    scheme = scheme_of(plugins)
    plugins.add(spelling(scheme))
    assert open_engine(parse(f"{scheme.upper()}://h")).scheme == "x"
    assert scheme in {engine.scheme for engine in installed()}


def test_an_unknown_scheme_lists_those_there_are(plugins: Plugins) -> None:
    plugins.add(scheme_of(plugins))
    with pytest.raises(errors.UnknownEngine) as caught:
        open_engine(parse("gopher://h"))
    assert type(caught.value) is errors.UnknownEngine
    assert "gopher://" in caught.value.message
    assert scheme_of(plugins) in str(caught.value.hint)
    assert "memory" in str(caught.value.hint)
    assert "sqlite" in str(caught.value.hint)


@pytest.mark.parametrize("scheme", ["etcd", "s3", "dynamodb", "rethinkdb"])
def test_one_of_ours_that_is_not_installed_says_how(
    scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(errors.EngineNotInstalled) as caught:
        open_engine(parse(f"{scheme}://h"))
    assert caught.value.hint == f'pip install "discfg[{scheme}]"'
    assert caught.value.engine == scheme


def test_two_distributions_with_one_scheme_are_both_named(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    modules = [
        plugins.add(scheme, "raise SystemExit('imported')", name="first-dist"),
        plugins.add(scheme.upper(), "raise SystemExit('imported')", name="second-dist"),
    ]
    with pytest.raises(errors.DuplicateEngine) as caught:
        open_engine(parse(f"{scheme}://h"))
    assert "first-dist 1.0 and second-dist 2.0" in caught.value.message
    assert not any(module in sys.modules for module in modules)


def test_two_distributions_with_one_scheme_and_one_target_are_two(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme, name="first-dist")
    module = plugins.add(scheme, name="second-dist")
    first = plugins.folder / "first_dist-1.0.dist-info" / "entry_points.txt"
    first.write_text(f"[discfg.engines]\n{scheme} = {module}:open_engine\n")
    with pytest.raises(errors.DuplicateEngine):
        open_engine(parse(f"{scheme}://h"))


BROKEN = {
    "import fails": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "syntax": ("def", "SyntaxError"),
    "assertion": ("assert not 'today'", "AssertionError"),
    "no such attribute": ("x = 1", "AttributeError"),
    "not callable": ("open_engine = 5", "int"),
    "gives nothing": ("def open_engine(url): return None", "NoneType"),
    "gives something else": ("def open_engine(url): return object()", "object"),
    "gives the class": (ENGINE + "\ndef open_engine(url): return Engine\n", "type"),
    "lacks a method": (ENGINE + "\ndel Engine.outcome\n", "Engine"),
    "raises": ("def open_engine(url): raise OSError('no route')", "OSError: no route"),
    "takes no url": ("def open_engine(): return 1", "TypeError"),
    "broken property": (
        ENGINE + "\nEngine.guarantees = property(lambda self: 1 / 0)\n",
        "ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_engine_is_told_with_its_cause(plugins: Plugins, case: str) -> None:
    source, says = BROKEN[case]
    scheme = scheme_of(plugins)
    plugins.add(scheme, source)
    with pytest.raises(errors.EngineLoadFailed) as caught:
        open_engine(parse(f"{scheme}://h"))
    assert scheme in caught.value.message
    assert says in caught.value.message
    assert caught.value.engine == scheme
    assert caught.value.hint
    if "Error" in says:
        assert type(caught.value.__cause__).__name__ in says


def test_an_engine_is_not_imported_for_another_one(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    bomb = plugins.add("bomb-" + scheme, "raise SystemExit('imported')")
    plugins.add(scheme)
    assert {engine.scheme for engine in installed()} >= {scheme, "bomb-" + scheme}
    assert open_engine(parse(f"{scheme}://h")).scheme == "x"
    assert bomb not in sys.modules


def test_a_falsy_engine_is_an_engine(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme, ENGINE + "\nEngine.__len__ = lambda self: 0\n")
    assert isinstance(open_engine(parse(f"{scheme}://h")), StorageEngine)


def test_the_engines_own_error_is_passed_on_with_its_scheme(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(
        scheme,
        """
        from discfg_core.errors import InvalidURL
        def open_engine(url):
            try:
                raise OSError("cause")
            except OSError as error:
                raise InvalidURL("no path") from error
        """,
    )
    with pytest.raises(errors.InvalidURL, match="no path") as caught:
        open_engine(parse(f"{scheme}://h"))
    assert caught.value.engine == scheme
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("chained", ["", " from KeyError(url.password)"])
def test_a_secret_in_an_engines_failure_is_shown_nowhere(plugins: Plugins, chained: str) -> None:
    scheme = scheme_of(plugins)
    plugins.add(
        scheme,
        f"""
        def open_engine(url):
            raise OSError(f"cannot log in as {{url.user}} with {{url.password}}"){chained}
        """,
    )
    url = parse(f"{scheme}://ann:%68unter2@h")
    with pytest.raises(errors.EngineLoadFailed) as caught:
        open_engine(url)
    assert "as ann with ***" in caught.value.message
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_guarantees_that_are_met(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme)
    engine = open_engine(parse(f"{scheme}://h"), {Guarantee.DURABLE, Guarantee.SHARED})
    assert engine.guarantees == {Guarantee.DURABLE, Guarantee.SHARED}


@pytest.mark.parametrize(
    "close", ["", "\ndef bad(self): closed.append(self); raise OSError\nEngine.close = bad"]
)
def test_a_guarantee_that_is_not_met_is_named_and_the_engine_closed(
    plugins: Plugins, close: str
) -> None:
    scheme = scheme_of(plugins)
    module = plugins.add(scheme, ENGINE + close)
    with pytest.raises(errors.GuaranteeNotMet) as caught:
        open_engine(
            parse(f"{scheme}://h"),
            {Guarantee.PUSH_WATCH, Guarantee.DISTRIBUTED, Guarantee.DURABLE},
        )
    assert "does not give distributed, push_watch; it gives durable, shared" in str(caught.value)
    assert len(sys.modules[module].closed) == 1


def test_what_is_installed(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme, "raise SystemExit('imported')", name="some-dist")
    found = installed()
    assert InstalledEngine(scheme, "some-dist", "1.0") in found
    assert {"memory", "sqlite"} <= {engine.scheme for engine in found}
    assert {engine.distribution for engine in found if engine.scheme == "sqlite"} == {"discfg"}
    assert list(found) == sorted(found)


def test_a_damaged_distribution_is_listed_all_the_same(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme, name="some-dist")
    (plugins.folder / "some_dist-1.0.dist-info" / "METADATA").unlink()
    assert InstalledEngine(scheme, "unknown", "unknown") in installed()


def test_a_list_of_entry_points_that_cannot_be_read(plugins: Plugins) -> None:
    plugins.add(scheme_of(plugins), name="some-dist")
    (plugins.folder / "some_dist-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe[")
    with pytest.raises(errors.EngineLoadFailed, match="cannot be listed"):
        installed()


# --- what engines say of themselves -----------------------------------------------------

PROFILED = (
    ENGINE
    + """
import msgspec
from discfg_core.engine import EngineProfile, engine_factory
from discfg_core.substrate import Limits

class Options(msgspec.Struct, frozen=True):
    pass

open_engine = engine_factory(
    EngineProfile("x://host", Options, frozenset({Guarantee.SHARED}), Limits(blobs_ride=True))
)(open_engine)
"""
)


def listed(scheme: str) -> list[Listed]:
    return [each for each in survey() if each.scheme == scheme]


def test_the_profile_of_an_engine_opens_nothing(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    module = plugins.add(scheme, PROFILED)
    found = profile(scheme.upper())
    assert found is not None
    assert found.url == "x://host"
    assert found.guarantees == {Guarantee.SHARED}
    assert sys.modules[module].urls == []
    assert listed(scheme) == [
        Listed(scheme, InstalledEngine(scheme, f"dist-{module}", "1.0"), found)
    ]


def test_an_engine_without_a_profile_is_a_sound_one(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme)
    assert profile(scheme) is None
    (found,) = listed(scheme)
    assert (found.profile, found.error) == (None, None)


@pytest.mark.parametrize("case", ["import fails", "syntax", "not callable", "no such attribute"])
def test_a_broken_engine_is_listed_with_its_cause(plugins: Plugins, case: str) -> None:
    source, says = BROKEN[case]
    scheme = scheme_of(plugins)
    plugins.add(scheme, source)
    (found,) = listed(scheme)
    assert found.engine is not None
    assert isinstance(found.error, errors.EngineLoadFailed)
    assert says in found.error.message
    assert {"memory", "sqlite"} <= {each.scheme for each in survey() if each.profile}


def test_an_engine_that_ends_the_interpreter_is_a_broken_one(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme, "raise SystemExit(3)")
    (found,) = listed(scheme)
    assert found.error is not None
    assert "SystemExit" in found.error.message


def test_a_profile_that_is_none_is_told(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme, ENGINE + "\nopen_engine.profile = 'fast'\n")
    with pytest.raises(errors.EngineLoadFailed, match="has a str for a profile"):
        profile(scheme)


def test_a_profile_that_cannot_be_had_is_told(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    source = """
        class Factory:
            profile = property(lambda self: 1 / 0)
            def __call__(self, url): pass
        open_engine = Factory()
        """
    plugins.add(scheme, source)
    (found,) = listed(scheme)
    assert "ZeroDivisionError" in str(found.error)


def test_both_of_two_that_claim_a_scheme_are_listed_as_broken(plugins: Plugins) -> None:
    scheme = scheme_of(plugins)
    plugins.add(scheme, name="first-dist")
    plugins.add(scheme, name="second-dist")
    found = listed(scheme)
    assert [str(each.engine) for each in found] == ["first-dist 1.0", "second-dist 2.0"]
    assert {type(each.error) for each in found} == {errors.DuplicateEngine}


def test_ours_that_are_not_installed_are_listed_with_their_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = survey()
    assert [each.scheme for each in found] == [
        *("dynamodb", "etcd", "memory", "rethinkdb", "s3", "sqlite")
    ]
    for each in found:
        assert each.engine is None
        assert isinstance(each.error, errors.EngineNotInstalled)
        assert str(each.error.hint).startswith('pip install "discfg')


def test_ours_say_what_they_are() -> None:
    for scheme in ("memory", "sqlite"):
        found = profile(scheme)
        assert found is not None
        engine = open_engine(parse(f"{scheme}:///x.db" if scheme == "sqlite" else "memory://"))
        assert found.guarantees == engine.guarantees
        engine.close()


# --- a plugin as a stranger installs it -----------------------------------------------

PROBE = """
import json, sys
from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle
from discfg_core.registry import installed, open_engine
from discfg_core.urls import parse

found = [[e.scheme, e.distribution, e.version] for e in installed()]
loaded = [m for m in sys.modules if m.startswith(("discfg_files", "discfg_core.substrates."))]
engine = open_engine(parse(sys.argv[1]))
engine.create_config("mycfg", {}, deadline=Deadline.after(30))
change = engine.set(ConfigHandle("mycfg"), "k", b"v", "text/plain", deadline=Deadline.after(30))
engine.close()
print(json.dumps({"found": found, "loaded": loaded, "version": change.node.version}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the fixture distribution was installed into."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    how = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder)]
    subprocess.run([*install, *how, str(FIXTURE)], check=True, timeout=120)
    return folder


def run_with(site: Path, url: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-c", PROBE, url],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("scheme", ["files", "FILES"])
def test_a_third_partys_engine_is_found_once_it_is_installed(
    site: Path, scheme: str, tmp_path: Path
) -> None:
    run = run_with(site, f"{scheme}:///{tmp_path}/store")
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert ["files", "discfg-files", "1.2.3"] in told["found"]
    assert told["loaded"] == []
    assert told["version"] == 1


def test_a_third_partys_engine_is_unknown_before(tmp_path: Path) -> None:
    run = run_with(tmp_path, "files:///store")
    assert run.returncode != 0
    assert "UnknownEngine: no engine for files:// is installed" in run.stderr
