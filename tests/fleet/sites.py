"""What is pushed: repositories with a history each, and what must come of every push."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fleet.github import ZEROS, Delivery, GitHub, Repository, moment

# Of ten repositories, how many are of which kind; the rest are plain files.
_KINDS = ("plain", "shell", "plain", "plain", "python", "plain", "node", "plain", "plain", "plain")
_MAKE = {
    "shell": ("make.sh", "sh make.sh", "sleep 1\nmkdir -p dist\ncp -r pages/. dist/\n"),
    "python": (
        "make.py",
        "python3 make.py",
        "import shutil, time\ntime.sleep(1)\nshutil.copytree('pages', 'dist')\n",
    ),
    "node": (
        "make.js",
        "node make.js",
        "const fs = require('fs');\n"
        "setTimeout(() => fs.cpSync('pages', 'dist', { recursive: true }), 1000);\n",
    ),
}


@dataclass
class Push:
    """One push to one branch. `wanted`: what its build ends as where it comes to an end."""

    repository: Repository
    branch: str
    before: str
    after: str
    wanted: str  # ready, failed
    text: str  # what its page says
    # The pull request that its branch is proposed by, if it is.
    pull: int = 0
    delivery: Delivery | None = None

    @property
    def accepted(self) -> bool:
        return self.delivery is not None and self.delivery.status == 202


def make_pushes(github: GitHub, repositories: int, pushes: int, dice: random.Random) -> list[Push]:
    """The pushes in an order in which each branch's history is kept."""
    each = pushes // repositories
    planned = []
    for number in range(repositories):
        repository = github.create(f"owner-{number}/site-{number}")
        kind = _KINDS[number % len(_KINDS)]
        planned.append(list(_history(github, repository, kind, each)))
    order = [number for number, histories in enumerate(planned) for _ in histories]
    dice.shuffle(order)
    iterators = [iter(history) for history in planned]
    return [next(iterators[number]) for number in order]


def commit(github: GitHub, name: str, kind: str, text: str) -> Push:
    """A repository with one commit, to be pushed to `main`."""
    repository = github.create(name)
    (sha,) = _import(github, repository, [("main", files(kind, text))])
    return Push(repository, "main", ZEROS, sha, "ready", text)


def _history(github: GitHub, repository: Repository, kind: str, count: int) -> Iterator[Push]:
    """`main`, then topics; every other push to a branch follows upon one that may still build."""
    commits: list[tuple[str, dict[str, str]]] = []
    about: list[tuple[str, str, str, int]] = []
    branches = ("main", "topic-1", "main", "topic-1", "topic-2", "topic-3", "main", "topic-2",
                "topic-4", "topic-5")  # fmt: skip
    for number in range(count):
        branch = branches[number % len(branches)]
        text = f"{repository.name} {branch} push {number}"
        wanted = "failed" if number % 10 == min(5, count - 1) else "ready"
        pull = {"topic-1": 1, "topic-2": 2}.get(branch, 0)
        commits.append((branch, files(kind, text, broken=wanted == "failed")))
        about.append((branch, text, wanted, pull))
    shas = _import(github, repository, commits)
    heads: dict[str, str] = {}
    for (branch, text, wanted, pull), sha in zip(about, shas, strict=True):
        yield Push(repository, branch, heads.get(branch, ZEROS), sha, wanted, text, pull)
        heads[branch] = sha


def files(kind: str, text: str, *, broken: bool = False) -> dict[str, str]:
    """Of a site whose pages say `text`."""
    page = f"<!doctype html><title>{text}</title><link rel=stylesheet href=style.css><h1>{text}"
    site = {"index.html": page, "style.css": "h1 { color: teal }\n" * 40, "about/index.html": page}
    if kind == "plain":
        if broken:
            del site["index.html"]
        return site
    name, command, script = _MAKE[kind]
    configuration = f'[build]\ncommand = "{command}"\noutput = "dist"\n'
    made = {f"pages/{path}": content for path, content in site.items()}
    return made | {"deploystack.toml": configuration, name: "no such thing" if broken else script}


def _import(
    github: GitHub, repository: Repository, commits: list[tuple[str, dict[str, str]]]
) -> list[str]:
    """Commits of no branch yet, each upon the one before of its own branch; their SHAs.

    https://git-scm.com/docs/git-fast-import
    """
    stream, newest = [], {}
    for mark, (branch, files) in enumerate(commits, 1):
        stream.append(f"commit refs/drafts/{branch}\nmark :{mark}\n")
        stream.append(f"committer A <a@b> {1_700_000_000 + mark} +0000\ndata 6\nChange\n")
        if branch in newest:
            stream.append(f"from :{newest[branch]}\n")
        stream.append("deleteall\n")
        for path, content in files.items():
            size = len(content.encode())
            stream.append(f"M 100644 inline {path}\ndata {size}\n{content}\n")
        newest[branch] = mark
    path = github.root / f"{repository.name}.git"
    subprocess.run(
        ("git", "fast-import", "--quiet", "--export-marks=marks"),
        cwd=path,
        input="".join(stream).encode(),
        check=True,
    )
    marks = dict(line.split() for line in (path / "marks").read_text().splitlines())
    return [marks[f":{mark}"] for mark in range(1, len(commits) + 1)]


def send(github: GitHub, push: Push) -> None:
    """Move the branch, and tell of it: a push, and where it is proposed its pull request."""
    repository = push.repository
    path = github.root / f"{repository.name}.git"
    command = ("git", "update-ref", f"refs/heads/{push.branch}", push.after)
    subprocess.run(command, cwd=path, check=True)
    with github.lock:
        repository.branches[push.branch] = push.after
    installation = {"installation": {"id": repository.number}}
    payload = {
        "ref": f"refs/heads/{push.branch}",
        "before": push.before,
        "after": push.after,
        "deleted": False,
        "head_commit": {"id": push.after, "message": "Change"},
        "repository": repository.payload(),
        **installation,
    }
    push.delivery = github.deliver("push", payload)
    if push.pull:
        github.deliver("pull_request", _proposed(github, push) | installation)


def _proposed(github: GitHub, push: Push) -> dict[str, Any]:
    repository = push.repository
    known = repository.pulls.get(push.pull)
    created = known["created_at"] if known else moment()
    own = {"id": repository.number, "full_name": repository.name}
    details = {
        "number": push.pull,
        "state": "open",
        "draft": False,
        "created_at": created,
        "updated_at": moment(),
        "user": {"login": "author"},
        "head": {"sha": push.after, "ref": push.branch, "repo": own},
        "base": {"repo": own},
    }
    with github.lock:
        repository.pulls[push.pull] = details
    action = "synchronize" if known else "opened"
    sender = {"login": "author"}
    return {"action": action, "pull_request": details, "number": push.pull,
            "repository": repository.payload(), "sender": sender}  # fmt: skip
