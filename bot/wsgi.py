"""What gunicorn loads: `gunicorn --config python:bot.gunicorn_settings bot.wsgi:application`."""

from __future__ import annotations

from bot import drivers
from bot.settings import load

_settings = load()
with drivers.only_needed(_settings):
    from bot.app import create_app
    from bot.observe import logs

logs.configure(_settings)
application = create_app(_settings)
