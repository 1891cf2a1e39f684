"""The main job, as a user has it: push, webhook, build, page, seen in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.local import push, supervisor
from bot.local.demo import SITES
from tests.journeys.conftest import Bot, Browser, free_port, wait_for

pytestmark = pytest.mark.journey


def test_a_plain_site_is_live_under_its_sha(bot: Bot, tmp_path: Path) -> None:
    sha = bot.push({"index.html": "<h1>one</h1>", "a/b.txt": "text"}, tmp_path / "plain")
    build = bot.ready(sha)
    assert build["framework"] == "Plain HTML"
    assert bot.get(f"/{sha}/").text == "<h1>one</h1>"
    assert bot.get(f"/{sha}/a/b.txt").text == "text"
    short = bot.get(f"/{sha[:9]}/a/b.txt")
    assert (short.status, short.headers["Location"]) == (302, f"/{sha}/a/b.txt")


def test_every_push_keeps_its_own_page(bot: Bot, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    first = bot.push({"index.html": "first"}, folder, "kept")
    bot.ready(first)
    second = bot.push({"index.html": "second"}, folder, "kept")
    bot.ready(second)
    assert [bot.get(f"/{sha}/").text for sha in (first, second)] == ["first", "second"]


def test_a_forced_push_and_a_commit_that_no_branch_holds_any_more(bot: Bot, tmp_path: Path) -> None:
    old = bot.push({"index.html": "old"}, tmp_path / "old", "forced")
    bot.ready(old)
    new = bot.push({"index.html": "rewritten"}, tmp_path / "new", "forced")
    bot.ready(new)
    assert bot.get(f"/{old}/").text == "old"
    assert bot.get(f"/{new}/").text == "rewritten"


def test_vite_with_react_works_under_its_sha_in_a_browser(
    bot: Bot, browser: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "react"
    shutil.copytree(SITES / "react", folder)
    sha = bot.push({}, folder, "react")
    build = bot.ready(sha, seconds=240)
    assert build["framework"].startswith("Vite")
    assert {"fetch", "install", "build", "publish"} <= set(build["stages"])
    page = browser.page
    page.goto(f"{bot.url}/{sha}/")
    page.get_by_role("button").click()
    assert page.get_by_role("button").inner_text() == "clicked 1 times"
    page.wait_for_selector("#details")
    assert f"/{sha}/" in page.locator("#details").inner_text()
    assert page.locator("main img").evaluate("image => image.naturalWidth") > 0
    assert browser.problems == []


def test_a_failed_build_says_why_on_its_page(bot: Bot, browser: Browser, tmp_path: Path) -> None:
    sha = bot.push({"notes.txt": "no page here"}, tmp_path / "none", "none")
    build = bot.ended(sha)
    assert build["status"] == "failed"
    assert build["error_code"]
    browser.page.goto(f"{bot.url}/builds/{build['id']}")
    assert build["error_message"] in browser.page.inner_text("main")
    assert browser.problems == []
    assert bot.get(f"/{sha}/").status == 404


def test_the_home_page_lists_the_builds(bot: Bot, browser: Browser, tmp_path: Path) -> None:
    sha = bot.push({"index.html": "listed"}, tmp_path / "listed", "listed")
    bot.ready(sha)
    browser.page.goto(bot.url)
    browser.page.get_by_role("link", name=sha[:12]).click()
    assert browser.page.inner_text("body") == "listed"
    assert browser.problems == []


def test_a_build_page_follows_a_running_build_to_its_end(
    bot: Bot, browser: Browser, tmp_path: Path
) -> None:
    package = '{"name": "slow", "scripts": {"build": "node build.js"}}'
    script = (
        "const fs = require('fs'); console.log('step one');"
        "setTimeout(() => { fs.mkdirSync('dist'); fs.writeFileSync('dist/index.html', 'done');"
        "console.log('step two'); }, 3000);"
    )
    sha = bot.push({"package.json": package, "build.js": script}, tmp_path / "slow", "slow")
    build = wait_for(lambda: bot.builds(sha), "the build")[0]
    page = browser.page
    page.goto(f"{bot.url}/builds/{build['id']}")
    page.wait_for_selector(".status.ready", timeout=60_000)
    assert "step two" in page.inner_text("#log")
    assert browser.problems == []


def test_two_pushes_in_a_row_leave_the_newer_page_and_end_the_older_build(
    bot: Bot, tmp_path: Path
) -> None:
    package = '{"name": "long", "scripts": {"build": "node -e \\"setTimeout(() => {}, 60000)\\""}}'
    folder = tmp_path / "race"
    older = bot.push({"package.json": package}, folder, "race")
    wait_for(lambda: bot.builds(older)[0]["status"] == "building", "the older build to run")
    (folder / "package.json").unlink()
    newer = bot.push({"index.html": "newer"}, folder, "race")
    bot.ready(newer)
    assert bot.ended(older, 20)["status"] == "superseded"


def test_what_was_queued_when_the_bot_was_stopped_is_built_at_its_next_start(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    first = start_bot(BUILD_CONCURRENCY="1")
    package = '{"name": "long", "scripts": {"build": "node build.js"}}'
    script = (
        "const fs = require('fs');"
        "if (fs.existsSync('/nowhere')) {} setTimeout(() => { fs.mkdirSync('dist');"
        "fs.writeFileSync('dist/index.html', 'built'); }, 2000);"
    )
    sha = first.push({"package.json": package, "build.js": script}, tmp_path / "long", "long")
    wait_for(lambda: first.builds(sha)[0]["status"] == "building", "the build to run")
    waiting = first.push({"index.html": "waited"}, tmp_path / "waiting", "waiting")
    assert first.stop() == 0
    second = start_bot(data=first.settings.DATA_DIR)
    second.ready(sha)
    second.ready(waiting)
    assert second.get(f"/{sha}/").text == "built"
    assert second.get(f"/{waiting}/").text == "waited"


def test_a_worker_that_was_killed_loses_no_build(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    first = start_bot()
    package = '{"name": "long", "scripts": {"build": "node build.js"}}'
    script = (
        "const fs = require('fs'); setTimeout(() => { fs.mkdirSync('dist');"
        "fs.writeFileSync('dist/index.html', 'survived'); }, 2000);"
    )
    sha = first.push({"package.json": package, "build.js": script}, tmp_path / "kill", "kill")
    wait_for(lambda: first.builds(sha)[0]["status"] == "building", "the build to run")
    _kill_everything(first)
    second = start_bot(data=first.settings.DATA_DIR)
    second.ready(sha)
    assert second.get(f"/{sha}/").text == "survived"


def test_previews_have_an_origin_of_their_own_where_a_port_is_set(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    port = free_port()
    bot = start_bot(PREVIEW_PORT=str(port))
    sha = bot.push({"index.html": "apart"}, tmp_path / "apart", "apart")
    bot.ready(sha)
    own = replace(bot, settings=replace(bot.settings, PORT=port))
    wait_for(lambda: supervisor.is_running(own.settings), "the previews process")
    assert own.get(f"/{sha}/").text == "apart"
    for path in ("/", f"/api/v1/builds?sha={sha}", "/builds/none", "/webhooks/github"):
        assert own.get(path).status == 404
    assert bot.stop() == 0


def test_with_a_preview_domain_a_build_is_made_for_its_own_host(
    start_bot: Callable[..., Bot], tmp_path: Path
) -> None:
    bot = start_bot(PREVIEW_DOMAIN="live.test")
    script = "mkdir dist && echo base=$BASE_PATH > dist/index.html"
    package = f'{{"name": "own", "scripts": {{"build": "{script}"}}}}'
    sha = bot.push({"package.json": package}, tmp_path / "own", "own")
    build = bot.ready(sha)
    assert build["url"] == f"http://{sha}.live.test:{bot.settings.PORT}/"
    assert bot.get("/", Host=f"{sha}.live.test").text == "base=/\n"
    moved = bot.get(f"/{sha}/", Host="localhost")
    assert moved.status in {302, 307, 308}
    assert f"{sha}.live.test" in moved.headers["Location"]


def test_try_deploys_a_folder_that_is_no_repository(bot: Bot, tmp_path: Path) -> None:
    from rich.console import Console

    from bot.local.demo import try_source

    folder = tmp_path / "my site"
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    url = try_source(bot.settings, Console(quiet=True), str(folder), "HEAD")
    assert bot.get(url.removeprefix(bot.settings.PUBLIC_URL)).text == "mine"


def test_a_wrong_signature_is_refused_and_leaves_nothing(bot: Bot) -> None:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        f"{bot.url}/webhooks/github",
        data=b"{}",
        headers={
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "00000000-0000-0000-0000-000000000000",
            "X-Hub-Signature-256": "sha256=" + "0" * 64,
        },
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert answer.code == 401
        assert b"signature" not in answer.read()


def _kill_everything(bot: Bot) -> None:
    """As a power cut would: no process gets the chance to tidy up."""
    import os
    import signal

    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    marker = f"DATA_DIR={bot.settings.DATA_DIR}".encode()
    for pid in pids:
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if marker in environ.split(b"\0"):
            os.kill(pid, signal.SIGKILL)
    bot.process.wait(timeout=10)


def test_the_demo_payload_is_what_the_parser_expects() -> None:
    from bot.webhooks.events import Push, parse

    pushed = push.Push(
        repository="_local/demo", branch="main", before=push.ZEROS, after="a" * 40, message="m"
    )
    import json

    event = parse("push", "application/json", json.dumps(push.payload(pushed)).encode())
    assert isinstance(event, Push)
    assert (event.repository, event.after, event.message) == ("_local/demo", "a" * 40, "m")


def test_links_that_miss_the_base_path_are_listed_on_the_builds_page(
    bot: Bot, browser: Browser, tmp_path: Path
) -> None:
    package = (
        '{"name": "links", "scripts": {"build": "mkdir dist && cp page.html dist/index.html"}}'
    )
    page = '<!doctype html>\n<title>x</title>\n<a href="/about">About</a> <a href="here">x</a>\n'
    files = {"package.json": package, "page.html": page}
    sha = bot.push(files, tmp_path / "links", "links")
    build = bot.ready(sha)
    assert "Warning: index.html, line 3: /about" in bot.get(f"/builds/{build['id']}/log").text
    browser.page.goto(f"{bot.url}/builds/{build['id']}")
    listed = browser.page.locator(".warnings li").all_inner_texts()
    assert listed[0].startswith("Links that begin with / and miss the base path: 1.")
    assert listed[1:] == ["index.html, line 3: /about"]
    assert browser.problems == []


def test_a_rule_that_is_left_out_is_named_with_its_line_in_the_log(
    bot: Bot, tmp_path: Path
) -> None:
    rules = ["/good /index.html 302", "/bad /b 999", f"/long /{'x' * 2000}"]
    rules += [f"/many{number} /b" for number in range(2000)]
    headers = "/*\n  X-Good: yes\n  Set-Cookie: a=b\n"
    files = {"index.html": "x", "_redirects": "\n".join(rules), "_headers": headers}
    sha = bot.push(files, tmp_path / "rules", "rules")
    build = bot.ready(sha)
    log = bot.get(f"/builds/{build['id']}/log").text
    for warning in (
        "Warning: _redirects, line 2: status 999 is not one of",
        "Warning: _redirects, line 3: longer than 2000 characters",
        "Warning: _redirects, line 2003: more than 2000 redirects",
        "Warning: _headers, line 3: Set-Cookie is the host's own to set",
    ):
        assert warning in log
    assert bot.get(f"/{sha}/good").headers["Location"] == f"/{sha}/index.html"
    assert bot.get(f"/{sha}/").headers["X-Good"] == "yes"


def test_a_link_out_of_the_repository_shows_nothing_of_this_machine(
    bot: Bot, tmp_path: Path
) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "passwd.txt").symlink_to("/etc/passwd")
    (folder / "up.txt").symlink_to("../../../../etc/passwd")
    sha = bot.push({"index.html": "x"}, folder, "links")
    bot.ended(sha)
    for path in ("passwd.txt", "up.txt"):
        answer = bot.get(f"/{sha}/{path}")
        assert answer.status == 404
        assert "root:" not in answer.text
