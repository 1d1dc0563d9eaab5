"""What each answer of S3 means: is it certain that nothing happened, and whose move is it now? The
one table of this store.

Certain is what S3 refuses before it carries it out: conditions, permissions, throttling. Unknown is
a server's own failure (5xx) and an answer that never came or cannot be read: a request that was
sent may be carried out at any later time. Who was never connected has sent nothing.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import botocore.exceptions as aws
import urllib3.exceptions as http
from urllib3.util.ssl_match_hostname import CertificateError

from discfg_core.errors import (
    AccessDenied,
    Closed,
    DiscfgError,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnsupportedStore,
)
from discfg_core.substrate import SwapConflict
from discfg_core.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from discfg_s3.place import Place


class Answer(Exception):
    """Raised when S3 answers by a status what is no failure; never leaves this package."""


class NotModified(Answer):
    """Raised when the object is still the one known."""


class Missing(Answer):
    """Raised when the object does not exist."""


class OutOfRange(Answer):
    """Raised when the object ends before the range begins."""


class _Meaning(NamedTuple):
    """What one code says.

    Attributes:
        error: The class it becomes.
        hint: What to do; ``None``: as the class says.
        retryable: Whether the same call may succeed later; ``None``: as the class says.
        certain: Whether a write surely did nothing.
    """

    error: type[StoreError]
    hint: str | None = None
    retryable: bool | None = None
    certain: bool = True


_KEYS: Final = (
    "check the access key and the secret key: those of the environment, the AWS configuration or "
    "this machine's role come before those of the URL"
)
_PERMISSIONS: Final = (
    "these credentials need s3:GetObject, s3:PutObject and s3:DeleteObject on the prefix and "
    "s3:ListBucket on the bucket; without s3:ListBucket S3 also answers so for what does not exist"
)
_EXPIRED: Final = "renew the session token, or log in again"
_CLOCK: Final = "set this machine's clock: S3 refuses what is signed more than 15 minutes off"
_REGION: Final = "give the bucket's region as the option region"
_NO_BUCKET: Final = (
    "create the bucket first, or check its name, the option endpoint_url and the account"
)
_THROTTLED: Final = (
    "fewer requests at once, or a longer timeout; see the option min_swap_interval for stores "
    "that take one write a second an object"
)

_NETWORK: Final = _Meaning(StoreUnavailable, "try again; if it stays so, look at the network")
_BUSY: Final = _Meaning(StoreBusy, _THROTTLED)
_CONTENDED: Final = _Meaning(StoreBusy)
_NO_REGION: Final = _Meaning(StoreUnavailable, _REGION, retryable=False)
_FULL: Final = _Meaning(StoreFull)
_FAILED: Final = _Meaning(
    StoreUnavailable, "try again; if it stays so, look at the server's health", certain=False
)
_NOT_IMPLEMENTED: Final = _Meaning(
    UnsupportedStore, "use a store that knows conditional writes, such as AWS S3"
)

MEANINGS: Final[Mapping[str, _Meaning]] = {
    # Who asks, and what they may.
    "AccessDenied": _Meaning(AccessDenied, _PERMISSIONS),
    "AllAccessDisabled": _Meaning(AccessDenied, _PERMISSIONS),
    "AccountProblem": _Meaning(AccessDenied, "look at the account's notices"),
    "NotSignedUp": _Meaning(AccessDenied, "sign the account up for S3"),
    "InvalidAccessKeyId": _Meaning(AccessDenied, _KEYS),
    "SignatureDoesNotMatch": _Meaning(AccessDenied, _KEYS),
    "InvalidToken": _Meaning(AccessDenied, _EXPIRED),
    "ExpiredToken": _Meaning(AccessDenied, _EXPIRED),
    "TokenRefreshRequired": _Meaning(AccessDenied, _EXPIRED),
    "RequestExpired": _Meaning(AccessDenied, _CLOCK),
    "RequestTimeTooSkewed": _Meaning(AccessDenied, _CLOCK),
    # What they ask for is not there, or elsewhere.
    "NoSuchBucket": _Meaning(StoreUnavailable, _NO_BUCKET, retryable=False),
    "InvalidBucketName": _Meaning(StoreUnavailable, _NO_BUCKET, retryable=False),
    "PermanentRedirect": _NO_REGION,
    "AuthorizationHeaderMalformed": _NO_REGION,
    "IllegalLocationConstraintException": _NO_REGION,
    "TemporaryRedirect": _NETWORK,
    # Somebody else writes the same object at this moment; neither has happened.
    "ConditionalRequestConflict": _CONTENDED,
    "OperationAborted": _CONTENDED,
    # Turned away at the door. MinIO's SlowDownWrite is not here: it says so, too, when a write
    # reached some of its disks.
    "SlowDown": _BUSY,
    "Throttling": _BUSY,
    "ThrottlingException": _BUSY,
    "TooManyRequests": _BUSY,
    "RequestLimitExceeded": _BUSY,
    # The request did not arrive as it was sent.
    "RequestTimeout": _NETWORK,
    "IncompleteBody": _NETWORK,
    "BadDigest": _NETWORK,
    "XAmzContentSHA256Mismatch": _NETWORK,
    # No room.
    "QuotaExceeded": _FULL,
    "InsufficientCapacity": _FULL,
    "XMinioStorageFull": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    # Not as large, long or conditional as that.
    "EntityTooLarge": _Meaning(StoreError, "S3 takes at most 5 GiB in one request"),
    "KeyTooLongError": _Meaning(StoreError, "use a shorter prefix"),
    "NotImplemented": _NOT_IMPLEMENTED,
    # The object went to an archive.
    "InvalidObjectState": _Meaning(
        StoreError, "restore the object, and take the prefix out of the bucket's lifecycle rules"
    ),
    # Failures of its own.
    "InternalError": _FAILED,
    "ServiceUnavailable": _FAILED,
    "SlowDownRead": _FAILED,
    "SlowDownWrite": _FAILED,
}
"""By S3's code."""

