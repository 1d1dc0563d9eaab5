"""Engines that answer in a broken way, each with one realistic defect."""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec

from discfg_core._override import override
from discfg_core.clock import Deadline, Instant
from discfg_core.engine import ConfigHandle, HistoryPage, Put, RemovePrefix, Transaction, View
from discfg_core.errors import ConfigNotFound, DiscfgError, KeyNotFound
from discfg_core.keys import normalize_prefix
from discfg_core.model import Commit, ConfigInfo, Node
from discfg_core.substrate import Substrate
from discfg_core.versioned.blobs import Blobs
from discfg_core.versioned.plan import Plan
from discfg_core.versioned.session import Confirmed, Session
from discfg_core.versioned.snapshot import Snapshot
from tests.conformance.broken_engine_parts import Sound, rebound

_FOR_EVER = 1e9

# --- reads ------------------------------------------------------------------------------------


class _Cached(Session):
    @override
    def view(
        self, handle: ConfigHandle, max_staleness: float | None, deadline: Deadline
    ) -> Snapshot:
        return super().view(handle, _FOR_EVER, deadline)


class StaleRead(Sound, session=_Cached):
    """Reads from memory what it has read before."""


class _CachedOnDemand(Session):
    @override
    def view(
        self, handle: ConfigHandle, max_staleness: float | None, deadline: Deadline
    ) -> Snapshot:
        staleness = None if max_staleness is None else _FOR_EVER
        return super().view(handle, staleness, deadline)


class StalenessUnbounded(Sound, session=_CachedOnDemand):
    """Takes any demand for a stale read as one for whatever is there."""


class _LastWins(Session):
    @override
    def publish(self, snapshot: Snapshot | None, since: float, checked: Instant) -> Confirmed:
        answer = super().publish(snapshot, since, checked)
        self._latest = Confirmed(snapshot, since, checked, answer.obtained)
        return answer


class LateReadReplacesNewerState(Sound, session=_LastWins):
    """Caches the answer that came last, whenever it was asked for."""


class _Joined(Session):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._joining = threading.Lock()
        self._under_way: Future[Confirmed] | None = None

    @override
    def fresh(self, deadline: Deadline) -> Confirmed:
        mine: Future[Confirmed] = Future()
        with self._joining:
            under_way = self._under_way
            if under_way is None:
                self._under_way = mine
        if under_way is not None:
            return under_way.result(deadline.remaining())
        try:
            mine.set_result(super().fresh(deadline))
        except DiscfgError as error:
            mine.set_exception(error)
        self._under_way = None
        return mine.result()


class CheckUnderWayJoined(Sound, session=_Joined):
    """Serves a reader by a check that began before it came."""


class _LooseView:
    """A view; broken ones are built on it."""

    def __init__(self, session: Session, snapshot: Snapshot) -> None:
        self.session = session
        self.snapshot = snapshot

    def __getattr__(self, name: str) -> Any:
        return getattr(self.snapshot, name)

    def list(self, prefix: str = "/", *, after: str | None = None) -> Iterator[Node]:
        return self.snapshot.list(prefix, after=after)


class _Loose(Sound):
    seen: type[_LooseView] = _LooseView

    @override
    def view(
        self,
        handle: ConfigHandle,
        *,
        at: int | None = None,
        max_staleness: float | None = None,
        deadline: Deadline,
    ) -> View:
        if at is not None:
            return super().view(handle, at=at, deadline=deadline)
        session, _ = self._at(handle.name)
        return self.seen(session, session.view(handle, max_staleness, deadline))


class _LiveView(_LooseView):
    @override
    def list(self, prefix: str = "/", *, after: str | None = None) -> Iterator[Node]:
        latest = self.session.latest
        snapshot = self.snapshot if latest is None or latest.snapshot is None else latest.snapshot
        return snapshot.list(prefix, after=after)


class ViewShowsLaterCommits(_Loose):
    """Lists what the config is, not what it was."""

    seen = _LiveView


class _ViewByString(_LooseView):
    @override
    def list(self, prefix: str = "/", *, after: str | None = None) -> Iterator[Node]:
        start = normalize_prefix(prefix)
        nodes = self.snapshot.list("/", after=after)
        return (node for node in nodes if node.key.startswith(start))


class ListByString(_Loose):
    """Takes /ab for a part of /a."""

    seen = _ViewByString


class _UnsortedView(_LooseView):
    @override
    def list(self, prefix: str = "/", *, after: str | None = None) -> Iterator[Node]:
        nodes = super().list(prefix, after=after)
        return iter(sorted(nodes, key=lambda node: node.key.casefold(), reverse=True))


class KeysUnsorted(_Loose):
    """Lists keys as they come."""

    seen = _UnsortedView


class HistoryByString(Sound):
    """Tells the history of /ab as that of /a."""

    @override
    def history(
        self,
        handle: ConfigHandle,
        *,
        prefix: str = "/",
        before: int | None = None,
        limit: int = 100,
        deadline: Deadline,
        **which: Any,
    ) -> HistoryPage:
        start = normalize_prefix(prefix)
        page = super().history(handle, before=before, limit=1000, deadline=deadline, **which)
        found = [
            commit
            for commit in page.commits
            if start == "/" or any(change.key.startswith(start) for change in commit.changes)
        ]
        goes_on = len(found) > limit
        return HistoryPage(tuple(found[:limit]), found[limit - 1].revision if goes_on else None)


