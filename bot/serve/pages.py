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
    "input,button{font:inherit;padding:.3rem .6rem}a{color:#0969da}"
    "ol{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;padding:0}ol li::before{content:'○ '}"
    "ol .done::before{content:'✓ '}ol .now::before{content:'● '}ol .now{font-weight:700}"
    "ol .later{opacity:.5}@media (prefers-color-scheme:dark){body{background:#0d1117;"
    "color:#e6edf3}a{color:#58a6ff}}"
)
# Asks what has become of the page that it is on, until that is no longer a page that
# waits. Then the whole of it is replaced, so that a site that came live is shown as if
# it had always been there.
_FOLLOW = (
    "const $=i=>document.getElementById(i),began=Date.now(),so=+$('state').dataset.seconds||0;"
    "const tell=s=>{$('state').textContent=s;let seen=false;"
    "for(const e of document.querySelectorAll('ol li')){const now=e.dataset.step===s;"
    "seen=seen||now;e.className=now?'now':seen?'later':'done'}};"
    "const expect=t=>{const e=$('queue');if(e)e.textContent=t?t+'; ':''};"
    "const tick=()=>{const e=$('clock');if(e)e.textContent=so+Math.round((Date.now()-began)/1000)+"
    "' s'};setInterval(tick,1000);tell($('state').textContent);"
    "const ask=async()=>{try{const a=await fetch(location.href,{method:'HEAD',cache:'no-store',"
    "headers:{Accept:'text/html'}});const s=a.headers.get('X-Build-Status');"
    "if(!s&&a.status<500){location.reload();return}if(s){tell(s);"
    "expect(a.headers.get('X-Build-Queue'))}}catch{}"
    "setTimeout(ask,document.hidden?5000:700)};setTimeout(ask,700)"
)
_STEPS = ("queued", "cloning", "building", "publishing")


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


def building(
    project: str, sha: str, status: str, log: str, seconds: int = 0, prospects: str = ""
) -> bytes:
    """The page that follows a build and turns into the site. Without scripts it reloads.

    `seconds`: for how long it has been asked for. `prospects`: what it may expect, if it waits.
    """
    what = f"{project} {sha[:12]}".strip()
    steps = "".join(f'<li data-step="{step}">{step}</li>' for step in _STEPS)
    expected = escape(f"{prospects}; ") if prospects else ""
    inner = (
        f'<ol>{steps}</ol><p class="soft"><span id="queue">{expected}</span>'
        f'for <span id="clock">{seconds} s</span></p>'
    )
    link = (log, "Follow its log") if log else None
    return following("Building", f"{what} is on its way.", status, link, inner, seconds)


def following(
    title: str,
    text: str,
    status: str,
    link: tuple[str, str] | None,
    inner: str = "",
    seconds: int = 0,
) -> bytes:
    """A page about something that is under way, which asks what becomes of it."""
    more = (
        f'<p>State: <b id="state" role="status" data-seconds="{seconds}">{escape(status)}</b>. '
        f"This page turns into the site as soon as it is live.</p>{inner}"
        '<noscript><meta http-equiv="refresh" content="2"></noscript>'
        f"<script>{_FOLLOW}</script>"
    )
    return page(title, text, link=link, inner=more)


def no_deployment() -> bytes:
    return page(
        "Not found",
        "No deployment has this address. Was the commit pushed to a connected repository? "
        "A push shows up here within seconds; if it does not, look at the recent deliveries "
        "in the repository's webhook settings.",
    )


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
