"""A tiny transformer of random weights in NumPy, with a KV cache: a real model's work, where there is no PyTorch.

Llama's architecture: RMS norm, attention with rotated places, SwiGLU. Its words mean nothing; how its time grows with
the prompt and the answer is that of any decoder on a CPU.
"""

from __future__ import annotations

import time

import numpy as np

from joulebook.accounting.journal import cpu_model
from joulebook.collectors.probe import About, Answer

LAYERS, WIDTH, HEADS, FFN, VOCAB, CONTEXT = 4, 256, 8, 768, 512, 2048
HEAD = WIDTH // HEADS
LARGEST_BLOCK = 2**25 - 2**16  # bytes: just under what glibc always maps anew


class Tiny:
    """3.7 million parameters."""

    def __init__(self, seed: int = 0) -> None:
        # glibc takes blocks as large as the largest that was freed from the heap, and maps larger ones anew each time:
        # a prompt must take as long whether or not a longer one came before.
        np.empty(LARGEST_BLOCK, np.uint8)
        random = np.random.default_rng(seed)

        def weights(*shape: int) -> np.ndarray:
            return (random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

        self._words = weights(VOCAB, WIDTH)
        self._layers = [
            (weights(WIDTH, 3 * WIDTH), weights(WIDTH, WIDTH), weights(WIDTH, 2 * FFN), weights(FFN, WIDTH))
            for _ in range(LAYERS)
        ]
        angles = np.outer(np.arange(CONTEXT), 10_000.0 ** (-np.arange(0, HEAD, 2) / HEAD)).astype(np.float32)
        self._cos, self._sin = np.cos(angles)[:, None], np.sin(angles)[:, None]

    def about(self) -> About:
        return About("tiny", cpu_model(), 0, "numpy", {"numpy": np.__version__}, CONTEXT)

    def ask(self, prompt_tokens: int, output_tokens: int) -> Answer:
        began_s = time.perf_counter()
        keys = np.empty((LAYERS, prompt_tokens + output_tokens, HEADS, HEAD), np.float32)
        values = np.empty_like(keys)
        words = np.arange(prompt_tokens) * 7 % VOCAB
        place, first_s = 0, 0.0
        for _ in range(output_tokens):
            logits = self._forward(words, place, keys, values)
            place += len(words)
            words = np.array([int(np.argmax(logits))])
            first_s = first_s or time.perf_counter() - began_s
        return Answer(prompt_tokens, output_tokens, time.perf_counter() - began_s, first_s)

    def _forward(self, words: np.ndarray, place: int, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The logits after the last word; keys and values of the words go into the cache."""
        x, end = self._words[words], place + len(words)
        mask = np.arange(end)[None, :] > np.arange(place, end)[:, None]
        for layer, (into, out, up, down) in enumerate(self._layers):
            q, k, v = np.split(_normed(x) @ into, 3, axis=1)
            keys[layer, place:end] = self._turned(k.reshape(-1, HEADS, HEAD), place)
            values[layer, place:end] = v.reshape(-1, HEADS, HEAD)
            x = x + self._attended(q, place, mask, keys[layer, :end], values[layer, :end]) @ out
            gate, rest = np.split(_normed(x) @ up, 2, axis=1)
            x = x + (gate / (1 + np.exp(-gate)) * rest) @ down
        return _normed(x[-1:]) @ self._words.T

    def _attended(
        self, q: np.ndarray, place: int, mask: np.ndarray, keys: np.ndarray, values: np.ndarray
    ) -> np.ndarray:
        turned = self._turned(q.reshape(-1, HEADS, HEAD), place).transpose(1, 0, 2)
        scores = turned @ keys.transpose(1, 2, 0) / np.float32(np.sqrt(HEAD))
        scores = np.where(mask, np.float32(-1e9), scores)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return (scores @ values.transpose(1, 0, 2)).transpose(1, 0, 2).reshape(-1, WIDTH)

    def _turned(self, x: np.ndarray, place: int) -> np.ndarray:
        """Rotated by its place (RoPE)."""
        cos, sin = self._cos[place : place + len(x)], self._sin[place : place + len(x)]
        even, odd = x[..., ::2], x[..., 1::2]
        return np.concatenate([even * cos - odd * sin, even * sin + odd * cos], axis=-1)


def _normed(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(1e-5))
