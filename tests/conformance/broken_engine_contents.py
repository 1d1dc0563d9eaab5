"""Engines that write broken contents, each with one realistic defect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from discfg_core._override import override
from discfg_core.clock import Deadline
from discfg_core.engine import ConfigHandle, Transaction
from discfg_core.errors import StoreError
from discfg_core.model import Change, Commit
from discfg_core.substrate import Substrate
from discfg_core.substrates.memory import MemorySubstrate
from discfg_core.testing.delegate import DelegatingSubstrate
from discfg_core.versioned.check import _Inspection
from discfg_core.versioned.committer import Committer
from discfg_core.versioned.format import BlobRef, Head, Unknown, encode_head
from discfg_core.versioned.lead import Lead
from discfg_core.versioned.plan import Plan, Sums
from discfg_core.versioned.prepare import Prepared
from discfg_core.versioned.replay import changes_of
from discfg_core.versioned.snapshot import Snapshot
from discfg_core.versioned.state import State
from discfg_core.versioned.works import Write
from tests.conformance.broken_engine_parts import Sound, rebound

# --- what a commit makes of its keys ------------------------------------------------------------


def _remade(remake: Callable[[Change], Change | None]) -> type[Plan]:
    """A plan that makes something else of each change."""

    def otherwise(*args: Any, **options: Any) -> tuple[Change, ...]:
        made = [remake(change) for change in changes_of(*args, **options)]
        return tuple(change for change in made if change is not None)

    return type("Remade", (Plan,), {"_add_write": rebound(Plan._add_write, changes_of=otherwise)})


def _with_version(change: Change, version: int) -> Change:
    node = msgspec.structs.replace(change.node, version=version)
    return msgspec.structs.replace(change, node=node)


def _same_version(change: Change) -> Change:
    before = change.prev_node
    return change if before is None else _with_version(change, before.version)


def _version_goes_on(change: Change) -> Change:
    return change if change.prev_node is not None else _with_version(change, change.revision)


def _only_if_other_bytes(change: Change) -> Change | None:
    before = change.prev_node
    same = before is not None and before.content == change.node.content
    return None if same else change


class VersionNotCounted(Sound, plan=_remade(_same_version)):
    """Leaves a key's version as it was."""


class DeletedVersionGoesOn(Sound, plan=_remade(_version_goes_on)):
    """Does not begin at 1 with a key that is created anew."""


class EqualBytesNotCounted(Sound, plan=_remade(_only_if_other_bytes)):
    """Writes nothing where the bytes are there already."""


class _LeavesGaps(Plan):
    @override
    def _add_write(self, work: Write, base: Snapshot) -> None:
        self._revision += 1
        super()._add_write(work, base)


class RevisionGap(Sound, plan=_LeavesGaps):
    """Counts a revision that no commit has."""


class _GoesBackInTime(Plan):
    @override
    def _add_write(self, work: Write, base: Snapshot) -> None:
        self._time = 0
        super()._add_write(work, base)


class TimeGoesBack(Sound, plan=_GoesBackInTime):
    """Stamps a commit with its own clock, whatever the last one's stamp is."""


class _Unequal(dict[str, Any]):
    __hash__ = None

    @override
    def __eq__(self, other: object) -> bool:
        return False

    @override
    def __ne__(self, other: object) -> bool:
        return True


class _CommitsNothing(Plan):
    @override
    def _add_write(self, work: Write, base: Snapshot) -> None:
        if not work.prepared.decoded and work.prepared.settings is None:
            work.prepared.settings = _Unequal(base.head.settings)
        super()._add_write(work, base)


class EmptyTransactionCommits(Sound, plan=_CommitsNothing):
    """Counts a revision for nothing."""


