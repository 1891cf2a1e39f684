"""The only reader of the environment.

Every setting is declared once, in `SETTINGS`: name, default, cast, and what it
is for. `docs/settings.md` describes them all, and a test compares the two.
Values come from the environment first, then from `.env` in the working folder.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

from bot.errors import InvalidSetting
from bot.secret import Secret, kept_secret
from bot.setting_values import (
    boolean,
    folder,
    label_if_any,
    location_if_any,
    networks,
    one_of,
    patterns,
    private_key,
    secrets,
    size,
    url,
    url_if_any,
    whole,
    words,
)

# GitHub logins hold letters, digits and inner hyphens only, so no account can
# ever own this name: repositories under it live in DATA_DIR/repositories.
LOCAL_OWNER = "_local"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator chose. Durations are in seconds, sizes in bytes."""

    ENVIRONMENT: str
    HOST: str
    PORT: int
    WEB_WORKERS: int
    WEB_THREADS: int
    DATA_DIR: Path
    PUBLIC_URL: str
    DASHBOARD_PORT: int
    DASHBOARD_URL: str
    PREVIEW_DOMAIN: str
    PREVIEW_PORT: int
    PREVIEW_WORKERS: int
    PREVIEW_CACHE_SIZE: int
    ACCEL_LOCATION: str
    DATABASE_URL: str
    DATABASE_CONNECTIONS: int
    QUEUE_URL: str
    STORAGE_URL: str
    STORAGE_CACHE_SIZE: int
    STORAGE_BUDGET: int
    RETENTION_EVERY: int
    RETENTION_CLOSED_DAYS: int
    RETENTION_IDLE_DAYS: int
    RETENTION_PRODUCTION_KEPT: int
    RETENTION_FAILED_DAYS: int
    GITHUB_SERVER_URL: str
    GITHUB_API_URL: str
    GITHUB_WEBHOOK_SECRET: tuple[Secret, ...]
    GITHUB_TOKEN: Secret
    GITHUB_APP_ID: str
    GITHUB_APP_PRIVATE_KEY: Secret
    GITHUB_CLIENT_ID: str
    GITHUB_CLIENT_SECRET: Secret
    GITHUB_COMMENTS: bool
    RECONCILE_EVERY: int
    FORK_APPROVAL_LABEL: str
    ALLOWED_REPOSITORIES: tuple[str, ...]
    SANDBOX: str
    SANDBOX_NETWORK: str
    SANDBOX_ALLOWED_NETWORKS: tuple[str, ...]
    SANDBOX_ENGINE: tuple[str, ...]
    SANDBOX_IMAGE: str
    SANDBOX_CONTAINER_OPTIONS: tuple[str, ...]
    BUILD_CONCURRENCY: int
    PROJECT_CONCURRENCY: int
    DRAIN_TIMEOUT: int
    BUILD_NETWORK: str
    BUILD_TIMEOUT: int
    BUILD_MEMORY: int
    BUILD_PROCESSES: int
    BUILD_DISK: int
    BUILD_LOG_SIZE: int
    BUILD_LOGS: str
    SHARE_REGISTRY_CREDENTIALS: bool
    CACHE_SIZE: int
    MAX_FILES: int
    MAX_FILE_SIZE: int
    MAX_DEPLOYMENT_SIZE: int
    MAX_UPLOAD_SIZE: int
    ALLOWED_GIT_HOSTS: tuple[str, ...]
    SECRETS_KEY: tuple[Secret, ...]
    PROVENANCE_KEY: Secret
    RATE_LIMIT: int
    DEPLOY_RATE_LIMIT: int
    CONTENTS_RATE_LIMIT: int
    ADDRESS_RATE_LIMIT: int
    CACHE_URL: str
    TRUSTED_PROXIES: int
    DNS_SERVERS: tuple[str, ...]
    WORK_DIR: Path
    LOG_LEVEL: str
    LOG_FORMAT: str
    METRICS_TOKEN: Secret
    METRICS_PORT: int
    SENTRY_DSN: Secret
    OTLP_ENDPOINT: str

    @property
    def production(self) -> bool:
        return self.ENVIRONMENT == "production"

    @property
    def shares_logs(self) -> bool:
        """Whether builds' logs are in the database, for machines without our `DATA_DIR`."""
        postgres = self.DATABASE_URL.startswith(("postgres:", "postgresql:"))
        return self.BUILD_LOGS == "database" or (self.BUILD_LOGS == "auto" and postgres)

    def allows(self, repository: str) -> bool:
        """Whether `owner/name` may be connected by a signed first push."""
        name = repository.lower()
        return any(fnmatch.fnmatchcase(name, p.lower()) for p in self.ALLOWED_REPOSITORIES)

    def clone_url(self, repository: str) -> str:
        """Where `owner/name` is fetched from: never a URL out of a payload."""
        owner, _, name = repository.partition("/")
        if owner == LOCAL_OWNER:
            return str(self.DATA_DIR / "repositories" / f"{name}.git")
        return f"{self.GITHUB_SERVER_URL}/{repository}.git"

    def deployment_url(self, key: str) -> str:
        """The address of a preview by commit SHA or deployment id.

        A host of its own where there is a preview domain and the key fits into a
        label (63 characters: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4).
        """
        if self.has_own_host(key):
            public = urlsplit(self.PUBLIC_URL)
            port = f":{public.port}" if public.port else ""
            return f"{public.scheme}://{key}.{self.PREVIEW_DOMAIN}{port}/"
        return f"{self.PUBLIC_URL}/{key}/"

    def alias_url(self, address: str, path: str) -> str:
        """Where an alias is: by its address under the preview domain, else by its path."""
        return self.deployment_url(address) if self.PREVIEW_DOMAIN else f"{self.PUBLIC_URL}{path}"

    def has_own_host(self, key: str) -> bool:
        return bool(self.PREVIEW_DOMAIN) and len(key) <= 63

    def base_path(self, key: str) -> str:
        """The path that a build is made for."""
        return "/" if self.has_own_host(key) else f"/{key}/"

    def build_url(self, build_id: str) -> str:
        """The page that shows a build and its log."""
        return f"{self.PUBLIC_URL}/builds/{build_id}"


