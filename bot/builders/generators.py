"""Site generators that are no matter of Node, and what needs a server whatever it is."""

from __future__ import annotations

import re
from collections.abc import Callable

from bot.builders.framework import Framework
from bot.builders.project import Project

_CONFIGURATIONS = ("config.toml", "config.yaml", "config.yml")
_SPHINX = ("docs", "doc", "docs/source", "doc/source", "source", "documentation")


def _is_hugo(project: Project) -> bool:
    """`config.toml` is a name that many use; Hugo's folders or words tell it apart."""
    if project.first("hugo.toml", "hugo.yaml", "hugo.yml", "hugo.json"):
        return True
    if project.first("config/_default/hugo.*", "config/_default/config.*"):
        return True
    if project.says(r"(?m)^\s*base_url\s*=", "config.toml"):
        return False  # Zola
    hugo_folders = {"archetypes", "layouts", "themes"} & project.folders
    return "content" in project.folders and (
        bool(hugo_folders) or project.says(r"(?mi)^\s*[\"']?baseURL\b", *_CONFIGURATIONS)
    )


def _is_jekyll(project: Project) -> bool:
    folders = {"_layouts", "_posts", "_includes", "_sass"} & project.folders
    theme = project.says(r"(?m)^(?:remote_)?theme\s*:", "_config.yml", "_config.yaml")
    return bool(folders) or theme or project.says(r"jekyll|github-pages", "Gemfile")


def _is_zola(project: Project) -> bool:
    return project.says(r"(?m)^\s*base_url\s*=", "config.toml")


def _is_jupyter_book_1(project: Project) -> bool:
    return project.has("_config.yml") and bool(project.first("_toc.yml", "_toc.yaml"))


def _is_sphinx(project: Project) -> bool:
    return bool(sphinx_source(project))


def sphinx_source(project: Project) -> str:
    """The folder of the `conf.py`; empty: none."""
    for folder in ("", *(f"{name}/" for name in _SPHINX)):
        if project.says(r"(?m)^\s*(?:extensions|project|html_theme)\s*=", f"{folder}conf.py"):
            return folder.rstrip("/") or "."
    return ""


GENERATORS: tuple[Framework, ...] = (
    Framework(
        name="Hugo",
        documentation="https://gohugo.io/commands/hugo/",
        files=("hugo.*", "config/_default/hugo.*", "config/_default/config.*", *_CONFIGURATIONS),
        condition=_is_hugo,
        commands=(("hugo", "--gc"),),
        # The package of that name brings the program itself.
        requirements=("hugo",),
        outputs=("public",),
        base_arguments=("--baseURL={base}",),
    ),
    Framework(
        name="Zola",
        documentation="https://www.getzola.org/documentation/getting-started/cli-usage/",
        files=("config.toml", "zola.toml"),
        condition=_is_zola,
        commands=(("zola", "build"),),
        programs=("zola",),
        outputs=("public",),
        base_arguments=("--base-url={bare}/",),
    ),
    Framework(
        name="MkDocs",
        documentation="https://www.mkdocs.org/user-guide/cli/#mkdocs-build",
        files=("mkdocs.yml", "mkdocs.yaml"),
        commands=(("mkdocs", "build", "--site-dir=site"),),
        requirements=("mkdocs", "mkdocs-material"),
        outputs=("site",),
        relative=True,
    ),
    Framework(
        name="Jupyter Book",
        documentation="https://jupyterbook.org/v1/",
        files=("_toc.yml", "_toc.yaml"),
        condition=_is_jupyter_book_1,
        commands=(("jupyter-book", "build", "."),),
        # With later ones, the theme's own scripts fail on every page (`THEBE_JS_URL` twice).
        requirements=("jupyter-book<2", "sphinx<7.2", "sphinx-book-theme<1.2"),
        outputs=("_build/html",),
        relative=True,
    ),
    Framework(
        name="Jupyter Book (MyST)",
        documentation="https://mystmd.org/guide/deployment",
        files=("myst.yml", "myst.yaml"),
        commands=(("jupyter-book", "build", "--html"),),
        requirements=("jupyter-book>=2",),
        outputs=("_build/html",),
        base_environment={"BASE_URL": "{bare}"},
    ),
    Framework(
        name="Pelican",
        documentation="https://docs.getpelican.com/en/latest/settings.html",
        files=("pelicanconf.py",),
        commands=(("pelican", "content", "--output=output", "--settings=pelicanconf.py"),),
        requirements=("pelican[markdown]",),
        outputs=("output",),
        # A value is read as JSON, so that the text has to be quoted.
        base_arguments=("--extra-settings", 'SITEURL="{bare}"'),
    ),
    Framework(
        name="mdBook",
        documentation="https://rust-lang.github.io/mdBook/format/configuration/renderers.html",
        files=("book.toml",),
        commands=(("mdbook", "build"),),
        programs=("mdbook",),
        outputs=("book",),
        base_environment={"MDBOOK_OUTPUT__HTML__SITE_URL": "{base}"},
    ),
    Framework(
        name="Jekyll",
        documentation="https://jekyllrb.com/docs/configuration/options/",
        files=("_config.yml", "_config.yaml", "_config.toml"),
        condition=_is_jekyll,
        # The second, for a project without a Gemfile.
        commands=(("bundle", "exec", "jekyll", "build"), ("jekyll", "build")),
        programs=("bundle",),
        outputs=("_site",),
        # Gems go where a build may write; those of the machine are found besides.
        environment={"JEKYLL_ENV": "production", "GEM_HOME": ".deploystack/gems"},
        base_arguments=("--baseurl={bare}",),
    ),
    Framework(
        name="Sphinx",
        documentation="https://www.sphinx-doc.org/en/master/man/sphinx-build.html",
        files=("conf.py", *(f"{name}/conf.py" for name in _SPHINX)),
        condition=_is_sphinx,
        commands=(("sphinx-build", "-b", "html", "{sphinx_source}", "_build/html"),),
        requirements=("sphinx",),
        outputs=("_build/html",),
        relative=True,
    ),
)


