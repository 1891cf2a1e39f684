"""One S3 bucket, as the store needs it: whole objects by key, with retries and clear faults.

It speaks what all servers of that kind have in common (AWS, MinIO, Ceph, R2). What an
object means is `bot.storage.s3`'s affair.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.exceptions import HTTPClientError as ConnectionFailed

from bot.errors import InvalidSetting
from bot.storage.store import StoreFault

CONNECTIONS = 32
# Larger objects go up in parts, several at a time, read from the disk as they go.
_PART = 8 << 20
_TRANSFER = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=4)
_ATTEMPTS = 6
_NOT_THERE = {"404", "NoSuchKey", "NotFound"}
_AT_ONCE = 1000  # objects that one request may delete


@dataclass(frozen=True, slots=True)
class Listed:
    """An object: its size in bytes, its age in seconds by the server's own clock."""

    key: str
    size: int
    age: float
    etag: str


@dataclass(frozen=True, slots=True)
class Location:
    """What a `STORAGE_URL` says. Empty: what the standard AWS settings say."""

    bucket: str
    prefix: str
    endpoint: str | None
    region: str | None


def parse_location(url: str) -> Location:
    """`s3://bucket/prefix?endpoint=https://host&region=name`. Raises `InvalidSetting`."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - {"endpoint", "region"}:
        raise InvalidSetting("STORAGE_URL", f"does not know {min(unknown)!r}", _FORM)
    if not parts.netloc or "@" in parts.netloc:
        raise InvalidSetting("STORAGE_URL", "must name a bucket, and no password", _FORM)
    endpoint = options.get("endpoint") or None
    if endpoint and urlsplit(endpoint).scheme not in {"http", "https"}:
        raise InvalidSetting("STORAGE_URL", "has an endpoint that is no address", _FORM)
    prefix = parts.path.strip("/")
    return Location(
        parts.netloc, f"{prefix}/" if prefix else "", endpoint, options.get("region") or None
    )


_FORM = "Use s3://bucket/prefix?endpoint=https://host&region=name."


class Bucket:
    """Keys are relative to the location's prefix. Safe for many threads, and after a fork.

    What the server does not answer, or refuses, is a `StoreFault`, after some attempts
    with growing pauses; what is not there is a `FileNotFoundError`.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._lock = threading.Lock()
        self._made: Any = None
        self._process = 0

    def get(self, key: str) -> bytes:
        """An object's whole content: for small ones."""
        for attempt in range(_ATTEMPTS):
            with _faults(key):
                response = self._client().get_object(**self._named(key))
                try:
                    content: bytes = response["Body"].read()
                    return content
                except (BotoCoreError, OSError):
                    # The answer broke off; what was asked for by itself is repeated already.
                    if attempt == _ATTEMPTS - 1:
                        raise
            time.sleep(0.05 * 2**attempt)
        raise AssertionError

    def stream(self, key: str, first: int = 0) -> tuple[Any, int]:
        """An object's content from its byte `first` on, and how many bytes that is.

        The content has `read` and `close`, and may break off: that is for the caller to mend.
        """
        range_ = {"Range": f"bytes={first}-"} if first else {}
        with _faults(key):
            response = self._client().get_object(**self._named(key), **range_)
        return response["Body"], int(response["ContentLength"])

    def head(self, key: str) -> Listed | None:
        """What is known of an object; `None`: there is none."""
        try:
            with _faults(key):
                found = self._client().head_object(**self._named(key))
        except FileNotFoundError:
            return None
        age = _age(found["LastModified"], found)
        return Listed(key, int(found["ContentLength"]), age, found["ETag"])

    def put(self, key: str, content: bytes, sha256: str = "") -> None:
        """Write an object, whole or not at all; the server checks the digest (hex), if given."""
        with _faults(key):
            self._client().put_object(**self._named(key), Body=content, **_checked(sha256))

    def put_path(self, key: str, path: Path, size: int, sha256: str) -> None:
        """Write an object from a file, never holding more than a part of it in memory."""
        client = self._client()
        with _faults(key):
            if size < _PART:
                with path.open("rb") as file:
                    client.put_object(
                        **self._named(key), Body=file, ContentLength=size, **_checked(sha256)
                    )
            else:
                named = self._named(key)
                client.upload_file(
                    str(path), named["Bucket"], named["Key"],
                    ExtraArgs={"ChecksumAlgorithm": "SHA256"}, Config=_TRANSFER,
                )  # fmt: skip

    def renew(self, key: str) -> None:
        """Make an object young again, without sending it. Raises `FileNotFoundError`."""
        named = self._named(key)
        with _faults(key):
            self._client().copy_object(**named, CopySource=named, MetadataDirective="REPLACE")

    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects whose key begins so, by name; a page at a time."""
        start = self._location.prefix
        pages = self._client().get_paginator("list_objects_v2")
        with _faults(prefix):
            for page in pages.paginate(Bucket=self._location.bucket, Prefix=start + prefix):
                for found in page.get("Contents", ()):
                    yield Listed(
                        key=found["Key"][len(start) :],
                        size=int(found["Size"]),
                        age=_age(found["LastModified"], page),
                        etag=found["ETag"],
                    )

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are no fault."""
        client = self._client()
        for number in range(0, len(keys), _AT_ONCE):
            some = keys[number : number + _AT_ONCE]
            with _faults(some[0]):
                if len(some) == 1:
                    client.delete_object(**self._named(some[0]))
                    continue
                objects = [{"Key": self._location.prefix + key} for key in some]
                answer = client.delete_objects(
                    Bucket=self._location.bucket, Delete={"Objects": objects, "Quiet": True}
                )
                if errors := answer.get("Errors"):
                    raise StoreFault(f"The store kept {len(errors)} objects: {errors[0]['Code']}.")

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._location.bucket, "Key": self._location.prefix + key}

    def _client(self) -> Any:
        # Connections must not be carried over a fork.
        if self._process != os.getpid():
            with self._lock:
                if self._process != os.getpid():
                    self._made = self._create()
                    self._process = os.getpid()
        return self._made

    def _create(self) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=3,
            read_timeout=10,
            max_pool_connections=CONNECTIONS,
            # Servers of other makers need not know the newest checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # A bucket's name is part of the path where servers have no name for each.
            s3={"addressing_style": "path"} if self._location.endpoint else {},
        )
        try:
            return boto3.session.Session().client(
                "s3",
                endpoint_url=self._location.endpoint,
                region_name=self._location.region,
                config=config,
            )
        except (BotoCoreError, ValueError) as error:
            raise InvalidSetting("STORAGE_URL", f"cannot be used: {error}", _FORM) from None


def _checked(sha256: str) -> dict[str, str]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html"""
    if not sha256:
        return {}
    return {"ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()}


def _age(modified: datetime, response: dict[str, Any]) -> float:
    """Seconds between two moments of the server's, whatever this machine's clock says."""
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return (now - modified).total_seconds()


@contextmanager
def _faults(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _NOT_THERE:
            raise FileNotFoundError(key) from None
        raise StoreFault(f"The store refused {key}: {error}") from error
    except (BotoCoreError, ConnectionFailed, boto3.exceptions.Boto3Error, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise StoreFault(f"The store cannot be reached for {key}: {error}") from error
