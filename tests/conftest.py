"""What every test gets: a home of its own, a clean environment, no network."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_server import FakeServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own joulebook home. The user's ledger and settings are out of reach."""
    for name in [name for name in os.environ if name.startswith("JOULEBOOK_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("JOULEBOOK_HOME", str(folder))
    return folder


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """The APIs of models, spoken by a server of this machine."""
    with FakeServer() as server:
        yield server


def _is_local(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _refuse_remote(host: object) -> None:
    if not _is_local(host):
        pytest.fail(f"a test reached for the network: {host!r}")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are not looked up and sockets are not opened, except on this machine itself."""
    lookup, connect = socket.getaddrinfo, socket.socket.connect

    def local_getaddrinfo(host, *args, **kwargs):
        _refuse_remote(host)
        return lookup(host, *args, **kwargs)

    def local_connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_remote(address[0])
        return connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", local_getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", local_connect)
