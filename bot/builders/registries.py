"""How the operator's machine reaches package registries, handed on to builds.

Mirrors, proxies and certificate authorities that npm and pip are configured with on
this machine hold for builds too, though a build sees neither the home folder nor the
environment. It gets copies; those for code that is not trusted are without passwords
and tokens. These variables belong to npm, pip and OpenSSL, not to the bot, which is
why they are read here and not in `bot.settings`.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

# https://docs.npmjs.com/cli/configuring-npm/npmrc ; the first two depend on npm's prefix.
_GLOBAL_NPMRC = ("/usr/etc/npmrc", "/usr/local/etc/npmrc", "/etc/npmrc")
# https://pip.pypa.io/en/stable/topics/configuration/#location ; later ones win.
_GLOBAL_PIP = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf")
_CERTIFICATE_VARIABLES = (
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
)
_ADDRESS_VARIABLES = (
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX",
    "UV_FIND_LINKS",
    "UV_INDEX_URL",
)
# Settings of npm that are files or folders. https://docs.npmjs.com/cli/using-npm/config
_NPM_PATHS = ("cafile", "nodedir")
# Where every sandbox shows the machine's own files anyway.
_VISIBLE = tuple(Path(p) for p in ("/usr", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"))
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/@\s]*@")
_PRIVATE_NPM_KEY = re.compile(r"_auth|_password|token|username|email|keyfile|certfile|^key$|^cert$")


@dataclass(frozen=True, kw_only=True)
class Registries:
    """What a command needs, to reach registries as the operator does."""

    environment: Mapping[str, str]
    readable: tuple[Path, ...]


def registries(folder: Path, *, trusted: bool, environ: Mapping[str, str]) -> Registries:
    """The operator's configuration; copies are kept in `folder`.

    `trusted`: whether passwords and tokens may be among it. `environ` is the
    environment in which npm and pip are configured: the bot's own.
    """
    home = Path(environ.get("HOME") or Path.home())
    user_npmrc = environ.get("NPM_CONFIG_USERCONFIG") or environ.get("npm_config_userconfig")
    npm_global = _npmrc([Path(path) for path in _GLOBAL_NPMRC], trusted)
    npm_user = _npmrc([Path(user_npmrc) if user_npmrc else home / ".npmrc"], trusted)
    user_pip = (home / ".config/pip/pip.conf", home / ".pip/pip.conf")
    named_pip = [Path(environ["PIP_CONFIG_FILE"])] if environ.get("PIP_CONFIG_FILE") else []
    pip = _pip_configuration([*map(Path, _GLOBAL_PIP), *user_pip, *named_pip], trusted)

    variables = _passed_on(environ, trusted)
    files = {
        "NPM_CONFIG_GLOBALCONFIG": _keep(folder, "npmrc", npm_global),
        "NPM_CONFIG_USERCONFIG": _keep(folder, "npmrc", npm_user),
        "PIP_CONFIG_FILE": _keep(folder, "pip.conf", pip),
    }
    npm_settings = _npm_settings(npm_global + npm_user)
    variables = {
        **_for_uv(pip, variables),
        **variables,
        **_for_other_managers(npm_settings),
    }
    variables |= {name: str(path) for name, path in files.items()}
    named = [variables[name] for name in _CERTIFICATE_VARIABLES if name in variables]
    named += [npm_settings[name] for name in _NPM_PATHS if name in npm_settings]
    named += _local_addresses(pip, variables)
    return Registries(
        environment=variables,
        readable=(*files.values(), *_not_visible_anyway(named)),
    )


def without_private_lines(npmrc: str) -> str:
    """An npmrc without anything that proves who the operator is."""
    kept = []
    for line in npmrc.splitlines():
        key = line.partition("=")[0].strip().lower().rpartition(":")[2]
        if not _PRIVATE_NPM_KEY.search(key) and not _PASSWORD_IN_ADDRESS.search(line):
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def _npmrc(paths: Iterable[Path], trusted: bool) -> str:
    text = "".join(f"{_read(path)}\n" for path in paths)
    return text if trusted else without_private_lines(text)


def _npm_settings(npmrc: str) -> dict[str, str]:
    """The plain settings of an npmrc; the last of a name counts."""
    found = {}
    for line in npmrc.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.strip().startswith(("#", ";")):
            found[key.strip()] = value.strip().strip("\"'")
    return found


def _pip_configuration(paths: Iterable[Path], trusted: bool) -> str:
    merged = configparser.RawConfigParser()
    for path in paths:
        try:
            merged.read_string(_read(path))
        except configparser.Error:
            continue  # pip itself will complain on the operator's side
    if not trusted:
        for section in merged.sections():
            for key, value in merged.items(section):
                if _PASSWORD_IN_ADDRESS.search(value):
                    merged.remove_option(section, key)
    text = io.StringIO()
    merged.write(text)
    return text.getvalue()


def _passed_on(environ: Mapping[str, str], trusted: bool) -> dict[str, str]:
    """Variables that configure certificates, proxies, npm and pip."""
    found = {name: environ[name] for name in _CERTIFICATE_VARIABLES if environ.get(name)}
    addresses = [*_ADDRESS_VARIABLES, *(name.lower() for name in _ADDRESS_VARIABLES[:4])]
    addresses += [name for name in environ if name.lower().startswith("npm_config_")]
    for name in addresses:
        value = environ.get(name, "")
        key = name.lower().removeprefix("npm_config_")
        private = _PRIVATE_NPM_KEY.search(key) or _PASSWORD_IN_ADDRESS.search(value)
        if (
            value
            and key not in {"userconfig", "globalconfig", "cache"}
            and (trusted or not private)
        ):
            found[name] = value
    return found


def _for_other_managers(npm: Mapping[str, str]) -> dict[str, str]:
    """The same for those that read no npmrc, or not all of it.

    https://yarnpkg.com/configuration/yarnrc , https://bun.com/docs/runtime/bunfig
    """
    found: dict[str, str] = {}
    if registry := npm.get("registry"):
        found |= {"YARN_NPM_REGISTRY_SERVER": registry, "BUN_CONFIG_REGISTRY": registry}
    if cafile := npm.get("cafile"):
        found |= {"YARN_HTTPS_CA_FILE_PATH": cafile, "npm_config_cafile": cafile}
    return found


def _for_uv(pip: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The same for uv, which does not read pip's configuration.

    Of several indexes pip takes the best version and uv the first index's, unless told.
    https://docs.astral.sh/uv/reference/environment/
    """
    parsed = configparser.RawConfigParser()
    parsed.read_string(pip)
    said: dict[str, str] = {}
    for section in ("global", "install"):
        if parsed.has_section(section):
            said |= {key.replace("_", "-"): value for key, value in parsed.items(section)}
    for name, value in variables.items():
        if name.startswith("PIP_"):
            said[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    words = {key: " ".join(value.split()) for key, value in said.items()}
    found = {
        "UV_DEFAULT_INDEX": words.get("index-url", ""),
        "UV_INDEX": words.get("extra-index-url", ""),
        "UV_FIND_LINKS": words.get("find-links", "").replace(" ", ","),
        "UV_CONSTRAINT": words.get("constraint", ""),
        "UV_INSECURE_HOST": words.get("trusted-host", ""),
        "SSL_CERT_FILE": words.get("cert", ""),
    }
    if found["UV_INDEX"] or found["UV_FIND_LINKS"]:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in found.items() if value}


