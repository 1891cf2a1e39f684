"""`deploystack.toml`: read, checked, and complained about by key and line.

It is in charge of what the file may say. It is not in charge of what follows from it
(`configured` is), nor of what redirects and headers mean (`bot.serve.rules` is).
"""

from __future__ import annotations

import difflib
import fnmatch
import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct

from bot.builders.configuration_keys import NAME, Common, Context, File
from bot.builders.toml_lines import KeyPath, lines_of
from bot.builders.tree import Tree
from bot.errors import UserError

DOCUMENT = "docs/configuration.md describes every key."
_LARGEST = 1 << 16  # bytes
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What the host tells every build; a build that could not rely on it would be lost.
RESERVED = frozenset(
    {"BASE_PATH", "COMMIT_REF", "COMMIT_SHA", "CONTEXT", "DEPLOYSTACK", "HOME", "PATH", "TMPDIR"}
)
# The contexts that every build has one of; all others are patterns of branches.
CONTEXTS = frozenset({"production", "preview"})
_PATTERNS = {
    "memory": "expected a size, such as 512M or 2G",
    "name": "a project's name has up to 32 small letters, digits and hyphens",
    "output": "expected a size, such as 512M or 2G",
}
_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "date": "a date",
    "datetime": "a date",
    "float": "a number",
    "int": "a number",
    "object": "a table",
    "str": "text",
    "time": "a time",
}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What deploystack.toml says of one project; without a file, nothing: all defaults.

    `text` is the file as serving is to read it. Of a project that is one of several, `place`
    is where its table stands, and `own` are the keys that stand there.
    """

    file: Common = field(default_factory=File)
    text: str = ""
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    place: KeyPath = ()
    own: frozenset[KeyPath] = frozenset()

    @property
    def root(self) -> str:
        return posixpath.normpath(self.file.root)

    @property
    def serves(self) -> bool:
        """Whether it holds anything that `bot.serve.rules` is to read."""
        switches = {path[1] for path in self.lines if path[:1] == ("serve",) and len(path) > 1}
        return bool(self.file.redirects or self.file.headers or switches - {"spa"})

    def contexts(self, context: str, branch: str = "") -> list[str]:
        """The names of the contexts that count, those that decide last."""
        patterns = (name for name in self.file.context if name not in CONTEXTS)
        fitting = [name for name in patterns if branch and fnmatch.fnmatchcase(branch, name)]
        return [*([context] if context in self.file.context else []), *fitting]

    def environment(self, context: str, branch: str = "") -> Mapping[str, str]:
        """The variables of a build of `production` or `preview`, and of its branch's patterns."""
        found: dict[str, str] = {}
        for name in self.contexts(context, branch):
            found |= self.file.context[name].environment
        return found

    def error(self, path: KeyPath, problem: str, hint: str = DOCUMENT) -> UserError:
        """A complaint about one key, where it stands."""
        inherited = path in self.lines and path not in self.own
        shown = path if inherited else (*self.place, *path)
        return _error({**self.lines, shown: self.lines.get(path, 0)}, shown, problem, hint)


def read_configuration(tree: Tree) -> Configuration:
    """The configuration at the top of a tree: of all its projects together.

    Raises `UserError` `invalid-configuration`.
    """
    if NAME not in tree.files:
        return Configuration()
    content = tree.read(NAME)
    if len(content) > _LARGEST:
        raise _invalid(f"it is larger than {_LARGEST >> 10} KB.")
    try:
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _invalid("it is not UTF-8 text.") from None


