"""The whole way from a commit to a published deployment, with real Git, npm and sandbox."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.builders.job import Built, Control, Job, Stage, Stopped
from bot.builders.pipeline import Pipeline, create_pipeline
from bot.errors import UserError
from bot.settings import Settings
from bot.storage.disk import DiskStore
from bot.storage.store import NotPublished
from tests.builders.conftest import ListLog
from tests.builders.repositories import Repository
from tests.programs import require_program


class Site:
    """A repository `_local/site`, and a pipeline that deploys its commits."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = DiskStore(settings.DATA_DIR / "artifacts")
        self.pipeline: Pipeline = create_pipeline(settings, self.store, lambda _project: None)
        self.repository = Repository(Path(settings.clone_url("_local/site")))
        self.log = ListLog()
        self.entered: list[Stage] = []
        self.frameworks: list[str] = []
        self.control = Control(
            log=self.log, entering=self.entered.append, framework=self.frameworks.append
        )

    def job(self, sha: str, deployment: str = "dpl_1", previous: str = "") -> Job:
        return Job(
            build_id="bld_1",
            deployment_id=deployment,
            project="_local/site",
            sha=sha,
            ref="main",
            environment="preview",
            base_path=f"/{sha}/",
            previous=previous,
        )

    def deploy(self, files: dict[str, str], **job: Any) -> Built:
        return self.pipeline.run(self.job(self.repository.commit(files), **job), self.control)

    def content(self, built: Built, path: str) -> str:
        with self.store.open(built.manifest.files[path].digest) as file:
            return file.read().decode()

    @property
    def left_behind(self) -> list[str]:
        self.pipeline.settle()
        work = self.settings.WORK_DIR
        return os.listdir(work) if work.is_dir() else []


@pytest.fixture
def site(make_settings: Callable[..., Settings]) -> Site:
    return Site(make_settings(BUILD_TIMEOUT=120))


def with_script(script: str, **files: str) -> dict[str, str]:
    """A project whose build is a shell script."""
    content = {"name": "site", "scripts": {"build": "sh build.sh"}}
    named = {name.replace("__", "."): text for name, text in files.items()}
    return {"package.json": json.dumps(content), "build.sh": script, **named}


@pytest.fixture
def npm() -> str:
    return require_program("npm")


def test_a_plain_site_is_published_straight_from_git(site: Site) -> None:
    built = site.deploy({"index.html": "<h1>", "a/b.css": "a{}", ".env": "SECRET=1"})
    assert sorted(built.manifest.files) == ["a/b.css", "index.html"]
    assert site.content(built, "index.html") == "<h1>"
    assert site.store.manifest("dpl_1") == built.manifest
    assert built.framework == "Plain HTML"
    assert site.frameworks == ["Plain HTML"]
    assert set(built.stages) == {Stage.FETCH, Stage.PUBLISH}
    assert set(site.entered) == {Stage.FETCH, Stage.PUBLISH}
    assert Stage.CHECKOUT not in site.entered
    assert site.left_behind == []
    assert any(line.startswith("Fetched ") for line in site.log.lines)
    assert "Detected Plain HTML: file `index.html`, and nothing that builds" in site.log.lines


def test_what_a_push_did_not_change_is_not_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = site.deploy({f"{n}.html": f"page {n}" for n in range(50)} | {"index.html": "one"})
    stored: list[bytes] = []
    put_bytes = site.store.put_bytes

    def counting(chunks: Any) -> tuple[str, int]:
        content = b"".join(chunks)
        stored.append(content)
        return put_bytes([content])

    monkeypatch.setattr(site.store, "put_bytes", counting)
    second = site.deploy({"index.html": "two"}, deployment="dpl_2", previous="dpl_1")
    assert stored == [b"two"]
    assert second.manifest.files["7.html"] == first.manifest.files["7.html"]
    assert site.content(second, "index.html") == "two"
    assert len(second.manifest.files) == 51


