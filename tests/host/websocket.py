"""Just enough of the WebSocket protocol (RFC 6455) to listen to what ComfyUI tells a browser."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listen(port: int, client: str, silence: float = 2) -> Iterator[Iterator[bytes]]:
    """Connect as `client`; yields the payloads as they come, and ends them when the server is silent for so many s."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET /ws?clientId={client} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        stream = connection.makefile("rb")
        while stream.readline() not in (b"\r\n", b""):
            pass
        connection.settimeout(silence)
        yield _payloads(stream)


def _payloads(stream: socket.SocketIO) -> Iterator[bytes]:  # type: ignore[name-defined]
    while True:
        try:
            head = stream.read(2)
            if len(head) < 2:
                return
            length = head[1] & 127
            if length == 126:
                (length,) = struct.unpack(">H", stream.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", stream.read(8))
            yield stream.read(length)
        except TimeoutError:
            return


def text_on_node(payload: bytes) -> tuple[str, str] | None:
    """(node id, text) of a payload that puts text on a node of the pack; None for any other."""
    message = json.loads(payload) if payload.startswith(b"{") else {}
    data = message.get("data") if message.get("type") == "executed" else None
    shown = ((data or {}).get("output") or {}).get("note")
    return (data["node"], "\n".join(shown)) if data and shown else None
