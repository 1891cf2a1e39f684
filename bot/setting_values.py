"""What settings' texts mean: from a text to a value, or `ValueError` in words for the operator."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from bot.secret import Secret

# https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1
_PASSWORD = re.compile(r"(?<=://)([^\s/?#:@]*):[^\s/?#]*@")


def without_passwords(text: str) -> str:
    """A text in which no address has a password: drivers take theirs from such addresses."""
    return _PASSWORD.sub(r"\1:[REDACTED]@", text)


def boolean(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True}
    known |= {"0": False, "false": False, "no": False, "off": False, "": False}
    try:
        return known[text.strip().lower()]
    except KeyError:
        raise ValueError(f"expected yes or no, got {text!r}") from None


def whole(minimum: int = 0, maximum: int | None = None) -> Callable[[str], int]:
    def cast(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"expected a whole number, got {text!r}") from None
        if number < minimum or (maximum is not None and number > maximum):
            upper = "" if maximum is None else f" and at most {maximum}"
            raise ValueError(f"expected at least {minimum}{upper}, got {number}")
        return number

    return cast


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size(text: str) -> int:
    """`512M` → bytes; K, M, G and T are powers of 1,024."""
    cleaned = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = cleaned[-1:] if cleaned[-1:] in "KMGT" else ""
    number = cleaned.removesuffix(unit) if unit else cleaned
    if not number.isdecimal():
        raise ValueError(f"expected a size such as 512M or 2G, got {text!r}")
    return int(number) * _UNITS[unit]


def one_of(*choices: str) -> Callable[[str], str]:
    def cast(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}, got {text!r}")
        return text

    return cast


def url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError(f"expected an address such as https://host, got {text!r}")
    return text.rstrip("/")


def url_if_any(text: str) -> str:
    return url(text) if text else ""


def secrets(text: str) -> tuple[Secret, ...]:
    found = tuple(Secret(part.strip()) for part in text.split(",") if part.strip())
    if len(found) > 2:
        raise ValueError("expected one secret, or two while rotating")
    return found


def private_key(text: str) -> Secret:
    """The key's own text, or the path of the file that holds it."""
    if not text or "PRIVATE KEY" in text:
        return Secret(text.replace("\\n", "\n"))
    try:
        return Secret(Path(text).read_text())
    except OSError as error:
        raise ValueError(f"neither a PEM text nor a readable file: {error.strerror}") from None


def patterns(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


def networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.IPv4Network(part)) for part in patterns(text))
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.1.0.0/16: {error}") from None


def folder(text: str) -> Path:
    return Path(text).expanduser().resolve()


def label_if_any(text: str) -> str:
    """`-` is none: an empty value would stand for the default."""
    return "" if text.strip() == "-" else text.strip()


def location_if_any(text: str) -> str:
    """A path that begins and ends with a slash, of characters that mean only themselves."""
    if text and not re.fullmatch(r"/(?:[A-Za-z0-9_-]+/)*", text):
        raise ValueError(f"{text!r} is no location like /_deploystack/store/")
    return text