def _behind_index(folder: Path) -> list[str]:
    """Where the pages of an index on disk lead that is not in it: one folder at most.

    Whoever makes an index lays all files out in the same way, so one page tells.
    https://packaging.python.org/en/latest/specifications/simple-repository-api/
    """
    for page in islice(folder.glob("*/index.html"), 1):
        for link in re.findall(r"""href=["']([^"'#]+)""", _read(page)):
            target = os.path.normpath(page.parent / unquote(urlsplit(link).path))
            if "://" not in link and not Path(target).is_relative_to(folder):
                return [os.path.dirname(target)]
    return []


def _local_addresses(pip: str, variables: Mapping[str, str]) -> list[str]:
    """Folders of this machine that pip looks for packages in, and constraint files."""
    values = [line.partition("=")[2] or line for line in pip.splitlines()]
    values += [variables[name] for name in _ADDRESS_VARIABLES if name in variables]
    found = []
    for word in (word for value in values for word in value.split()):
        if word.startswith("file://"):
            path = unquote(urlsplit(word).path)
            found += [path, *_behind_index(Path(path))]
        elif word.startswith("/"):
            found.append(word)
    return found


def _not_visible_anyway(paths: Iterable[str]) -> list[Path]:
    wanted = dict.fromkeys(Path(path) for path in paths if path.startswith("/"))
    return [
        path
        for path in wanted
        if path.exists() and not any(path.is_relative_to(place) for place in _VISIBLE)
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _keep(folder: Path, name: str, content: str) -> Path:
    """A file with this content; its name is made of it, so it is written once."""
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    path = folder / f"{name}-{digest}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o644)
        os.replace(draft, path)
    return path
