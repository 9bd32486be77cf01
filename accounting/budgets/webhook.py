"""An alert on its way out: a POST of JSON to a webhook, or through Apprise.

It goes to who was named and nowhere else: no redirect is followed. Addresses hold secrets: only the scheme and the
host are ever shown.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import Request

from joulebook.accounting.asking import NoAnswer, answer_to
from joulebook.accounting.budgets.written import Notify
from joulebook.accounting.errors import InputError, MissingExtra

Environment = Mapping[str, str]


class NotSent(Exception):
    """An alert did not arrive, and why."""


class Target(NamedTuple):
    """Who is told: an address, how it is shown, and what sends the text and the facts there."""

    address: str
    shown: str
    send: Callable[[str, Mapping[str, Any]], None]


def targets(notify: Notify, environment: Environment) -> list[Target]:
    """All that the file and the environment name. Raises InputError for an address that cannot be one."""
    webhooks = [notify.webhook, environment.get("JOULEBOOK_WEBHOOK")]
    others = [*notify.apprise, *environment.get("JOULEBOOK_APPRISE", "").split()]
    found = [_webhook(url, notify.timeout_s) for url in dict.fromkeys(filter(None, webhooks))]
    return [*found, *(Target(url, f"{url.partition(':')[0]} (Apprise)", partial(_apprise, url))
                      for url in dict.fromkeys(others))]  # fmt: skip


def _webhook(url: str, timeout_s: float) -> Target:
    try:
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError as error:
        raise InputError(f"the webhook is no address: {error}; write https://example.com/hook") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("the webhook is no address that begins with http:// or https:// and names a host")
    return Target(url, shown, partial(_post, url, timeout_s))


def _post(url: str, timeout_s: float, _: str, facts: Mapping[str, Any]) -> None:
    post(url, facts, timeout_s)


def post(url: str, facts: Mapping[str, Any], timeout_s: float) -> None:
    """Send facts as JSON. Raises NotSent unless the answer is a 2xx in time."""
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "joulebook"}
    request = Request(url, json.dumps(facts, allow_nan=False).encode(), headers, method="POST")  # noqa: S310 - http(s)
    try:
        answer_to(request, timeout_s)
    except NoAnswer as error:
        raise NotSent(str(error)) from error


def _apprise(url: str, text: str, _: Mapping[str, Any]) -> None:
    """Raises MissingExtra without Apprise, NotSent where it does not know the address or was refused."""
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise MissingExtra("an alert through Apprise", "alerts") from error
    logging.getLogger("apprise").addHandler(logging.NullHandler())  # what it says of an address may hold its secret
    room: Any = apprise.Apprise()
    if not room.add(url):
        raise NotSent("Apprise does not know such an address")
    if not room.notify(title="joulebook", body=text, body_format=apprise.NotifyFormat.TEXT):
        raise NotSent("Apprise could not deliver it")
