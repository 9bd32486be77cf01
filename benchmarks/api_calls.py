"""What observing costs a call of a model's API, plain and as a stream of 52 chunks: bare SDK, ours, peers beside it.

    .venv/bin/python benchmarks/api_calls.py [--calls 300] [--streams 60] [--rounds 5] [--json]

The server is this process, on 127.0.0.1; each tool has a process of its own, in one environment with one version of
the SDK, and the tools take turns. CPU is that of the client's whole process, so what a tool does on threads counts too.
Told are medians of calls, and the median of their ratios to the bare SDK's in the same round.
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
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".bench-venv/api"
CHUNKS = 52  # with text, an end and a usage
BARE, OURS = "bare SDK", "joulebook"
PEERS = {"EcoLogits": "ecologits", "OpenTelemetry": "opentelemetry/instrumentation/genai/openai"}  # the folder of each
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "A question of some length. " * 20}]}
WARM_UP = 20

Timed = dict[str, float]  # "plain cpu ms", …


# In the process of a tool.


def client_of(tool: str, url: str) -> Any:
    """A client of OpenAI's, observed by the tool."""
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
    return openai.OpenAI(base_url=f"{url}/openai/v1", api_key="none", max_retries=0, **given)


def _instrument() -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    OpenAIInstrumentor().instrument(tracer_provider=provider)


def measured(tool: str, url: str, calls: int, streams: int) -> Timed:
    client = client_of(tool, url)
    create = client.chat.completions.create

    def plain() -> None:
        assert create(**CHAT).usage.total_tokens == 1500

    def stream() -> None:
        chunks = list(create(**CHAT, stream=True, stream_options={"include_usage": True}))
        assert len(chunks) == CHUNKS

    return {**_timed("plain", plain, calls), **_timed("stream", stream, streams)}


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
    found: dict[str, list[Timed]] = {tool: [] for tool in (BARE, OURS, *PEERS) if tool not in missing()}
    with fake_server.FakeServer() as server, tempfile.TemporaryDirectory() as folder:
        packages = as_installed(Path(folder))
        for _ in range(given.rounds):
            for tool, told in found.items():
                told.append(one(tool, server.url, packages, given))
        assert_all_on_file(Path(folder), given)
    return found


def missing() -> list[str]:
    """What is not installed."""
    return [tool for tool, folder in PEERS.items() if not any(ENVIRONMENT.glob(f"lib/python*/site-packages/{folder}"))]


def one(tool: str, url: str, packages: Path, given: argparse.Namespace) -> Timed:
    python = ENVIRONMENT / "bin/python"
    command = [str(python), __file__, "--client", tool, "--url", url]
    command += ["--calls", str(given.calls), "--streams", str(given.streams)]
    here = {**os.environ, "PYTHONPATH": str(packages), "JOULEBOOK_HOME": str(packages.parent / "home")}
    done = subprocess.run(command, env=here, check=True, capture_output=True, text=True, timeout=1200)
    return json.loads(done.stdout)


def assert_all_on_file(folder: Path, given: argparse.Namespace) -> None:
    journals = (folder / "home/journal").glob("*.jsonl")
    lines = [line for path in journals for line in path.read_text().splitlines() if '"event":"call"' in line]
    assert len(lines) == given.rounds * (given.calls + given.streams + 2 * WARM_UP)
    assert all("prompt_tokens" in line for line in lines)


def summary(found: dict[str, list[Timed]]) -> dict[str, dict[str, dict[str, float]]]:
    """For each tool and what was timed: the median of the rounds, and that of their ratios to the bare SDK."""
    return {
        tool: {
            name: {
                "median": median(timed[name] for timed in told),
                "ratio": median(timed[name] / bare[name] for timed, bare in zip(told, found[BARE], strict=True)),
            }
            for name in told[0]
        }
        for tool, told in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(measured(given.client, given.url, given.calls, given.streams)))
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
        told = (f"{name} {one['median']:7.3f} (× {one['ratio']:.2f})" for name, one in timed.items())
        print(f"{tool:<14}", "   ".join(told))


if __name__ == "__main__":
    main()
