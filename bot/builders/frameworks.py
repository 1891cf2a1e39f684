"""The table of frameworks: data, one row each, more specific rows first.

What a row means is written down in `framework`; what is made of it is `detect`'s
affair.
"""

from __future__ import annotations

from bot.builders.framework import Framework
from bot.builders.generators import GENERATORS, SERVERS
from bot.builders.node_frameworks import NODE_FRAMEWORKS

FRAMEWORKS: tuple[Framework, ...] = (*NODE_FRAMEWORKS, *GENERATORS, *SERVERS)

__all__ = ["FRAMEWORKS", "GENERATORS", "NODE_FRAMEWORKS", "SERVERS", "Framework"]
