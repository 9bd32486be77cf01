"""What a provider reports, in units, and those in parts that do not overlap: each sum is done by hand."""

from __future__ import annotations

from typing import Any

import fake_server as fake
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebook.accounting import usage

Amounts = dict[str, float]
CLAUDE = {"input_tokens": 50, "cache_read_tokens": 8000, "cache_write_5m_tokens": 1500, "cache_write_1h_tokens": 500,
          "output_tokens": 120, "web_searches": 2}  # fmt: skip
GEMINI_AUDIO = {
    "promptTokenCount": 700, "candidatesTokenCount": 80, "thoughtsTokenCount": 40, "totalTokenCount": 820,
    "cachedContentTokenCount": 300, "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 300}],
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 300}, {"modality": "AUDIO", "tokenCount": 400}],
}  # fmt: skip

SHAPES: list[tuple[str, str | None, str, Any, Amounts]] = [
    # 1200 − 1024 = 176; 300 − 128 = 172
    ("openai chat", "openai", "/v1/chat/completions", {"usage": fake.OPENAI_USAGE},
     {"input_tokens": 176, "cache_read_tokens": 1024, "output_tokens": 172, "output_reasoning_tokens": 128}),
    ("openai responses", "openai", "/v1/responses", {"usage": fake.RESPONSES_USAGE},
     {"input_tokens": 388, "cache_read_tokens": 512, "output_tokens": 186, "output_reasoning_tokens": 64}),
    ("responses of a server that nobody knows", None, "/v1/responses", {"usage": fake.RESPONSES_USAGE},
     {"input_tokens": 388, "cache_read_tokens": 512, "output_tokens": 186, "output_reasoning_tokens": 64}),
    # cached 60 + audio 70 − all 100 = at least 30 are both
    ("openai audio", "openai", "/v1/chat/completions",
     {"usage": {"prompt_tokens": 100, "completion_tokens": 70,
                "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 70}}},
     {"cache_read_tokens": 30, "input_audio_tokens": 40, "cache_audio_read_tokens": 30, "output_tokens": 70}),
    ("openai transcription", "openai", "/v1/audio/transcriptions",
     {"usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 45,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 14}}},
     {"input_audio_tokens": 14, "output_tokens": 45}),
    ("openai images", "openai", "/v1/images/generations",
     {"usage": {"input_tokens": 50, "output_tokens": 1000,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}},
     {"input_text_tokens": 10, "input_image_tokens": 40, "output_tokens": 1000}),
    ("openai embeddings", "openai", "/v1/embeddings", {"usage": fake.EMBEDDING_USAGE}, {"input_tokens": 16}),
    ("azure deployment", "azure", "/openai/deployments/mine/chat/completions", {"usage": fake.OPENAI_USAGE},
     {"input_tokens": 176, "cache_read_tokens": 1024, "output_tokens": 172, "output_reasoning_tokens": 128}),
    ("anthropic", "anthropic", "/v1/messages", {"usage": fake.ANTHROPIC_USAGE}, CLAUDE),
    ("anthropic behind a proxy", None, "/v1/messages", {"usage": fake.ANTHROPIC_USAGE}, CLAUDE),
    # 2600 written in all, 2000 of them for a known time: the 600 that are left have no time
    ("anthropic, more written than split", "anthropic", "/v1/messages",
     {"usage": {**fake.ANTHROPIC_USAGE, "cache_creation_input_tokens": 2600}}, {**CLAUDE, "cache_write_tokens": 600}),
    ("claude on bedrock", "aws", "/model/anthropic.claude/invoke", {"usage": fake.ANTHROPIC_USAGE}, CLAUDE),
    ("claude on vertex", "google", "/v1/publishers/anthropic/models/claude:rawPredict",
     {"usage": fake.ANTHROPIC_USAGE}, CLAUDE),
    # 820 = 700 + 80 + 40: the thoughts are beside the candidates
    ("gemini", "google", "/v1beta/models/m:generateContent", {"usageMetadata": fake.GEMINI_USAGE},
     {"input_text_tokens": 400, "cache_text_read_tokens": 300, "output_tokens": 80, "output_reasoning_tokens": 40}),
    # 820 = 700 + 120: here they are inside
    ("gemini, thoughts inside", "google", "/v1beta/models/m:generateContent",
     {"usageMetadata": {"promptTokenCount": 700, "candidatesTokenCount": 120, "thoughtsTokenCount": 40,
                        "totalTokenCount": 820}},
     {"input_tokens": 700, "output_tokens": 80, "output_reasoning_tokens": 40}),
    ("gemini, cached sound", "google", "/v1beta/models/m:generateContent", {"usageMetadata": GEMINI_AUDIO},
     {"input_text_tokens": 300, "input_audio_tokens": 100, "cache_audio_read_tokens": 300, "output_tokens": 80,
      "output_reasoning_tokens": 40}),
    ("bedrock converse", "aws", "/model/m/converse", {"usage": fake.BEDROCK_USAGE},
     {"input_tokens": 100, "cache_read_tokens": 2500, "cache_write_5m_tokens": 400, "cache_write_1h_tokens": 100,
      "output_tokens": 60}),
    ("mistral", "mistral", "/v1/chat/completions", {"usage": {**fake.MISTRAL_USAGE, "prompt_audio_seconds": 12}},
     {"input_tokens": 210, "output_tokens": 90, "input_audio_seconds": 12}),
    ("cohere is billed by its own units", "cohere", "/v2/chat",
     {"usage": {**fake.COHERE_USAGE, "cached_tokens": 300}}, {"input_tokens": 40, "output_tokens": 25}),
    ("cohere rerank", "cohere", "/v2/rerank", {"meta": {"billed_units": {"search_units": 2}}}, {"rerank_searches": 2}),
    ("deepseek", "deepseek", "/chat/completions", {"usage": fake.DEEPSEEK_USAGE},
     {"input_tokens": 128, "cache_read_tokens": 512, "output_tokens": 50, "output_reasoning_tokens": 150}),
    ("deepseek, hits alone", "deepseek", "/chat/completions",
     {"usage": {"prompt_tokens": 640, "completion_tokens": 200, "prompt_cache_hit_tokens": 512}},
     {"input_tokens": 128, "cache_read_tokens": 512, "output_tokens": 200}),
    # 160 in all = 100 + 10 + 50: xAI counts reasoning beside the output
    ("xai", "x-ai", "/v1/chat/completions",
     {"usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 160,
                "completion_tokens_details": {"reasoning_tokens": 50}}},
     {"input_tokens": 100, "output_tokens": 10, "output_reasoning_tokens": 50}),
    ("a server of one's own", None, "/v1/chat/completions", {"usage": fake.VLLM_USAGE},
     {"input_tokens": 33, "output_tokens": 21}),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "path", "answer", "expected"), [case[1:] for case in SHAPES],
                         ids=[case[0] for case in SHAPES])  # fmt: skip
def test_the_shapes_of_providers(provider: str | None, path: str, answer: Any, expected: Amounts) -> None:
    assert usage.disjoint(usage.reported(answer, provider, path)) == expected


@pytest.mark.parametrize("answer", [{}, {"usage": {}}, {"usage": {"words": 3}}, {"usage": None}])
def test_what_has_no_usage_is_no_zero(answer: Any) -> None:
    with pytest.raises(usage.Unreadable, match="no usage that can be read"):
        usage.reported(answer, "openai", "/v1/chat/completions")


def test_parts_that_are_more_than_their_whole_are_refused() -> None:
    told = {"usage": {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 400}}}
    with pytest.raises(usage.Unreadable, match="parts of input_tokens add up to 400, more than the 100 of it"):
        usage.disjoint(usage.reported(told, "openai", "/v1/chat/completions"))