def test_a_renamed_file_gets_the_type_of_its_new_name(site: Site) -> None:
    site.deploy({"index.html": "x", "data.txt": "{}"})
    site.repository.git("mv", "data.txt", "data.json")
    second = site.deploy({}, deployment="dpl_2", previous="dpl_1")
    assert second.manifest.files["data.json"].media_type.startswith("application/json")


def test_an_earlier_deployment_that_is_gone_is_no_hindrance(site: Site) -> None:
    assert site.deploy({"index.html": "x"}, previous="dpl_gone").manifest.files


def test_a_built_folder_in_the_repository_is_the_site(site: Site) -> None:
    built = site.deploy({"dist/index.html": "x", "dist/app.js": "y", "README.md": "z"})
    assert sorted(built.manifest.files) == ["app.js", "index.html"]
    assert built.framework == "Pre-built site"


def test_a_plain_site_with_submodules_is_checked_out(site: Site) -> None:
    theme = Repository(Path(site.settings.clone_url("_local/theme")))
    sha = theme.commit({"theme.css": "a{}"})
    site.repository.git("update-index", "--add", "--cacheinfo", f"160000,{sha},theme")
    (site.repository.path / ".gitmodules").write_text(
        '[submodule "theme"]\npath = theme\nurl = ../theme.git\n'
    )
    (site.repository.path / "index.html").write_text("x")
    site.repository.git("add", ".gitmodules", "index.html")
    site.repository.git("commit", "--quiet", "--message", "x")
    job = site.job(site.repository.git("rev-parse", "HEAD"))
    built = site.pipeline.run(job, site.control)
    assert sorted(built.manifest.files) == ["index.html", "theme/theme.css"]
    assert site.left_behind == []


def test_a_repository_with_lfs_is_warned_about(site: Site) -> None:
    site.deploy({"index.html": "x", ".gitattributes": "*.png filter=lfs diff=lfs -text\n"})
    assert any("Git LFS" in line for line in site.log.lines)


def test_a_project_is_installed_and_built_in_the_sandbox(site: Site, npm: str) -> None:
    built = site.deploy(
        with_script(
            'mkdir dist && echo "$BASE_PATH $COMMIT_SHA" >dist/index.html && echo hello',
            secret__txt="not published",
        )
    )
    sha = site.repository.git("rev-parse", "HEAD")
    assert site.content(built, "index.html") == f"/{sha}/ {sha}\n"
    assert sorted(built.manifest.files) == ["index.html"]
    assert b"hello" in site.log.output
    assert {Stage.FETCH, Stage.CHECKOUT, Stage.INSTALL, Stage.BUILD, Stage.PUBLISH} <= set(
        built.stages
    )
    assert all(seconds >= 0 for seconds in built.stages.values())
    assert built.manifest.base == f"/{sha}/"
    assert site.left_behind == []


def test_a_build_sees_nothing_of_the_bots_environment(
    site: Site, npm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_must_not_be_seen")
    built = site.deploy(with_script("mkdir dist && env >dist/index.html"))
    seen = site.content(built, "index.html")
    assert "ghs_must_not_be_seen" not in seen
    assert "CI=true" in seen


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("echo broken; exit 3", "build-failed", "`npm run build` exited with"),
        ("echo nothing made", "output-missing", "looked for dist, build, out"),
        ("mkdir dist; touch dist/app.js", "no-index-page", "dist holds app.js"),
        ("mkdir dist; echo x >dist/index.html; head -c 2000 /dev/zero >dist/big.bin",
         "file-too-large", "big.bin"),
    ],
)  # fmt: skip
def test_a_build_that_makes_no_site_says_why_and_leaves_nothing(
    make_settings: Callable[..., Settings], npm: str, script: str, code: str, words: str
) -> None:
    site = Site(make_settings(MAX_FILE_SIZE=1000))
    with pytest.raises(UserError) as raised:
        site.deploy(with_script(script))
    assert raised.value.code == code
    assert words in raised.value.message
    assert site.left_behind == []
    with pytest.raises(NotPublished):
        site.store.manifest("dpl_1")