class PrevNodeFromCache(Sound):
    """Tells as the previous node what it had in memory."""

    @override
    def _commit(
        self, handle: ConfigHandle, transaction: Transaction, deadline: Deadline
    ) -> Commit | None:
        before = self._at(handle.name)[0].latest
        commit = super()._commit(handle, transaction, deadline)
        if commit is None or before is None or before.snapshot is None:
            return commit
        state = before.snapshot.state
        changes = [
            msgspec.structs.replace(change, prev_node=state.get(change.key))
            for change in commit.changes
        ]
        return msgspec.structs.replace(commit, changes=tuple(changes))


# --- blobs and the head -------------------------------------------------------------------------


class _PutsNothing(DelegatingSubstrate):
    @override
    def put_blob(self, name: str, blob: str, data: bytes, *, deadline: Deadline) -> None:
        return


class BlobLost(Sound):
    """Over a store that acknowledges a blob and does not keep it."""

    @override
    @staticmethod
    def below(place: str) -> Substrate:
        return _PutsNothing(MemorySubstrate(place))


class _HopesForBlobs(Committer):
    @override
    def _lay_down(self, incarnation: str, ref: BlobRef, data: bytes, deadline: Deadline) -> None:
        try:
            super()._lay_down(incarnation, ref, data, deadline)
        except StoreError:
            return


class BlobErrorSwallowed(Sound, committer=_HopesForBlobs):
    """Commits a reference to a blob that could not be written."""


class _CollectsAtOnce(Committer):
    @override
    def _clean_up(self, deadline: Deadline) -> None:
        session = self._session
        snapshot = session.fresh(deadline).snapshot
        assert snapshot is not None
        inspection = _Inspection(snapshot, deadline)
        inspection.run()
        needed = {snapshot.blobs.name(ref) for ref in inspection.reached}
        listed = [
            info.blob for info in session.substrate.list_blobs(session.name, deadline=deadline)
        ]
        garbage = [blob for blob in listed if blob not in needed]
        session.substrate.delete_blobs(session.name, garbage, deadline=deadline)


class CollectorWithoutFence(Sound, committer=_CollectsAtOnce):
    """Deletes every blob that no head refers to, also that of a writer before its swap."""


class _KnowsNoGenerations(Plan):
    @override
    def _add_write(self, work: Write, base: Snapshot) -> None:
        work.prepared.generation = base.head.generation
        super()._add_write(work, base)


class GenerationIgnored(Sound, plan=_KnowsNoGenerations):
    """Refers to blobs of its own that were collected before its swap."""


def _encode_known(head: Head, unknown: Unknown) -> bytes:
    return encode_head(head, {})


class _WritesWhatItKnows(Lead):
    _attempt = rebound(Lead._attempt, encode_head=_encode_known)


class UnknownHeadFieldDropped(Sound, lead=_WritesWhatItKnows):
    """Writes only the fields that it knows."""


def _anything_goes(head: Head) -> None:
    return


class _WritesAnyFormat(Plan):
    _live = rebound(Plan._live, check_writable=_anything_goes)


class NewerWriterOverruled(Sound, plan=_WritesAnyFormat):
    """Swaps a head that a newer client forbade it to change."""


class SettingsForgotten(Sound):
    """Creates a config without its settings."""

    @override
    def create_config(self, name: str, settings: Mapping[str, Any], *, deadline: Deadline) -> Any:
        return super().create_config(name, {}, deadline=deadline)


class _NeverLooksAtSchema(Plan):
    @override
    def _check_schema(self, *_: Any) -> None:
        return


class SchemaIgnored(Sound, plan=_NeverLooksAtSchema):
    """Keeps the schema, and lets every document pass."""


class _JudgesWhatWas(Plan):
    @override
    def _check_schema(self, text: str, state: State, sums: Sums, prepared: Prepared) -> None:
        assert self.base is not None, "a write has a base"
        super()._check_schema(text, self.base.state, sums, prepared)


class SchemaJudgesTheBase(Sound, plan=_JudgesWhatWas):
    """Judges the document as it was before the swap: of what goes into one, each singly."""
