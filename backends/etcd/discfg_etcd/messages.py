"""The requests of etcd's API that are used here, as the client library's own messages.

https://etcd.io/docs/v3.5/dev-guide/api_reference_v3/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from pyetcd import etcdrpc as rpc  # type: ignore[import-untyped] # it brings no types

from discfg_etcd.layout import Span

Message: TypeAlias = Any
"""A message of the client library, which says nothing of types."""


def get(key: bytes, *, keys_only: bool = False) -> Message:
    """One key."""
    return rpc.RangeRequest(key=key, keys_only=keys_only)


def count(key: bytes, *, revision: int) -> Message:
    """Whether there was such a key at a revision of the store."""
    return rpc.RangeRequest(key=key, revision=revision, count_only=True)


def scan(span: Span, *, limit: int, keys_only: bool = False) -> Message:
    """The first keys of a span, sorted."""
    return rpc.RangeRequest(key=span.start, range_end=span.end, limit=limit, keys_only=keys_only)


def put(key: bytes, value: bytes) -> Message:
    """Write a key."""
    return rpc.PutRequest(key=key, value=value)


def delete(span: Span) -> Message:
    """Delete all keys of a span."""
    return rpc.DeleteRangeRequest(key=span.start, range_end=span.end)


def value_is(key: bytes, value: bytes) -> Message:
    """Holds while the key has this value."""
    return rpc.Compare(result=rpc.Compare.EQUAL, target=rpc.Compare.VALUE, key=key, value=value)


def revision_is(key: bytes, revision: int) -> Message:
    """Holds while the key was last written at this revision of the store."""
    return rpc.Compare(
        result=rpc.Compare.EQUAL, target=rpc.Compare.MOD, key=key, mod_revision=revision
    )


def is_absent(key: bytes) -> Message:
    """Holds while there is no such key."""
    return rpc.Compare(result=rpc.Compare.EQUAL, target=rpc.Compare.VERSION, key=key, version=0)


def never(key: bytes) -> Message:
    """Never holds."""
    return rpc.Compare(result=rpc.Compare.EQUAL, target=rpc.Compare.VERSION, key=key, version=-1)


def exists(key: bytes) -> Message:
    """Holds while there is such a key."""
    return rpc.Compare(result=rpc.Compare.GREATER, target=rpc.Compare.VERSION, key=key, version=0)


def txn(
    compare: Sequence[Message],
    success: Iterable[Message] = (),
    failure: Iterable[Message] = (),
) -> Message:
    """If all hold, the one, else the other; at once."""
    return rpc.TxnRequest(compare=compare, success=map(_op, success), failure=map(_op, failure))


def _op(request: Message) -> Message:
    if isinstance(request, rpc.PutRequest):
        return rpc.RequestOp(request_put=request)
    if isinstance(request, rpc.RangeRequest):
        return rpc.RequestOp(request_range=request)
    return rpc.RequestOp(request_delete_range=request)


def ranges(response: Message) -> list[Message]:
    """What the gets of a transaction found, in their order."""
    return [each.response_range for each in response.responses]


def watch(key: bytes, revision: int) -> Message:
    """Tell of each change of a key from this revision of the store on."""
    return rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, start_revision=revision))


def authenticate(user: str, password: str) -> Message:
    """A token, for a user and a password."""
    return rpc.AuthenticateRequest(name=user, password=password)


def status() -> Message:
    """What a member says of itself."""
    return rpc.StatusRequest()


def alarms() -> Message:
    """The alarms that are raised."""
    return rpc.AlarmRequest(action=rpc.AlarmRequest.GET)


def alarm_name(kind: int) -> str:
    """An alarm's name, as etcdctl shows it."""
    name: str = rpc.AlarmType.Name(kind)
    return name
