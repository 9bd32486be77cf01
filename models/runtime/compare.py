"""Recorded calls against one yardstick: what they took, what their API alone would take, what the model alone would.

    calls of a model ─> raw; denoised, by their own lower envelope; idealized, by a profile or the roofline
                     ─> raw ÷ idealized: the provider's own part (queue, hardware, tricks); 1 is the yardstick itself
                     ─> the same text to every model ─> seconds, energy, cost, characters per second

A token is not the same amount of text in two models. So models are compared by a text of so many characters, and only
those whose characters per token somebody measured: in their calls, in their profile, or in a table of the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from joulebook.accounting.errors import JoulebookError, NotFound
from joulebook.models.runtime import store
from joulebook.models.runtime.answer import CLOSED, Idealized, Request, idealized
from joulebook.models.runtime.closed_form import Floats
from joulebook.models.runtime.denoise import Denoised, denoise
from joulebook.models.runtime.profile import Profile, Text
from joulebook.models.runtime.samples import Samples
from joulebook.models.runtime.times import outside, times_s

NO_TEXT = "nobody measured how many characters a token of it stands for"


class Mix(NamedTuple):
    """The request by which models are compared: in tokens within one model, in characters between two."""

    prompt_tokens: int = 512
    output_tokens: int = 64
    prompt_chars: int = 2000
    output_chars: int = 250


USUAL_MIX = Mix()


@dataclass(frozen=True)
class Basis:
    """What a comparison rests on: the yardstick, the profiles, and the characters per token of models."""

    profiles: Sequence[Profile]
    mode: str = "default"  # default, helm or roofline
    hardware: str | None = None
    mix: Mix = USUAL_MIX
    texts: Mapping[str, Text] = field(default_factory=dict[str, Text])
    batch: int = 1  # requests at once, by the roofline; a profile has its own


@dataclass(frozen=True)
class Took:
    """What the calls of one model took, and would have: medians over the calls, and over their ratios."""

    requests: int
    left_out: Mapping[str, int]
    denoised: Denoised
    raw_s: float
    denoised_s: float | None
    idealized_s: float | None
    raw_over_denoised: float | None
    raw_over_idealized: float | None
    extrapolated: int  # how many of them lie outside of what the yardstick's profile was measured at


@dataclass(frozen=True)
class Compared:
    """One model: its calls, and the yardstick's answers in tokens and in text, or why there is none."""

    model: str
    took: Took | None
    of_mix: Idealized | None
    of_text: Idealized | None
    text: Text | None
    why_no_idealized: str = ""
    why_no_text: str = ""


class Yardstick(NamedTuple):
    """How to tell the runtime of requests to one model: of many at once, and of one with all that follows."""

    runtimes_s: Callable[[Floats, Floats], Floats]
    answer: Callable[[int, int], Idealized]
    profile: Profile | None = None  # None: the roofline


def compare(calls: Mapping[str, Samples], basis: Basis) -> tuple[Compared, ...]:
    """Every model that was called, the slowest against its yardstick first."""
    found = [compared(model, samples, basis) for model, samples in calls.items()]
    return tuple(sorted(found, key=lambda each: (-((each.took and each.took.raw_over_idealized) or 0.0), each.model)))


def compared(model: str, samples: Samples | None, basis: Basis) -> Compared:
    """One model, with its calls where it has any."""
    stick, why_not = yardstick(model, basis)
    text = _text_of(model, samples, basis)
    return Compared(
        model, _took(samples, model, stick) if samples else None,
        stick.answer(basis.mix.prompt_tokens, basis.mix.output_tokens) if stick else None,
        _answer_to(stick, basis.mix, text) if stick and text else None,
        text, why_not, "" if text else NO_TEXT,
    )  # fmt: skip


