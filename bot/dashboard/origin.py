"""One process, two origins: what comes in on the dashboard's port is the dashboard's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.settings import Settings

WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Any]


def on_own_port(
    settings: Settings, dashboard: WsgiApplication, others: WsgiApplication
) -> WsgiApplication:
    """`dashboard` on DASHBOARD_PORT, `others` on every other port.

    By the port that the server listens on (PEP 3333's SERVER_PORT), never by what the
    request says of itself.
    """
    if not settings.DASHBOARD_PORT:
        return others
    port = str(settings.DASHBOARD_PORT)

    def route(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        chosen = dashboard if environ.get("SERVER_PORT") == port else others
        return chosen(environ, start_response)

    return route
