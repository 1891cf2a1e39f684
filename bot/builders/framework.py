"""What a row of the table of frameworks consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bot.builders.project import Project


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One row. The documentation is what a maintainer of the row should read.

    How it is recognised: `packages` in package.json (any of them), or, for what is no
    matter of Node, `files` (patterns relative to the project's root; any of them), and
    `condition` on top, where given. `only_by_script`: a dependency alone says nothing,
    since many a project has it beside what it publishes.

    How it is built: `scripts` are the scripts of package.json that build it, the first
    that exists; `commands` are the ways of calling its own program, the first of which
    is run where there is no script. `node` are pairs of a major version of the framework and
    the Node that it wants from then on, for projects that do not say. `programs` have to be
    on the machine; `requirements` are the Python packages that a project without a list of
    its own needs.

    How it learns its base path: in the `base_…` fields `{base}` is the base path
    (`/1a2b3c/`) and `{bare}` the same without its last slash. `base_arguments` go behind
    each command; `base_files` makes configuration that wraps the project's own;
    `outputs` of Node frameworks may hold `{base}` too.
    `relative`: its output works anywhere, and needs nothing.

    `server_only`: where true, the project needs a server; `static_hint` says what to change.
    """

    name: str
    documentation: str
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    condition: Callable[[Project], bool] | None = None
    only_by_script: bool = False
    scripts: tuple[str, ...] = ("build",)
    commands: tuple[tuple[str, ...], ...] = ()
    node: tuple[tuple[int, str], ...] = ()
    programs: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    outputs: tuple[str, ...] | Callable[[Project], tuple[str, ...]] = ()
    spa: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    base_arguments: tuple[str, ...] = ()
    base_environment: Mapping[str, str] = field(default_factory=dict)
    base_files: Callable[[Project, str], Mapping[str, str]] | None = None
    relative: bool = False
    server_only: Callable[[Project], bool] | None = None
    static_hint: str = ""


def filled(template: str, base: str) -> str:
    """A `base_…` field's text for a base path."""
    return template.replace("{base}", base).replace("{bare}", base.rstrip("/"))
