"""Ignore rules: which paths a pattern names, and what a build then does, with real Git."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.builders.ignored import is_ignored
from bot.builders.job import Ignored, Job
from bot.errors import UserError
from tests.builders.test_pipeline import Site, site, with_script

__all__ = ["site"]


@pytest.mark.parametrize(
    ("path", "patterns", "ignored"),
    [
        ("docs/a.md", ["docs"], True),
        ("docs/a.md", ["docs/"], True),
        ("x/docs/a.md", ["docs"], True),
        ("x/docs/a.md", ["/docs"], False),
        ("docs", ["docs/"], False),
        ("a.md", ["*.md"], True),
        ("b/a.md", ["*.md"], True),
        ("b/a.md", ["/*.md"], False),
        ("web/x/y.js", ["web/**"], True),
        ("web/x/y.js", ["web/*.js"], False),
        ("web/y.js", ["web/*.js"], True),
        ("web", ["web/**"], False),
        ("a/b/c.js", ["a/**/c.js"], True),
        ("a/c.js", ["a/**/c.js"], True),
        ("ab/c.js", ["a/**/c.js"], False),
        ("a/b", ["**/b"], True),
        ("b", ["**/b"], True),
        ("x", ["**", "!web/**"], True),
        ("web/a", ["**", "!web/**"], False),
        ("web/docs/a", ["**", "!web/**", "web/docs/"], True),
        ("f1", ["f[0-9]"], True),
        ("fx", ["f[!0-9]"], True),
        ("f1", ["f?"], True),
        ("a.b", ["a?b"], True),
        ("a/b", ["a?b"], False),
        ("a+b.md", ["a+b.md"], True),
        ("é/x", ["é/"], True),
        ("x", [], False),
    ],
)
def test_a_pattern_names_paths_as_gitignore_does(
    path: str, patterns: list[str], ignored: bool
) -> None:
    assert is_ignored(path, patterns) is ignored


RULE = {"deploystack.toml": "[ignore]\npaths = ['docs/', '*.md']\n", "index.html": "x"}


def job_after(site: Site, built: str, files: dict[str, str]) -> Job:
    return replace(site.job(site.repository.commit(files), "dpl_2"), built=built)


def test_a_push_that_changes_nothing_but_ignored_files_is_not_built(site: Site) -> None:
    first = site.repository.commit(RULE)
    site.repository.commit({"docs/a.txt": "y"})
    job = job_after(site, first, {"README.md": "z"})
    with pytest.raises(Ignored, match="names all 2 files that changed since " + first[:7]):
        site.pipeline.run(job, site.control)
    assert site.left_behind == []


def test_a_push_that_changes_more_is_built(site: Site) -> None:
    first = site.repository.commit(RULE)
    job = job_after(site, first, {"README.md": "z", "index.html": "y"})
    assert site.content(site.pipeline.run(job, site.control), "index.html") == "y"


@pytest.mark.parametrize("built", ["", "f" * 40])
def test_without_a_page_to_compare_with_a_commit_is_built(site: Site, built: str) -> None:
    site.repository.commit(RULE)
    job = job_after(site, built, {"README.md": "z"})
    assert site.pipeline.run(job, site.control).manifest.files


def test_a_fresh_build_minds_no_rule(site: Site) -> None:
    first = site.repository.commit(RULE)
    job = replace(job_after(site, first, {"README.md": "z"}), fresh=True)
    assert site.pipeline.run(job, site.control).manifest.files


def command(text: str) -> dict[str, str]:
    return {"deploystack.toml": f"[ignore]\ncommand = {text!r}\n", "index.html": "x"}


def test_a_command_that_ends_with_0_keeps_a_commit_from_being_built(site: Site) -> None:
    said = "cat $CHANGED_FILES && echo since $PREVIOUS_COMMIT_SHA && ! grep -q web/ $CHANGED_FILES"
    first = site.repository.commit(command(said))
    job = job_after(site, first, {"other.txt": "z"})
    with pytest.raises(Ignored, match="ended with 0"):
        site.pipeline.run(job, site.control)
    assert site.log.output.decode() == f"other.txt\nsince {first}\n"
    job = job_after(site, first, {"web/a.txt": "z"})
    assert site.pipeline.run(job, site.control).manifest.files


def test_a_command_that_cannot_be_run_keeps_nothing_from_being_built(site: Site) -> None:
    assert site.deploy(command("no-such-program")).manifest.files


def test_the_command_cannot_touch_what_is_published_by_ending_otherwise(site: Site) -> None:
    files = with_script("mkdir dist; cp made dist/index.html", made="x")
    files["deploystack.toml"] = "[ignore]\ncommand = 'sh -c \"exit 3\"'\n"
    assert site.content(site.deploy(files), "index.html") == "x"


def test_a_projects_limits_are_lower_than_the_hosts_and_never_higher(site: Site) -> None:
    files = with_script("sleep 60")
    files["deploystack.toml"] = "[limits]\ntime = 1\nmemory = '900G'\n"
    with pytest.raises(UserError, match="1 s") as raised:
        site.deploy(files)
    assert raised.value.code == "timed-out"
    assert "limits.time" in raised.value.hint
    assert "limits.memory is more than this host allows; its own BUILD_MEMORY holds" in (
        site.log.lines
    )
    with pytest.raises(UserError, match="more than 1 KB"):
        site.deploy({"index.html": "x" * 2000, "deploystack.toml": "[limits]\noutput = '1K'"})
