"""Reading all of a config and comparing its parts; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from discfg_core.clock import Deadline
from discfg_core.engine import CheckReport
from discfg_core.errors import Corrupt, Timeout
from discfg_core.model import LargeValue, Node
from discfg_core.substrate import Substrate
from discfg_core.versioned.blobs import BlobMissing
from discfg_core.versioned.format import BlobRef, HistoryRef, decode_index, decode_record
from discfg_core.versioned.history import Resolved
from discfg_core.versioned.replay import effect
from discfg_core.versioned.session import Session
from discfg_core.versioned.settle import retried
from discfg_core.versioned.snapshot import Snapshot, not_found
from discfg_core.versioned.state import State

_SHOWN_PROBLEMS = 50


def check(substrate: Substrate, name: str, deadline: Deadline) -> CheckReport:
    """What `StorageEngine.check` says."""
    while not deadline.passed():
        # Nothing that this process has in memory: what is stored is what is checked.
        session = Session(substrate, name, deadline.remaining())
        # Listed before the head is read: a blob that is listed and not reached is an orphan, or
        # its writer's swap came between the two; one that is reached was written before it.
        infos = retried(lambda: list(substrate.list_blobs(name, deadline=deadline)), deadline)
        listed = {info.blob: info.size for info in infos}
        try:
            snapshot = session.fresh(deadline).snapshot
        except Corrupt as error:
            return CheckReport(name, (error.message,), blobs=len(listed))
        if snapshot is None:
            raise not_found(name)
        inspection = _Inspection(snapshot, deadline)
        inspection.run()
        problems = inspection.problems
        if problems or inspection.missing:
            newest = session.fresh(deadline).snapshot
            if newest is None or newest.incarnation != snapshot.incarnation:
                # Deleted, and perhaps created anew, while it was read.
                continue
            # A writer may have folded them away meanwhile, which only a newer head shows.
            still = set(_loose(newest))
            problems += [text for ref, text in inspection.missing.items() if ref in still]
        if len(problems) > _SHOWN_PROBLEMS:
            more = f"and {len(problems) - _SHOWN_PROBLEMS:,} more"
            problems = [*problems[:_SHOWN_PROBLEMS], more]
        reached = {snapshot.blobs.name(ref) for ref in inspection.reached}
        orphans = [size for blob, size in listed.items() if blob not in reached]
        return CheckReport(
            name,
            tuple(problems),
            commits=inspection.commits,
            keys=len(snapshot.state),
            blobs=len(listed),
            orphans=len(orphans),
            orphan_bytes=sum(orphans),
        )
    raise Timeout(f"config {name!r} could not be checked in time", config=name)


def _loose(snapshot: Snapshot) -> Iterator[BlobRef]:
    """The blobs that a later head may no longer need: the stored state, and the tail."""
    head = snapshot.head
    for body in (head.state.body, *(item.body for item in head.tail)):
        if isinstance(body, BlobRef):
            yield body


class _Inspection:
    def __init__(self, snapshot: Snapshot, deadline: Deadline) -> None:
        self._snapshot = snapshot
        self._deadline = deadline
        self.problems: list[str] = []
        self.reached: set[BlobRef] = set()
        self.missing: dict[BlobRef, str] = {}
        self.commits = 0

    def run(self) -> None:
        head = self._snapshot.head
        try:
            for ref in _loose(self._snapshot):
                self.reached.add(ref)
                try:
                    self._snapshot.blobs.fetch([ref], self._deadline)
                except BlobMissing as error:
                    self.missing[ref] = error.message
            for ref in self._segments():
                self._reach(ref)
            state = self._replay()
        except Corrupt as error:
            self.problems.append(error.message)
            return
        self._compare(state)
        if len(state) != head.keys:
            self.problems.append(f"the head counts {head.keys} keys, there are {len(state)}")
        size = sum(len(node.key.encode()) + node.size for node in state.scan())
        if size != head.size:
            self.problems.append(f"the head counts {head.size} bytes, there are {size}")

    def _segments(self) -> Iterator[BlobRef]:
        for depth, level in enumerate(self._snapshot.head.history):
            yield from self._below(level, depth)

    def _below(self, refs: list[HistoryRef], depth: int) -> Iterator[BlobRef]:
        for ref in refs:
            yield ref.blob
            if depth > 0:
                data = self._snapshot.blobs.fetch([ref.blob], self._deadline)[0]
                yield from self._below(decode_index(data), depth - 1)

    def _reach(self, ref: BlobRef) -> None:
        if ref not in self.reached:
            self.reached.add(ref)
            try:
                self._snapshot.blobs.fetch([ref], self._deadline)
            except Corrupt as error:
                self.problems.append(error.message)

    def _replay(self) -> State:
        state, revision, stamp = State(), 0, self._snapshot.head.created
        for resolved in self._snapshot.commits_after(0, self._deadline):
            commit = resolved.commit
            self.commits += 1
            if commit.revision != revision + 1:
                self.problems.append(f"revision {revision} is followed by {commit.revision}")
            if commit.time_ns <= stamp:
                self.problems.append(f"revision {commit.revision} is no later than the one before")
            for change in commit.changes:
                if state.get(change.key) != change.prev_node:
                    self.problems.append(
                        f"revision {commit.revision} did not replace what {change.key} was"
                    )
                self._reach_value(change.node)
            self._reach_payload(resolved)
            state = state.updated(effect(commit.changes))
            revision, stamp = commit.revision, commit.time_ns
        if revision != self._snapshot.revision:
            self.problems.append(
                f"the history ends at revision {revision}, the head says {self._snapshot.revision}"
            )
        return state

    def _reach_value(self, node: Node) -> None:
        if isinstance(node.content, LargeValue) and isinstance(node.content.same, BlobRef):
            self._reach(node.content.same)

    def _reach_payload(self, resolved: Resolved) -> None:
        payload = decode_record(resolved.raw).payload
        if payload is not None:
            self._reach(payload)

    def _compare(self, replayed: State) -> None:
        stored = {node.key: node for node in self._snapshot.state.scan()}
        for node in replayed.scan():
            if stored.pop(node.key, None) != node:
                self.problems.append(f"the state of {node.key} is not what its history gives")
        for key in stored:
            self.problems.append(f"key {key} is in the state, and its history does not give it")
