"""Probes: requests of chosen sizes to a model that has nothing else to do, timed, with the meters on.

    plan     which sizes, and the lot that says in which order they come
    session  plan × engine ─> a line of samples.jsonl for each request; goes on where it was broken off
    engines: tiny (NumPy, needs nothing), in_process (a Hugging Face model, under PyTorch), endpoint (a server, by HTTP)

An engine has `ask(prompt_tokens, output_tokens) -> Answer` and `about() -> About`. What is made of the samples is
`joulebook.models.runtime`'s.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["About", "Answer", "Engine", "Size"]


class Size(NamedTuple):
    """What is asked for: tokens of the prompt, and of the answer."""

    prompt_tokens: int
    output_tokens: int


class Answer(NamedTuple):
    """What came. `left_out`: why it does not count; characters where they are known."""

    prompt_tokens: int
    output_tokens: int
    runtime_s: float
    first_token_s: float | None = None
    prompt_chars: int | None = None
    output_chars: int | None = None
    left_out: str = ""


class About(NamedTuple):
    """What answers, and where: in this `process`, `here` on this machine, or `elsewhere`.

    `gpus`: 0 on a machine without, None where nobody knows; `context`: the most tokens together.
    """

    model: str
    device: str
    gpus: int | None
    stack: str
    versions: dict[str, str]
    context: int | None = None
    batch: int = 1
    where: str = "process"


class Engine(Protocol):
    """A model that can be asked for so many tokens after so many."""

    def about(self) -> About: ...

    def ask(self, prompt_tokens: int, output_tokens: int) -> Answer: ...
