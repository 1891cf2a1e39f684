"""A code host in memory, with what connecting a repository asks of PyGithub."""

from __future__ import annotations

from typing import Any

from github import GithubException


class Hook:
    def __init__(self, number: int, config: dict[str, str], events: list[str]) -> None:
        self.id = number
        self.config, self.events = config, events

    def edit(self, _name: str, config: dict[str, str], events: list[str], active: bool) -> None:
        assert active
        self.config, self.events = config, events


class Repository:
    def __init__(self, name: str, status: int) -> None:
        self.full_name = name
        self.default_branch = "trunk"
        self.private = True
        self.hooks: list[Hook] = []
        self._status = status

    def get_hooks(self) -> list[Hook]:
        if self._status != 200:
            raise GithubException(self._status, {"message": "refused"}, {})
        return self.hooks

    def create_hook(
        self, _name: str, config: dict[str, str], events: list[str], active: bool
    ) -> Hook:
        assert active
        self.hooks.append(Hook(len(self.hooks) + 9, config, events))
        return self.hooks[-1]


class CodeHost:
    """`status`: what every request is answered with."""

    def __init__(self, status: int = 200) -> None:
        self.repositories: dict[str, Repository] = {}
        self._status = status

    def repository(self, project: str) -> Any:
        return self.repositories.setdefault(project, Repository(project, self._status))
