"""One request over the network: to who was named and nowhere else, for no redirect is followed."""

from __future__ import annotations

from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener


class NoAnswer(Exception):
    """Why nothing came; the address, which may hold secrets, is not in it. `status`: of HTTP, where that came."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class _Stay(HTTPRedirectHandler):
    """To be sent elsewhere is an answer, and no arrival."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def answer_to(request: Request, timeout_s: float) -> bytes:
    """What comes back. Raises NoAnswer unless that is a 2xx in time."""
    try:
        with build_opener(_Stay).open(request, timeout=timeout_s) as answer:
            return answer.read()
    except HTTPError as error:
        error.close()
        raise NoAnswer(f"it answered {error.code} {error.reason}", error.code) from error
    except URLError as error:
        raise NoAnswer(f"it cannot be reached ({error.reason})") from error
    except (OSError, HTTPException, ValueError) as error:
        raise NoAnswer(f"it cannot be reached ({error or type(error).__name__})") from error
