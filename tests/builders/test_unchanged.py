"""Publishing an earlier output again, when that is right: real Git, real builds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.builders.job import Built, Earlier, Stage
from bot.builders.variables import Variables
from bot.errors import UserError
from bot.secret import Secret
from bot.settings import Settings
from tests.builders.test_pipeline import Site, with_script
from tests.programs import require_program

BUILD = "mkdir -p dist; echo page > dist/index.html; echo $A > dist/a; date +%N > dist/time"


class Remembering(Site):
    """A site whose deployments are known by their fingerprints, as the database knows them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.known: dict[str, Earlier] = {}
        self.count = 0

    def push(self, files: dict[str, str], **changes: Any) -> Built:
        self.count += 1
        sha = self.repository.commit(files)
        job = replace(self.job(sha, f"dpl_{self.count}"), earlier=self.known.get, **changes)
        self.log.lines.clear()
        built = self.pipeline.run(job, self.control)
        origin = built.origin
        assert origin is not None
        if origin.fingerprint:
            self.known[origin.fingerprint] = Earlier(
                deployment_id=job.deployment_id, sha=sha, tools=origin.tools
            )
        return built

    def is_reused(self, built: Built) -> bool:
        assert built.origin is not None
        said = any(
            line.startswith("Nothing that the build reads has changed since ")
            for line in self.log.lines
        )
        assert said == (Stage.REUSE in built.stages) == bool(built.origin.reused)
        assert said == (Stage.BUILD not in built.stages)
        return said


@pytest.fixture
def site(make_settings: Callable[..., Settings]) -> Remembering:
    require_program("npm")
    return Remembering(make_settings(BUILD_TIMEOUT=120))


def test_what_no_build_reads_is_published_again_from_the_earlier_output(site: Remembering) -> None:
    first = site.push(own(BUILD))
    assert not site.is_reused(first)
    again = site.push({})
    assert site.is_reused(again)
    assert again.manifest.files == first.manifest.files
    assert again.manifest.deployment == "dpl_2"
    assert site.store.manifest("dpl_2").base == again.manifest.base != first.manifest.base
    assert again.origin is not None
    assert first.origin is not None
    assert again.origin.tools == first.origin.tools
    assert "Node" not in again.origin.tools
    third = site.push({"index.txt": "new"})
    assert not site.is_reused(third)


def own(script: str, **keys: str) -> dict[str, str]:
    """A project that a plain command builds, of which no switch passes the base path on."""
    more = "".join(f"{name} = {value}\n" for name, value in keys.items())
    text = f"[build]\ncommand = 'sh build.sh'\noutput = 'dist'\nframework = 'Zola'\n{more}"
    return {"build.sh": script, "config.toml": "", "deploystack.toml": text}


def test_a_build_that_is_told_its_base_path_is_never_the_same(site: Remembering) -> None:
    site.push(with_script(BUILD))
    assert not site.is_reused(site.push({}))


def test_at_a_host_of_its_own_every_build_is_for_the_same_path(site: Remembering) -> None:
    first = site.push(with_script(BUILD), base_path="/")
    again = site.push({}, base_path="/")
    assert site.is_reused(again)
    assert again.manifest.files == first.manifest.files


@pytest.mark.parametrize("told", ["$COMMIT_SHA", "$BASE_PATH"])
def test_an_output_that_names_its_commit_serves_no_other(site: Remembering, told: str) -> None:
    first = site.push(own(f"{BUILD}; echo {told} > dist/told"))
    assert first.origin is not None
    assert first.origin.fingerprint == ""
    assert not site.is_reused(site.push({}))


def test_other_variables_contexts_branches_and_trust_make_another_build(site: Remembering) -> None:
    files = own(BUILD)
    site.push(files)
    for changes in (
        {"variables": Variables(plain={"A": "1"})},
        {"variables": Variables(secret={"A": Secret("one secret value")})},
        {"environment": "production"},
        {"ref": "other"},
        {"trusted": False},
    ):
        if changes == {"trusted": False}:
            changes["variables"] = Variables()
        assert not site.is_reused(_unleaking(site, files, changes))


def _unleaking(site: Remembering, files: dict[str, str], changes: dict[str, Any]) -> Built:
    script = "mkdir -p dist; echo page > dist/index.html"
    site.push({**files, "build.sh": script})
    return site.push({}, **changes)


def test_other_tools_make_another_build(site: Remembering) -> None:
    site.push(own(BUILD))
    site.known = {key: replace(known, tools="zola:old") for key, known in site.known.items()}
    assert not site.is_reused(site.push({}))


def test_who_wants_a_build_gets_one(site: Remembering) -> None:
    site.push(own(BUILD))
    assert not site.is_reused(site.push({}, fresh=True))
    site.push(own(BUILD, reuse="false"))
    assert not site.is_reused(site.push({}))


def test_an_earlier_output_that_is_gone_is_built_anew(site: Remembering) -> None:
    site.push(own(BUILD))
    site.store.delete("dpl_1")
    assert not site.is_reused(site.push({}))


def test_an_earlier_output_is_held_against_the_limits_of_today(site: Remembering) -> None:
    site.push(own(BUILD))
    site.pipeline._settings = replace(site.settings, MAX_FILE_SIZE=2)
    with pytest.raises(UserError) as refused:
        site.push({})
    assert refused.value.code == "file-too-large"


def test_a_change_outside_of_the_projects_folder_is_none(site: Remembering) -> None:
    files = {f"web/{name}": text for name, text in own(BUILD).items()}
    files["deploystack.toml"] = f"root = 'web'\n{files.pop('web/deploystack.toml')}"
    site.push(files)
    assert site.is_reused(site.push({"other/a.txt": "x", "README.md": "y"}))
    assert not site.is_reused(site.push({"tsconfig.json": "{}"}))


@pytest.mark.parametrize(
    ("path", "text", "leads_out"),
    [
        ("web/a.js", "import x from '../other/x'", True),
        ("web/src/a.js", "import x from '../b'", False),
        ("web/src/a.js", "import x from '../../other/x'", True),
        ("web/a.js", "path.join(__dirname, '..', 'other')", True),
        ("web/src/a.js", "path.join(__dirname, '..', 'other')", False),
        ("web/a.js", "const all = [...one, ...two]", False),
    ],
)
def test_a_project_that_reads_further_out_depends_on_all_of_it(
    site: Remembering, path: str, text: str, leads_out: bool
) -> None:
    files = {f"web/{name}": text for name, text in own(BUILD).items()}
    files["deploystack.toml"] = f"root = 'web'\n{files.pop('web/deploystack.toml')}"
    site.push({**files, path: text})
    assert site.is_reused(site.push({"other/x.js": "changed"})) is not leads_out


def test_an_upload_serves_no_other(site: Remembering, tmp_path: Path) -> None:
    folder = tmp_path / "upload"
    folder.mkdir()
    for name, text in own(BUILD).items():
        (folder / name).write_text(text)
    built = site.pipeline.run_folder(folder, site.job(""), site.control)
    assert built.origin is not None
    assert built.origin.fingerprint == ""
