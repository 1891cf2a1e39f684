"""Who may see a project's deployments: everybody, unless it is said here.

Callers hold a transaction around everything here that writes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

from bot.models import sql
from bot.models.ids import now

# https://www.rfc-editor.org/rfc/rfc7914: 16 MB and about 50 ms for each attempt.
_COST, _BLOCK, _PARALLEL = 2**14, 8, 1


class AccessKind(StrEnum):
    PASSWORD = "password"  # noqa: S105
    LINK = "link"  # whoever has a signed link that has not expired
    GITHUB = "github"  # whoever the code host lets into the repository


@dataclass(frozen=True, slots=True)
class Access:
    """How a project is protected."""

    project_id: int
    kind: AccessKind
    password: str
    signing_key: str

    def __repr__(self) -> str:
        return f"Access({self.kind})"


# Of several projects of one repository, each is protected as the main one is, unless it is
# in a way of its own.
_OF_PROJECT = """
SELECT a.project_id, a.kind, a.password, a.signing_key
FROM projects p JOIN access a ON a.project_id IN (p.id, p.main_id)
WHERE p.id = ? ORDER BY a.project_id = p.id DESC LIMIT 1
"""


def access_of(project_id: int) -> Access | None:
    """`None`: everybody may see it. `Access.project_id` is where its protection stands."""
    row = sql.first(_OF_PROJECT, project_id)
    return Access(row[0], AccessKind(row[1]), row[2], row[3]) if row is not None else None


_ASKED = """
SELECT 1 FROM projects p LEFT JOIN access a ON a.project_id IN (p.id, p.main_id)
WHERE p.id = ? AND (a.project_id IS NOT NULL OR p.toolbar)
"""


def must_be_asked(project_id: int) -> bool:
    """Whether the bot itself must answer for a project: front servers know nothing of
    protection, and of toolbars neither."""
    return sql.first(_ASKED, project_id) is not None


def protect(project_id: int, kind: AccessKind, password: str = "") -> Access:
    """Protect a project. Links and cookies given out before are worth nothing from now on.

    Deployments that front servers serve by themselves must be hidden from them
    (`Store.hide`), which is the caller's affair.
    """
    access = Access(project_id, kind, digest(password) if password else "", secrets.token_hex(32))
    sql.execute(
        "INSERT INTO access (project_id, kind, password, signing_key, updated_at) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (project_id) DO UPDATE SET "
        "kind = excluded.kind, password = excluded.password, "
        "signing_key = excluded.signing_key, updated_at = excluded.updated_at",
        project_id, access.kind, access.password, access.signing_key, now(),
    )  # fmt: skip
    return access


def open_to_all(project_id: int) -> None:
    """Take the protection away."""
    sql.execute("DELETE FROM access WHERE project_id = ?", project_id)


def sign(access: Access, purpose: str, expires: int, bound: str = "") -> str:
    """A token for one purpose, until `expires` (seconds since 1970), bound to a text."""
    key = bytes.fromhex(access.signing_key)
    signature = hmac.new(key, f"{purpose}\n{expires}\n{bound}".encode(), hashlib.sha256)
    return f"{expires}.{signature.hexdigest()}"


def is_signed(access: Access, purpose: str, token: str, time: float, bound: str = "") -> bool:
    """Whether a token is genuine, and valid at `time` (seconds since 1970)."""
    expires, _, _ = token.partition(".")
    if not (expires.isascii() and expires.isdecimal() and len(expires) < 16):
        return False
    expected = sign(access, purpose, int(expires), bound)
    return hmac.compare_digest(expected.encode(), token.encode()) and int(expires) > time


def bound_to(to: str, base: str) -> str:
    """What a sign-in is bound to: the page it leads back to, and its site's address."""
    return f"{to}\n{base}"


def digest(password: str) -> str:
    """`<salt>$<scrypt>`, both in hex."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${_scrypt(password, salt).hex()}"


def is_password(password: str, digested: str) -> bool:
    """Whether a password is the one that was digested, in constant time."""
    salt, dollar, expected = digested.partition("$")
    if not dollar:
        return False
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)).hex(), expected)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL)
