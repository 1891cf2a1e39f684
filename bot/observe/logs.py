"""How the bot's own log is written: lines for people, or JSON for machines.

Not in charge of builds' logs, which are their users' (`bot.builders.log`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from bot import __version__
from bot.errors import InvalidSetting
from bot.observe.context import ids
from bot.settings import Settings


def configure(settings: Settings) -> None:
    """Send everything that is logged to standard error, in the form that was chosen."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json() if settings.LOG_FORMAT == "json" else _Lines())
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(settings.LOG_LEVEL)
    # Huey announces every message at INFO; our own lines say more.
    logging.getLogger("huey").setLevel(logging.WARNING)
    if settings.LOG_FORMAT == "json":
        # gunicorn writes its own lines; they would be no JSON.
        for name in ("gunicorn.error", "gunicorn.access"):
            logging.getLogger(name).handlers.clear()
            logging.getLogger(name).propagate = True
    if settings.SENTRY_DSN:
        _report_errors(settings)


def _report_errors(settings: Settings) -> None:
    """Send what is logged as an error to Sentry, without request bodies or variables.

    https://docs.sentry.io/platforms/python/configuration/options/
    """
    try:
        import sentry_sdk
    except ModuleNotFoundError:
        raise InvalidSetting(
            "SENTRY_DSN", "needs a library that is not installed", "pip install sentry-sdk"
        ) from None
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN.reveal(),
        environment=settings.ENVIRONMENT,
        release=__version__,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
    )


class _Lines(logging.Formatter):
    """`time LEVEL logger message [build=… delivery=…]`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s%(ids)s")

    def format(self, record: logging.LogRecord) -> str:
        carried = " ".join(f"{name}={value}" for name, value in ids().items())
        record.ids = f" [{carried}]" if carried else ""
        return super().format(record)


def _json() -> logging.Formatter:
    """One JSON object a line. https://www.structlog.org/en/stable/standard-library.html"""
    import structlog

    def carry(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {**event, **ids()}

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            carry,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Without local variables: they may hold secrets.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
