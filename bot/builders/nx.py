"""Projects that are Nx's own: a `project.json`, and no package.json beside it.

All of them share the workspace's dependencies, and Nx itself builds what they need. Their
output lies wherever their configuration says, mostly in `dist` at the workspace's root: so
the plan's folder is that root. https://nx.dev/docs/reference/project-configuration
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from bot.builders.plan import Plan, Step
from bot.builders.workspace import NX_PROJECT, Workspace, json_of
from bot.builders.workspace_steps import described, nx_name

# What builds → the framework, whether it is a SPA, and the option for the base path.
_BUILDERS = (
    (("vite",), "Vite", True, "--base={base}"),
    (("angular",), "Angular", True, "--base-href={base}"),
    (("webpack", "rspack"), "Webpack", True, "--baseHref={base}"),
    (("esbuild",), "esbuild", False, ""),
)
_CONFIGURATIONS = (
    ("vite.config.", "vite"),
    ("webpack.config.", "webpack"),
    ("rspack.config.", "rspack"),
)


def plan(workspace: Workspace, base: str) -> Plan:
    """How the project becomes a site under `base`."""
    build = _target(workspace)
    said = (_said(build), _by_files(workspace))
    rows = (row for text in said for row in _BUILDERS if any(word in text for word in row[0]))
    _, framework, spa, option = next(rows, ((), "Nx", False, ""))
    options = (option.format(base=base),) if option else ()
    command = ("nx", "build", nx_name(workspace, workspace.project), *options)
    manager = workspace.manager
    package = workspace.package
    return Plan(
        framework=framework,
        reason=f"file `{workspace.project}/{NX_PROJECT}`",
        root=workspace.root,
        steps=(
            Step(name="install", argv=manager.install()),
            Step(name="build", argv=manager.execute(command)),
        ),
        outputs=_outputs(workspace, build),
        environment={"PUBLIC_URL": base.rstrip("/"), "BASE_PATH": base},
        spa=spa,
        base_path=" and ".join((*options, f"BASE_PATH={base}")),
        lockfile=workspace.path(manager.lockfile) if manager.lockfile else "",
        package_manager=manager.name,
        package_manager_version=manager.asked,
        node=package.node,
        notes=(described(workspace),),
    )


def _target(workspace: Workspace) -> Mapping[str, Any]:
    targets = json_of(workspace.tree, f"{workspace.project}/{NX_PROJECT}").get("targets")
    build = targets.get("build") if isinstance(targets, dict) else None
    return build if isinstance(build, dict) else {}


def _said(build: Mapping[str, Any]) -> str:
    """What builds, as far as the target says: its executor, or the command that it runs."""
    options = build.get("options")
    command = options.get("command") if isinstance(options, dict) else ""
    return f"{build.get('executor', '')} {build.get('command', '')} {command}"


def _by_files(workspace: Workspace) -> str:
    """What Nx's plugins make a target of, where the project says nothing that is known."""
    prefix = f"{workspace.project}/"
    for name, builder in _CONFIGURATIONS:
        if any(path.startswith(prefix + name) for path in workspace.tree.files):
            return builder
    return ""


def _outputs(workspace: Workspace, build: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the output may lie, relative to the workspace's root."""
    project = posixpath.relpath(workspace.project, workspace.root)
    options = build.get("options")
    said = options.get("outputPath") if isinstance(options, dict) else None
    if isinstance(said, dict):  # Angular's: a base and folders below it
        said = said.get("base")
    own = [said] if isinstance(said, str) else []
    listed = build.get("outputs")
    own += [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    filled = (
        text.replace("{workspaceRoot}/", "")
        .replace("{projectRoot}", project)
        .replace("{projectName}", nx_name(workspace, workspace.project))
        for text in own
    )
    named = [path.strip("/") for path in filled if "{" not in path and ".." not in path]
    usual = [f"dist/{project}", f"{project}/dist", f"{project}/build"]
    folders = dict.fromkeys([*named, *usual])
    return tuple(path for folder in folders for path in (f"{folder}/browser", folder))
