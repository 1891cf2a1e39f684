"""The keys of `deploystack.toml`: their names, types, and what they mean, in one place.

Validation, the schema for editors and the test of the document all come from here.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from bot.builders.frameworks import GENERATORS, NODE_FRAMEWORKS

NAME = "deploystack.toml"
# What `build.framework` may name besides the rows of the table.
PLAIN = "Plain HTML"
FRAMEWORK_NAMES = tuple(
    dict.fromkeys((*(row.name for row in (*NODE_FRAMEWORKS, *GENERATORS)), PLAIN))
)
# A size as the operator's settings write it.
SIZE = r"^[1-9][0-9]*[KMG]?$"
MOST_PROJECTS = 20
_COMMAND = "Split into words as a shell would; run by `sh -c` where it has shell operators. "


class Build(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[build]`."""

    install: (
        Annotated[str, Meta(description=_COMMAND + "Brings in dependencies; empty: nothing does.")]
        | UnsetType
    ) = UNSET
    command: (
        Annotated[
            str, Meta(description=_COMMAND + "Makes the site; empty: it is published as it is.")
        ]
        | UnsetType
    ) = UNSET
    output: (
        Annotated[
            str,
            Meta(min_length=1, description="The folder that is published, relative to `root`."),
        ]
        | UnsetType
    ) = UNSET
    framework: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="What the project is, where detection is wrong.",
                extra_json_schema={"examples": list(FRAMEWORK_NAMES)},
            ),
        ]
        | UnsetType
    ) = UNSET
    network: Annotated[
        Literal["full", "install-only", "none"],
        Meta(description="Which commands have a network, as far as the operator allows one."),
    ] = "full"
    node: (
        Annotated[
            str, Meta(min_length=1, description="The Node version, such as `22` or `>=20.11`.")
        ]
        | UnsetType
    ) = UNSET
    python: (
        Annotated[
            str, Meta(min_length=1, description="The Python version, such as `3.12` or `>=3.10`.")
        ]
        | UnsetType
    ) = UNSET
    reuse: Annotated[
        bool,
        Meta(description="Whether an earlier output serves where nothing that is built changed."),
    ] = True


class Context(Struct, frozen=True, forbid_unknown_fields=True):
    """A table `[context.<name>]`: `production`, `preview`, or a pattern of branches."""

    environment: Annotated[
        dict[str, str], Meta(description="Variables that install and build commands find.")
    ] = {}


class Ignore(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[ignore]`."""

    paths: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        Meta(
            description="Patterns of the repository's files: a push that changes no others is "
            "not built. `!` takes out of what an earlier pattern names."
        ),
    ] = []
    command: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description=_COMMAND + "Where it ends with 0, the commit is not built.",
            ),
        ]
        | UnsetType
    ) = UNSET


class Bounds(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[limits]`: less than the operator allows, never more."""

    time: Annotated[int, Meta(ge=1, description="Seconds that the build may take.")] | UnsetType = (
        UNSET
    )
    memory: (
        Annotated[str, Meta(pattern=SIZE, description="Memory, such as `2G` or `512M`.")]
        | UnsetType
    ) = UNSET
    processes: (
        Annotated[int, Meta(ge=16, description="Processes and threads at a time.")] | UnsetType
    ) = UNSET
    output: (
        Annotated[
            str, Meta(pattern=SIZE, description="Size of all published files, such as `200M`.")
        ]
        | UnsetType
    ) = UNSET


class Serve(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[serve]`."""

    # All but `spa` are for `bot.serve.rules` to read.
    spa: (
        Annotated[
            bool,
            Meta(description="Whether unknown addresses are answered with the index page."),
        ]
        | UnsetType
    ) = UNSET
    clean_urls: (
        Annotated[bool, Meta(description="Whether `/about.html` leads to `/about`.")] | UnsetType
    ) = UNSET
    trailing_slash: (
        Annotated[bool, Meta(description="Whether addresses end in a slash.")] | UnsetType
    ) = UNSET
    listing: (
        Annotated[bool, Meta(description="Whether folders without an index page are listed.")]
        | UnsetType
    ) = UNSET


class Common(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file says of its one project, or of all of `[[projects]]`, or of one of them."""

    root: Annotated[
        str, Meta(min_length=1, description="The folder of the repository that is built.")
    ] = "."
    build: Build = Build()
    context: Annotated[
        dict[str, Context],
        Meta(description="By `production`, `preview`, or a pattern of branches (`release/*`)."),
    ] = {}
    ignore: Ignore = Ignore()
    limits: Bounds = Bounds()
    serve: Serve = Serve()
    redirects: Annotated[
        list[dict[str, Any]], Meta(description="`from`, `to`, `status`, `force`, …: as Netlify's.")
    ] = []
    headers: Annotated[list[dict[str, Any]], Meta(description="`for` and `values`.")] = []


class Part(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of the tables `[[projects]]`: what it does not say is as at the top."""

    name: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$",
            description="What its deployments and its commit status go by.",
        ),
    ]


class File(Common, frozen=True, forbid_unknown_fields=True):
    """The whole of deploystack.toml."""

    projects: Annotated[
        list[Part],
        Meta(
            max_length=MOST_PROJECTS,
            description="Several projects in one repository; the first has the commit's address.",
        ),
    ] = []


def schema() -> str:
    """The JSON schema that editors use. https://json-schema.org/draft/2020-12"""
    made = msgspec.json.schema(File)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return (
        json.dumps({"$schema": dialect, "title": NAME, **made}, indent=2, ensure_ascii=False) + "\n"
    )
