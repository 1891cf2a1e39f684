"""What gunicorn loads: `gunicorn --config python:bot.gunicorn_settings bot.wsgi:application`."""

from __future__ import annotations

from bot.app import create_app
from bot.observe import logs
from bot.settings import load

_settings = load()
logs.configure(_settings)
application = create_app(_settings)
