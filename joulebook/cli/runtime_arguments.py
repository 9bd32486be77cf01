"""What can be typed of runtimes: one request alone, fits, profiles, comparisons."""

from __future__ import annotations

import argparse

from joulebook.cli.options import Add, above_0, count, period, reading, whole

MODES = ("default", "helm", "roofline")


def idealized(add: Add) -> None:
    parser = add(
        "idealized",
        "tell how long a model alone takes for a request on named hardware, and the energy and cost of that",
        "joulebook idealized --model openai/davinci --prompt-tokens 512 --output-tokens 32",
    )
    parser.add_argument("--model", required=True, help="the model, e.g. openai/davinci, or davinci")
    parser.add_argument("--prompt-tokens", type=whole, required=True, metavar="P", help="tokens of the prompt")
    parser.add_argument("--output-tokens", type=whole, required=True, metavar="O", help="tokens of the answer")
    _yardstick(parser)
    parser.add_argument("--batch", type=count, default=1, metavar="B", help="requests served at once (default: 1)")


def _yardstick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mode", choices=MODES, default="default",
        help="default: by a profile, continuous and monotone; helm: the public rule to the digit; roofline: no profile",
    )  # fmt: skip
    parser.add_argument("--hardware", metavar="H", help="a device by its name or parts of it, e.g. H100, 'A100 80GB'")


def fit(add: Add) -> None:
    parser = add(
        "fit",
        "fit the runtime profile of a model to one's own measurements",
        "joulebook fit samples.csv --model my-model --hardware H100 --gpus 1 --out my-model.json",
    )
    columns = (
        "Columns: prompt_tokens, output_tokens, runtime_s; where there are: trial, batch, energy_j, energy_method."
    )
    parser.description = f"{parser.description} {columns}"
    parser.add_argument("file", metavar="FILE", help="samples: a CSV with a header, or a JSON list")
    parser.add_argument("--model", help="the model (default: the one in the file)")
    parser.add_argument(
        "--method", choices=("bic", "paper"), default="bic",
        help="bic: ours, with intervals; paper: the two stages of Narayanan et al., rounded to 1 ms (default: bic)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=count, metavar="B", help="the samples of this batch (default: there is one only)"
    )
    _machine(parser)
    _writing(parser)


def _machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hardware", default="", metavar="DEVICE", help="what it ran on, e.g. 'A100 SXM4 80GB'")
    parser.add_argument("--gpus", type=whole, metavar="N", help="how many of them; 0 for none")
    parser.add_argument("--usd-per-gpu-hour", type=above_0, metavar="USD", help="the price of one for an hour")
    parser.add_argument("--software", default="", metavar="STACK", help="what served it, e.g. 'vllm 0.11'")


def _writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", help="write the profile there, over a file that is there")
    parser.add_argument("--keep", action="store_true", help="put the profile into the home, for `joulebook idealized`")


def denoise(add: Add) -> None:
    parser = add(
        "denoise",
        "tell what an API would take without its contention, from a log of requests or from recorded calls",
        "joulebook denoise --since 30d --model openai/gpt-5",
    )
    told = (
        "Columns of a log: prompt_tokens, output_tokens, runtime_s; where there are: first_token_s, attempt, status, …"
    )
    parser.description = f"{parser.description} {told}"
    parser.add_argument(
        "file", nargs="?", metavar="LOG", help="a CSV with a header, or a JSON list (default: the ledger)"
    )
    parser.add_argument("--model", help="this model only")
    _writing(parser)
    period(parser)
    reading(parser)


def profiles(add: Add) -> None:
    parser = add(
        "profiles",
        "list the runtime profiles, show one, or import one from a file",
        "joulebook profiles import my-model.json",
    )
    parser.add_argument("action", nargs="?", choices=("list", "show", "import"), default="list", help="default: list")
    parser.add_argument(
        "name", nargs="?", metavar="MODEL|FILE", help="show: the model or the profile's id; import: the file"
    )


def normalised(add: Add) -> None:
    parser = add(
        "normalised",
        "set recorded calls beside what their API and the model alone would take, and compare models by the same text",
        "joulebook normalised --since 30d --texts chars_per_token.csv",
    )
    _yardstick(parser)
    _mix(parser)
    period(parser)
    reading(parser)


def _mix(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt-tokens", type=count, default=512, metavar="P", help="of the reference (default: 512)")
    parser.add_argument("--output-tokens", type=count, default=64, metavar="O", help="of the reference (default: 64)")
    parser.add_argument(
        "--texts", metavar="FILE", help="a table: model, chars_per_prompt_token, chars_per_output_token"
    )


def frontier(add: Add) -> None:
    parser = add(
        "frontier",
        "set the quality of models against their idealized runtime, energy and cost, and name who is dominated",
        "joulebook frontier --quality accuracy.csv --metric mmlu",
    )
    parser.add_argument("--quality", metavar="FILE", help="a table: model, metric, value (beside what runs recorded)")
    parser.add_argument("--metric", help="which quality (default: the first by name)")
    _yardstick(parser)
    _mix(parser)
    period(parser)
    reading(parser)


ALL = (idealized, fit, denoise, profiles, normalised, frontier)
