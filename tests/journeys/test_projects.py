"""A repository with two projects: two builds, two statuses, one comment, two pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.local import push
from tests.builders.repositories import GitServer, Repository
from tests.journeys.conftest import Bot, wait_for
from tests.journeys.test_forks import Api, comment, github, moment, opened, repository
from tests.programs import require_program

pytestmark = pytest.mark.journey

CONFIGURATION = """
[[projects]]
name = "web"
root = "web"
ignore.paths = ["docs/"]

[[projects]]
name = "docs"
root = "docs"
ignore.paths = ["**", "!docs/"]
"""
BUILD = (
    'mkdir dist && echo "$(cat text) base=$BASE_PATH plain=$PLAIN token=${#TOKEN}" >dist/index.html'
)


def files(text: str = "docs") -> dict[str, str]:
    return {
        "deploystack.toml": CONFIGURATION,
        "web/index.html": "<h1>web</h1>",
        "docs/package.json": json.dumps({"name": "docs", "scripts": {"build": "sh build.sh"}}),
        "docs/build.sh": BUILD,
        "docs/text": text,
    }


def pushed(sha: str, branch: str, before: str = "0" * 40, **more: Any) -> dict[str, Any]:
    about = repository() | {"pushed_at": int(datetime.now(UTC).timestamp())}
    message = {"head_commit": {"message": "x"}}
    ref = f"refs/heads/{branch}"
    return {"ref": ref, "before": before, "after": sha, "repository": about, **message, **more}


def proposed(sha: str, action: str, at: int = 0) -> dict[str, Any]:
    head = {"sha": sha, "ref": "topic", "repo": {"full_name": "octo/site"}}
    state = "closed" if action == "closed" else "open"
    details = {"number": 3, "state": state, "head": head, "updated_at": moment(at)}
    return {"action": action, "pull_request": details, "repository": repository()}


def contexts(api: Api, sha: str) -> dict[str, str]:
    """Context → what the commit's status says last."""
    path = f"/repos/octo/site/statuses/{sha}"
    told = [body for method, at, body in list(api.told) if (method, at) == ("POST", path)]
    return {body["context"]: body["description"].partition(" in ")[0] for body in told}


def comments(api: Api) -> tuple[int, str]:
    """How many comments were created, and what was said last."""
    created = [
        1 for method, path, _ in list(api.told) if (method, path[-8:]) == ("POST", "comments")
    ]
    return len(created), api.comments()[-1] if api.comments() else ""


