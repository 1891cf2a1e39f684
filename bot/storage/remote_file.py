"""A content of a bucket as a file that reads what is asked of it, and no more.

For contents too large to be waited for. What breaks off is taken up again where it
stood; what was read from the beginning is checked before its last bytes are given out.
"""

from __future__ import annotations

import hashlib
import io
import time
from typing import TYPE_CHECKING, Any

from bot.storage.content_cache import WrongContent
from bot.storage.store import StoreFault

if TYPE_CHECKING:
    from bot.storage.bucket import Bucket

_ATTEMPTS = 5


class RemoteFile(io.RawIOBase):
    """`stream` is the content from its beginning, opened already."""

    def __init__(self, bucket: Bucket, key: str, digest: str, size: int, stream: Any) -> None:
        super().__init__()
        self._bucket = bucket
        self._key = key
        self._digest = digest
        self._size = size
        self._stream = stream
        self._position = 0
        self._hasher: Any = hashlib.sha256()  # None: not all was read from the beginning

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        target = max(start + offset, 0)
        if target != self._position:
            self._drop()
            self._hasher = None
            self._position = target
        return target

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        chunk = self._read(wanted)
        self._position += len(chunk)
        if self._hasher is not None:
            self._hasher.update(chunk)
            if self._position == self._size and self._hasher.hexdigest() != self._digest:
                raise WrongContent(self._digest)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._drop()
        super().close()

    def _read(self, wanted: int) -> bytes:
        for attempt in range(_ATTEMPTS):
            try:
                if self._stream is None:
                    self._stream, _ = self._bucket.stream(self._key, self._position)
                chunk: bytes = self._stream.read(wanted)
                if chunk:
                    return chunk
            except FileNotFoundError:
                raise StoreFault(f"The store has lost {self._key}.") from None
            except StoreFault:
                raise  # repeated already
            except Exception as error:  # whatever the connection's layers make of a failure
                if attempt == _ATTEMPTS - 1:
                    raise StoreFault(f"The store broke off {self._key}: {error}") from error
            self._drop()
            time.sleep(0.05 * 2**attempt)
        raise StoreFault(f"The store broke off {self._key}.")

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
