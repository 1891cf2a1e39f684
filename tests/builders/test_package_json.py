"""package.json, lockfiles and Node versions, by tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bot.builders.package_json import PackageManager, read_package
from bot.errors import UserError
from tests.builders.conftest import MemoryTree


def manager(files: Mapping[str, str], **content: Any) -> PackageManager:
    package = read_package(MemoryTree({"package.json": json.dumps(content), **files}))
    assert package is not None
    return package.manager


@pytest.mark.parametrize(
    ("files", "asked", "install", "run"),
    [
        ({}, "", "npm install --no-audit --no-fund", "npm run build -- --base=/x/"),
        ({"package-lock.json": ""}, "", "npm ci --no-audit --no-fund",
         "npm run build -- --base=/x/"),
        ({"npm-shrinkwrap.json": ""}, "", "npm ci --no-audit --no-fund",
         "npm run build -- --base=/x/"),
        ({"pnpm-lock.yaml": ""}, "", "pnpm install --frozen-lockfile",
         "pnpm run build --base=/x/"),
        ({}, "pnpm@9.12.0+sha512.ab", "pnpm install --no-frozen-lockfile",
         "pnpm run build --base=/x/"),
        ({"yarn.lock": "# yarn lockfile v1\n"}, "", "yarn install --frozen-lockfile",
         "yarn run build --base=/x/"),
        ({"yarn.lock": "__metadata:\n  version: 8\n"}, "", "yarn install --immutable",
         "yarn run build --base=/x/"),
        ({"yarn.lock": ""}, "yarn@4.5.0", "yarn install --immutable",
         "yarn run build --base=/x/"),
        ({}, "yarn@1.22.22", "yarn install", "yarn run build --base=/x/"),
        ({"bun.lock": ""}, "", "bun install --frozen-lockfile", "bun run build --base=/x/"),
        ({"bun.lockb": ""}, "", "bun install --frozen-lockfile", "bun run build --base=/x/"),
        ({"pnpm-lock.yaml": "", "package-lock.json": ""}, "", "pnpm install --frozen-lockfile",
         "pnpm run build --base=/x/"),
        ({"pnpm-lock.yaml": "", "package-lock.json": ""}, "npm@10.9.0",
         "npm ci --no-audit --no-fund", "npm run build -- --base=/x/"),
        ({"package-lock.json": ""}, "cargo@1.0.0", "npm ci --no-audit --no-fund",
         "npm run build -- --base=/x/"),
    ],
)  # fmt: skip
def test_the_package_manager_follows_the_project(
    files: dict[str, str], asked: str, install: str, run: str
) -> None:
    found = manager(files, packageManager=asked) if asked else manager(files)
    assert found.install() == tuple(install.split())
    assert found.run("build", ("--base=/x/",)) == tuple(run.split())


def test_a_script_without_arguments_needs_no_separator() -> None:
    assert manager({}).run("build") == ("npm", "run", "build")


def test_a_program_of_a_dependency_is_run_where_it_lies() -> None:
    assert manager({}).execute(("vite", "build")) == ("node_modules/.bin/vite", "build")
    berry = manager({"yarn.lock": "__metadata:\n"})
    assert berry.execute(("vite", "build")) == ("yarn", "run", "vite", "build")


@pytest.mark.parametrize(
    ("files", "content", "node"),
    [
        ({}, {}, ""),
        ({}, {"engines": {"node": ">=18"}}, ">=18"),
        ({".nvmrc": "v20.11\n"}, {"engines": {"node": ">=18"}}, "v20.11"),
        ({".nvmrc": "# why\n\n22 # here\n"}, {}, "22"),
        ({".node-version": "lts/iron"}, {}, "lts/iron"),
        ({".nvmrc": "20"}, {"volta": {"node": "20.1.0"}}, "20.1.0"),
        ({}, {"engines": "18"}, ""),
        ({".nvmrc": "\n"}, {"engines": {"node": "18.x"}}, "18.x"),
    ],
)
def test_the_node_version_is_taken_from_the_exactest_source(
    files: dict[str, str], content: dict[str, Any], node: str
) -> None:
    package = read_package(MemoryTree({"package.json": json.dumps(content), **files}))
    assert package is not None
    assert package.node == node


def test_a_package_in_a_folder_is_read_with_its_own_lockfile() -> None:
    tree = MemoryTree({"site/package.json": "{}", "site/yarn.lock": "", "pnpm-lock.yaml": ""})
    package = read_package(tree, "site")
    assert package is not None
    assert (package.manager.name, package.manager.lockfile) == ("yarn", "yarn.lock")


def test_a_tree_without_package_json_has_no_package() -> None:
    assert read_package(MemoryTree({"index.html": ""})) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"scripts": {', "line 1"),
        ("[]", "does not hold a JSON object"),
        ("\udcff", "not UTF-8"),
        ("", "not valid JSON"),
    ],
)
def test_a_package_json_that_cannot_be_read_says_why(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as raised:
        read_package(MemoryTree({"package.json": text}))
    assert raised.value.code == "invalid-package-json"


def test_entries_of_the_wrong_kind_are_passed_over() -> None:
    content = {"scripts": {"build": 5, "dev": "vite"}, "dependencies": None, "engines": []}
    package = read_package(MemoryTree({"package.json": json.dumps(content)}))
    assert package is not None
    assert package.scripts == {"dev": "vite"}
    assert package.dependencies == {}


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert read_package(MemoryTree({"package.json": "\ufeff{}"})) is not None
