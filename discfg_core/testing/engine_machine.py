"""Random histories: two clients do what they like to two configs, and a model knows the answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from discfg_core.errors import CommitIdExpired, ConfigNotFound, KeyNotFound
from discfg_core.testing.engine_base import EngineCase, Lab
from discfg_core.testing.engine_model import (
    Life,
    Path,
    Request,
    Test,
    Write,
    assert_commit,
    assert_node,
    spelled,
)
from discfg_core.testing.engine_trial import CLIENTS, CONFIGS, Fingerprint, Trial
from discfg_core.testing.profiles import profile, say_seed

if TYPE_CHECKING:
    from discfg_core.testing.engine_client import Config

# Segments that begin alike, and an order that is not the segments' own: "-" is before "/".
_paths = st.lists(st.sampled_from(["a", "b", "ab", "a-b", "ü"]), min_size=1, max_size=3).map(tuple)
_prefixes = st.one_of(_paths, st.just(()))
# By their numbers, for Hypothesis prints what it draws.
_VALUES = (b"", b"1", b"2", b"\x00\xff", b"5" * 5_000, b"7" * 70_000)
_values = st.integers(0, len(_VALUES) - 1).map(lambda number: _VALUES[number])
_types = st.sampled_from(["application/octet-stream", "text/plain"])
_settings = st.sampled_from([{}, {"a": 1}, {"a": [1, {"b": None}]}])
# Most often the first: what happens within one config says more than what lies between two.
_configs = st.sampled_from([0, 0, 0, *range(1, CONFIGS)])
_clients = st.integers(0, CLIENTS - 1)

_writes = st.one_of(
    st.builds(Write, st.just("put"), _paths, _values, _types),
    st.builds(Write, st.sampled_from(["remove", "remove if there"]), _paths),
    st.builds(Write, st.just("remove prefix"), _prefixes),
)
# What is wanted is the truth or just beside it: a test that is always wrong tests little.
_tests = st.tuples(
    st.sampled_from(["absent", "version", "revision", "value", "prefix"]),
    _paths,
    st.sampled_from([0, 0, 0, 0, 0, 1, -1]),
)
_asked = st.fixed_dictionaries(
    {
        "writes": st.lists(_writes, max_size=4).map(tuple),
        "tests": st.lists(_tests, max_size=2),
        "revision": st.sampled_from([None, None, None, None, 0, 0, 1, -1]),
        "settings": st.none() | st.none() | _settings,
        "actor": st.sampled_from(["", "ann"]),
        "message": st.sampled_from(["", "why"]),
        "commit_id": st.sampled_from([None, None, None, "id-1", "id-2"]),
    }
)


class Machine(RuleBasedStateMachine):
    """The rules of the random histories."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.trial = Trial(lab.branch())

    @initialize()
    def begin(self) -> None:
        """One config is there from the start."""
        self.trial.create(0, 0)

    # --- configs and clients ---

    @rule(
        client=_clients,
        config=_configs,
        change=st.sampled_from(["create", "drop", "undrop"]),
        settings=_settings,
    )
    def come_or_go(self, client: int, config: int, change: str, settings: dict[str, Any]) -> None:
        """A config is created, dropped or brought back, if it can be."""
        if change == "create":
            self.trial.create(client, config, settings)
        elif change == "drop":
            self.trial.drop(client, config)
        else:
            self.trial.undrop(client, config)

    @rule(client=_clients)
    def open_anew(self, client: int) -> None:
        """A client goes, another comes."""
        self.trial.open_anew(client)

    # --- writing ---

    @rule(client=_clients, config=_configs, asked=st.lists(_asked, min_size=1, max_size=5))
    def commit(self, client: int, config: int, asked: list[dict[str, Any]]) -> None:
        """Any transactions."""

        def call(handle: Config, life: Life) -> None:
            for each in asked:
                off, tests = each["revision"], each["tests"]
                request = Request(
                    **{
                        **each,
                        "tests": tuple(_near(life, *test) for test in tests),
                        "revision": None if off is None else max(life.revision + off, 0),
                    }
                )
                self.trial.requests.append(request)
                self.trial.ask(handle, life, config, request)

        self.trial.call(client, config, call)

    @rule(client=_clients, config=_configs, data=st.data())
    @precondition(lambda self: self.trial.requests)
    def repeat(self, client: int, config: int, data: st.DataObject) -> None:
        """A transaction again, word for word."""
        request = data.draw(st.sampled_from(self.trial.requests[-5:]))
        self.trial.call(
            client, config, lambda handle, life: self.trial.ask(handle, life, config, request)
        )

    @rule(client=_clients, config=_configs, path=_paths, value=_values, kind=_types)
    def set(self, client: int, config: int, path: Path, value: bytes, kind: str) -> None:
        """One key, by the shorter way."""

        def call(handle: Config, life: Life) -> None:
            change = handle.set(self.trial.key(path), value, kind)
            request = Request((Write("put", path, value, kind),))
            self.trial.assert_written(handle, life, config, request, change)

        self.trial.call(client, config, call)

    @rule(client=_clients, config=_configs, data=st.data())
    def delete(self, client: int, config: int, data: st.DataObject) -> None:
        """One key, by the shorter way; most often one that is there."""
        life = self.trial.now(config)
        path = data.draw(st.sampled_from([("a",), *(life.entries if life else ())]))

        def call(handle: Config, life: Life) -> None:
            if path not in life.entries and self.trial.gone(config, handle) is None:
                with pytest.raises(KeyNotFound):
                    handle.delete(self.trial.key(path))
                return
            change = handle.delete(self.trial.key(path))
            request = Request((Write("remove", path),))
            self.trial.assert_written(handle, life, config, request, change)

        self.trial.call(client, config, call)

    # --- reading ---

    @rule(client=_clients, config=_configs, path=_paths)
    def get(self, client: int, config: int, path: Path) -> None:
        """One key."""

        def call(handle: Config, life: Life) -> None:
            assert_node(handle.find(self.trial.key(path)), path, life.entries.get(path))

        self.trial.call(client, config, call)

    @rule(client=_clients, config=_configs, prefix=_prefixes, after=st.none() | _paths)
    def list(self, client: int, config: int, prefix: Path, after: Path | None) -> None:
        """All keys of a prefix, and its fingerprint for later."""

        def call(handle: Config, life: Life) -> None:
            view = handle.view()
            assert (view.revision, view.incarnation) == (life.revision, life.incarnation)
            nodes = view.list(
                spelled(prefix), after=None if after is None else self.trial.key(after)
            )
            entries = life.below(prefix)
            wanted = [path for path in entries if after is None or spelled(path) > spelled(after)]
            assert [node.key for node in nodes] == [spelled(path) for path in wanted]
            for node, path in zip(nodes, wanted, strict=True):
                assert_node(node, path, entries[path])
            value = view.fingerprint(spelled(prefix))
            known = Fingerprint(config, prefix, life.revisions(prefix), value)
            self.trial.fingerprints.append(known)

        self.trial.call(client, config, call)

    @rule(client=_clients, config=_configs)
    def read_maybe_behind(self, client: int, config: int) -> None:
        """Some state that the client has seen last, or a later one."""
        trial = self.trial
        first = trial.seen[client, config]
        possible = trial.past[config][first:]
        try:
            view = trial.clients[client].config(trial.names[config]).view(max_staleness=3600.0)
        except ConfigNotFound:
            assert any(life is None for life, _ in possible)
            return
        for number, (life, revision) in enumerate(possible, first):
            if life is None or (life.incarnation, revision) != (view.incarnation, view.revision):
                continue
            entries = life.below((), revision)
            assert view.keys() == [spelled(path) for path in entries]
            for node, (path, entry) in zip(view.list(), entries.items(), strict=True):
                assert_node(node, path, entry)
            trial.seen[client, config] = number
            return
        raise AssertionError(f"revision {view.revision} is behind what this client has seen")

    @rule(
        client=_clients,
        config=_configs,
        prefix=_prefixes,
        before=st.none() | st.integers(1, 20),
        limit=st.sampled_from([1, 3, 100]),
    )
    def history(
        self, client: int, config: int, prefix: Path, before: int | None, limit: int
    ) -> None:
        """The history, or a part of it."""

        def call(handle: Config, life: Life) -> None:
            commits = handle.history(spelled(prefix), before=before, limit=limit)
            wanted = [
                (revision, made)
                for revision, made in enumerate(life.commits, 1)
                if (before is None or revision < before)
                and (not prefix or any(path[: len(prefix)] == prefix for path in made.changes))
            ]
            wanted.reverse()
            assert [commit.revision for commit in commits] == [revision for revision, _ in wanted]
            for commit, (revision, made) in zip(commits, wanted, strict=True):
                assert_commit(commit, made, revision)

        self.trial.call(client, config, call)

    @rule(client=_clients, config=_configs, commit_id=st.sampled_from(["id-1", "id-2"]))
    def outcome(self, client: int, config: int, commit_id: str) -> None:
        """What became of an id; of two actors' commits either may be told."""

        def call(handle: Config, life: Life) -> None:
            made = [each.told for each in life.commits if each.told.id == commit_id]
            try:
                told = handle.outcome(commit_id)
                assert told in made if made else told is None
            except CommitIdExpired:
                assert not made or made[-1].revision < life.revision

        self.trial.call(client, config, call)

    def teardown(self) -> None:
        """All that is checked of any config after a test, and no client left open."""
        self.trial.lab.finish()
        self.trial.lab.close()


def _near(life: Life, kind: str, path: Path, off: int) -> Test:
    """A test that holds, or (`off`) just does not."""
    entry = life.entries.get(path)
    if kind == "prefix":
        revisions = life.revisions(path)
        return Test(kind, path, {**revisions, path: off} if off else revisions)
    if kind == "absent" or (entry is None and not off):
        return Test("absent", path)
    if kind == "value":
        value = b"" if entry is None else entry.value
        return Test(kind, path, value + b"x" * abs(off))
    number = 0 if entry is None else getattr(entry, kind)
    return Test(kind, path, max(number + off, 0))


class MachineTests(EngineCase):
    """Random histories."""

    def test_random_history_is_that_of_the_model(self, lab: Lab) -> None:
        # Hypothesis's types ask for a class; what it needs is something that makes a machine.
        machine: Any = hypothesis.seed(say_seed())(partial(Machine, lab))
        run_state_machine_as_test(machine, settings=profile())
