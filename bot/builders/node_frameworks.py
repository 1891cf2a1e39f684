"""Frameworks that a package.json shows: more specific rows first."""

from __future__ import annotations

import json
import re

from bot.builders.application_frameworks import APPLICATION_FRAMEWORKS
from bot.builders.framework import Framework
from bot.builders.project import Project
from bot.builders.wrapped_configuration import wrapping


def _angular_outputs(project: Project) -> tuple[str, ...]:
    """By angular.json; since version 17 browsers get a folder of their own.

    https://angular.dev/reference/configs/workspace-config
    """
    found: list[str] = []
    try:
        projects = json.loads(project.text("angular.json") or "{}").get("projects", {})
        for name, options in projects.items():
            targets = options.get("architect") or options.get("targets") or {}
            path = targets.get("build", {}).get("options", {}).get("outputPath", f"dist/{name}")
            if isinstance(path, dict):
                base, browser = path.get("base", f"dist/{name}"), path.get("browser", "browser")
                found += [f"{base}/{browser}" if browser else base]
            else:
                found += [f"{path}/browser", path]
    except (ValueError, AttributeError):
        pass
    return (*(path.strip("/") for path in found), "dist")


def _documents(folder: str) -> tuple[str, ...]:
    """Where VitePress and VuePress write, for the usual places of documents."""
    return tuple(f"{place}{folder}/dist" for place in ("docs/", "", "src/", "website/", "doc/"))


def _umi_files(project: Project, base: str) -> dict[str, str]:
    """An extra configuration that UMI_ENV selects. https://umijs.org/docs/guides/env-variables"""
    own = project.first(".umirc.ts", ".umirc.js", "config/config.ts", "config/config.js")
    stem, suffix = re.sub(r"\.(ts|js)$", "", own or ".umirc.ts"), (own or ".ts")[-3:]
    values = json.dumps({"base": base, "publicPath": base})
    return {f"{stem}.deploystack{suffix}": f"export default {values};\n"}


def _ember_files(project: Project, base: str) -> dict[str, str]:
    """The router's root, and, where Vite builds it, the bundler's too.

    https://github.com/ember-cli/ember-app-blueprint
    """
    return {
        **wrapping(("config/environment.*",), "{ ...own, rootURL: {base} }")(project, base),
        **wrapping(("vite.config.*",), "{ ...own, base: {base} }")(project, base),
    }


def _preact_configuration(project: Project, base: str) -> dict[str, str]:
    """A configuration that runs the project's own and sets webpack's public path."""
    own = project.first("preact.config.js")
    loading = 'import own from "./preact.config.js";\n' if own else "const own = undefined;\n"
    return {
        "preact.config.deploystack.js": (
            f"{loading}"
            "export default async (config, ...rest) => {\n"
            '  const change = typeof own === "function" ? own : own && own.webpack;\n'
            "  if (change) await change(config, ...rest);\n"
            f"  config.output.publicPath = {json.dumps(base)};\n"
            "};\n"
        )
    }


