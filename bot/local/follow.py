"""Follows a commit's build over the API, with a progress display."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bot.errors import SystemFault, UserError

_POLL = 0.1  # seconds
_ENDED = {"ready", "failed", "errored", "cancelled", "superseded", "timed out", "ignored"}


def follow(url: str, sha: str, console: Console, deadline: float = 1500) -> dict[str, Any]:
    """Wait for the build of `sha`; answers it when it is ready.

    Raises `UserError` with the end of the log when it ends otherwise, `SystemFault`
    after `deadline` seconds.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    end = time.monotonic() + deadline
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{sha[:12]} waiting", total=None)
        while time.monotonic() < end:
            build = newest_build(url, sha)
            if build is not None:
                framework = f" · {build['framework']}" if build["framework"] else ""
                progress.update(task, description=f"{sha[:12]} {build['status']}{framework}")
                if build["status"] in _ENDED:
                    break
            time.sleep(_POLL)
        else:
            raise SystemFault("no-answer", f"The build of {sha} did not end in {deadline:.0f} s.")
    if build["status"] != "ready":
        raise UserError(
            "build-not-ready",
            f"The build is {build['status']}: {build['error_message']}\n\n{_log_end(url, build)}",
            f"The whole log: {build['log_url']}",
        )
    return build


def newest_build(url: str, sha: str) -> dict[str, Any] | None:
    with urllib.request.urlopen(f"{url}/api/v1/builds?sha={sha}", timeout=10) as answer:  # noqa: S310
        builds = json.load(answer)["data"]
    return builds[0] if builds else None


def show(build: dict[str, Any], console: Console) -> None:
    """Where it is, and what each stage took."""
    stages = "  ".join(f"{name} {seconds:.2f} s" for name, seconds in build["stages"].items())
    console.print(f"[green]✓[/green] {build['framework']}: {stages}", highlight=False)
    console.print(f"  [bold]{build['url']}[/bold]", highlight=False, soft_wrap=True)


def _log_end(url: str, build: dict[str, Any], lines: int = 20) -> str:
    with urllib.request.urlopen(f"{url}/builds/{build['id']}/log", timeout=10) as answer:  # noqa: S310
        text = answer.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
