"""Engines that are wrong about the past, or about what comes; see `broken_engines`."""

from __future__ import annotations

import threading
from functools import partial

import msgspec

from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, News, View
from discfg_core.errors import ConfigReplaced, RevisionNotFound
from tests.conformance.broken_engine_parts import Sound

# --- the past ---------------------------------------------------------------------------------


class PastIsPresent(Sound):
    """Shows the latest revision, whichever was asked for."""

    @override
    def view(
        self,
        handle: ConfigHandle,
        *,
        at: int | None = None,
        max_staleness: float | None = None,
        deadline: Deadline,
    ) -> View:
        latest = super().view(handle, max_staleness=max_staleness, deadline=deadline)
        if at is not None and at > latest.revision:
            raise RevisionNotFound(f"revision {at} is not there yet")
        return latest


class PastOffByOne(Sound):
    """Shows what a revision replaced, not what it left."""

    @override
    def view(
        self,
        handle: ConfigHandle,
        *,
        at: int | None = None,
        max_staleness: float | None = None,
        deadline: Deadline,
    ) -> View:
        earlier = at - 1 if at else at
        return super().view(handle, at=earlier, max_staleness=max_staleness, deadline=deadline)


class TimeBeforeItself(Sound):
    """A commit is not yet there at its own time."""

    @override
    def revision_at(self, handle: ConfigHandle, time_ns: int, *, deadline: Deadline) -> int:
        return super().revision_at(handle, time_ns - 1, deadline=deadline)


# --- what comes -------------------------------------------------------------------------------


class _Following(Sound):
    def retell(self, news: News, after: int) -> News:
        raise NotImplementedError

    @override
    def follow(
        self,
        handle: ConfigHandle,
        *,
        after: int,
        prefix: str = "/",
        limit: int = 100,
        fresh_within: float = 30.0,
        deadline: Deadline,
        cancel: threading.Event,
    ) -> News:
        news = super().follow(
            handle,
            after=after,
            prefix=prefix,
            limit=limit,
            fresh_within=fresh_within,
            deadline=deadline,
            cancel=cancel,
        )
        return self.retell(news, after)


class WatchTellsTheLatestAlone(_Following):
    """Leaves out what came between two looks."""

    @override
    def retell(self, news: News, after: int) -> News:
        return msgspec.structs.replace(news, commits=news.commits[-1:])


class WatchTellsTwice(_Following):
    """Goes on with the commit that it ended with."""

    @override
    def retell(self, news: News, after: int) -> News:
        return msgspec.structs.replace(news, revision=max(news.revision - 1, after))


class WatchNewestFirst(_Following):
    """Tells the commits in the order of the history."""

    @override
    def retell(self, news: News, after: int) -> News:
        return msgspec.structs.replace(news, commits=news.commits[::-1])


class WatchTellsKeysOfThePrefix(_Following):
    """Cuts a commit into what the watcher asked for."""

    @override
    def retell(self, news: News, after: int) -> News:
        cut = tuple(
            msgspec.structs.replace(commit, changes=commit.changes[:1]) for commit in news.commits
        )
        return msgspec.structs.replace(news, commits=cut)


class WatchWithoutBookmark(_Following):
    """Knows no other place to go on than the last commit it told."""

    @override
    def retell(self, news: News, after: int) -> News:
        last = news.commits[-1].revision if news.commits else after
        return msgspec.structs.replace(news, revision=last)


class WatchOfTheName(Sound):
    """Goes on with whatever config has the name now."""

    @override
    def follow(
        self,
        handle: ConfigHandle,
        *,
        after: int,
        prefix: str = "/",
        limit: int = 100,
        fresh_within: float = 30.0,
        deadline: Deadline,
        cancel: threading.Event,
    ) -> News:
        follow = partial(
            super().follow,
            prefix=prefix,
            limit=limit,
            fresh_within=fresh_within,
            deadline=deadline,
            cancel=cancel,
        )
        try:
            return follow(handle, after=after)
        except ConfigReplaced:
            return follow(ConfigHandle(handle.name), after=0)