def test_a_unit_that_nobody_knows_is_refused() -> None:
    with pytest.raises(usage.Unreadable, match="unknown unit 'words'"):
        usage.disjoint({"words": 3.0})


def test_sums_of_parts() -> None:
    buckets = {"input_tokens": 50.0, "cache_read_tokens": 8000.0, "cache_write_5m_tokens": 1500.0, "output_tokens": 9.0}
    tokens = ("family", "tokens")
    assert usage.total(buckets, tokens, ("direction", "input")) == 9550
    assert usage.total(buckets, tokens, ("token_type", "cache_write")) == 1500
    assert usage.total(buckets, ("token_type", "reasoning")) is None


# Properties: what providers count is what the buckets add up to.

counts = st.integers(0, 10**9)
details = st.fixed_dictionaries({}, optional={"cached_tokens": counts, "audio_tokens": counts, "image_tokens": counts})
written = st.fixed_dictionaries({}, optional={"reasoning_tokens": counts, "audio_tokens": counts})
chats = st.fixed_dictionaries({
    "prompt_tokens": counts, "completion_tokens": counts, "prompt_tokens_details": details,
    "completion_tokens_details": written,
})  # fmt: skip


def sides(buckets: Amounts) -> tuple[float, float]:
    """All input, all output."""
    into, out = (usage.total(buckets, ("family", "tokens"), ("direction", one)) for one in ("input", "output"))
    return into or 0.0, out or 0.0


