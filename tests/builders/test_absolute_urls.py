"""Links of an output that would leave the preview."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bot.builders.absolute_urls import AbsoluteUrls
from bot.builders.looking import looked_at
from tests.builders.conftest import ListLog

BASE = "/1a2b3c/"


def look(folder: Path, files: dict[str, str], base: str = BASE) -> AbsoluteUrls:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    found = AbsoluteUrls(base)
    seen = [name for name, *_ in looked_at(((n, folder / n) for n in files), [found])]
    assert seen == list(files)
    return found


@pytest.mark.parametrize(
    ("name", "text", "url"),
    [
        ("a.html", '<a href="/about">', "/about"),
        ("a.html", "<A HREF=/about>", "/about"),
        ("a.html", "<img src='/a.png'>", "/a.png"),
        ("a.html", '<form action="/send">', "/send"),
        ("a.html", '<video poster="/a.jpg">', "/a.jpg"),
        ("a.html", '<a href="/">', "/"),
        ("a.html", '<img srcset="/1a2b3c/a.png 1x, /b.png 2x">', "/b.png"),
        ("a.html", '<p style="background: url(/a.png)">', "/a.png"),
        ("a.html", '<a href="/1a2b3c4/other">', "/1a2b3c4/other"),
        ("a.css", 'a { background: url("/a.png") }', "/a.png"),
        ("a.css", "@import '/b.css';", "/b.css"),
        ("manifest.json", '{"start_url": "/", "icons": []}', "/"),
        ("x/site.webmanifest", '{"icons": [{"src": "/i.png"}]}', "/i.png"),
    ],
)
def test_a_link_that_misses_the_base_is_found(
    tmp_path: Path, name: str, text: str, url: str
) -> None:
    found = look(tmp_path, {name: f"\n\n{text}\n"})
    assert found.texts == [f"{name}, line 3: {url}"]
    assert found.count == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<a href="/1a2b3c/about"><a href="/1a2b3c"><a href="/1a2b3c?x=1">'),
        ("a.html", '<a href="about"><a href="./x"><a href="//host/x"><a href="https://host/">'),
        ("a.html", '<a data-href="/x" href="#top"><img srcset="//host/a.png 1x, b.png 2x">'),
        ("a.css", "a { background: url(data:image/png;base64,/x) }"),
        ("a.js", 'fetch("/api")'),
        ("data.json", '{"src": "/x"}'),
        ("manifest.json", '{"start_url": ".", "scope": "/1a2b3c/"}'),
    ],
)
def test_what_works_below_the_base_is_left_alone(tmp_path: Path, name: str, text: str) -> None:
    found = look(tmp_path, {name: text})
    assert (found.count, found.texts) == (0, [])
    assert found.report(ListLog()) == ()


def test_at_the_top_of_a_host_nothing_is_looked_for(tmp_path: Path) -> None:
    assert look(tmp_path, {"a.html": '<a href="/about">'}, base="/").count == 0


def test_many_are_counted_and_the_first_of_them_listed(tmp_path: Path) -> None:
    log = ListLog()
    found = look(tmp_path, {"a.html": '<a href="/x">\n' * 50})
    warnings = found.report(log)
    assert warnings[0].startswith("Links that begin with / and miss the base path: 50.")
    assert warnings[1] == "a.html, line 1: /x"
    assert warnings[-1] == "and 30 more"
    assert len(warnings) == 22
    assert log.lines == [f"Warning: {warning}" for warning in warnings]


def test_two_thousand_pages_take_no_time_to_speak_of(tmp_path: Path) -> None:
    page = "<p>" + f'<a href="{BASE}page">some words of a page</a>\n' * 60
    files = {f"{n}.html": page for n in range(2000)}
    look(tmp_path, files)
    started = time.process_time()
    found = AbsoluteUrls(BASE)
    assert len(list(looked_at(((n, tmp_path / n) for n in files), [found]))) == 2000
    # Measured: 0.15 s; the bound leaves room for a busy machine.
    assert time.process_time() - started < 2
