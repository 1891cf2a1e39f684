"""From a source tree to a plan: what it is, and what turns it into a site.

The answer depends on the tree alone; nothing is run, and nothing is checked out.
"""

from __future__ import annotations

import math
import posixpath
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from bot.builders import nx, scripts
from bot.builders.base_path import base_path_for
from bot.builders.framework import Framework, filled
from bot.builders.frameworks import GENERATORS, NODE_FRAMEWORKS, SERVERS
from bot.builders.generators import sphinx_source
from bot.builders.package_json import Package
from bot.builders.plan import PYTHON, UV, Plan, Step
from bot.builders.project import Project
from bot.builders.tree import Tree
from bot.builders.workspace import needed_by_its_root
from bot.builders.workspace_steps import dependency_steps, in_workspace
from bot.errors import UserError

# Where a build that we know nothing else of may leave its output.
OUTPUTS = ("dist", "build", "out", "public", "_site", "site", "www")
# Where a site that needs no build may lie, if not at the top.
_PREBUILT = ("dist", "build", "public", "_site", "site", "out", "docs", "www", "html")
_UNCHANGED = "plain files: links are published as they are"
# Programs in it find it wherever it lies. https://docs.astral.sh/uv/reference/cli/#uv-venv
_ENVIRONMENT = (UV, "venv", "--quiet", "--relocatable", PYTHON)
_FILL = (UV, "pip", "install", "--python", PYTHON)
# A build that only compiles makes no pages.
_COMPILES = re.compile(r"\s*(?:rimraf \S+ && )?(?:npx )?(?:tsc|nest|swc|tsup|babel|prisma)\b")

