"""``s3://bucket/prefix``: a store in a bucket of S3, on AWS or on any store whose conditional
writes are atomic.

An acknowledged commit is an object that the store has acknowledged. Every read asks the store, and
S3's reads see each write acknowledged before them
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel).

Commits are conditional writes
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). A store is not
believed to have them: before the first config is created under a prefix, racing writes are tried,
and a store that lets two win is refused.

All objects lie under the prefix: stores with different prefixes share a bucket and see nothing of
each other, also where one prefix begins like another or lies within it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discfg_core.engine import StorageEngine, engine_factory
from discfg_s3._version import __version__
from discfg_s3.profile import PROFILE

if TYPE_CHECKING:
    from discfg_core.urls import StoreURL

__all__ = ["__version__", "open_engine"]


@engine_factory(PROFILE)
def open_engine(url: StoreURL) -> StorageEngine:
    """The engine of ``s3://[access_key:secret_key@]bucket[/prefix]``.

    Nothing is sent yet, nor are credentials looked for. They come from where AWS's own clients
    take them, and where there are none, from the URL.

    Raises:
        InvalidURL: It has no bucket, or one that cannot be; a prefix that cannot be one; a user
            without a password.
        InvalidOption: An option is unknown, or its value not one.
        FileUnreadable: The file of `ca` cannot be read.
    """
    # Here, so that the list of engines does not wait for them.
    from discfg_core.versioned import VersionedEngine  # noqa: PLC0415 - see above
    from discfg_s3.substrate import S3Substrate  # noqa: PLC0415 - see above

    return VersionedEngine(S3Substrate(url))
