"""Calls to a cluster: an endpoint that serves, a token that holds, and no connection over a fork."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from discfg_core.clock import Deadline
from discfg_core.errors import (
    AccessDenied,
    Closed,
    DiscfgError,
    OutcomeUnknown,
    StoreUnavailable,
    Timeout,
    UnsupportedStore,
)
from discfg_etcd import fork, messages
from discfg_etcd.access import Access, AuthToken, Credentials
from discfg_etcd.endpoint import Call, Endpoint, RpcError, status_of
from discfg_etcd.errors import AUTH_IS_OFF, Meaning, judge, never_connected, translate
from discfg_etcd.messages import Message
from discfg_etcd.versions import refusal

# So long one of several endpoints may take to answer, in seconds, and more by its bytes a second.
_PATIENCE: Final = 5.0
_BYTES_A_SECOND: Final = 1_000_000
_LONGEST_WAIT: Final = 86_400.0
# How long a fork waits for the calls under way before it ends them.
_QUIET_SECONDS: Final = 1.0
# And for their end: a child of a fork in the midst of one hangs in a lock that nobody releases,
# and a thread of a busy machine takes a while to notice.
_END_SECONDS: Final = 10.0
_SLICE_SECONDS: Final = 0.002
_NO_TOKEN: Final = AuthToken("")
# A member that knows no leader says so at once, and does not wait for one.
_REQUIRE_LEADER: Final = ("hasleader", "true")


class Client:
    """One store's connections to its cluster; for any number of threads.

    Args:
        access: Where it is, and how to be let in.
    """

    def __init__(self, access: Access) -> None:
        self.access: Final = access
        self._credentials = access.credentials
        self.endpoints: Final = tuple(Endpoint(address, access.tls) for address in access.addresses)
        # The clients of a cluster spread over its members.
        self._preferred = int.from_bytes(os.urandom(4), "big") % len(self.endpoints)
        self._token: AuthToken | None = None
        self._closed = False
        self._renew()
        fork.mind(self)

    def _renew(self) -> None:
        self._token_lock = threading.Lock()
        self._lock = threading.Lock()
        self._resumed = threading.Condition(self._lock)
        self._pauses = 0
        # The calls under way. A set's methods are atomic, and may be done twice.
        self._inside: set[object] = set()
        self._streams: set[Call] = set()
        # Whether to look at `_closed` and `_pauses`.
        self._halted = self._closed
        self._process = os.getpid()

    # --- calls ---

    def call(
        self,
        method: str,
        request: Message,
        deadline: Deadline,
        *,
        write: bool = False,
        size: int = 0,
    ) -> Message:
        """What an endpoint answers. Each is asked once at most, and after a write whose fate is
        unknown none.

        Args:
            method: Such as ``Range``.
            request: Its message.
            deadline: The end of it.
            write: Whether the request may change something.
            size: Bytes that it may have to carry, either way.

        Raises:
            OutcomeUnknown: A write was sent, and its answer never came.
            StoreError: Surely nothing happened.
            Timeout: The deadline had passed; surely nothing happened.
            Closed: This was closed.
        """
        patience = _PATIENCE + size / _BYTES_A_SECOND
        failure: DiscfgError | None = None
        first = self._preferred
        order = self.endpoints[first:] + self.endpoints[:first]
        with self._entered(deadline):
            for tried, endpoint in enumerate(order):
                if deadline.passed():
                    break
                wait = Deadline(deadline.at)
                if len(order) > 1:
                    # Leaves as much for each of the others.
                    share = deadline.remaining() / (len(order) - tried)
                    wait = Deadline.after(min(patience, share))
                failure = None
                try:
                    if write and not endpoint.proven:
                        self._prove(endpoint, wait)
                    return self._ask(endpoint, method, request, wait, write=write)
                except _Elsewhere as moved:
                    failure = moved.error
                    self._leave(endpoint)
                if self._halted or isinstance(failure, OutcomeUnknown):
                    break
        if self._closed and not isinstance(failure, OutcomeUnknown):
            raise Closed("this store was closed")
        raise failure or Timeout("the deadline had passed")

    def ask(self, endpoint: Endpoint, method: str, request: Message, deadline: Deadline) -> Message:
        """What this very endpoint answers, which changes nothing. Raises as `call`."""
        with self._entered(deadline):
            try:
                return self._ask(endpoint, method, request, deadline)
            except _Elsewhere as moved:
                raise moved.error from moved.error.__cause__

    def _ask(
        self,
        endpoint: Endpoint,
        method: str,
        request: Message,
        deadline: Deadline,
        *,
        write: bool = False,
    ) -> Message:
        """One call, and once more with a new token where that may help."""
        for again in (False, True):
            token = self._token_for(endpoint, deadline)
            try:
                return self._send(endpoint, method, request, deadline, token)
            except RpcError as error:
                meaning, failure = self._meaning(endpoint, error, write=write)
                if not (meaning.renew and self._credentials) or again:
                    raise (
                        _Elsewhere(failure) if meaning.elsewhere else failure
                    ) from failure.__cause__
                self._drop_token(token)
        raise AssertionError("a call is made at most twice")

    def _send(
        self,
        endpoint: Endpoint,
        method: str,
        request: Message,
        deadline: Deadline,
        token: AuthToken,
    ) -> Message:
        metadata = [_REQUIRE_LEADER]
        if token.text:
            metadata.append(("token", token.text))
        methods = endpoint.methods()
        try:
            return methods[method](request, timeout=_seconds(deadline), metadata=metadata)
        except RpcError as error:
            if never_connected(*status_of(error)):
                endpoint.give_up(methods)
            raise
        except ValueError as error:
            # The library's word for a channel that was closed before anything was sent.
            raise _Elsewhere(StoreUnavailable(f"etcd at {endpoint.address}: {error}")) from None

    def _meaning(
        self, endpoint: Endpoint, error: Exception, *, write: bool
    ) -> tuple[Meaning, DiscfgError]:
        code, details = status_of(error)
        meaning = judge(code, details)
        failure = translate(code, details, endpoint.address, write=write)
        if isinstance(failure, AccessDenied) and self.access.tls is not None:
            # Of a certificate that it refuses, the server does not say why.
            expiry = self.access.tls.expiry()
            if expiry is not None and expiry < datetime.now(UTC):
                failure.hint = f"{self.access.tls.cert} expired on {expiry:%Y-%m-%d %H:%M} UTC"
        failure.__cause__ = error
        return meaning, failure

    def _prove(self, endpoint: Endpoint, deadline: Deadline) -> None:
        """Connect to an endpoint before a write is sent: what fails now surely did nothing.

        Raises:
            UnsupportedStore: It is of a version that loses data.
        """
        try:
            version = self._ask(endpoint, "Status", messages.status(), deadline).version
        except AccessDenied:
            # It answers; what the write itself may do is the write's own question.
            version = ""
        reason = refusal(version)
        if reason is not None:
            raise UnsupportedStore(
                f"etcd at {endpoint.address} is version {version}, {reason}",
                hint="upgrade the cluster to a later version",
            )
        endpoint.proven = True

    def _leave(self, endpoint: Endpoint) -> None:
        """Prefer the next endpoint from now on, unless somebody moved on already."""
        endpoint.proven = False
        if self.endpoints[self._preferred] is endpoint:
            self._preferred = (self._preferred + 1) % len(self.endpoints)

    # --- the token ---

    def _token_for(self, endpoint: Endpoint, deadline: Deadline) -> AuthToken:
        if self._credentials is None:
            return _NO_TOKEN
        token = self._token
        if token is not None:
            return token
        if not self._token_lock.acquire(timeout=_seconds(deadline)):
            raise Timeout("another thread was authenticating all the time")
        try:
            if self._token is None:
                self._token = self._authenticate(endpoint, self._credentials, deadline)
            return self._token
        finally:
            self._token_lock.release()

    def _drop_token(self, token: AuthToken) -> None:
        # Another thread may have a new one already.
        if self._token is token:
            self._token = None

    def _authenticate(
        self, endpoint: Endpoint, credentials: Credentials, deadline: Deadline
    ) -> AuthToken:
        try:
            # In no variable of this frame, which a traceback may show.
            return AuthToken(
                self._send(
                    endpoint,
                    "Authenticate",
                    messages.authenticate(credentials.user, credentials.password),
                    deadline,
                    _NO_TOKEN,
                ).token
            )
        except RpcError as error:
            meaning, failure = self._meaning(endpoint, error, write=False)
            if AUTH_IS_OFF in failure.message:
                # As etcd's own client does: what needs no credentials gets none.
                return AuthToken("")
            raise (_Elsewhere(failure) if meaning.elsewhere else failure) from failure.__cause__

    # --- streams ---

    @contextmanager
    def stream(self, request: Message, deadline: Deadline) -> Iterator[tuple[Endpoint, Call]]:
        """A watch, on the endpoint preferred, cancelled at the end.

        Raises:
            DiscfgError: As `call`; but the stream's own errors come from itself.
        """
        # A fork waits for whoever is in here: it cancels the stream, which its reader notices.
        with self._entered(deadline):
            endpoint = self.endpoints[self._preferred]
            try:
                token = self._token_for(endpoint, deadline)
                call = self._send(endpoint, "Watch", request, deadline, token)
            except _Elsewhere as moved:
                self._leave(endpoint)
                raise moved.error from moved.error.__cause__
            self._streams.add(call)
            try:
                if self._halted:
                    call.cancel()
                yield endpoint, call
            finally:
                self._streams.discard(call)
                call.cancel()

    def failed(self, endpoint: Endpoint, error: Exception | None) -> None:
        """A stream ended with this error, or gave no sign of life."""
        if error is None or judge(*status_of(error)).elsewhere:
            self._leave(endpoint)

    # --- pauses, and the end ---

    @contextmanager
    def _entered(self, deadline: Deadline) -> Iterator[None]:
        ticket = object()
        try:
            self._inside.add(ticket)
            while self._halted:
                self._inside.discard(ticket)
                self._wait_for_resume(deadline)
                self._inside.add(ticket)
            if deadline.passed():
                raise Timeout("the deadline had passed")
            yield
        finally:
            self._inside.discard(ticket)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def check_open(self) -> None:
        """Raises `Closed` after `close`."""
        if self._closed:
            raise Closed("this store was closed")

    def _wait_for_resume(self, deadline: Deadline) -> None:
        with self._resumed:
            while self._pauses and not self._closed:
                if not self._resumed.wait(_seconds(deadline)):
                    raise StoreUnavailable("this process was forking")
        self.check_open()

    def close(self) -> None:
        """Ends what is under way, and every connection; idempotent."""
        self._closed = True
        with self._lock:
            self._halted = True
            self._resumed.notify_all()
        self._disconnect(0.0)

    def _disconnect(self, grace: float) -> None:
        """Close every connection, after the calls under way or `grace`; streams end at once."""
        for call in list(self._streams):
            call.cancel()
        end = time.monotonic() + grace
        while self._inside and time.monotonic() < end:
            time.sleep(_SLICE_SECONDS)
        for endpoint in self.endpoints:
            endpoint.disconnect()
        end = time.monotonic() + _END_SECONDS
        while self._inside and time.monotonic() < end:
            time.sleep(_SLICE_SECONDS)
        # A call that began to connect as the others were hung up.
        for endpoint in self.endpoints:
            endpoint.disconnect()

    # --- fork; see there ---

    def pause(self) -> bool:
        """Close every connection, and open none until `resume`; pauses add up.

        Returns:
            Whether there was any.
        """
        with self._lock:
            self._pauses += 1
            self._halted = True
        if not self._inside and not any(endpoint.connected for endpoint in self.endpoints):
            return False
        self._disconnect(_QUIET_SECONDS)
        return True

    def resume(self) -> None:
        """Goes on after a `pause`."""
        with self._lock:
            # A client that came to be in the midst of a fork was never paused.
            self._pauses = max(self._pauses - 1, 0)
            self._halted = self._closed or self._pauses > 0
            self._resumed.notify_all()

    def after_fork_in_child(self) -> None:
        """Begins anew, with nothing of the parent's; idempotent."""
        if self._process == os.getpid():
            return
        for endpoint in self.endpoints:
            endpoint.forget()
        self._renew()


def _seconds(deadline: Deadline) -> float:
    """How long gRPC, or a lock, may wait; a time-out of centuries they would take for a past one."""
    return min(deadline.remaining(), _LONGEST_WAIT)


class _Elsewhere(Exception):
    """Raised for a failure that another endpoint may not have. Never leaves this module."""

    def __init__(self, error: DiscfgError) -> None:
        super().__init__()
        self.error = error