def parse(text: str) -> Configuration:
    """Raises `UserError` with the key path and the line of the first mistake."""
    try:
        content = tomllib.loads(text)
        lines = lines_of(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(f"{error}.", "https://toml.io says how TOML is written.") from None
    except RecursionError:
        raise _invalid("it is nested too deeply.") from None
    _refuse_unknown_keys(content, File, (), lines)
    try:
        file = msgspec.convert(content, File)
    except msgspec.ValidationError as error:
        raise _explained(str(error), content, lines) from None
    configuration = Configuration(file=file, text=text, lines=lines)
    _check(configuration, (), file)
    names: set[str] = set()
    for number, part in enumerate(file.projects):
        if part.name in names:
            path = ("projects", number, "name")
            raise configuration.error(path, f"another project is called {part.name!r} already")
        names.add(part.name)
        _check(configuration, ("projects", number), part)
    return configuration


def _check(configuration: Configuration, place: KeyPath, table: Common) -> None:
    """What the types do not say of the file's top, or of one of its projects."""
    _check_folder(configuration, (*place, "root"), table.root, "the repository")
    if table.build.output is not UNSET:
        _check_folder(configuration, (*place, "build", "output"), table.build.output, "`root`")
    for context, held in table.context.items():
        meant = nearest(context, CONTEXTS, likeness=0.85)
        if meant and context != meant:
            problem = f"is neither a context nor a pattern; did you mean `{meant}`?"
            raise configuration.error((*place, "context", context), problem)
        for name, value in held.environment.items():
            path = (*place, "context", context, "environment", name)
            _check_variable(configuration, path, name, value)


def nearest(wanted: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """The known word that was most likely meant; empty: none is near."""
    lower = {word.lower(): word for word in known}
    found = difflib.get_close_matches(wanted.lower(), list(lower), n=1, cutoff=likeness)
    return lower[found[0]] if found else ""


def _refuse_unknown_keys(
    content: Mapping[str, Any], table: type[Struct], path: KeyPath, lines: Mapping[KeyPath, int]
) -> None:
    fields = {row.name: row.type for row in msgspec.structs.fields(table)}
    for key, value in content.items():
        if key not in fields:
            problem = f"there is no such key{_suggestion(key, path, list(fields))}"
            raise _error(lines, (*path, key), problem)
        for inner, held, kind in _tables_in(value, fields[key]):
            _refuse_unknown_keys(held, kind, (*path, key, *inner), lines)


def _tables_in(value: Any, kind: Any) -> Iterator[tuple[KeyPath, Mapping[str, Any], type[Struct]]]:
    """The tables that a key holds, each with its way from there and its type."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is dict and isinstance(value, Mapping):
        rows: Iterable[tuple[str | int, Any]] = value.items()
    elif get_origin(kind) is list and isinstance(value, list):
        rows = enumerate(value)
    elif isinstance(value, Mapping) and _is_table(kind):
        yield (), value, kind
        return
    else:
        return
    for name, held in rows:
        if isinstance(held, Mapping) and _is_table(get_args(kind)[-1]):
            yield (name,), held, get_args(kind)[-1]


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _suggestion(key: str, path: KeyPath, beside: list[str]) -> str:
    """The nearest key in the same table, else the nearest anywhere."""
    if found := nearest(key, beside):
        return f"; did you mean `{_shown((*path, found))}`?"
    everywhere = _known_keys(File, "")
    last = {name.rpartition(".")[2]: name for name in reversed(everywhere)}
    if found := nearest(key, last, likeness=0.8):
        return f"; did you mean `{last[found]}`?"
    return f"; known here are {', '.join(beside)}"


def _known_keys(table: type[Struct], prefix: str) -> list[str]:
    found = []
    for row in msgspec.structs.fields(table):
        found.append(f"{prefix}{row.name}")
        if isinstance(row.type, type) and issubclass(row.type, Struct):
            found += _known_keys(row.type, f"{prefix}{row.name}.")
    return found


def _explained(problem: str, content: Mapping[str, Any], lines: Mapping[KeyPath, int]) -> UserError:
    """msgspec's complaint, in the words of the file: "expected text, got a number"."""
    said, _, place = problem.partition(" - at `$")
    path: KeyPath = ()
    value: Any = content
    for name, number in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", place):
        part: str | int = name
        if number == "...":  # msgspec names no key of a table that may hold any
            kind: Any = Context if path[-1:] == ("context",) else str
            part = next(key for key, held in value.items() if not _is_a(held, kind))
        elif number:
            part = int(number)
        path, value = (*path, part), value[part]
    if said.startswith("Invalid enum value"):
        words = ", ".join(_choices(path))
        return _error(lines, path, f"expected one of {words}, got {value!r}")
    if "length >=" in said:
        return _error(lines, path, "must not be empty")
    if "length <=" in said:
        return _error(lines, path, f"there may be {said.rpartition(' ')[2]} at most")
    if missing := re.search(r"missing required field `(\w+)`", said):
        return _error(lines, path, f"the key `{missing[1]}` is missing")
    if "matching regex" in said:
        return _error(lines, path, _PATTERNS[str(path[-1])])
    if smallest := re.search(r">= (\d+)", said):
        return _error(lines, path, f"must be at least {smallest[1]}")
    kinds = re.search(r"Expected `([^`]+)`, got `([^`]+)`", said)
    if kinds is None:
        return _error(lines, path, said)
    wanted, got = (_KINDS.get(kind, kind) for kind in kinds.groups())
    return _error(lines, path, f"expected {wanted}, got {got}")


def _choices(path: KeyPath) -> tuple[str, ...]:
    """The words that a key takes, where it takes no others."""
    kind: Any = Common
    for part in path[2:] if path[0] == "projects" else path:
        kind = get_type_hints(kind)[str(part)]
    return get_args(kind)


def _is_a(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _check_folder(configuration: Configuration, path: KeyPath, folder: str, within: str) -> None:
    parts = posixpath.normpath(folder).split("/")
    if folder.startswith("/") or ".." in parts or "\\" in folder or "\0" in folder:
        raise configuration.error(path, f"expected a folder within {within}, got {folder!r}")


def _check_variable(configuration: Configuration, path: KeyPath, name: str, value: str) -> None:
    if not _VARIABLE.fullmatch(name):
        problem = "a variable's name consists of letters, digits and underscores"
        raise configuration.error(path, problem)
    if name in RESERVED:
        raise configuration.error(path, "is set by the host, and cannot be changed")
    if "\0" in value:
        raise configuration.error(path, "must not contain the character NUL")


def _error(
    lines: Mapping[KeyPath, int], path: KeyPath, problem: str, hint: str = DOCUMENT
) -> UserError:
    known = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 0)
    end = problem[-1:] if problem.endswith("?") else ""
    place = f" (line {known})" if known else ""
    return _invalid(f"{_shown(path)}: {problem}{place}{'' if end else '.'}", hint)


def _invalid(problem: str, hint: str = DOCUMENT) -> UserError:
    return UserError("invalid-configuration", f"{NAME}: {problem}", hint)


def _shown(path: KeyPath) -> str:
    """`build.output`, `redirects 2`: places in a list are counted from 1, as rules do."""
    text = ""
    for part in path:
        text += f" {part + 1}" if isinstance(part, int) else f".{part}" if text else part
    return text
