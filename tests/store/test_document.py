"""`Config.document`: what is in it, what can be told from it, and of which revision it is."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

import discfg_core as discfg
from discfg_core.errors import ConfigNotFound, InvalidKey, InvalidValue, RevisionNotFound
from discfg_core.keys import under

if TYPE_CHECKING:
    from discfg_core import Config


@pytest.fixture
def cfg() -> Config:
    return discfg.connect("memory://").create_config("c")


def shown(data: Any) -> Any:
    """What a value is in a document."""
    if isinstance(data, bytes):
        return {"$base64": base64.b64encode(data).decode()}
    return data


def found(document: dict[str, Any], key: str, keys: set[str]) -> Any:
    """What stands in the document of these keys for one of them."""
    inside: Any = document
    for segment in key[1:].split("/"):
        inside = inside[segment]
    return inside[""] if any(each.startswith(key + "/") for each in keys) else inside


def told(document: dict[str, Any], key: str = "") -> dict[str, Any]:
    """The keys and data of a document that holds neither a JSON object nor a `$base64`."""
    values: dict[str, Any] = {}
    for name, inside in document.items():
        path = key if name == "" else f"{key}/{name}"
        if not isinstance(inside, dict):
            values[path] = inside
        elif inside.keys() == {"$base64"}:
            values[path] = base64.b64decode(inside["$base64"])
        else:
            values |= told(inside, path)
    return values


LONG = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Few segments, so that keys below keys are common; one that sorts between a key and those below.
SEGMENTS = st.sampled_from(["a", "b", "a-b", "ä", "$base64"])
TEXTS = st.sampled_from(["", "a", "ä\n", "$base64"])
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | st.binary(max_size=3)
JSON = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["", "a", "b"]), inner)
    ),
    max_leaves=4,
)


def configs(
    segments: st.SearchStrategy[str], data: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
    return st.dictionaries(keys, data, max_size=8)


def of(values: dict[str, Any]) -> Config:
    cfg = discfg.connect("memory://").create_config("c")
    cfg.replace(values)
    return cfg


@LONG
@given(configs(SEGMENTS, SCALARS | JSON))
def test_each_key_leads_to_its_data(values: dict[str, Any]) -> None:
    document = of(values).document()
    for key, data in values.items():
        assert found(document, key, values.keys() - {key}) == shown(data)


@LONG
@given(configs(SEGMENTS.filter("$base64".__ne__), SCALARS | st.lists(JSON, max_size=2)))
def test_without_objects_for_values_it_tells_all_of_them(values: dict[str, Any]) -> None:
    assert told(of(values).document()) == values


@LONG
@given(configs(SEGMENTS, SCALARS | JSON), st.lists(SEGMENTS, min_size=1, max_size=3))
def test_a_prefix_is_what_the_whole_has_there(values: dict[str, Any], segments: list[str]) -> None:
    cfg = of(values)
    prefix = "/" + "/".join(segments)
    inside: Any = cfg.document()
    if not any(under(key, prefix) for key in values):
        assert cfg.document(prefix) == {}
        return
    for segment in segments:
        inside = inside[segment]
    below = any(key.startswith(prefix + "/") for key in values)
    assert cfg.document(prefix) == (inside if below else {"": inside})


@LONG
@given(configs(SEGMENTS, SCALARS | JSON))
def test_it_is_json_and_one_s_own(values: dict[str, Any]) -> None:
    cfg = of(values)
    document = cfg.document()
    assert json.loads(json.dumps(document)) == document
    again = cfg.document()
    document.clear()
    assert cfg.document() == again


def test_a_key_with_others_below_it(cfg: Config) -> None:
    cfg.update({"db": "main", "db-old": 1, "db/host": "10.0.0.1", "db/host/port": b"\x00"})
    assert cfg.document() == {
        "db": {"": "main", "host": {"": "10.0.0.1", "port": {"$base64": "AA=="}}},
        "db-old": 1,
    }
    assert cfg.document("db/host/") == {"": "10.0.0.1", "port": {"$base64": "AA=="}}
    assert cfg.document("db-old") == {"": 1}
    assert cfg.document("d") == {}


def test_objects_that_callers_stored_are_there_as_they_are(cfg: Config) -> None:
    cfg.set("a", {"b": 1})
    same = discfg.connect("memory://").create_config("c")
    same.set("a/b", 1)
    assert cfg.document() == same.document() == {"a": {"b": 1}}
    cfg.update({"a/b": 2, "x": {"$base64": "no base64"}, "y": {}})
    assert cfg.document() == {
        "a": {"": {"b": 1}, "b": 2},
        "x": {"$base64": "no base64"},
        "y": {},
    }


def test_each_level_that_a_key_may_have(cfg: Config) -> None:
    segments = ["x"] * 511
    cfg.set("/".join(segments), 1)
    inside: Any = cfg.document()
    for segment in segments:
        inside = inside[segment]
    assert inside == 1


def test_it_is_of_one_revision(cfg: Config) -> None:
    assert cfg.document() == {}
    cfg.set("a/b", [1])
    cfg.set("a", 1)
    assert cfg.document(at=0) == {}
    assert cfg.document(at=1) == {"a": {"b": [1]}}
    assert cfg.document("a", at=2) == cfg.document("a") == {"": 1, "b": [1]}


def test_max_staleness_answers_from_memory(clients: tuple[Config, Config]) -> None:
    ann, bob = clients
    ann.set("a", 1)
    assert bob.document() == {"a": 1}
    ann.set("a", 2)
    assert bob.document(max_staleness=3600) == {"a": 1}
    assert bob.document() == {"a": 2}


def test_errors(cfg: Config) -> None:
    cfg.set("a", b"\xff", content_type="text/plain")
    with pytest.raises(InvalidValue, match="/a") as caught:
        cfg.document()
    assert caught.value.key == "/a"
    assert cfg.document("b") == {}
    with pytest.raises(RevisionNotFound):
        cfg.document(at=2)
    with pytest.raises(InvalidKey):
        cfg.document("a//b")
    with pytest.raises(InvalidKey):
        cfg.document(5)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConfigNotFound):
        discfg.connect("memory://").config("none").document()
