"""Calls to DynamoDB: one client of boto3's, made when it is first needed, and anew after a fork.

Credentials come from boto3's own chain first (environment, shared files, container, machine),
then from the URL. Where the chain asks a service for them, that takes the time-outs of boto3 and
not the deadline of the call.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import Any, Final
from urllib.parse import quote

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from discfg_core.backoff import Backoff
from discfg_core.clock import Deadline
from discfg_core.errors import Closed, DiscfgError, InvalidOption, StoreUnavailable
from discfg_core.urls import MASK, StoreURL
from discfg_dynamodb.errors import TableInUse, TableMissing, harmless, out_of_time, translate
from discfg_dynamodb.profile import Options
from discfg_dynamodb.wire import Wire

# Everything here is checked before it is sent; boto3's own check takes longer than its signing.
_CONFIG: Final = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    parameter_validation=False,
    user_agent_extra="discfg",
)

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0

# It reads the descriptions of services, which are some megabytes, once a process.
_loader: Final = botocore.loaders.create_loader()


class _Connected:
    """What a process has once it called."""

    def __init__(self, url: StoreURL, options: Options) -> None:
        # One of botocore's under that of boto3, because it takes the loader.
        core = botocore.session.Session(profile=options.profile)
        core.register_component("data_loader", _loader)
        self._credentials = core.get_credentials()
        own: dict[str, str | None] = {}
        if self._credentials is None and url.user is not None:
            own = {"aws_access_key_id": url.user, "aws_secret_access_key": url.password}
        # As botocore's own connections have it.
        trusted = core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        self.wire = Wire(trusted)
        session = boto3.Session(botocore_session=core, region_name=url.hosts[0].host, **own)
        self.client: Any = session.client(
            "dynamodb", endpoint_url=options.endpoint_url, config=_CONFIG
        )
        events: Any = self.client.meta.events
        events.register("before-send.dynamodb", self.wire.send)

    def secrets(self) -> set[str]:
        if self._credentials is None:
            return set()
        # Not by their properties, which fetch new ones where these are old.
        return {
            value
            for name, value in vars(self._credentials).items()
            if isinstance(value, str) and value and ("secret" in name or "token" in name)
        }


class Client:
    """DynamoDB in one region, for any number of threads; writes are never retried.

    Args:
        url: The store's: region and, perhaps, credentials.
        options: Of the URL.
    """

    def __init__(self, url: StoreURL, options: Options) -> None:
        self._url = url
        self._options = options
        self._closed = False
        self._begin()
        _ALIVE.add(self)

    def __repr__(self) -> str:
        return f"<Client of {self._url}>"

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._connected: _Connected | None = None

    @property
    def endpoint(self) -> str:
        """Where it sends its requests, for people. Raises what `call` does."""
        return str(self._connect().client.meta.endpoint_url)

    def secrets(self) -> frozenset[str]:
        """What no text may show, as it is and as a URL has it."""
        connected = self._connected
        found = set() if connected is None else connected.secrets()
        if self._url.password:
            found.add(self._url.password)
        return frozenset(found | {quote(secret, safe="") for secret in found})

    def call(
        self,
        operation: str,
        parameters: dict[str, Any],
        *,
        deadline: Deadline,
        writes: bool = False,
    ) -> dict[str, Any]:
        """One request, and DynamoDB's answer.

        Args:
            operation: As boto3 spells it, such as ``put_item``.
            parameters: As DynamoDB has them.
            deadline: The end of it.
            writes: It changes something, so that no answer is an unknown outcome.

        Raises:
            Timeout: The deadline had passed; nothing was sent.
            OutcomeUnknown: `writes`, and there was no answer.
            DiscfgError: See `discfg_dynamodb.errors`.
            Closed: This was closed.
        """
        self.check_open()
        if deadline.passed():
            raise out_of_time(operation)
        connected = self._connect()
        try:
            with connected.wire.until(deadline):
                answer: dict[str, Any] = getattr(connected.client, operation)(**parameters)
                return answer
        except Exception as error:  # noqa: BLE001 - whatever a library raises, it is judged there
            failure = error
        # Out here, where nothing chains by itself what quotes a secret.
        told = translate(failure, operation, writes=writes, secrets=self.secrets())
        raise told from harmless(failure, self.secrets())

    def ask(
        self, operation: str, parameters: dict[str, Any], *, deadline: Deadline
    ) -> dict[str, Any]:
        """A call that changes nothing, again while DynamoDB answers that it is busy, or failed.

        Raises:
            DiscfgError: As by `call`, and the last such answer at the deadline.
        """
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        told: StoreUnavailable | None = None
        while True:
            try:
                return self.call(operation, parameters, deadline=deadline)
            except DiscfgError as error:
                if told is not None and deadline.passed():
                    # What DynamoDB said tells more than that time was up for another answer.
                    raise told from told.__cause__
                if not isinstance(error, StoreUnavailable) or not _is_passing(error):
                    raise
                told = error
            backoff.pause(deadline)
            if deadline.passed():
                raise told from told.__cause__

    def check_open(self) -> None:
        """Raises `Closed` after `close`."""
        if self._closed:
            raise Closed("this store was closed")

    def _connect(self) -> _Connected:
        connected = self._connected
        if connected is not None:
            return connected
        with self._lock:
            self.check_open()
            if self._connected is None:
                self._connected = self._connect_anew()
            return self._connected

    def _connect_anew(self) -> _Connected:
        told: DiscfgError
        try:
            return _Connected(self._url, self._options)
        except ValueError as error:
            told = InvalidOption(
                f"boto3 cannot use {self._url}: {self._url.scrub(str(error))}",
                hint="check the region and endpoint_url",
            )
            failure: Exception = error
        except Exception as error:  # noqa: BLE001 - as in `call`
            told = translate(error, "connect", writes=False, secrets=self.secrets())
            failure = error
        raise told from harmless(failure, self.secrets())

    def after_fork(self) -> None:
        """In the child of a fork: the parent's sockets, and what its threads held, stay as they
        are; the next call connects anew.
        """
        if self._connected is not None:
            _KEPT.append(self._connected)
        self._begin()

    def close(self) -> None:
        """Closes its connections; idempotent. Those in use close when they are done."""
        self._closed = True
        connected, self._connected = self._connected, None
        if connected is not None:
            connected.wire.close()
            connected.client.close()


def _is_passing(error: StoreUnavailable) -> bool:
    """Whether DynamoDB itself answered that it is busy, or failed."""
    if isinstance(error, TableMissing | TableInUse):
        return False
    return error.retryable and isinstance(error.__cause__, ClientError)


# Of the parent of a fork: a connection that is collected is closed.
_KEPT: Final[list[_Connected]] = []


# --- what the client library logs -------------------------------------------------------------


class _NoSecrets(logging.Filter):
    """Masks credentials in what botocore logs: at DEBUG it logs whole requests, with a session's
    token among their headers.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for secret in _secrets():
            if secret in text:
                text = text.replace(secret, MASK)
                record.msg, record.args = text, ()
        return True


_ALIVE: Final[weakref.WeakSet[Client]] = weakref.WeakSet()


def _secrets() -> frozenset[str]:
    return frozenset[str]().union(*(client.secrets() for client in list(_ALIVE)))


logging.getLogger("botocore.auth").addFilter(_NoSecrets())
logging.getLogger("botocore.endpoint").addFilter(_NoSecrets())
