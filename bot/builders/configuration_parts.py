"""Several projects in one repository: what deploystack.toml says of each of them.

`[[projects]]` are tables like the file itself. What one of them does not say is as it
stands at the top of the file; of a table such as `[build]`, key by key.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from bot.builders.configuration import Configuration
from bot.builders.configuration_keys import NAME, Common, File
from bot.errors import UserError

_LIST = "projects"


def names_of(configuration: Configuration) -> tuple[str, ...]:
    """The names of a repository's projects, the main one first; empty: there is but one."""
    file = configuration.file
    return tuple(part.name for part in file.projects) if isinstance(file, File) else ()


def for_part(configuration: Configuration, name: str) -> Configuration:
    """What the file says of the project `name`; empty: of the main one, which is the first.

    Raises `UserError` `project-missing` where the file names no such project.
    """
    names = names_of(configuration)
    if not names and not name:
        return configuration
    if name and name not in names:
        known = f"Known there are {', '.join(names)}." if names else "It names no projects."
        raise UserError("project-missing", f"{NAME} of this commit has no project {name!r}.", known)
    number = names.index(name) if name else 0
    content = tomllib.loads(configuration.text)
    own = dict(content.pop(_LIST)[number])
    own.pop("name")
    table = _merged(content, own)
    place = (_LIST, number)
    lines = {path: line for path, line in configuration.lines.items() if path[0] != _LIST}
    its = {path[2:]: line for path, line in configuration.lines.items() if path[:2] == place}
    return replace(
        configuration,
        file=msgspec.convert(table, Common),
        text=_toml(table),
        lines=lines | its,
        place=place,
        own=frozenset(its),
    )


def _merged(above: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `above`, tables key by key; lists are taken as a whole."""
    found = dict(above)
    for key, value in own.items():
        beneath = found.get(key)
        both = isinstance(value, Mapping) and isinstance(beneath, Mapping)
        found[key] = _merged(beneath, value) if both else value  # type: ignore[arg-type]
    return found


def _toml(table: Mapping[str, Any]) -> str:
    """A table as TOML, for serving to read."""
    return "".join(f"{_text(key)} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _text(str(value))


def _text(text: str) -> str:
    """JSON's strings are TOML's, but for one character. https://toml.io/en/v1.0.0#string"""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
