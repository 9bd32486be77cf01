"""A meter before a local inference server: clients talk to it, it talks to the server and notes each call.

    client ─> the meter, on 127.0.0.1 ─> the server ─> its answer, piece by piece as it comes ─> client
                                                └─ teed: one `call` in the journal, of the run that the server is

The server is a run (`wrap`): its whole tree of processes, and the sensors of the node. The calls are in it, and so the
ledger can share its energy over them (`joulebook.accounting.served`). Its counters are read once a second, and where
idle time ends and begins again. What the meter itself uses is not the run's.

Bodies pass as they are. Two headers change: `Host`, and `Accept-Encoding`, so that the answer can be read. A client
that goes away takes its request from the server, too.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import ip_address
from queue import SimpleQueue
from select import POLLIN, poll
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from joulebook.accounting.errors import InputError
from joulebook.collectors import sampler
from joulebook.collectors.api import streams
from joulebook.collectors.api.loopback import LoopbackServer, QuietHandler, Refused, body_of
from joulebook.collectors.api.watch import Asked, Client, Watch, teed

MOST_BYTES = 256_000_000  # of a request: images are sent in it
PIECE_BYTES = 65_536
READ_AGAIN_S = 0.02  # after a reading
LEAVE_S = 2.0  # for calls under way, once the server is gone
CLIENT = Client(source="server")
# What is between two neighbours, and no part of the message.
OF_CONNECTION = frozenset((
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "expect", "host", "accept-encoding", "content-length",
))  # fmt: skip


class Upstream(NamedTuple):
    """Where the server listens."""

    host: str
    port: int


class Gone(Exception):
    """The client does not wait for its answer any more."""


class Meter(LoopbackServer):
    """The proxy. `upstream`: the server behind it; `under_way`: for whom it asks, and on which connection."""

    daemon_threads = True
    block_on_close = False  # connections that clients keep open are no work

    def __init__(self, port: int, upstream: Upstream) -> None:
        super().__init__(port, _Handler)
        self.upstream = upstream
        self.under_way: dict[socket.socket, socket.socket] = {}
        self._turn = threading.Lock()
        self._calls = 0
        self._edges: SimpleQueue[bool] = SimpleQueue()

    @contextmanager
    def busy(self) -> Generator[None]:
        """While a call is under way. Where idle time ends, and where it begins again, the counters are read."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._turn:
            before, self._calls = self._calls, self._calls + more
            if 0 in (before, self._calls):
                self._edges.put(True)

    def _read_at_edges(self) -> None:
        """On a thread of its own: no call waits for a reading."""
        read_s = 0.0
        while self._edges.get():
            if time.monotonic() - read_s >= READ_AGAIN_S:
                sampler.attempt("meter", None, sampler.recorder().tick)
                read_s = time.monotonic()

    @contextmanager
    def serving(self) -> Generator[None]:
        """At work while the server is; at the end, calls that are under way are noted as what they have become."""
        names = {self._read_at_edges: "joulebook-edges", partial(self.serve_forever, 0.05): "joulebook-meter"}
        threads = [threading.Thread(target=work, name=name, daemon=True) for work, name in names.items()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self._leave()
            self._edges.put(False)
            for thread in threads:
                thread.join()

    def _leave(self) -> None:
        self._wait()
        for both in tuple(self.under_way.items()):  # one of them neither reads nor answers
            for one in both:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._wait()

    def _wait(self) -> None:
        until_s = time.monotonic() + LEAVE_S
        while self.under_way and time.monotonic() < until_s:
            time.sleep(0.01)


def upstream_of(url: str | None, command: Sequence[str]) -> Upstream:
    """Where the server listens: as it was given, else on the port in its command. Raises InputError."""
    if url is None:
        port = _port_in(command)
        if port is None:
            raise InputError("the command names no --port: say where it listens, --upstream http://127.0.0.1:8001")
        url = f"http://127.0.0.1:{port}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError as error:
        raise InputError(f"--upstream {url!r} is no address: {error}") from None
    if parts.scheme != "http" or parts.path not in ("", "/") or not _is_here(host):
        raise InputError(f"--upstream {url!r} is not like http://127.0.0.1:8001: a server on this machine, no path")
    return Upstream(host, port)


def _port_in(command: Sequence[str]) -> str | None:
    """What follows `--port` in a command."""
    for number, word in enumerate(command):
        name, equals, value = word.partition("=")
        if name == "--port":
            return value if equals else next(iter(command[number + 1 :]), None)
    return None


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class _Handler(QuietHandler):
    """One connection of a client, and the requests that come on it, one after the other."""

    server: Any
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:  # noqa: N802 - http.server's own name
        try:
            self._relay()
        finally:
            self.server.under_way.pop(self.connection, None)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_GET  # noqa: N815 - http.server's own names

    def _relay(self) -> None:
        try:
            self.server.check_host(self.headers.get("Host"))
            body = self._body()
        except Refused as refusal:
            self._refuse(refusal.status, str(refusal))
            return
        watch = self._watch(body)
        with nullcontext() if watch is None else self.server.busy():
            try:
                with closing(HTTPConnection(*self.server.upstream)) as connection:
                    self._pass_on(self._asked(connection, body), watch)
            except Gone:
                self.close_connection = True
            finally:
                if watch is not None:
                    watch.finish()

    def _body(self) -> bytes:
        if not self.path.startswith("/"):
            raise Refused(HTTPStatus.BAD_REQUEST, "ask for a path")
        is_with_body = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        return body_of(self, MOST_BYTES) if is_with_body else b""

    def _watch(self, body: bytes) -> Watch | None:
        """Nothing but a POST asks a model for something."""
        if self.command != "POST":
            return None
        host, port = self.server.upstream
        asked = Asked(f"{host}:{port}", urlsplit(self.path).path, body)
        return sampler.attempt("call", None, Watch, CLIENT, asked)

    def _asked(self, connection: HTTPConnection, body: bytes) -> HTTPResponse | Exception:
        """The server's answer, or why there is none. Raises Gone."""
        try:
            connection.connect()
            self.server.under_way[self.connection] = connection.sock
            connection.putrequest(self.command, self.path, skip_accept_encoding=True)
            for name, value in self._kept(self.headers.items()):
                connection.putheader(name, value)
            connection.putheader("Accept-Encoding", "identity")
            if body or self.command in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            self._await(connection.sock)
            return connection.getresponse()
        except (OSError, HTTPException, ValueError) as error:
            return error

    def _await(self, answer: socket.socket) -> None:
        """Until the server answers. Raises Gone when the client goes first."""
        waiting = poll()
        for one in (answer, self.connection):
            waiting.register(one, POLLIN)
        ready = {file for file, _ in waiting.poll()}
        if answer.fileno() not in ready and not self.connection.recv(1, socket.MSG_PEEK):
            raise Gone

    def _pass_on(self, answer: HTTPResponse | Exception, watch: Watch | None) -> None:
        if isinstance(answer, Exception):
            if watch is not None:
                watch.broke(answer)
            self._refuse(HTTPStatus.BAD_GATEWAY, f"the server does not answer on {self.server.upstream.port}")
            return
        pieces = _pieces(answer)
        if watch is not None:
            watch.status = answer.status
            watch.kind = streams.kind_of(answer.getheader("Content-Type", ""))
            watch.encoding = answer.getheader("Content-Encoding", "")
            pieces = teed(pieces, watch)
        try:
            self._answer(answer, pieces)
        except (OSError, HTTPException):  # the one or the other is gone: the rest can come to nobody
            self.close_connection = True

    def _answer(self, answer: HTTPResponse, pieces: Iterator[bytes]) -> None:
        has_body = self.command != "HEAD" and answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        length = answer.getheader("Content-Length")
        is_chunked = has_body and length is None and self.request_version != "HTTP/1.0"
        self.close_connection |= has_body and length is None and not is_chunked
        self.send_response_only(answer.status, answer.reason)
        for name, value in self._kept(answer.getheaders()):
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", length)
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _kept(self, headers: Any) -> Iterator[tuple[str, str]]:
        return ((name, value) for name, value in headers if name.lower() not in OF_CONNECTION)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        body = f"joulebook: {why}\n".encode()
        self.close_connection = True
        try:
            self.send_response_only(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            return  # nobody waits for it any more


def _pieces(answer: HTTPResponse) -> Iterator[bytes]:
    """What has come, as soon as it has come."""
    while piece := answer.read1(PIECE_BYTES):
        yield piece
    if answer.length:
        raise HTTPException("the answer ended in the middle")
