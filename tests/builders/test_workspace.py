"""Which workspace a project lies in, and the plan that follows from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.builders import configured
from bot.builders.detect import plan
from bot.builders.plan import Plan, Step
from bot.builders.workspace import enclosing
from bot.errors import UserError
from tests.builders.conftest import MemoryTree

BASE = "/1a2b3c/"
VITE = {"name": "web", "scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}


def text(**content: Any) -> str:
    return json.dumps(content)


def monorepo(**changes: str | None) -> MemoryTree:
    """An npm workspace: `apps/web` needs `packages/ui`, which needs `packages/tokens`."""
    files: dict[str, str | None] = {
        "package.json": text(name="all", workspaces=["apps/*", "packages/*"]),
        "package-lock.json": "{}",
        "apps/web/package.json": json.dumps(
            VITE | {"dependencies": {"@o/ui": "*", "@o/tokens": "^1.0.0"}}
        ),
        "apps/web/index.html": "",
        "packages/ui/package.json": text(
            name="@o/ui", scripts={"build": "tsc"}, dependencies={"@o/tokens": "workspace:^"}
        ),
        "packages/tokens/package.json": text(
            name="@o/tokens", version="1.2.0", scripts={"build": "node make.js"}
        ),
        "packages/unrelated/package.json": text(name="other", scripts={"build": "false"}),
    }
    named = {name.replace("__", "/"): content for name, content in changes.items()}
    all_files = files | named
    return MemoryTree({name: content for name, content in all_files.items() if content is not None})


def argvs(found: Plan) -> list[tuple[str, str]]:
    """(folder, command) of all steps."""
    return [(found.folder_of(step), " ".join(step.argv)) for step in found.steps]


def test_a_member_installs_at_the_root_and_builds_what_it_needs_first() -> None:
    found = plan(monorepo(), BASE, "apps/web")
    assert found.steps == (
        Step(name="install", argv=("npm", "ci", "--no-audit", "--no-fund")),
        Step(name="build", argv=("npm", "run", "build"), folder="packages/tokens"),
        Step(name="build", argv=("npm", "run", "build"), folder="packages/ui"),
        Step(name="build", argv=("npm", "run", "build", "--", f"--base={BASE}")),
    )
    assert [found.folder_of(step) for step in found.steps] == [
        ".", "packages/tokens", "packages/ui", "apps/web",
    ]  # fmt: skip
    assert (found.root, found.workspace, found.install_folder) == ("apps/web", ".", ".")
    assert found.lockfile == "package-lock.json"
    assert found.needed == ("packages/tokens", "packages/ui")
    assert found.notes == (
        "npm workspace of 4 packages at the repository's root; installing there",
        "Built first: @o/tokens, @o/ui",
    )
    assert found.framework == "Vite"


@pytest.mark.parametrize(
    ("changes", "commands", "kind"),
    [
        ({"package-lock.json": None, "pnpm-lock.yaml": "", "package.json": "{}",
          "pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n  - packages/**\n"},
         [(".", "pnpm install --frozen-lockfile"), ("packages/tokens", "pnpm run build"),
          ("packages/ui", "pnpm run build"), ("apps/web", f"pnpm run build --base={BASE}")],
         "pnpm"),
        ({"package-lock.json": None, "yarn.lock": "# yarn lockfile v1",
          "package.json": text(workspaces={"packages": ["apps/*", "packages/*"], "nohoist": []})},
         [(".", "yarn install --frozen-lockfile"), ("packages/tokens", "yarn run build"),
          ("packages/ui", "yarn run build"), ("apps/web", f"yarn run build --base={BASE}")],
         "yarn"),
        ({"package-lock.json": None, "yarn.lock": "__metadata:\n  version: 8\n"},
         [(".", "yarn install --immutable"), ("packages/tokens", "yarn run build"),
          ("packages/ui", "yarn run build"), ("apps/web", f"yarn run build --base={BASE}")],
         "yarn"),
        ({"package-lock.json": None, "bun.lock": "{}"},
         [(".", "bun install --frozen-lockfile"), ("packages/tokens", "bun run build"),
          ("packages/ui", "bun run build"), ("apps/web", f"bun run build --base={BASE}")],
         "bun"),
    ],
)  # fmt: skip
def test_every_package_managers_workspace(
    changes: dict[str, str | None], commands: list[tuple[str, str]], kind: str
) -> None:
    found = plan(monorepo(**changes), BASE, "apps/web")
    assert argvs(found) == commands
    assert found.package_manager == kind
    assert found.notes[0].startswith(f"{kind} workspace of 4 packages")


TURBO = text(workspaces=["apps/*", "packages/*"], devDependencies={"turbo": "2"})
NX = text(workspaces=["apps/*", "packages/*"], devDependencies={"nx": "21"})


@pytest.mark.parametrize(
    ("changes", "commands"),
    [
        ({"package.json": TURBO, "turbo.json": "{}"},
         ["node_modules/.bin/turbo run build --filter=web^..."]),
        ({"package.json": TURBO,
          "turbo.json": '{"tasks": {/* own */ "build": {"dependsOn": ["^build", "code-gen",],}}}'},
         ["node_modules/.bin/turbo run build --filter=web^...",
          "node_modules/.bin/turbo run code-gen --filter=web"]),
        ({"package.json": TURBO,
          "turbo.json": text(pipeline={"web#build": {"dependsOn": ["a"]},
                                       "build": {"dependsOn": ["b"]}})},
         ["node_modules/.bin/turbo run build --filter=web^...",
          "node_modules/.bin/turbo run a --filter=web"]),
        # Named, but not installed: packages one after the other.
        ({"turbo.json": "{}"}, ["npm run build", "npm run build"]),
        ({"package.json": NX, "nx.json": "{}"},
         ["node_modules/.bin/nx run-many --target=build --projects=@o/tokens,@o/ui"]),
        ({"package.json": NX, "nx.json": text(targetDefaults={"build": {"dependsOn": ["gen"]}}),
          "packages/ui/project.json": text(name="ui")},
         ["node_modules/.bin/nx run-many --target=build --projects=@o/tokens,ui",
          "node_modules/.bin/nx run web:gen"]),
        ({"package.json": TURBO, "turbo.json": "{}", "package-lock.json": None,
          "yarn.lock": "__metadata:"}, ["yarn run turbo run build --filter=web^..."]),
        # Nothing that it needs is built.
        ({"package.json": TURBO, "turbo.json": "{}", "apps/web/package.json": json.dumps(VITE)},
         []),
    ],
)  # fmt: skip
def test_what_a_project_needs_is_built_by_turborepo_or_nx_where_there_is_one(
    changes: dict[str, str | None], commands: list[str]
) -> None:
    found = plan(monorepo(**changes), BASE, "apps/web")
    assert [" ".join(step.argv) for step in found.steps[1:-1]] == commands
    tools = ("turbo", "nx")
    assert all(step.folder == "." for step in found.steps if set(tools) & set(step.argv))


@pytest.mark.parametrize(
    ("pattern", "member"),
    [
        ("apps/*", True),
        ("./apps/*", True),
        ("apps/*/", True),
        ("apps/**", True),
        ("**", True),
        ("**/web", True),
        ("apps/web", True),
        ("{apps,libs}/*", True),
        ("apps/w?b", True),
        ("apps", False),
        ("*", False),
        ("packages/*", False),
        ("apps/{web", False),
    ],
)
def test_a_workspace_names_its_members_by_patterns(pattern: str, member: bool) -> None:
    tree = monorepo(**{"package.json": text(workspaces=[pattern])})
    assert (enclosing(tree, "apps/web") is not None) is member


@pytest.mark.parametrize(
    ("changes", "root"),
    [
        ({"package.json": text(name="no workspace")}, "apps/web"),
        ({"package.json": text(workspaces=["apps/*", "!apps/web"])}, "apps/web"),
        ({"package.json": None}, "apps/web"),
        ({}, "."),
        ({}, "apps"),
        # Its own lockfile, and none at the root: it is installed by itself.
        ({"package-lock.json": None, "apps/web/package-lock.json": "{}"}, "apps/web"),
    ],
)
def test_what_is_no_member_is_a_project_of_its_own(
    changes: dict[str, str | None], root: str
) -> None:
    assert enclosing(monorepo(**changes), root) is None


def test_the_innermost_workspace_that_counts_it_is_the_one() -> None:
    inner = {f"sub/{name}": content for name, content in monorepo().files.items()}
    tree = MemoryTree({"package.json": text(workspaces=["x/*"]), **inner})
    found = plan(tree, BASE, "sub/apps/web")
    assert (found.workspace, found.lockfile) == ("sub", "sub/package-lock.json")
    assert found.notes[0].endswith("packages at sub; installing there")


def test_a_registrys_package_of_the_same_name_is_no_member() -> None:
    web = json.dumps(VITE | {"dependencies": {"@o/tokens": "^9.0.0"}})
    assert plan(monorepo(**{"apps/web/package.json": web}), BASE, "apps/web").needed == ()


def test_packages_that_need_one_another_are_built_once() -> None:
    tokens = text(name="@o/tokens", version="1.2.0", dependencies={"@o/ui": "*"})
    found = plan(monorepo(**{"packages/tokens/package.json": tokens}), BASE, "apps/web")
    assert sorted(found.needed) == ["packages/tokens", "packages/ui"]


@pytest.mark.parametrize(
    ("changes", "node"),
    [
        ({".nvmrc": "22"}, "22"),
        ({".nvmrc": "22", "apps/web/.nvmrc": "20"}, "20"),
        ({"package.json": text(workspaces=["apps/*"], engines={"node": ">=20"})}, ">=20"),
        ({".node-version": "22.3.0",
          "apps/web/package.json": json.dumps(VITE | {"engines": {"node": ">=18"}})}, "22.3.0"),
    ],
)  # fmt: skip
def test_the_node_version_is_the_projects_or_else_the_workspaces(
    changes: dict[str, str | None], node: str
) -> None:
    assert plan(monorepo(**changes), BASE, "apps/web").node == node


def test_the_package_managers_version_is_the_workspaces() -> None:
    root = text(workspaces=["apps/*"], packageManager="pnpm@9.1.0")
    found = plan(monorepo(**{"package.json": root}), BASE, "apps/web")
    assert (found.package_manager, found.package_manager_version) == ("pnpm", "9.1.0")


def test_programs_that_the_root_alone_brings_are_found() -> None:
    root = text(workspaces=["apps/*"], devDependencies={"vite": "7", "vitepress": "1"})
    web = text(name="web", scripts={"build": "vite build"})
    changes: dict[str, str | None] = {"package.json": root, "apps/web/package.json": web}
    found = plan(monorepo(**changes), BASE, "apps/web")
    assert found.framework == "Vite"
    assert found.path == ("node_modules/.bin", "../../node_modules/.bin")
    web = text(name="web", devDependencies={"vite": "7"})
    found = plan(monorepo(**{"apps/web/package.json": web}), BASE, "apps/web")
    assert found.steps[-1].argv == ("vite", "build", f"--base={BASE}")


def test_a_command_of_the_projects_own_takes_the_place_of_all_that_is_built() -> None:
    toml = "root = 'apps/web'\n[build]\ncommand = 'turbo run build'\ninstall = 'npm ci --force'\n"
    found = configured.plan(monorepo(**{"deploystack.toml": toml}), BASE, "preview")
    assert argvs(found) == [("apps/web", "npm ci --force"), ("apps/web", "turbo run build")]
    assert found.notes == (
        "npm workspace of 4 packages at the repository's root; installing there",
    )


def test_a_workspace_that_cannot_be_read_is_said_in_words() -> None:
    with pytest.raises(UserError) as raised:
        plan(monorepo(**{"pnpm-workspace.yaml": "packages: [a\n"}), BASE, "apps/web")
    assert raised.value.code == "invalid-workspace"
    assert "pnpm-workspace.yaml is not valid YAML" in raised.value.message


def nx(project: dict[str, Any], **files: str) -> MemoryTree:
    return MemoryTree(
        {
            "package.json": text(devDependencies={"nx": "21", "vite": "7"}),
            "package-lock.json": "{}",
            "nx.json": "{}",
            "apps/shop/project.json": json.dumps(project),
        }
        | {name.replace("__", "/"): content for name, content in files.items()}
    )


@pytest.mark.parametrize(
    ("project", "files", "option", "output"),
    [
        ({"name": "shop", "targets": {"build": {"executor": "@nx/vite:build",
          "options": {"outputPath": "dist/apps/shop"}}}}, {}, f" --base={BASE}", "dist/apps/shop"),
        ({"name": "shop"}, {"apps/shop/vite.config.ts": ""}, f" --base={BASE}",
         "dist/apps/shop"),
        ({"name": "shop", "targets": {"build": {"executor": "@angular/build:application",
          "options": {"outputPath": {"base": "out/shop"}}}}}, {}, f" --base-href={BASE}",
         "out/shop"),
        ({"name": "shop", "targets": {"build": {"executor": "nx:run-commands",
          "options": {"command": "vite build"}}}}, {}, f" --base={BASE}", "dist/apps/shop"),
        ({"name": "shop", "targets": {"build": {"executor": "nx:run-commands",
          "outputs": ["{workspaceRoot}/dist/{projectRoot}/site"]}}}, {}, "",
         "dist/apps/shop/site"),
    ],
)  # fmt: skip
def test_a_project_that_is_nxs_own_is_built_by_nx(
    project: dict[str, Any], files: dict[str, str], option: str, output: str
) -> None:
    found = plan(nx(project, **files), BASE, "apps/shop")
    assert argvs(found) == [
        (".", "npm ci --no-audit --no-fund"),
        (".", f"node_modules/.bin/nx build shop{option}"),
    ]
    assert output in found.outputs[:2]
    assert found.notes == ("Nx workspace at the repository's root; installing there",)


@pytest.mark.parametrize(
    ("build", "needs", "first"),
    [
        ("vite build", {"@o/ui": "*"}, ["packages/tokens", "packages/ui"]),
        ("vite build", {}, []),
        ("npm run build -w packages/ui && vite build", {"@o/ui": "*"}, []),
        ("turbo run build && vite build", {"@o/ui": "*"}, []),
        ("yarn workspaces foreach run build && vite build", {"@o/ui": "*"}, []),
    ],
)
def test_a_site_at_the_root_of_a_workspace_has_what_it_needs_built_first(
    build: str, needs: dict[str, str], first: list[str]
) -> None:
    root = VITE | {"workspaces": ["packages/*"], "scripts": {"build": build}, "dependencies": needs}
    found = plan(monorepo(**{"package.json": json.dumps(root)}), BASE)
    assert [found.folder_of(step) for step in found.steps[1:-1]] == first
    assert found.folder_of(found.steps[0]) == found.folder_of(found.steps[-1]) == "."
    assert bool(found.notes) is bool(first)


def test_a_site_at_the_root_has_turborepo_build_what_it_needs_by_name() -> None:
    root = VITE | {"workspaces": ["packages/*"], "dependencies": {"@o/ui": "*"}}
    root |= {"devDependencies": {"vite": "7", "turbo": "2"}}
    found = plan(monorepo(**{"package.json": json.dumps(root), "turbo.json": "{}"}), BASE)
    assert found.steps[1].argv == (
        "node_modules/.bin/turbo", "run", "build", "--filter=@o/tokens", "--filter=@o/ui",
    )  # fmt: skip
