"""A Hugging Face `config.json` read as a model card: the one place that knows what model families call things.

    text -> JSON -> the part about text -> sizes, experts, window, latent attention, precision -> ModelCard

What the roofline has no formula for is refused: state-space and linear-attention layers, and layers that differ in
ways other than those above. Sparse attention that looks at the best few tokens of the context (`index_topk`) is taken
for a window of as many: what it reads to find them is not counted. A chunk (`attention_chunk_size`) is one, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from joulebook.accounting.errors import InputError
from joulebook.models.roofline.cards import Experts, Latent, ModelCard, Window
from joulebook.models.roofline.precision import PRECISIONS

Config = Mapping[str, Any]

# The names of each size, as families write them; the first that is there counts.
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
WIDTH = ("hidden_size", "n_embd", "d_model")
HEADS = ("num_attention_heads", "n_head", "n_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num")
FFN = ("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner")
EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
ACTIVE = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_top_k")
# Families whose feed-forward part is not gated: two matrices.
PLAIN = {
    "bloom",
    "gpt2",
    "gptj",
    "gpt_neox",
    "gpt_neo",
    "opt",
    "falcon",
    "phi",
    "mpt",
    "gpt_bigcode",
    "starcoder2",
    "nemotron",
}
# Families in which one of so many layers sees the whole context, and do not say so.
FAR = {"gemma2": 2, "gemma3_text": 6, "llama4_text": 4}
UNKNOWN_LAYERS = ("hybrid_override_pattern", "layers_block_type", "linear_num_key_heads", "linear_attn_config",
                  "mamba_d_state", "ssm_cfg", "compress_ratios", "block_configs", "global_head_dim",
                  "swa_num_key_value_heads", "attention_other_setting")  # fmt: skip
# What a quantisation_config says of its kind; the first that fits.
QUANTISED = {
    "mxfp4": ("mxfp4",), "nvfp4": ("nvfp4",), "fp8": ("fp8", "float8", "float-quantized"),
    "int4": ("awq", "gptq", '"num_bits": 4', '"bits": 4', "int4", '"load_in_4bit": true'),
    "int8": ("int8", '"num_bits": 8', '"load_in_8bit": true'),
}  # fmt: skip
FLOATS = {"bfloat16": "bf16", "float16": "fp16", "float32": "bf16"}  # full precision is served in half


def read_config(path: Path) -> ModelCard:
    """The model of a `config.json`. Raises InputError with what is wrong with it."""
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is not the config.json of a model: it holds no object")
    told = cast("Config", config)
    return card_of(told, str(told.get("_name_or_path") or path.resolve().parent.name))


def card_of(config: Config, name: str) -> ModelCard:
    """The card of a parsed config. Raises InputError where a size is missing or the architecture has no formula."""
    text = {**config, **_text(config)}
    strange = [key for key in UNKNOWN_LAYERS if text.get(key)]
    if strange:
        raise InputError(f"{name} has layers that the roofline has no formula for ({strange[0]} in its config.json)")
    try:
        return _card(text, name)
    except InputError:
        raise
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"the config.json of {name} has a size that is no whole number above 0: {error}") from error


def _text(config: Config) -> Config:
    """The part about text, where a model also sees or hears."""
    for key in ("text_config", "language_config", "llm_config"):
        if isinstance(config.get(key), dict):
            return cast("Config", config[key])
    return {}


def _card(text: Config, name: str) -> ModelCard:
    layers, width, heads = (_size(text, names, name) for names in (LAYERS, WIDTH, HEADS))
    experts = _experts(text, layers, name)
    ffn_width = _expert_width(text, name) if experts else _size(text, FFN, name, 4 * width)
    return ModelCard(
        name, layers, width, heads, _kv_heads(text, heads),
        _size(text, ("head_dim", "kv_channels"), name, width // heads), ffn_width, _size(text, ("vocab_size",), name),
        ffn_matrices=_matrices(text),
        tied=bool(text.get("tie_word_embeddings", text.get("model_type") in ("bloom", "opt", "gpt2"))),
        precision=_precision(text, name), experts=experts, window=_window(text, layers), latent=_latent(text),
    )  # fmt: skip


def _first(text: Config, names: Sequence[str], default: int | None = None) -> int | None:
    found = next((text[key] for key in names if text.get(key) is not None), None)
    if found is None:
        return default
    if isinstance(found, bool) or int(found) != found or found <= 0:
        raise ValueError(f"{names[0]} {found!r}")
    return int(found)


def _size(text: Config, names: Sequence[str], name: str, default: int | None = None) -> int:
    found = _first(text, names, default)
    if found is None:
        raise InputError(f"the config.json of {name} does not say {names[0]}")
    return found


def _kv_heads(text: Config, heads: int) -> int:
    """Fewer than query heads where they share keys and values; on average where layers differ."""
    each = text.get("num_key_value_heads_per_layer")
    if isinstance(each, list) and each:
        return max(round(sum(cast("list[int]", each)) / len(cast("list[int]", each))), 1)
    if text.get("multi_query") and not text.get("new_decoder_architecture"):
        return 1
    return _first(text, KV_HEADS, heads) or heads


def _matrices(text: Config) -> int:
    return 2 if text.get("model_type") in PLAIN else 3


def _experts(text: Config, layers: int, name: str) -> Experts | None:
    count = _first(text, EXPERTS)
    if count is None or count == 1 or text.get("enable_moe_block") is False:
        return None
    dense = _dense_layers(text, layers)
    wide = ("intermediate_size_mlp", "dense_intermediate_size", "intermediate_size")
    shared = _shared_width(text, name)
    return Experts(count, _size(text, ACTIVE, name), shared, dense, _size(text, wide, name) if dense else 0)


def _expert_width(text: Config, name: str) -> int:
    return _size(text, ("moe_intermediate_size", "expert_intermediate_size", "intermediate_size"), name)


def _dense_layers(text: Config, layers: int) -> int:
    """How many layers have no experts."""
    if text.get("model_type") == "llama4_text":
        return layers - layers // (_first(text, ("interleave_moe_layer_step",), 1) or 1)
    which = text.get("moe_layer_freq")
    if isinstance(which, list):
        return cast("list[int]", which).count(0)
    listed = text.get("mlp_only_layers")
    if isinstance(listed, list) and listed:
        return len(cast("list[int]", listed))
    return int(text.get("first_k_dense_replace") or 0)


def _shared_width(text: Config, name: str) -> int:
    """The width of what all tokens go through beside the chosen experts."""
    if text.get("shared_expert_intermediate_size"):
        return _size(text, ("shared_expert_intermediate_size",), name)
    if text.get("model_type") == "llama4_text":
        return _expert_width(text, name)
    count = text.get("n_shared_experts") or text.get("num_shared_experts") or 0
    if not count:
        return _size(text, ("intermediate_size",), name) if text.get("enable_moe_block") else 0
    return count * _size(text, ("shared_intermediate_size", "share_expert_dim", "moe_intermediate_size"), name)


def _window(text: Config, layers: int) -> Window | None:
    if text.get("index_topk"):
        return Window(layers, int(text["index_topk"]))
    tokens = text.get("sliding_window") or text.get("attention_chunk_size")
    if not tokens or text.get("use_sliding_window") is False:
        return None
    kinds = text.get("layer_types") or text.get("hybrid_layer_pattern")
    if isinstance(kinds, list):
        near = sum(kind in ("sliding_attention", "chunked_attention", 1) for kind in cast("list[Any]", kinds))
    elif text.get("sliding_window_pattern"):
        near = layers - layers // int(text["sliding_window_pattern"])
    elif text.get("model_type") in FAR:
        near = layers - layers // FAR[text["model_type"]]
    else:
        near = layers
    return Window(near, int(tokens)) if near else None


def _latent(text: Config) -> Latent | None:
    if not text.get("kv_lora_rank"):
        return None
    return Latent(*(int(text.get(key) or 0) for key in (
        "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")))  # fmt: skip


def _precision(text: Config, name: str) -> str:
    quantised: object = text.get("quantization_config")
    if not quantised:
        return FLOATS.get(str(text.get("dtype") or text.get("torch_dtype") or "bfloat16"), "bf16")
    said = json.dumps(quantised).lower()
    kind = next((kind for kind, words in QUANTISED.items() if any(word in said for word in words)), None)
    if kind is not None:
        return kind
    raise InputError(
        f"the weights of {name} are quantised in a way that is not known: give its precision, one of "
        f"{', '.join(PRECISIONS)}"
    )
