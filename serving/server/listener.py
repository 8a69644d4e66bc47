"""The socket that a server listens on."""

import socket

from configs.errors import PairstreamError

__all__ = ["address_of", "listen"]

_BACKLOG = 2048
"""Connections that wait to be accepted; the system may allow fewer."""


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket; port 0 takes any that is free.

    Raises:
        PairstreamError: if the address cannot be used.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        raise PairstreamError(
            f"cannot listen on {host}:{port}: {error}. Is another server running?"
            " Choose another --port or --host"
        ) from error


def address_of(listener: socket.socket) -> str:
    """Returns `host:port` as it stands in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
