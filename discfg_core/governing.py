"""What governs a config: its settings and its schema. `discfg_core.config.Config` documents it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from discfg_core import arguments, values
from discfg_core.arguments import CommitOptions
from discfg_core.document import leaf, nested
from discfg_core.engine import Put, RemovePrefix, Transaction
from discfg_core.reading import ConfigReader
from discfg_core.schema import NO_SCHEMA, Violation, schema_text, violations

if TYPE_CHECKING:
    from discfg_core.model import Commit


class GovernedConfig(ConfigReader):
    """A `Config` but for what writes its keys."""

    __slots__ = ()

    def update_settings(
        self,
        settings: Mapping[str, Any] | str | bytes,
        **options: Unpack[CommitOptions],
    ) -> Commit | None:
        """Replace the whole of the config's settings, in one commit.

        Args:
            settings: A mapping that is a JSON object, or its JSON text.
            **options: See the class.

        Returns:
            The commit; ``None`` where the settings are these already, which makes none.

        Raises:
            InvalidSettings: They are no JSON object, or the store cannot take them.
            ConditionFailed: `if_config_revision` does not hold.
            SettingsNotApplied: They are committed, but the store's own resource does not follow
                yet; repeating the call makes no second commit.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        return self._commit(options, settings=arguments.settings(settings))

    # --- the schema ---

    def set_schema(
        self,
        schema: Mapping[str, Any] | bool | str | bytes,
        **options: Unpack[CommitOptions],
    ) -> Commit | None:
        """Have every commit from this one on leave a document that the schema allows.

        It is judged where commits are ordered, by whatever client and on whatever path: of two
        commits that it allows singly and not together, one is refused. It is kept with the
        config, in its history, and goes with it to every client.

        Args:
            schema: Of JSON Schema 2020-12, as Python holds JSON, or as JSON text; at most 16 KiB.
                It refers to nothing outside of itself; its patterns are matched in linear time,
                without look-around and back-references; ``format`` only annotates.
            **options: See the class.

        Returns:
            The commit; ``None`` where this is the schema already, which makes none.

        Raises:
            InvalidSchema: It is no such schema; nothing was sent.
            SchemaViolated: The present document violates it; nothing was written.
            DocumentTooLarge: The config exceeds 1 MiB.
            ConditionFailed: `if_config_revision` does not hold.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        return self._commit(options, schema=schema_text(schema))

    def drop_schema(self, **options: Unpack[CommitOptions]) -> Commit | None:
        """Allow every document again.

        Returns:
            The commit; ``None`` where there is no schema, which makes none.

        Raises:
            ConditionFailed: `if_config_revision` does not hold.
            ConfigNotFound, ConfigReplaced, OutcomeUnknown, and the rest: See the class.
        """
        return self._commit(options, schema=NO_SCHEMA)

    def schema(self, *, timeout: float | None = None) -> Any:
        """The latest schema, as Python holds JSON, a fresh object; ``None`` where there is none.

        Raises:
            ConfigNotFound, ConfigReplaced: See the class.
        """
        text = self.info(timeout=timeout).schema
        return None if text == NO_SCHEMA else values.parse_json(text)

    def check_schema(
        self,
        schema: Mapping[str, Any] | bool | str | bytes | None = None,
        *,
        timeout: float | None = None,
    ) -> tuple[Violation, ...]:
        """What of the present document a schema forbids, the first 1,000; empty for none.

        Nothing is written, and no document is too large.

        Args:
            schema: As for `set_schema`; ``None``: the config's own, of the same revision.
            timeout: See the class.

        Raises:
            InvalidSchema: It is no such schema; nothing was sent.
            ConfigNotFound, ConfigReplaced: See the class.
        """
        text = None if schema is None else schema_text(schema)
        deadline = self._deadline(timeout)
        info = self._engine.describe_config(self._handle, deadline=deadline)
        view = self._engine.view(self._handle, at=info.revision, deadline=deadline)
        text = info.schema if text is None else text
        return violations(text, nested(view.list(), "/", leaf)) if text else ()

    # --- for all that writes ---

    def _how(self, options: CommitOptions) -> Transaction:
        return arguments.how_to_commit(self._defaults, options) if options else self._plain

    def _commit(
        self,
        options: CommitOptions,
        *ops: Put | RemovePrefix,
        settings: Mapping[str, Any] | None = None,
        schema: str | None = None,
    ) -> Commit | None:
        return self._engine.commit(
            self._handle,
            msgspec.structs.replace(self._how(options), ops=ops, settings=settings, schema=schema),
            deadline=self._deadline(options.get("timeout")),
        )