STATUSES: Final[Mapping[int, _Meaning]] = {
    301: _NO_REGION,
    307: _NETWORK,
    401: _Meaning(AccessDenied, _KEYS),
    403: _Meaning(AccessDenied, _PERMISSIONS),
    404: _Meaning(StoreUnavailable, _NO_BUCKET, retryable=False),
    408: _NETWORK,
    409: _CONTENDED,
    429: _BUSY,
    501: _NOT_IMPLEMENTED,
    507: _FULL,
}
"""By the status, for a code that the table does not know, and answers without one."""

_ANSWERS: Final[Mapping[str, type[Answer]]] = {
    "304": NotModified,
    "NoSuchKey": Missing,
    "InvalidRange": OutOfRange,
}
# The answer to HEAD has no body, and so no code. Of any other request a bare 404 is the word of
# something between, such as a proxy whose server is away, and says nothing of the object.
_ANSWERS_TO_HEAD: Final = {**_ANSWERS, "404": Missing, "416": OutOfRange}
_CONFLICTS: Final = {"PreconditionFailed", "412"}

# Before the request was sent: no address, no connection, no proxy, no trust.
_NEVER_SENT: Final = (http.NewConnectionError, http.ConnectTimeoutError, http.ProxyError)
# urllib3 has one class for all of TLS's errors, also for those of a connection that stood.
_NOT_TRUSTED: Final = (ssl.SSLCertVerificationError, CertificateError)
# What an answer may say of the credentials it was asked with, a session's token among it.
_TOLD: Final = frozenset(
    {"Code", "Message", "BucketName", "Key", "Region", "Endpoint", "RequestId"}
)


@contextmanager
def located(name: str) -> Iterator[None]:
    """Errors raised in it tell the config."""
    try:
        yield
    except DiscfgError as error:
        error.locate(engine="s3", config=name)
        raise


def translate(
    error: Exception,
    place: Place,
    endpoint: str,
    *,
    writing: bool,
    answers: bool,
    head: bool = False,
) -> Exception:
    """What to raise for an error of a request, with the error as its cause.

    Args:
        error: Of `Transport`, botocore or S3.
        place: The store.
        endpoint: Where it is asked.
        writing: The request changes something.
        answers: It is about one object, and may be answered by its absence.
        head: It is a HEAD.

    Returns:
        A `StoreError`, certain; `SwapConflict`; an `Answer`, if `answers`; or `OutcomeUnknown`,
        if `writing`.
    """
    if isinstance(error, DiscfgError):
        return error
    if isinstance(error, aws.ClientError):
        known = _ANSWERS_TO_HEAD if head else _ANSWERS if answers else {}
        return _from_answer(error, place, writing=writing, answers=known)
    if isinstance(error, http.HTTPError):
        return _from_network(error, place, endpoint, writing=writing)
    if isinstance(error, aws.BotoCoreError):
        return _from_client(error, place, writing=writing)
    return _unknown(f"{place}: {type(error).__name__}: {redact(str(error))}", writing=writing)


