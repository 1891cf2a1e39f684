"""Reading cookies where it matters who set them."""

from __future__ import annotations


def only_cookie(header: str, name: str) -> str:
    """The value of the cookie of this name; empty where there is none, or more than one.

    Whoever else may set cookies for this host could have put a second one beside ours, and
    browsers do not say which is whose.
    https://datatracker.ietf.org/doc/html/rfc6265#section-8.6
    """
    pairs = (part.strip().partition("=") for part in header.split(";"))
    found = [value for given, _, value in pairs if given == name]
    return found[0] if len(found) == 1 else ""
