"""What each error of DynamoDB's and of boto3's means: is it certain that nothing happened, and
whose move is it now? The one table of this store.

DynamoDB answers with a status and a code
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html). With
a status of 4xx it did nothing; with 5xx nobody knows. No answer at all is unknown as well, unless
the request never left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from botocore import exceptions as boto
from botocore.exceptions import ClientError

from discfg_core.errors import (
    AccessDenied,
    DiscfgError,
    InvalidOption,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    Timeout,
    UnsupportedStore,
)
from discfg_core.urls import MASK, redact
from discfg_dynamodb.wire import Distrusted, NotSent, TooLate


class TableMissing(StoreUnavailable):
    """Raised when there is no such table, or it cannot be used yet, or no longer."""


class TableInUse(StoreBusy):
    """Raised when a table is just being created, changed or deleted, or is protected."""


class ConditionFailed(StoreError):
    """Raised when a write's condition does not hold. Never leaves this package.

    Attributes:
        item: What stands there instead; ``None`` for nothing.
    """

    def __init__(self, message: str, item: Mapping[str, Any] | None) -> None:
        super().__init__(message)
        self.item = item


class _Meaning(NamedTuple):
    """What one code says.

    Attributes:
        error: The class it becomes.
        certain: Whether nothing was written.
        retryable: Whether the same call may succeed later; ``None``: as the class says.
        hint: What to do; ``None``: as the class says.
    """

    error: type[StoreError]
    certain: bool = True
    retryable: bool | None = None
    hint: str | None = None


_KEYS: Final = (
    "check the access key and its secret, and that this machine's clock is right; they come from "
    "boto3's own chain, such as AWS_ACCESS_KEY_ID, else from the URL"
)
_POLICY: Final = "the IAM policy that discfg needs is in the README of discfg-dynamodb"
_SLOWER: Final = (
    "the table gets more requests than its capacity takes: raise ReadCapacityUnits and "
    "WriteCapacityUnits in the config's settings, or leave them out for capacity on demand"
)
_QUOTA: Final = (
    "a quota of the account is used up, for which AWS can be asked: of tables, of changes to a "
    "table within a day, or of tables changed at once"
)
_AUTHORITIES: Final = (
    "check endpoint_url; the authorities it trusts are boto3's, or those in AWS_CA_BUNDLE"
)
_REGION: Final = "check the region in the URL, endpoint_url, and the network"

_BUSY: Final = _Meaning(StoreBusy, hint=_SLOWER)
_CREDENTIALS: Final = _Meaning(AccessDenied, hint=_KEYS)
_FAILURE: Final = _Meaning(StoreUnavailable, certain=False)

_MEANINGS: Final[dict[str, _Meaning]] = {
    # Throttled. The first is an item, a partition or a table; the others an account.
    "ProvisionedThroughputExceededException": _BUSY,
    "ThrottlingException": _BUSY,
    "Throttling": _BUSY,
    "ThrottledException": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "TooManyRequestsException": _BUSY,
    "SlowDown": _BUSY,
    "429": _BUSY,
    "LimitExceededException": _Meaning(StoreBusy, retryable=False, hint=_QUOTA),
    # Somebody else's write of the same item, in a transaction or another region, came first.
    "TransactionConflictException": _Meaning(StoreBusy),
    "ReplicatedWriteConflictException": _Meaning(StoreBusy),
    "ResourceNotFoundException": _Meaning(TableMissing),
    "TableNotFoundException": _Meaning(TableMissing),
    "ResourceInUseException": _Meaning(TableInUse),
    "TableInUseException": _Meaning(TableInUse),
    "AccessDeniedException": _Meaning(AccessDenied, hint=_POLICY),
    "AccessDenied": _Meaning(AccessDenied, hint=_POLICY),
    "OptInRequired": _Meaning(AccessDenied, hint="the account does not have this region on"),
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "IncompleteSignature": _CREDENTIALS,
    "IncompleteSignatureException": _CREDENTIALS,
    "MissingAuthenticationToken": _CREDENTIALS,
    "MissingAuthenticationTokenException": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "RequestExpired": _CREDENTIALS,
    "AuthFailure": _CREDENTIALS,
    "NotAuthorized": _CREDENTIALS,
    "KMSAccessDeniedException": _Meaning(
        AccessDenied, hint="the table's encryption key cannot be used: see it in AWS KMS"
    ),
    # The only statuses of 4xx that say that the server gave up waiting for the request.
    "RequestTimeout": _FAILURE,
    "RequestTimeoutException": _FAILURE,
    "408": _FAILURE,
}

# What the client library raises before anything is sent.
_UNSENT: Final[tuple[tuple[tuple[type[Exception], ...], type[DiscfgError], str], ...]] = (
    (
        (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError),
        AccessDenied,
        _KEYS,
    ),
    (
        (boto.SSOError, boto.TokenRetrievalError, boto.MetadataRetrievalError),
        AccessDenied,
        "log in again, such as by `aws sso login`",
    ),
    (
        (boto.ProfileNotFound, boto.ConfigParseError, boto.ConfigNotFound, boto.InvalidConfigError),
        InvalidOption,
        "look into ~/.aws/config, or give another ?profile=",
    ),
    (
        (boto.InvalidRegionError, boto.NoRegionError, boto.UnknownEndpointError),
        InvalidOption,
        "write dynamodb://us-east-1, and a whole URL for endpoint_url",
    ),
    # Requests to DynamoDB go over `discfg_dynamodb.wire`; these are for credentials.
    (
        (boto.HTTPClientError,),
        StoreUnavailable,
        "the service that gives this machine its credentials does not answer",
    ),
)


def translate(
    error: Exception, operation: str, *, writes: bool, secrets: Collection[str]
) -> DiscfgError:
    """What to raise for an error of boto3's; raise it ``from harmless(error, secrets)``.

    Args:
        error: From boto3, or from `discfg_dynamodb.wire`.
        operation: Of DynamoDB, such as ``put_item``.
        writes: It would have changed something.
        secrets: What must not be in the message.
    """
    if isinstance(error, ClientError):
        return _of_answer(error, operation, writes=writes, secrets=secrets)
    if isinstance(error, TooLate):
        return out_of_time(operation)
    text = _scrub(str(error), secrets)
    unsent = _of_unsent(error, text)
    if unsent is not None:
        return unsent
    if writes:
        return OutcomeUnknown(f"{operation} got no answer: {text}")
    return StoreUnavailable(f"{operation} got no answer: {text}")


def harmless(error: Exception, secrets: Collection[str]) -> Exception | None:
    """The error, to be chained; ``None`` if it, or what it came from, quotes a secret."""
    link: BaseException | None = error
    while link is not None:
        told = f"{link} {link!r} {getattr(link, 'response', '')}"
        if any(secret in told for secret in secrets):
            return None
        link = link.__cause__ or link.__context__
    return error


def certain(error: DiscfgError) -> DiscfgError:
    """An unknown outcome as an error for what may as well be repeated as not have happened."""
    if not isinstance(error, OutcomeUnknown):
        return error
    return StoreUnavailable(error.message)


def out_of_time(what: str) -> Timeout:
    """The error of a call whose deadline had passed before its request."""
    return Timeout(f"the deadline passed before {what}")


def _of_unsent(error: Exception, text: str) -> DiscfgError | None:
    """What to raise for what happened before the request left; ``None`` for anything else."""
    if isinstance(error, Distrusted):
        return StoreUnavailable(
            f"DynamoDB cannot be trusted: {text}", hint=_AUTHORITIES, retryable=False
        )
    if isinstance(error, NotSent):
        return StoreUnavailable(f"DynamoDB cannot be reached: {text}", hint=_REGION)
    for classes, raised, hint in _UNSENT:
        if isinstance(error, classes):
            return raised(f"boto3: {text}", hint=hint)
    return None


def _of_answer(
    error: ClientError, operation: str, *, writes: bool, secrets: Collection[str]
) -> DiscfgError:
    answer: Any = error.response
    code = answer.get("Error", {}).get("Code", "")
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    # A refused signature is explained over many lines, which quote the session's token.
    told = str(answer.get("Error", {}).get("Message", "")).partition("\n")[0]
    text = f"{operation}: {code}: {_scrub(told, secrets)}".removesuffix(": ")
    if code == "ConditionalCheckFailedException":
        return ConditionFailed(text, answer.get("Item"))
    if code == "ValidationException":
        return _of_validation(text, told)
    meaning = _MEANINGS.get(code)
    if meaning is None and code.isdigit() and status < 500:
        # DynamoDB's own answers bear a word: this is something else, or something between.
        return UnsupportedStore(
            f"{operation}: what answered {code} is no DynamoDB",
            hint="check endpoint_url, and what stands between",
        )
    if meaning is None:
        meaning = _FAILURE if status >= 500 or not status else _Meaning(StoreError, hint=_REGION)
    if writes and not meaning.certain:
        return OutcomeUnknown(text)
    retryable = meaning.retryable
    if "simultaneously" in told:
        retryable = True
    return meaning.error(text, hint=meaning.hint, retryable=retryable)


def _of_validation(text: str, told: str) -> DiscfgError:
    # One code for many things; their texts are the same since 2012, but for the emulators'.
    lowered = told.lower()
    if "key element" in lowered or "required keys" in lowered:
        return UnsupportedStore(
            text, hint="the table was not made by discfg; give another ?prefix="
        )
    if "protected against deletion" in lowered or "deletionprotectionenabled" in lowered:
        return TableInUse(text)
    if "equals the current value" in lowered or "already" in lowered:
        return TableInUse(text)
    return StoreError(text)


def _scrub(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return redact(text)
