"""What a build of one of several projects reads of the repository: real commits."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bot.builders import configured
from bot.builders.reads import digests
from bot.settings import Settings
from tests.builders.test_pipeline import Site
from tests.builders.test_workspace import monorepo

UI = json.loads(monorepo().files["packages/ui/package.json"])
WEB = json.loads(monorepo().files["apps/web/package.json"])
ROOT = json.loads(monorepo().files["package.json"])


class Repository(Site):
    def reads(self, files: dict[str, str]) -> tuple[str, ...]:
        """What the build of a commit with these files besides reads."""
        job = self.job(self.repository.commit(files))
        with self.pipeline._fetch(job, job.sha, self.control) as source:
            return digests(source, configured.plan(source.tree, "/", "preview"))


@pytest.fixture
def repository(make_settings: Callable[..., Settings]) -> Repository:
    found = Repository(make_settings())
    found.reads({**monorepo().files, "deploystack.toml": "root = 'apps/web'\n"})
    return found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("packages/unrelated/src/index.js", "x"),
        ("apps/other/index.html", "x"),
        ("docs/a.md", "x"),
        ("README.md", "x"),
        ("scripts/release.js", "x"),
    ],
)
def test_what_a_member_does_not_need_is_not_read(
    repository: Repository, path: str, text: str
) -> None:
    before = repository.reads({})
    assert repository.reads({path: text}) == before


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("apps/web/src/main.js", "x"),
        ("packages/ui/src/index.js", "x"),
        ("packages/tokens/make.js", "x"),
        ("package-lock.json", '{"lockfileVersion": 3}'),
        ("tsconfig.base.json", "{}"),
        ("packages/unrelated/package.json", '{"name": "other", "version": "2.0.0"}'),
        ("patches/x.patch", "x"),
        (".yarn/releases/yarn.cjs", "x"),
        ("apps/shared.js", "x"),
    ],
)
def test_what_a_member_needs_is_read(repository: Repository, path: str, text: str) -> None:
    before = repository.reads({})
    assert repository.reads({path: text}) != before


@pytest.mark.parametrize(
    ("path", "text", "everything"),
    [
        # Upwards, to what is read anyway.
        ("apps/web/tsconfig.json", '{"extends": "../../tsconfig.base.json"}', False),
        ("apps/web/src/a.ts", "import { a } from '../../../packages/ui/src/a'", False),
        ("apps/web/p.json", '{"$schema": "../../node_modules/nx/schemas/project.json"}', False),
        ("packages/ui/src/a.ts", "import { a } from '../../tokens/a'", False),
        # And to what is not.
        ("apps/web/src/a.ts", "import { a } from '../../../packages/unrelated/a'", True),
        ("apps/web/build.js", "read('../../packages/*/a')", True),
        ("apps/web/build.js", "read(`${here}/../../data`)", True),
        ("apps/web/build.js", "join(here, '..', '..')", True),
        ("apps/web/build.js", "read('../..')", True),
        ("packages/ui/build.js", "read('../../scripts/a.js')", True),
        ("apps/web/a.js", "read('../../../../outside')", True),
        # The folders above speak of others.
        ("tsconfig.base.json", '{"compilerOptions": {"paths": {"@o/x": ["libs/x"]}}}', True),
        ("babel.config.js", "require('./scripts/preset/a')", True),
        ("babel.config.js", "require('./packages/ui/preset')", False),
        # What is installed at the root runs a script of its own.
        ("package.json", json.dumps(ROOT | {"scripts": {"postinstall": "node x"}}), True),
        ("package.json", json.dumps(ROOT | {"scripts": {"prepare": "husky || true"}}), False),
    ],
)
def test_what_leads_further_out_depends_on_everything(
    repository: Repository, path: str, text: str, everything: bool
) -> None:
    before = repository.reads({path: text})
    assert (len(before) == 1) is everything
    assert (repository.reads({"elsewhere/a.txt": "x"}) != before) is everything


@pytest.mark.parametrize("kept_private", [True, False])
def test_a_package_that_is_named_without_being_asked_for_is_in_reach(
    repository: Repository, kept_private: bool
) -> None:
    other = {"name": "@o/other"} | ({} if kept_private else {"main": "a.js"})
    before = repository.reads(
        {
            "packages/unrelated/package.json": json.dumps(other),
            "apps/web/src/main.js": "import '@o/other'",
        }
    )
    after = repository.reads({"packages/unrelated/a.js": "changed"})
    assert (after == before) is kept_private


def test_without_a_workspace_it_is_the_projects_folder_and_what_lies_above(
    repository: Repository,
) -> None:
    files = {"package.json": "{}", "apps/web/package-lock.json": "{}"}
    before = repository.reads(files)
    assert repository.reads({"packages/ui/src/index.js": "x"}) == before
    assert repository.reads({"tsconfig.json": "{}"}) != before


def test_a_package_whose_name_only_begins_alike_is_not_named(repository: Repository) -> None:
    other = {"name": "@o/u", "main": "a.js"}
    before = repository.reads(
        {
            "packages/unrelated/package.json": json.dumps(other),
            "apps/web/src/main.js": "import '@o/ui'; import '@o/u-icons'",
        }
    )
    assert len(before) > 1
    assert repository.reads({"packages/unrelated/a.js": "changed"}) == before
