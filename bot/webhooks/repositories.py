"""What becomes of projects when their repository, or our way to it, changes."""

from __future__ import annotations

from bot.models import projects
from bot.project_states import ProjectState
from bot.webhooks.events import InstallationChanged, RepositoryChanged
from bot.webhooks.outcome import Outcome

_STATES = {
    "deleted": ProjectState.REMOVED,
    "archived": ProjectState.ARCHIVED,
    "unarchived": ProjectState.ACTIVE,
}


def change_repository(event: RepositoryChanged) -> Outcome:
    """Within a delivery's transaction."""
    known = projects.by_name(event.previous or event.repository)
    if known is None:
        return Outcome(False, "the repository is not connected")
    name = event.repository
    if event.previous and event.previous != name:
        if projects.by_name(name) is not None:
            # A push under the new name was faster: it has made a project of its own.
            note = f"It is called {name} now, which is another project here."
            projects.set_state([event.previous], ProjectState.REMOVED, note)
            return Outcome(True, f"{event.previous} has become {name}, which is known already")
        projects.rename(event.previous, name)
        return Outcome(True, f"{event.previous} is called {name} now")
    state = _STATES.get(event.action)
    if state is not None:
        projects.set_state([name], state)
        return Outcome(True, f"{name} is now {state}")
    projects.describe(name, private=event.private, production_branch=event.default_branch)
    return Outcome(True, f"{name} was {event.action}")


def change_installation(event: InstallationChanged) -> Outcome:
    """Within a delivery's transaction."""
    states = {
        "deleted": ProjectState.REMOVED,
        "suspend": ProjectState.SUSPENDED,
        "unsuspend": ProjectState.ACTIVE,
    }
    if event.action in states:
        count = projects.set_installation_state(event.installation_id, states[event.action])
        return Outcome(True, f"{count} projects are now {states[event.action]}")
    if event.removed:
        projects.set_state(event.removed, ProjectState.REMOVED)
    projects.adopt_installation(event.repositories, event.installation_id)
    return Outcome(True, f"the installation's repositories: {event.action}")
