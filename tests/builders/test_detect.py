"""Which row is taken, where the output may lie, and how the base path gets there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.builders.detect import plan
from bot.builders.plan import Plan
from bot.builders.scripts import is_last_command
from bot.builders.wrapped_configuration import inserting
from bot.errors import UserError
from tests.builders.conftest import MemoryTree

BASE = "/1a2b3c/"


def plan_of(scripts: dict[str, str], *packages: str, **files: str) -> Plan:
    content: dict[str, Any] = {"scripts": scripts, "dependencies": dict.fromkeys(packages, "1")}
    named = {name.replace("__", "."): text for name, text in files.items()}
    return plan(MemoryTree({"package.json": json.dumps(content), **named}), BASE)


def test_a_plain_site_needs_no_steps() -> None:
    assert plan(MemoryTree({"index.html": "", "dist/index.html": ""}), BASE) == Plan(
        framework="Plain HTML",
        reason="file `index.html`, and nothing that builds",
        base_path="plain files: links are published as they are",
    )


@pytest.mark.parametrize("folder", ["dist", "build", "public", "_site", "site", "out", "docs"])
def test_a_built_folder_is_published_as_it_is(folder: str) -> None:
    found = plan(MemoryTree({f"{folder}/index.html": "", "README.md": ""}), BASE)
    assert found == Plan(
        framework="Pre-built site",
        reason=f"file `{folder}/index.html`, and nothing that builds",
        outputs=(folder,),
        base_path="plain files: links are published as they are",
    )


def test_a_package_json_without_a_build_does_not_stop_a_plain_site() -> None:
    found = plan(MemoryTree({"package.json": "{}", "index.html": ""}), BASE)
    assert found.framework == "Plain HTML"


@pytest.mark.parametrize("files", [{}, {"README.md": ""}, {"package.json": "{}"}, {"a/b.html": ""}])
def test_nothing_to_publish_is_said_in_words(files: dict[str, str]) -> None:
    with pytest.raises(UserError) as raised:
        plan(MemoryTree(files), BASE)
    assert raised.value.code == "nothing-recognised"


@pytest.mark.parametrize(
    ("scripts", "packages", "expected"),
    [
        # What the build script calls counts more than what is there.
        ({"build": "next build && next export"}, ("next", "vite", "storybook"), "Next.js"),
        ({"build": "vite build", "docs:build": "vitepress build"}, ("vite", "vitepress"), "Vite"),
        ({"build": "vite build", "build-storybook": "storybook build"},
         ("vite", "storybook"), "Vite"),
        ({"build": "tsc", "docs:build": "vitepress build"}, ("vite", "vitepress"), "Vite"),
        ({"docs:build": "vitepress build docs"}, ("vitepress",), "VitePress"),
        ({"build": "astro build"}, ("astro", "vite", "express"), "Astro"),
        ({"build": "run-p type-check build-only", "build-only": "vite build"}, ("vite",), "Vite"),
        ({"build": "vite build"}, ("ember-cli", "vite"), "Ember"),
        ({"build": "react-scripts build"}, ("@ionic/react", "react-scripts"), "Create React App"),
        ({"build": "webpack"}, ("webpack", "vitepress", "storybook"), "package.json"),
        ({}, ("vite",), "Vite"),
        ({"build": "eleventy-plugin"}, ("@11ty/eleventy", "vite"), "Eleventy"),
    ],
)  # fmt: skip
def test_the_row_that_the_build_script_calls_is_taken(
    scripts: dict[str, str], packages: tuple[str, ...], expected: str
) -> None:
    assert plan_of(scripts, *packages).framework == expected


def argv(found: Plan) -> tuple[str, ...]:
    step = found.step("build")
    assert step is not None
    return step.argv


@pytest.mark.parametrize(
    "script",
    [
        "vite build",
        "tsc -b && vite build",
        "tsc --noEmit && vite build --mode production",
        "NODE_ENV=production vite build",
        "cross-env NODE_ENV=production npx vite build",
        "rm -rf dist; vite build",
        "vite  build",
    ],
)
def test_an_option_is_put_behind_the_script_where_it_reaches_the_framework(script: str) -> None:
    found = plan_of({"build": script}, "vite")
    assert argv(found) == ("npm", "run", "build", "--", "--base=/1a2b3c/")
    assert found.files == {}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("vite build && node prerender.js", "vite build --base=/1a2b3c/ && node prerender.js"),
        ("vite build | tee log", "vite build --base=/1a2b3c/ | tee log"),
        ("(vite build)", "(vite build --base=/1a2b3c/)"),
        ("vite build --base=/repo/", "vite build --base=/1a2b3c/"),
        ("vite build --base /repo/ && x", "vite build --base=/1a2b3c/ && x"),
        ("vite build -c a.ts && vite build -c b.ts",
         "vite build --base=/1a2b3c/ -c a.ts && vite build --base=/1a2b3c/ -c b.ts"),
    ],
)  # fmt: skip
def test_else_it_is_written_into_a_copy_of_package_json(script: str, expected: str) -> None:
    found = plan_of({"build": script, "test": "vitest"}, "vite")
    assert argv(found) == ("npm", "run", "build")
    written = json.loads(found.files["package.json"])
    assert written["scripts"] == {"build": expected, "test": "vitest"}
    assert written["dependencies"] == {"vite": "1"}
    assert "written into the scripts" in found.base_path


def test_an_option_reaches_a_script_that_another_script_starts() -> None:
    found = plan_of(
        {"build": 'run-p type-check "build-only {@}" --', "build-only": "vite build"}, "vite"
    )
    assert json.loads(found.files["package.json"])["scripts"]["build-only"] == (
        "vite build --base=/1a2b3c/"
    )


def test_a_build_that_calls_the_framework_out_of_sight_is_left_alone() -> None:
    found = plan_of({"build": "node build.js"}, "vite")
    assert argv(found) == ("npm", "run", "build")
    assert found.files == {}
    assert found.base_path.startswith("cannot be passed on: no script calls `vite build`")


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ("vite build", True),
        ("vite builder", False),
        ("vite build:ssr", False),
        ("my-vite build", False),
        ("echo vite build", False),
        ("vite build; echo done", False),
        ("vite build > log", False),
        ("a && b && vite build --x y", True),
    ],
)
def test_the_last_command_of_a_script(script: str, last: bool) -> None:
    assert is_last_command(script, ("vite", "build")) is last


def test_a_source_folder_that_has_an_index_page_is_no_output() -> None:
    """Create React App keeps its template in public/index.html."""
    found = plan_of({"build": "react-scripts build"}, "react-scripts", **{"public/index__html": ""})
    assert "public" not in found.outputs
    assert found.outputs[0] == "build"


def test_a_build_in_place_is_found_last() -> None:
    found = plan_of({"build": "sass a b"}, "sass", index__html="", **{"public/index__html": ""})
    assert found.outputs[-2:] == ("public", ".")
    assert found.outputs[0] == "dist"


def test_the_root_decides_what_is_looked_at() -> None:
    tree = MemoryTree(
        {
            "package.json": '{"scripts": {"build": "turbo build"}}',
            "apps/web/package.json": '{"scripts": {"build": "vite build"}, '
            '"dependencies": {"vite": "1"}, "packageManager": "pnpm@9.1.0", '
            '"engines": {"node": "20"}}',
            "apps/web/pnpm-lock.yaml": "",
        }
    )
    found = plan(tree, BASE, "apps/web")
    assert (found.framework, found.root) == ("Vite", "apps/web")
    assert found.lockfile == "apps/web/pnpm-lock.yaml"
    assert (found.package_manager, found.package_manager_version) == ("pnpm", "9.1.0")
    assert found.node == "20"
    assert argv(found) == ("pnpm", "run", "build", "--base=/1a2b3c/")


@pytest.mark.parametrize(("base", "public_url"), [("/1a2b3c/", "/1a2b3c/"), ("/", "/")])
def test_a_site_at_its_own_host_is_built_for_the_top(base: str, public_url: str) -> None:
    content = {"scripts": {"build": "react-scripts build"}, "dependencies": {"react-scripts": "5"}}
    found = plan(MemoryTree({"package.json": json.dumps(content)}), base)
    assert found.environment["PUBLIC_URL"] == public_url


@pytest.mark.parametrize(
    ("name", "text", "module"),
    [
        ("next.config.mjs", "export default { output: 'export' }", True),
        ("next.config.js", "module.exports = { output: 'export' }", False),
        ("next.config.js", "const x = 1;\nexport default { output: 'export' }", True),
        ("next.config.js", "import x from 'x';export default { output: 'export' }", True),
        ("next.config.ts", "export default { output: 'export' }", True),
    ],
)
def test_wrapped_configuration_speaks_the_projects_kind_of_module(
    name: str, text: str, module: bool
) -> None:
    found = plan_of({"build": "next build"}, "next", **{name.replace(".", "__"): text})
    stem, suffix = name.rsplit(".", 1)
    assert found.files[f"{stem}.own.{suffix}"] == text
    wrapper = found.files[name]
    assert ("export default" in wrapper) is module
    assert ("module.exports" in wrapper) is not module
    assert '"/1a2b3c"' in wrapper


@pytest.mark.parametrize(
    ("version", "asked", "node"),
    [
        ("^6.0.0", "", ">=22.12"),
        ("latest", "", ">=22.12"),
        ("5.16.0", "", ""),
        ("^6.0.0", "24", "24"),
    ],
)
def test_a_framework_gets_the_node_it_wants_unless_the_project_says(
    version: str, asked: str, node: str
) -> None:
    content = {
        "scripts": {"build": "astro build"},
        "dependencies": {"astro": version},
        "engines": {"node": asked} if asked else {},
    }
    assert plan(MemoryTree({"package.json": json.dumps(content)}), BASE).node == node


def test_a_newer_sveltekit_has_its_options_in_the_vite_configuration() -> None:
    text = "import a from '@sveltejs/adapter-static';\nexport default {};"
    found = plan_of({"build": "vite build"}, "@sveltejs/kit", vite__config__ts=text)
    assert sorted(found.files) == ["vite.config.own.ts", "vite.config.ts"]
    assert 'base: "/1a2b3c" }' in found.files["vite.config.ts"]


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("remix({ ssr: false })", 'remix({ basename: "/x/", ssr: false })'),
        ("remix( {\n ssr: false })", 'remix( { basename: "/x/",\n ssr: false })'),
        ("remix()", 'remix({ basename: "/x/", })'),
        ("remix({ basename: '/app/', ssr: false })", 'remix({ basename: "/x/",  ssr: false })'),
        ("other({ ssr: false })", "other({ ssr: false })"),
    ],
)
def test_an_option_is_put_into_a_plugins_call(text: str, changed: str) -> None:
    assert inserting(text, r"\bremix\(", "basename", "/x/") == changed
