"""A client that stalls gives its thread back."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from bot.slow_clients import bound_silence


def send(peer: socket.socket) -> None:
    peer.recv(1)


def take(peer: socket.socket) -> None:
    peer.sendall(bytes(64 << 20))


@pytest.mark.parametrize("expect", [send, take])
def test_a_silent_connection_is_given_up(expect: Callable[[socket.socket], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bound_silence(listener, 1)
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                accepted.setblocking(True)  # as gunicorn does it
                with pytest.raises(BlockingIOError):
                    expect(accepted)
