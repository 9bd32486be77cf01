"""Pictures of the dashboard, to be looked at; and the browser that the browser tests use.

    python tests/screenshots.py --home DIR --out DIR

It starts the app on a free port of this machine, waits for content, saves Overview, Runs and one run in light, dark
and phone width, and ends with 1 if any request left 127.0.0.1 or the browser's console showed an error.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from joulebook.reports.dashboard import streamlit_flags

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DRAWN = "() => !document.querySelector('[data-stale=true], [class*=st-key-figure]:not(:has(.main-svg))')"
APP = Path(__file__).parents[1] / "reports" / "dashboard.py"
LOOKS = {"light": ("light", 1440, 1000), "dark": ("dark", 1440, 1000), "phone": ("light", 420, 900)}
START_S, WAIT_MS = 60, 60_000


@dataclass
class Seen:
    """What a browser did that it should not do."""

    strays: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@contextmanager
def serving(script: Path, **env: str) -> Iterator[str]:
    """The address of the app, running in a process of its own with the options of an installed joulebook."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}", "--server.headless=true"]
    with tempfile.TemporaryDirectory() as empty_folder:
        # Away from the checkout, so that its .streamlit/config.toml plays no part.
        server = subprocess.Popen(
            [*command, *streamlit_flags()], cwd=empty_folder, env=os.environ | env, stdout=subprocess.DEVNULL
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_healthy(server, f"{address}/_stcore/health")
            yield address
        finally:
            server.terminate()
            server.wait()


def _wait_until_healthy(server: subprocess.Popen, url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own http address
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the app did not start; its exit status is {server.poll()}")


@contextmanager
def browsing(look: str, seen: Seen) -> Iterator[Page]:
    """A page of a fresh browser in one of the looks; what strays or fails is noted in `seen`."""
    from playwright.sync_api import sync_playwright

    scheme, width, height = LOOKS[look]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=CHROMIUM_FLAGS,
            color_scheme=scheme,
            viewport={"width": width, "height": height},
        )
        yield _watched(context, seen)
        context.close()


def _watched(context: BrowserContext, seen: Seen) -> Page:
    page = context.pages[0]
    page.set_default_timeout(WAIT_MS)
    page.on("request", lambda request: _is_local(request.url) or seen.strays.append(request.url))
    page.on("console", lambda message: _is_complaint(message) and seen.errors.append(message.text))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    return page


def _is_complaint(message: ConsoleMessage) -> bool:
    """An error; but not Streamlit's own search for the root of the app when a page is opened by its address."""
    return message.type == "error" and "/_stcore/" not in message.location["url"]


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))


def settle(page: Page) -> None:
    """Wait until the script has ended and its charts stand."""
    page.locator(".stApp[data-test-script-state='notRunning']").wait_for()
    page.locator(".jb h1").first.wait_for()
    page.wait_for_function(DRAWN)
    page.wait_for_timeout(500)  # the last of the fading in


def open_first_run(page: Page) -> None:
    """Choose the first row of the table of runs; it is a canvas, so by position."""
    page.locator("[data-testid=data-grid-canvas] [role=gridcell]").first.wait_for(state="attached")
    page.locator(".stDataFrame .dvn-scroller").first.click(position={"x": 16, "y": 52})
    page.get_by_role("button", name="Back to runs").wait_for()


def take(address: str, look: str, out: Path, seen: Seen) -> None:
    """Save the pages of one look, whole."""
    with browsing(look, seen) as page:
        for name in ("overview", "runs", "run"):
            if name == "run":
                open_first_run(page)
            else:
                page.goto(f"{address}/{'' if name == 'overview' else name}")
            settle(page)
            _fit(page)
            page.screenshot(path=out / f"{name}_{look}.png")
            if name == "runs" and not page.locator(".stDataFrame canvas").count():
                return  # an empty ledger has no run to open


def _fit(page: Page) -> None:
    """Make the window as high as the page, which scrolls inside an element of its own."""
    width = page.viewport_size["width"]
    height = page.evaluate("() => document.querySelector('.stMain').scrollHeight")
    page.set_viewport_size({"width": width, "height": max(900, min(height, 8000))})
    page.wait_for_timeout(700)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the joulebook home whose ledger is shown")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the pictures")
    parser.add_argument("--script", type=Path, default=APP, help="the Streamlit script")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    seen = Seen()
    with serving(given.script.resolve(), JOULEBOOK_HOME=str(given.home.resolve())) as address:
        for look in LOOKS:
            take(address, look, given.out, seen)
    for line in [f"left 127.0.0.1: {url}" for url in seen.strays] + [f"console: {text}" for text in seen.errors]:
        sys.stderr.write(f"{line}\n")
    return 1 if seen.strays or seen.errors else 0


if __name__ == "__main__":
    sys.exit(main())
