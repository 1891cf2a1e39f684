"""What GitHub is told, as pure functions from a build's state to texts.

Limits: https://docs.github.com/en/rest/commits/statuses (descriptions),
https://docs.github.com/en/rest/issues/comments (bodies).
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.models.status import BuildStatus

LONGEST_DESCRIPTION = 140
LONGEST_COMMENT = 65_536
CONTEXT = "deploystack"


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A build, as far as anybody outside needs to know it. `seconds` it took, once ended."""

    project: str
    sha: str
    environment: str
    status: BuildStatus
    preview_url: str
    log_url: str
    framework: str = ""
    error: str = ""
    seconds: float | None = None


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
    # Nobody waits for it any more, but a commit must not stay pending for ever.
    BuildStatus.SUPERSEDED: _Words("error", "inactive", "⏭️", "Superseded by a newer commit"),
}


def shorten(text: str, longest: int = LONGEST_DESCRIPTION) -> str:
    """One line of at most `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def environment_name(state: State) -> str:
    """One environment for all of a project's previews: GitHub keeps dead ones for ever."""
    if state.environment == "production":
        return "Production"
    return f"Preview \N{EN DASH} {state.project.rpartition('/')[2]}"


def target_url(state: State) -> str:
    return state.preview_url if state.status is BuildStatus.READY else state.log_url


def description(state: State) -> str:
    text = _WORDS[state.status].text
    if state.status is BuildStatus.READY and state.seconds is not None:
        text = f"{text} in {_duration(state.seconds)}"
    elif state.error:
        text = f"{text}: {state.error}"
    return shorten(text)


def commit_status(state: State) -> dict[str, str]:
    """The body of a commit status."""
    return {
        "state": _WORDS[state.status].commit,
        "target_url": target_url(state),
        "description": description(state),
        "context": CONTEXT,
    }


def deployment_status(state: State) -> dict[str, str]:
    """The body of a deployment's status."""
    body = {
        "state": _WORDS[state.status].deployment,
        "target_url": state.log_url,
        "description": description(state),
    }
    if state.status is BuildStatus.READY:
        body["environment_url"] = state.preview_url
    return body


def marker(project: str) -> str:
    """What our comment is found by; invisible to readers."""
    return f"<!-- deploystack:{project} -->"


def comment(state: State, *, closed: bool = False) -> str:
    """The pull request's one comment."""
    words = _WORDS[state.status]
    took = _duration(state.seconds) if state.seconds is not None else "-"
    preview = f"[Open]({state.preview_url})" if state.status is BuildStatus.READY else "-"
    lines = [
        marker(state.project),
        "| Project | Status | Preview | Commit | Took |",
        "|---|---|---|---|---|",
        f"| {escape(state.project)} | {words.sign} {words.text} ([log]({state.log_url})) "
        f"| {preview} | `{state.sha[:12]}` | {took} |",
    ]
    if state.error and state.status is not BuildStatus.READY:
        lines += ["", f"> {escape(shorten(state.error, 1000))}"]
    if closed:
        lines += ["", "The pull request is closed; its preview is no longer updated."]
    return "\n".join(lines)[:LONGEST_COMMENT]


def escape(text: str) -> str:
    """Keep a stranger's text from becoming Markdown, HTML, a mention or a table cell."""
    flat = " ".join(text.split())
    for character in "\\`*_{}[]<>()#+-!|~$":
        flat = flat.replace(character, f"\\{character}")
    return flat.replace("@", "@\u200b")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
