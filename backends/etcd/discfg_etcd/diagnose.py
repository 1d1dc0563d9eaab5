"""What ``discfg doctor`` asks of a cluster: does it keep what it is given, and for how long?"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.unknown_fields import (  # type: ignore[import-untyped] # it brings no types
    UnknownFieldSet,
)

from discfg_core.clock import Deadline
from discfg_core.engine import Finding, FindingStatus
from discfg_core.errors import AccessDenied, DiscfgError, StoreFull
from discfg_etcd import messages
from discfg_etcd.client import Client
from discfg_etcd.errors import COMPACTED
from discfg_etcd.layout import Layout
from discfg_etcd.messages import Message
from discfg_etcd.versions import refusal

OK: Final = FindingStatus.OK
WARNING: Final = FindingStatus.WARNING
FAILED: Final = FindingStatus.FAILED

_DEFAULT_QUOTA: Final = 2 * 1024**3
_SOON: Final = timedelta(days=14)
_MEBIBYTE: Final = 1024 * 1024
# The field `dbSizeInUse` of a status, which the client library's message does not know.
_SIZE_IN_USE: Final = 9
_COMPACTION_HINT: Final = (
    "start the members with --auto-compaction-mode=revision --auto-compaction-retention=1000, or "
    "what else suits: etcd keeps each overwritten head until then, and stops at its quota"
)


def findings(client: Client, layout: Layout, deadline: Deadline) -> Iterator[Finding]:
    """What an operator should know; nothing is written.

    Yields:
        The checks ``server`` (each endpoint), ``cluster``, ``transport``, ``permissions``,
        ``alarms``, ``quota`` and ``compaction``; of a cluster that does not answer, only the
        first ones.
    """
    answers: list[Message] = []
    for endpoint in client.endpoints:
        try:
            answer = client.ask(endpoint, "Status", messages.status(), deadline)
        except DiscfgError as error:
            yield Finding("server", FAILED, error.message, error.hint or "")
        else:
            answers.append(answer)
            yield _version(endpoint.address, answer.version)
    yield _transport(client)
    if not answers:
        return
    yield _cluster(answers)
    yield _permissions(client, layout, deadline)
    yield _alarms(client, deadline)
    yield _quota(answers)
    yield _compaction(client, layout, deadline)


def _version(address: str, version: str) -> Finding:
    reason = refusal(version)
    if reason is None:
        return Finding("server", OK, f"etcd {version} at {address}")
    return Finding(
        "server", FAILED, f"etcd {version} at {address}, {reason}", "upgrade to a later version"
    )


def _transport(client: Client) -> Finding:
    access = client.access
    if access.tls is not None:
        expiry = access.tls.expiry()
        if expiry is not None and expiry < datetime.now(UTC) + _SOON:
            return Finding(
                "transport",
                WARNING,
                f"{access.tls.cert} expires, or expired, on {expiry:%Y-%m-%d %H:%M} UTC",
                "renew it; a new one is read with the next connection",
            )
        return Finding("transport", OK, "TLS")
    if access.credentials is not None and not all(map(_is_local, access.addresses)):
        return Finding(
            "transport", WARNING, "the password goes over the network in clear", "use TLS: ?ca=…"
        )
    return Finding("transport", OK, "plain connections")


def _is_local(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _cluster(answers: list[Message]) -> Finding:
    clusters = {answer.header.cluster_id for answer in answers}
    if len(clusters) > 1:
        return Finding(
            "cluster",
            FAILED,
            "the hosts of the URL belong to different clusters",
            "name members of one cluster: two would hold two truths",
        )
    if not all(answer.leader for answer in answers):
        return Finding(
            "cluster", FAILED, "a member knows no leader", "a majority of the members must be up"
        )
    members = {answer.header.member_id for answer in answers}
    return Finding("cluster", OK, f"{len(members)} of its members answer, and know a leader")


def _permissions(client: Client, layout: Layout, deadline: Deadline) -> Finding:
    # A transaction needs the permissions for both branches, whichever is taken; this takes the
    # one that reads.
    key = layout.registers.start
    request = messages.txn(
        [messages.never(key)],
        [messages.put(key, b""), messages.delete(layout.all_blobs)],
        [messages.scan(layout.everything, limit=1, keys_only=True)],
    )
    shown = layout.root.decode()
    try:
        client.call("Txn", request, deadline, write=True)
    except AccessDenied as error:
        return Finding("permissions", FAILED, error.message, error.hint or "")
    except StoreFull:
        # Judged after the permissions; the quota is a finding of its own.
        pass
    except DiscfgError as error:
        return Finding("permissions", FAILED, error.message, error.hint or "")
    return Finding("permissions", OK, f"may read and write below {shown}")


def _alarms(client: Client, deadline: Deadline) -> Finding:
    try:
        answer = client.call("Alarm", messages.alarms(), deadline)
    except AccessDenied:
        return Finding(
            "alarms", WARNING, "this user may not see the alarms", "run `etcdctl alarm list`"
        )
    except DiscfgError as error:
        return Finding("alarms", FAILED, error.message, error.hint or "")
    raised = sorted({messages.alarm_name(each.alarm) for each in answer.alarms})
    if not raised:
        return Finding("alarms", OK, "none is raised")
    return Finding(
        "alarms",
        FAILED,
        f"raised: {', '.join(raised)}",
        "NOSPACE: compact, defragment each member, `etcdctl alarm disarm`; CORRUPT: replace the "
        "member that differs",
    )


def _quota(answers: list[Message]) -> Finding:
    size = max(answer.dbSize for answer in answers)
    used = max(_size_in_use(answer) for answer in answers)
    text = f"the database is {size / _MEBIBYTE:,.1f} MiB, {used / _MEBIBYTE:,.1f} of them in use"
    if size > 0.75 * _DEFAULT_QUOTA:
        # What the quota is, no member tells.
        return Finding(
            "quota",
            WARNING,
            f"{text}; the quota is 2 GiB unless --quota-backend-bytes says otherwise",
            "compact, then `etcdctl defrag` each member, or raise the quota",
        )
    return Finding("quota", OK, text)


def _size_in_use(answer: Message) -> int:
    for field in UnknownFieldSet(answer):
        if field.field_number == _SIZE_IN_USE:
            return int(field.data)
    return 0


def _compaction(client: Client, layout: Layout, deadline: Deadline) -> Finding:
    key = layout.registers.start
    try:
        answer = client.call("Range", messages.count(key, revision=1), deadline)
    except DiscfgError as error:
        if COMPACTED not in error.message:
            return Finding("compaction", FAILED, error.message, error.hint or "")
        return Finding("compaction", OK, "old revisions are compacted")
    return Finding(
        "compaction",
        WARNING,
        f"none of the {answer.header.revision:,} revisions was ever compacted",
        _COMPACTION_HINT,
    )
