"""A project's stored variables, as one build gets them.

They are the base: what the framework needs and what deploystack.toml says comes above
the plain ones, for it belongs to the commit. Secret ones come above all but what the host
itself tells a build: whoever may push must not put a value of his own in their place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.builders.configuration import RESERVED
from bot.secret import Secret


@dataclass(frozen=True, kw_only=True)
class Variables:
    """`plain` may be seen by anybody who sees the site; `secret` by the build alone."""

    plain: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, Secret] = field(default_factory=dict)
    # The patterns of branches that secret ones were set for.
    patterns: tuple[str, ...] = ()

    def around(self, host: Mapping[str, str], commit: Mapping[str, str]) -> dict[str, str]:
        """A command's environment: of the host, of the project, of the commit, secrets."""
        reserved = {name: host[name] for name in RESERVED if name in host}
        revealed = {name: value.reveal() for name, value in self.secret.items()}
        return {**host, **self.plain, **commit, **revealed, **reserved}

    def shelf(self, whose: str) -> str:
        """What caches are kept apart by that have seen `whose` secrets; empty: there are none."""
        if not self.secret or not self.patterns:
            return whose if self.secret else ""
        patterns = hashlib.sha256("\n".join(self.patterns).encode()).hexdigest()
        return f"{whose}-{patterns[:16]}"

    @property
    def unusable(self) -> list[str]:
        """Names that the host keeps for itself: a project's own of that name are not used."""
        return sorted(RESERVED & {*self.plain, *self.secret})


NONE = Variables()
