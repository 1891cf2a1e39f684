"""From a source tree to a plan: what it is, and what turns it into a site.

The answer depends on the tree alone; nothing is run, and nothing is checked out.
"""

from __future__ import annotations

import posixpath

from bot.builders.base_path import base_path_for
from bot.builders.frameworks import FRAMEWORKS, Framework
from bot.builders.package_json import Package
from bot.builders.plan import Plan, Step
from bot.builders.project import Project
from bot.builders.tree import Tree
from bot.errors import UserError

# Where a build that we know nothing else of may leave its output.
OUTPUTS = ("dist", "build", "out", "public", "_site", "site", "www")
# Where a site that needs no build may lie, if not at the top.
_PREBUILT = ("dist", "build", "public", "_site", "site", "out", "docs", "www", "html")
_UNCHANGED = "plain files: links are published as they are"

_GENERIC = Framework(
    name="package.json",
    documentation="https://docs.npmjs.com/cli/using-npm/scripts",
    outputs=OUTPUTS,
    base_environment={"PUBLIC_URL": "{bare}", "BASE_PATH": "{base}"},
)


def plan(tree: Tree, base_path: str, root: str = ".") -> Plan:
    """How the project at `root` becomes a site under `base_path`.

    Raises `UserError` where nothing is recognised, or nothing that this host can serve.
    """
    project = Project(tree, root)
    for framework in FRAMEWORKS:
        reason = recognised_by(framework, project)
        if reason:
            return _plan_for(framework, project, reason, base_path)
    package = project.package
    if package is not None and "build" in package.scripts:
        return _plan_for(_GENERIC, project, "script `build` in package.json", base_path)
    return _static_plan(project)


def recognised_by(framework: Framework, project: Project) -> str:
    """What in the project shows the framework, in words; empty: nothing."""
    package = project.package
    if package is not None:
        for name in framework.packages:
            if name in package.dependencies:
                return f"dependency `{name}` in package.json"
    for pattern in framework.files:
        if found := project.matching(pattern):
            return f"file `{found}`"
    return ""


def _plan_for(framework: Framework, project: Project, reason: str, base: str) -> Plan:
    package = project.package
    assert package is not None  # noqa: S101 (Node frameworks are recognised by it)
    manager = package.manager
    script = next((name for name in framework.scripts if name in package.scripts), "")
    way = base_path_for(framework, project, script, base)
    if script:
        build = manager.run(script, way.arguments)
    else:
        build = manager.execute((*framework.command, *way.arguments))
    return Plan(
        framework=framework.name,
        reason=reason,
        root=project.root,
        steps=(Step(name="install", argv=manager.install()), Step(name="build", argv=build)),
        outputs=_outputs(framework, project),
        environment={**framework.environment, **way.environment},
        files=way.files,
        spa=framework.spa,
        base_path=way.how,
        lockfile=_in_root(project, manager.lockfile),
        package_manager=manager.name,
        package_manager_version=_manager_version(package),
        node=package.node,
    )


def _outputs(framework: Framework, project: Project) -> tuple[str, ...]:
    """Where to look, best first: what the sources hold already is no build's output."""
    candidates = (*framework.outputs, *(n for n in OUTPUTS if n not in framework.outputs))
    source = {name for name in candidates if project.has(f"{name}/index.html")}
    made = tuple(n for n in candidates if n not in source or n in framework.outputs[:1])
    if framework is not _GENERIC:
        return tuple(name for name in made if name != "public" or name in framework.outputs)
    # A build may work in place, such as one that only makes the style sheets.
    at_the_top = (".",) if project.has("index.html") else ()
    return (*made, *(name for name in candidates if name not in made), *at_the_top)


def _manager_version(package: Package) -> str:
    manager = package.manager
    if manager.version or manager.name != "yarn":
        return manager.version
    return "4" if manager.berry else "1"


def _in_root(project: Project, name: str) -> str:
    return posixpath.normpath(posixpath.join(project.root, name)) if name else ""


def _static_plan(project: Project) -> Plan:
    if project.has("index.html"):
        return Plan(
            framework="Plain HTML",
            reason="file `index.html`, and nothing that builds",
            root=project.root,
            base_path=_UNCHANGED,
        )
    for folder in _PREBUILT:
        if project.has(f"{folder}/index.html"):
            return Plan(
                framework="Pre-built site",
                reason=f"file `{folder}/index.html`, and nothing that builds",
                root=project.root,
                outputs=(folder,),
                base_path=_UNCHANGED,
            )
    raise UserError(
        "nothing-recognised",
        "There is no index page, no build script and no known framework in this commit.",
        "Add an index.html, or a package.json with a `build` script.",
    )
