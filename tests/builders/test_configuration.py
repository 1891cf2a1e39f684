"""deploystack.toml: what it may say, what is said of mistakes, and what follows from each key."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.builders import configured, detect
from bot.builders.commands import build_environment
from bot.builders.configured import argv_of
from bot.builders.dependency_key import dependencies_of
from bot.builders.job import Job
from bot.builders.plan import Plan, Step
from bot.builders.toml_lines import lines_of
from bot.builders.toolchain import Toolchain
from bot.errors import UserError
from bot.serve.rules import rules_of
from bot.settings import Settings
from tests.builders.conftest import MemoryTree
from tests.builders.test_pipeline import Site
from tests.programs import require_program

BASE = "/1a2b3c/"
DOCUMENTS = Path(__file__).parents[2] / "docs"
VITE = {
    "package.json": json.dumps(
        {"scripts": {"build": "vite build", "docs": "vite build"}, "dependencies": {"vite": "7"}}
    )
}
PLAIN = {"index.html": "x"}


def plan_of(text: str, files: dict[str, str], context: str = "preview") -> Plan:
    return configured.plan(MemoryTree({**files, "deploystack.toml": text}), BASE, context)


def refusal(text: str, files: dict[str, str] | None = None) -> str:
    with pytest.raises(UserError) as raised:
        plan_of(text, PLAIN if files is None else files)
    assert raised.value.code == "invalid-configuration"
    assert raised.value.hint
    return raised.value.message.removeprefix("deploystack.toml: ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# c\n\n[build]\na = 1", "build.a: there is no such key; known here are install, command,"
         " output, framework, network, node, python, reuse (line 4)."),
        ("[build]\noutput = 7", "build.output: expected text, got a number (line 2)."),
        ("[build]\noutput = ''", "build.output: must not be empty (line 2)."),
        ("[build]\noutput = '../x'",
         "build.output: expected a folder within `root`, got '../x' (line 2)."),
        ("[build]\noutptu = 'x'",
         "build.outptu: there is no such key; did you mean `build.output`? (line 2)"),
        ("spa = true", "spa: there is no such key; did you mean `serve.spa`? (line 1)"),
        ("command = 'x'", "command: there is no such key; did you mean `build.command`? (line 1)"),
        ("[serve]\nspa = 'yes'", "serve.spa: expected true or false, got text (line 2)."),
        ("build = 1", "build: expected a table, got a number (line 1)."),
        ("[build]\nnode = 22", "build.node: expected text, got a number (line 2)."),
        ("[build]\nnode = 2026-01-01", "build.node: expected text, got a date (line 2)."),
        ("[build]\ncommand = [\n'a']", "build.command: expected text, got a list (line 2)."),
        ("[build]\ncommand = \"a 'b\"",
         "build.command: cannot be split into words: no closing quotation (line 2)."),
        ("root = '/etc'", "root: expected a folder within the repository, got '/etc' (line 1)."),
        ("root = 'a/../../b'",
         "root: expected a folder within the repository, got 'a/../../b' (line 1)."),
        ("root = 'web'", "root: there is no folder 'web' in this commit (line 1)."),
        ("[context.prodution]", "context.prodution: is neither a context nor a pattern; did you"
         " mean `production`? (line 1)"),
        ("[context.\"release/*\"]\nx = 1", "context.release/*.x: there is no such key; known here"
         " are environment (line 2)."),
        ("[context.\"a/*\".environment]\nA = ''\n[context.\"b/*\".environment]\nA = 1",
         "context.b/*.environment.A: expected text, got a number (line 4)."),
        ("[context.\"a/*\".environment]\nHOME = ''",
         "context.a/*.environment.HOME: is set by the host, and cannot be changed (line 2)."),
        ("[ignore]\npaths = 'docs'", "ignore.paths: expected a list, got text (line 2)."),
        ("[ignore]\npaths = ['a', 1]", "ignore.paths 2: expected text, got a number (line 2)."),
        ("[ignore]\ncommand = '\"'",
         "ignore.command: cannot be split into words: no closing quotation (line 2)."),
        ("[limits]\ntime = 0", "limits.time: must be at least 1 (line 2)."),
        ("[limits]\nmemory = '2 GB'",
         "limits.memory: expected a size, such as 512M or 2G (line 2)."),
        ("[limits]\ncpu = 1",
         "limits.cpu: there is no such key; known here are time, memory, processes, output"
         " (line 2)."),
        ("[[projects]]\nroot = 'a'", "projects 1: the key `name` is missing (line 1)."),
        ("[[projects]]\nname = 'A'",
         "projects 1.name: a project's name has up to 32 small letters, digits and hyphens"
         " (line 2)."),
        ("[[projects]]\nname = 'a'\n[[projects]]\nname = 'a'",
         "projects 2.name: another project is called 'a' already (line 4)."),
        ("[[projects]]\nname = 'a'\n[projects.build]\noutptu = 'x'", "projects 1.build.outptu:"
         " there is no such key; did you mean `projects 1.build.output`? (line 4)"),
        ("[[projects]]\nname = 'a'\nroot = '../x'", "projects 1.root: expected a folder within the"
         " repository, got '../x' (line 3)."),
        ("[build]\ncommand = \"'\"\n[[projects]]\nname = 'a'",
         "build.command: cannot be split into words: no closing quotation (line 2)."),
        ("[[projects]]\nname = 'a'\n[projects.build]\ncommand = \"'\"",
         "projects 1.build.command: cannot be split into words: no closing quotation (line 4)."),
        ("[[projects]]\nname = 'a'\nroot = 'web'",
         "projects 1.root: there is no folder 'web' in this commit (line 3)."),
        ("[[projects]]\nname = 'a'\nbuild.network = 'x'", "projects 1.build.network: expected one"
         " of full, install-only, none, got 'x' (line 3)."),
        ("projects = [" + ", ".join(f"{{name = 'p{n}'}}" for n in range(21)) + "]",
         "projects: there may be 20 at most (line 1)."),
        ("[context.preview.environment]\nA = '1'\nB = 2",
         "context.preview.environment.B: expected text, got a number (line 3)."),
        ("[context.preview.environment]\nPATH = '/bin'",
         "context.preview.environment.PATH: is set by the host, and cannot be changed (line 2)."),
        ("[context.preview]\nenvironment = {'A-B' = ''}", "context.preview.environment.A-B: a "
         "variable's name consists of letters, digits and underscores (line 2)."),
        ("[[redirects]]\nfrom = 'a'\n[[redirect]]",
         "redirect: there is no such key; did you mean `redirects`? (line 3)"),
        ("headers = [{}, 1]", "headers 2: expected a table, got a number (line 1)."),
        ("[build]\nframework = 'astr'",
         "build.framework: there is no framework 'astr'; did you mean 'Astro'? (line 2)"),
        ("[build]\nframework = 'vite'", "build.framework: Vite needs a package.json at the top"
         " (line 2)."),
        ("[build]\ncommand = 'x'\nframework = 'Plain HTML'", "build.framework: 'Plain HTML' needs "
         "no build: leave out one of this and build.command (line 3)."),
        (".".join("a" * 200) + " = 1", "a: there is no such key; known here are root, build,"
         " context, ignore, limits, serve, redirects, headers, projects (line 1)."),
        ("x = ", "Invalid value (at end of document)."),
        ("a" * 70_000, "it is larger than 64 KB."),
        ("a = " + "[" * 5000, "it is nested too deeply."),
        ("a = '\udcff'", "it is not UTF-8 text."),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_its_key_and_line(text: str, complaint: str) -> None:
    assert refusal(text) == complaint


MANY = """
root = "shared"
[build]
node = "22"
command = "make"
[context.production.environment]
A = "top"
[serve]
spa = true
[[redirects]]
from = "/a"
to = "/b"
[[projects]]
name = "web"
root = "apps/web"
[[projects]]
name = "docs"
build = {command = "mkdocs build", output = "site"}
context.production.environment = {B = "own \\"x\\" \\u007f é"}
context."v/*".environment = {A = "branch"}
redirects = [{from = "/c", to = "/d", status = 302}]
serve.clean_urls = true
"""


def test_several_projects_share_what_stands_at_the_top() -> None:
    files = {"deploystack.toml": MANY, "apps/web/x": "", "shared/x": "", "shared/mkdocs.yml": ""}
    tree = MemoryTree(files)
    assert configured.projects(tree) == ("web", "docs")
    web = configured.plan(tree, BASE, "production")
    docs = configured.plan(tree, BASE, "production", "v/1", "docs")
    assert (web.root, docs.root) == ("apps/web", "shared")
    assert web.steps[-1].argv == ("make",)
    assert docs.steps[-1].argv == ("mkdocs", "build")
    assert (web.variables, docs.variables) == (
        {"A": "top"},
        {"A": "branch", "B": 'own "x" \x7f é'},
    )
    assert docs.outputs == ("site",)
    assert (web.node, docs.node) == ("22", "22")
    assert set(docs.decided) > {"build.command", "build.node", "context.v/*.environment"}
    served = tomllib.loads(docs.configuration["deploystack.toml"])
    assert served["redirects"] == [{"from": "/c", "to": "/d", "status": 302}]
    assert served["serve"] == {"spa": True, "clean_urls": True}
    assert tomllib.loads(web.configuration["deploystack.toml"])["redirects"][0]["to"] == "/b"
    with pytest.raises(UserError) as raised:
        configured.plan(tree, BASE, "production", part="api")
    assert raised.value.code == "project-missing"
    assert "web, docs" in raised.value.hint


@pytest.mark.parametrize(
    ("branch", "variables"),
    [
        ("", {"A": "p", "B": "p"}),
        ("main", {"A": "p", "B": "p"}),
        ("release/1", {"A": "r", "B": "p"}),
        ("release/2", {"A": "2", "B": "p"}),
    ],
)
def test_variables_of_a_branch_decide_over_those_of_all(
    branch: str, variables: dict[str, str]
) -> None:
    text = """
    [context."release/*".environment]
    A = "r"
    [context."release/2".environment]
    A = "2"
    [context.preview.environment]
    A = "p"
    B = "p"
    [context.production.environment]
    C = "c"
    """
    tree = MemoryTree({**PLAIN, "deploystack.toml": text})
    assert configured.plan(tree, BASE, "preview", branch).variables == variables


def test_every_key_has_the_line_that_it_stands_on() -> None:
    text = (
        "# first\nroot = 'a' # [b]\n\n[build]\ncommand = '''\n[x]\ny = 1\n'''\noutput = \"\\\"#\"\n"
        "[[redirects]]\nfrom = 1\n[[redirects]]\r\nfrom = [ # ]\n 2,\n]\n[redirects.query]\na.b = 1"
    )
    assert lines_of(text) == {
        ("root",): 2,
        ("build",): 4,
        ("build", "command"): 5,
        ("build", "output"): 9,
        ("redirects",): 10,
        ("redirects", 0): 10,
        ("redirects", 0, "from"): 11,
        ("redirects", 1): 12,
        ("redirects", 1, "from"): 13,
        ("redirects", 1, "from", 0): 13,
        ("redirects", 1, "query"): 16,
        ("redirects", 1, "query", "a"): 17,
        ("redirects", 1, "query", "a", "b"): 17,
    }


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("npm run build", ("npm", "run", "build")),
        ("  echo 'a b'  \"c d\" e\\ f ", ("echo", "a b", "c d", "e f")),
        ("echo 'a; $b' \"c | d\" \\;", ("echo", "a; $b", "c | d", ";")),
        ("vite build --base=/x/ --mode=a", ("vite", "build", "--base=/x/", "--mode=a")),
        ("", ()),
        ("   ", ()),
        ("a && b", ("sh", "-c", "a && b")),
        ("a # b", ("sh", "-c", "a # b")),
        ("a#b 'c' \"#d\"", ("a#b", "c", "#d")),
        ("a \\\n b", ("sh", "-c", "a \\\n b")),
        ("a;b", ("sh", "-c", "a;b")),
        ("a | b > c", ("sh", "-c", "a | b > c")),
        ("a\nb\n", ("sh", "-c", "a\nb")),
        ("a --base=$BASE_PATH", ("sh", "-c", "a --base=$BASE_PATH")),
        ('a "--base=$BASE_PATH"', ("sh", "-c", 'a "--base=$BASE_PATH"')),
        ("a `b`", ("sh", "-c", "a `b`")),
        ("cp *.html out", ("sh", "-c", "cp *.html out")),
        ("A=1 make", ("sh", "-c", "A=1 make")),
        ("cd web", ("sh", "-c", "cd web")),
        ("cdk synth", ("cdk", "synth")),
    ],
)
def test_a_command_is_split_into_words_unless_it_needs_a_shell(
    text: str, argv: tuple[str, ...]
) -> None:
    assert argv_of(text) == argv


@pytest.mark.parametrize("files", [VITE, PLAIN, {"mkdocs.yml": ""}])
def test_without_a_configuration_the_plan_is_the_detected_one(files: dict[str, str]) -> None:
    tree = MemoryTree(files)
    assert configured.plan(tree, BASE, "preview") == detect.plan(tree, BASE)


def test_an_empty_configuration_changes_nothing() -> None:
    assert plan_of("", VITE) == detect.plan(MemoryTree(VITE), BASE)


def test_the_root_is_the_folder_that_is_built() -> None:
    files = {f"web/{name}": text for name, text in VITE.items()} | PLAIN
    found = plan_of("root = './web/'", files)
    assert (found.framework, found.root, found.decided) == ("Vite", "web", ("root",))


def test_the_install_command_takes_the_place_of_the_usual_one() -> None:
    found = plan_of("[build]\ninstall = 'npm ci --omit=dev'", VITE)
    usual = detect.plan(MemoryTree(VITE), BASE)
    install = Step(name="install", argv=("npm", "ci", "--omit=dev"))
    assert found.steps == (install, usual.steps[1])
    assert found.restorable
    assert found.decided == ("build.install",)


def test_an_install_that_may_do_more_is_never_restored_from_the_cache() -> None:
    assert not plan_of("[build]\ninstall = 'npm ci && make assets'", VITE).restorable
    assert not plan_of("[build]\ninstall = './install'", VITE).restorable


def test_an_empty_install_command_installs_nothing() -> None:
    found = plan_of("[build]\ninstall = ''", VITE)
    assert [step.name for step in found.steps] == ["build"]


def test_the_build_command_takes_the_place_of_the_usual_one() -> None:
    found = plan_of("[build]\ncommand = 'vite build --base=$BASE_PATH'", VITE)
    assert [step.argv for step in found.steps] == [
        ("npm", "install", "--no-audit", "--no-fund"),
        ("sh", "-c", "vite build --base=$BASE_PATH"),
    ]
    assert found.framework == "Vite"
    assert found.path == ("node_modules/.bin",)
    assert found.base_path.startswith("left to the build command, which finds it in $BASE_PATH")


def test_a_build_command_that_runs_a_script_still_gets_the_base_path() -> None:
    found = plan_of("[build]\ncommand = 'npm run docs'", VITE)
    assert found.steps[-1].argv == ("npm", "run", "docs")
    assert found.base_path == "--base=/1a2b3c/, written into the scripts"
    assert json.loads(found.files["package.json"])["scripts"]["docs"] == (
        "vite build --base=/1a2b3c/"
    )


def test_an_empty_build_command_publishes_what_lies_there() -> None:
    found = plan_of("[build]\ncommand = ''", VITE | {"public/index.html": ""})
    assert (found.steps, found.outputs) == ((), ("public",))


def test_a_command_builds_what_nothing_else_is_known_of() -> None:
    found = plan_of("[build]\ncommand = 'make'", {"Makefile": ""})
    assert found.framework == "Own build"
    assert found.steps == (Step(name="build", argv=("make",)),)
    assert found.outputs[0] == "dist"
    assert found.package_manager == ""


def test_a_generators_program_need_not_be_there_where_a_command_is_given() -> None:
    found = plan_of("[build]\ncommand = 'make'", {"book.toml": ""})
    assert (found.framework, found.programs) == ("mdBook", ())


def test_a_command_finds_the_programs_that_were_installed_for_it() -> None:
    found = plan_of("[build]\ncommand = 'mkdocs build'", {"mkdocs.yml": ""})
    assert found.path == (".deploystack/python/bin",)


def test_the_output_is_the_only_folder_looked_at() -> None:
    assert plan_of("[build]\noutput = 'a/b'", VITE).outputs == ("a/b",)
    assert plan_of("[build]\noutput = 'a'", {"a/index.html": ""}).outputs == ("a",)
    assert plan_of("[build]\noutput = 'docs'", PLAIN).outputs == ("docs",)


def test_a_project_that_names_its_output_is_not_taken_for_a_server() -> None:
    files = {"package.json": '{"dependencies": {"next": "15"}, "scripts": {"build": "next build"}}'}
    with pytest.raises(UserError) as raised:
        plan_of("[build]\nnode = '22'", files)
    assert raised.value.code == "server-only"
    assert plan_of("[build]\noutput = 'static'", files).framework == "Next.js"


def test_the_framework_overrides_what_is_detected() -> None:
    found = plan_of("[build]\nframework = 'ASTRO'", VITE)
    assert found.framework == "Astro"
    assert found.reason == "`build.framework` in deploystack.toml"
    assert plan_of("[build]\nframework = 'MkDocs'", VITE).outputs[0] == "site"


def test_plain_html_is_a_framework_without_a_build() -> None:
    found = plan_of("[build]\nframework = 'Plain HTML'", VITE | PLAIN)
    assert (found.framework, found.steps) == ("Plain HTML", ())


def test_the_node_version_is_the_one_asked_for() -> None:
    assert plan_of("[build]\nnode = '20'", VITE | {".nvmrc": "18"}).node == "20"
    found = plan_of("[build]\nnode = '20'\ncommand = 'node x.mjs'", {"x.mjs": ""})
    assert (found.node, found.package_manager) == ("20", "npm")


def test_each_context_has_an_environment_of_its_own() -> None:
    text = "[context.production.environment]\nA = 'p'\n[context.preview.environment]\nA = 'q'"
    production, preview = plan_of(text, VITE, "production"), plan_of(text, VITE)
    assert (production.environment["A"], preview.environment["A"]) == ("p", "q")
    assert production.variables == {"A": "p"}
    assert production.decided == ("context.production.environment",)
    assert plan_of(text, VITE, "another").variables == {}


@pytest.mark.parametrize(("value", "spa"), [("true", True), ("false", False)])
def test_spa_decides_over_the_framework(value: str, spa: bool) -> None:
    for files in (VITE, PLAIN):
        assert plan_of(f"[serve]\nspa = {value}", files).spa is spa


def test_what_was_installed_is_kept_apart_by_install_command_and_environment(
    tmp_path: Path,
) -> None:
    (tmp_path / "package.json").write_text(VITE["package.json"])
    (tmp_path / "package-lock.json").write_text("{}")

    def key(text: str) -> str:
        return dependencies_of(tmp_path, plan_of(text, VITE), Toolchain()).key

    set_in_preview = key("[context.preview.environment]\nNODE_ENV = 'production'")
    set_in_production = key("[context.production.environment]\nNODE_ENV = 'production'")
    assert set_in_production == key("")
    assert len({key(""), set_in_preview, key("[build]\ninstall = 'npm ci'"), ""}) == 4
    assert key("[build]\ninstall = 'npm ci && make assets'") == ""


def test_variables_reach_the_commands_and_installed_programs_are_found_by_name() -> None:
    text = "[build]\ncommand = 'vite build'\n[context.preview.environment]\nCI = 'false'"
    job = Job(
        build_id="b",
        deployment_id="d",
        project="o/n",
        sha="1a2b3c",
        ref="main",
        environment="preview",
        base_path=BASE,
    )
    found = build_environment(plan_of(text, VITE), Toolchain(), job, Path("/build/home"))
    assert found["CI"] == "false"
    assert found["PATH"].startswith("/build/tree/node_modules/.bin:")


def test_rules_are_handed_on_to_serving_and_only_they() -> None:
    text = "[[redirects]]\nfrom = '/a'\nto = '/b'\n"
    assert plan_of(text, VITE).configuration == {"deploystack.toml": text}
    assert plan_of("[serve]\nspa = true", VITE).configuration == {}


@pytest.fixture
def site(make_settings: Callable[..., Settings]) -> Site:
    return Site(make_settings(BUILD_TIMEOUT=60))


def test_root_command_output_and_environment_work_from_push_to_page(site: Site) -> None:
    built = site.deploy(
        {
            "index.html": "not this one",
            "web/make.sh": 'mkdir -p made/site; echo "$GREETING $BASE_PATH" >made/site/index.html',
            "deploystack.toml": "root = 'web'\n"
            "[build]\ncommand = 'sh make.sh && echo made'\noutput = 'made/site'\n"
            "[serve]\nspa = true\n"
            "[context.preview.environment]\nGREETING = 'hello'\n"
            "[[redirects]]\nfrom = '/a'\nto = '/b'\n",
        }
    )
    sha = site.repository.git("rev-parse", "HEAD")
    assert site.content(built, "index.html") == f"hello /{sha}/\n"
    assert list(built.manifest.files) == ["index.html"]
    assert built.manifest.spa
    assert len(rules_of(site.store, built.manifest).redirects) == 1
    assert b"made" in site.log.output
    assert (
        "Decided by deploystack.toml: root, build.command, build.output, serve.spa, "
        "context.preview.environment"
    ) in site.log.lines


def test_a_folder_without_a_build_is_published_straight_from_git(site: Site) -> None:
    built = site.deploy(
        {
            "index.html": "not this one",
            "sites/docs/html/index.html": "docs",
            "deploystack.toml": "root = 'sites/docs'\n[build]\noutput = 'html'\ncommand = ''",
        }
    )
    assert site.content(built, "index.html") == "docs"
    assert list(built.manifest.files) == ["index.html"]


def test_an_output_that_is_not_there_is_named(site: Site) -> None:
    with pytest.raises(UserError) as raised:
        site.deploy({**PLAIN, "deploystack.toml": "[build]\noutput = 'nowhere'"})
    assert raised.value.code == "output-missing"
    assert "nowhere" in raised.value.message


def test_a_build_cannot_lead_the_host_out_of_its_root(site: Site) -> None:
    with pytest.raises(UserError) as raised:
        site.deploy(
            {
                "web/make.sh": "cd .. && rm -r web && ln -s /etc web",
                "deploystack.toml": "root = 'web'\n[build]\ncommand = 'sh make.sh'",
            }
        )
    assert raised.value.code == "root-replaced"
    assert site.left_behind == []


def test_an_own_install_brings_programs_that_the_build_finds_by_name(site: Site) -> None:
    require_program("npm")
    tool = "#!/bin/sh\nmkdir dist && node --version >dist/index.html\n"
    built = site.deploy(
        {
            "package.json": "{}",
            "tool.sh": tool,
            "deploystack.toml": "[build]\ncommand = 'make-site'\ninstall = '''\n"
            "mkdir -p node_modules/.bin\ninstall tool.sh node_modules/.bin/make-site'''",
        }
    )
    assert site.content(built, "index.html").startswith("v")
    assert built.framework == "package.json"
