"""What gunicorn loads: `gunicorn --config python:bot.gunicorn_settings bot.wsgi:application`."""

from __future__ import annotations

from bot.app import create_app
from bot.settings import load

application = create_app(load())