@dataclass(frozen=True)
class Setting:
    name: str
    default: str
    cast: Callable[[str], Any]
    help: str


# "{DATA_DIR}", "{PORT}" and "{DASHBOARD_PORT}" in a default are filled from those settings.
SETTINGS: tuple[Setting, ...] = (
    Setting("ENVIRONMENT", "development", one_of("development", "production"),
            "`production` refuses to start without a webhook secret"),
    Setting("HOST", "127.0.0.1", str, "address that the web process listens on"),
    Setting("PORT", "8000", whole(1, 65535), "port of webhooks, API and previews"),
    Setting("WEB_WORKERS", "2", whole(1, 64), "gunicorn worker processes"),
    Setting("WEB_THREADS", "16", whole(1, 256), "threads of each gunicorn worker"),
    Setting("DATA_DIR", "./data", folder, "database, queue, artifacts, mirrors, caches, logs"),
    Setting("PUBLIC_URL", "http://localhost:{PORT}", url, "how browsers reach this host"),
    Setting("DASHBOARD_PORT", "8001", whole(0, 65535),
            "port of the dashboard, which shares no origin with previews; 0: none"),
    Setting("DASHBOARD_URL", "http://dashboard.localhost:{DASHBOARD_PORT}", url,
            "how browsers reach the dashboard: a host name of its own, with https in production"),
    Setting("PREVIEW_DOMAIN", "", str, "domain whose sub-domains are previews; empty: none"),
    Setting("PREVIEW_PORT", "0", whole(0, 65535),
            "port of the process that serves nothing but previews; 0: none"),
    Setting("PREVIEW_WORKERS", "2", whole(1, 64), "worker processes on PREVIEW_PORT"),
    Setting("PREVIEW_CACHE_SIZE", "128M", size,
            "memory of one process for previews' manifests and small files"),
    Setting("ACCEL_LOCATION", "", location_if_any,
            "where a front server finds the store's files, for X-Accel-Redirect; empty: none"),
    Setting("DATABASE_URL", "sqlite:///{DATA_DIR}/deploystack.db", str, "the database"),
    Setting("DATABASE_CONNECTIONS", "10", whole(2, 1000),
            "connections that one process opens to PostgreSQL at most"),
    Setting("QUEUE_URL", "sqlite:///{DATA_DIR}/queue.db", str, "the task queue"),
    Setting("STORAGE_URL", "file://{DATA_DIR}/artifacts", str,
            "where published files are kept: `file://` or `s3://`"),
    Setting("STORAGE_CACHE_SIZE", "2G", size,
            "disk of each machine for files out of an S3 store, in DATA_DIR/store-cache"),
    Setting("STORAGE_BUDGET", "0", size,
            "bytes that deployments may hold together; beyond, the longest unused go; 0: any"),
    Setting("RETENTION_EVERY", "3600", whole(),
            "seconds between looks at what is no longer to be kept; 0: none"),
    Setting("RETENTION_CLOSED_DAYS", "30", whole(0, 36500),
            "days that previews outlive their branch or pull request; 0: for ever"),
    Setting("RETENTION_IDLE_DAYS", "90", whole(0, 36500),
            "days that unvisited deployments stay that no name leads to; 0: for ever"),
    Setting("RETENTION_PRODUCTION_KEPT", "10", whole(0, 100000),
            "newest production deployments of a project that stay, used or not"),
    Setting("RETENTION_FAILED_DAYS", "30", whole(0, 36500),
            "days that builds without a live deployment stay, with their logs; 0: for ever"),
    Setting("GITHUB_SERVER_URL", "https://github.com", url,
            "repositories are cloned from `<server>/<owner>/<name>.git`"),
    Setting("GITHUB_API_URL", "https://api.github.com", url, "GitHub's REST API"),
    Setting("GITHUB_WEBHOOK_SECRET", "", secrets,
            "webhook secret; two, comma-separated, while rotating"),
    Setting("GITHUB_TOKEN", "", Secret, "personal access token; empty: nothing is posted"),
    Setting("GITHUB_APP_ID", "", str, "id of the GitHub App, instead of a token"),
    Setting("GITHUB_APP_PRIVATE_KEY", "", private_key, "the App's PEM key: text or path"),
    Setting("GITHUB_CLIENT_ID", "", str,
            "client id of the GitHub App, for visitors who sign in with GitHub"),
    Setting("GITHUB_CLIENT_SECRET", "", Secret, "the App's client secret"),
    Setting("GITHUB_COMMENTS", "yes", boolean, "whether pull requests get a comment"),
    Setting("RECONCILE_EVERY", "3600", whole(),
            "seconds between looks at GitHub for what never arrived here; 0: none"),
    Setting("FORK_APPROVAL_LABEL", "deploy", label_if_any,
            "label by which a fork's commit is approved; `-`: none"),
    Setting("ALLOWED_REPOSITORIES", "*", patterns,
            "comma-separated patterns of `owner/name` that a signed push may connect"),
    Setting("SANDBOX", "auto", one_of("auto", "bubblewrap", "container", "process"),
            "how builds are confined; `auto`: bubblewrap where it works"),
    Setting("SANDBOX_NETWORK", "auto", one_of("auto", "public", "host"),
            "what builds can reach; `auto`: public addresses alone where that works"),
    Setting("SANDBOX_ALLOWED_NETWORKS", "", networks,
            "private networks that builds may reach all the same, comma-separated"),
    Setting("SANDBOX_ENGINE", "", words,
            "container engine and its options; empty: podman or docker"),
    Setting("SANDBOX_IMAGE", "", str,
            "image of build containers; empty: this machine's own programs"),
    Setting("SANDBOX_CONTAINER_OPTIONS", "", words, "more options of build containers"),
    Setting("BUILD_CONCURRENCY", "2", whole(1, 64), "builds that one worker runs at a time"),
    Setting("PROJECT_CONCURRENCY", "0", whole(0, 10000),
            "builds of one project that run at a time, on all workers; 0: any number"),
    Setting("DRAIN_TIMEOUT", "30", whole(0, 3600),
            "seconds that a worker has to finish its builds after SIGTERM"),
    Setting("BUILD_NETWORK", "full", one_of("full", "install-only", "none"),
            "which commands of a build have a network: all, those that install, or none"),
    Setting("BUILD_TIMEOUT", "1200", whole(1), "seconds that a build may take"),
    Setting("BUILD_MEMORY", "4G", size, "memory that a build may use"),
    Setting("BUILD_PROCESSES", "512", whole(16), "processes and threads of a build"),
    Setting("BUILD_DISK", "4G", size, "disk that a build may fill"),
    Setting("BUILD_LOG_SIZE", "4M", size, "size at which a build's log is cut"),
    Setting("BUILD_LOGS", "auto", one_of("auto", "files", "database"),
            "where web processes read builds' logs; `auto`: in the database if PostgreSQL"),
    Setting("SHARE_REGISTRY_CREDENTIALS", "no", boolean,
            "whether installs see the passwords in the bot's own npm and pip configuration"),
    Setting("CACHE_SIZE", "10G", size,
            "disk for dependencies, downloads and framework caches kept between builds"),
    Setting("MAX_FILES", "20000", whole(1), "files of one deployment"),
    Setting("MAX_FILE_SIZE", "100M", size, "size of one published file"),
    Setting("MAX_DEPLOYMENT_SIZE", "1G", size, "size of all files of one deployment"),
    Setting("MAX_UPLOAD_SIZE", "1G", size, "size of one uploaded archive"),
    Setting("ALLOWED_GIT_HOSTS", "github.com,gitlab.com,bitbucket.org,codeberg.org", patterns,
            "hosts that `POST /deploy` may fetch repositories from; `*`: all public ones"),
    Setting("SECRETS_KEY", "", secrets,
            "what projects' variables are encrypted with; `new,old` while rotating"),
    Setting("PROVENANCE_KEY", "", private_key,
            "Ed25519 key in PEM, text or path, that provenance is signed with; empty: "
            "one is made in DATA_DIR"),
    Setting("RATE_LIMIT", "600", whole(), "API requests a minute, by token or address; 0: any"),
    Setting("DEPLOY_RATE_LIMIT", "60", whole(),
            "deployments asked for in a minute, by token or address; 0: any"),
    Setting("CONTENTS_RATE_LIMIT", "30000", whole(),
            "files uploaded one by one in a minute, by token or address; 0: any"),
    Setting("ADDRESS_RATE_LIMIT", "60000", whole(),
            "API requests a minute from one address, by whichever tokens; 0: any"),
    Setting("CACHE_URL", "", str,
            "Redis for rate limits, news of moved aliases, and what first requests ask for; "
            "empty: each process"),
    Setting("TRUSTED_PROXIES", "0", whole(0, 16),
            "front servers whose X-Forwarded-For says where a request comes from"),
    Setting("DNS_SERVERS", "", patterns,
            "name servers that custom domains are looked up at; empty: this machine's own"),
    Setting("WORK_DIR", "{DATA_DIR}/work", folder, "where trees are checked out and built"),
    Setting("LOG_LEVEL", "INFO", one_of("DEBUG", "INFO", "WARNING", "ERROR"),
            "least severe message that is logged"),
    Setting("LOG_FORMAT", "text", one_of("text", "json"), "lines for people, or for machines"),
    Setting("METRICS_TOKEN", "", Secret, "bearer token of /metrics; empty: nothing is counted"),
    Setting("METRICS_PORT", "0", whole(0, 65535), "where a worker answers /metrics; 0: nowhere"),
    Setting("SENTRY_DSN", "", Secret, "Sentry project that unexpected errors are reported to"),
    Setting("OTLP_ENDPOINT", "", url_if_any, "OpenTelemetry collector (OTLP over HTTP)"),
)  # fmt: skip