NODE_FRAMEWORKS: tuple[Framework, ...] = (
    *APPLICATION_FRAMEWORKS,
    Framework(
        name="Docusaurus",
        documentation="https://docusaurus.io/docs/deployment",
        packages=("@docusaurus/core",),
        commands=(("docusaurus", "build"),),
        outputs=("build",),
        base_files=wrapping(("docusaurus.config.*",), "{ ...own, baseUrl: {base} }"),
    ),
    Framework(
        name="Gatsby",
        documentation="https://www.gatsbyjs.com/docs/how-to/previews-deploys-hosting/path-prefix/",
        packages=("gatsby",),
        commands=(("gatsby", "build"),),
        outputs=("public",),
        base_arguments=("--prefix-paths",),
        base_files=wrapping(
            ("gatsby-config.*",), "{ ...own, pathPrefix: {bare} }", "gatsby-config.js"
        ),
    ),
    Framework(
        name="Angular",
        documentation="https://angular.dev/tools/cli/deployment#--base-href",
        packages=("@angular/cli",),
        commands=(("ng", "build"), ("ionic", "build")),
        node=((20, ">=20.19"), (22, "^22.22.3 || ^24.15 || >=26")),
        outputs=_angular_outputs,
        spa=True,
        base_arguments=("--base-href={base}",),
    ),
    Framework(
        name="VitePress",
        documentation="https://vitepress.dev/reference/cli#vitepress-build",
        packages=("vitepress",),
        only_by_script=True,
        scripts=("build", "docs:build", "build:docs", "docs-build"),
        commands=(("vitepress", "build"),),
        outputs=_documents(".vitepress"),
        base_arguments=("--base={base}",),
    ),
    Framework(
        name="VuePress",
        documentation="https://vuepress.vuejs.org/reference/config.html#base",
        packages=("vuepress", "vuepress-vite", "vuepress-webpack"),
        only_by_script=True,
        scripts=("build", "docs:build", "build:docs", "docs-build"),
        commands=(("vuepress", "build"), ("vuepress-vite", "build"), ("vuepress-webpack", "build")),
        outputs=_documents(".vuepress"),
        base_files=wrapping(
            tuple(f"{p}.vuepress/config.[jtm]*" for p in ("docs/", "", "src/", "website/", "doc/")),
            "{ ...own, base: {base} }",
        ),
    ),
    Framework(
        name="Eleventy",
        documentation="https://www.11ty.dev/docs/config/#deploy-to-a-subdirectory-with-a-path-prefix",
        packages=("@11ty/eleventy",),
        commands=(("eleventy",), ("@11ty/eleventy",)),
        outputs=("_site",),
        base_arguments=("--pathprefix={base}",),
    ),
    Framework(
        name="Hexo",
        documentation="https://hexo.io/docs/configuration#Using-an-Alternate-Config",
        packages=("hexo",),
        commands=(("hexo", "generate"), ("hexo", "g")),
        outputs=("public",),
        base_arguments=("--config=_config.yml,_config.deploystack.yml",),
        base_files=lambda _project, base: {
            "_config.deploystack.yml": f"root: {json.dumps(base)}\n"
        },
    ),
    Framework(
        name="Ember",
        documentation="https://cli.emberjs.com/release/advanced-use/deploying/",
        packages=("ember-cli",),
        commands=(("ember", "build"), ("vite", "build")),
        outputs=("dist",),
        spa=True,
        base_files=_ember_files,
    ),
    Framework(
        name="UmiJS",
        documentation="https://umijs.org/docs/api/config#base",
        packages=("umi", "@umijs/max"),
        commands=(("umi", "build"), ("max", "build")),
        outputs=("dist",),
        spa=True,
        base_environment={"UMI_ENV": "deploystack"},
        base_files=_umi_files,
    ),
    Framework(
        name="Preact CLI",
        documentation="https://github.com/preactjs/preact-cli#custom-configuration",
        packages=("preact-cli",),
        commands=(("preact", "build"),),
        outputs=("build",),
        spa=True,
        base_arguments=("--config=preact.config.deploystack.js",),
        base_files=_preact_configuration,
    ),
    Framework(
        name="Stencil",
        documentation="https://stenciljs.com/docs/www",
        packages=("@stencil/core",),
        commands=(("stencil", "build"),),
        outputs=("www",),
        spa=True,
    ),
    Framework(
        name="Create React App",
        documentation="https://create-react-app.dev/docs/deployment/",
        packages=("react-scripts",),
        commands=(("react-scripts", "build"), ("react-app-rewired", "build"), ("craco", "build")),
        outputs=("build",),
        spa=True,
        # With CI set, it turns every warning into an error.
        environment={"CI": "false"},
        base_environment={"PUBLIC_URL": "{base}"},
    ),
    Framework(
        name="Vue CLI",
        documentation="https://cli.vuejs.org/config/#publicpath",
        packages=("@vue/cli-service",),
        commands=(("vue-cli-service", "build"),),
        outputs=("dist",),
        spa=True,
        base_files=wrapping(
            ("vue.config.*",),
            "{ ...own, publicPath: {base} }",
            "vue.config.js",
            own='require("./package.json").vue || {}',
        ),
    ),
    Framework(
        name="Slidev",
        documentation="https://sli.dev/guide/hosting",
        packages=("@slidev/cli",),
        commands=(("slidev", "build"),),
        node=((53, ">=22.12"),),
        outputs=("dist",),
        spa=True,
        base_arguments=("--base={base}",),
    ),
    Framework(
        name="Rsbuild",
        documentation="https://rsbuild.rs/guide/basic/cli",
        packages=("@rsbuild/core",),
        commands=(("rsbuild", "build"),),
        outputs=("dist",),
        spa=True,
        base_arguments=("--base={base}",),
    ),
    Framework(
        name="Rspress",
        documentation="https://rspress.rs/api/config/config-basic#base",
        packages=("rspress", "@rspress/core"),
        commands=(("rspress", "build"),),
        outputs=("doc_build",),
        base_files=wrapping(("rspress.config.*",), "{ ...own, base: {base} }"),
    ),
    Framework(
        name="Ionic React",
        documentation="https://ionicframework.com/docs/react/your-first-app",
        packages=("@ionic/react",),
        only_by_script=True,
        commands=(("vite", "build"),),
        outputs=("dist", "build"),
        spa=True,
        base_arguments=("--base={base}",),
    ),
    Framework(
        name="Vite",
        documentation="https://vite.dev/guide/build#public-base-path",
        packages=("vite", "rolldown-vite"),
        commands=(("vite", "build"),),
        outputs=("dist",),
        spa=True,
        base_arguments=("--base={base}",),
    ),
    Framework(
        name="Parcel",
        documentation="https://parceljs.org/features/cli/",
        packages=("parcel", "parcel-bundler"),
        commands=(("parcel", "build"),),
        outputs=("dist",),
        spa=True,
        base_arguments=("--public-url={base}",),
    ),
    Framework(
        name="Storybook",
        documentation="https://storybook.js.org/docs/sharing/publish-storybook",
        packages=("storybook", "@storybook/react", "@storybook/vue3", "@storybook/html"),
        only_by_script=True,
        scripts=("build", "build-storybook", "build:storybook", "storybook:build"),
        commands=(("storybook", "build"), ("build-storybook",)),
        outputs=("storybook-static",),
        relative=True,
    ),
)
