"""The fields of GitHub's payloads that are used; all others are passed over unread.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# Names and SHAs become folders, addresses and git's arguments later: nothing but
# what GitHub itself allows gets past here. (`$` would let a line break follow.)
FullName = Annotated[
    str,
    Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_-]*/(?!\.{1,2}\Z)[A-Za-z0-9._-]+\Z", max_length=140),
]
Sha = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")]
# https://git-scm.com/docs/git-check-ref-format; and no name that reads as an option.
_REF = (
    r"\A(?!(?:refs/(?:heads|tags)/)?-)(?![./])"
    r"(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|\Z)|[/.]\Z))[^\x00-\x20\x7f~^:?*\[\\]+\Z"
)
RefName = Annotated[str, Meta(pattern=_REF, max_length=255)]
Word = Annotated[str, Meta(pattern=r"\A[a-z_]{1,64}\Z")]
Number = Annotated[int, Meta(ge=1, lt=1 << 31)]
# The largest that a database's BIGINT holds.
Identifier = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


# A login; those of Apps end in `[bot]`, those of managed users have an underscore.
Login = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]+(?:\[bot\])?\Z", max_length=100)]


class Installation(Struct, frozen=True):
    id: Identifier


class Repository(Struct, frozen=True):
    full_name: FullName
    private: bool
    default_branch: RefName
    # Seconds since 1970 in push events, a text elsewhere. When GitHub took the push.
    pushed_at: int | str | None = None


class Commit(Struct, frozen=True):
    message: str


class Push(Struct, frozen=True):
    ref: RefName
    before: Sha
    after: Sha
    repository: Repository
    deleted: bool = False
    head_commit: Commit | None = None
    installation: Installation | None = None


class HeadRepository(Struct, frozen=True):
    full_name: FullName


class Head(Struct, frozen=True):
    sha: Sha
    ref: RefName
    # Gone when the fork was deleted.
    repo: HeadRepository | None = None


class PullRequestDetails(Struct, frozen=True):
    number: Number
    state: Word
    head: Head
    updated_at: str
    draft: bool = False


class Account(Struct, frozen=True):
    login: Login


class Label(Struct, frozen=True):
    name: str


class PullRequest(Struct, frozen=True):
    action: Word
    pull_request: PullRequestDetails
    repository: Repository
    # The one that was put on or taken off, and by whom.
    label: Label | None = None
    sender: Account | None = None
    installation: Installation | None = None


class PullRequestLink(Struct, frozen=True):
    pass


class Issue(Struct, frozen=True):
    number: Number
    # There where the issue is a pull request.
    pull_request: PullRequestLink | None = None


class CommentDetails(Struct, frozen=True):
    id: Identifier
    body: str | None
    created_at: str
    user: Account | None = None


class IssueComment(Struct, frozen=True):
    action: Word
    issue: Issue
    comment: CommentDetails
    repository: Repository


class Delete(Struct, frozen=True):
    ref: RefName
    ref_type: Word
    repository: Repository
    installation: Installation | None = None


class RepositoryName(Struct, frozen=True):
    full_name: FullName


class InstallationEvent(Struct, frozen=True):
    action: Word
    installation: Installation
    repositories: list[RepositoryName] | None = None


class InstallationRepositories(Struct, frozen=True):
    action: Word
    installation: Installation
    repositories_added: list[RepositoryName] = []
    repositories_removed: list[RepositoryName] = []


# A name without its owner, and an owner's.
ShortName = Annotated[
    str, Meta(pattern=r"\A(?!\.{1,2}\Z)[A-Za-z0-9._-]+\Z", min_length=1, max_length=100)
]


class NameBefore(Struct, frozen=True, rename={"before": "from"}):
    before: ShortName


class NameChange(Struct, frozen=True):
    name: NameBefore


class OwnersBefore(Struct, frozen=True):
    user: Account | None = None
    organization: Account | None = None


class OwnerChange(Struct, frozen=True, rename={"before": "from"}):
    before: OwnersBefore

    @property
    def login(self) -> str:
        account = self.before.user or self.before.organization
        return account.login if account is not None else ""


class RepositoryChanges(Struct, frozen=True):
    repository: NameChange | None = None
    owner: OwnerChange | None = None


class RepositoryEvent(Struct, frozen=True):
    """https://docs.github.com/en/webhooks/webhook-events-and-payloads#repository"""

    action: Word
    repository: Repository
    changes: RepositoryChanges | None = None


class Ping(Struct, frozen=True):
    zen: str = ""
