"""Where everything lies: a bucket, and in it the keys of one store. A part of the stored format.

    <prefix>/_heads/<config>            a register: 16 random bytes, then the data
    <prefix>/_blobs/<config>/_<blob>    a blob, as it is
    <prefix>/_discfg/…                  what says that the bucket was tried, see `probe`

Registers lie together, so that listing them tells the configs and nothing else. No config's name
begins with an underscore: so no key of one store is ever a key of another, whatever the two
prefixes are. A blob's underscore keeps ``.`` and ``..`` from being one of a path's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from discfg_core.errors import FileUnreadable, InvalidOption, InvalidURL
from discfg_s3.profile import Options

if TYPE_CHECKING:
    from discfg_core.urls import StoreURL

# A key has at most 1,024 bytes; a config's name 128, a blob's 100.
_PREFIX_BYTES: Final = 512
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENDPOINT: Final = re.compile(r"https?://[^/?#@\s]+(/[^?#@\s]*)?")


class Place(msgspec.Struct, frozen=True):
    """A store's place.

    Attributes:
        bucket: The bucket.
        prefix: What every key begins with; empty, or ends with ``/``.
    """

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def heads(self) -> str:
        """What the key of every register begins with."""
        return f"{self.prefix}_heads/"

    def head(self, name: str) -> str:
        """The key of a config's register."""
        return f"{self.heads}{name}"

    def blobs(self, name: str) -> str:
        """What the key of every blob of a config begins with; the blob's name follows."""
        return f"{self.prefix}_blobs/{name}/_"

    def own(self, name: str) -> str:
        """The key of an object that belongs to no config."""
        return f"{self.prefix}_discfg/{name}"


class Target(msgspec.Struct, frozen=True):
    """All that a URL says. Its `repr` shows no secret.

    Attributes:
        place: Where.
        options: How.
        credentials: Access key and secret key, for when the environment has none. A secret.
    """

    place: Place
    options: Options
    credentials: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"<{self.place}>"

    def __rich_repr__(self) -> Any:
        # Rich would print every field of a struct, the credentials among them.
        yield str(self.place)


def understand(url: StoreURL) -> Target:
    """What the URL says.

    Raises:
        InvalidURL, InvalidOption, FileUnreadable: As for `discfg_s3.open_engine`.
    """
    options = url.options_as(Options)
    _check_options(options)
    if len(url.hosts) != 1 or url.hosts[0].port is not None:
        raise InvalidURL(
            f"{url} does not name one bucket",
            engine="s3",
            hint="write s3://bucket/prefix, and where the server is as the option endpoint_url",
        )
    bucket = url.hosts[0].host
    if not _BUCKET.fullmatch(bucket):
        raise InvalidURL(
            f"{bucket!r} is no bucket's name",
            engine="s3",
            hint="it has 3 to 63 of a-z 0-9 . - and begins and ends with a letter or digit",
        )
    if (url.user is None) != (url.password is None):
        raise InvalidURL(
            f"{url} has half of a pair of keys",
            engine="s3",
            hint="write s3://ACCESS_KEY:SECRET_KEY@bucket/prefix, with %2F for each / in them",
        )
    credentials = None
    if url.user is not None and url.password is not None:
        credentials = (url.user, url.password)
    return Target(Place(bucket, _prefix(url)), options, credentials)


def _prefix(url: StoreURL) -> str:
    prefix = url.path.removesuffix("/")
    if not prefix:
        return ""
    if any(segment in ("", ".", "..") for segment in prefix.split("/")):
        raise InvalidURL(
            f"{url} has a prefix with an empty part, or one of dots",
            engine="s3",
            hint="write it like s3://bucket/team/app",
        )
    if len(prefix.encode()) > _PREFIX_BYTES:
        raise InvalidURL(
            f"{url} has a prefix of more than {_PREFIX_BYTES} bytes",
            engine="s3",
            hint="S3's keys have at most 1,024 bytes, and the names of configs and blobs follow",
        )
    return f"{prefix}/"


def _check_options(options: Options) -> None:
    for name, value in msgspec.structs.asdict(options).items():
        if value == "":
            raise InvalidOption(
                f"the option {name} is empty", engine="s3", hint="give it a value, or leave it out"
            )
    if options.endpoint_url is not None and not _ENDPOINT.fullmatch(options.endpoint_url):
        # Not quoted: it may hold a password.
        raise InvalidOption(
            "the option endpoint_url is no server's address",
            engine="s3",
            hint="write it like https://s3.example.com:9000, without user, password and query",
        )
    if options.ca is not None:
        _check_readable(options.ca)


def _check_readable(path: str) -> None:
    try:
        with open(path, "rb"):  # noqa: PTH123 - only whether it can be opened
            pass
    except OSError as error:
        raise FileUnreadable(
            f"the file of the option ca, {path}, cannot be read: {error.strerror}", engine="s3"
        ) from error
