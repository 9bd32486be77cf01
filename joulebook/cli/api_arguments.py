"""What can be typed of the calls of model APIs: prices, calls, imports, exports, receiving."""

from __future__ import annotations

import argparse

from joulebook.cli.options import Add, pair, period, reading, when

IMPORTS = (
    "openai",
    "anthropic",
    "litellm",
    "langfuse",
    "helicone",
    "codecarbon",
    "claude-code",
    "codex",
    "aws-cur",
    "focus",
)
BILLS = ("openai", "anthropic", "aws-cur", "focus")
BY = ("model", "provider", "project", "day", "host", "source")
SUMS = (*BY, "model-project-day", "call")  # of `calls`


def _usage(text: str) -> dict[str, float]:
    """`input_tokens=1000,output_tokens=50` as amounts by unit."""
    amounts: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        unit, amount = pair(part)
        try:
            amounts[unit.strip()] = float(amount)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{amount!r} is not a number, in {part!r}") from None
    return amounts


def price(add: Add) -> None:
    parser = add(
        "price",
        "what a call costs, line by line, by the prices in force at a time",
        "joulebook price --provider openai --model gpt-5 --usage input_tokens=1000,cache_read_tokens=200",
    )
    parser.add_argument("--provider", help="whose API, e.g. openai, anthropic, google, aws")
    parser.add_argument(
        "--model", required=True, help="as it is named in requests; of one in no list the cost is null, exit 0"
    )
    parser.add_argument(
        "--usage", type=_usage, required=True, metavar="UNIT=N,…",
        help="amounts by unit, parts inside their whole: input_tokens includes cache_read_tokens",
    )  # fmt: skip
    parser.add_argument("--at", type=when, metavar="TIME", help="when the call was (default: now)")
    parser.add_argument(
        "--context", type=pair, action="append", default=[], metavar="KEY=VALUE",
        help="what else prices depend on, e.g. service_tier=flex, processing=batch; repeatable",
    )  # fmt: skip


def _tokens(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens")
    return int(text)


def footprint(add: Add) -> None:
    parser = add(
        "footprint",
        "estimate what a call to a model API used, by every engine that can say, and how far they are apart",
        "joulebook footprint --provider openai --model gpt-4o --input-tokens 800 --output-tokens 300 --region FR",
    )
    parser.add_argument("--provider", help="whose API, e.g. openai, anthropic, google, mistral")
    parser.add_argument("--model", required=True, help="the model, as it is named in requests")
    parser.add_argument(
        "--input-tokens", type=_tokens, default=0, metavar="N", help="tokens of the prompt, cached ones included"
    )
    parser.add_argument("--cached-tokens", type=_tokens, default=0, metavar="N", help="of these, read from a cache")
    parser.add_argument(
        "--output-tokens", type=_tokens, default=0, metavar="N", help="tokens of the answer, reasoning included"
    )
    parser.add_argument(
        "--region", metavar="R", help="the grid, e.g. FR, US-CA, or WORLD (default: the provider's, else this site's)"
    )


def reprice(add: Add) -> None:
    parser = add(
        "reprice",
        "set what calls cost by the prices as of a day beside what they cost at ingest; changes nothing",
        "joulebook reprice --as-of 2026-11-01 --since 30d",
    )
    parser.add_argument(
        "--as-of", type=when, required=True, metavar="DATE", help="prices as known at the end of that day (UTC)"
    )
    parser.add_argument("--by", choices=BY, default="model", help="one row for each (default: model)")
    period(parser)
    reading(parser)


def calls(add: Add) -> None:
    parser = add(
        "calls",
        "sum up the calls of model APIs: tokens, cost, what is unpriced, retries, waste, latency; or show one call",
        "joulebook calls --by model --since 30d",
    )
    parser.add_argument("call_id", nargs="?", metavar="CALL", help="one call: its id, its beginning or end, or `last`")
    parser.add_argument("--by", choices=SUMS, default="model", help="one row for each (default: model)")
    parser.add_argument("--latency", action="store_true", help="time to first token, between tokens, and end to end")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N rows (default: 50 on screen, all in JSON)")
    period(parser)
    reading(parser)


def import_(add: Add) -> None:
    parser = add(
        "import",
        "bring in other tools' records and providers' exports; a second time adds nothing",
        "joulebook import litellm spend_logs.csv --project search",
    )
    told = "Rows that cannot be used are named and kept as gaps; the others go in, and it exits with 1."
    parser.description = f"{parser.description} {told}"
    parser.add_argument("format", metavar="FORMAT", help=", ".join(IMPORTS))
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, or folders of transcripts")
    parser.add_argument("--project", help="the project of rows that name none")


def export(add: Add) -> None:
    parser = add(
        "export",
        "write calls and their costs for other tools: FOCUS 1.2 with the columns of 1.3, as CSV or Parquet",
        "joulebook export focus --out calls.parquet --since 2026-11-01",
    )
    parser.add_argument("format", choices=("focus",), metavar="FORMAT", help="focus")
    parser.add_argument("--out", required=True, metavar="FILE", help="where to: *.csv or *.parquet")
    parser.add_argument("--force", action="store_true", help="replace the file that is there")
    period(parser)
    reading(parser)


def reconcile(add: Add) -> None:
    parser = add(
        "reconcile",
        "set the calls of the ledger beside a provider's own export, by day and model; changes nothing",
        "joulebook reconcile openai completions_usage.csv",
    )
    tolerance = "Exits with 0 where all agree within 0.1 % (of money: or the export's own rounding), else with 1."
    parser.description = f"{parser.description} {tolerance}"
    parser.add_argument("format", choices=BILLS, metavar="FORMAT", help=", ".join(BILLS))
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of the provider's export")
    parser.add_argument("--all", action="store_true", help="also the rows in which both agree")
    period(parser)
    reading(parser)


def receive(add: Add) -> None:
    parser = add(
        "receive",
        "receive OpenTelemetry traces (OTLP/HTTP) on 127.0.0.1 and record the calls in them, until interrupted",
        "joulebook receive --port 4318",
    )
    parser.add_argument("--port", type=int, default=4318, help="port on 127.0.0.1 (default: 4318; 0: any that is free)")


def serve_meter(add: Add) -> None:
    parser = add(
        "serve-meter",
        "measure a local inference server: its energy, shared over the calls that it answered",
        "joulebook serve-meter --port 8000 -- vllm serve my-model --port 8001",
    )
    parser.add_argument("--name", help="name of the run (default: the command's)")
    parser.add_argument("--project", help="project that the run belongs to")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: any that is free)")
    parser.add_argument("--upstream", metavar="URL", help="where the server listens, e.g. http://127.0.0.1:8001")
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the server's command")


ALL = (calls, price, footprint, reprice, import_, reconcile, export, receive, serve_meter)
