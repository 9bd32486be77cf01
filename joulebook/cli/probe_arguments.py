"""What can be typed of probes of a model."""

from __future__ import annotations

import argparse

from joulebook.cli.options import Add, above_0, count, seconds, whole

TINY = "tiny"
PROMPTS, OUTPUTS, TRIALS = (1, 4, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024), (1, 4, 16, 64), 5
MOST = 10**7


def sizes(text: str) -> tuple[int, ...]:
    """`1,64,256` as numbers of tokens, in order."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= MOST for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers above 0, such as 1,64,256")
    return tuple(sorted({int(part) for part in parts}))


def _meter_s(text: str) -> float:
    return 0.0 if text.strip() == "0" else seconds(text)


def calibrate(add: Add) -> None:
    parser = add(
        "calibrate",
        "probe a model, with the meters on, and keep a profile of its runtime and energy",
        "joulebook calibrate --local ./my-model --out my-model.json",
    )
    of = parser.add_mutually_exclusive_group(required=True)
    of.add_argument(
        "--local", nargs="?", const=TINY, metavar="MODEL",
        help="in this process, under PyTorch: a folder of a model, or a config.json for random weights; without MODEL "
        "a tiny one in NumPy",
    )  # fmt: skip
    of.add_argument("--endpoint", metavar="URL", help="a server with OpenAI's chat API, e.g. http://127.0.0.1:8000/v1")
    parser.add_argument("--model", help="its name: at the endpoint, and of the profile")
    parser.add_argument("--prompts", type=sizes, default=PROMPTS, metavar="N,…", help="tokens of the prompts")
    parser.add_argument("--outputs", type=sizes, default=OUTPUTS, metavar="N,…", help="tokens of the answers")
    parser.add_argument("--trials", type=count, default=TRIALS, metavar="N", help=f"of each size (default: {TRIALS})")
    parser.add_argument(
        "--seconds", type=_meter_s, default=0.5, metavar="S",
        help="short requests have more trials, until they took so long; never where each costs money (default: 0.5)",
    )  # fmt: skip
    parser.add_argument("--batch", type=count, default=1, metavar="N", help="requests at once, of --local (default: 1)")
    parser.add_argument("--dtype", help="of --local: bfloat16, float16, float32 (default: bfloat16 on a GPU)")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which sizes come (default: 0)")
    parser.add_argument(
        "--energy-seconds", type=_meter_s, default=1.0, metavar="S",
        help="each size is metered for so long (default: 1; 0: no energy, as where the address is a tunnel)",
    )  # fmt: skip
    parser.add_argument("--hardware", metavar="NAME", help="what the server runs on, e.g. H100 SXM")
    parser.add_argument("--gpus", type=whole, metavar="N", help="how many of them; 0 for none")
    parser.add_argument("--software", metavar="STACK", help="what serves it, e.g. 'vllm 0.11' (default: what is known)")
    parser.add_argument("--tdp-w", type=above_0, metavar="W", help="the power limit of one")
    parser.add_argument("--usd-per-gpu-hour", type=above_0, metavar="USD", help="what an hour of one costs")
    parser.add_argument("--api-key-env", metavar="NAME", help="the environment variable that holds the endpoint's key")
    parser.add_argument("--name", help="of the session, to go on with it (default: model and machine)")
    parser.add_argument("--fresh", action="store_true", help="throw away what the session holds, and begin anew")
    parser.add_argument("--dry-run", action="store_true", help="only say what it will take")
    parser.add_argument("--yes", action="store_true", help="begin without asking, also where it may cost money")
    parser.add_argument("--out", metavar="FILE", help="also write the profile there, for others to import")


ALL = (calibrate,)
