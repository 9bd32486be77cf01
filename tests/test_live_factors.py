"""`joulebook factors fetch`: what a service is asked, what is kept of its answers, and when nothing is imported."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from joulebook.accounting.factors.series import load_series
from joulebook.cli import main
from joulebook.collectors.api.loopback import LoopbackServer, QuietHandler

HOUR = timedelta(hours=1)


class _Service(QuietHandler):
    """Both services: an hour's value is the hour of its day, twice that for life-cycle."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        server: Any = self.server
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        server.asked.append((url.path, query, dict(self.headers)))
        status = server.refusals.pop(0) if server.refusals else HTTPStatus.OK
        body = server.instead or json.dumps(self.answer(url.path, query)).encode()
        self.send_response(status)
        if status == HTTPStatus.FOUND:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        server: Any = self.server
        if path == "/login":
            return {"token": "of the day"}
        start, end = (datetime.fromisoformat(query[name]) for name in ("start", "end"))
        hours = [start + n * HOUR for n in range(int((end - start) / HOUR))]
        if path == "/v3/historical":
            rows = [{"point_time": f"{hour:%Y-%m-%dT%H:%M:%S+00:00}", "value": 1000 + hour.hour} for hour in hours]
            return {"data": rows, "meta": {"units": server.unit}}
        times = 2 if query["emissionFactorType"] == "lifecycle" else 1
        rows = [{"datetime": f"{hour:%Y-%m-%dT%H:%M:%S.000Z}", "carbonIntensity": times * hour.hour} for hour in hours]
        return {"zone": query["zone"], "data": rows}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", "planted-token")
    monkeypatch.setenv("WATTTIME_USER", "me")
    monkeypatch.setenv("WATTTIME_PASSWORD", "planted-password")
    with LoopbackServer(0, _Service) as server:
        running: Any = server
        running.asked, running.refusals, running.instead, running.unit = [], [], b"", "lbs_co2_per_mwh"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield running
        server.shutdown()
        thread.join()


def fetch(server: Any, form: str, *more: str, since: str = "2026-01-01", until: str = "2026-01-02") -> int:
    words = ["factors", "fetch", "--format", form, "--region", "FR", "--since", since, "--until", until]
    return main([*words, "--address", server.url, *more])


def test_electricity_maps_is_asked_in_pieces_of_ten_days(
    service: Any, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """24 days in three pieces, life-cycle and direct; noon is 12 g at the stack and 24 over the life."""
    assert fetch(service, "electricitymaps", "--zone", "FR-x", "--json", until="2026-01-25") == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["kind"]: row["values"] for row in told} == {
        "carbon_intensity": 24 * 24, "carbon_intensity_direct": 24 * 24}  # fmt: skip
    first, *_, last = service.asked
    assert len(service.asked) == 6
    assert first[1] == {"zone": "FR-x", "start": "2026-01-01T00:00:00Z", "end": "2026-01-11T00:00:00Z",
                        "emissionFactorType": "lifecycle"}  # fmt: skip
    assert (last[1]["start"], last[1]["emissionFactorType"]) == ("2026-01-21T00:00:00Z", "direct")
    noon = {series.kind: series.spells[12].mid for series in load_series(home)}
    assert noon == {"carbon_intensity": 24, "carbon_intensity_direct": 12}
    assert (home / "fetched" / "electricitymaps-FR-x-20260101T00-20260125T00.csv").exists()


def test_watttime_is_asked_with_a_token_of_its_own(service: Any, home: Path) -> None:
    """1,012 lb/MWh at noon are 459.04 g/kWh, marginal."""
    assert fetch(service, "watttime", "--zone", "CAISO_NORTH") == 0
    (login, historical) = service.asked
    assert login[2]["Authorization"] == "Basic " + base64.b64encode(b"me:planted-password").decode()
    assert historical[2]["Authorization"] == "Bearer of the day"
    assert historical[1]["region"] == "CAISO_NORTH"
    (series,) = load_series(home)
    assert series.kind == "carbon_intensity_marginal"
    assert series.spells[12].mid == pytest.approx(1012 * 0.45359237)


def test_keys_are_written_nowhere(service: Any, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    service.refusals = [HTTPStatus.UNAUTHORIZED]
    assert fetch(service, "electricitymaps") == 3
    assert fetch(service, "electricitymaps") == 0
    assert fetch(service, "watttime") == 0
    out, err = capfd.readouterr()
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"planted" not in kept + out.encode() + err.encode()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((HTTPStatus.UNAUTHORIZED, b""), "it answered 401 Unauthorized; the key is not taken; nothing was imported"),
        ((HTTPStatus.NOT_FOUND, b""), "it answered 404 Not Found; is 'FR' a zone of it?"),
        ((HTTPStatus.FOUND, b""), "it answered 302 Found"),
        ((HTTPStatus.OK, b"<html>"), "does not answer in JSON"),
        ((HTTPStatus.OK, b'{"data": [{"at": 1}]}'), "answers without datetime and carbonIntensity"),
        ((HTTPStatus.OK, b'{"data": []}'), "has no row with a value; nothing was imported"),
    ],
)
def test_what_does_not_come_leaves_nothing_imported(
    service: Any, home: Path, capsys: pytest.CaptureFixture[str], answer: tuple[HTTPStatus, bytes], says: str
) -> None:
    service.refusals, service.instead = [HTTPStatus.OK, answer[0]], answer[1]
    assert fetch(service, "electricitymaps", until="2026-01-15") in (2, 3)
    assert says in capsys.readouterr().err
    assert load_series(home) == ()


def test_another_unit_is_not_taken_for_pounds(service: Any, capsys: pytest.CaptureFixture[str]) -> None:
    service.unit = "kg_co2_per_mwh"
    assert fetch(service, "watttime") == 3
    assert "answers in 'kg_co2_per_mwh' and not in lbs_co2_per_mwh" in capsys.readouterr().err


def test_nobody_is_asked_without_a_key_a_time_or_a_place(
    service: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(service, "electricitymaps", since="2026-02-01") == 2
    assert fetch(service, "own") == 2
    nowhere = ["--region", "Atlantis", "--zone", "CAISO_NORTH", "--address", service.url]
    assert main(["factors", "fetch", "--format", "watttime", *nowhere, "--since", "2026-01-01"]) == 2
    monkeypatch.delenv("ELECTRICITYMAPS_TOKEN")
    assert fetch(service, "electricitymaps") == 2
    said = capsys.readouterr().err
    assert "nothing lies between 2026-02-01 00:00 and 2026-01-02 00:00" in said
    assert "set the environment variable ELECTRICITYMAPS_TOKEN" in said
    assert service.asked == []
