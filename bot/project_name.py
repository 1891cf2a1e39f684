"""What a project's name says: `octo/site` is a repository's, `octo/site#docs` a part of it.

No code host lets a repository's name hold the character between them.
"""

from __future__ import annotations

PART = "#"


def repository_of(project: str) -> str:
    """`octo/site#docs` → `octo/site`: what is fetched, and what the code host knows."""
    return project.partition(PART)[0]


def part_of(project: str) -> str:
    """`octo/site#docs` → `docs`; empty: it is a repository's main project, or its only one."""
    return project.partition(PART)[2]


def key_of(project: str, sha: str | None, deployment_id: str) -> str:
    """What a deployment's own address has in it: the commit, or, since only the main project
    of a repository has that one, the deployment's id."""
    return sha if sha and PART not in project else deployment_id
