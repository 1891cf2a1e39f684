"""What GitHub is told, as pure functions from a build's state to texts and bodies.

Limits: https://docs.github.com/en/rest/commits/statuses (descriptions),
https://docs.github.com/en/rest/issues/comments (bodies).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from bot.models.status import BuildStatus
from bot.project_name import part_of, repository_of

LONGEST_DESCRIPTION = 140  # characters
LONGEST_COMMENT = 65_536  # characters
CONTEXT = "deploystack"
_LONGEST_ERROR = 4_000
_LONGEST_ERRORS = 20_000
_LONGEST_NAME = 200
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A build, as far as anybody outside needs to know it. `seconds` it took, once ended."""

    project: str
    sha: str
    environment: str
    status: BuildStatus
    preview_url: str
    log_url: str
    error: str = ""
    seconds: float | None = None
    # Of a build that waits: its place, and what for.
    waiting: str = ""
    # Of one that failed: the end of its log.
    log_end: str = ""


@dataclass(frozen=True, slots=True)
class _Words:
    commit: str  # state of the commit's status
    deployment: str  # state of the deployment's status
    sign: str
    text: str


# https://docs.github.com/en/rest/commits/statuses#create-a-commit-status and
# https://docs.github.com/en/rest/deployments/statuses#create-a-deployment-status
_WORDS = {
    BuildStatus.QUEUED: _Words("pending", "queued", "⏳", "Waiting to be built"),
    BuildStatus.CLONING: _Words("pending", "in_progress", "🔨", "Building"),
    BuildStatus.BUILDING: _Words("pending", "in_progress", "🔨", "Building"),
    BuildStatus.PUBLISHING: _Words("pending", "in_progress", "🔨", "Publishing"),
    BuildStatus.READY: _Words("success", "success", "✅", "Ready"),
    BuildStatus.FAILED: _Words("failure", "failure", "❌", "The build failed"),
    BuildStatus.ERRORED: _Words("error", "error", "⚠️", "Something failed on our side"),
    BuildStatus.TIMED_OUT: _Words("failure", "failure", "❌", "The build took too long"),
    BuildStatus.CANCELLED: _Words("error", "error", "🚫", "Cancelled"),
    # A commit must not stay pending for ever, and nobody did anything wrong by pushing
    # again. `success` is the only final state of a commit that is not red.
    BuildStatus.IGNORED: _Words("success", "inactive", "⏭️", "Nothing to build"),
    BuildStatus.SUPERSEDED: _Words("success", "inactive", "⏭️", "Superseded by a newer commit"),
}

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def shorten(text: str, longest: int = LONGEST_DESCRIPTION) -> str:
    """One line of at most `longest` characters, as GitHub's descriptions take it.

    They refuse characters outside the Basic Multilingual Plane, such as most emoji.
    """
    line = _UNPRINTABLE.sub("", " ".join(text.split()))
    line = _ASTRAL.sub("?", line)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def environment_name(project: str, environment: str) -> str:
    """One environment for all of a project's previews: GitHub keeps dead ones for ever."""
    part = f" ({part_of(project)})" if part_of(project) else ""
    if environment == "production":
        return f"Production{part}"
    name = repository_of(project).rpartition("/")[2]
    return shorten(f"Preview \N{EN DASH} {name}{part}", 255)


def context(project: str) -> str:
    """The name of a project's commit status: its own, for each of several in a repository."""
    part = part_of(project)
    return f"{CONTEXT}/{part}" if part else CONTEXT


def _words(state: State) -> _Words:
    words = _WORDS[state.status]
    if state.status is BuildStatus.SUPERSEDED and state.error:
        return replace(words, text="Given up")  # not for a newer commit
    return words


def target_url(state: State) -> str:
    return state.preview_url if state.status is BuildStatus.READY else state.log_url


def description(state: State) -> str:
    text = _words(state).text
    if state.status is BuildStatus.READY and state.seconds is not None:
        text = f"{text} in {_duration(state.seconds)}"
    elif state.waiting:
        text = f"{text}: {state.waiting}"
    elif state.error:
        text = f"{text}: {state.error}"
    return shorten(text)


def commit_status(state: State) -> dict[str, str]:
    """The body of a commit status."""
    return {
        "state": _WORDS[state.status].commit,
        "target_url": target_url(state),
        "description": description(state),
        "context": context(state.project),
    }


