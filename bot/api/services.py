"""What the API needs of the rest of the bot; `bot.app` puts it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.events import Bus
from bot.models.database import Database
from bot.settings import Settings
from bot.storage.store import Store


@dataclass(frozen=True)
class Services:
    """`wake` tells workers of queued builds; `build_now` brings one to its end, here and now.

    `tell` has the code host told what a change has written into the outbox.
    """

    settings: Settings
    database: Database
    store: Store
    bus: Bus
    wake: Callable[[Sequence[str]], None]
    build_now: Callable[[str], None]
    tell: Callable[[], None] = lambda: None
