"""The model cards that came with joulebook: `data/tables/model_cards.csv`, an open model a row, from its `config.json`.

    "meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b" ─> find ─> ModelCard

A model is found by its whole name, without its owner, and without the words that say how it was tuned: that changes no
size. A model that is not here has no card: the architecture of a closed model is not known, and none is guessed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

from joulebook.accounting.errors import NotFound
from joulebook.accounting.near import near
from joulebook.models.roofline.cards import Experts, Latent, ModelCard, Window

SIZES = ("layers", "width", "heads", "kv_heads", "head_width", "ffn_width", "vocabulary", "ffn_matrices")
EXPERTS = ("experts", "active_experts", "shared_width", "dense_layers", "dense_width")
WINDOW = ("windowed_layers", "window_tokens")
LATENT = ("query_rank", "kv_rank", "plain_width", "rope_width", "value_width")
COLUMNS = ("name", *SIZES[:6], "ffn_matrices", "vocabulary", "tied", "precision", *EXPERTS, *WINDOW, *LATENT,
           "published_parameters", "basis", "source", "url", "licence", "retrieved")  # fmt: skip
TUNED = {"instruct", "chat", "hf", "it", "base", "meta"}  # words of a name that change no size


@cache
def load() -> Mapping[str, ModelCard]:
    """All cards by the name of their model."""
    return {row["name"]: _card(row) for row in rows()}


@cache
def rows() -> tuple[Mapping[str, str], ...]:
    """The table as it stands, each row with its source."""
    table = resources.files("joulebook.data") / "tables" / "model_cards.csv"
    return tuple(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


def find(name: str) -> ModelCard:
    """The card of a model. Raises NotFound with those that are called nearly the same."""
    known = _by_short_name()
    card = load().get(name) or known.get(short_name(name))
    if card is None:
        likely = [known[each].name for each in near(short_name(name), known)]
        hint = f"; near: {', '.join(likely)}" if likely else ""
        raise NotFound(
            f"there is no model card of {name!r}{hint}. The architecture of a closed model is not known; your own goes "
            "by its config.json: `joulebook roofline --config`"
        )
    return card


def short_name(name: str) -> str:
    """A name without its owner and without how the model was tuned."""
    words = name.casefold().rsplit("/", 1)[-1].replace("_", "-").replace(":", "-").split("-")
    return "-".join(word for word in words if word not in TUNED)


@cache
def _by_short_name() -> Mapping[str, ModelCard]:
    return {short_name(name): card for name, card in load().items()}


def _card(row: Mapping[str, str]) -> ModelCard:
    return ModelCard(
        row["name"], *(int(row[size]) for size in SIZES), tied=row["tied"] == "yes", precision=row["precision"],
        experts=Experts(*(int(row[name]) for name in EXPERTS)) if row["experts"] else None,
        window=Window(*(int(row[name]) for name in WINDOW)) if row["windowed_layers"] else None,
        latent=Latent(*(int(row[name]) for name in LATENT)) if row["kv_rank"] else None,
    )  # fmt: skip
