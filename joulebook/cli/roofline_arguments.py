"""What can be typed of the roofline: a model, hardware, software, and a load."""

from __future__ import annotations

from joulebook.cli.options import Add, above_0, count, whole


def roofline(add: Add) -> None:
    parser = add(
        "roofline",
        "estimate what an open model takes on hardware that nobody measured it on, and what holds it up",
        "joulebook roofline --model llama-3.1-70b --hardware H200 --batch 32 --prompt-tokens 1000 --output-tokens 300",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", help="an open model of the catalogue, e.g. llama-3.1-70b")
    which.add_argument("--config", metavar="FILE", help="your own: its Hugging Face config.json")
    which.add_argument("--list", choices=("models", "hardware", "stacks"), help="what the catalogues hold")
    parser.add_argument(
        "--hardware", default="H100", metavar="H", help="a device, e.g. H100, A100, B200 (default: H100)"
    )
    parser.add_argument("--stack", default="vllm", metavar="S", help="the serving software (default: vllm)")
    parser.add_argument("--precision", metavar="P", help="bf16, fp8, int8, int4, nvfp4 … (default: as it is published)")
    parser.add_argument(
        "--prompt-tokens", type=whole, default=1000, metavar="P", help="of each request (default: 1000)"
    )
    parser.add_argument("--cached-tokens", type=whole, default=0, metavar="C", help="of these, in the cache already")
    parser.add_argument("--output-tokens", type=whole, default=300, metavar="O", help="of each answer (default: 300)")
    parser.add_argument("--batch", type=count, default=1, metavar="B", help="requests at once (default: 1)")
    parser.add_argument("--steady", action="store_true", help="requests come one after the other, not all together")
    parser.add_argument(
        "--tensor-parallel",
        type=count,
        metavar="N",
        help="GPUs that share each layer (default: the fewest that fit)",
    )
    parser.add_argument(
        "--pipeline-parallel",
        type=count,
        default=1,
        metavar="N",
        help="groups of GPUs one after the other (default: 1)",
    )
    parser.add_argument("--usd-per-gpu-hour", type=above_0, metavar="USD", help="what an hour of one GPU costs you")


ALL = (roofline,)
