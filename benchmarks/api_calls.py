"""What observing costs a call of a model's API, plain and as a stream of 52 chunks: bare SDK, ours, peers beside it.

    .venv/bin/python benchmarks/api_calls.py [--calls 300] [--streams 60] [--rounds 5] [--json]

The server is this process, on 127.0.0.1: it answers at once, and another one after SERVER_MS, sooner than any model.
Each tool has a process of its own, in one environment with one version of the SDK, and the tools take turns. CPU is
that of the client's whole process, so what a tool does on threads counts too. Told are medians of calls, and of their
ratios to the bare SDK's in the same round the median, the least and the most. The bare SDK takes part twice: what its
second process is off the first is what such a comparison cannot tell from noise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".bench-venv/api"
SERVER_MS = 20
CHUNKS = 52  # with text, an end and a usage
BARE, AGAIN, OURS = "bare SDK", "bare SDK, again", "joulebook"
PEERS = {"EcoLogits": "ecologits", "OpenTelemetry": "opentelemetry/instrumentation/genai/openai"}  # the folder of each
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "A question of some length. " * 20}]}
WARM_UP = 20

Timed = dict[str, float]  # "plain cpu ms", …


# In the process of a tool.


def clients_of(tool: str, urls: list[str]) -> list[Any]:
    """A client of OpenAI's for each address, observed by the tool."""
    import openai

    given: dict[str, Any] = {}
    if tool == OURS:
        import joulebook

        given = {"http_client": joulebook.http_client()}
    elif tool == "EcoLogits":
        from ecologits import EcoLogits

        EcoLogits.init(providers=["openai"])
    elif tool == "OpenTelemetry":
        _instrument()
    return [openai.OpenAI(base_url=f"{url}/openai/v1", api_key="none", max_retries=0, **given) for url in urls]


def _instrument() -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    OpenAIInstrumentor().instrument(tracer_provider=provider)


def measured(tool: str, urls: list[str], calls: int, streams: int) -> Timed:
    at_once, later = clients_of(tool, urls)

    def plain(client: Any) -> None:
        assert client.chat.completions.create(**CHAT).usage.total_tokens == 1500

    def stream(client: Any) -> None:
        chunks = client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
        assert len(list(chunks)) == CHUNKS

    return {
        **_timed("plain", partial(plain, at_once), calls),
        **_timed("stream", partial(stream, at_once), streams),
        **_timed(f"plain, {SERVER_MS} ms", partial(plain, later), streams),
        **_timed(f"stream, {SERVER_MS} ms", partial(stream, later), streams),
    }


def _timed(what: str, call: Callable[[], None], times: int) -> Timed:
    cpu, wall = [], []
    for number in range(-WARM_UP, times):
        cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
        call()
        if number >= 0:
            cpu.append(time.process_time_ns() - cpu_ns)
            wall.append(time.perf_counter_ns() - wall_ns)
    return {f"{what} cpu ms": median(cpu) / 1e6, f"{what} wall ms": median(wall) / 1e6}


# In this process.


def rounds(given: argparse.Namespace) -> dict[str, list[Timed]]:
    """Every tool, once a round."""
    sys.path.insert(0, str(ROOT / "tests"))
    import fake_server
    from peers.machine import as_installed

    fake_server.WORDS = ("word ",) * (CHUNKS - 3)  # beside the first, the end and the usage
    found: dict[str, list[Timed]] = {tool: [] for tool in (BARE, AGAIN, OURS, *PEERS) if tool not in missing()}
    at_once, later = fake_server.FakeServer(), fake_server.FakeServer(SERVER_MS / 1000)
    with at_once, later, tempfile.TemporaryDirectory() as folder:
        packages = as_installed(Path(folder))
        for _ in range(given.rounds):
            for tool, told in found.items():
                told.append(one(tool, [at_once.url, later.url], packages, given))
        assert_all_on_file(Path(folder), given)
    return found


def missing() -> list[str]:
    """What is not installed."""
    return [tool for tool, folder in PEERS.items() if not any(ENVIRONMENT.glob(f"lib/python*/site-packages/{folder}"))]


def one(tool: str, urls: list[str], packages: Path, given: argparse.Namespace) -> Timed:
    python = ENVIRONMENT / "bin/python"
    command = [str(python), __file__, "--client", tool, "--urls", *urls]
    command += ["--calls", str(given.calls), "--streams", str(given.streams)]
    here = {**os.environ, "PYTHONPATH": str(packages), "JOULEBOOK_HOME": str(packages.parent / "home")}
    done = subprocess.run(command, env=here, check=True, capture_output=True, text=True, timeout=1200)
    return json.loads(done.stdout)


def assert_all_on_file(folder: Path, given: argparse.Namespace) -> None:
    journals = (folder / "home/journal").glob("*.jsonl")
    lines = [line for path in journals for line in path.read_text().splitlines() if '"event":"call"' in line]
    assert len(lines) == given.rounds * (given.calls + 3 * given.streams + 4 * WARM_UP)
    assert all("prompt_tokens" in line for line in lines)


def summary(found: dict[str, list[Timed]]) -> dict[str, dict[str, dict[str, float]]]:
    """For each tool and what was timed: the median of the rounds, and their ratios to the bare SDK."""
    return {tool: {name: _compared(name, told, found[BARE]) for name in told[0]} for tool, told in found.items()}


def _compared(name: str, told: list[Timed], bare: list[Timed]) -> dict[str, float]:
    ratios = [timed[name] / other[name] for timed, other in zip(told, bare, strict=True)]
    middle = median(timed[name] for timed in told)
    return {"median": middle, "ratio": median(ratios), "least": min(ratios), "most": max(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--urls", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(measured(given.client, given.urls, given.calls, given.streams)))
        return
    if not (ENVIRONMENT / "bin/python").exists():
        print("The SDK and the peers are not in .bench-venv/api: `make bench` installs them. Nothing was measured.")
        return
    for tool in missing():
        print(f"{tool} is not in .bench-venv/api: it is left out.", file=sys.stderr)
    found = summary(rounds(given))
    if given.json:
        print(json.dumps(found))
        return
    for tool, timed in found.items():
        print(tool)
        for name, of in timed.items():
            print(f"  {name:<22} {of['median']:7.3f}  × {of['ratio']:.2f}, {of['least']:.2f} to {of['most']:.2f}")


if __name__ == "__main__":
    main()
