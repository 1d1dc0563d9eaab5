"""A model and an engine side by side: what is asked of one is asked of the other, and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from discfg_core.engine import KeyCondition, PrefixCondition, Put, Remove, RemovePrefix
from discfg_core.errors import (
    CommitIdExpired,
    CommitIdReused,
    ConditionFailed,
    ConfigExists,
    ConfigNotFound,
    ConfigReplaced,
    DiscfgError,
    KeyNotFound,
)
from discfg_core.testing.engine_model import (
    Life,
    Path,
    Refused,
    Request,
    Test,
    assert_commit,
    assert_node,
    spelled,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from discfg_core.model import Change, Commit
    from discfg_core.testing.engine_base import Lab
    from discfg_core.testing.engine_client import Config, Op

CONFIGS = 2
CLIENTS = 2


class Fingerprint(NamedTuple):
    """What a view said of a prefix, and what was there."""

    config: int
    path: Path
    revisions: dict[Path, int]
    value: bytes


class Trial:
    """Clients and configs by their numbers, what is known of each, and how to ask."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.clients = [lab.open() for _ in range(CLIENTS)]
        self.names = [lab.name() for _ in range(CONFIGS)]
        # What each name stood for, ever since: the life, if any, and its revision.
        self.past: list[list[tuple[Life | None, int]]] = [[(None, 0)] for _ in range(CONFIGS)]
        self.dropped: list[Life | None] = [None] * CONFIGS
        self.handles: dict[tuple[int, int], Config] = {}
        # How much of the past each client has seen, for reads that may be behind.
        self.seen = {(client, each): 0 for client in range(CLIENTS) for each in range(CONFIGS)}
        self.fingerprints: list[Fingerprint] = []
        self.requests: list[Request] = []
        self.slash = False

    def now(self, config: int) -> Life | None:
        """The config's life, if it exists."""
        return self.past[config][-1][0]

    def move(self, config: int, life: Life | None) -> None:
        """The config was created, changed, dropped or brought back."""
        self.past[config].append((life, 0 if life is None else life.revision))

    def handle(self, client: int, config: int) -> Config:
        """The client's handle to the config."""
        known = self.handles.get((client, config))
        if known is None:
            known = self.clients[client].config(self.names[config])
            self.handles[client, config] = known
        return known

    def key(self, path: Path) -> str:
        """A key, with its slash and without by turns."""
        self.slash = not self.slash
        return spelled(path) if self.slash else spelled(path)[1:]

    def gone(self, config: int, handle: Config) -> type[DiscfgError] | None:
        """The error every call must raise, if the handle's config is gone."""
        life = self.now(config)
        if life is None:
            return ConfigNotFound
        if handle.handle.incarnation in (None, life.incarnation):
            return None
        return ConfigReplaced

    def call(self, client: int, config: int, call: Callable[[Config, Life], None]) -> None:
        """Do something with a handle; where its config is gone, see to it that there is one again."""
        handle = self.handle(client, config)
        error = self.gone(config, handle)
        life = self.now(config)
        if error is None:
            assert life is not None
            call(handle, life)
            assert handle.handle.incarnation == life.incarnation
        else:
            with pytest.raises(error):
                call(handle, life or Life("", {}))
            del self.handles[client, config]
        self.saw_all(client, config)
        if error is ConfigNotFound:
            bring_back = self.create if self.dropped[config] is None else self.undrop
            bring_back(client, config)

    def saw_all(self, client: int, config: int) -> None:
        """The client was answered from the latest state."""
        self.seen[client, config] = len(self.past[config]) - 1

    # --- configs ---

    def create(self, client: int, config: int, settings: dict[str, Any] | None = None) -> None:
        """Create, which works iff it does not exist."""
        settings = settings or {}
        if self.now(config) is not None:
            with pytest.raises(ConfigExists):
                self.clients[client].create(self.names[config], settings)
        else:
            info = self.clients[client].create(self.names[config], settings)
            lives = {life.incarnation for life, _ in self.past[config] if life is not None}
            assert info.incarnation not in lives
            assert (info.revision, info.keys, info.size, info.settings) == (0, 0, 0, settings)
            self.dropped[config] = None
            self.move(config, Life(info.incarnation, settings))
        self.saw_all(client, config)

    def drop(self, client: int, config: int) -> None:
        """Drop, which works iff the handle's config exists."""
        handle = self.handle(client, config)
        error = self.gone(config, handle)
        life = self.now(config)
        if error is None:
            assert life is not None
            assert handle.drop().revision == life.revision
            self.dropped[config] = life
            self.move(config, None)
        else:
            with pytest.raises(error):
                handle.drop()
            del self.handles[client, config]
        self.saw_all(client, config)

    def undrop(self, client: int, config: int) -> None:
        """Bring back, which works iff it was dropped and not created anew."""
        there, dropped = self.now(config), self.dropped[config]
        name = self.names[config]
        if there is not None or dropped is None:
            with pytest.raises(ConfigNotFound if there is None else ConfigExists):
                self.clients[client].undelete(name)
        elif (info := self.clients[client].bring_back(name)) is not None:
            assert (info.incarnation, info.revision) == (dropped.incarnation, dropped.revision)
            self.dropped[config] = None
            self.move(config, dropped)
        self.saw_all(client, config)

    def open_anew(self, client: int) -> None:
        """A client goes, another comes; handles stay what they are."""
        self.clients[client].close()
        self.clients[client] = self.lab.open()
        for config in range(CONFIGS):
            self.seen[client, config] = 0
            if (client, config) in self.handles:
                old = self.handles[client, config]
                self.handles[client, config] = old.seen_by(self.clients[client])

    # --- writing ---

    def assert_written(
        self, handle: Config, life: Life, config: int, request: Request, change: Change
    ) -> None:
        """The change is the only one of the latest commit, and that is the model's."""
        effect = life.judge(request)
        assert effect is not None
        (told,) = handle.page(limit=1).commits
        assert told.changes == (change,)
        assert_commit(told, life.apply(request, effect, told), life.revision)
        self.move(config, life)

    def ask(self, handle: Config, life: Life, config: int, request: Request) -> None:
        """Have a transaction carried out, and hold the answer against the model."""
        ops, conditions = self._sent(handle, config, life, request)
        try:
            told: Commit | DiscfgError | None = handle.commit(
                *ops,
                conditions=conditions,
                if_config_revision=request.revision,
                settings=request.settings,
                actor=request.actor,
                message=request.message,
                commit_id=request.commit_id,
            )
        except (ConditionFailed, KeyNotFound, CommitIdReused, CommitIdExpired) as error:
            told = error
        used = request.commit_id and life.made_with(request.actor, request.commit_id)
        if used:
            if isinstance(told, CommitIdExpired):
                assert used.told.revision < life.revision, "the latest commit's id has expired"
            elif _same(used.request, request):
                assert told == used.told
            elif not (_alike(used.request, request) and told == used.told):
                assert isinstance(told, CommitIdReused), f"{told} under an id that was used"
            return
        try:
            effect = life.judge(request)
        except Refused as refused:
            assert isinstance(told, DiscfgError), f"{told} instead of {refused.code}"
            assert told.code == refused.code
            if isinstance(told, ConditionFailed):
                assert told.revision == life.revision
                self._assert_one_of(told, refused)
            return
        if effect is None:
            assert told is None
            return
        assert not isinstance(told, DiscfgError), f"{told!r} instead of a commit"
        assert told is not None
        made = life.apply(request, effect, told)
        assert_commit(told, made, life.revision)
        self.move(config, life)

    def _sent(
        self, handle: Config, config: int, life: Life, request: Request
    ) -> tuple[tuple[Op, ...], tuple[KeyCondition | PrefixCondition, ...]]:
        ops: list[Op] = []
        for write in request.writes:
            key = self.key(write.path) if write.path else "/"
            if write.kind == "put":
                ops.append(Put(key, write.value, write.content_type))
            elif write.kind == "remove prefix":
                ops.append(RemovePrefix(key))
            else:
                ops.append(Remove(key, missing_ok=write.kind == "remove if there"))
        conditions: list[KeyCondition | PrefixCondition] = []
        for test in request.tests:
            key = self.key(test.path)
            if test.kind == "prefix":
                fingerprint = self._fingerprint(handle, config, life, test)
                conditions.append(PrefixCondition(key, fingerprint))
            elif test.kind == "absent":
                conditions.append(KeyCondition(key, absent=True))
            else:
                conditions.append(KeyCondition(key, **{test.kind: test.wanted}))
        return tuple(ops), tuple(conditions)

    def _fingerprint(self, handle: Config, config: int, life: Life, test: Test) -> bytes:
        """The one that was seen when the prefix was as the test wants it."""
        for known in reversed(self.fingerprints):
            if (known.config, known.path, known.revisions) == (config, test.path, test.wanted):
                return known.value
        if self.gone(config, handle) is not None or life.revisions(test.path) != test.wanted:
            return b"never seen"
        return handle.view().fingerprint(self.key(test.path))

    def _assert_one_of(self, told: ConditionFailed, refused: Refused) -> None:
        for standing in refused.entries:
            if standing is None and told.node is None:
                return
            if standing is not None and told.node is not None:
                path, entry = standing
                if told.node.key == spelled(path):
                    assert_node(told.node, path, entry)
                    return
        raise AssertionError(f"{told.node} stands for none of the conditions that failed")


def _same(one: Request, other: Request) -> bool:
    """Whether one is a repetition of the other: what is written is the same."""
    return (one.writes, one.settings) == (other.writes, other.settings)


def _alike(one: Request, other: Request) -> bool:
    """Whether they differ in nothing but what a removal makes of an absent key."""
    strict, other_strict = (
        tuple(each._replace(kind=each.kind.removesuffix(" if there")) for each in request.writes)
        for request in (one, other)
    )
    return (strict, one.settings) == (other_strict, other.settings)
