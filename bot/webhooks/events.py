"""A delivery as a value: headers and body in, a frozen event out. No I/O, no decisions."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

import msgspec

from bot.errors import UserError
from bot.webhooks import payloads

# https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap
LARGEST_BODY = 25 * 1024 * 1024


class BadDelivery(UserError):
    """A delivery that is not what GitHub sends. `status` is the HTTP answer."""

    def __init__(self, code: str, message: str, hint: str = "", status: int = 400) -> None:
        super().__init__(code, message, hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Push:
    """A branch or tag now points elsewhere. Times are milliseconds since 1970."""

    repository: str
    private: bool
    default_branch: str
    installation_id: int | None
    ref: str  # refs/heads/main
    before: str
    after: str
    deleted: bool
    message: str | None  # of the head commit; None: the push brought no commit
    moved_at: int


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request. `fork`: its head is in another repository, or in none any more."""

    repository: str
    private: bool
    default_branch: str
    installation_id: int | None
    action: str
    number: int
    open: bool
    draft: bool
    head_sha: str
    head_ref: str
    fork: bool
    moved_at: int
    # The label that was put on or taken off, and who did what the event tells of.
    label: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment on an issue or a pull request; `line` is its first line, cut short."""

    repository: str
    action: str
    number: int
    on_pull_request: bool
    comment_id: int
    author: str  # empty: an account that is gone
    line: str
    written_at: int


@dataclass(frozen=True, slots=True)
class BranchDeleted:
    """A branch or tag is gone. The payload has no time of its own: `moved_at` is the last push."""

    repository: str
    ref: str
    ref_type: str
    moved_at: int


@dataclass(frozen=True, slots=True)
class InstallationChanged:
    """An App installation came, went, or lost or gained repositories."""

    installation_id: int
    action: str  # created, deleted, suspend, unsuspend, added, removed, …
    repositories: tuple[str, ...]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RepositoryChanged:
    """A repository itself was changed. `previous`: what it was called before, if that differs."""

    repository: str
    private: bool
    default_branch: str
    action: str  # deleted, archived, unarchived, renamed, transferred, …
    previous: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event that nothing here listens to."""

    name: str


Event = (
    Ping
    | Push
    | PullRequest
    | Comment
    | BranchDeleted
    | InstallationChanged
    | RepositoryChanged
    | Unknown
)

_LONGEST_LINE = 200  # characters of a comment's first line
_EVENT_NAME = re.compile(r"[a-z_]{1,64}")
_GUID = re.compile(r"[0-9A-Za-z-]{8,64}")
_DECODERS = {
    name: msgspec.json.Decoder(kind)
    for name, kind in {
        "ping": payloads.Ping,
        "push": payloads.Push,
        "pull_request": payloads.PullRequest,
        "issue_comment": payloads.IssueComment,
        "delete": payloads.Delete,
        "installation": payloads.InstallationEvent,
        "installation_repositories": payloads.InstallationRepositories,
        "repository": payloads.RepositoryEvent,
    }.items()
}
_KEPT: dict[str, type[Event]] = {
    "ping": Ping,
    "push": Push,
    "pull_request": PullRequest,
    "issue_comment": Comment,
    "delete": BranchDeleted,
    "installation": InstallationChanged,
    "installation_repositories": InstallationChanged,
    "repository": RepositoryChanged,
}


def restore(name: str, kept: str) -> Event:
    """An event as the inbox keeps it, in JSON, to be carried out again."""
    if name not in _KEPT:
        return Unknown(name)
    return msgspec.json.decode(kept, type=_KEPT[name])


def guid(header: str | None) -> str:
    """The delivery's GUID, checked; raises `BadDelivery`."""
    if header is None or not _GUID.fullmatch(header):
        raise BadDelivery("missing-delivery-id", "X-GitHub-Delivery is missing or malformed.")
    return header


