"""The workflow of docs/github-action.md, as far as that goes without GitHub: it is valid, and
its steps are run, in order and word for word, against a bot that asks for a token."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import git
import pytest
import yaml

from tests.journeys.conftest import ROOT, Bot
from tests.journeys.test_command_line import page, runner, told
from tests.programs import require_program

pytestmark = pytest.mark.journey
DOCUMENT = (ROOT / "docs/github-action.md").read_text()
TEXT = re.search(r"^```yaml\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
assert TEXT is not None
WORKFLOW = yaml.safe_load(TEXT[1])
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["deploy"]["steps"]
PACKAGE = {
    "name": "docs",
    "version": "1.0.0",
    "scripts": {"build": "mkdir -p dist && cp page.html dist/index.html"},
}
LOCK = {"name": "docs", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": PACKAGE}}


def test_it_is_a_workflow_as_github_describes_them(tmp_path: Path) -> None:
    """By the schema of https://www.schemastore.org/github-workflow.json."""
    assert TEXT is not None
    (tmp_path / "deploy.yml").write_text(TEXT[1])
    program = Path(sys.executable).with_name("check-jsonschema")
    checked = subprocess.run(
        (program, "--builtin-schema", "vendor.github-workflows", "deploy.yml"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def filled(text: str, contexts: dict[str, str]) -> str:
    """`${{ a || b }}` by the first value that is not empty.

    https://docs.github.com/en/actions/reference/evaluate-expressions-in-workflows-and-actions
    """

    def value(found: re.Match[str]) -> str:
        names = [name.strip() for name in found[1].split("||")]
        return next((contexts[name] for name in names if contexts[name]), "")

    return re.sub(r"\$\{\{(.*?)\}\}", value, text)


class Runner:
    """What GitHub's runner does for steps with `run`. What `uses` brings is there already."""

    def __init__(self, folder: Path, home: Path, contexts: dict[str, str]) -> None:
        self.folder, self.home, self.contexts = folder, home, contexts
        self.outputs = home / "outputs"
        self.summary = home / "summary"
        job = WORKFLOW["jobs"]["deploy"]["env"]
        self.environment = {
            "PATH": f"{home / 'python/bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "GITHUB_OUTPUT": str(self.outputs),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_REF": contexts["github.ref"],
            # GitHub, as far as pip asks it for the bot's repository.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.file://{home}/github/.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://github.com/",
        } | {name: filled(str(text), contexts) for name, text in job.items()}
        self.environment |= {k: v for k, v in os.environ.items() if k.startswith("PIP_")}

    def run(self, step: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        """https://docs.github.com/en/actions/reference/workflow-syntax: `bash -e {0}`"""
        own = {name: filled(text, self.contexts) for name, text in step.get("env", {}).items()}
        script = self.home / "step.sh"
        script.write_text(filled(step["run"], self.contexts))
        self.outputs.write_text("")
        ended = subprocess.run(
            ("bash", "-e", str(script)),
            cwd=self.folder,
            env=self.environment | own,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        for line in self.outputs.read_text().splitlines():
            name, _, value = line.partition("=")
            self.contexts[f"steps.{step['id']}.outputs.{name}"] = value
        return ended


@pytest.fixture
def action(start_bot: Callable[..., Bot], tmp_path: Path) -> Runner:
    for program in ("npm", "curl", "bash"):
        require_program(program)
    bot = start_bot(
        ENVIRONMENT="production",
        GITHUB_WEBHOOK_SECRET="the-secret-of-the-webhooks",
        SECRETS_KEY="0123456789abcdef0123456789abcdef",
    )
    home = tmp_path / "runner"
    venv.create(home / "python", with_pip=True)
    files = git.Repo(ROOT).git.ls_files("-z").split("\0") if (ROOT / ".git").exists() else []
    if not files:
        pytest.skip("the project is in no Git repository here")
    source = home / "github/owner/deploystack"
    for name in files:
        if name and (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    with git.Repo.init(source) as repository:
        repository.git.add("--all")
        repository.git.execute(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]
        )

    # The first step of the document, on the owner's machine.
    deploystack = runner(tmp_path)
    deploystack(
        "login", bot.url, "--with-token", given=(bot.settings.DATA_DIR / "admin-token").read_text()
    )
    deploystack("projects", "create", "docs")
    first = re.search(r"`deploystack (tokens create .*?)`", DOCUMENT.replace("\n", " "))
    assert first is not None
    arguments = first[1].replace('""', "").split()
    token = told(deploystack(*arguments, *([""] if '""' in first[1] else []), "--json"))["token"]

    folder = tmp_path / "checkout"
    folder.mkdir()
    for name, content in (("package.json", PACKAGE), ("package-lock.json", LOCK)):
        (folder / name).write_text(json.dumps(content))
    contexts = {
        "vars.DEPLOYSTACK_URL": bot.url,
        "vars.DEPLOYSTACK_REPOSITORY": "owner/deploystack",
        "secrets.DEPLOYSTACK_TOKEN": token,
        "github.ref": "refs/heads/main",
        "github.head_ref": "",
        "github.ref_name": "main",
    }
    return Runner(folder, home, contexts)


def test_its_steps_deploy_what_was_built(action: Runner) -> None:
    (action.folder / "page.html").write_text("built by the runner")
    ended = {}
    for step in (step for step in STEPS if "run" in step):
        ended[step.get("id", step["run"])] = done = action.run(step)
        assert done.returncode == 0, f"{step}: {done.stdout}{done.stderr}"
    url = action.contexts["steps.deploy.outputs.url"]
    assert page(url) == "built by the runner"
    assert action.summary.read_text() == f"Deployed to <{url}>\n"
    assert "curl" in list(ended)[-1]

    (deploy,) = (step for step in STEPS if step.get("id") == "deploy")
    # A pull request's branch is no production, whatever it is called.
    action.contexts |= {"github.head_ref": '$(touch "$HOME/owned")', "github.ref_name": "7/merge"}
    action.environment["GITHUB_REF"] = "refs/pull/7/merge"
    refused = action.run(deploy)
    assert refused.returncode == 1, "a branch of this name Git does not take"
    assert not (action.home / "owned").exists()
    action.contexts["github.head_ref"] = "topic"
    assert action.run(deploy).returncode == 0
    assert page(action.contexts["steps.deploy.outputs.url"]) == "built by the runner"

    action.environment["DEPLOYSTACK_TOKEN"] = "dst_wrong"
    assert action.run(deploy).returncode == 5
    action.environment["DEPLOYSTACK_URL"] = "http://127.0.0.1:9"
    assert action.run(deploy).returncode == 3
