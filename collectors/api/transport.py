"""Transports of `httpx` and `httpx2` that see every attempt of an SDK's requests, and clients that have them.

    client of the SDK ─> Observing ─> the transport inside: the network, a proxy, the user's own
                            └─ a POST is watched: its answer is teed on its way through

An SDK takes them by its public argument: `openai.OpenAI(http_client=joulebook.http_client())`. What it reads is what
came, byte for byte and piece for piece. Time-outs, proxies and limits are those of the transport inside and of the SDK.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from joulebook.accounting.errors import InputError, MissingExtra
from joulebook.collectors import sampler
from joulebook.collectors.api import streams
from joulebook.collectors.api.watch import Asked, Client, Watch, teed, teed_async

LIBRARIES = ("httpx2", "httpx")
# What a client hands on to the transport that it makes.
_OF_TRANSPORT = ("verify", "cert", "trust_env", "http1", "http2", "limits")
# As many connections as the SDKs of OpenAI and Anthropic allow themselves.
MAX_CONNECTIONS, MAX_KEPT = 1000, 100
KEPT_ALIVE_S = 60  # a quiet connection is probed: an answer may take minutes
BEDROCK_COUNTS = {
    "x-amzn-bedrock-input-token-count": "input_tokens",
    "x-amzn-bedrock-output-token-count": "output_tokens",
}
_HEADERS = {b"content-type", b"content-encoding", *(name.encode() for name in BEDROCK_COUNTS)}


def http_client(
    *,
    library: str | None = None,
    provider: str | None = None,
    project: str | None = None,
    tags: Mapping[str, str] | None = None,
    **settings: Any,
) -> Any:
    """A client whose calls of model APIs are recorded; `**settings` are those of `httpx.Client`.

    library: "httpx2" or "httpx", where an SDK takes only one of them; else httpx2 where it is installed.
    provider: whose API it is, where its address does not say so: a proxy, a server of one's own.
    project, tags: of its calls; else those of the span around them.
    """
    client = Client("http", provider, project, tuple((tags or {}).items()))
    return _client(_module(library), "", client, settings)


def async_http_client(
    *,
    library: str | None = None,
    provider: str | None = None,
    project: str | None = None,
    tags: Mapping[str, str] | None = None,
    **settings: Any,
) -> Any:
    """The same for asyncio: `httpx.AsyncClient`."""
    client = Client("http", provider, project, tuple((tags or {}).items()))
    return _client(_module(library), "Async", client, settings)


def transport(inner: Any = None, client: Client | None = None, library: str | None = None) -> Any:
    """A transport that records what passes through it to the one inside, for a client that one makes oneself."""
    module = _module(library)
    return _observing(module.__name__, "")(inner or module.HTTPTransport(), client or Client())


def async_transport(inner: Any = None, client: Client | None = None, library: str | None = None) -> Any:
    """The same for asyncio."""
    module = _module(library)
    return _observing(module.__name__, "Async")(inner or module.AsyncHTTPTransport(), client or Client())


def _module(library: str | None) -> Any:
    if library is not None and library not in LIBRARIES:
        raise InputError(f"the library is {library!r}, which is none of {', '.join(LIBRARIES)}")
    for name in LIBRARIES if library is None else (library,):
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise MissingExtra("a client that records its calls", "http")


def _client(module: Any, kind: str, client: Client, settings: dict[str, Any]) -> Any:
    """A client of the library, all of whose ways lead through us. `kind`: "" or "Async"."""
    ours = _observing(module.__name__, kind)
    settings.setdefault("follow_redirects", True)
    settings.setdefault("limits", module.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_KEPT))
    own = getattr(module, f"{kind}HTTPTransport")
    shared = {name: settings[name] for name in _OF_TRANSPORT if name in settings} | {"socket_options": _keep_alive()}
    proxy, inner, mounts = settings.pop("proxy", None), settings.pop("transport", None), settings.pop("mounts", None)
    proxies = _proxies() if proxy is None and inner is None and settings.get("trust_env", True) else {}
    ways = {pattern: own(proxy=url, **shared) if url else None for pattern, url in proxies.items()} | dict(mounts or {})
    return getattr(module, f"{kind}Client")(
        transport=ours(inner or own(proxy=proxy, **shared), client),
        mounts={pattern: None if way is None else ours(way, client) for pattern, way in ways.items()},
        **settings,
    )


def _keep_alive() -> list[tuple[int, int, int]]:
    import socket

    names = {"TCP_KEEPIDLE": KEPT_ALIVE_S, "TCP_KEEPINTVL": KEPT_ALIVE_S, "TCP_KEEPCNT": 5}
    probes = [
        (socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in names.items() if hasattr(socket, name)
    ]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *probes]


def _proxies() -> dict[str, str | None]:
    """The proxies of the environment: the library does not look for them where it is given a transport."""
    from urllib.request import getproxies

    told = getproxies()
    past = [host.strip() for host in told.get("no", "").split(",") if host.strip()]
    if "*" in past:
        return {}
    urls = {f"{scheme}://": told[scheme] for scheme in ("http", "https", "all") if told.get(scheme)}
    with_scheme = {way: url if "://" in url else f"http://{url}" for way, url in urls.items()}
    return {**with_scheme, **{_past(host): None for host in past if "/" not in host or "://" in host}}


def _past(host: str) -> str:
    """The pattern of what goes past a proxy. A name means all inside it, too."""
    import ipaddress

    if "://" in host:
        return host
    try:
        is_ipv6 = ipaddress.ip_address(host.strip("[]")).version == 6
    except ValueError:
        is_whole = host.lower() == "localhost" or host.startswith("*.")
        return f"all://{host}" if is_whole else f"all://*{host}"
    return f"all://[{host.strip('[]')}]" if is_ipv6 else f"all://{host}"


class Body:
    """The body of an answer on its way to who reads it."""

    def __init__(self, inner: Any, watch: Watch) -> None:
        self._inner, self._watch = inner, watch

    def __iter__(self) -> Iterator[bytes]:
        return teed(self._inner, self._watch)

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._watch.finish()

    def __del__(self) -> None:
        self._watch.finish()


class _AsyncBody:
    """The same for asyncio."""

    def __init__(self, inner: Any, watch: Watch) -> None:
        self._inner, self._watch = inner, watch

    def __aiter__(self) -> AsyncIterator[bytes]:
        return teed_async(self._inner, self._watch)

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._watch.finish()

    def __del__(self) -> None:
        self._watch.finish()


class _Observing:
    """Records the calls that pass through it. `module`, `body`: of the library that it is made for."""

    module: Any
    body: Any

    def __init__(self, inner: Any, client: Client) -> None:
        self._inner, self._client = inner, client

    def handle_request(self, request: Any) -> Any:
        watch = sampler.attempt("call", None, _begun, self._client, request, self.module)
        if watch is None:
            return self._inner.handle_request(request)
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            watch.broke(error)
            raise
        sampler.attempt("call", None, _answered, watch, response, self)
        return response

    def close(self) -> None:
        self._inner.close()


class _AsyncObserving(_Observing):
    """The same for asyncio."""

    async def handle_async_request(self, request: Any) -> Any:
        watch = sampler.attempt("call", None, _begun, self._client, request, self.module)
        if watch is None:
            return await self._inner.handle_async_request(request)
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            watch.broke(error)
            raise
        sampler.attempt("call", None, _answered, watch, response, self)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


@cache
def _observing(library: str, kind: str) -> Any:
    """The transport of a library, which is loaded now and not before. `kind`: "" or "Async"."""
    module = importlib.import_module(library)
    observing, body = (_AsyncObserving, _AsyncBody) if kind else (_Observing, Body)
    own = type(f"{kind}Body", (body, getattr(module, f"{kind or 'Sync'}ByteStream")), {})
    base = getattr(module, f"{kind}BaseTransport")
    return type(f"{kind}Observing", (observing, base), {"module": module, "body": own})


def _begun(client: Client, request: Any, module: Any) -> Watch | None:
    """Watches a POST: nothing else asks a model for something."""
    if request.method != "POST":
        return None
    try:
        body = request.content
    except module.RequestNotRead:  # a stream, e.g. of a file: it is not ours to read
        body = None
    host, retry = request.url.netloc.decode("ascii"), request.headers.get("x-stainless-retry-count")
    return Watch(client, Asked(host, request.url.path, body, retry))


def _answered(watch: Watch, response: Any, observing: _Observing) -> None:
    headers = {
        name: value.decode("latin-1") for raw, value in response.headers.raw if (name := raw.lower()) in _HEADERS
    }
    watch.status = response.status_code
    watch.kind = streams.kind_of(headers.pop(b"content-type", ""))
    if headers:  # which is rare
        watch.counts = counts_in({name.decode(): value for name, value in headers.items()})
    if response.is_stream_consumed:  # a transport of the user's own that had it all at once
        watch.hear(response.content)
        watch.end()
        return
    if b"content-encoding" in headers:
        watch.encoding, watch.decode = headers[b"content-encoding"], _decoder(observing.module)
    response.stream = observing.body(response.stream, watch)


def counts_in(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What Bedrock's headers say of an answer that may not say it itself."""
    told = ((unit, headers.get(name, "")) for name, unit in BEDROCK_COUNTS.items())
    return tuple((unit, value) for unit, value in told if value.isdecimal())


def _decoder(module: Any) -> Any:
    """How the library undoes what a server compressed, for a copy: only it knows what it asked the server for."""

    def decode(pieces: Sequence[bytes], encoding: str) -> Iterator[tuple[int, bytes]]:
        now = 0

        def fed() -> Iterable[bytes]:
            nonlocal now
            for now, piece in enumerate(pieces):  # noqa: B007 - read below
                yield piece

        try:
            for piece in module.Response(200, headers={"content-encoding": encoding}, content=fed()).iter_bytes():
                yield now, piece
        except module.DecodingError:  # left in the middle, or broken: what came before that is there
            return

    return decode
