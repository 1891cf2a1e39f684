"""Whether a preview is what its host signed: for whoever has the address, and no account.

It asks for what is served under /.well-known/deploystack/ (`bot.serve.provenance`), checks the
signature, that the statement is about this very address, and, where that is asked for, that
every file that is served is one of those that were signed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import HTTPAdapter

from bot import dsse
from bot.dsse import PREDICATE_TYPE, STATEMENT_TYPE, PublicKey
from bot.errors import SystemFault, UserError
from bot.serve.address import ACCESS_PARAMETER, FULL_KEY, alias_path, quoted
from bot.storage import checksums
from bot.storage.manifest import RULES_FILES

_WELL_KNOWN = "/.well-known/deploystack/"
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_SECONDS = 30
_FETCHERS = 8
_CHUNK = 1 << 18
_NAMED = 10
_PROTECTED = {401, 403}

Progress = Callable[[int, int], None]


class Protected(UserError):
    """The deployment is not for everybody."""

    def __init__(self) -> None:
        super().__init__(
            "unauthorized",
            "This deployment is protected.",
            "Give the address of a shared link (…?_access=…), or sign in to its host with "
            "`deploystack login`.",
        )


@dataclass(frozen=True, slots=True)
class Address:
    """`base` is the site's path on its host, with slashes around; `key` is empty for names."""

    origin: str
    base: str
    key: str
    access: str

    @property
    def provenance(self) -> str:
        """Where its provenance is; ends with a slash."""
        return f"{self.origin}{_WELL_KNOWN}{self.base[1:]}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was proven. `compared` files were fetched and are as signed; `None`: not asked for.

    `unserved` are files that only tell the host how to serve others, and are not served.
    """

    deployment: str
    key: str
    statement: Mapping[str, Any]
    compared: int | None = None
    unserved: int = 0


def address_of(url: str) -> Address:
    """Raises `UserError`: `invalid-url`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UserError("invalid-url", f"{url!r} is no address (https://…).")
    access = dict(parse_qsl(parts.query)).get(ACCESS_PARAMETER, "")
    origin = f"{parts.scheme}://{parts.netloc}"
    key = parts.path[1:].partition("/")[0]
    if FULL_KEY.fullmatch(key):
        return Address(origin, f"/{key}/", key, access)
    alias = alias_path(parts.path if parts.path.count("/") > 2 else f"{parts.path}/")
    if alias is not None:
        return Address(origin, alias.base, "", access)
    # A host of its own, whose name may have the key in it.
    label = (parts.hostname or "").partition(".")[0]
    return Address(origin, "/", label if FULL_KEY.fullmatch(label) else "", access)


