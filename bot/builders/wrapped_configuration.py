"""Configuration that takes a project's own and changes what concerns the base path.

Some frameworks know their base path from their configuration alone. The project's
file is then moved aside (`next.config.js` → `next.config.own.js`), in the build's copy
of the tree, and a file in its place hands on what it says, changed.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping

from bot.builders.project import Project

_TEMPLATE = """\
// @ts-nocheck
// Made for this build: the project's own configuration, with another base path.
{loading}
const change = (own) => ({change});
const settled = (own) => (own && typeof own.then === "function" ? own.then(change) : change(own));
const changed =
  typeof own === "function" ? (...given) => settled(own(...given)) : settled(own);
{exporting}
"""


def wrapping(
    candidates: tuple[str, ...], change: str, missing: str = "", own: str = "{}"
) -> Callable[[Project, str], Mapping[str, str]]:
    """Makes the files for a row of the table.

    `candidates` are patterns of the configuration's name; `change` is a JavaScript
    expression of `own` (the object that it says), with `{base}` and `{bare}` as in the
    table, as JavaScript texts. `missing` is the name to use where the project has no
    configuration, whose contents are then `own`.
    """

    def files(project: Project, base: str) -> dict[str, str]:
        path = project.first(*candidates)
        bare = json.dumps(base.rstrip("/"))
        expression = change.replace("{base}", json.dumps(base)).replace("{bare}", bare)
        if not path:
            return (
                {missing: _text(project, missing, f"const own = {own};", expression)}
                if missing
                else {}
            )
        text = project.text(path)
        aside = _aside(path)
        loading = _loading(aside, modern=_is_module(project, path, text))
        return {
            aside: text,
            path: _text(project, path, loading, expression, modern=_is_module(project, path, text)),
        }

    return files


def inserting(text: str, call: str, option: str, value: str) -> str:
    """A program's text with one option more in the object that a call is given.

    For plugins that keep their options to themselves. `call` is a pattern of what stands
    before the object's brace, such as `remix\\(`; a call without an object gets one. The
    project's own option, where it is a plain text, gives way.
    """
    given = f"{option}: {json.dumps(value)},"
    own = re.compile(rf"\b{re.escape(option)}\s*:\s*(?:'[^']*'|\"[^\"]*\"|`[^`]*`)\s*,?")
    text = own.sub("", text)
    changed, count = re.subn(rf"({call}\s*\{{)", lambda m: f"{m[1]} {given}", text, count=1)
    if count:
        return changed
    return re.sub(rf"({call})\s*\)", lambda m: f"{m[1]}{{ {given} }})", text, count=1)


def _text(
    project: Project, path: str, loading: str, change: str, modern: bool | None = None
) -> str:
    is_module = _is_module(project, path, "") if modern is None else modern
    exporting = "export default changed;" if is_module else "module.exports = changed;"
    values = {"{loading}": loading, "{change}": change, "{exporting}": exporting}
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], _TEMPLATE)


def _aside(path: str) -> str:
    stem, suffix = posixpath.splitext(path)
    return f"{stem}.own{suffix}"


def _loading(aside: str, *, modern: bool) -> str:
    name = posixpath.basename(aside)
    if name.endswith((".ts", ".mts", ".cts")):
        name = posixpath.splitext(name)[0]
    if modern:
        return f'import own from "./{name}";'
    # A CommonJS file that was compiled from a module has its value in `default`.
    return f'const read = require("./{name}");\nconst own = read.__esModule ? read.default : read;'


def _is_module(project: Project, path: str, text: str) -> bool:
    """Whether a JavaScript file is an ECMAScript module, rather than CommonJS."""
    if path.endswith((".mjs", ".ts", ".mts")):
        return not ("module.exports" in text and "export default" not in text)
    if path.endswith((".cjs", ".cts")):
        return False
    if re.search(r"(?:^|[;}])\s*(?:export|import)\s+(?!\()", text, re.MULTILINE):
        return True
    if re.search(r"\bmodule\.exports\b|\bexports\.\w", text):
        return False
    package = project.package
    return package is not None and package.content.get("type") == "module"
