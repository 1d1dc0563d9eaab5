"""Values: what is stored for an object or a person's text, and what comes back."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from discfg_core.errors import InvalidSettings, InvalidValue, ValueTooLarge
from discfg_core.values import (
    BYTES,
    JSON,
    MAX_VALUE_BYTES,
    TEXT,
    check_content_type,
    check_size,
    decode,
    encode,
    from_person,
    is_json,
    is_text,
    settings_from,
)

quiet = settings(deadline=None)

text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=12,
)


@quiet
@given(json_values | st.binary())
@example(10**300)
@example(-0.0)
@example({"": {"": []}})
@example({"b": 1, "a": 2})
def test_what_is_stored_comes_back(data: Any) -> None:
    again = decode(*encode(data))
    assert again == data
    assert repr(again) == repr(data)


@pytest.mark.parametrize(
    ("data", "content_type", "stored"),
    [
        ("x", None, (b"x", TEXT)),
        ("", None, (b"", TEXT)),
        ("ключ", None, ("ключ".encode(), TEXT)),
        (b"x", None, (b"x", BYTES)),
        (bytearray(b"x"), None, (b"x", BYTES)),
        (memoryview(b"xyz")[::2], None, (b"xz", BYTES)),
        (None, None, (b"null", JSON)),
        (True, None, (b"true", JSON)),
        (1.0, None, (b"1.0", JSON)),
        ({"ü": [1, "a"]}, None, ('{"ü":[1,"a"]}'.encode(), JSON)),
        ((1, 2), None, (b"[1,2]", JSON)),
        ("x", "text/html; charset=utf-8", (b"x", "text/html; charset=utf-8")),
        ("x", "image/svg+xml", (b"x", "image/svg+xml")),
        (b'{"a": 1}', JSON, (b'{"a": 1}', JSON)),
        ("x", JSON, (b'"x"', JSON)),
        ({"a": 1}, "application/ld+json", (b'{"a":1}', "application/ld+json")),
        ([1], "Application/JSON; v=1", (b"[1]", "Application/JSON; v=1")),
    ],
)
def test_what_is_stored(data: Any, content_type: str | None, stored: tuple[bytes, str]) -> None:
    assert encode(data, content_type) == stored


def test_stored_bytes_do_not_follow_a_buffer_that_changes() -> None:
    buffer = bytearray(b"before")
    raw, _ = encode(buffer)
    buffer[:] = b"after!"
    assert raw == b"before"


def nested(depth: int) -> list[Any]:
    data: list[Any] = []
    for _ in range(depth):
        data = [data]
    return data


def cyclic() -> list[Any]:
    data: list[Any] = []
    data.append(data)
    return data


NO_JSON: list[Any] = [
    math.nan,
    math.inf,
    -math.inf,
    [1, math.nan],
    {1, 2},
    frozenset(),
    {1: "a"},
    {None: 1},
    {True: 1},
    {"a": [{"b": {2.5: 1}}]},
    {("a",): 1},
    [b"bytes"],
    object(),
    datetime(2020, 1, 1, tzinfo=UTC),
    Decimal(1),
    1j,
    range(3),
    "\ud800",
    ["\ud800"],
    {"\udfff": 1},
    nested(100_000),
    cyclic(),
    10**5000,
]


@pytest.mark.parametrize("data", NO_JSON, ids=lambda data: type(data).__name__)
def test_what_could_not_come_back_is_refused(data: Any) -> None:
    with pytest.raises(InvalidValue):
        encode(data)


@pytest.mark.parametrize("data", [None, 1, {"a": 1}, ["x"]])
@pytest.mark.parametrize("content_type", [TEXT, BYTES, "text/html"])
def test_an_object_is_stored_as_json_alone(data: Any, content_type: str) -> None:
    with pytest.raises(InvalidValue, match="cannot be stored as"):
        encode(data, content_type)


@pytest.mark.parametrize(
    "content_type",
    ["", "text", "/", "text/", "/plain", "tëxt/plain", "text/plain\n", "a/b\x00", "a/" + "b" * 255],
)
def test_a_bad_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidValue):
        encode(b"x", content_type)


def test_a_good_content_type_is_as_it_is() -> None:
    for kind in (JSON, TEXT, BYTES, "text/html; charset=utf-8", "a/" + "b" * 254):
        assert check_content_type(kind) == kind


@pytest.mark.parametrize(
    ("content_type", "json", "plain"),
    [
        ("application/json", True, False),
        ("APPLICATION/JSON ; a=b", True, False),
        ("application/problem+json", True, False),
        ("text/json", False, True),
        ("text/x+json", True, True),
        ("application/jsonl", False, False),
        ("text/plain", False, True),
        ("TEXT/HTML", False, True),
        ("application/text", False, False),
        ("application/octet-stream;x=+json", False, False),
    ],
)
def test_kinds_of_content_types(content_type: str, *, json: bool, plain: bool) -> None:
    assert is_json(content_type) is json
    assert is_text(content_type) is plain


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (b"", JSON),
        (b"{", JSON),
        (b"{'a': 1}", JSON),
        (b"1 2", JSON),
        (b'"\xff"', JSON),
        (b"[" * 100_000, JSON),
        (b"[" * 100_000 + b"]" * 100_000, JSON),
        (b"1" * 5000, JSON),
        (b"\xff", TEXT),
        (b"a\xed\xa0\x80", "text/html"),
    ],
)
def test_a_content_type_that_lies(raw: bytes, content_type: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        decode(raw, content_type)
    assert caught.value.__cause__ is not None


def test_each_decoding_is_a_fresh_object() -> None:
    first = decode(b'{"a":[1]}', JSON)
    first["a"].append(2)
    assert decode(b'{"a":[1]}', JSON) == {"a": [1]}


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", TEXT),
        (b"hello", TEXT),
        (b'{"json": "works"}', JSON),
        (b' {"a":\n1 }\n', JSON),
        (b"1", JSON),
        (b"-1.50", JSON),
        (b"10.0.0.1", TEXT),
        (b"007", TEXT),
        (b'"quoted"', JSON),
        (b"true", JSON),
        (b"True", TEXT),
        (b"null", JSON),
        (b"NaN", TEXT),
        (b"[-Infinity]", TEXT),
        (b"{", TEXT),
        (b"1" * 5000, TEXT),
        (b"[" * 100_000 + b"]" * 100_000, TEXT),
        (b"\xef\xbb\xbf1", TEXT),
        ("é".encode(), TEXT),
        (b"\xff\xfe", BYTES),
        (b"\x89PNG\r\n", BYTES),
        (b"\x00", TEXT),
        (b'"\xed\xa0\x80"', BYTES),
        ('{"a":1}'.encode("utf-16"), BYTES),
    ],
)
def test_what_a_person_gave_keeps_its_bytes(raw: bytes, kind: str) -> None:
    assert from_person(raw) == (raw, kind)


@quiet
@given(st.binary() | text.map(str.encode) | json_values.map(lambda data: encode(data)[0]))
def test_what_a_person_gave_can_be_decoded(raw: bytes) -> None:
    kept, kind = from_person(raw)
    assert kept == raw
    decode(kept, kind)


def test_sixteen_mebibytes_are_kept_and_no_more() -> None:
    most = b"x" * MAX_VALUE_BYTES
    check_size(most)
    assert from_person(most) == (most, TEXT)
    for refuse in (check_size, from_person, encode):
        with pytest.raises(ValueTooLarge):
            refuse(most + b"x")
    with pytest.raises(ValueTooLarge):
        encode("é" * (MAX_VALUE_BYTES // 2 + 1))
    with pytest.raises(ValueTooLarge):
        encode(["x" * MAX_VALUE_BYTES])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {}),
        ({"a": {"b": [1, 2.5, None]}}, {"a": {"b": [1, 2.5, None]}}),
        ('{"setting": 1}', {"setting": 1}),
        (b'{"setting": 1}', {"setting": 1}),
        ({"a": (1,)}, {"a": [1]}),
    ],
)
def test_settings(data: Any, expected: dict[str, Any]) -> None:
    assert settings_from(data) == expected


def test_settings_do_not_follow_a_mapping_that_changes() -> None:
    given_ = {"a": [1]}
    kept = settings_from(given_)
    given_["a"].append(2)
    assert kept == {"a": [1]}


@pytest.mark.parametrize(
    "data",
    ["", "{", "[]", "1", "null", "NaN", '{"a": NaN}', b"\xff", b"[" * 100_000, None, [], 1, "x",
     {"a": math.nan}, {1: 2}, {"a": {1, 2}}, {"a": "\ud800"}],
    ids=lambda data: repr(data)[:20],
)  # fmt: skip
def test_bad_settings_are_refused(data: Any) -> None:
    with pytest.raises(InvalidSettings):
        settings_from(data)


def test_a_deep_value_is_judged_by_the_interpreters_limit() -> None:
    depth = sys.getrecursionlimit() // 4
    assert decode(*encode(nested(depth))) == nested(depth)


@pytest.mark.parametrize("raw", [b"{not json", b"", b"NaN", b"\xff"])
@pytest.mark.parametrize("kind", [JSON, "application/problem+json"])
def test_bytes_that_are_no_json_are_not_stored_as_json(raw: bytes, kind: str) -> None:
    with pytest.raises(InvalidValue):
        encode(raw, kind)
