"""What `discfg doctor` asks of a bucket: whether discfg may do all it must there, and which of the
bucket's settings cost data or money.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from discfg_core.engine import Finding, FindingStatus
from discfg_core.errors import AccessDenied, DiscfgError, StoreError, Timeout, UnsupportedStore
from discfg_s3 import errors
from discfg_s3.client import etag, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from discfg_core.clock import Deadline
    from discfg_s3.client import Client
    from discfg_s3.probe import Probe

OK: Final = FindingStatus.OK
WARNING: Final = FindingStatus.WARNING
FAILED: Final = FindingStatus.FAILED

_POLICY: Final = "grant it; the README of discfg-s3 has the policy"


def diagnose(client: Client, probe: Probe, deadline: Deadline) -> Iterator[Finding]:
    """As `Substrate.diagnose`. What is written for it is deleted again."""
    found = _server(client, deadline)
    yield found
    if found.status is FAILED:
        return
    permitted = True
    for found in _permissions(client, deadline):
        permitted = permitted and found.status is not FAILED
        yield found
    if permitted:
        yield _conditional_writes(probe, deadline)
        yield _conditional_reads(client, deadline)
    rules = _Settings(client, deadline)
    yield rules.lifecycle()
    yield rules.versioning()
    yield rules.object_lock()


def _server(client: Client, deadline: Deadline) -> Finding:
    place = client.target.place
    try:
        # Not HeadBucket, whose answers name no error: this is what reading takes anyway.
        answer = client.ask("list_objects_v2", deadline=deadline, Prefix=place.heads, MaxKeys=1)
    except (StoreError, Timeout) as error:
        return Finding("server", FAILED, error.message, error.hint or "")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    server = headers.get("server", "a server that does not tell its name")
    region = headers.get("x-amz-bucket-region", "")
    where = f"{server} at {client.endpoint}, bucket {place.bucket}"
    return Finding("server", OK, f"{where} in {region}" if region else where)


def _permissions(client: Client, deadline: Deadline) -> Iterator[Finding]:
    """Each tried for real, on an object that nobody else uses."""
    key = client.target.place.own(f"doctor-{os.urandom(16).hex()}")
    ask = partial(client.ask, deadline=deadline)
    change = partial(client.change, deadline=deadline)
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("s3:PutObject", partial(change, "put_object", Key=key, Body=b"discfg")),
        ("s3:GetObject", partial(ask, "get_object", Key=key)),
        ("s3:ListBucket", partial(ask, "list_objects_v2", Prefix=key)),
        ("s3:DeleteObject", partial(change, "delete_object", Key=key)),
    ]
    for permission, step in steps:
        try:
            step()
        except errors.Missing:
            # Reading what could not be written.
            yield Finding(permission, OK, "granted")
        except AccessDenied as error:
            yield Finding(permission, FAILED, error.message, _POLICY)
        except DiscfgError as error:
            yield Finding(permission, FAILED, error.message, error.hint or "")
        else:
            yield Finding(permission, OK, "granted")


def _conditional_writes(probe: Probe, deadline: Deadline) -> Finding:
    check = "conditional writes"
    try:
        probe.run(deadline)
    except UnsupportedStore as error:
        return Finding(check, FAILED, error.message, error.hint or "")
    except DiscfgError as error:
        return Finding(check, WARNING, f"could not be tried: {error.message}", error.hint or "")
    return Finding(check, OK, "of racing writes one wins")


def _conditional_reads(client: Client, deadline: Deadline) -> Finding:
    check = "conditional reads"
    key = client.target.place.own(f"doctor-{os.urandom(16).hex()}")
    try:
        put = client.change("put_object", deadline=deadline, Key=key, Body=b"discfg")
        try:
            client.ask("get_object", deadline=deadline, Key=key, IfNoneMatch=quoted(etag(put)))
        except errors.NotModified:
            return Finding(check, OK, "an object that did not change is not sent again")
        finally:
            client.change("delete_object", deadline=deadline, Key=key)
    except DiscfgError as error:
        return Finding(check, WARNING, f"could not be tried: {error.message}", error.hint or "")
    return Finding(
        check,
        WARNING,
        "the store passes over If-None-Match: each check whether a config changed reads it whole",
        "it is correct, and costs traffic",
    )


class _Settings:
    """The bucket's settings that matter, each as far as these credentials may see it."""

    def __init__(self, client: Client, deadline: Deadline) -> None:
        self._client = client
        self._deadline = deadline
        self._prefix = client.target.place.prefix
        self._rules: list[Mapping[str, Any]] = []

    def lifecycle(self) -> Finding:
        """Rules that delete or move what lies under the prefix."""
        check = "lifecycle"
        answer = self._get("get_bucket_lifecycle_configuration", "s3:GetLifecycleConfiguration")
        if isinstance(answer, str):
            return Finding(check, WARNING, answer, _POLICY)
        self._rules = [rule for rule in answer.get("Rules", []) if _concerns(rule, self._prefix)]
        harmful = [rule for rule in self._rules if _harms(rule)]
        if harmful:
            names = ", ".join(repr(str(rule.get("ID", "without a name"))) for rule in harmful)
            return Finding(
                check,
                WARNING,
                f"rules over the prefix delete or archive objects by age: {names}",
                "take the prefix out of them: what discfg still refers to may be older than any "
                "age, and what it no longer needs it deletes by itself",
            )
        return Finding(check, OK, "no rule deletes or archives objects under the prefix")

    def versioning(self) -> Finding:
        """Whether every overwritten register is kept, and billed."""
        check = "versioning"
        answer = self._get("get_bucket_versioning", "s3:GetBucketVersioning")
        if isinstance(answer, str):
            return Finding(check, WARNING, answer, _POLICY)
        if answer.get("Status") != "Enabled":
            return Finding(check, OK, "the bucket keeps no old versions")
        if any("NoncurrentVersionExpiration" in rule for rule in self._rules):
            return Finding(check, OK, "the bucket keeps old versions, and a rule ends them")
        return Finding(
            check,
            WARNING,
            "the bucket keeps every version of every object: each commit leaves a copy of the "
            "config's head, up to 64 KiB, which is billed for ever",
            "add a lifecycle rule with NoncurrentVersionExpiration over the prefix, or use a "
            "bucket without versioning",
        )

    def object_lock(self) -> Finding:
        """Whether the bucket forbids to delete, and wants checksums that discfg does not send."""
        check = "object lock"
        answer = self._get("get_object_lock_configuration", "s3:GetBucketObjectLockConfiguration")
        if isinstance(answer, str):
            return Finding(check, WARNING, answer, _POLICY)
        lock = answer.get("ObjectLockConfiguration", {})
        if lock.get("ObjectLockEnabled") != "Enabled":
            return Finding(check, OK, "off")
        if "Rule" not in lock:
            return Finding(check, OK, "on, without a default retention")
        return Finding(
            check,
            WARNING,
            "the bucket has a default retention: what discfg deletes or overwrites is kept, and "
            "billed, until it ends",
            "use a bucket without Object Lock",
        )

    def _get(self, operation: str, permission: str) -> Mapping[str, Any] | str:
        """The setting, empty where there is none; or why it cannot be told."""
        try:
            return self._client.ask(operation, deadline=self._deadline)
        except AccessDenied:
            return f"cannot be told: these credentials lack {permission}"
        except UnsupportedStore:
            return {}
        except DiscfgError as error:
            if _is_absence(error):
                return {}
            return f"cannot be told: {error.message}"


def _is_absence(error: DiscfgError) -> bool:
    """A store without the setting, or without the kind of setting."""
    response = getattr(error.__cause__, "response", {})
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = response.get("Error", {}).get("Code")
    return code != "NoSuchBucket" and status in (404, 405)


def _concerns(rule: Mapping[str, Any], prefix: str) -> bool:
    if rule.get("Status") != "Enabled":
        return False
    filtered: Mapping[str, Any] = rule.get("Filter") or {}
    both: Mapping[str, Any] = filtered.get("And") or filtered
    if both.get("Tag") or both.get("Tags"):
        # discfg's objects have no tags.
        return False
    its = str(both.get("Prefix") or rule.get("Prefix") or "")
    return its.startswith(prefix) or prefix.startswith(its)


def _harms(rule: Mapping[str, Any]) -> bool:
    expiration: Mapping[str, Any] = rule.get("Expiration") or {}
    archives = any(
        "GLACIER" in str(move.get("StorageClass")) or "ARCHIVE" in str(move.get("StorageClass"))
        for move in rule.get("Transitions") or []
    )
    return archives or "Days" in expiration or "Date" in expiration
