"""botocore's client of S3: made when first used, once a process, and asked with a deadline."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final

from discfg_core.errors import Closed, StoreUnavailable, Timeout
from discfg_s3._version import __version__
from discfg_s3.discretion import keep_out_of_logs
from discfg_s3.parallel import Parallel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discfg_core.clock import Deadline
    from discfg_s3.place import Target
    from discfg_s3.transport import Transport

PATIENCE: Final = 5.0
"""Seconds without a sign of life after which a small request is given up."""

# What botocore itself asks for credentials, of a role's or a login's server.
_LOOKUP_SECONDS: Final = 5.0
_DEFAULT_REGION: Final = "us-east-1"

# The request, the question where the bucket is, the request there.
_SENDS: Final = 4

_OF_OBJECTS: Final = frozenset({"get_object", "head_object"})

# S3's description, parsed: a tenth of a second for the first client of a process.
_loaders: Final[list[object]] = []

# What a parent's connections hang on, kept in its children: nothing there ever touches them.
_INHERITED: Final[list[object]] = []


def etag(answer: Mapping[str, Any]) -> str:
    """The object's ETag, without its quotes; empty: whoever answered was no S3."""
    return str(answer.get("ETag", "")).removeprefix("W/").strip('"')


def quoted(tag: str) -> str:
    """An ETag as a condition's header has it."""
    return f'"{tag}"'


class _Parts:
    """What belongs to one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.parallel = Parallel()
        self.sender: _Sender | None = None


class Client:
    """Requests to one bucket; for any number of threads. Nothing happens before the first.

    Args:
        target: The store.
    """

    def __init__(self, target: Target) -> None:
        self.target: Final = target
        self._closed = False
        self._parts = _Parts()

    @property
    def parallel(self) -> Parallel:
        """For several requests at once."""
        return self._parts.parallel

    @property
    def endpoint(self) -> str:
        """Where the bucket is asked; it must have been."""
        sender = self._parts.sender
        return "" if sender is None else sender.endpoint

    def check_open(self) -> None:
        """Raises `Closed` after `close`."""
        if self._closed:
            raise Closed("this store was closed", engine="s3")

    def ask(
        self, operation: str, *, deadline: Deadline, patience: float = PATIENCE, **parameters: Any
    ) -> dict[str, Any]:
        """S3's answer to a request that changes nothing, sent once.

        Args:
            operation: A method of botocore's client, such as ``"get_object"``.
            deadline: The end of it.
            patience: Seconds without a sign of life until it is given up before the deadline.
            parameters: Those of the method, without the bucket.

        Raises:
            StoreError, Timeout, Closed: As `Substrate` says.
            Answer: See `errors`.
        """
        return self._call(operation, deadline, patience, parameters, writing=False)

    def change(
        self, operation: str, *, deadline: Deadline, patience: float = PATIENCE, **parameters: Any
    ) -> dict[str, Any]:
        """S3's answer to a request that changes something, sent once; arguments as for `ask`.

        Raises:
            OutcomeUnknown: It may have happened, or happen later.
            SwapConflict: A condition did not hold.
            StoreError, Timeout, Closed: Nothing happened.
            Answer: See `errors`; nothing happened.
        """
        return self._call(operation, deadline, patience, parameters, writing=True)

    def _call(
        self,
        operation: str,
        deadline: Deadline,
        patience: float,
        parameters: dict[str, Any],
        *,
        writing: bool,
    ) -> dict[str, Any]:
        self.check_open()
        if deadline.passed():
            raise Timeout("the deadline had passed", engine="s3")
        from discfg_s3.errors import translate  # noqa: PLC0415 - imports botocore

        endpoint = self.target.options.endpoint_url or "AWS"
        sending = False
        try:
            sender = self._sender(deadline)
            endpoint, sending = sender.endpoint, True
            answer = sender.call(operation, deadline, patience, parameters)
            if writing:
                # Whatever comes after it: this was acknowledged.
                return answer
            # Here, so that what fails in it is translated, too.
            body = answer.get("Body")
            return answer if body is None else {**answer, "Body": body.read()}
        except Exception as error:
            meaning = translate(
                error,
                self.target.place,
                endpoint,
                writing=writing and sending,
                answers=operation in _OF_OBJECTS or "IfMatch" in parameters,
                head=operation == "head_object",
            )
            if meaning is error:
                raise
            raise meaning from error

    def _sender(self, deadline: Deadline) -> _Sender:
        parts = self._parts
        if parts.sender is not None:
            return parts.sender
        if not parts.lock.acquire(timeout=min(deadline.remaining(), threading.TIMEOUT_MAX)):
            raise StoreUnavailable("the credentials were still being looked for", engine="s3")
        try:
            if parts.sender is None:
                parts.sender = _Sender(self.target)
                if self._closed:
                    # Meanwhile, and unseen there.
                    parts.sender.close()
            return parts.sender
        finally:
            parts.lock.release()

    def after_fork(self) -> None:
        """In the child of a fork: begin anew, and leave the parent's connections alone."""
        _INHERITED.append(self._parts)
        self._parts = _Parts()

    def close(self) -> None:
        """Close all; idempotent. Requests in other threads end first, or fail."""
        self._closed = True
        self._parts.parallel.close()
        if self._parts.sender is not None:
            self._parts.sender.close()


