"""`joulebook receive`: takes OpenTelemetry traces until it is interrupted, and then says what came."""

from __future__ import annotations

import argparse
import json
import os
import signal
from typing import Any

from joulebook.accounting.home import home_dir


def receive(args: argparse.Namespace) -> int:
    """Receive until SIGINT or SIGTERM. What has begun by then is finished."""
    from joulebook.collectors.api.receiver import receiving

    os.environ["JOULEBOOK_HOME"] = str(home_dir(args.home))
    ends = (signal.SIGINT, signal.SIGTERM)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # the threads of the receiver leave them to us, too
    try:
        with receiving(args.port) as server:
            sentence = f"Receiving OpenTelemetry traces: {server.url}/v1/traces (Ctrl-C ends it)"
            _tell(args, {"url": server.url, "port": server.server_port}, sentence)
            signal.sigwait(ends)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    taken = server.taken
    sentence = f"{taken.calls:,} calls in {taken.spans:,} spans of {server.requests:,} requests"
    _tell(args, {"requests": server.requests, **taken._asdict()}, f"{sentence}; {taken.rejected:,} spans rejected.")
    return 0


def _tell(args: argparse.Namespace, facts: dict[str, Any], sentence: str) -> None:
    print(json.dumps(facts) if args.json else sentence, flush=True)
