"""One member of the cluster, as this process reaches it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import grpc  # type: ignore[import-untyped] # it brings no types
from pyetcd import etcdrpc as rpc  # type: ignore[import-untyped] # it brings no types

from discfg_core.errors import FileUnreadable, InvalidOption, StoreUnavailable
from discfg_etcd.access import TLS
from discfg_etcd.messages import Message

RpcError: type[Exception] = grpc.RpcError
Call: TypeAlias = Any
"""A stream of gRPC's, which says nothing of types."""
Methods: TypeAlias = dict[str, Callable[..., Message]]

_OPTIONS: Final = {
    # Each store has connections of its own, which its end closes.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
    "grpc.service_config_disable_resolution": 1,
    # The library's limit for answers is 4 MiB; what is asked for here is bounded by the request.
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    # A server that hangs is noticed while something is asked of it. etcd hangs up on who asks
    # more often than every 5 s (--grpc-keepalive-min-time), or on an idle connection.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 3_000,
    "grpc.keepalive_permit_without_calls": 0,
    "grpc.http2.max_pings_without_data": 0,
    # Of a server that is back, one learns within a second, not two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 3_000,
    "grpc.max_reconnect_backoff_ms": 1_000,
}


class Endpoint:
    """Connects when first used, and again whenever it must.

    Attributes:
        address: ``host:port``.
        proven: It answered since it last failed, so that a failure from now on may be one of a
            request that was sent; and it is of a version to write to.
    """

    def __init__(self, address: str, tls: TLS | None) -> None:
        self.address = address
        self.proven = False
        self._tls = tls
        self._lock = threading.Lock()
        # Guarded by the lock; the methods are read without.
        self._channel: Any = None
        self._methods: Methods = {}

    def methods(self) -> Methods:
        """The methods of the API, such as ``Range``, on a connection that comes to be with a call.

        Raises:
            StoreUnavailable: The files of the TLS options are not what they were.
        """
        return self._methods or self._connect()

    def give_up(self, methods: Methods) -> None:
        """No connection came to be for these. The next call tries anew, with the TLS files as
        they are then.

        The library would refuse calls until it has tried again itself, which it puts off for
        longer and longer; older versions never do while no call waits for it.
        """
        if self._methods is methods:
            self.disconnect()

    def _connect(self) -> Methods:
        with self._lock:
            if self._channel is None:
                self._channel = self._open()
                self._methods = self._stubs(self._channel)
            return self._methods

    @staticmethod
    def _stubs(channel: Any) -> Methods:
        kv, maintenance = rpc.KVStub(channel), rpc.MaintenanceStub(channel)
        return {
            "Range": kv.Range,
            "Put": kv.Put,
            "DeleteRange": kv.DeleteRange,
            "Txn": kv.Txn,
            "Status": maintenance.Status,
            "Alarm": maintenance.Alarm,
            "Authenticate": rpc.AuthStub(channel).Authenticate,
            # The library's stub sends a stream of requests, from a thread. A single request is
            # the same on the wire; etcd goes on until the stream ends.
            "Watch": channel.unary_stream(
                "/etcdserverpb.Watch/Watch",
                request_serializer=rpc.WatchRequest.SerializeToString,
                response_deserializer=rpc.WatchResponse.FromString,
            ),
        }

    def _open(self) -> Any:
        options = tuple(_OPTIONS.items())
        if self._tls is None:
            return grpc.insecure_channel(self.address, options)
        try:
            credentials = grpc.ssl_channel_credentials(*self._tls.load())
        except (FileUnreadable, InvalidOption) as error:
            raise StoreUnavailable(error.message, hint=error.hint, retryable=False) from error
        return grpc.secure_channel(self.address, credentials, options)

    @property
    def connected(self) -> bool:
        """Whether there is a channel."""
        return self._channel is not None

    def disconnect(self) -> None:
        """Close the connection; what is under way on it ends as cancelled."""
        with self._lock:
            channel, self._channel = self._channel, None
            self._methods = {}
            self.proven = False
        if channel is not None:
            channel.close()

    def forget(self) -> None:
        """In the child of a fork: leave the parent's connection alone, for good."""
        self._lock = threading.Lock()
        channel, self._channel = self._channel, None
        self._methods = {}
        self.proven = False
        if channel is not None:
            # What nobody refers to would be closed.
            _forgotten.append(channel)


_forgotten: list[Any] = []


def status_of(error: Exception) -> tuple[str, str]:
    """A failed call's code, by name, and text; its traceback, which shows tokens, is dropped."""
    status: Any = error.with_traceback(None)
    return status.code().name, status.details() or ""