class RemovalByString(Sound):
    """Removes /ab with /a."""

    @override
    def commit(
        self, handle: ConfigHandle, transaction: Transaction, *, deadline: Deadline
    ) -> Commit | None:
        view = self.view(handle, deadline=deadline)
        ops: list[Any] = []
        for op in transaction.ops:
            ops.append(op)
            if isinstance(op, RemovePrefix):
                start = normalize_prefix(op.prefix)
                alike = [node.key for node in view.list() if node.key.startswith(start)]
                ops += [RemovePrefix(key) for key in alike]
        changed = msgspec.structs.replace(transaction, ops=tuple(ops))
        return super().commit(handle, changed, deadline=deadline)


class LibraryErrorLeaked(Sound):
    """Lets the error of a look-up out."""

    @override
    def get(
        self,
        handle: ConfigHandle,
        key: str,
        *,
        max_staleness: float | None = None,
        deadline: Deadline,
    ) -> Node:
        try:
            return super().get(handle, key, max_staleness=max_staleness, deadline=deadline)
        except KeyNotFound as error:
            raise LookupError(key) from error


class KeysFolded(Sound):
    """Takes keys that look alike for one."""

    @override
    def _commit(
        self, handle: ConfigHandle, transaction: Transaction, deadline: Deadline
    ) -> Commit | None:
        ops = tuple(
            Put(unicodedata.normalize("NFC", op.key), op.value, op.content_type)
            if isinstance(op, Put)
            else op
            for op in transaction.ops
        )
        return super()._commit(handle, msgspec.structs.replace(transaction, ops=ops), deadline)


# --- blobs ------------------------------------------------------------------------------------


class _Whatever:
    __hash__ = None  # type: ignore[assignment]  # it is equal to anything

    @override
    def __eq__(self, other: object) -> bool:
        return True

    @override
    def __ne__(self, other: object) -> bool:
        return False


def _no_checksum(data: bytes) -> _Whatever:
    return _Whatever()


class _Trusting(Blobs):
    fetch = rebound(Blobs.fetch, crc32=_no_checksum)


class _TrustsBlobs(Session):
    blobs_of = rebound(Session.blobs_of, Blobs=_Trusting)


class ChecksumIgnored(Sound, session=_TrustsBlobs):
    """Hands on what the store has, whatever became of it."""


# --- history ----------------------------------------------------------------------------------


class _Retold(Sound):
    @override
    def history(
        self,
        handle: ConfigHandle,
        *,
        prefix: str = "/",
        before: int | None = None,
        limit: int = 100,
        deadline: Deadline,
        **which: Any,
    ) -> HistoryPage:
        page = super().history(
            handle,
            prefix=prefix,
            before=self.until(before),
            limit=limit,
            deadline=deadline,
            **which,
        )
        return HistoryPage(tuple(self.retell(commit) for commit in page.commits), page.rest)

    def until(self, before: int | None) -> int | None:
        return before

    def retell(self, commit: Commit) -> Commit:
        return commit


class HistoryWithoutActor(_Retold):
    """Forgets who it was."""

    @override
    def retell(self, commit: Commit) -> Commit:
        return msgspec.structs.replace(commit, actor="")


class HistoryWithoutPrevNodes(_Retold):
    """Forgets what a removed key was."""

    @override
    def retell(self, commit: Commit) -> Commit:
        changes = [msgspec.structs.replace(change, prev_node=None) for change in commit.changes]
        return msgspec.structs.replace(commit, changes=tuple(changes))


class PagesOverlap(_Retold):
    """Begins a page with the commit that ended the one before."""

    @override
    def until(self, before: int | None) -> int | None:
        return None if before is None else before + 1


# --- configs ----------------------------------------------------------------------------------


class RecreatedMixesWithTheOld(Sound):
    """Creates a deleted config anew by taking its tombstone away."""

    @override
    def create_config(
        self, name: str, settings: Mapping[str, Any], *, deadline: Deadline
    ) -> ConfigInfo:
        try:
            return super().undelete_config(name, deadline=deadline)
        except ConfigNotFound:
            return super().create_config(name, settings, deadline=deadline)


class UndeleteLosesHistory(Sound):
    """Brings the keys back, and not what they had been."""

    @override
    def undelete_config(self, name: str, *, deadline: Deadline) -> ConfigInfo:
        handle = ConfigHandle(name)
        super().undelete_config(name, deadline=deadline)
        nodes = list(self.view(handle, deadline=deadline).list())
        settings = self.delete_config(handle, deadline=deadline).settings
        self.create_config(name, settings, deadline=deadline)
        puts = tuple(Put(node.key, node.value, node.content_type) for node in nodes)
        self.commit(ConfigHandle(name), Transaction(puts), deadline=deadline)
        return self.describe_config(ConfigHandle(name), deadline=deadline)


class _FollowsInSession(Session):
    @override
    def live(self, snapshot: Snapshot | None, handle: ConfigHandle) -> Snapshot:
        handle.incarnation = None
        return super().live(snapshot, handle)


class _FollowsInPlan(Plan):
    @override
    def _live(self, handle: ConfigHandle, name: str) -> Snapshot:
        handle.incarnation = None
        return super()._live(handle, name)


class HandleFollowsNewIncarnation(Sound, session=_FollowsInSession, plan=_FollowsInPlan):
    """Takes a handle for whatever has its name."""


class DeletedConfigListed(Sound):
    """Lists every register."""

    @override
    def _lives(self, name: str, deadline: Deadline) -> bool:
        return True


# --- closing ----------------------------------------------------------------------------------


class CloseLeavesThread(Sound):
    """Leaves a thread behind."""

    def __init__(self, substrate: Substrate) -> None:
        super().__init__(substrate)
        idle = threading.Event()
        threading.Thread(target=idle.wait, args=(5,), daemon=True, name="keeper").start()


class CloseLeavesFile(Sound):
    """Leaves a file open."""

    def __init__(self, substrate: Substrate) -> None:
        super().__init__(substrate)
        os.open(__file__, os.O_RDONLY)
