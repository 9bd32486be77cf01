"""What listens on this machine for this machine: the receiver of traces, the meter before a server.

It is bound to the loopback interface, and answers to names of this machine alone, so that no page of the web can reach
it through a name of its own that points here.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joulebook.accounting.errors import InputError

LOOPBACK = "127.0.0.1"
LINGER_S, LINGER_PIECES = 0.2, 64  # for what a sender still sends after its answer


class Refused(Exception):
    """A request that is not taken: a status of HTTP and why, in one sentence."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class LoopbackServer(ThreadingHTTPServer):
    """A server on a port of the loopback interface; 0: any that is free. Raises InputError where the port is taken."""

    request_queue_size = 128

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        try:
            super().__init__((LOOPBACK, port), handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"cannot listen on {LOOPBACK}:{port}: {error}; try --port 0 for a free one") from error
        self.url = f"http://{LOOPBACK}:{self.server_port}"

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection so that its answer arrives: what came and was not read would break it off."""
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.settimeout(LINGER_S)
            for _ in range(LINGER_PIECES):
                if not request.recv(65_536):
                    break
        self.close_request(request)

    def check_host(self, host: str | None) -> None:
        """Raises Refused for a request that does not name this machine."""
        if (host or "").lower() not in {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost", "[::1]")}:
            raise Refused(HTTPStatus.FORBIDDEN, "this answers to 127.0.0.1 and localhost alone")


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that logs nothing: addresses may carry what is not ours to tell."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        del format, args


def body_of(request: BaseHTTPRequestHandler, most_bytes: int) -> bytes:
    """The body of a request. Raises Refused for one of unknown length, a longer one, or one that does not come."""
    length = request.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdecimal()):
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "say the length of the body")
    if int(length) > most_bytes:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {most_bytes} bytes")
    try:
        body = request.rfile.read(int(length))
    except TimeoutError:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from None
    if len(body) < int(length):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is shorter than was said")
    return body
