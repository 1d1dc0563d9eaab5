"""A config is a mutable mapping of keys to decoded data."""

from __future__ import annotations

import threading
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import discfg_core as discfg

if TYPE_CHECKING:
    from tests.store.conftest import Spied

DATA = {"/a": 1, "/b/c": "text", "/b/d": b"\x00\xff", "/e": {"x": [None, True, 1.5]}}

Clients = tuple[discfg.Config, discfg.Config]


@pytest.fixture
def filled(cfg: discfg.Config) -> discfg.Config:
    cfg.update(DATA)
    return cfg


def test_it_is_a_mutable_mapping(cfg: discfg.Config) -> None:
    assert isinstance(cfg, MutableMapping)


def test_it_holds_what_was_put(filled: discfg.Config) -> None:
    assert filled.values() == DATA
    assert {key: filled[key] for key in filled} == DATA
    assert list(filled) == list(filled.keys()) == sorted(DATA)
    assert list(filled.items()) == sorted(DATA.items())
    assert len(filled) == len(DATA)
    assert dict(filled) == DATA
    assert {**filled} == DATA
    assert filled


def test_an_empty_one(cfg: discfg.Config) -> None:
    assert (cfg.values(), list(cfg), len(cfg), bool(cfg)) == ({}, [], 0, False)
    assert list(cfg.items()) == []
    assert list(cfg.keys()) == []
    with pytest.raises(KeyError):
        cfg.popitem()


def test_a_key_may_be_spelled_without_its_slash(filled: discfg.Config) -> None:
    assert filled["a"] == filled["/a"] == 1
    assert "b/c" in filled
    assert "/b" not in filled
    filled["a"] = 2
    del filled["b/c"]
    assert filled.values() == {"/a": 2, "/b/d": DATA["/b/d"], "/e": DATA["/e"]}


def test_looking_for_a_key_fetches_no_value(spied: Spied) -> None:
    spied.config.update({"a": bytes(100_000), "b/c": 1})
    spied.take()
    assert "a" in spied.config
    assert "b" not in spied.config
    assert spied.take() == ["view", "view"]


def test_an_absent_key(cfg: discfg.Config) -> None:
    for absent in (lambda: cfg["no"], lambda: cfg.pop("no"), lambda: cfg.delete("no")):
        with pytest.raises(discfg.KeyNotFound) as caught:
            absent()
        assert isinstance(caught.value, KeyError)
        assert caught.value.key == "/no"
    with pytest.raises(KeyError):
        del cfg["no"]
    assert "no" not in cfg
    assert cfg.get("no", None) is None
    assert cfg.get("no", 5) == 5
    assert cfg.pop("no", 5) == 5
    assert cfg.pop("no", None) is None


@pytest.mark.parametrize("key", ["", "a//b", "a/", "..", "a\n", "\ud800", 5, None, b"a"])
def test_a_bad_key_is_an_error_even_where_a_dict_would_say_no(cfg: discfg.Config, key: Any) -> None:
    def put() -> None:
        cfg[key] = 1

    calls: list[Callable[[], object]] = [
        lambda: key in cfg,
        lambda: cfg[key],
        lambda: cfg.pop(key, 5),
        lambda: cfg.get(key, 5),
        lambda: cfg.setdefault(key, 5),
        put,
    ]
    for call in calls:
        with pytest.raises(discfg.InvalidKey):
            call()
    assert cfg.info().revision == 0


def test_a_config_that_is_not_there_is_no_key_error(memory: discfg.Store) -> None:
    absent = memory.config("absent")
    for call in (lambda: "a" in absent, lambda: absent.get("a", 1), lambda: absent.pop("a", 1)):
        with pytest.raises(discfg.ConfigNotFound) as caught:
            call()
        assert not isinstance(caught.value, KeyError)


def test_each_read_gives_an_object_of_its_own(filled: discfg.Config) -> None:
    filled["e"]["x"].append("mine")
    filled.values()["/e"]["x"].append("mine")
    assert filled["e"] == DATA["/e"]


def test_views_do_not_change_under_the_reader(filled: discfg.Config) -> None:
    keys, items, nodes, names = filled.keys(), filled.items(), filled.list(), iter(filled)
    filled.clear()
    assert len(filled) == 0
    assert list(keys) == list(names) == [node.key for node in nodes] == sorted(DATA)
    assert dict(items) == DATA


def test_it_may_be_changed_while_it_is_iterated_over(filled: discfg.Config) -> None:
    for key in filled:
        del filled[key]
        filled[f"new{key}"] = 1
    assert list(filled) == [f"/new{key}" for key in sorted(DATA)]


def test_equality_is_identity(memory: discfg.Store, cfg: discfg.Config) -> None:
    same = memory.config("mycfg")
    assert cfg == cfg  # noqa: PLR0124 - equality is what is tested
    assert cfg != same
    assert cfg != {}
    assert len({cfg, same, cfg}) == 2


def test_pop_gives_the_very_value_it_removed(filled: discfg.Config) -> None:
    assert filled.pop("e") == DATA["/e"]
    assert filled.pop("e", "gone") == "gone"


def test_popitem_takes_all_of_it_in_turn(filled: discfg.Config) -> None:
    assert [filled.popitem() for _ in DATA] == sorted(DATA.items())
    with pytest.raises(discfg.KeyNotFound, match="empty"):
        filled.popitem()


