"""A fork's pull request as its author and a collaborator meet it: waits, approved, live."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bot.local import push
from bot.sealing import sealing_from
from tests.builders.repositories import GitServer, Repository
from tests.journeys.conftest import Bot, wait_for
from tests.programs import require_program

pytestmark = pytest.mark.journey

SECRET = "s3cret-of-the-project"


@dataclass
class Api:
    """Just enough of GitHub's REST API; `told` keeps (method, path, body) of all requests."""

    url: str = ""
    permissions: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, str, Any]] = field(default_factory=list)

    def states(self, sha: str) -> list[tuple[str, str]]:
        return [
            (body["state"], body["description"])
            for method, path, body in list(self.told)
            if method == "POST" and path.endswith(f"/statuses/{sha}")
        ]

    def comments(self) -> list[str]:
        return [body["body"] for _, _, body in list(self.told) if body and "body" in body]

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        if path.endswith("/permission"):
            login = path.split("/")[-2]
            return 200, {"permission": self.permissions.get(login, "read")}
        if path == "/user":
            return 200, {"login": "ship-bot"}
        if method == "GET":
            # Lists of comments and deployments are empty; what else is asked for is not known.
            known = path.endswith(("/comments", "/deployments"))
            return (200, []) if known else (404, {"message": "Not Found"})
        return 201, {"id": len(self.told)}


@contextmanager
def github() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = self.path.partition("?")[0]
            api.told.append((self.command, path, body))
            status, answer = api.answer(self.command, path)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PATCH = do_GET  # noqa: N815 (the library's names)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join(10)


def moment(seconds: int = 0) -> str:
    time = datetime.now(UTC) + timedelta(seconds=seconds)
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def repository() -> dict[str, Any]:
    return {"full_name": "octo/site", "private": False, "default_branch": "main"}


def opened(sha: str, action: str = "opened", at: int = -60) -> dict[str, Any]:
    head = {"sha": sha, "ref": "main", "repo": {"full_name": "stranger/site"}}
    details = {"number": 7, "state": "open", "head": head, "updated_at": moment(at)}
    return {"action": action, "pull_request": details, "repository": repository()}


def comment(body: str, login: str, comment_id: int) -> dict[str, Any]:
    user = {"login": login}
    written = {"id": comment_id, "body": body, "created_at": moment(), "user": user}
    issue = {"number": 7, "pull_request": {}}
    return {"action": "created", "issue": issue, "comment": written, "repository": repository()}


def pushed(sha: str) -> dict[str, Any]:
    about = repository() | {"pushed_at": int(datetime.now(UTC).timestamp())}
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": sha,
        "head_commit": {"message": "x"},
        "repository": about,
    }


def page(text: str) -> dict[str, str]:
    script = f'mkdir dist && echo "{text} token=${{#TOKEN}}" > dist/index.html'
    package = json.dumps({"name": "site", "scripts": {"build": "sh build.sh"}})
    return {"package.json": package, "build.sh": script}


def test_a_fork_waits_for_a_collaborator_and_is_built_without_secrets(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    require_program("bwrap")
    origin = Repository(tmp_path / "origin/octo/site.git")
    ours = origin.commit(page("ours"))
    fork = Repository(tmp_path / "fork")
    fork.git("pull", "--quiet", str(origin.path), "main")
    sha = fork.commit(page("theirs"))
    fork.git("push", "--quiet", str(origin.path), f"{sha}:refs/pull/7/head")
    with github() as api, GitServer(tmp_path / "origin") as server:
        bot = start_bot(
            GITHUB_SERVER_URL=server.url,
            GITHUB_API_URL=api.url,
            GITHUB_TOKEN="ghp_0123456789",
            PREVIEW_DOMAIN="live.test",
        )

        def send(event: str, body: dict[str, Any]) -> dict[str, Any]:
            return push.send(bot.settings, bot.url, event, body)

        send("push", pushed(ours))
        bot.ready(ours)
        _store_secret(bot)
        assert "approval" in send("pull_request", opened(sha))["reason"]
        wait_for(lambda: api.states(sha), "the commit to be told that it waits", 20)
        state, said = api.states(sha)[0]
        assert (state, "comments /deploy" in said) == ("success", True)
        assert bot.builds(sha) == []
        # Comments are told behind statuses.
        said = "Waiting for approval"
        wait_for(lambda: any(said in text for text in api.comments()), "the comment", 20)

        send("issue_comment", comment("/deploy", "stranger", 40))
        reaction = "/repos/octo/site/issues/comments/40/reactions"
        wait_for(lambda: ("POST", reaction, {"content": "-1"}) in api.told, "the refusal", 20)
        assert bot.builds(sha) == []

        api.permissions["maria"] = "write"
        send("issue_comment", comment(f"/deploy {sha}", "maria", 41))
        wait_for(lambda: bot.builds(sha), "the build", 20)
        bot.ready(sha)
        assert bot.get("/", Host=f"{sha}.live.test").text == "theirs token=0\n"
        assert bot.get("/", Host="pr-7--octo-site.live.test").text == "theirs token=0\n"
        assert "ours" in bot.get("/", Host="octo-site.live.test").text
        wait_for(lambda: api.states(sha)[-1][1].startswith("Ready"), "the commit's success", 20)

        # Merged: the same commit is now ours, and built with what is the project's.
        origin.git("update-ref", "refs/heads/main", sha)
        send("push", pushed(sha) | {"before": ours})
        wait_for(
            lambda: f"token={len(SECRET)}" in bot.get("/", Host="octo-site.live.test").text,
            "the production build",
        )
        later = fork.commit(page("later"))
        assert "approval" in send("pull_request", opened(later, "synchronize", 5))["reason"]


def _store_secret(bot: Bot) -> None:
    from bot.models import projects, variables
    from bot.models.database import connect
    from bot.models.variables import Context

    database = connect(bot.settings.DATABASE_URL)
    try:
        with database.write():
            project = projects.by_name("octo/site")
            assert project is not None
            sealed = sealing_from(bot.settings).seal(SECRET)
            variables.put(project.id, "TOKEN", Context.ALL, sealed)
    finally:
        database.close()
