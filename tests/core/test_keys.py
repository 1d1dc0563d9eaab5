"""Keys, prefixes and names: what is accepted, and one spelling for each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from discfg_core.errors import InvalidKey, InvalidName
from discfg_core.keys import check_name, normalize_key, normalize_prefix, under

quiet = settings(deadline=None)

segments = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=8
).filter(lambda text: text not in {".", ".."})
keys = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("key", "normal"),
    [
        ("a", "/a"),
        ("/a", "/a"),
        ("a/b c", "/a/b c"),
        ("...", "/..."),
        (".a", "/.a"),
        ("a..", "/a.."),
        ("ключ/键", "/ключ/键"),
        ("a\\b?#%", "/a\\b?#%"),
        ("\u00a0", "/\u00a0"),
        ("x" * 1023, "/" + "x" * 1023),
        ("/" + "x" * 1023, "/" + "x" * 1023),
        ("é" * 511, "/" + "é" * 511),
        ("/" + "é" * 511 + "x", "/" + "é" * 511 + "x"),
    ],
)
def test_a_key_has_one_spelling(key: str, normal: str) -> None:
    assert normalize_key(key) == normal


BAD_KEYS: list[Any] = [
    "",
    "/",
    "//",
    "//a",
    "a/",
    "/a/",
    "a//b",
    ".",
    "..",
    "/.",
    "a/./b",
    "a/../b",
    "a/..",
    "a\x00b",
    "a\nb",
    "\x1f",
    "\x7f",
    "\x80",
    "\x9f",
    "\ud800",
    "a\udfffb",
    "x" * 1024,
    "/" + "x" * 1024,
    "é" * 512,
    "x" * 10_000_000,
    None,
    5,
    b"a",
    ["a"],
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: repr(key)[:20])
def test_a_bad_key_is_refused_in_few_words(key: Any) -> None:
    with pytest.raises(InvalidKey) as caught:
        normalize_key(key)
    assert caught.value.hint
    assert len(caught.value.message) < 2000
    caught.value.message.encode()
    if key != "":
        with pytest.raises(InvalidKey):
            normalize_key(key)


@quiet
@given(keys)
def test_normalising_twice_changes_nothing_more(key: str) -> None:
    assert normalize_key(key) == key == normalize_key(key[1:])


@quiet
@given(st.text() | st.text(st.characters()))
@example("a\ud800/..")
def test_any_text_is_a_key_or_invalid(text: str) -> None:
    try:
        key = normalize_key(text)
    except InvalidKey:
        return
    assert key.startswith("/")
    assert len(key.encode()) <= 1024
    assert all(part not in {"", ".", ".."} for part in key[1:].split("/"))


@pytest.mark.parametrize(
    ("prefix", "normal"),
    [("", "/"), ("/", "/"), ("a", "/a"), ("/a", "/a"), ("a/", "/a"), ("/a/b/", "/a/b")],
)
def test_a_prefix_has_one_spelling(prefix: str, normal: str) -> None:
    assert normalize_prefix(prefix) == normal


@pytest.mark.parametrize(
    "prefix", ["//", "a//", "/a//b", "..", "a/..", "\x00", "\ud800", None, 1, b"", []]
)
def test_a_bad_prefix_is_refused(prefix: Any) -> None:
    with pytest.raises(InvalidKey):
        normalize_prefix(prefix)


@pytest.mark.parametrize(
    ("key", "prefix", "expected"),
    [
        ("/a", "/", True),
        ("/a", "/a", True),
        ("/a/b", "/a", True),
        ("/a/b/c", "/a", True),
        ("/ab", "/a", False),
        ("/a-b", "/a", False),
        ("/", "/a", False),
        ("/a", "/a/b", False),
        ("/A/b", "/a", False),
    ],
)
def test_a_prefix_matches_whole_segments(key: str, prefix: str, *, expected: bool) -> None:
    assert under(key, prefix) is expected


@quiet
@given(keys, keys)
def test_under_is_about_segments(key: str, prefix: str) -> None:
    mine, theirs = key[1:].split("/"), prefix[1:].split("/")
    assert under(key, prefix) is (mine[: len(theirs)] == theirs)
    assert under(key, "/")
    assert under(prefix + key, prefix)


@pytest.mark.parametrize("name", ["a", "0", "A.b_c-d", "x" * 128, "9..", "v1"])
def test_a_config_name(name: str) -> None:
    assert check_name(name) == name


BAD_NAMES: list[Any] = [
    "", ".", "-a", "_a", ".discfg", "a b", "a/b", "a\n", "\na", "é", "a\x00", "\ud800",
    "x" * 129, "x" * 10_000_000, "\u0661", None, 5, b"a", ["a"],
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: repr(name)[:20])
def test_a_bad_config_name_is_refused_in_few_words(name: Any) -> None:
    with pytest.raises(InvalidName) as caught:
        check_name(name)
    assert len(caught.value.message) < 2000
    caught.value.message.encode()
    assert caught.value.hint
