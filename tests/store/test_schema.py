"""The schema, as applications set it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

import discfg_core as discfg
from discfg_core.schema import MAX_DOCUMENT_BYTES

if TYPE_CHECKING:
    from discfg_core import Config

PORT = {"properties": {"db": {"properties": {"port": {"type": "integer"}}}}}


def test_schema_is_set_shown_and_taken_away(cfg: Config) -> None:
    assert cfg.schema() is None
    assert cfg.drop_schema() is None
    commit = cfg.set_schema(PORT, message="ports are numbers")
    assert commit is not None
    assert cfg.schema() == PORT
    cfg.schema()["properties"].clear()
    assert cfg.schema() == PORT, "a caller changed what the next one gets"
    assert (
        cfg.set_schema('{"properties": {"db": {"properties": {"port": {"type": "integer"}}}}}')
        is None
    )
    assert [each.message for each in cfg.history()] == ["ports are numbers"]
    gone = cfg.drop_schema()
    assert gone is not None
    assert (gone.schema, gone.prev_schema) == ("", commit.schema)
    assert cfg.schema() is None


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda cfg: cfg.set("db/port", "high"), id="set"),
        pytest.param(lambda cfg: cfg.update("db/port", lambda _: "high"), id="update"),
        pytest.param(lambda cfg: cfg.replace({"db/port": "high"}), id="replace"),
        pytest.param(lambda cfg: cfg.revert(1), id="revert"),
        pytest.param(lambda cfg: cfg.revert(1, keys=["db"]), id="revert of a part"),
        pytest.param(lambda cfg: cfg.__setitem__("db/port", "high"), id="mapping"),
    ],
)
def test_every_path_is_judged(cfg: Config, write: Any) -> None:
    cfg.set("db/port", "high")
    cfg.set("db/port", 1)
    cfg.set_schema(PORT)
    with pytest.raises(discfg.SchemaViolated) as caught:
        write(cfg)
    assert [str(each) for each in caught.value.violations] == [
        '/db/port: the value is not of type "integer"'
    ]
    assert cfg.values() == {"/db/port": 1}


def test_transaction_is_judged_as_a_whole(cfg: Config) -> None:
    cfg.set_schema({"dependentRequired": {"user": ["password"]}})
    with cfg.transaction() as tx:
        tx.set("user", "u")
        tx.set("password", "p")
    with ExitStack() as ends:
        tx = ends.enter_context(cfg.transaction())
        tx.set("other", 1)
        tx.delete("password")
        with pytest.raises(discfg.SchemaViolated):
            ends.close()
    assert sorted(cfg) == ["/password", "/user"]


def test_check_of_what_is_there(cfg: Config) -> None:
    cfg.set("db/port", "high")
    assert cfg.check_schema() == ()
    (violation,) = cfg.check_schema(PORT)
    assert (violation.pointer, violation.keyword) == ("/db/port", "type")
    with pytest.raises(discfg.InvalidSchema):
        cfg.check_schema({"type": "strnig"})
    cfg.set("large", "x" * MAX_DOCUMENT_BYTES)
    # To look is allowed whatever there is; to set a schema is not.
    assert len(cfg.check_schema(PORT)) == 1
    with pytest.raises(discfg.DocumentTooLarge):
        cfg.set_schema(True)


@pytest.mark.parametrize("schema", [{"a": {1, 2}}, 3, None, {"a": float("nan")}, b"\xff"])
def test_what_is_no_json(cfg: Config, schema: Any) -> None:
    with pytest.raises(discfg.InvalidSchema):
        cfg.set_schema(schema)
    assert cfg.info().revision == 0


def test_bytes_and_own_values_of_prefixes_are_judged_as_the_document_has_them(
    cfg: Config,
) -> None:
    cfg.set("a", b"\xff")
    cfg.set("b", 1)
    cfg.set("b/c", 2)
    cfg.set_schema(
        {
            "properties": {
                "a": {"required": ["$base64"]},
                "b": {"properties": {"": {"const": 1}, "c": {"const": 2}}},
            }
        }
    )
    with pytest.raises(discfg.SchemaViolated):
        cfg.set("b", 2)
