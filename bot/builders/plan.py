"""What is to be done to turn a source tree into files to publish, decided before doing it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

# The package manager of Python builds, and the environment, below `root`, that it fills.
UV = "uv"
PYTHON = ".deploystack/python"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command. `name` is `install` or `build`; `network`: whether it may reach others.

    `folder` is where it runs, within the tree; empty: where its plan says.
    """

    name: str
    argv: tuple[str, ...]
    network: bool = True
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a deployment is made.

    `framework` and `reason` are shown in the log ("detected Vite: dependency `vite`
    in package.json"). `root` is the folder, within the tree, that is built.
    `outputs` are the folders, relative to `root`, where the result may lie: the
    first that holds an index page is published. No `steps`: the folder is published
    as it is. `base_path` says how the build learns its base path, for the log.

    `files` are written into `root` after the install step and before the build step:
    how some frameworks learn their base path.
    """

    framework: str
    reason: str
    root: str = "."
    steps: tuple[Step, ...] = ()
    outputs: tuple[str, ...] = (".",)
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    spa: bool = False
    base_path: str = ""
    # The lockfile's path within the tree: its digest is the key of the dependency cache.
    lockfile: str = ""
    # `npm`, `pnpm`, `yarn`, `bun` or `uv` (empty: none), and the version asked for, if any.
    package_manager: str = ""
    package_manager_version: str = ""
    # The Node and Python versions asked for, as the project wrote them; empty: any.
    node: str = ""
    python: str = ""
    # Programs that the steps call and that no package of the project brings (`hugo`).
    programs: tuple[str, ...] = ()
    # Folders, relative to `root`, whose programs commands find by name.
    path: tuple[str, ...] = ()
    # Which steps have a network: `full` (all), `install-only`, `none`.
    network: str = "full"
    # The keys of deploystack.toml that decided over what was detected (`build.command`).
    decided: tuple[str, ...] = ()
    # The variables that the project's configuration sets; they are in `environment` too.
    variables: Mapping[str, str] = field(default_factory=dict)
    # Whether the install steps do no more than fill node_modules, which may then be restored.
    restorable: bool = True
    # Configuration files that serving obeys: name → text.
    configuration: Mapping[str, str] = field(default_factory=dict)
    # The folder that dependencies are installed in, where it is that of a whole workspace.
    workspace: str = ""
    # The folders of the workspace's packages, and of those that the project needs, in order.
    members: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    # What more the log says of the plan.
    notes: tuple[str, ...] = ()
    # Whether the output of an earlier build may serve again where nothing has changed.
    reuse: bool = True
    # The files that need no build when they change, and the command that says so with 0.
    ignored_paths: tuple[str, ...] = ()
    ignore_command: tuple[str, ...] = ()
    # Less than the operator allows: `time` in s, `processes`, `memory` and `output` in bytes.
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def install_folder(self) -> str:
        """Where the install steps run, within the tree."""
        return self.workspace or self.root

    def folder_of(self, step: Step) -> str:
        """Where a step runs, within the tree."""
        return step.folder or (self.install_folder if step.name == "install" else self.root)

    def step(self, name: str) -> Step | None:
        return next((step for step in self.steps if step.name == name), None)


def program_folders(found: Plan) -> tuple[str, ...]:
    """Where the programs lie that a plan's install steps bring, relative to its root."""
    if found.package_manager == UV:
        return (f"{PYTHON}/bin",)
    if not found.package_manager:
        return ()
    own = "node_modules/.bin"
    above = posixpath.relpath(found.install_folder, found.root)
    return (own,) if above == "." else (own, posixpath.join(above, own))
