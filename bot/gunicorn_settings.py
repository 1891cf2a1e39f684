"""gunicorn's configuration, from our settings.

https://docs.gunicorn.org/en/stable/settings.html
"""

from __future__ import annotations

from bot.settings import load

_settings = load()

bind = f"{_settings.HOST}:{_settings.PORT}"
workers = _settings.WEB_WORKERS
worker_class = "gthread"
threads = _settings.WEB_THREADS
# Loaded once, before the fork: the workers share the code's memory.
preload_app = True
keepalive = 15
timeout = 60
graceful_timeout = 3
# Requests in the backlog wait; GitHub gives up after 10 seconds.
backlog = 1024
accesslog = None
loglevel = "warning"
# Heartbeat files on a disk can block a worker for as long as the disk does.
worker_tmp_dir = "/dev/shm"  # noqa: S108
no_control_socket = True
