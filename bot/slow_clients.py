"""Bounds how long a silent client can keep one of the web process's threads.

A thread reads a request's body as it comes and sends its answer as it is taken. A client
that is gone without a word would keep it for ever. One that sends a byte now and then
still can: a server in front, which buffers, is for that (docs/api.md).
"""

from __future__ import annotations

import socket
import struct

SILENCE = 60  # seconds


def bound_silence(listener: socket.socket, seconds: int = SILENCE) -> None:
    """End what neither sends nor takes a byte for so long, in the middle of a request.

    Accepted sockets inherit it. https://man7.org/linux/man-pages/man7/socket.7.html
    """
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", seconds, 0))
