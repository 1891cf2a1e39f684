"""Builds of one of several projects of a repository: real commits, real builds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.builders.job import Built, Earlier, Stage
from bot.builders.variables import Variables
from bot.errors import UserError
from bot.secret import Secret
from bot.settings import Settings
from tests.builders.test_pipeline import Site, with_script
from tests.programs import require_program

CONFIGURATION = """
[[projects]]
name = "web"
root = "web"

[[projects]]
name = "docs"
root = "docs"
"""


@pytest.fixture
def site(make_settings: Callable[..., Settings]) -> Site:
    return Site(make_settings(BUILD_TIMEOUT=120))


def test_the_main_project_tells_of_the_others_and_each_is_built_from_its_folder(
    site: Site,
) -> None:
    told: list[list[str]] = []
    control = replace(site.control, parts=lambda names: told.append(list(names)))
    files = {"web/index.html": "web", "docs/index.html": "docs", "deploystack.toml": CONFIGURATION}
    job = site.job(site.repository.commit(files))
    assert site.content(site.pipeline.run(job, control), "index.html") == "web"
    assert told == [["docs"]]
    part = replace(job, project="_local/site#docs", deployment_id="dpl_2", base_path="/dpl_2/")
    assert site.content(site.pipeline.run(part, control), "index.html") == "docs"
    assert told == [["docs"]]
    gone = replace(part, project="_local/site#shop", deployment_id="dpl_3")
    with pytest.raises(UserError) as raised:
        site.pipeline.run(gone, control)
    assert raised.value.code == "project-missing"


def test_what_a_project_with_secrets_leaves_behind_is_shown_to_no_other(site: Site) -> None:
    require_program("npm")
    # A framework's cache, into which it writes what it saw.
    script = (
        "mkdir -p dist node_modules/.cache; cp node_modules/.cache/seen dist/index.html"
        " || echo nothing >dist/index.html; echo $COUNT >>node_modules/.cache/seen"
    )
    folders = {
        f"{name}/{path}": text
        for name in ("web", "docs")
        for path, text in with_script(script).items()
    }
    sha = site.repository.commit({**folders, "deploystack.toml": CONFIGURATION})
    job = replace(site.job(sha), base_path="/")

    def build(project: str, number: int) -> str:
        secret = Variables(
            plain={"COUNT": f"{project} {number}"}, secret={"TOKEN": Secret(f"secret of {project}")}
        )
        one = replace(job, project=project, variables=secret, deployment_id=f"dpl_{number}")
        return site.content(site.pipeline.run(one, site.control), "index.html")

    assert build("_local/site", 1) == "nothing\n"
    assert build("_local/site", 2) == "_local/site 1\n"
    assert build("_local/site#docs", 3) == "nothing\n"
    shelves = {path.name.partition("-")[2] for path in site.settings.DATA_DIR.glob("caches/*/*")}
    assert {"sealed-preview", "sealed-preview-docs"} <= shelves


def test_one_projects_change_does_not_build_the_other(site: Site) -> None:
    build = "[projects.build]\ncommand = 'sh build.sh'\noutput = 'dist'\nframework = 'Zola'\n"
    configuration = CONFIGURATION.replace('root = "web"\n', f'root = "web"\n{build}') + build
    script = "mkdir -p dist && cat text >dist/index.html"
    known: dict[tuple[str, str], Earlier] = {}

    def push(number: int, files: dict[str, str]) -> dict[str, Built]:
        sha = site.repository.commit(files)
        found = {}
        for project in ("_local/site", "_local/site#docs"):
            deployment = f"dpl_{number}{project[-4:]}"
            job = replace(
                site.job(sha, deployment),
                project=project,
                earlier=lambda print_, project=project: known.get((project, print_)),  # type: ignore[misc]
            )
            built = found[project] = site.pipeline.run(job, site.control)
            assert built.origin is not None
            if built.origin.fingerprint:
                known[project, built.origin.fingerprint] = Earlier(
                    deployment_id=deployment, sha=sha, tools=built.origin.tools
                )
        return found

    names = [f"{folder}/{name}" for folder in ("web", "docs") for name in ("text", "config.toml")]
    push(1, {**dict.fromkeys(names, "page"), "web/build.sh": script, "docs/build.sh": script,
             "deploystack.toml": configuration})  # fmt: skip
    second = push(2, {"docs/text": "changed"})
    assert Stage.REUSE in second["_local/site"].stages
    assert Stage.REUSE not in second["_local/site#docs"].stages
    assert site.content(second["_local/site#docs"], "index.html") == "changed"
    third = push(3, {"web/text": "new"})
    assert Stage.REUSE not in third["_local/site"].stages
    assert Stage.REUSE in third["_local/site#docs"].stages
