"""Waiting for a key to change, told by the server.

Each wait has a stream of its own, and a thread that reads it, which both end with it. What is
told of the future is combined with a look at the present: first it is made sure that the key is
as known, then the changes after that very revision are asked for. So nothing is missed, however
old what is known, whatever was compacted meanwhile, and though the store was restored from a
backup.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from discfg_core.backoff import Backoff
from discfg_core.clock import Deadline
from discfg_etcd import messages
from discfg_etcd.client import Client
from discfg_etcd.endpoint import Call, RpcError

# Nobody signals a lock when a caller sets its `cancel`; this is how late it can be noticed.
_CANCEL_SLICE: Final = 0.05
# A stream is not trusted for longer: a server may have forgotten it.
_STREAM_SECONDS: Final = 15.0
# The server says that it is listening within a round trip.
_CREATED_SECONDS: Final = 5.0
# Between streams that end by themselves, in seconds.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


def wait(
    client: Client,
    key: bytes,
    unchanged_since: Callable[[], int | None],
    deadline: Deadline,
    cancel: threading.Event,
) -> None:
    """Returns when the key was changed, `cancel` is set, or the deadline has passed.

    Args:
        client: The cluster.
        key: The key.
        unchanged_since: A revision of the store at which the key is as known, and no older than
            this call; ``None`` if the key is not as known.
        deadline: The end of it.
        cancel: Noticed within 50 ms.

    Raises:
        StoreError: The key cannot be looked at now.
        Closed: The client was closed, before or meanwhile.
    """
    backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
    while not (cancel.is_set() or deadline.passed()):
        revision = unchanged_since()
        if revision is None or _changed(client, key, revision + 1, deadline, cancel):
            return
        cancel.wait(min(backoff.next(), deadline.remaining()))


def _changed(
    client: Client, key: bytes, revision: int, deadline: Deadline, cancel: threading.Event
) -> bool:
    """Whether the stream told of a change; it may have ended for any other reason."""
    lifetime = Deadline.after(min(deadline.remaining(), _STREAM_SECONDS))
    created_by = Deadline.after(_CREATED_SECONDS)
    with client.stream(messages.watch(key, revision), lifetime) as (endpoint, call):
        listener = _Listener(call)
        try:
            while not (cancel.is_set() or lifetime.passed() or client.closed):
                if listener.ended.wait(min(_CANCEL_SLICE, lifetime.remaining())):
                    break
                if created_by.passed() and not listener.created:
                    client.failed(endpoint, None)
                    break
        finally:
            call.cancel()
            listener.join(_CREATED_SECONDS)
    if listener.error is not None and not (cancel.is_set() or lifetime.passed()):
        client.failed(endpoint, listener.error)
    client.check_open()
    return listener.changed


class _Listener(threading.Thread):
    """Reads a stream until it tells of a change, or ends.

    Attributes:
        created: The server is listening.
        changed: It told of a change.
        ended: Nothing more will come.
        error: Why the stream ended, if it did by itself.
    """

    def __init__(self, call: Call) -> None:
        super().__init__(name="discfg-etcd-watch", daemon=True)
        self._call = call
        self.created = False
        self.changed = False
        self.ended = threading.Event()
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """The thread."""
        try:
            for response in self._call:
                self.created = True
                self.changed = bool(response.events)
                if self.changed or response.canceled:
                    break
        except RpcError as error:
            # Without the traceback, which leads back to this thread and to the stream.
            self.error = error.with_traceback(None)
        finally:
            self.ended.set()
