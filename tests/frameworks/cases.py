"""Every framework that is built for real: its fixture, and what its page must do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"
ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fixture.

    `version_of` is the package whose version is recorded, of npm or (`python`) of PyPI, or
    the `program` that is asked for its version.
    `assets` are the folders that get the font and the picture, which all fixtures share.
    `lazy`: whether the page loads a chunk of its own that marks the document. `deep` is the
    path of the second page; empty: there is no link to one. `fast`: built in every test run.
    `missing` is the program that a machine may lack, and `host` the one that a build asks
    for more than packages, and a machine may not reach: the failure must name them.
    """

    name: str
    framework: str
    version_of: str = ""
    assets: tuple[str, ...] = ("src",)
    lazy: bool = True
    deep: str = "deep"
    fast: bool = False
    missing: str = ""
    host: str = ""
    files: tuple[str, ...] = field(default=("fixture.woff2", "picture.png"))

    @property
    def folder(self) -> Path:
        return FIXTURES / self.name


CASES: tuple[Case, ...] = (
    Case(name="plain-html", framework="Plain HTML", assets=(".",), fast=True),
    Case(name="vite-vanilla", framework="Vite", version_of="vite", fast=True),
    Case(name="vite-react", framework="Vite", version_of="vite"),
    Case(name="vite-vue", framework="Vite", version_of="vite", fast=True),
    Case(name="vite-svelte", framework="Vite", version_of="vite", fast=True),
    Case(name="vite-preact", framework="Vite", version_of="vite"),
    Case(name="vite-solid", framework="Vite", version_of="vite"),
    Case(name="vite-lit", framework="Vite", version_of="vite", fast=True),
    Case(name="create-react-app", framework="Create React App", version_of="react-scripts"),
    Case(name="vue-cli", framework="Vue CLI", version_of="@vue/cli-service"),
    Case(name="next", framework="Next.js", version_of="next", assets=("app",)),
    Case(name="nuxt", framework="Nuxt", version_of="nuxt", assets=("app/assets",)),
    Case(name="sveltekit", framework="SvelteKit", version_of="@sveltejs/kit"),
    Case(name="astro", framework="Astro", version_of="astro"),
    Case(name="angular", framework="Angular", version_of="@angular/cli"),
    Case(name="gatsby", framework="Gatsby", version_of="gatsby"),
    Case(name="docusaurus", framework="Docusaurus", version_of="@docusaurus/core",
         assets=(".",), lazy=False),
    Case(name="eleventy", framework="Eleventy", version_of="@11ty/eleventy", assets=(".",),
         fast=True),
    Case(name="vitepress", framework="VitePress", version_of="vitepress",
         assets=("docs/.vitepress/theme",), lazy=False),
    Case(name="vuepress", framework="VuePress", version_of="vuepress",
         assets=("docs/.vuepress",), lazy=False),
    Case(name="hexo", framework="Hexo", version_of="hexo",
         assets=("themes/fixture/source",), lazy=False, fast=True),
    Case(name="ember", framework="Ember", version_of="ember-cli", assets=("app",)),
    Case(name="ember-classic", framework="Ember", version_of="ember-cli",
         assets=("public/assets",), lazy=False),
    Case(name="parcel", framework="Parcel", version_of="parcel", fast=True),
    Case(name="preact-cli", framework="Preact CLI", version_of="preact-cli"),
    Case(name="rsbuild", framework="Rsbuild", version_of="@rsbuild/core"),
    Case(name="rspress", framework="Rspress", version_of="@rspress/core", assets=("theme",),
         lazy=False),
    Case(name="slidev", framework="Slidev", version_of="@slidev/cli", assets=("styles",),
         lazy=False),
    Case(name="stencil", framework="Stencil", version_of="@stencil/core"),
    Case(name="umi", framework="UmiJS", version_of="umi"),
    Case(name="ionic-react", framework="Ionic React", version_of="@ionic/react"),
    Case(name="ionic-angular", framework="Angular", version_of="@ionic/angular"),
    Case(name="storybook", framework="Storybook", version_of="storybook", lazy=False, deep=""),
    Case(name="react-router", framework="React Router", version_of="@react-router/dev",
         assets=("app",)),
    Case(name="remix", framework="Remix", version_of="@remix-run/dev", assets=("app",)),
    Case(name="solid-start", framework="SolidStart", version_of="@solidjs/start"),
    Case(name="tanstack-start", framework="TanStack Start",
         version_of="@tanstack/react-start"),
    Case(name="qwik", framework="Qwik", version_of="@builder.io/qwik-city"),
    Case(name="hugo", framework="Hugo", version_of="python hugo", assets=("static",),
         lazy=False, fast=True),
    Case(name="jekyll", framework="Jekyll", version_of="program jekyll", assets=(".",),
         lazy=False, missing="jekyll"),
    Case(name="jekyll-gemfile", framework="Jekyll", version_of="program jekyll", assets=(".",),
         lazy=False, missing="bundle"),
    Case(name="zola", framework="Zola", assets=(), missing="zola"),
    Case(name="mkdocs", framework="MkDocs", version_of="python mkdocs", assets=("docs",),
         lazy=False, fast=True),
    Case(name="sphinx", framework="Sphinx", version_of="python sphinx",
         assets=("docs/_static",), lazy=False),
    Case(name="pelican", framework="Pelican", version_of="python pelican",
         assets=("theme/static",), lazy=False, fast=True),
    Case(name="jupyter-book", framework="Jupyter Book", version_of="python jupyter-book",
         assets=("_static",), lazy=False),
    Case(name="myst", framework="Jupyter Book (MyST)", version_of="python jupyter-book",
         assets=(".",), lazy=False, host="api.mystmd.org"),
    Case(name="mdbook", framework="mdBook", version_of="program mdbook", assets=("src",),
         lazy=False, missing="mdbook"),
    Case(name="package-json", framework="package.json", version_of="esbuild", fast=True),
    Case(name="python-build", framework="Python", version_of="python jinja2", assets=(".",),
         lazy=False),
)  # fmt: skip