def test_popitem_gives_each_item_to_one_caller(clients: Clients) -> None:
    ours, theirs = clients
    ours.update({f"k{number}": number for number in range(20)})
    taken: list[tuple[str, Any]] = []

    def take(config: discfg.Config) -> None:
        while True:
            try:
                taken.append(config.popitem())
            except KeyError:
                return

    in_threads(lambda: take(ours), lambda: take(theirs))
    assert sorted(number for _, number in taken) == list(range(20))


def test_setdefault(cfg: discfg.Config) -> None:
    assert cfg.setdefault("a", (1, 2)) == [1, 2]
    assert cfg.setdefault("a", 3) == [1, 2]
    assert cfg.setdefault("null") is None
    assert cfg.values() == {"/a": [1, 2], "/null": None}
    assert cfg.info().revision == 2


def test_setdefault_is_written_by_one_caller_only(clients: Clients) -> None:
    ours, theirs = clients
    for number in range(20):
        key = f"k{number}"
        answers = in_threads(
            partial(ours.setdefault, key, "ours"), partial(theirs.setdefault, key, "theirs")
        )
        assert set(answers) == {ours[key]}
        assert ours.get(key).version == 1


def test_clear_is_one_commit(filled: discfg.Config) -> None:
    before = filled.info().revision
    filled.clear()
    assert filled.info().revision == before + 1
    filled.clear()
    assert filled.info().revision == before + 1


class TestUpdateWithMany:
    def test_is_one_commit(self, cfg: discfg.Config) -> None:
        commit = cfg.update(DATA, message="all", actor="bob")
        assert commit is not None
        assert (commit.revision, commit.message, commit.actor) == (1, "all", "bob")
        assert [change.key for change in commit.changes] == sorted(DATA)

    def test_takes_what_a_dict_takes(self, cfg: discfg.Config) -> None:
        class Table:
            def keys(self) -> list[str]:
                return ["t"]

            def __getitem__(self, key: str) -> int:
                return len(key)

        cfg.update([("a", 1), ("b", 2)])
        cfg.update(Table())
        cfg.update(cfg)
        assert cfg.values() == {"/a": 1, "/b": 2, "/t": 1}

    def test_takes_no_keyword_for_a_key(self, cfg: discfg.Config) -> None:
        mistyped: Any = {"mesage": "why"}
        with pytest.raises(discfg.InvalidOption):
            cfg.update({"a": 1}, **mistyped)
        assert cfg.info().revision == 0

    def test_the_last_of_two_spellings_of_a_key_holds(self, cfg: discfg.Config) -> None:
        cfg.update([("a", 1), ("/a", 2)])
        assert cfg.values() == {"/a": 2}

    def test_of_nothing_makes_no_commit(self, cfg: discfg.Config) -> None:
        assert cfg.update() is None
        assert cfg.update({}) is None
        assert cfg.update([]) is None
        assert cfg.info().revision == 0

    def test_takes_conditions_and_ids(self, cfg: discfg.Config) -> None:
        first = cfg.update({"a": 1}, if_config_revision=0, commit_id="once")
        assert cfg.update({"a": 1}, if_config_revision=0, commit_id="once") == first
        with pytest.raises(discfg.ConditionFailed):
            cfg.update({"a": 1}, if_config_revision=0)

    def test_with_one_bad_item_writes_nothing(self, cfg: discfg.Config) -> None:
        cases: list[tuple[Any, type[discfg.DiscfgError]]] = [
            ({"a": 1, "b//": 2}, discfg.InvalidKey),
            ({"a": 1, "b": {1, 2}}, discfg.InvalidValue),
            ([("a", 1), ("b",)], discfg.InvalidOption),
            ([("a", 1), "bc"], discfg.InvalidOption),
            (5, discfg.InvalidOption),
        ]
        for bad, error in cases:
            with pytest.raises(error):
                cfg.update(bad)
        assert cfg.info().revision == 0


json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
).filter(lambda data: "\\ud" not in ascii(data))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "del", "pop", "setdefault", "update", "popitem", "clear"]),
            st.sampled_from(["/a", "/b", "/b/c"]),
            json_data | st.binary(max_size=8),
        ),
        max_size=12,
    )
)
def test_it_does_what_a_dict_does(steps: list[tuple[str, str, Any]]) -> None:
    with discfg.connect("memory://") as store:
        cfg, model = store.create_config("law"), dict[str, Any]()
        for step, key, data in steps:
            if step == "put":
                cfg[key] = model[key] = data
            elif step == "del":
                if key in model:
                    del model[key]
                    del cfg[key]
            elif step == "pop":
                assert cfg.pop(key, None) == model.pop(key, None)
            elif step == "setdefault":
                assert cfg.setdefault(key, data) == model.setdefault(key, data)
            elif step == "update":
                cfg.update({key: data, "z": data})
                model.update({key: data, "/z": data})
            elif step == "popitem" and model:
                taken, value = cfg.popitem()
                assert model.pop(taken) == value
            elif step == "clear":
                cfg.clear()
                model.clear()
            assert cfg.values() == model
            assert list(cfg) == sorted(model)
            assert len(cfg) == len(model)
            assert all((name in cfg) == (name in model) for name in ("/a", "/b", "/b/c", "/z"))


def in_threads(*calls: Callable[[], object]) -> list[object]:
    """Run calls at once, and return what each returned."""
    start = threading.Barrier(len(calls))
    answers: list[object] = [AssertionError("did not end")] * len(calls)

    def run(number: int, call: Callable[[], object]) -> None:
        start.wait(30)
        answers[number] = call()

    threads = [
        threading.Thread(target=run, args=(number, call)) for number, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers
