"""What commands are given, and what their endings mean, by tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.builders.commands import build_environment, check
from bot.builders.failures import explain
from bot.builders.job import Job, Stopped
from bot.builders.plan import Plan, Step
from bot.builders.sandbox.runner import Ending, Finished
from bot.builders.toolchain import Toolchain
from bot.errors import UserError
from bot.settings import Settings

BUILD = Step(name="build", argv=("npm", "run", "build"))
INSTALL = Step(name="install", argv=("npm", "ci"))
JOB = Job(
    build_id="b",
    deployment_id="d",
    project="o/n",
    sha="1a2b3c",
    ref="main",
    environment="preview",
    base_path="/1a2b3c/",
)


def test_an_environment_holds_what_is_meant_for_builds_alone() -> None:
    toolchain = Toolchain(
        name="node",
        version="22",
        path_entries=(Path("/tools/node/bin"),),
        environment={"npm_config_registry": "https://r"},
    )
    plan = Plan(framework="x", reason="", environment={"PUBLIC_URL": "/1a2b3c", "CI": "false"})
    found = build_environment(plan, toolchain, JOB, Path("/builds/home"))
    assert found["PATH"] == "/tools/node/bin:/usr/local/bin:/usr/bin:/bin"
    assert found["HOME"] == "/builds/home"
    assert found["BASE_PATH"] == "/1a2b3c/"
    assert found["npm_config_registry"] == "https://r"
    assert found["CI"] == "false"
    assert set(found) >= {"COMMIT_SHA", "COMMIT_REF", "CONTEXT", "LANG", "NO_COLOR"}
    assert not any(name.startswith("GITHUB_") for name in found)


@pytest.mark.parametrize(
    ("step", "exit_code", "ending", "code"),
    [
        (BUILD, 1, Ending.EXITED, "build-failed"),
        (INSTALL, 1, Ending.EXITED, "install-failed"),
        (BUILD, 137, Ending.TIMED_OUT, "timed-out"),
        (BUILD, 137, Ending.OUT_OF_MEMORY, "out-of-memory"),
        (BUILD, 137, Ending.DISK_FULL, "disk-full"),
        (BUILD, 137, Ending.LOG_FULL, "log-full"),
    ],
)
def test_each_bad_ending_has_its_code(
    settings: Settings, step: Step, exit_code: int, ending: Ending, code: str
) -> None:
    with pytest.raises(UserError) as raised:
        check(step, Finished(exit_code, ending, 1.0), b"", settings)
    assert raised.value.code == code
    assert " ".join(step.argv) in raised.value.message
    assert raised.value.hint


def test_a_cancelled_command_is_nobodys_mistake(settings: Settings) -> None:
    with pytest.raises(Stopped):
        check(BUILD, Finished(137, Ending.CANCELLED, 1.0), b"", settings)


def test_a_good_ending_is_none(settings: Settings) -> None:
    check(BUILD, Finished(0, Ending.EXITED, 1.0), b"error error", settings)


@pytest.mark.parametrize(
    ("printed", "hint"),
    [
        ("npm error `npm ci` can only install packages when your package.json and "
         "package-lock.json or npm-shrinkwrap.json are in sync.", "do not agree"),
        ("npm error `npm ci` can only install packages when your package.json and "
         "package-lock.json are in sync.\nnpm error\nnpm error Missing: a@1.3.0 from lock file",
         "do not agree (Missing: a@1.3.0 from lock file): install"),
        ("npm error `npm ci` can only install packages when your package.json and "
         "package-lock.json are in sync.\nnpm error Missing: a-linux-x64@ from lock file",
         "no version of packages that another one asks for (a-linux-x64):"),
        ("npm error code ERESOLVE\nnpm error Could not resolve dependency:\n"
         "npm error peer react@\"^16 || ^17\" from a@1.0.0",
         "(react@\"^16 || ^17\" from a@1.0.0):"),
        (" ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with frozen-lockfile", "do not agree"),
        ("error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`.",
         "do not agree"),
        ("npm error code ERESOLVE\nnpm error ERESOLVE could not resolve", "peer dependency"),
        ("Failed to fetch `Inter` from Google Fonts.", "next/font/local"),
        ("Error: getaddrinfo ENOTFOUND api.example.com", "cannot be reached from here (api.exam"),
        ("npm warn ERESOLVE overriding peer dependency\nnpm error code 1\n"
         "npm error getaddrinfo ENOTFOUND files.example.com", "(files.example.com)"),
        ("connect ECONNREFUSED 127.0.0.1:9", "cannot be reached from here:"),
        ("Error: error:0308010C:digital envelope routines::unsupported", "openssl-legacy"),
        ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
         "max-old-space-size"),
        ("npm error code E404\nnpm error 404 Not Found", "does not exist in the registry"),
        ("Error: Cannot find module 'vite'", "in package.json"),
        ("Failed to resolve import \"lodash\" from \"src/a.js\"", "in package.json"),
        ("ENOSPC: no space left on device, write", "disk is full"),
        ("something else", "last lines of the log"),
    ],
)  # fmt: skip
def test_the_likely_cause_is_named(printed: str, hint: str) -> None:
    message, found = explain(BUILD, 1, printed)
    assert message == "`npm run build` exited with 1."
    assert hint in found


@pytest.mark.parametrize(("exit_code", "hint"), [(127, "not installed"), (137, "memory")])
def test_some_exit_codes_speak_for_themselves(exit_code: int, hint: str) -> None:
    assert hint in explain(BUILD, exit_code, "")[1]