def both(bot: Bot, sha: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ended builds of the main project and of the other."""

    def ended() -> list[dict[str, Any]]:
        found = bot.builds(sha)
        ends = {"ready", "failed", "errored", "ignored", "superseded", "timed out"}
        return found if len(found) == 2 and {b["status"] for b in found} <= ends else []

    main, docs = wait_for(ended, f"both builds of {sha}")
    assert [main["project"], docs["project"]] == ["octo/site", "octo/site#docs"]
    return main, docs


def path_of(build: dict[str, Any], bot: Bot) -> str:
    return str(build["url"]).removeprefix(bot.settings.PUBLIC_URL)


def test_two_projects_of_a_repository_from_push_to_pages(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    require_program("npm")
    origin = Repository(tmp_path / "origin/octo/site.git")
    first = origin.commit(files())
    with github() as api, GitServer(tmp_path / "origin") as server:
        bot = start_bot(
            GITHUB_SERVER_URL=server.url, GITHUB_API_URL=api.url, GITHUB_TOKEN="ghp_0123456789"
        )

        def send(event: str, body: dict[str, Any]) -> dict[str, Any]:
            return push.send(bot.settings, bot.url, event, body)

        send("push", pushed(first, "main"))
        main, docs = both(bot, first)
        assert [main["status"], docs["status"]] == ["ready", "ready"], docs["error_message"]
        assert path_of(main, bot) == f"/{first}/"
        assert bot.get(f"/{first}/").text == "<h1>web</h1>"
        own = path_of(docs, bot)
        assert own == f"/{docs['deployment_id']}/"
        assert bot.get(own).text == f"docs base={own} plain= token=0\n"
        # What knows its base path is led to it; the rest is answered where it was asked for.
        for alias in ("/~/octo-site-docs/main/", "/~/octo-site-docs/production/"):
            assert bot.get(alias).headers["Location"] == own
        assert bot.get("/~/octo-site/main/").text == "<h1>web</h1>"
        both_ready = {"deploystack": "Ready", "deploystack/docs": "Ready"}
        wait_for(lambda: contexts(api, first) == both_ready, "both statuses", 20)
        log = bot.get(f"/builds/{main['id']}/log").text
        assert "Projects of this repository: web, docs" in log
        assert f"Project docs: {bot.settings.build_url(docs['id'])}" in log

        origin.git("checkout", "--quiet", "-b", "topic")
        second = origin.commit({"web/index.html": "<h1>topic</h1>", "docs/text": "topic"})
        send("push", pushed(second, "topic"))
        send("pull_request", proposed(second, "opened", -30))
        both(bot, second)
        wait_for(lambda: comments(api)[1].count("✅ Ready") == 2, "the comment on both", 20)
        count, said = comments(api)
        assert count == 1
        rows = [line for line in said.splitlines() if line.startswith("| `octo/")]
        assert [row.split("|")[1].strip() for row in rows] == ["`octo/site`", "`octo/site#docs`"]
        assert f"[Open]({bot.settings.PUBLIC_URL}/{second}/)" in rows[0]
        assert "/dpl-" in rows[1]

        # One project's change does not build the other.
        third = origin.commit({"docs/text": "changed"})
        send("push", pushed(third, "topic", second))
        send("pull_request", proposed(third, "synchronize", -20))
        main, docs = both(bot, third)
        assert [main["status"], docs["status"]] == ["ignored", "ready"]
        assert bot.get("/~/octo-site/topic/").text == "<h1>topic</h1>"
        assert bot.get(bot.get("/~/octo-site-docs/pr-3/").headers["Location"]).text.startswith(
            "changed "
        )
        wait_for(lambda: contexts(api, third).get("deploystack/docs") == "Ready", "it", 20)
        assert contexts(api, third)["deploystack"].startswith("Nothing to build")

        send("pull_request", proposed(third, "closed", 5))
        wait_for(lambda: "pull request is closed" in comments(api)[1], "the last edit", 20)
        assert comments(api)[0] == 1
        # Of both projects' first commit, and of the second one's second.
        wait_for(lambda: len(ended(api)) >= 3, "the ends of its deployments", 20)


def ended(api: Api) -> list[str]:
    """The deployments that were told to be inactive because of the pull request."""
    said = "Pull request 3 is closed"
    told = [(path, body) for _, path, body in list(api.told) if path.endswith("/statuses") and body]
    return [path for path, body in told if body.get("description") == said]


def test_a_forks_projects_wait_for_one_approval_and_get_no_secrets(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    require_program("bwrap")
    origin = Repository(tmp_path / "origin/octo/site.git")
    ours = origin.commit(files("ours"))
    fork = Repository(tmp_path / "fork")
    fork.git("pull", "--quiet", str(origin.path), "main")
    sha = fork.commit({"docs/text": "theirs"})
    fork.git("push", "--quiet", str(origin.path), f"{sha}:refs/pull/7/head")
    with github() as api, GitServer(tmp_path / "origin") as server:
        bot = start_bot(
            GITHUB_SERVER_URL=server.url, GITHUB_API_URL=api.url, GITHUB_TOKEN="ghp_0123456789"
        )

        def send(event: str, body: dict[str, Any]) -> dict[str, Any]:
            return push.send(bot.settings, bot.url, event, body)

        send("push", pushed(ours, "main"))
        both(bot, ours)
        _store_variables(bot)
        send("pull_request", opened(sha))
        wait_for(lambda: contexts(api, sha), "the commit to be told that it waits", 20)
        assert list(contexts(api, sha)) == ["deploystack"]
        assert bot.builds(sha) == []
        api.permissions["maria"] = "write"
        send("issue_comment", comment(f"/deploy {sha}", "maria", 41))
        _, docs = both(bot, sha)
        assert bot.get(path_of(docs, bot)).text.startswith("theirs ")
        assert " plain= token=0" in bot.get(path_of(docs, bot)).text

        # Ours: its own secret, and what is plain from the main project.
        origin.git("update-ref", "refs/heads/main", sha)
        send("push", pushed(sha, "main", ours))
        production = "/~/octo-site-docs/production/"

        def ours_again() -> bool:
            text = bot.get(bot.get(production).headers["Location"] or "/").text
            return "theirs " in text and " plain=for all token=12" in text

        wait_for(ours_again, "the production build of the other project")


def _store_variables(bot: Bot) -> None:
    from bot.models import projects, variables
    from bot.models.database import connect
    from bot.models.variables import Context
    from bot.sealing import sealing_from

    database = connect(bot.settings.DATABASE_URL)
    try:
        with database.write():
            seal = sealing_from(bot.settings).seal
            main, docs = (projects.by_name(name) for name in ("octo/site", "octo/site#docs"))
            assert main is not None
            assert docs is not None
            variables.put(main.id, "PLAIN", Context.ALL, seal("for all"), secret=False)
            variables.put(main.id, "TOKEN", Context.ALL, seal("main's secret"))
            variables.put(docs.id, "TOKEN", Context.ALL, seal("docs' secret"))
    finally:
        database.close()
