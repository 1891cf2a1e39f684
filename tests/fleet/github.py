"""A simulated GitHub: repositories over Git's own HTTP server, an App's REST API, deliveries.

It keeps what it is told, so that it can be counted afterwards, and it can be in trouble:
then it answers 500, refuses by a rate limit, or does not answer in time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.builders.repositories import http_backend
from tests.http_servers import Listening, PatientHandler

SECRET = "fleet-secret"
ZEROS = "0" * 40
LOGIN = "ship[bot]"
# Longer than the bot waits for an answer, and than an answer that is only slow.
_STALLED = 13.0  # seconds


def moment(time_: float | None = None) -> str:
    at = datetime.fromtimestamp(time.time() if time_ is None else time_, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Repository:
    """What GitHub knows of one repository."""

    name: str
    number: int  # its own id, and its owner's installation
    branches: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: defaultdict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    comments: defaultdict[int, list[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    deployments: list[dict[str, Any]] = field(default_factory=list)
    deployment_states: defaultdict[int, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def payload(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "full_name": self.name,
            "name": self.name.partition("/")[2],
            "private": False,
            "default_branch": "main",
            "pushed_at": int(time.time()),
        }


@dataclass
class Delivery:
    """One webhook delivery, as GitHub lists it. `status` 0: no answer came."""

    id: int
    guid: str
    event: str
    payload: dict[str, Any]
    delivered_at: float
    status: int = 0


class GitHub(Listening):
    """Bare repositories lie in `root`; `deliver` tells webhooks to one of `hooks`, in turns."""

    def __init__(self, root: Path, host: str = "127.0.0.1") -> None:
        self.root = root
        self.hooks: list[str] = []
        self.repositories: dict[str, Repository] = {}
        self.deliveries: list[Delivery] = []
        self.trouble = ""  # error, limit, stall
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()
        self._id = 1000
        github = self

        class Handler(PatientHandler):
            def answer(self) -> None:
                if ".git/" in self.path:
                    self.close_connection = True
                    github.serve_git(self)
                    return
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, headers, answer = github.answer(self.command, self.path, body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815 (the library's names)

        super().__init__(Handler, host)

    def create(self, name: str) -> Repository:
        path = self.root / f"{name}.git"
        path.parent.mkdir(parents=True, exist_ok=True)
        command = ("git", "init", "--quiet", "--bare", "--initial-branch=main", str(path))
        subprocess.run(command, check=True)
        with self.lock:
            made = Repository(name, len(self.repositories) + 1)
            self.repositories[name] = made
        return made

    def new_id(self) -> int:
        self._id += 1
        return self._id

    def deliver(self, event: str, payload: dict[str, Any]) -> Delivery:
        """Send a webhook once, as GitHub does. What it comes to is in the delivery's `status`.

        https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
        """
        with self.lock:
            number = self.new_id()
            guid = f"00000000-0000-4000-8000-{number:012d}"
            made = Delivery(number, guid, event, payload, time.time())
            self.deliveries.append(made)
            hook = self.hooks[number % len(self.hooks)]
        content = json.dumps(payload).encode()
        signature = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
        request = urllib.request.Request(
            f"{hook}/webhooks/github",
            data=content,
            headers={
                "Content-Type": "application/json",
                "X-GitHub-Event": event,
                "X-GitHub-Delivery": guid,
                "X-Hub-Signature-256": f"sha256={signature}",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                made.status = answer.status
        except urllib.error.HTTPError as error:
            with error:
                made.status = error.code
        except OSError:
            made.status = 0
        return made

    def serve_git(self, handler: BaseHTTPRequestHandler) -> None:
        if self.trouble == "error":
            self.asked["git 503"] += 1
            handler.send_error(503)
            return
        self.asked["git"] += 1
        http_backend(handler, self.root)

    def answer(self, method: str, address: str, body: Any) -> tuple[int, dict[str, str], Any]:
        headers = {"X-RateLimit-Remaining": "4000", "X-RateLimit-Limit": "5000"}
        match self.trouble:
            case "error":
                self.asked["500"] += 1
                return 500, {}, {"message": "Server Error"}
            case "limit":
                self.asked["403"] += 1
                limited = "You have exceeded a secondary rate limit."
                return 403, {"Retry-After": "2"}, {"message": limited}
            case "stall":
                self.asked["no answer in time"] += 1
                time.sleep(_STALLED)
                return 504, {}, {"message": "Gateway Timeout"}
        self.asked["answered"] += 1
        parts = urlsplit(address)
        with self.lock:
            for known, path, respond in _ROUTES:
                if method == known and (found := re.fullmatch(path, parts.path)):
                    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                    status, answer = respond(self, found.groups(), body, query)
                    return status, headers, answer
        self.asked[f"unknown: {method} {parts.path}"] += 1
        return 404, headers, {"message": "Not Found"}


Answer = tuple[int, Any]
Given = tuple[str, ...]


def _app(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    return 200, {"id": 1, "slug": "ship", "name": "ship"}


def _token(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    expires = datetime.now(UTC) + timedelta(hours=1)
    at = expires.isoformat(timespec="seconds").replace("+00:00", "Z")
    return 201, {"token": f"ghs_{github.new_id()}", "expires_at": at}


def _hook_deliveries(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    return 200, [
        {
            "id": one.id,
            "guid": one.guid,
            "event": one.event,
            "status_code": one.status,
            "delivered_at": moment(one.delivered_at),
        }
        for one in reversed(github.deliveries)
        # What is on its way is listed once it has an answer, or none.
        if one.status or time.time() - one.delivered_at > 10
    ]


def _hook_delivery(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    one = next(one for one in github.deliveries if one.id == int(given[0]))
    return 200, {"id": one.id, "request": {"payload": one.payload}}


def _repository(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    return 200, github.repositories[given[0]].payload()


def _installation(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    return 200, {"id": github.repositories[given[0]].number}


def _branches(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    found = github.repositories[given[0]].branches
    return 200, [{"name": name, "commit": {"sha": sha}} for name, sha in found.items()]


def _pulls(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    return 200, list(github.repositories[given[0]].pulls.values())


def _commit(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    return 200, {"sha": given[1], "commit": {"message": "Change"}}


def _set_status(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    github.repositories[given[0]].statuses[given[1]].append(body)
    return 201, {"id": github.new_id()}


def _issue(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    number = int(given[1])
    url = f"{github.url}/repos/{given[0]}/issues/{number}"
    return 200, {"number": number, "url": url, "comments_url": f"{url}/comments"}


def _list_comments(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    return 200, github.repositories[given[0]].comments[int(given[1])]


def _comment(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    made = {"id": github.new_id(), "body": body["body"], "user": {"login": LOGIN, "type": "Bot"}}
    github.repositories[given[0]].comments[int(given[1])].append(made)
    return 201, made


def _edit_comment(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    for comments in github.repositories[given[0]].comments.values():
        for comment in comments:
            if comment["id"] == int(given[1]):
                comment["body"] = body["body"]
                return 200, comment
    return 404, {"message": "Not Found"}


def _list_deployments(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    return 200, [
        one
        for one in github.repositories[given[0]].deployments
        if (one["ref"], one["environment"]) == (query["sha"], query["environment"])
    ]


def _deployment(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    made = {**body, "id": github.new_id()}
    github.repositories[given[0]].deployments.append(made)
    return 201, made


def _deployment_state(github: GitHub, given: Given, body: Any, query: dict[str, str]) -> Answer:
    github.repositories[given[0]].deployment_states[int(given[1])].append(body["state"])
    return 201, {"id": github.new_id()}


_NAME = r"/repos/([\w.-]+/[\w.-]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", r"/app", _app),
    ("POST", r"/app/installations/(\d+)/access_tokens", _token),
    ("GET", r"/app/hook/deliveries", _hook_deliveries),
    ("GET", r"/app/hook/deliveries/(\d+)", _hook_delivery),
    ("GET", _NAME, _repository),
    ("GET", rf"{_NAME}/installation", _installation),
    ("GET", rf"{_NAME}/branches", _branches),
    ("GET", rf"{_NAME}/pulls", _pulls),
    ("GET", rf"{_NAME}/commits/(\w+)", _commit),
    ("POST", rf"{_NAME}/statuses/(\w+)", _set_status),
    ("GET", rf"{_NAME}/issues/(\d+)", _issue),
    ("GET", rf"{_NAME}/issues/(\d+)/comments", _list_comments),
    ("POST", rf"{_NAME}/issues/(\d+)/comments", _comment),
    ("PATCH", rf"{_NAME}/issues/comments/(\d+)", _edit_comment),
    ("GET", rf"{_NAME}/deployments", _list_deployments),
    ("POST", rf"{_NAME}/deployments", _deployment),
    ("POST", rf"{_NAME}/deployments/(\d+)/statuses", _deployment_state),
)