class Web:
    """Requests of one verification."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": "deploystack", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=_FETCHERS))

    def get(self, url: str, access: str = "") -> requests.Response:
        """Raises `SystemFault` where the host cannot be reached, or is not well."""
        try:
            query = {ACCESS_PARAMETER: access} if access else None
            answer = self._session.get(url, params=query, timeout=_SECONDS, stream=True)
            if answer.status_code >= 500:
                raise SystemFault("host-failed", f"{url} answered {answer.status_code}.")
        except requests.RequestException as error:
            raise SystemFault("unreachable", f"{url} cannot be fetched: {error}") from None
        return answer

    def digest(self, url: str) -> str:
        """SHA-256 of what is there, in hex; empty: nothing that this host has."""
        try:
            with self.get(url) as answer:
                if answer.status_code != 200 or _origin(answer.url) != _origin(url):
                    return ""
                hasher = hashlib.sha256()
                for chunk in answer.iter_content(_CHUNK):
                    hasher.update(chunk)
                return hasher.hexdigest()
        except requests.RequestException as error:
            raise SystemFault("unreachable", f"{url} broke off: {error}") from None

    def close(self) -> None:
        self._session.close()


def published_keys(web: Web, server: str) -> list[PublicKey]:
    """The keys that a host publishes. Raises `UserError`: `keys-not-found`; `SystemFault`."""
    with web.get(f"{server}{_WELL_KNOWN}keys.json") as answer:
        found = _json(answer.content) if answer.status_code == 200 else None
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise UserError("keys-not-found", f"{server} publishes no keys.", "Is it a DeployStack?")
    return [dsse.public_from(key) for key in found["keys"]]


def pinned(given: str, published: Callable[[], Sequence[PublicKey]]) -> list[PublicKey]:
    """The keys that `--key` means: a file's, or the published one of this thumbprint.

    A file holds a public key in PEM, a JSON Web Key, or a set of them. Raises `UserError`:
    `invalid-key`, `key-unknown`.
    """
    path = Path(given)
    if path.is_file():
        return _keys_of(path.read_bytes())
    if not _THUMBPRINT.fullmatch(given):
        raise UserError("invalid-key", f"{given!r} is neither a file nor a key's thumbprint.")
    found = [key for key in published() if key.id == given]
    if not found:
        raise UserError("key-unknown", f"The host does not publish the key {given} (any more).")
    return found


def fetch_envelope(web: Web, address: Address) -> object:
    """Raises `Protected`, `UserError`: `provenance-not-found`; `SystemFault`."""
    with web.get(f"{address.provenance}deploy.json", address.access) as answer:
        if answer.status_code in _PROTECTED:
            raise Protected
        if answer.status_code != 200:
            raise UserError(
                "provenance-not-found",
                f"{address.origin} has no provenance of {address.base}.",
                "Is it live, and was it published since provenance is signed?",
            )
        return _json(answer.content)


def verify(envelope: object, keys: Collection[PublicKey], address: Address) -> Verified:
    """Check the signature, and that it is for this address.

    Raises `UserError`: those of `bot.dsse.verify`, and `provenance-mismatch`.
    """
    payload, key = dsse.verify(envelope, keys)
    statement = _json(payload)
    try:
        if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
            raise ValueError("of another type")
        deployment = str(statement["subject"][0]["name"])
        str(statement["subject"][0]["digest"]["sha256"])
        commit = str(_asked(statement)["commit"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError("provenance-malformed", f"This is no provenance ({error!r}).") from None
    if address.key and address.key not in {deployment, commit}:
        raise UserError(
            "provenance-mismatch",
            f"What is signed is {deployment} of {commit or 'an upload'}, not {address.key}.",
        )
    return Verified(deployment, key.id, statement)


def compare_files(
    web: Web, address: Address, verified: Verified, progress: Progress = lambda _done, _of: None
) -> Verified:
    """Fetch every signed file from where visitors get it, and compare.

    Raises `Protected`, `UserError`: `provenance-mismatch` where the list is not what was signed,
    `files-differ`; `SystemFault`.
    """
    with web.get(f"{address.provenance}files.sha256", address.access) as answer:
        if answer.status_code in _PROTECTED:
            raise Protected
        listed = answer.content if answer.status_code == 200 else b""
    if checksums.digest(listed) != verified.statement["subject"][0]["digest"]["sha256"]:
        raise UserError("provenance-mismatch", "The list of files is not the one that was signed.")
    wanted = checksums.parse(listed)
    site = f"{address.origin}{address.base}"
    if address.access:
        web.get(site, address.access).close()  # for the cookie
    served: dict[str, str] = {}
    with ThreadPoolExecutor(_FETCHERS) as fetchers:
        digests = fetchers.map(lambda path: web.digest(site + quoted(path)), wanted)
        for path, digest in zip(wanted, digests, strict=True):
            served[path] = digest
            progress(len(served), len(wanted))
    unserved = {path for path in RULES_FILES if path in wanted and not served[path]}
    wrong = [path for path in wanted if served[path] != wanted[path] and path not in unserved]
    if wrong:
        named = ", ".join(
            f"{path} ({'differs' if served[path] else 'not served'})" for path in wrong[:_NAMED]
        )
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise UserError(
            "files-differ",
            f"{len(wrong)} of {len(wanted)} files are not served as they were signed: "
            f"{named}{more}.",
            "A rule of the site's own (_redirects) or a server in between may be why.",
        )
    return replace(verified, compared=len(wanted) - len(unserved), unserved=len(unserved))


def _asked(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = statement["predicate"]["buildDefinition"]["externalParameters"]
    return found


def _keys_of(content: bytes) -> list[PublicKey]:
    if content.lstrip().startswith(b"-----BEGIN"):
        from cryptography.hazmat.primitives import serialization

        try:
            loaded = serialization.load_pem_public_key(content)
            raw = loaded.public_bytes_raw()  # type: ignore[union-attr]
        except (AttributeError, ValueError):
            raise UserError("invalid-key", "That is no Ed25519 public key in PEM.") from None
        return [dsse.public_of_bytes(raw)]
    found = _json(content)
    keys = found.get("keys") if isinstance(found, dict) else None
    return [dsse.public_from(key) for key in (keys if isinstance(keys, list) else [found])]


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
