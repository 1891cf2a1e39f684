"""The frameworks that are recognised: data, one row each, more specific rows first.

A row says how a framework is recognised, what builds it, where its output lies and
how it learns its base path. What is made of a row is `detect`'s affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bot.builders.project import Project


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One row.

    Recognised by any of `packages` in package.json, or else by any of `files`
    (patterns, relative to the project's root). `scripts` are the scripts of
    package.json that build it, the first that exists; without one, `command` is run.

    In the `base_…` fields `{base}` is the base path (`/1a2b3c/`) and `{bare}` the
    same without its last slash. `base_arguments` go behind `command` wherever the
    scripts call it; `base_files` makes configuration that wraps the project's own.
    """

    name: str
    documentation: str
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ("build",)
    outputs: tuple[str, ...]
    spa: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    base_arguments: tuple[str, ...] = ()
    base_environment: Mapping[str, str] = field(default_factory=dict)
    base_files: Callable[[Project, str], Mapping[str, str]] | None = None


def _vue_cli_configuration(project: Project, base: str) -> dict[str, str]:
    """A configuration that takes the project's own and sets `publicPath`.

    https://cli.vuejs.org/config/#publicpath
    """
    own = next((n for n in ("vue.config.js", "vue.config.cjs") if project.has(n)), "")
    loaded = f'require("./{own}")' if own else "{}"
    return {
        "vue.config.deploystack.cjs": (
            f"const own = {loaded};\n"
            f'const withBase = (options) => ({{ ...options, publicPath: "{base}" }});\n'
            'module.exports = typeof own === "function" ? () => withBase(own() || {})'
            " : withBase(own);\n"
        )
    }


FRAMEWORKS: tuple[Framework, ...] = (
    Framework(
        name="Create React App",
        documentation="https://create-react-app.dev/docs/deployment/#building-for-relative-paths",
        packages=("react-scripts",),
        command=("react-scripts", "build"),
        outputs=("build",),
        spa=True,
        # With CI set, it turns every warning into an error.
        environment={"CI": "false"},
        base_environment={"PUBLIC_URL": "{base}"},
    ),
    Framework(
        name="Vue CLI",
        documentation="https://cli.vuejs.org/guide/deployment.html",
        packages=("@vue/cli-service",),
        command=("vue-cli-service", "build"),
        outputs=("dist",),
        spa=True,
        base_environment={"VUE_CLI_SERVICE_CONFIG_PATH": "vue.config.deploystack.cjs"},
        base_files=_vue_cli_configuration,
    ),
    Framework(
        name="Vite",
        documentation="https://vite.dev/guide/build#public-base-path",
        packages=("vite",),
        command=("vite", "build"),
        outputs=("dist",),
        spa=True,
        base_arguments=("--base={base}",),
    ),
)