def test_a_build_that_takes_too_long_is_ended(
    make_settings: Callable[..., Settings], npm: str
) -> None:
    site = Site(make_settings(BUILD_TIMEOUT=4))
    started = time.monotonic()
    with pytest.raises(UserError) as raised:
        site.deploy(with_script("sleep 300"))
    assert raised.value.code == "timed-out"
    assert time.monotonic() - started < 60
    assert site.left_behind == []


def test_a_build_that_nobody_wants_any_more_is_ended(site: Site, npm: str) -> None:
    class Cancelling(ListLog):
        def write(self, output: bytes) -> None:
            super().write(output)
            if b"started" in self.output:
                site.control.cancelled.set()

    control = Control(
        log=Cancelling(),
        entering=site.entered.append,
        framework=site.frameworks.append,
        cancelled=site.control.cancelled,
    )
    sha = site.repository.commit(with_script("echo started; sleep 300"))
    with pytest.raises(Stopped):
        site.pipeline.run(site.job(sha), control)
    assert site.left_behind == []


@pytest.mark.parametrize("stage", [Stage.FETCH, Stage.PUBLISH])
def test_a_stage_that_is_not_wanted_is_not_entered(site: Site, stage: Stage) -> None:
    def entering(entered: Stage) -> None:
        if entered is stage:
            raise Stopped

    control = Control(log=site.log, entering=entering, framework=site.frameworks.append)
    with pytest.raises(Stopped):
        site.pipeline.run(site.job(site.repository.commit({"index.html": "x"})), control)
    with pytest.raises(NotPublished):
        site.store.manifest("dpl_1")


def test_links_that_a_build_makes_lead_nowhere_else(site: Site, npm: str) -> None:
    built = site.deploy(
        with_script(
            "mkdir dist && echo x >dist/index.html && ln -s /etc/passwd dist/passwd"
            " && ln -s ../build.sh dist/script && ln dist/index.html dist/again.html"
        )
    )
    assert sorted(built.manifest.files) == ["again.html", "index.html"]
    assert sum("the link leads out of the folder" in line for line in site.log.lines) == 2


def test_a_folder_whose_rights_a_build_took_away_is_removed(site: Site, npm: str) -> None:
    site.deploy(
        with_script(
            "mkdir -p dist locked/deep && echo x >dist/index.html && touch locked/deep/file"
            " && chmod 0 locked/deep locked"
        )
    )
    assert site.left_behind == []


def test_what_another_worker_left_of_a_build_is_in_nobodys_way(site: Site, npm: str) -> None:
    leftover = site.settings.WORK_DIR / "bld_1" / "tree" / "dist"
    leftover.mkdir(parents=True)
    (leftover / "old.html").write_text("old")
    built = site.deploy(with_script("mkdir dist && echo x >dist/index.html"))
    assert sorted(built.manifest.files) == ["index.html"]


def test_an_unpacked_upload_takes_the_same_way(site: Site, npm: str, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    for name, text in with_script("mkdir dist && echo built >dist/index.html").items():
        upload.mkdir(exist_ok=True)
        (upload / name).write_text(text)
    built = site.pipeline.run_folder(upload, site.job("", "dpl_up"), site.control)
    assert site.content(built, "index.html") == "built\n"
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "index.html").write_text("plain")
    (plain / ".env").write_text("SECRET")
    built = site.pipeline.run_folder(plain, site.job("", "dpl_plain"), site.control)
    assert sorted(built.manifest.files) == ["index.html"]
    assert site.left_behind == []


def test_a_program_that_this_host_lacks_is_named(site: Site) -> None:
    with pytest.raises(UserError, match="this host has no `zola`") as raised:
        site.deploy({"config.toml": 'base_url = "/"', "content/_index.md": ""})
    assert raised.value.code == "program-missing"


def test_builds_of_one_project_may_run_at_once(site: Site) -> None:
    shas = [site.repository.commit({"index.html": f"{n}"}) for n in range(6)]
    built: dict[str, Built] = {}

    def run(number: int, sha: str) -> None:
        built[sha] = site.pipeline.run(site.job(sha, f"dpl_{number}"), site.control)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(shas)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [site.content(built[sha], "index.html") for sha in shas] == [*"012345"]