def parse(name: str | None, content_type: str | None, body: bytes) -> Event:
    """The event in a body; raises `BadDelivery` with the path of a wrong field."""
    if name is None or not _EVENT_NAME.fullmatch(name):
        raise BadDelivery("missing-event", "X-GitHub-Event is missing or malformed.")
    content = _json_of(content_type, body)
    decoder = _DECODERS.get(name)
    try:
        if decoder is None:
            msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            return Unknown(name)
        return _event(decoder.decode(content))
    except msgspec.ValidationError as error:
        raise BadDelivery(
            "unexpected-payload", f"The {name} payload is not as GitHub sends it: {error}."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadDelivery("not-json", f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise BadDelivery("not-json", "The body is nested deeper than any delivery.") from None


def _json_of(content_type: str | None, body: bytes) -> bytes:
    """GitHub sends JSON, or a form with the JSON in its `payload` field."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return body
    if kind == "application/x-www-form-urlencoded":
        try:
            fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)
            return fields["payload"][0].encode()
        except (ValueError, KeyError):
            raise BadDelivery("not-a-form", "The form has no field `payload`.") from None
    raise BadDelivery(
        "unsupported-media-type",
        f"Content type {kind or 'none'!r} is not understood.",
        "Choose application/json in the webhook's settings.",
        status=415,
    )


def _event(payload: object) -> Event:
    match payload:
        case payloads.Push():
            repository = payload.repository
            return Push(
                repository=repository.full_name,
                private=repository.private,
                default_branch=repository.default_branch,
                installation_id=_installation(payload.installation),
                ref=payload.ref,
                before=payload.before,
                after=payload.after,
                deleted=payload.deleted,
                message=payload.head_commit.message if payload.head_commit else None,
                moved_at=_time(repository.pushed_at, "repository.pushed_at"),
            )
        case payloads.PullRequest():
            repository, details = payload.repository, payload.pull_request
            head = details.head
            return PullRequest(
                repository=repository.full_name,
                private=repository.private,
                default_branch=repository.default_branch,
                installation_id=_installation(payload.installation),
                action=payload.action,
                number=details.number,
                open=details.state == "open",
                draft=details.draft,
                head_sha=head.sha,
                head_ref=head.ref,
                fork=head.repo is None
                or head.repo.full_name.lower() != repository.full_name.lower(),
                moved_at=_time(details.updated_at, "pull_request.updated_at"),
                label=payload.label.name if payload.label is not None else "",
                actor=payload.sender.login if payload.sender is not None else "",
            )
        case payloads.IssueComment():
            comment = payload.comment
            return Comment(
                repository=payload.repository.full_name,
                action=payload.action,
                number=payload.issue.number,
                on_pull_request=payload.issue.pull_request is not None,
                comment_id=comment.id,
                author=comment.user.login if comment.user is not None else "",
                line=(comment.body or "").strip().partition("\n")[0].strip()[:_LONGEST_LINE],
                written_at=_time(comment.created_at, "comment.created_at"),
            )
        case payloads.Delete():
            pushed_at = payload.repository.pushed_at
            return BranchDeleted(
                repository=payload.repository.full_name,
                ref=payload.ref,
                ref_type=payload.ref_type,
                moved_at=_time(pushed_at, "repository.pushed_at"),
            )
        case payloads.InstallationEvent():
            return InstallationChanged(
                payload.installation.id,
                payload.action,
                _names(payload.repositories),
            )
        case payloads.InstallationRepositories():
            return InstallationChanged(
                payload.installation.id,
                payload.action,
                _names(payload.repositories_added),
                _names(payload.repositories_removed),
            )
        case payloads.RepositoryEvent():
            repository = payload.repository
            return RepositoryChanged(
                repository.full_name,
                repository.private,
                repository.default_branch,
                payload.action,
                _previous(payload),
            )
    return Ping()


def _previous(payload: payloads.RepositoryEvent) -> str:
    """`owner/name` before a renaming, or before it was handed over to another owner."""
    owner, _, name = payload.repository.full_name.partition("/")
    changes = payload.changes
    if changes is None:
        return ""
    if changes.repository is not None:
        return f"{owner}/{changes.repository.name.before}"
    if changes.owner is not None and (login := changes.owner.login):
        return f"{login}/{name}"
    return ""


def _names(repositories: list[payloads.RepositoryName] | None) -> tuple[str, ...]:
    return tuple(repository.full_name for repository in repositories or ())


def _installation(installation: payloads.Installation | None) -> int | None:
    return installation.id if installation is not None else None


def _time(value: int | str | None, field: str) -> int:
    """Milliseconds since 1970 of a time as GitHub writes it, either way."""
    if isinstance(value, int) and 0 <= value < 1 << 40:
        return value * 1000
    if isinstance(value, str):
        with contextlib.suppress(ValueError, OverflowError):
            time = datetime.fromisoformat(value)
            if time.tzinfo is not None:
                return int(time.timestamp() * 1000)
    raise BadDelivery("unexpected-payload", f"{field} is not a time: {value!r:.60}.")
