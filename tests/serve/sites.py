"""Sites that have a bit of everything, for asking servers what they make of it."""

from __future__ import annotations

import json
from typing import Any

from tests.serve.conftest import SHA

SCRIPT = "console.log('hello');\n" * 200
LETTERS = "abcdefghij"
VERCEL = {
    "redirects": [{"source": "/go/:path*", "destination": "/docs/:path*", "statusCode": 307}],
    "rewrites": [{"source": "/app/(.*)", "destination": "/index.html"}],
    "headers": [{"source": "/(.*)", "headers": [{"key": "X-Vercel-Rule", "value": "yes"}]}],
    "cleanUrls": True,
    "trailingSlash": False,
}
SERVE = {
    "redirects": [{"source": "/from/:id", "destination": "/docs/:id", "type": 302}],
    "rewrites": [{"source": "app/**", "destination": "/index.html"}],
    "headers": [{"source": "**", "headers": [{"key": "X-Serve-Rule", "value": "yes"}]}],
    "cleanUrls": True,
    "trailingSlash": True,
    "directoryListing": True,
}
TOML = """
[[redirects]]
from = "/old/*"
to = "/docs/:splat"
status = 303
[[redirects]]
from = "/show"
to = "/docs/"
status = 200
[[headers]]
for = "/*"
values = { X-Toml-Rule = "yes" }
[serve]
listing = true
"""
REDIRECTS = """
/splat/*             /docs/:splat              302
/news/:year/:slug    /docs/:slug?y=:year       301
/see                 /docs/                    303
/keep                /docs/                    307
/perm                /docs/                    308
/show                /docs/                    200
/hidden              /404.html                 404
/taken               /gone.html                410
/away/*              https://else.test/:splat  302
/shop   id=:id       /docs/:id                 302
/forced.html         /docs/                    302!
/index.html          /docs/                    302
/lang                /de/                      302  Language=de
/lang                /en/                      302
/land                /at/                      302  Country=AT
"""
PAGES: dict[str, str | bytes] = {
    "index.html": "home",
    "docs/index.html": "docs",
    "404.html": "none",
    "gone.html": "was here",
    "forced.html": "never seen",
    "files/a.txt": "a",
}
SITES: dict[str, tuple[str, dict[str, str | bytes], dict[str, Any]]] = {
    "plain": (
        SHA,
        {
            **PAGES,
            "about.html": "about",
            "docs/deep/index.html": "deep",
            "docs/404.html": "no such doc",
            "letters.txt": LETTERS,
            "assets/app-B7cD9x2k.js": SCRIPT,
            "module.mjs": SCRIPT,
            "page.webmanifest": "{}",
            "photo.avif": "avif",
            "code.wasm": "wasm",
            "app.js.map": "{}",
            "ü ñ.txt": "unicode",
            "a.b.c.tar": "dots",
            "100%.txt": "percent",
            ".well-known/security.txt": "contact",
        },
        {},
    ),
    "spa": ("a" * 40, {"index.html": "app", "404.html": "none"}, {"spa": True}),
    "bare": ("b" * 40, {"index.html": "x"}, {}),
    "ruled": ("c" * 40, {**PAGES, "_redirects": REDIRECTS, "_headers": "/*\n  X-Rule: yes"}, {}),
    "vercel": ("d" * 40, {**PAGES, "vercel.json": json.dumps(VERCEL)}, {}),
    "serve": ("e" * 40, {**PAGES, "serve.json": json.dumps(SERVE)}, {}),
    "toml": ("f" * 40, PAGES, {"configuration": {"deploystack.toml": TOML}}),
}
