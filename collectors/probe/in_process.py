"""A Hugging Face model in this process, under PyTorch: on the first GPU if there is one, else on the CPU.

A folder with weights is loaded; one with a config.json alone, or such a file, gets random weights, which take as long.
Nothing is fetched: what is no folder or file here is refused.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

from joulebook.accounting.errors import InputError, MissingExtra
from joulebook.accounting.journal import cpu_model
from joulebook.collectors.probe import About, Answer


class InProcess:
    """A causal language model that is asked for so many tokens of its own choice, greedily, with its KV cache."""

    def __init__(self, path: Path, batch: int = 1, dtype: str | None = None) -> None:
        """Raises InputError for what is no model, MissingExtra without PyTorch and transformers."""
        if not path.exists():
            raise InputError(f"{path} is neither a folder of a model nor a config.json; nothing is fetched")
        try:
            import torch  # pyright: ignore[reportMissingImports]
            import transformers  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingExtra("a model in this process", "huggingface") from error
        self._torch: Any = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.device(self._device):  # made where it is to be, or random weights take minutes
            self._model = _loaded(transformers, path, _dtype(torch, dtype, self._device)).to(self._device).eval()
        self._vocab = int(self._model.config.vocab_size)
        known = signature(self._model.forward).parameters  # transformers 5.24 gave its KV cache another name
        self._cache = "cache" if "cache" in known else "past_key_values"
        self._batch = batch
        self._name = path.stem if path.is_file() else path.name

    def about(self) -> About:
        torch = self._torch
        gpu = torch.cuda.get_device_name(0) if self._device == "cuda" else None
        versions = {name: version(name) for name in ("torch", "transformers")}
        dtype = str(self._model.dtype).removeprefix("torch.")
        context = getattr(self._model.config, "max_position_embeddings", None)
        return About(
            self._name, gpu or cpu_model(), 1 if gpu else 0, f"transformers {dtype}", versions, context, self._batch
        )

    def ask(self, prompt_tokens: int, output_tokens: int) -> Answer:
        torch = self._torch
        words = torch.randint(self._vocab, (self._batch, prompt_tokens), device=self._device)
        self._wait()
        with torch.inference_mode():
            began_s = time.perf_counter()
            told = self._model(words, use_cache=True, logits_to_keep=1)
            words = self._next(told)
            first_s = time.perf_counter() - began_s
            for _ in range(output_tokens - 1):
                told = self._model(words, use_cache=True, **{self._cache: getattr(told, self._cache)})
                words = self._next(told)
            runtime_s = time.perf_counter() - began_s
        return Answer(prompt_tokens, output_tokens, runtime_s, first_s)

    def _next(self, told: Any) -> Any:
        """The next words, once they are there: whoever streams waits for each."""
        words = told.logits[:, -1:].argmax(-1)
        self._wait()
        return words

    def _wait(self) -> None:
        if self._device == "cuda":
            self._torch.cuda.synchronize()


def _loaded(transformers: Any, path: Path, dtype: Any) -> Any:
    folder = path if path.is_dir() else path.parent
    has_weights = path.is_dir() and any(folder.glob("*.safetensors"))
    try:
        if has_weights:
            return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
        config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no causal language model that transformers can load: {error}") from error


def _dtype(torch: Any, wanted: str | None, device: str) -> Any:
    name = wanted or ("bfloat16" if device == "cuda" else "float32")
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        raise InputError(f"{name!r} is no type of PyTorch's: try bfloat16, float16 or float32")
    return found