def skipped_status(project: str, url: str) -> dict[str, str]:
    """The body of the status of a commit whose message asks for no build: a branch rule that
    requires the status must not wait for ever."""
    return {
        "state": "success",
        "target_url": url,
        "description": "Skipped: the commit message asks for no deployment",
        "context": context(project),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """A fork's commit that waits for approval. `refusal`: why the last wish was refused.

    `label` approves it; empty: none does. `url` shows what the bot knows.
    """

    project: str
    sha: str
    url: str
    label: str = ""
    refusal: str = ""


def waiting_status(wait: Wait) -> dict[str, str]:
    """The body of the status of a commit that waits.

    `success` is the only state of a commit that is neither red nor pending.
    """
    by_label = f" or adds the label {wait.label}" if wait.label else ""
    said = f"Waiting for approval: a collaborator comments /deploy{by_label}"
    return {
        "state": "success",
        "target_url": wait.url,
        "description": shorten(said),
        "context": CONTEXT,
    }


def waiting_comment(wait: Wait, *, closed: bool = False) -> str:
    """The pull request's one comment, while its newest commit waits for approval."""
    label = f"\n- or add the label {code(wait.label)}," if wait.label else ""
    lines = [
        marker(wait.project),
        "| Project | Status | Preview | Commit | Duration |",
        "|---|---|---|---|---|",
        f"| {code(wait.project)} | ✋ Waiting for approval | - | {code(wait.sha[:12])} | - |",
    ]
    if closed:
        return "\n".join([*lines, "", "The pull request is closed; it was not built."])
    lines += [
        "",
        "This commit comes from a fork, so it is built once somebody with write access has "
        "looked at it and approves it:",
        "",
        f"- comment {code('/deploy ' + wait.sha)} (or just {code('/deploy')}),{label}",
        "- or approve it on the dashboard.",
        "",
        "An approval counts for this commit alone. The build gets no secrets.",
    ]
    if wait.refusal:
        lines += ["", "Not approved:", "", code_block(wait.refusal)]
    return "\n".join(lines)


def deployment(sha: str, environment: str, *, production: bool, own_id: str) -> dict[str, Any]:
    """The body of a deployment. By its `payload` it is found again."""
    return {
        "ref": sha,
        "environment": environment,
        "auto_merge": False,
        # It tells of something that is made already, whatever other checks say.
        "required_contexts": [],
        "transient_environment": not production,
        "production_environment": production,
        "payload": {"deploystack": own_id},
        "description": "DeployStack",
    }


def deployment_status(state: State) -> dict[str, object]:
    """The body of a deployment's status."""
    body: dict[str, object] = {
        "state": _WORDS[state.status].deployment,
        "log_url": state.log_url,
        "description": description(state),
        # It would switch off the other pull requests' previews.
        "auto_inactive": False,
    }
    if state.status is BuildStatus.READY:
        body["environment_url"] = state.preview_url
    return body


def inactive(description: str) -> dict[str, object]:
    """The body of the status that ends a deployment."""
    return {"state": "inactive", "description": shorten(description), "auto_inactive": False}


def marker(project: str) -> str:
    """What our comment begins with and is found by; invisible to readers."""
    name = "".join(character for character in repository_of(project) if character not in "<>")
    return f"<!-- deploystack:{shorten(name, _LONGEST_NAME)} -->"


def comment(state: State, *others: State, closed: bool = False) -> str:
    """The pull request's one comment: a row for each project of the repository."""
    states = (state, *others)
    lines = [
        marker(state.project),
        "| Project | Status | Preview | Commit | Duration |",
        "|---|---|---|---|---|",
        *map(_row, states),
    ]
    # Many errors have to share the room that there is.
    longest = min(_LONGEST_ERROR, _LONGEST_ERRORS // len(states))
    for one in states:
        if one.error and one.status is not BuildStatus.READY:
            title = [f"{code(one.project)}:", ""] if others else []
            lines += ["", *title, code_block(one.error, longest)]
            if one.log_end:
                lines += ["", *_folded("The end of the log", code_block(one.log_end, longest))]
    if closed:
        lines += ["", "The pull request is closed; its preview is no longer updated."]
    return "\n".join(lines)


def _folded(title: str, text: str) -> list[str]:
    """https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/organizing-information-with-collapsed-sections"""
    return [f"<details><summary>{title}</summary>", "", text, "", "</details>"]


def _row(state: State) -> str:
    words = _words(state)
    took = _duration(state.seconds) if state.seconds is not None else "-"
    preview = f"[Open]({state.preview_url})" if state.status is BuildStatus.READY else "-"
    return (
        f"| {code(state.project)} | {words.sign} {words.text} ([log]({state.log_url})) "
        f"| {preview} | {code(state.sha[:12])} | {took} |"
    )


def code(text: str) -> str:
    """Somebody's text as a code span that a table cell can hold.

    Within code nothing is a mention, a reference, a link or Markdown.
    https://github.github.com/gfm/#code-spans and https://github.github.com/gfm/#example-200
    """
    flat = shorten(text, _LONGEST_NAME).replace("|", "\\|") or "-"
    fence = _fence(flat, 1)
    space = " " if fence != "`" else ""
    return f"{fence}{space}{flat}{space}{fence}"


def code_block(text: str, longest: int = _LONGEST_ERROR) -> str:
    """Somebody's lines as a fenced code block; of a long text, its end."""
    cleaned = _UNPRINTABLE.sub("", text)
    if len(cleaned) > longest:
        cleaned = "…" + cleaned[-longest:]
    fence = _fence(cleaned, 3)
    return f"{fence}text\n{cleaned}\n{fence}"


def _fence(text: str, shortest: int) -> str:
    """More backticks than the text has in a row."""
    runs = [len(run) + 1 for run in re.findall("`+", text)]
    return "`" * max([shortest, *runs])


def _duration(seconds: float) -> str:
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
