"""What a transformer is made of: the sizes that decide how much it computes and how much it reads for each token.

    typed, a row of `data/tables/model_cards.csv`, or a `config.json` ─> ModelCard ─> parameters, bytes of its cache

Weights of a layer are those of its attention and those of its feed-forward part, which is dense or a choice of experts.
The cache of a token holds keys and values for each KV head, or one latent vector (multi-head latent attention, MLA).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention: queries and keys go through narrow vectors, and the cache holds one per token.

    `query_rank`: 0 when queries go straight. `rope_width`, `plain_width`: of a query head, with and without position.
    """

    query_rank: int
    kv_rank: int
    plain_width: int
    rope_width: int
    value_width: int


@dataclass(frozen=True)
class Experts:
    """A choice of feed-forward parts: each token goes through `active` of `count`, and through what all share.

    `dense_layers` of the model have one wide part of `dense_width` instead.
    """

    count: int
    active: int
    shared_width: int = 0
    dense_layers: int = 0
    dense_width: int = 0


@dataclass(frozen=True)
class Window:
    """`layers` of the model see no more than the last `tokens` of the context."""

    layers: int
    tokens: int


@dataclass(frozen=True)
class ModelCard:
    """The architecture of a model. `ffn_width` is that of a dense layer, or of one expert."""

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    vocabulary: int
    ffn_matrices: int = 3  # 3 gated, 2 plain
    tied: bool = False  # the output layer is the embedding itself
    precision: str = "bf16"  # as it is published
    experts: Experts | None = None
    window: Window | None = None
    latent: Latent | None = None

    @property
    def attention_parameters(self) -> int:
        """Of the attention of one layer."""
        if self.latent is None:
            return 2 * self.width * self.head_width * (self.heads + self.kv_heads)
        mla = self.latent
        query = mla.plain_width + mla.rope_width
        to_query = self.width * mla.query_rank + mla.query_rank * self.heads * query
        return (
            (to_query if mla.query_rank else self.width * self.heads * query)
            + self.width * (mla.kv_rank + mla.rope_width)
            + mla.kv_rank * self.heads * (mla.plain_width + mla.value_width)
            + self.heads * mla.value_width * self.width
        )

    @property
    def sparse_layers(self) -> int:
        """Layers with experts."""
        return self.layers - self.experts.dense_layers if self.experts else 0

    @property
    def expert_parameters(self) -> int:
        """Of one expert of one layer."""
        return self.ffn_parameters(self.ffn_width) if self.experts else 0

    @property
    def always_read(self) -> int:
        """Weights of all layers that every token goes through: attention, dense parts, shared experts, routers."""
        attention = self.layers * self.attention_parameters
        if self.experts is None:
            return attention + self.layers * self.ffn_parameters(self.ffn_width)
        each = self.ffn_parameters(self.experts.shared_width) + self.width * self.experts.count
        dense = self.experts.dense_layers * self.ffn_parameters(self.experts.dense_width)
        return attention + self.sparse_layers * each + dense

    @property
    def head_parameters(self) -> int:
        """Of the output layer, which every new token goes through once."""
        return self.width * self.vocabulary

    @property
    def parameters(self) -> int:
        """All of them; biases and norms, well under 1 %, are not counted."""
        chosen_from = self.experts.count * self.expert_parameters if self.experts else 0
        embeddings = self.head_parameters * (1 if self.tied else 2)
        return self.always_read + self.sparse_layers * chosen_from + embeddings

    @property
    def active_parameters(self) -> int:
        """Those that one token goes through."""
        chosen = self.experts.active * self.expert_parameters if self.experts else 0
        return self.always_read + self.sparse_layers * chosen + self.head_parameters

    @property
    def cache_values(self) -> int:
        """What one token leaves in the cache of one layer, in numbers."""
        if self.latent is not None:
            return self.latent.kv_rank + self.latent.rope_width
        return 2 * self.kv_heads * self.head_width

    @property
    def cache_copies(self) -> int:
        """In how many parts the cache can be split at the most: one for each KV head; a latent vector not at all."""
        return 1 if self.latent is not None else self.kv_heads

    def ffn_parameters(self, ffn_width: int) -> int:
        """Of a feed-forward part."""
        return self.ffn_matrices * self.width * ffn_width
