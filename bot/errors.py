"""The two kinds of failure, and nothing else.

A `UserError` is something that the author of a push, an upload or a request can
mend: it goes to their log, their commit status and their HTTP response.
A `SystemFault` is ours: the user is told that it was not their doing, and the
details go to the operator. Both carry a stable code that scripts may rely on.
"""

from __future__ import annotations


class DeployStackError(Exception):
    """Base of both kinds; never raised itself.

    `code` is stable, kebab-case; `message` is one sentence for a person;
    `hint` says what to do about it.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UserError(DeployStackError):
    """The user's to mend."""


class SystemFault(DeployStackError):
    """Ours, or that of a service we depend on; worth a retry."""


class InvalidSetting(UserError):
    """A setting that cannot be used as it stands; the message names it."""

    def __init__(self, name: str, problem: str, hint: str = "") -> None:
        super().__init__("invalid-setting", f"{name}: {problem}", hint)
        self.name = name
