"""Pages by cursor: newest first, stable while new rows come in."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from bot.api.v1.schemas import Paged
from bot.errors import UserError


def page_of(query: Any, column: Any, paged: Paged) -> tuple[Sequence[Any], str | None]:
    """(the rows of one page, the next page's cursor). `column` is unique and sorts by age.

    Raises `UserError`: `invalid-cursor`.
    """
    if paged.cursor:
        query = query.where(column < _decoded(paged.cursor, number=_is_number(column)))
    rows = list(query.order_by(column.desc()).limit(paged.limit + 1))
    if len(rows) <= paged.limit:
        return rows, None
    shown = rows[: paged.limit]
    return shown, _encoded(getattr(shown[-1], column.name))


def _is_number(column: Any) -> bool:
    return bool(column.field_type in {"AUTO", "INT", "BIGINT"})


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(str(value).encode()).decode().rstrip("=")


def _decoded(cursor: str, *, number: bool) -> int | str:
    invalid = UserError("invalid-cursor", "This cursor is none that was given out here.")
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise invalid from None
    if not number:
        return text
    if not text.isdecimal() or len(text) > 18:
        raise invalid
    return int(text)
