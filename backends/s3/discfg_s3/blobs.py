"""Blobs: an object each, read in ranges, several at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from discfg_core.errors import Corrupt, OutcomeUnknown, StoreUnavailable
from discfg_core.substrate import BlobInfo
from discfg_s3 import errors
from discfg_s3.client import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from discfg_core.clock import Deadline
    from discfg_core.substrate import BlobRange
    from discfg_s3.client import Client

# What S3 takes in one request.
_DELETE_BATCH: Final = 1000

# How much longer than a small one a request may take: a slow line, a slow store.
_BYTES_A_SECOND: Final = 64 * 1024
_DELETIONS_A_SECOND: Final = 50
_LIST_PATIENCE: Final = 15.0


class Blobs:
    """The blobs of a store's configs.

    Args:
        client: Of the store.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._place = client.target.place

    def get(self, name: str, wanted: Sequence[BlobRange], deadline: Deadline) -> list[bytes | None]:
        """As `Substrate.get_blobs`, a request each."""
        return self._client.parallel.run(
            [partial(self._get, name, part, deadline) for part in wanted], deadline
        )

    def _get(self, name: str, part: BlobRange, deadline: Deadline) -> bytes | None:
        key = self._place.blobs(name) + part.blob
        try:
            if part.length == 0:
                self._client.ask("head_object", deadline=deadline, Key=key)
                return b""
            return self._read(key, part, deadline)
        except errors.Missing:
            return None
        except errors.OutOfRange:
            return b""

    def _read(self, key: str, part: BlobRange, deadline: Deadline) -> bytes:
        end = None if part.length is None else part.start + part.length
        if part.start == 0 and end is None:
            answer = self._client.ask("get_object", deadline=deadline, Key=key)
        else:
            # The last byte is the range's, too.
            text = f"bytes={part.start}-{'' if end is None else end - 1}"
            answer = self._client.ask("get_object", deadline=deadline, Key=key, Range=text)
            if answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                # A server may answer with all of it.
                whole: bytes = answer["Body"]
                return whole[part.start : end]
        data: bytes = answer["Body"]
        return data

    def put(self, name: str, blob: str, data: bytes, deadline: Deadline) -> None:
        """As `Substrate.put_blob`."""
        self._client.change(
            "put_object",
            deadline=deadline,
            patience=PATIENCE + len(data) / _BYTES_A_SECOND,
            Key=self._place.blobs(name) + blob,
            Body=data,
            ContentType="application/octet-stream",
        )

    def put_all(self, name: str, blobs: Mapping[str, bytes], deadline: Deadline) -> None:
        """All of these are durable when it returns.

        Raises:
            StoreError, Timeout: Some may be there.
        """
        try:
            self._client.parallel.run(
                [partial(self.put, name, blob, data, deadline) for blob, data in blobs.items()],
                deadline,
            )
        except OutcomeUnknown as error:
            raise StoreUnavailable(
                "a blob could not be written before the swap", engine="s3"
            ) from error

    def delete(self, name: str, blobs: Sequence[str], deadline: Deadline) -> None:
        """As `Substrate.delete_blobs`, a thousand a request."""
        for start in range(0, len(blobs), _DELETE_BATCH):
            batch = dict.fromkeys(blobs[start : start + _DELETE_BATCH])
            prefix = self._place.blobs(name)
            answer = self._client.change(
                "delete_objects",
                deadline=deadline,
                patience=PATIENCE + len(batch) / _DELETIONS_A_SECOND,
                Delete={"Quiet": True, "Objects": [{"Key": prefix + blob} for blob in batch]},
            )
            failed = [each for each in answer.get("Errors", []) if each.get("Code") != "NoSuchKey"]
            if failed:
                raise errors.from_keys(self._place, failed)

    def list(self, name: str, deadline: Deadline) -> Iterator[BlobInfo]:
        """As `Substrate.list_blobs`, sorted, a thousand a request."""
        prefix = self._place.blobs(name)
        for key, size in list_keys(self._client, prefix, deadline):
            yield BlobInfo(key.removeprefix(prefix), size)


def list_keys(client: Client, prefix: str, deadline: Deadline) -> Iterator[tuple[str, int]]:
    """Keys and sizes of the objects whose key is the prefix and more without a ``/``.

    Raises:
        StoreError, Timeout, Closed: They cannot be listed now.
    """
    more: dict[str, str] = {}
    while True:
        page = client.ask(
            "list_objects_v2",
            deadline=deadline,
            patience=_LIST_PATIENCE,
            Prefix=prefix,
            Delimiter="/",
            **more,
        )
        for item in page.get("Contents", []):
            # SeaweedFS and others list a directory's own marker.
            if item["Key"] != prefix:
                yield item["Key"], item["Size"]
        if not page.get("IsTruncated"):
            return
        token = page.get("NextContinuationToken")
        if not token or token == more.get("ContinuationToken"):
            raise Corrupt(f"{client.target.place}: a list of objects does not go on", engine="s3")
        more = {"ContinuationToken": token}
