"""Hourly factors from the services that sell them, asked by `joulebook factors fetch` and by nothing else.

    what is wanted ─> pieces of time that one request may have ─> answers ─> one CSV, as the service itself gives it out

The CSV is kept in the home and then imported like any other file, so that an auditor sees what came. It is written when
all has come. Keys are read from environment variables, and are written nowhere.

    electricitymaps   v3/carbon-intensity/past-range, life-cycle and direct     ELECTRICITYMAPS_TOKEN
    watttime          v3/historical, co2_moer                                   WATTTIME_USER, WATTTIME_PASSWORD
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode
from urllib.request import Request

from joulebook.accounting.asking import NoAnswer, answer_to
from joulebook.accounting.errors import InputError, NotFound

TIMEOUT_S = 60.0
REFUSED = (401, 403)
MOER_UNIT = "lbs_co2_per_mwh"


@dataclass(frozen=True)
class Wanted:
    """Which zone of the service, and from when until when (UTC without a zone). `address`: of the service."""

    zone: str
    start: datetime
    end: datetime
    address: str
    keys: Mapping[str, str]  # environment variables


class Service(NamedTuple):
    """Where a service is, the variables with its keys, how long a piece of time it gives at once, and its table."""

    address: str
    variables: tuple[str, ...]
    piece: timedelta
    table: Callable[[Wanted], str]


def fetched(form: str, wanted: Wanted) -> str:
    """The table of a service as CSV. Raises InputError without a key or a time, NotFound where nothing comes."""
    service = SERVICES[form]
    missing = [name for name in service.variables if not wanted.keys.get(name)]
    if missing:
        raise InputError(f"{form} is asked with a key: set the environment variable {' and '.join(missing)}")
    if wanted.start >= wanted.end:
        raise InputError(f"nothing lies between {wanted.start:%Y-%m-%d %H:%M} and {wanted.end:%Y-%m-%d %H:%M}")
    return service.table(wanted)


def _electricity_maps(wanted: Wanted) -> str:
    token = {"auth-token": wanted.keys["ELECTRICITYMAPS_TOKEN"]}
    told: dict[str, dict[str, Any]] = {}
    for kind in ("lifecycle", "direct"):
        for start, end in _pieces(wanted, SERVICES["electricitymaps"].piece):
            query = {"zone": wanted.zone, "start": start, "end": end, "emissionFactorType": kind}
            answer = _asked(wanted, "v3/carbon-intensity/past-range", query, token)
            for at, value in _rows(wanted, answer, "datetime", "carbonIntensity"):
                told.setdefault(at, {})[kind] = value
    header = ("Datetime (UTC)", "Zone id", "Carbon intensity gCO₂eq/kWh (direct)",
              "Carbon intensity gCO₂eq/kWh (Life cycle)")  # fmt: skip
    return _table(header, ((at, wanted.zone, each.get("direct"), each.get("lifecycle")) for at, each in told.items()))


def _watttime(wanted: Wanted) -> str:
    user, password = (wanted.keys[name] for name in SERVICES["watttime"].variables)
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    login = _asked(wanted, "login", {}, {"Authorization": f"Basic {basic}"})
    bearer = {"Authorization": f"Bearer {login.get('token')}"}
    told: dict[str, Any] = {}
    for start, end in _pieces(wanted, SERVICES["watttime"].piece):
        query = {"region": wanted.zone, "start": start, "end": end, "signal_type": "co2_moer"}
        answer = _asked(wanted, "v3/historical", query, bearer)
        meta: dict[str, Any] = answer.get("meta") or {}
        unit = meta.get("units")
        if unit != MOER_UNIT:
            raise NotFound(f"{wanted.address} answers in {unit!r} and not in {MOER_UNIT}; nothing was imported")
        told |= dict(_rows(wanted, answer, "point_time", "value"))
    return _table(("point_time", "value"), told.items())


def _pieces(wanted: Wanted, longest: timedelta) -> Iterator[tuple[str, str]]:
    start = wanted.start
    while start < wanted.end:
        end = min(start + longest, wanted.end)
        yield f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{end:%Y-%m-%dT%H:%M:%SZ}"
        start = end


def _asked(wanted: Wanted, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
    url = f"{wanted.address.rstrip('/')}/{path}" + (f"?{urlencode(query)}" if query else "")
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{wanted.address!r} is no address that begins with http:// or https://")
    try:
        answer = json.loads(answer_to(Request(url, headers={**headers, "User-Agent": "joulebook"}), TIMEOUT_S))  # noqa: S310 - http(s)
    except NoAnswer as error:
        hint = "the key is not taken" if error.status in REFUSED else f"is {wanted.zone!r} a zone of it?"
        raise NotFound(f"{wanted.address}/{path}: {error}; {hint}; nothing was imported") from error
    except ValueError as error:
        raise NotFound(f"{wanted.address}/{path} does not answer in JSON; nothing was imported") from error
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}


def _rows(wanted: Wanted, answer: Mapping[str, Any], at: str, value: str) -> list[tuple[str, Any]]:
    """When, and what; a value that is null stays one."""
    try:
        return [(str(row[at]), row[value]) for row in answer.get("data") or ()]
    except (TypeError, LookupError):
        raise NotFound(f"{wanted.address} answers without {at} and {value}; nothing was imported") from None


def _table(header: tuple[str, ...], rows: Any) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(sorted(rows))
    return text.getvalue()


SERVICES = {
    "electricitymaps": Service(
        "https://api.electricitymaps.com", ("ELECTRICITYMAPS_TOKEN",), timedelta(days=10), _electricity_maps
    ),
    "watttime": Service(
        "https://api.watttime.org", ("WATTTIME_USER", "WATTTIME_PASSWORD"), timedelta(days=31), _watttime
    ),
}
