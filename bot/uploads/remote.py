"""Which Git addresses may be fetched from: the guard against forged requests.

An address arrives from outside, and it is this host that will connect to it. So it
is taken apart and judged by name, then by every network address that the name has;
what was judged is what Git is made to connect to.
https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from bot.errors import SystemFault, UserError
from bot.uploads.names import shown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Sequence[str]]

_LONGEST_URL = 2048
_LONGEST_REF = 255
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*|\[[0-9a-f:.]+\]")
_PORTS = {"https": 443, "http": 80}
# https://git-scm.com/docs/git-check-ref-format
_NOT_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|^[-./]|[./]$|^@$")
# What some versions of Python take for public, and what only clouds know not to be:
# IETF's own (Oracle's metadata is there), Azure's way to its host, local NAT64, SRv6.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",
        "168.63.129.16/32",
        "192.88.99.0/24",
        "64:ff9b:1::/48",
        "5f00::/16",
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository that may be fetched, as far as its name goes. `ref` is a branch, tag or SHA.

    `trusted`: the operator named this very origin, which may then be a private one.
    """

    url: str
    scheme: str
    host: str
    port: int
    ref: str
    name: str
    trusted: bool
    named: bool


def parse_remote(url: str, ref: str, allowed: Sequence[str]) -> Remote:
    """Judge an address by its text.

    `allowed` are host names (`github.com`: https alone, public addresses alone), `*`
    for any such host, or whole origins (`http://git.internal:3000`), which are trusted.
    Raises `UserError`.
    """
    parts = _taken_apart(url)
    host = (parts.hostname or "").rstrip(".")
    port = _port(parts)
    origins = {_origin(entry) for entry in allowed if "://" in entry}
    trusted = (parts.scheme, host, port) in origins
    named = trusted or host in {entry.lower() for entry in allowed}
    if not trusted and (parts.scheme != "https" or port != _PORTS["https"]):
        raise UserError(
            "url-not-https",
            "A repository is fetched by https, from the usual port.",
            "Give an address such as https://github.com/owner/name.",
        )
    if not named and "*" not in allowed:
        raise UserError(
            "url-host-not-allowed",
            f"Repositories of {shown(host)} may not be fetched.",
            "ALLOWED_GIT_HOSTS is the operator's list.",
        )
    path = parts.path.rstrip("/")
    name = path.rpartition("/")[2].removesuffix(".git")
    if not name or ".." in path.split("/"):
        raise UserError("url-malformed", "The address names no repository.")
    shown_host = _bracketed(host)
    netloc = shown_host if port == _PORTS[parts.scheme] else f"{shown_host}:{port}"
    return Remote(
        url=f"{parts.scheme}://{netloc}{path}",
        scheme=parts.scheme,
        host=host,
        port=port,
        ref=checked_ref(ref or "HEAD"),
        name=name,
        trusted=trusted,
        named=named,
    )


def resolve(remote: Remote, lookup: Lookup | None = None) -> tuple[str, ...]:
    """The network addresses to connect to, all of them judged; empty: a proxy finds them.

    Raises `UserError`: `url-private-address`, `url-host-unknown`.
    """
    if remote.named and _goes_by_proxy(remote):
        return ()
    try:
        found = tuple(dict.fromkeys((lookup or _look_up)(remote.host, remote.port)))
    except (OSError, UnicodeError):
        found = ()
    if not found:
        raise UserError("url-host-unknown", f"There is no host {shown(remote.host)}.")
    if not remote.trusted and not all(is_public(ipaddress.ip_address(text)) for text in found):
        raise UserError(
            "url-private-address",
            f"{shown(remote.host)} is not an address of the public internet.",
            "The operator can allow a private origin in ALLOWED_GIT_HOSTS.",
        )
    return found


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet, and so is the one that it may carry."""
    if not address.is_global or address.is_multicast:
        return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return all(is_public(carried) for carried in inner if carried is not None)


def git_options(remote: Remote, addresses: Sequence[str]) -> tuple[str, ...]:
    """What keeps Git to what was judged: this origin, these addresses, no detour.

    https://git-scm.com/docs/git-config#Documentation/git-config.txt-httpcurloptResolve
    """
    options = (
        "-c", "protocol.allow=never",
        "-c", f"protocol.{remote.scheme}.allow=always",
        "-c", "http.followRedirects=false",
        "-c", "credential.helper=",
    )  # fmt: skip
    if not addresses or addresses == (remote.host,):
        return options
    bracketed = (f"[{text}]" if ":" in text else text for text in addresses)
    pinned = f"{remote.host}:{remote.port}:{','.join(bracketed)}"
    return (*options, "-c", f"http.curloptResolve={pinned}")


def _taken_apart(url: str) -> SplitResult:
    malformed = UserError(
        "url-malformed",
        "This is no address of a repository.",
        "Give an address such as https://github.com/owner/name.",
    )
    if len(url) > _LONGEST_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise malformed
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise malformed from None
    if parts.scheme not in _PORTS:
        raise UserError(
            "url-not-https",
            f"Repositories are not fetched by {shown(parts.scheme) or 'a path'}.",
            "Give an address such as https://github.com/owner/name.",
        )
    if "@" in parts.netloc:
        raise UserError(
            "url-credentials",
            "The address has credentials in it.",
            "Leave them out: only public repositories are fetched by address.",
        )
    host = (parts.hostname or "").rstrip(".")
    if parts.query or parts.fragment or not _HOST.fullmatch(_bracketed(host)):
        raise malformed
    return parts._replace(netloc=parts.netloc.lower())


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(parts: SplitResult) -> int:
    return parts.port if parts.port is not None else _PORTS[parts.scheme]


def _origin(entry: str) -> tuple[str, str, int]:
    parts = urlsplit(entry)
    return parts.scheme, (parts.hostname or "").rstrip("."), _port(parts)


def checked_ref(ref: str) -> str:
    """A branch, tag or SHA as Git would take it, and nothing else. Raises `UserError`."""
    if len(ref) > _LONGEST_REF or _NOT_IN_REF.search(ref):
        raise UserError("invalid-ref", "This is no name of a branch or tag, and no commit SHA.")
    return ref


def _goes_by_proxy(remote: Remote) -> bool:
    return remote.scheme in getproxies() and not proxy_bypass(remote.host)


def _look_up(host: str, port: int) -> Sequence[str]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise SystemFault("dns", f"The name {host} cannot be looked up now.") from error
        raise
    # A scope (`fe80::1%eth0`) is none of a public address.
    return [str(answer[4][0]).partition("%")[0] for answer in answers]
