"""The same rules as tables: deploystack.toml and netlify.toml, vercel.json, serve.json."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bot.serve.rules.draft import Draft
from bot.serve.rules.pattern import Pattern, express, glob, netlify

Table = Mapping[str, Any]


def read_toml(text: str, draft: Draft, name: str) -> None:
    """`[[redirects]]` and `[[headers]]` as in netlify.toml; `[serve]` for the switches.

    https://docs.netlify.com/configure-builds/file-based-configuration/#redirects
    """
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        draft.warn(name, f"cannot be read: {error}")
        return
    for where, table in _tables(content, "redirects", draft, name):
        conditions = _table(table.get("conditions"))
        draft.redirect(
            where,
            netlify,
            _text(table.get("from")),
            _text(table.get("to")),
            _status(table.get("status", 301)),
            forced=table.get("force") is True,
            query={key: _text(value) for key, value in _table(table.get("query")).items()},
            countries=_texts(conditions.get("Country") or conditions.get("country")),
            languages=_texts(conditions.get("Language") or conditions.get("language")),
        )
    for where, table in _tables(content, "headers", draft, name):
        given = _table(table.get("values")).items()
        values = [(where, key, _text(value)) for key, value in given]
        draft.header(where, netlify, _text(table.get("for")), values)
    switches = _table(content.get("serve"))
    draft.clean_urls = _switch(switches.get("clean_urls"), draft.clean_urls)
    draft.trailing_slash = _switch(switches.get("trailing_slash"), draft.trailing_slash)
    draft.listing = switches.get("listing") is True or draft.listing
    draft.spa = switches.get("spa") is True or draft.spa


def read_vercel(text: str, draft: Draft, name: str = "vercel.json") -> None:
    """Redirects count before files, rewrites after them.

    https://vercel.com/docs/project-configuration
    """
    content = _json(text, draft, name)
    for where, table in _tables(content, "redirects", draft, name):
        permanent = table.get("permanent") is not False
        status = _status(table.get("statusCode", 308 if permanent else 307))
        _vercel_redirect(where, table, status, draft, forced=True)
    rewrites = content.get("rewrites")
    if isinstance(rewrites, Mapping):
        draft.warn(f"{name}, rewrites", "only a list is supported; left out")
    for where, table in _tables(content, "rewrites", draft, name):
        _vercel_redirect(where, table, 200, draft, forced=False)
    _read_header_lists(content, express, draft, name)
    if "routes" in content:
        draft.warn(f"{name}, routes", "is not supported; use redirects, rewrites and headers")
    draft.clean_urls = _switch(content.get("cleanUrls"), draft.clean_urls)
    draft.trailing_slash = _switch(content.get("trailingSlash"), draft.trailing_slash)


def read_serve(text: str, draft: Draft, name: str = "serve.json") -> None:
    """Redirects and rewrites both count before files.

    https://github.com/vercel/serve-handler#options
    """
    content = _json(text, draft, name)
    for where, table in _tables(content, "redirects", draft, name):
        status = _status(table.get("type", 301))
        _serve_redirect(where, table, status, draft)
    for where, table in _tables(content, "rewrites", draft, name):
        _serve_redirect(where, table, 200, draft)
    _read_header_lists(content, glob, draft, name)
    for option in ("cleanUrls", "directoryListing"):
        if isinstance(content.get(option), list):
            draft.warn(f"{name}, {option}", "a list of paths is not supported; left out")
    draft.clean_urls = _switch(content.get("cleanUrls"), draft.clean_urls)
    draft.trailing_slash = _switch(content.get("trailingSlash"), draft.trailing_slash)
    draft.listing = content.get("directoryListing") is True or draft.listing


def _vercel_redirect(where: str, table: Table, status: int, draft: Draft, *, forced: bool) -> None:
    for condition in ("has", "missing"):
        if table.get(condition):
            draft.warn(where, f"the condition {condition!r} is not supported; left out")
            return
    source, target = _text(table.get("source")), _text(table.get("destination"))
    draft.redirect(where, express, source, target, status, forced=forced)


def _serve_redirect(where: str, table: Table, status: int, draft: Draft) -> None:
    source, target = _text(table.get("source")), _text(table.get("destination"))
    draft.redirect(where, glob, _rooted(source), _rooted(target), status, forced=True)


def _read_header_lists(
    content: Table, compile_source: Callable[[str], Pattern], draft: Draft, name: str
) -> None:
    for where, table in _tables(content, "headers", draft, name):
        if table.get("has") or table.get("missing"):
            draft.warn(where, "conditions are not supported; left out")
            continue
        lists = [_table(entry) for entry in _list(table.get("headers"))]
        values = [(where, _text(h.get("key")), _text(h.get("value"))) for h in lists]
        source = _text(table.get("source"))
        draft.header(where, compile_source, _rooted(source), values)


def _tables(content: Table, key: str, draft: Draft, name: str) -> Iterator[tuple[str, Table]]:
    """Each table of a list, with its place for warnings, counted from 1."""
    for number, entry in enumerate(_list(content.get(key)), 1):
        where = f"{name}, {key} {number}"
        if isinstance(entry, Mapping):
            yield where, entry
        else:
            draft.warn(where, "expected a table; left out")


def _json(text: str, draft: Draft, name: str) -> Table:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        draft.warn(name, f"cannot be read: {error}")
        return {}
    return _table(content)


def _rooted(source: str) -> str:
    return source if not source or source.startswith("/") or "://" in source else f"/{source}"


def _table(value: Any) -> Table:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _texts(value: Any) -> Iterable[str]:
    return [value] if isinstance(value, str) else [_text(entry) for entry in _list(value)]


def _status(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _switch(value: Any, otherwise: bool | None) -> bool | None:
    return value if isinstance(value, bool) else otherwise