_GENERIC = Framework(
    name="package.json",
    documentation="https://docs.npmjs.com/cli/using-npm/scripts",
    outputs=OUTPUTS,
    base_environment={"PUBLIC_URL": "{bare}", "BASE_PATH": "{base}"},
)


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a project says itself, and need not be found out.

    `command` builds it (empty: nothing needs to, None: not said), into `output` (empty:
    not said); `framework` with the reason, instead of the one that would be recognised.
    """

    command: str | None = None
    output: str = ""
    framework: tuple[Framework, str] | None = None


def plan(tree: Tree, base_path: str, root: str = ".", given: Given = Given()) -> Plan:
    """How the project at `root` becomes a site under `base_path`.

    Where a command is given, the plan is the one for it, but its step is not in it.
    Raises `UserError`: `server-only` where it needs a server, `nothing-recognised`.
    """
    project = Project(tree, root)
    workspace = project.workspace
    if workspace is not None and workspace.integrated and not given.framework:
        return nx.plan(workspace, base_path)
    if given.command == "":
        return _unbuilt_plan(project, given) or _nothing_recognised()
    found = given.framework or _node_framework(project) or _by_files(GENERATORS, project)
    if found:
        framework, reason = found
        if not given.output:
            _refuse_server(framework, project, reason)
        if framework in GENERATORS:
            return _generator_plan(framework, project, reason, base_path, given)
        return _node_plan(framework, project, reason, base_path, given)
    if given.command:
        return _custom_plan(project, base_path, given)
    package = project.package
    build = package.scripts.get("build", "") if package is not None else ""
    if build and not _COMPILES.match(build):
        return _node_plan(_GENERIC, project, "script `build` in package.json", base_path, given)
    if project.has("index.html"):
        return _static_plan(project, ".", "file `index.html`, and nothing that builds")
    server = _by_dependency(SERVERS, project) or _by_files(SERVERS, project)
    if server and not given.output:
        _refuse_server(server[0], project, server[1])
    if unbuilt := _unbuilt_plan(project, given):
        return unbuilt
    if build:
        return _node_plan(_GENERIC, project, "script `build` in package.json", base_path, given)
    return _nothing_recognised()


def _unbuilt_plan(project: Project, given: Given) -> Plan | None:
    """The site that lies in the sources; None: there is none."""
    if given.output:
        reason = f"folder `{given.output}`, and nothing that builds"
        return _static_plan(project, given.output, reason)
    for folder in (".", *_PREBUILT):
        index = posixpath.normpath(f"{folder}/index.html")
        if project.has(index):
            return _static_plan(project, folder, f"file `{index}`, and nothing that builds")
    return None


def _custom_plan(project: Project, base: str, given: Given) -> Plan:
    """For a project that says how it is built, and nothing else is known of."""
    reason = "a build command of its own"
    if project.package is not None:
        return _node_plan(_GENERIC, project, reason, base, given)
    way = base_path_for(_GENERIC, project, "", base)
    wanted: tuple[str, ...] = ()
    if project.has("requirements.txt"):
        wanted = ("--requirement", "requirements.txt")
    elif project.has("pyproject.toml"):
        wanted = (".",)
    fill = (Step(name="install", argv=_ENVIRONMENT), Step(name="install", argv=(*_FILL, *wanted)))
    return Plan(
        framework="Python" if wanted else "Own build",
        reason=f"{reason}, and `{wanted[-1]}`" if wanted[1:] else reason,
        root=project.root,
        steps=fill if wanted else (),
        package_manager=UV if wanted else "",
        python=_python_version(project),
        outputs=_outputs(_GENERIC, project),
        environment=way.environment,
        base_path=way.how,
    )


def _nothing_recognised() -> NoReturn:
    raise UserError(
        "nothing-recognised",
        "There is no index page, no build script and no known framework in this commit.",
        "Add an index.html, or a package.json with a `build` script.",
    )


def _node_framework(project: Project) -> tuple[Framework, str] | None:
    """By what the build script calls, else by dependency alone.

    The script comes first because dependencies mislead: whoever tests with Vitest has
    Vite, and many an application has its documents in VitePress beside it.
    """
    package = project.package
    if package is None:
        return None
    above = project.workspace.package if project.workspace is not None else package
    for framework in NODE_FRAMEWORKS:
        script = _build_script(framework, package)
        reason = _dependency(framework, package) or _dependency(framework, above)
        if reason and script and scripts.called_by(package, script, framework.commands):
            return framework, reason
    return _by_dependency((f for f in NODE_FRAMEWORKS if not f.only_by_script), project)


def _by_dependency(rows: Iterable[Framework], project: Project) -> tuple[Framework, str] | None:
    package = project.package
    if package is not None:
        for framework in rows:
            if reason := _dependency(framework, package):
                return framework, reason
    return None


def _by_files(rows: Iterable[Framework], project: Project) -> tuple[Framework, str] | None:
    for framework in rows:
        found = project.first(*framework.files)
        if found and (framework.condition is None or framework.condition(project)):
            return framework, f"file `{found}`"
    return None


def _dependency(framework: Framework, package: Package) -> str:
    """What shows the framework, in words; empty: nothing."""
    name = next((name for name in framework.packages if name in package.dependencies), "")
    return f"dependency `{name}` in package.json" if name else ""


def _build_script(framework: Framework, package: Package) -> str:
    return next((name for name in framework.scripts if name in package.scripts), "")


def _refuse_server(framework: Framework, project: Project, reason: str) -> None:
    if framework.server_only is None or not framework.server_only(project):
        return
    raise UserError(
        "server-only",
        f"This is a {framework.name} project ({reason}), which needs a server of its own; "
        "this host serves static output.",
        framework.static_hint
        or "Publish what can be built into plain files, and host the server elsewhere.",
    )


def _node_plan(
    framework: Framework, project: Project, reason: str, base: str, given: Given
) -> Plan:
    package = project.package
    assert package is not None  # noqa: S101 (Node frameworks are recognised by it)
    workspace = project.workspace
    if workspace is None and framework is not _GENERIC and not given.command:
        workspace = needed_by_its_root(project.tree, project.root)
    manager = workspace.manager if workspace is not None else package.manager
    steps: tuple[Step, ...] = (Step(name="install", argv=manager.install()),)
    if given.command:
        script = scripts.started_by(package, given.command)
        way = base_path_for(framework, project, script, base, behind=False)
    else:
        script = _build_script(framework, package)
        way = base_path_for(framework, project, script, base)
        if script:
            build = manager.run(script, way.arguments)
        elif workspace is None or manager.berry:
            build = manager.execute((*framework.commands[0], *way.arguments))
        else:  # its program may lie at the workspace's root
            build = (*framework.commands[0], *way.arguments)
        before = dependency_steps(workspace) if workspace is not None else ()
        steps = (*steps, *before, Step(name="build", argv=build))
    found = Plan(
        framework=framework.name,
        reason=reason,
        root=project.root,
        steps=steps,
        outputs=_below(base, _outputs(framework, project)),
        environment={**framework.environment, **way.environment},
        files=way.files,
        spa=framework.spa,
        base_path=way.how,
        lockfile=_in_root(project, manager.lockfile),
        package_manager=manager.name,
        package_manager_version=manager.asked,
        node=package.node or _node_for(framework, package),
    )
    if workspace is None:
        return found
    return in_workspace(found, workspace, package, announce=not given.command)


def _node_for(framework: Framework, package: Package) -> str:
    """The Node that this version of the framework wants; empty: any."""
    name = next((name for name in framework.packages if name in package.dependencies), "")
    # `latest`, a Git address and the like: the newest.
    found = re.match(r"[\^~>=v\s]*(\d+)", package.dependencies.get(name, ""))
    major = int(found[1]) if found else math.inf
    wanted = [node for since, node in framework.node if major >= since]
    return wanted[-1] if wanted else ""


def _generator_plan(
    framework: Framework, project: Project, reason: str, base: str, given: Given
) -> Plan:
    way = base_path_for(framework, project, "", base, behind=not given.command)
    source = sphinx_source(project)
    programs = framework.programs
    words = framework.commands[0]
    steps = []
    if programs == ("bundle",) and not project.has("Gemfile"):
        words = framework.commands[1]
        programs = words[:1]
    command = tuple(word.replace("{sphinx_source}", source) for word in words)
    if framework.requirements:
        steps = [
            Step(name="install", argv=_ENVIRONMENT),
            Step(name="install", argv=(*_FILL, *_wanted(framework, project))),
        ]
        command = (f"{PYTHON}/bin/{command[0]}", *command[1:])
    elif programs == ("bundle",):
        steps = [Step(name="install", argv=("bundle", "install"))]
    if not given.command:
        steps.append(Step(name="build", argv=(*command, *way.arguments)))
    return Plan(
        framework=framework.name,
        reason=reason,
        root=project.root,
        steps=tuple(steps),
        outputs=_outputs(framework, project),
        environment={**framework.environment, **way.environment},
        base_path=way.how,
        package_manager=UV if framework.requirements else "",
        python=_python_version(project),
        programs=() if given.command else programs,
    )


def _wanted(framework: Framework, project: Project) -> tuple[str, ...]:
    """What pip is to install: the project's own list, else what the generator needs."""
    listed = project.first("requirements.txt", "docs/requirements.txt", "doc/requirements.txt")
    if listed:
        return ("--requirement", listed)
    package = (".",) if project.has("pyproject.toml") and framework.name == "Sphinx" else ()
    return (*framework.requirements, *package)


