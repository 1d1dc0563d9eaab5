"""The URLs of the two stores, as their engines are opened by them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from discfg_core.clock import Deadline
from discfg_core.engine import Guarantee
from discfg_core.errors import InvalidOption, InvalidURL
from discfg_core.substrates import memory, sqlite
from discfg_core.urls import parse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite://app.db", "write sqlite:///app.db, with three slashes"),
        ("sqlite://var/lib/app.db", "write sqlite:///var/lib/app.db, with three slashes"),
        ("sqlite://ann:secret@app.db", "write sqlite://"),
        ("sqlite://ann:secret@host/a%20b.db", "write sqlite:///a%20b.db"),
        ("sqlite://", "write sqlite:///app.db"),
        ("sqlite:///", "write sqlite:///app.db"),
        ("sqlite:///:memory:", "or memory://"),
        ("memory://a,b", "memory://name"),
        ("memory://a:80", "memory://name"),
        ("memory://a/b", "memory://name"),
        ("memory:///a", "memory://name"),
        ("memory://ann:secret@a", "memory://name"),
    ],
)
def test_url_with_too_much_or_too_little_is_refused(url: str, hint: str) -> None:
    module = sqlite if url.startswith("sqlite") else memory
    with pytest.raises(InvalidURL) as caught:
        module.open_engine(parse(url))
    assert caught.value.hint is not None
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///app.db?timeout=3", "memory://a?timeout=3"])
def test_options_are_refused(url: str) -> None:
    module = sqlite if url.startswith("sqlite") else memory
    with pytest.raises(InvalidOption, match="no option 'timeout'"):
        module.open_engine(parse(url))


def test_sqlite_paths_are_relative_with_three_slashes_and_absolute_with_four(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(sqlite.open_engine(parse("sqlite:///app%20one.db"))) as engine:
        engine.create_config("one", {}, deadline=Deadline.after(20))
        assert engine.scheme == "sqlite"
        assert engine.guarantees == {Guarantee.DURABLE, Guarantee.SHARED, Guarantee.UNDROP}
    with closing(sqlite.open_engine(parse(f"sqlite:///{tmp_path}/app%20one.db"))) as engine:
        assert engine.list_configs(deadline=Deadline.after(20)) == ["one"]


def test_memory_names_are_shared_and_no_name_is_private() -> None:
    for url, seen in (("memory://shared-one", ["one"]), ("memory://", [])):
        first, second = (memory.open_engine(parse(url)) for _ in range(2))
        with closing(first), closing(second):
            first.create_config("one", {}, deadline=Deadline.after(20))
            assert second.list_configs(deadline=Deadline.after(20)) == seen
            assert first.guarantees == {Guarantee.PUSH_WATCH, Guarantee.UNDROP}


@pytest.mark.parametrize("module", [sqlite, memory])
def test_limits_each_have_a_reason(module: object) -> None:
    substrate = sqlite.SQLiteSubstrate("app.db") if module is sqlite else memory.MemorySubstrate()
    limits = substrate.limits("one")
    defaults = type(limits)()
    changed = {
        field
        for field in limits.__struct_fields__
        if field != "why" and getattr(limits, field) != getattr(defaults, field)
    }
    assert changed == set(limits.why)
    assert limits.blobs_ride
