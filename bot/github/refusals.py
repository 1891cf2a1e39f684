"""What GitHub's refusals say about a project. No I/O.

https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.github.limits import delay_asked_for
from bot.project_states import ProjectState

# What of GitHub's words is kept.
_LONGEST_NOTE = 200


def state_of(
    status: int, headers: Mapping[str, str], message: str, *, gone: bool
) -> ProjectState | None:
    """The state that a project is in by a final refusal; `None`: it says nothing of that.

    `gone`: whether the repository cannot be seen any more, for which 404 alone is no proof:
    GitHub answers so, too, where a permission is missing.
    """
    if gone:
        return ProjectState.REMOVED
    if status != 403 or delay_asked_for(status, headers, message, 0) is not None:
        return None
    said = message.lower()
    if "archived" in said:
        return ProjectState.ARCHIVED
    if "suspended" in said:
        return ProjectState.SUSPENDED
    return ProjectState.FORBIDDEN


def words_of(data: object) -> str:
    """GitHub's own words in the body of an answer, in one line."""
    message = data.get("message", "") if isinstance(data, Mapping) else ""
    return " ".join(str(message).split())[:_LONGEST_NOTE]