def _python_version(project: Project) -> str:
    """What the project says, as it wrote it; empty: any.

    https://docs.astral.sh/uv/concepts/python-versions/#python-version-files
    """
    said = project.text(".python-version") or project.text("runtime.txt")
    lines = (line.strip() for line in said.splitlines())
    if first := next((line for line in lines if line and not line.startswith("#")), ""):
        return first.removeprefix("python-")
    try:
        needs = tomllib.loads(project.text("pyproject.toml")).get("project", {})
        return str(needs.get("requires-python", ""))
    except (tomllib.TOMLDecodeError, AttributeError):
        return ""


def _outputs(framework: Framework, project: Project) -> tuple[str, ...]:
    """Where to look, best first: what the sources hold already is no build's output."""
    own = framework.outputs
    rows = own(project) if callable(own) else own
    candidates = tuple(dict.fromkeys((*rows, *OUTPUTS)))
    source = {name for name in candidates if project.has(f"{name}/index.html")}
    made = tuple(n for n in candidates if n in rows or n not in source)
    if framework is not _GENERIC:
        return tuple(name for name in made if name != "public" or name in rows)
    # A build may work in place, such as one that only makes the style sheets.
    in_place = tuple(name for name in OUTPUTS if name in source)
    at_the_top = (".",) if project.has("index.html") else ()
    return (*(n for n in made if n not in source), *in_place, *at_the_top)


def _below(base: str, outputs: tuple[str, ...]) -> tuple[str, ...]:
    """With the base path filled in, for a framework that repeats it in its output folder."""
    return tuple(dict.fromkeys(filled(name, base).rstrip("/") for name in outputs))


def _in_root(project: Project, name: str) -> str:
    return posixpath.normpath(posixpath.join(project.root, name)) if name else ""


def _static_plan(project: Project, folder: str, reason: str) -> Plan:
    return Plan(
        framework="Plain HTML" if folder == "." else "Pre-built site",
        reason=reason,
        root=project.root,
        outputs=(folder,),
        base_path=_UNCHANGED,
    )