class _Sender:
    """botocore's client, its sending replaced by `Transport`.

    Args:
        target: The store.

    Raises:
        botocore.exceptions.BotoCoreError: The AWS configuration cannot be used.
    """

    def __init__(self, target: Target) -> None:
        from discfg_s3.transport import Transport  # noqa: PLC0415 - imports botocore

        self._place = target.place
        self._client, ca = _make_client(target)
        keep_out_of_logs()
        self._transport: Transport = Transport(ca)
        self._now = threading.local()
        self.endpoint: str = self._client.meta.endpoint_url
        self._client.meta.events.register("before-send.s3", self._send)
        self._client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)

    def call(
        self, operation: str, deadline: Deadline, patience: float, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """The answer to one request. Raises what `errors.translate` takes."""
        self._now.limits = (deadline, patience)
        self._now.sent = 0
        answer: dict[str, Any] = getattr(self._client, operation)(
            Bucket=self._place.bucket, **parameters
        )
        return answer

    def _send(self, request: Any, **_: Any) -> Any:
        from discfg_s3.errors import lost  # noqa: PLC0415 - imports botocore

        # botocore calls this in the thread that called it; again, where the bucket is in another
        # region, and without an end where it is not told in which.
        deadline, patience = self._now.limits
        self._now.sent += 1
        if self._now.sent > _SENDS:
            raise lost(self._place)
        return self._transport.send(request, deadline, patience)

    def close(self) -> None:
        """Close all connections that are idle, and keep none that is not."""
        self._transport.close()
        self._client.close()


def _make_client(target: Target) -> tuple[Any, str | None]:
    """A client of botocore's, and the file of the authorities to trust, if one is configured."""
    from botocore.config import Config  # noqa: PLC0415 - a quarter of a second
    from botocore.session import Session  # noqa: PLC0415 - as above

    options = target.options
    session = Session(profile=options.profile)
    if _loaders:
        session.register_component("data_loader", _loaders[0])
    session.set_default_client_config(
        Config(
            connect_timeout=_LOOKUP_SECONDS,
            read_timeout=_LOOKUP_SECONDS,
            retries={"total_max_attempts": 2, "mode": "standard"},
        )
    )
    if target.credentials is not None:
        # A machine's role is what all on it may; a URL's credentials are meant for this store.
        session.get_component("credential_provider").remove("iam-role")
        if session.get_credentials() is None:
            session.set_credentials(*target.credentials)
    region = options.region or session.get_config_variable("region") or _DEFAULT_REGION
    addressing = options.addressing or ("path" if options.endpoint_url else None)
    client: Any = session.create_client(
        "s3",
        region_name=region,
        endpoint_url=options.endpoint_url,
        config=Config(
            # A library that repeats a conditional write takes its own success for a conflict.
            retries={"total_max_attempts": 1, "mode": "standard"},
            # Other stores refuse checksums they do not know; the request's signature has one.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent_extra=f"discfg-s3/{__version__}",
            s3=None if addressing is None else {"addressing_style": addressing},
        ),
    )
    _loaders[:] = [session.get_component("data_loader")]
    return client, options.ca or session.get_config_variable("ca_bundle")


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    # S3 wants a checksum on this request, and stores older than its new ones want this one.
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
