"""What changes the key of a project's dependencies, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.builders.dependency_key import dependencies_of
from bot.builders.plan import Plan, Step
from bot.builders.toolchain import Toolchain

PLAN = Plan(
    framework="x",
    reason="y",
    package_manager="npm",
    steps=(Step(name="install", argv=("npm", "ci")), Step(name="build", argv=("npm", "run", "b"))),
)
NODE = Toolchain(name="node", version="20.20.2", manager="npm 10.0.0")
PACKAGE: dict[str, Any] = {"name": "site", "dependencies": {"dep": "1"}}
BASE = {"package.json": json.dumps(PACKAGE), "package-lock.json": "{}", "src/main.js": ""}


def key(folder: Path, changes: dict[str, str | None], plan: Plan = PLAN) -> str:
    for name, text in (BASE | changes).items():
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return dependencies_of(folder, plan, NODE).key


def package(**changes: Any) -> str:
    return json.dumps(PACKAGE | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"package-lock.json": '{"lockfileVersion": 3}'},
        {"package.json": package(dependencies={"dep": "2"})},
        {"package.json": package(overrides={"dep": "2"})},
        {"package.json": package(devDependencies={"other": "1"})},
        {".npmrc": "legacy-peer-deps=true"},
        {"packages/a/package.json": package(name="a")},
        {"patches/dep.patch": "-1"},
        {"prisma/schema.prisma": "model A {}"},
        {"pnpm-workspace.yaml": "packages: [a]"},
        {".yarnrc.yml": "nodeLinker: node-modules"},
    ],
)
def test_what_an_install_reads_is_part_of_the_key(
    tmp_path: Path, changes: dict[str, str | None]
) -> None:
    before = key(tmp_path / "before", {})
    assert before
    assert key(tmp_path / "after", changes) not in {before, ""}


@pytest.mark.parametrize(
    "changes",
    [
        {"src/main.js": "changed"},
        {"package.json": package(version="2.0.0", description="new")},
        {"package.json": package(scripts={"build": "vite build"})},
        {"package.json": json.dumps(PACKAGE, indent=4)},
    ],
)
def test_what_an_install_does_not_read_is_no_part_of_it(
    tmp_path: Path, changes: dict[str, str | None]
) -> None:
    assert key(tmp_path / "after", changes) == key(tmp_path / "before", {})


def test_node_the_package_manager_and_the_command_are_part_of_the_key(tmp_path: Path) -> None:
    first = key(tmp_path, {})
    others = {
        dependencies_of(tmp_path, PLAN, replace(NODE, version="22.0.0")).key,
        dependencies_of(tmp_path, PLAN, replace(NODE, manager="npm 11.0.0")).key,
        dependencies_of(
            tmp_path, replace(PLAN, steps=(Step(name="install", argv=("npm", "i")),)), NODE
        ).key,
    }
    assert len(others | {first}) == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"package-lock.json": None},
        {"node_modules/dep/index.js": "committed"},
        {"packages/a/package.json": package(scripts={"postinstall": "node x"})},
    ],
)
def test_an_install_that_cannot_be_repeated_by_copying_has_no_key(
    tmp_path: Path, changes: dict[str, str | None]
) -> None:
    assert key(tmp_path, changes) == ""


def test_a_copied_dependency_of_the_repository_itself_leaves_no_key(tmp_path: Path) -> None:
    changes = {"package.json": package(dependencies={"own": "file:own"}), "own/index.js": "1"}
    assert key(tmp_path / "npm", changes)
    assert key(tmp_path / "pnpm", changes, replace(PLAN, package_manager="pnpm")) == ""


def test_scripts_that_an_install_runs_are_named_in_their_order(tmp_path: Path) -> None:
    scripts = {"prepare": "x", "build": "y", "preinstall": "z", "postinstall": "w"}
    key(tmp_path, {"package.json": package(scripts=scripts)})
    found = dependencies_of(tmp_path, PLAN, NODE)
    assert found.scripts == ((".", "preinstall"), (".", "postinstall"), (".", "prepare"))
    assert found.key


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    plain = key(tmp_path / "plain", {})
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".npmrc").symlink_to(outside)
    assert key(linked, {}) == plain


@pytest.mark.parametrize("text", ["not json", "[1]", '{"scripts": 7}'])
def test_a_package_json_that_makes_no_sense_is_taken_as_it_is(tmp_path: Path, text: str) -> None:
    assert key(tmp_path, {"package.json": text})