def _took(samples: Samples, model: str, stick: Yardstick | None) -> Took:
    """The calls of one model, beside what they would have taken."""
    told, raw_s = denoise(samples, model), samples.runtime_s
    alone_s = stick.runtimes_s(samples.prompt_tokens, samples.output_tokens) if stick else None
    quiet_s = _runtimes_s(told.profile, samples) if told.profile else None
    return Took(
        len(samples), samples.left_out, told, float(np.median(raw_s)), _median(quiet_s), _median(alone_s),
        _ratio(raw_s, quiet_s), _ratio(raw_s, alone_s), _extrapolated(stick, samples),
    )  # fmt: skip


def _extrapolated(stick: Yardstick | None, samples: Samples) -> int:
    if stick is None or stick.profile is None:
        return 0
    beyond = outside(stick.profile, samples.prompt_tokens, samples.output_tokens)
    return int(np.sum(beyond["prompt_tokens"] | beyond["output_tokens"]))


def yardstick(model: str, basis: Basis) -> tuple[Yardstick | None, str]:
    """What tells the idealized runtime of a model, or why nothing does."""
    try:
        return (_roofline if basis.mode == "roofline" else _profiled)(model, basis), ""
    except JoulebookError as error:
        return None, str(error)


def _profiled(model: str, basis: Basis) -> Yardstick:
    def answer(prompt_tokens: int, output_tokens: int) -> Idealized:
        return idealized(Request(model, prompt_tokens, output_tokens, 1, basis.hardware), basis.profiles, basis.mode)

    if not store.of_model(basis.profiles, model):
        raise NotFound("nobody profiled it: its architecture is closed, or nobody has measured it yet")
    told = answer(basis.mix.prompt_tokens, basis.mix.output_tokens)
    profile = next((each for each in basis.profiles if each.profile_id == told.profile), None)
    if profile is None:
        raise JoulebookError(CLOSED)

    def runtimes_s(prompt_tokens: Floats, output_tokens: Floats) -> Floats:
        return times_s(profile, prompt_tokens, output_tokens, basis.mode).runtime_s

    return Yardstick(runtimes_s, answer, profile)


def _roofline(model: str, basis: Basis) -> Yardstick:
    from joulebook.models.roofline import catalogue
    from joulebook.models.runtime.by_roofline import by_roofline, runtimes_by_roofline

    card = catalogue.find(model)

    def answer(prompt_tokens: int, output_tokens: int) -> Idealized:
        return by_roofline(Request(model, prompt_tokens, output_tokens, basis.batch, basis.hardware), card)

    return Yardstick(runtimes_by_roofline(card, basis.hardware, basis.batch), answer)


def _runtimes_s(profile: Profile, samples: Samples) -> Floats:
    return times_s(profile, samples.prompt_tokens, samples.output_tokens).runtime_s


def _median(values: Floats | None) -> float | None:
    return None if values is None else float(np.median(values))


def _ratio(values: Floats, others: Floats | None) -> float | None:
    """The median of what each call took against what it would have."""
    return None if others is None else float(np.median(values / others))


# The same text ----------------------------------------------------------------------------------------------------


def _text_of(model: str, samples: Samples | None, basis: Basis) -> Text | None:
    """How much text a token of a model is: by the user's table, its calls, or its profile."""
    profiles = [each.text for each in store.of_model(basis.profiles, model)]
    name = model.casefold()
    told = basis.texts.get(name) or basis.texts.get(name.rpartition("/")[2])
    found = [told, samples.text if samples else None, *profiles]
    return next((_both(each) for each in found if each), None)


def _both(text: Text) -> Text:
    """Of prompts and of answers: a tokenizer is one and the same, so each stands in for the other."""
    prompt, output = text.chars_per_prompt_token, text.chars_per_output_token
    return Text(prompt or output, output or prompt)


def _answer_to(stick: Yardstick, mix: Mix, text: Text) -> Idealized:
    """The yardstick's answer to the reference text, in the model's own tokens."""
    return stick.answer(tokens_of(mix.prompt_chars, text.chars_per_prompt_token),
                        tokens_of(mix.output_chars, text.chars_per_output_token))  # fmt: skip


def tokens_of(chars: int, chars_per_token: float | None) -> int:
    """How many tokens a text is."""
    return max(round(chars / (chars_per_token or 1.0)), 1)
