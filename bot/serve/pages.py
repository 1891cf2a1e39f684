"""The few pages of our own that a preview's address may answer with. No scripts, no cookies."""

from __future__ import annotations

from html import escape

_STYLE = (
    ":root{color-scheme:light dark}body{font:17px/1.6 system-ui,sans-serif;max-width:38rem;"
    "margin:15vh auto 0;padding:0 1.2rem}h1{font-size:1.4rem}code{font-size:.9em;"
    "overflow-wrap:anywhere}.soft{opacity:.7}"
)


def page(title: str, text: str, *, link: tuple[str, str] | None = None, refresh: int = 0) -> bytes:
    """A page; `link` is (address, words). `refresh`: seconds until the browser asks again."""
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    more = f'<p><a href="{escape(link[0])}">{escape(link[1])}</a></p>' if link else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{escape(text)}</p>{more}"
        '<p class="soft">DeployStack</p></body></html>'
    ).encode()
