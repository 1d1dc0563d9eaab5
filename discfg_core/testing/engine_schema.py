"""The schema: what every commit's document must meet, on whatever path and in whatever race."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from discfg_core.engine import Remove, RemovePrefix
from discfg_core.errors import (
    CommitIdReused,
    DocumentTooLarge,
    InvalidSchema,
    SchemaViolated,
)
from discfg_core.schema import MAX_DOCUMENT_BYTES, MAX_SCHEMA_BYTES, NO_SCHEMA
from discfg_core.testing.engine_base import EngineCase
from discfg_core.testing.engine_client import put
from discfg_core.testing.engine_workers import add_one_of_few
from discfg_core.values import JSON, TEXT

if TYPE_CHECKING:
    from discfg_core.testing.engine_base import Crowd
    from discfg_core.testing.engine_client import Client, Config

PORT = json.dumps({"properties": {"port": {"type": "integer", "maximum": 65535}}})
BAD = [
    pytest.param("nonsense", id="no JSON"),
    pytest.param("[]", id="no object"),
    pytest.param('{"type": "strnig"}', id="no type"),
    pytest.param('{"$ref": "https://127.0.0.1:9/schema.json"}', id="remote reference"),
    pytest.param('{"$ref": "file:///etc/hosts"}', id="reference to a file"),
    pytest.param('{"$ref": "#/$defs/nowhere"}', id="reference to nowhere"),
    pytest.param('{"$schema": "http://json-schema.org/draft-07/schema#"}', id="another dialect"),
    pytest.param('{"pattern": "(?=a)b"}', id="look-around"),
    pytest.param('{"patternProperties": {"(a)\\\\1": true}}', id="back-reference"),
    pytest.param(json.dumps({"title": "x" * MAX_SCHEMA_BYTES}), id="too large"),
]


def _port(config: Config, number: object, **options: str | None) -> int:
    raw = json.dumps(number).encode()
    return config.committed(put("port", raw, JSON), **options).revision  # type: ignore[arg-type]  # a message or an id


class SchemaTests(EngineCase):
    """A config that has a schema, or is to have one."""

    def test_schema_is_a_commit_and_everybody_sees_it(self, config: Config, twin: Config) -> None:
        assert config.info().schema == NO_SCHEMA
        commit = config.committed(schema=PORT, message="ports")
        assert (commit.revision, commit.changes) == (1, ())
        assert commit.schema is not None
        assert json.loads(commit.schema) == json.loads(PORT)
        assert commit.prev_schema == NO_SCHEMA
        assert twin.info().schema == commit.schema
        assert twin.history() == [commit]
        assert config.commit(schema=PORT) is None, "the schema that is there made a commit"
        gone = twin.committed(schema=NO_SCHEMA)
        assert (gone.schema, gone.prev_schema) == (NO_SCHEMA, commit.schema)
        assert config.info().schema == NO_SCHEMA

    def test_what_it_forbids_is_refused_whole(self, config: Config, twin: Config) -> None:
        _port(config, 5432)
        config.committed(schema=PORT)
        for each in (config, twin):
            with pytest.raises(SchemaViolated) as caught:
                each.commit(put("other"), put("port", b'"high"', JSON))
            (violation,) = caught.value.violations
            assert (violation.pointer, violation.keyword) == ("/port", "type")
            assert "high" not in str(caught.value), "the error quotes the value"
            assert each.revision() == 2
            assert each.keys() == ["/port"]
        assert _port(config, 80) == 3

    def test_every_violation_is_told(self, config: Config) -> None:
        text = json.dumps({"additionalProperties": {"type": "integer"}, "required": ["z"]})
        config.committed(put("z", b"1", JSON), schema=text)
        with pytest.raises(SchemaViolated) as caught:
            config.commit(Remove("z"), put("a", b"x", TEXT), put("b~/c", b"y", TEXT))
        found = {(each.pointer, each.keyword) for each in caught.value.violations}
        assert found == {("", "required"), ("/a", "type"), ("/b~0", "type")}

    def test_schema_that_the_document_violates(self, config: Config) -> None:
        _port(config, "high")
        with pytest.raises(SchemaViolated):
            config.commit(schema=PORT)
        assert (config.revision(), config.info().schema) == (1, NO_SCHEMA)
        # The document that the same commit leaves is what counts.
        assert config.committed(put("port", b"1", JSON), schema=PORT).revision == 2

    @pytest.mark.parametrize("schema", BAD)
    def test_what_is_no_schema(self, config: Config, schema: str) -> None:
        with pytest.raises(InvalidSchema) as caught:
            config.commit(schema=schema)
        assert caught.value.hint
        assert config.revision() == 0

    def test_pattern_and_hostile_value(self, config: Config) -> None:
        text = json.dumps(
            {
                "properties": {"a": {"pattern": "^(x+)+$"}},
                "patternProperties": {"^(y+)+$": {"type": "integer"}},
            }
        )
        config.committed(schema=text)
        # An engine that backtracks is at each of these beyond the end of the universe.
        with pytest.raises(SchemaViolated):
            config.commit(put("a", b"x" * 10_000 + b"!", TEXT))
        assert config.committed(put("y" * 1000 + "!", b"1", TEXT)).revision == 2

    def test_removals_are_judged(self, config: Config) -> None:
        config.committed(
            put("db/host", b"h", TEXT),
            schema=json.dumps({"required": ["db"], "properties": {"db": {"required": ["host"]}}}),
        )
        for op in (Remove("db/host"), RemovePrefix("db")):
            with pytest.raises(SchemaViolated):
                config.commit(op)
        assert config.keys() == ["/db/host"]
        with pytest.raises(SchemaViolated):
            config.delete("db/host")

    def test_large_values_are_judged(self, config: Config, twin: Config) -> None:
        text = json.dumps({"additionalProperties": {"maxLength": 300_000}})
        config.committed(put("a", b"x" * 300_000, TEXT), schema=text)
        with pytest.raises(SchemaViolated):
            twin.commit(put("b", b"x" * 300_001, TEXT))
        assert twin.committed(put("b", b"x" * 300_000, TEXT)).revision == 2
        with pytest.raises(DocumentTooLarge):
            config.commit(put("c", b"x" * MAX_DOCUMENT_BYTES, TEXT))
        assert config.revision() == 2

    def test_two_that_are_valid_singly(self, crowd: Crowd, client: Client, name: str) -> None:
        config = client.new(name)
        config.committed(schema=json.dumps({"maxProperties": 3}))
        told = crowd.run(add_one_of_few, [(name, number, 2) for number in range(crowd.size)])
        done = [revision for each in told for revision in each if revision is not None]
        assert sorted(done) == [2, 3, 4], f"{len(done)} commits where three are allowed"
        assert len(config.keys()) == 3

    def test_schema_against_what_it_forbids(self, config: Config, twin: Config) -> None:
        assert _port(twin, 1) == 1
        config.committed(schema=PORT)
        # Its cache knows of no schema.
        with pytest.raises(SchemaViolated):
            _port(twin, "high")
        config.committed(schema=NO_SCHEMA)
        # And now of one that is gone.
        assert _port(twin, "high") == 4

    def test_repeated_and_reused_id(self, config: Config) -> None:
        first = config.committed(schema=PORT, commit_id="one")
        config.committed(schema=NO_SCHEMA)
        assert config.commit(schema=PORT, commit_id="one") == first
        assert config.info().schema == NO_SCHEMA
        with pytest.raises(CommitIdReused):
            config.commit(schema="true", commit_id="one")

    def test_settings_and_keys_go_with_it(self, config: Config) -> None:
        commit = config.committed(put("port", b"1", JSON), settings={"a": 1}, schema=PORT)
        assert (commit.revision, len(commit.changes), commit.settings) == (1, 1, {"a": 1})
        assert commit.schema is not None
        # Nothing of a refused commit stays behind in the committer.
        with pytest.raises(SchemaViolated):
            config.commit(put("port", b'""', JSON), settings={"a": 2})
        assert config.info().settings == {"a": 1}
        assert _port(config, 2) == 2
        assert config.info().settings == {"a": 1}