def lost(place: Place) -> StoreUnavailable:
    """The error for a server that sends every request to somewhere else."""
    return StoreUnavailable(
        f"{place}: the request was sent on again and again",
        engine="s3",
        hint=_REGION,
        retryable=False,
    )


def from_keys(place: Place, failed: list[Mapping[str, Any]]) -> DiscfgError:
    """What to raise for a deletion of several objects of which some `failed`; at least one."""
    code, message = failed[0].get("Code", ""), failed[0].get("Message", "")
    meaning = MEANINGS.get(code, _FAILED)
    return _build(
        meaning, f"{place}: {len(failed)} objects were not deleted, {code}: {message}", writing=True
    )


def _from_answer(
    error: aws.ClientError,
    place: Place,
    *,
    writing: bool,
    answers: Mapping[str, type[Answer]],
) -> Exception:
    response: Any = error.response
    # The cause is shown in tracebacks, and kept by those who report them.
    response["Error"] = {
        name: value for name, value in response.get("Error", {}).items() if name in _TOLD
    }
    code = str(response["Error"].get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in answers:
        return answers[code](code)
    if code in _CONFLICTS:
        return SwapConflict(engine="s3")
    meaning = MEANINGS.get(code) or STATUSES.get(status)
    if meaning is None:
        meaning = _FAILED if status >= 500 or status < 400 else _Meaning(StoreError)
    message = redact(str(response["Error"].get("Message", "")))
    region = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    if meaning is _NO_REGION and region:
        meaning = meaning._replace(hint=f"its region is {region}: give it as the option region")
    return _build(meaning, f"{place}: S3 answered {status} {code}: {message}", writing=writing)


def _from_network(
    error: http.HTTPError, place: Place, endpoint: str, *, writing: bool
) -> DiscfgError:
    text = f"{place}: {endpoint}: {redact(str(error))}"
    if isinstance(error, http.ClosedPoolError):
        return Closed("this store was closed", engine="s3")
    if isinstance(error, _NEVER_SENT):
        return StoreUnavailable(
            text, engine="s3", hint="check the address, the network, and that the server runs"
        )
    if isinstance(error, http.SSLError) and isinstance(error.args[0], _NOT_TRUSTED):
        return StoreUnavailable(
            text,
            engine="s3",
            retryable=False,
            hint="check the server's certificate, and the option ca for one of your own authority",
        )
    return _unknown(text, writing=writing)


def _from_client(error: aws.BotoCoreError, place: Place, *, writing: bool) -> DiscfgError:
    """Botocore's own errors: most are of what it looks up before it sends anything."""
    text = f"{place}: {redact(str(error))}"
    if isinstance(error, (aws.HTTPClientError, aws.IncompleteReadError)):
        return _unknown(text, writing=writing)
    if isinstance(error, aws.NoCredentialsError):
        return AccessDenied(
            f"{place}: there are no credentials",
            engine="s3",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or configure a profile or role",
        )
    if isinstance(error, aws.CredentialRetrievalError):
        return AccessDenied(text, engine="s3", hint="look at the role's or command's own log")
    if isinstance(
        error,
        (
            aws.PartialCredentialsError,
            aws.ProfileNotFound,
            aws.TokenRetrievalError,
            aws.UnauthorizedSSOTokenError,
            aws.SSOTokenLoadError,
        ),
    ):
        return AccessDenied(text, engine="s3", hint="check the AWS configuration, or log in again")
    return StoreError(text, engine="s3", hint="check the URL's options and the AWS configuration")


def _unknown(text: str, *, writing: bool) -> DiscfgError:
    return _build(_FAILED, text, writing=writing)


def _build(meaning: _Meaning, text: str, *, writing: bool) -> DiscfgError:
    if writing and not meaning.certain:
        return OutcomeUnknown(text, engine="s3")
    return meaning.error(text, engine="s3", hint=meaning.hint, retryable=meaning.retryable)
