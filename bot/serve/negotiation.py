"""Which of a file's encodings a client gets.

https://www.rfc-editor.org/rfc/rfc9110#name-accept-encoding
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

_NAMES = {"x-gzip": "gzip"}


@lru_cache(maxsize=1024)
def qualities(header: str) -> Mapping[str, float]:
    """Encoding → weight, 0 to 1. What cannot be read counts as not mentioned."""
    found: dict[str, float] = {}
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        name = name.strip()
        if name:
            found[_NAMES.get(name, name)] = _weight(parameters)
    return found


def weight(accepted: Mapping[str, float], encoding: str) -> float:
    """How much the client wants `encoding`; 0: not at all."""
    return accepted.get(encoding, accepted.get("*", 0.0))


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                number = float(value)
            except ValueError:
                return 0.0
            return number if 0 <= number <= 1 else 0.0
    return 1.0
