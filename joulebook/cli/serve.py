"""`joulebook serve-meter`: a local inference server as a run, and before it a meter that notes its calls."""

from __future__ import annotations

import argparse
import json
import os
import sys

from joulebook.accounting.home import home_dir


def serve_meter(args: argparse.Namespace) -> int:
    """Record the server; exit as it did. What is said goes to stderr: stdout is the server's."""
    from joulebook.collectors.api.server_meter import Meter, upstream_of
    from joulebook.collectors.wrap import die_like, run_command

    os.environ["JOULEBOOK_HOME"] = str(home_dir(args.home))
    upstream = upstream_of(args.upstream, args.argv)
    with Meter(args.port, upstream) as meter:
        told = {"url": meter.url, "port": meter.server_port, "upstream": f"http://{upstream.host}:{upstream.port}"}
        sentence = f"joulebook: send calls to {meter.url}, in place of {told['upstream']}"
        print(json.dumps(told) if args.json else sentence, file=sys.stderr, flush=True)
        code = run_command(args.argv, name=args.name, project=args.project, beside=meter.serving)
    if args.json:
        told = {"command": args.argv, "exit_code": int(code), "home": os.environ["JOULEBOOK_HOME"]}
        print(json.dumps(told), file=sys.stderr)
    die_like(code)
