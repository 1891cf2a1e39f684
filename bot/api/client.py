"""A client of the API, for the command line and for scripts: plain HTTP, few imports.

It sends what is missing and follows what is being built. It is not in charge of what
is shown to people, nor of where its token is kept.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote, urlencode, urlsplit

from bot.api.folder import Digests, digests_of
from bot.errors import SystemFault, UserError

_CHUNK = 1 << 18
_CUT_OFF = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
_SENDERS = 6
_FEW = 64
_OVER_ONE = 4
_JSON = {"Content-Type": "application/json"}
_SECONDS = 60.0
# Once more for what another upload's clean-up took away between asking and sending.
_ROUNDS = 3

Progress = Callable[[int, int], None]
Body = bytes | IO[bytes] | Iterable[bytes] | None


class Refused(UserError):
    """The API's answer is a problem; `status` is the HTTP status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(
            str(problem.get("code", "refused")),
            str(problem.get("title", f"The host answered {status}.")),
            str(problem.get("hint", "")),
        )
        self.status = status
        self.problem = problem


@dataclass(frozen=True)
class Choice:
    """How something is to be deployed. An empty project: named after what is sent."""

    project: str = ""
    ref: str = ""
    production: bool = False

    def fields(self) -> dict[str, Any]:
        return {"project": self.project, "ref": self.ref, "production": self.production}


