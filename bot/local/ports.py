"""Whether a port of this machine can be listened on."""

from __future__ import annotations

import socket


def reason_against(host: str, port: int) -> str:
    """Why a port cannot be listened on, in the system's words; empty: it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def can_listen(host: str, port: int) -> bool:
    return not reason_against(host, port)
