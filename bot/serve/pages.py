"""The few pages of our own that a preview's address may answer with. No cookies."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from bot.serve.address import quoted

_STYLE = (
    ":root{color-scheme:light dark}body{font:17px/1.6 system-ui,sans-serif;max-width:38rem;"
    "margin:15vh auto 0;padding:0 1.2rem}h1{font-size:1.4rem}code{font-size:.9em;"
    "overflow-wrap:anywhere}.soft{opacity:.7}li{list-style:none}ul{padding:0}"
    "input,button{font:inherit;padding:.3rem .6rem}"
)
# Asks for the page that it is on until that is no longer the waiting page. The whole
# page is replaced, so a site that came live is shown as if it had always been there.
_FOLLOW = (
    "const ask=async()=>{try{const a=await fetch(location.href,{cache:'no-store',"
    "headers:{Accept:'text/html'}});const s=a.headers.get('X-Build-Status');"
    "if(!s){location.reload();return}document.getElementById('state').textContent=s}catch{}"
    "setTimeout(ask,700)};setTimeout(ask,700)"
)


def _source(text: str) -> str:
    """How a Content-Security-Policy names an inline script or style."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


POLICY = (
    f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_FOLLOW)}; "
    "connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'self'; "
    "base-uri 'none'"
)


def page(title: str, text: str, *, link: tuple[str, str] | None = None, inner: str = "") -> bytes:
    """A page; `link` is (address, words); `inner` is HTML that is already safe."""
    more = f'<p><a href="{escape(link[0])}">{escape(link[1])}</a></p>' if link else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{escape(text)}</p>{inner}{more}"
        '<p class="soft">DeployStack</p></body></html>'
    ).encode()


def building(project: str, sha: str, status: str, log: str) -> bytes:
    """The page that follows a build and turns into the site. Without scripts it reloads."""
    what = f"{project} {sha[:12]}".strip()
    inner = (
        f'<p>State: <b id="state" role="status">{escape(status)}</b>. '
        "This page turns into the site as soon as it is live.</p>"
        '<noscript><meta http-equiv="refresh" content="2"></noscript>'
        f"<script>{_FOLLOW}</script>"
    )
    return page("Building", f"{what} is on its way.", link=(log, "Follow its log"), inner=inner)


def choices(prefix: str, keys: list[tuple[str, str]]) -> bytes:
    """Which of the (SHA, project) that begin so is meant?"""
    items = "".join(
        f'<li><a href="/{sha}/"><code>{sha}</code></a> {escape(project)}</li>'
        for sha, project in keys
    )
    text = f"Several commits begin with {prefix}. Use more of its digits, or choose:"
    return page("Which commit?", text, inner=f"<ul>{items}</ul>")


def listing(path: str, names: list[str]) -> bytes:
    """What lies in a folder."""
    items = "".join(
        f'<li><a href="./{escape(quoted(name))}">{escape(name)}</a></li>' for name in names
    )
    up = '<li><a href="../">../</a></li>' if path else ""
    return page(f"/{path}", f"{len(names)} entries", inner=f"<ul>{up}{items}</ul>")