@dataclass
class Client:
    """One host and token. Safe to use from several threads."""

    url: str
    token: str = ""
    cache: Path | None = None
    _idle: list[http.client.HTTPConnection] = field(default_factory=list, repr=False)

    def get(self, path: str, **query: object) -> Any:
        """`data` and `next` of a list, `data` of one thing. Raises `Refused`, `SystemFault`."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return self.request("GET", f"/api/v1/{path}" + (f"?{urlencode(given)}" if given else ""))

    def every(self, path: str, **query: object) -> list[Any]:
        """All of a list, page by page. Raises `Refused`, `SystemFault`."""
        found: list[Any] = []
        cursor = ""
        while True:
            page = self.get(path, limit=100, cursor=cursor, **query)
            found += page["data"]
            cursor = page["next"]
            if not cursor:
                return found

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """A change, as JSON. Raises `Refused`, `SystemFault`."""
        headers = _JSON if body is not None else {}
        content = json.dumps(body).encode() if body is not None else None
        return self.request(method, f"/api/v1/{path}", content, headers)

    def deploy_folder(
        self, folder: Path, choice: Choice, progress: Progress = lambda _done, _of: None
    ) -> Any:
        """Deploy a folder; only contents that the host lacks are sent.

        `progress` is told how many of how many. Raises `UserError`, `SystemFault`.
        """
        digests = digests_of(folder, self.cache)
        remembering = threading.Thread(target=digests.remember)
        remembering.start()
        try:
            return self._deploy_digests(folder, digests, choice, progress)
        finally:
            remembering.join()

    def _deploy_digests(
        self, folder: Path, digests: Digests, choice: Choice, progress: Progress
    ) -> Any:
        content = json.dumps({"files": digests.files} | choice.fields()).encode()
        if 0 < len(digests.fresh) <= _FEW:
            # Most likely the host has all but these: that saves asking.
            self._send_contents(folder, digests.files, digests.fresh, progress)
        for _ in range(_ROUNDS):
            try:
                return self.request("POST", "/api/v1/deployments", content, _JSON)
            except Refused as refused:
                if refused.code != "files-missing":
                    raise
                self._send_contents(folder, digests.files, refused.problem["missing"], progress)
        raise SystemFault("upload-incomplete", "The host forgets contents as they are sent.")

    def deploy_archive(
        self, archive: Path, choice: Choice, progress: Progress = lambda _done, _of: None
    ) -> Any:
        """Deploy a zip, tar.gz or tar.zst file. Raises `UserError`, `SystemFault`.

        `progress` is told how many of how many bytes.
        """
        fields = {name: value for name, value in choice.fields().items() if value}
        query = urlencode(fields | {"name": archive.name})
        try:
            with archive.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                headers = {
                    # What it is, is told by its content.
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(size),
                }
                watched = cast(IO[bytes], _Watched(file, size, progress))
                return self.request("POST", f"/deploy?{query}", watched, headers)
        except OSError as error:
            raise UserError("archive-unreadable", f"{archive}: {error.strerror}.") from None

    def deploy_repository(self, url: str, choice: Choice) -> Any:
        """Have the host fetch a repository. Raises `UserError`, `SystemFault`."""
        body = json.dumps({"github_url": url} | choice.fields()).encode()
        return self.request("POST", "/deploy", body, _JSON)

    def log(self, build_id: str) -> str:
        """A build's log as it is now. Raises `Refused`, `SystemFault`."""
        path = f"/api/v1/builds/{quote(build_id, safe='')}/log"
        with self._asked("GET", path, None, {"Accept": "text/plain"}) as answer:
            if answer.status != 200:
                self._content(answer)
            return answer.read().decode(errors="replace")

    def follow(self, build_id: str) -> Iterator[str]:
        """The lines of a build's log as they are written, until it ends.

        Raises `Refused`, and `SystemFault` where the host cannot be reached (again).
        """
        path = f"/api/v1/builds/{quote(build_id)}/log"
        headers = {"Accept": "text/event-stream"}
        while True:
            with self._asked("GET", path, None, headers) as answer:
                if answer.status != 200:
                    self._content(answer)
                try:
                    for event, data, place in _events(answer):
                        if event == "end":
                            return
                        yield data
                        headers["Last-Event-ID"] = place
                except (OSError, http.client.HTTPException):
                    continue  # cut off: the next round goes on from where this one was

    def request(
        self, method: str, path: str, body: Body = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """One request; answers the JSON. Raises `Refused`, `SystemFault`."""
        with self._asked(method, path, body, headers or {}) as answer:
            return self._content(answer)

    def close(self) -> None:
        """Close what connections are kept. The client can still be used."""
        while self._idle:
            self._idle.pop().close()

    def _send_contents(
        self,
        folder: Path,
        files: Mapping[str, str],
        missing: Sequence[str],
        progress: Progress,
    ) -> None:
        paths = {digest: path for path, digest in files.items()}
        done = 0
        lock = threading.Lock()

        def send(digest: str) -> None:
            nonlocal done
            with (folder / paths[digest]).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                self.request(
                    "PUT", f"/api/v1/contents/{digest}", file, {"Content-Length": str(size)}
                )
            with lock:
                done += 1
                progress(done, len(missing))

        progress(0, len(missing))
        if len(missing) <= _OVER_ONE:
            # Opening connections would take longer.
            for digest in missing:
                send(digest)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(_SENDERS, len(missing))) as senders:
            for sent in [senders.submit(send, digest) for digest in missing]:
                sent.result()

    @contextmanager
    def _asked(
        self, method: str, path: str, body: Body, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        given = {"Accept": "application/json", "User-Agent": "deploystack"} | dict(headers)
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        if method == "POST" and path != "/api/v1/tokens":
            # Whatever the network does, it is done once.
            given["Idempotency-Key"] = os.urandom(16).hex()
        target = urlsplit(self.url).path.rstrip("/") + path
        connection, answer = self._exchange(method, target, body, given)
        try:
            yield answer
        finally:
            if answer.isclosed() and connection.sock is not None:
                self._idle.append(connection)
            else:
                answer.close()
                connection.close()

    def _exchange(
        self, method: str, target: str, body: Body, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Over a kept connection if there is one, else over a new one."""
        connection = None
        with contextlib.suppress(IndexError):
            connection = self._idle.pop()
        if connection is not None and (body is None or isinstance(body, bytes)):
            # The host may have closed it: nobody has used it for a while.
            with contextlib.suppress(*_CUT_OFF):
                return connection, _answer(connection, method, target, body, headers)
        if connection is not None:
            connection.close()
        connection = self._connect()
        try:
            return connection, _answer(connection, method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SystemFault("unreachable", f"{self.url} cannot be reached: {error}") from error

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UserError("invalid-url", f"{self.url!r} is no address of a host.")
        made: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context()
            made = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=_SECONDS, context=context
            )
        else:
            made = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_SECONDS)
        made.blocksize = _CHUNK
        return made

    def _content(self, answer: http.client.HTTPResponse) -> Any:
        try:
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise SystemFault("unreachable", f"{self.url} broke off: {error}") from error
        try:
            body = json.loads(content) if content else None
        except ValueError:
            body = None
        if answer.status >= 500:
            title = body.get("title", "") if isinstance(body, dict) else ""
            raise SystemFault("host-failed", title or f"{self.url} answered {answer.status}.")
        if answer.status >= 300:
            raise Refused(answer.status, body if isinstance(body, dict) else {})
        return body


class _Watched:
    """A file on its way; `progress` is told of what has been read."""

    def __init__(self, file: IO[bytes], size: int, progress: Progress) -> None:
        self._file = file
        self._size = size
        self._progress = progress

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._progress(self._file.tell(), self._size)
        return content


def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: Body,
    headers: Mapping[str, str],
) -> http.client.HTTPResponse:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, target, body, headers)
    # Where sending failed, all was not wanted, and the answer says why.
    return connection.getresponse()


def _events(answer: Iterable[bytes]) -> Iterator[tuple[str, str, str]]:
    """(event, data, id) of each server-sent event of a log."""
    event, place = "", ""
    for raw in answer:
        name, _, value = raw.decode(errors="replace").rstrip("\n").partition(": ")
        if name == "id":
            place = value
        elif name == "event":
            event = value
        elif name == "data":
            yield event, value, place