@given(chats)
def test_buckets_of_a_chat_add_up_to_what_the_provider_counted_or_are_refused(told: Any) -> None:
    try:
        buckets = usage.disjoint(usage.reported({"usage": told}, "openai", "/v1/chat/completions"))
    except usage.Unreadable:
        into, out = told["prompt_tokens_details"], told["completion_tokens_details"]
        assert not is_possible(told["prompt_tokens"], into) or not is_possible(told["completion_tokens"], out)
        return
    assert all(amount > 0 for amount in buckets.values())
    assert sides(buckets) == pytest.approx((told["prompt_tokens"], told["completion_tokens"]))


def is_possible(whole: int, parts: dict[str, int]) -> bool:
    """Whether all parts find room in their whole, beside each other: sound and pictures never overlap."""
    return sum(parts.values()) <= whole


@given(st.tuples(counts, counts, counts, counts, counts))
def test_buckets_of_claude_add_up_to_all_that_went_in(told: tuple[int, int, int, int, int]) -> None:
    """Anthropic's input is beside its caches: a sum of what it counts, whatever the numbers are."""
    plain, read, five, hour, out = told
    answer = {"input_tokens": plain, "cache_read_input_tokens": read, "cache_creation_input_tokens": five + hour,
              "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
              "output_tokens": out}  # fmt: skip
    buckets = usage.disjoint(usage.reported({"usage": answer}, "anthropic", "/v1/messages"))
    assert sides(buckets) == pytest.approx((plain + read + five + hour, out))
    assert buckets.get("input_tokens", 0) == plain


@given(st.tuples(counts, counts, counts, counts), st.booleans())
def test_buckets_of_gemini_add_up_to_its_total(told: tuple[int, int, int, int], is_inside: bool) -> None:
    prompt, cached, candidates, thoughts = told
    cached, shown = min(cached, prompt), candidates + thoughts if is_inside else candidates
    total = prompt + shown + (0 if is_inside else thoughts)
    answer = {"promptTokenCount": prompt, "cachedContentTokenCount": cached, "candidatesTokenCount": shown,
              "thoughtsTokenCount": thoughts, "totalTokenCount": total}  # fmt: skip
    buckets = usage.disjoint(usage.reported({"usageMetadata": answer}, "google", "/v1beta/models/m:generateContent"))
    assert sum(sides(buckets)) == pytest.approx(total)
    assert all(amount > 0 for amount in buckets.values())


@given(st.dictionaries(st.sampled_from(sorted(usage.units())), counts, max_size=6))
def test_whatever_is_reported_no_bucket_is_below_zero(amounts: dict[str, int]) -> None:
    try:
        buckets = usage.disjoint({unit: float(amount) for unit, amount in amounts.items()})
    except usage.Unreadable:
        return
    assert all(amount > 0 for amount in buckets.values())
    for unit, amount in amounts.items():
        inside = usage.unit_of(unit).dimensions
        parts = [value for name, value in buckets.items() if inside <= usage.unit_of(name).dimensions]
        assert sum(parts) == pytest.approx(amount), unit
