"""What the API needs of the rest of the bot; `bot.app` puts it together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.control import Control
from bot.events import Bus
from bot.github.client import Client
from bot.models.database import Database
from bot.settings import Settings
from bot.storage.store import Store


@dataclass(frozen=True)
class Services:
    """`build_now` brings a queued build to its end, here and now.

    `code_host` makes a client of the code host for one thread; `None`: no credentials.
    """

    control: Control
    build_now: Callable[[str], None]
    code_host: Callable[[], Client | None] = lambda: None

    @property
    def settings(self) -> Settings:
        return self.control.settings

    @property
    def database(self) -> Database:
        return self.control.database

    @property
    def store(self) -> Store:
        return self.control.store

    @property
    def bus(self) -> Bus:
        return self.control.bus

    @property
    def wake(self) -> Callable[[Sequence[str]], None]:
        return self.control.wake

    @property
    def tell(self) -> Callable[[], None]:
        return self.control.tell