def _in_python(*packages: str) -> Callable[[Project], bool]:
    pattern = re.compile(rf"(?m)(?:^|[\"'\s])(?:{'|'.join(packages)})(?:[\s\[<>=~!;\"',]|$)")
    return lambda project: pattern.search(project.python_requirements) is not None


def _in_file(pattern: str, *files: str) -> Callable[[Project], bool]:
    return lambda project: project.says(pattern, *files)


def _always(_project: Project) -> bool:
    return True


def _node_server(name: str, package: str, documentation: str) -> Framework:
    return Framework(
        name=name, documentation=documentation, packages=(package,), server_only=_always
    )


def _server(
    name: str,
    documentation: str,
    files: tuple[str, ...],
    condition: Callable[[Project], bool] | None = None,
) -> Framework:
    return Framework(
        name=name,
        documentation=documentation,
        files=files,
        condition=condition,
        server_only=_always,
    )


_PYTHON = ("requirements.txt", "pyproject.toml", "Pipfile", "setup.cfg", "setup.py")

# What is never a static site. Rows of package.json count only where nothing else does.
SERVERS: tuple[Framework, ...] = (
    _node_server("NestJS", "@nestjs/core", "https://docs.nestjs.com"),
    _node_server("Express", "express", "https://expressjs.com"),
    _node_server("Fastify", "fastify", "https://fastify.dev"),
    _node_server("Koa", "koa", "https://koajs.com"),
    _node_server("hapi", "@hapi/hapi", "https://hapi.dev"),
    _node_server("Hono", "hono", "https://hono.dev"),
    _server("Django", "https://www.djangoproject.com", ("manage.py",)),
    _server("Django", "https://www.djangoproject.com", _PYTHON, _in_python("django")),
    _server("Flask", "https://flask.palletsprojects.com", _PYTHON, _in_python("flask")),
    _server("FastAPI", "https://fastapi.tiangolo.com", _PYTHON, _in_python("fastapi")),
    _server("Streamlit", "https://streamlit.io", _PYTHON, _in_python("streamlit", "gradio")),
    _server("Ruby on Rails", "https://rubyonrails.org", ("Gemfile",),
            _in_file(r"['\"]rails['\"]", "Gemfile")),
    _server("Sinatra", "https://sinatrarb.com", ("Gemfile",),
            _in_file(r"['\"]sinatra['\"]", "Gemfile")),
    _server("Laravel", "https://laravel.com", ("artisan",)),
    _server("PHP", "https://www.php.net", ("composer.json", "index.php", "public/index.php")),
    _server("Spring", "https://spring.io", ("pom.xml", "build.gradle", "build.gradle.kts")),
    _server("Phoenix", "https://phoenixframework.org", ("mix.exs",)),
    _server("Go", "https://go.dev", ("go.mod",)),
    _server("ASP.NET", "https://dotnet.microsoft.com", ("*.csproj",)),
)  # fmt: skip
