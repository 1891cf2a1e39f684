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


class Context(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the tables `[context.production]` and `[context.preview]`."""

    environment: Annotated[
        dict[str, str], Meta(description="Variables that install and build commands find.")
    ] = {}


class Contexts(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[context]`."""

    production: Context = Context()
    preview: Context = Context()


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


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of deploystack.toml."""

    root: Annotated[
        str, Meta(min_length=1, description="The folder of the repository that is built.")
    ] = "."
    build: Build = Build()
    context: Contexts = Contexts()
    serve: Serve = Serve()
    redirects: Annotated[
        list[dict[str, Any]], Meta(description="`from`, `to`, `status`, `force`, …: as Netlify's.")
    ] = []
    headers: Annotated[list[dict[str, Any]], Meta(description="`for` and `values`.")] = []


def schema() -> str:
    """The JSON schema that editors use. https://json-schema.org/draft/2020-12"""
    made = msgspec.json.schema(File)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return (
        json.dumps({"$schema": dialect, "title": NAME, **made}, indent=2, ensure_ascii=False) + "\n"
    )
