"""`deploystack` against a bot elsewhere: all that it has is an address and a token."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.local import push
from tests.builders.repositories import GitServer, Repository
from tests.github import emulated
from tests.github.emulated import OWNER, REPOSITORY, GitHub
from tests.journeys.conftest import Bot, wait_for
from tests.journeys.test_command_line import Run, page, runner, told
from tests.journeys.test_forks import github as api_of_github
from tests.journeys.test_forks import opened, pushed
from tests.programs import require_program

pytestmark = pytest.mark.journey
FORK = "octo/site"


@dataclass
class Remote:
    bot: Bot
    github: GitHub
    origin: Repository
    fork: Repository
    run: Run


@pytest.fixture(scope="module")
def remote(
    start_bot: Callable[..., Bot], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Remote]:
    """A bot in production, which asks everybody for a token; somebody is signed in to it."""
    folder = tmp_path_factory.mktemp("remote")
    origin = Repository(folder / "origin" / f"{FORK}.git")
    with emulated.running(folder) as github, GitServer(folder / "origin") as server:
        bot = start_bot(
            ENVIRONMENT="production",
            GITHUB_WEBHOOK_SECRET="the-secret-of-the-webhooks",
            SECRETS_KEY="0123456789abcdef0123456789abcdef",
            GITHUB_API_URL=github.url,
            GITHUB_TOKEN="owner",
            GITHUB_SERVER_URL=server.url,
        )
        home = folder / "home"
        home.mkdir()
        run = runner(home)
        token = bot.settings.DATA_DIR / "admin-token"
        run("list", "--server", bot.url, code=5)
        run("login", bot.url, "--with-token", given=token.read_text())
        assert not token.exists()
        yield Remote(bot, github, origin, Repository(folder / "fork"), run)


def test_a_repository_is_connected_once_and_mended(remote: Remote) -> None:
    connected = told(remote.run("connect", REPOSITORY, "--json"))
    assert (connected["created"], connected["url"]) == (
        True,
        f"{remote.bot.settings.PUBLIC_URL}/webhooks/github",
    )
    assert "Updated" in remote.run("connect", REPOSITORY).stdout
    (hook,) = remote.github.ask("GET", f"/repos/{REPOSITORY}/hooks")
    assert hook["config"]["url"] == connected["url"]
    assert hook["id"] == connected["hook_id"]

    # What GitHub delivers is taken: its signature is right.
    remote.github.ask("POST", f"/repos/{REPOSITORY}/hooks/{hook['id']}/pings")
    here = {"DEPLOYSTACK_PROJECT": REPOSITORY}
    remote.run("env", "set", "NAME", "--value", "before the first push", **here)
    assert REPOSITORY in remote.run("projects", "list").stdout

    refused = remote.run("connect", f"{OWNER}/none", code=1)
    assert "[no-webhook-permission]" in refused.stderr
    assert "Webhooks: read and write" in refused.stderr.replace("\n", " ")
    assert "[not-a-repository]" in remote.run("connect", "site", code=1).stderr
    developer = told(remote.run("tokens", "create", "ci", "--scope", "deploy", "--json"))
    remote.run("connect", REPOSITORY, code=5, DEPLOYSTACK_TOKEN=developer["token"])


def test_a_forks_commit_is_looked_at_and_approved(remote: Remote, tmp_path: Path) -> None:
    first = remote.origin.commit({"index.html": "ours"})
    remote.fork.git("pull", "--quiet", str(remote.origin.path), "main")
    sha = remote.fork.commit({"index.html": "theirs"})
    remote.fork.git("push", "--quiet", str(remote.origin.path), f"{sha}:refs/pull/7/head")
    push.send(remote.bot.settings, remote.bot.url, "push", pushed(first))
    remote.bot.ready(first)
    push.send(remote.bot.settings, remote.bot.url, "pull_request", opened(sha))

    here = {"DEPLOYSTACK_PROJECT": FORK}
    assert sha in remote.run("approve", **here).stdout
    assert [row["sha"] for row in told(remote.run("approve", "--json", **here))] == [sha]
    assert remote.bot.builds(sha) == []
    assert "[pull-request-not-found]" in remote.run("approve", "8", code=6, **here).stderr
    other = remote.run("approve", "7", "--sha", first, code=1, **here)
    assert "[" in other.stderr
    remote.run("approve", "7", given="n\n", code=1, **here)
    assert remote.bot.builds(sha) == []

    approved = told(remote.run("approve", "7", "--json", given="y\n", **here))
    remote.run("logs", "-f", approved["id"], **here)
    assert page(remote.bot.ready(sha)["url"]) == "theirs"
    assert told(remote.run("approve", "--json", **here)) == []


def test_a_name_leads_where_it_is_set(remote: Remote, tmp_path: Path) -> None:
    site = tmp_path / "named"
    site.mkdir()
    urls = []
    for text in ("first", "second"):
        (site / "index.html").write_text(text)
        urls.append(remote.run("deploy", str(site)).stdout.strip())
    here = {"DEPLOYSTACK_PROJECT": "named"}
    name = remote.run("alias", "set", urls[0], "demo", **here).stdout.strip()
    assert page(name) == "first"
    remote.run("alias", "set", urls[1], "demo", **here)
    wait_for(lambda: page(name) == "second", "the name to lead elsewhere", 5)
    listed = told(remote.run("alias", "list", "--json", **here))
    assert [(row["kind"], row["url"]) for row in listed] == [("custom", name)]
    by_name = told(remote.run("inspect", name, "--json", **here))
    assert by_name["url"] == urls[1] == told(remote.run("open", "demo", "--json", **here))["url"]
    assert by_name["aliases"] == ["custom demo"]
    assert "[alias-taken]" in remote.run("alias", "set", name, "pr-1", code=1, **here).stderr
    remote.run("alias", "rm", "demo", **here)
    remote.run("alias", "rm", "demo", code=6, **here)
    remote.run("inspect", name, code=6, **here)


def test_github_hears_at_once_of_what_is_cancelled(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    require_program("npm")
    origin = Repository(tmp_path / "origin" / f"{FORK}.git")
    package = json.dumps({"name": "site", "scripts": {"build": "sleep 300"}})
    sha = origin.commit({"package.json": package})
    with api_of_github() as api, GitServer(tmp_path / "origin") as server:
        bot = start_bot(
            GITHUB_SERVER_URL=server.url, GITHUB_API_URL=api.url, GITHUB_TOKEN="ghp_0123456789"
        )
        run = runner(tmp_path)
        push.send(bot.settings, bot.url, "push", pushed(sha))
        wait_for(lambda: bot.builds(sha)[0]["status"] == "building", "the build")
        wait_for(lambda: api.states(sha), "the first status", 20)
        cancelled = time.monotonic()
        run("cancel", bot.builds(sha)[0]["id"], "--server", bot.url)
        wait_for(lambda: api.states(sha)[-1] == ("error", "Cancelled"), "GitHub to be told", 20)
        # Without being woken, the outbox is looked at once a minute.
        assert time.monotonic() - cancelled < 15