def load(environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """Read and check every setting.

    Raises `InvalidSetting`, naming the setting, what is wrong and what to do.
    """
    given = dict(os.environ if environ is None else environ)
    if dotenv is not None and dotenv.is_file():
        from_file = {k: v for k, v in dotenv_values(dotenv).items() if v is not None}
        given = from_file | given
    data_dir = str(folder(given.get("DATA_DIR") or "./data"))
    port = given.get("PORT") or "8000"
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        default = setting.default.replace("{DATA_DIR}", data_dir).replace("{PORT}", port)
        default = default.replace("{DASHBOARD_PORT}", given.get("DASHBOARD_PORT") or "8001")
        text = given.get(setting.name) or default
        try:
            values[setting.name] = setting.cast(text)
        except ValueError as error:
            raise InvalidSetting(setting.name, str(error), "See docs/settings.md.") from None
    settings = Settings(**values)
    return _with_webhook_secret(_checked(settings))


def _checked(settings: Settings) -> Settings:
    has_key = bool(settings.GITHUB_APP_PRIVATE_KEY)
    if bool(settings.GITHUB_APP_ID) != has_key:
        missing = "GITHUB_APP_ID" if has_key else "GITHUB_APP_PRIVATE_KEY"
        raise InvalidSetting(missing, "is missing", "A GitHub App needs both its id and its key.")
    _check_dashboard(settings)
    if settings.ACCEL_LOCATION and not settings.STORAGE_URL.startswith("file:"):
        raise InvalidSetting("ACCEL_LOCATION", "needs a store on this disk", "Leave it out.")
    if settings.production and not settings.GITHUB_WEBHOOK_SECRET:
        raise InvalidSetting(
            "GITHUB_WEBHOOK_SECRET",
            "must be set in production",
            "Make one with `openssl rand -hex 32` and enter it in GitHub's webhook form too.",
        )
    return settings


def _check_dashboard(settings: Settings) -> None:
    """Its cookies must be out of previews' reach, and cookies do not know ports."""
    url = urlsplit(settings.DASHBOARD_URL)
    host, domain = url.hostname or "", settings.PREVIEW_DOMAIN.lower()
    shared = host == urlsplit(settings.PUBLIC_URL).hostname
    if not settings.DASHBOARD_PORT:
        return
    if settings.DASHBOARD_PORT in {settings.PORT, settings.PREVIEW_PORT}:
        raise InvalidSetting("DASHBOARD_PORT", "previews are served there", "Choose another.")
    if shared or (domain and (host == domain or host.endswith(f".{domain}"))):
        raise InvalidSetting(
            "DASHBOARD_URL",
            "previews are served under this host name",
            "Give the dashboard a name of its own: docs/dashboard.md says why.",
        )
    local = host == "localhost" or host.endswith(".localhost")
    if settings.production and url.scheme != "https" and not local:
        raise InvalidSetting("DASHBOARD_URL", "must be https in production", "")


def _with_webhook_secret(settings: Settings) -> Settings:
    """In development, make a secret once and keep it in DATA_DIR."""
    if settings.GITHUB_WEBHOOK_SECRET:
        return settings
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    values["GITHUB_WEBHOOK_SECRET"] = (kept_secret(settings.DATA_DIR / "webhook-secret"),)
    return Settings(**values)
