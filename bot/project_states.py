"""What a project's state means to its people, and what they can do about it.

The code host decides upon the states (`bot.webhooks`, `bot.github.refusals`); here are the
words for them, the same in the API, on the dashboard and on the command line.
"""

from __future__ import annotations

from enum import StrEnum


class ProjectState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"  # the App's installation is
    REMOVED = "removed"  # the repository, or our way to it, is gone
    ARCHIVED = "archived"  # read-only at the code host
    FORBIDDEN = "forbidden"  # the code host refuses us what we need


_ADVICE = {
    ProjectState.SUSPENDED: (
        "The GitHub App's installation is suspended: pushes do not arrive, and nothing is told. "
        "An owner of the account can lift that under Settings, Applications, Configure."
    ),
    ProjectState.REMOVED: (
        "GitHub shows us this repository no more: it was deleted, or the App was uninstalled "
        "from it, or the token lost its access. Pages stay. Give access again, and the next "
        "push takes the project up; or delete the project."
    ),
    ProjectState.ARCHIVED: (
        "The repository is archived, so nobody can push to it, and statuses cannot be set. "
        "Pages stay. It goes on when the repository is unarchived."
    ),
    ProjectState.FORBIDDEN: (
        "GitHub refuses what we have to tell (403). Look at the permissions of the App or the "
        "token: Commit statuses, Pull requests and Deployments must be read and write. "
        "It goes on by itself once that is mended."
    ),
}


def advice(state: str, note: str = "") -> str:
    """What is amiss, and what to do; empty where nothing is. `note`: the code host's words."""
    if state not in set(ProjectState) or state == ProjectState.ACTIVE:
        return ""
    text = _ADVICE[ProjectState(state)]
    return f"{text} GitHub said: {note}" if note else text
