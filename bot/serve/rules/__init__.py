"""What a project says about its addresses: redirects, rewrites, headers, clean URLs.

Pure: text goes in, compiled rules and warnings that name the line come out.
"""

from __future__ import annotations

from bot.serve.rules.files import rules_of
from bot.serve.rules.model import NO_RULES, Asked, Hit, Rules

__all__ = ["NO_RULES", "Asked", "Hit", "Rules", "rules_of"]
