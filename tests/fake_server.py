"""A server of this machine that speaks as the APIs of models do: the shapes of their answers, streams and errors.

    with FakeServer() as server:
        server.then("429", "plain")        # how the next requests are answered; else as they ask
        openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key=API_KEY)

The first part of a path says whose API it is. Modes: `plain`, `no usage`, `429`, `500`, `malformed`, `gzip`, `cut` (the
connection ends in the middle of a stream), `hold` (a stream stops in the middle until the client is gone or `release`),
`silent` (no answer before that).
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

PROMPT = "PLANTED-PROMPT violet giraffe"
WORDS = ("PLANTED-ANSWER ", "amber ", "walrus ", "reads ", "maps.")  # 15 + 6 + 7 + 6 + 5 = 39 characters
ANSWER = "".join(WORDS)
API_KEY = "sk-PLANTED-KEY-0123456789"
WAIT_S = 10.0
Json = dict[str, Any]

OPENAI_USAGE = {
    "prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                                  "rejected_prediction_tokens": 0},
}  # fmt: skip
RESPONSES_USAGE = {
    "input_tokens": 900, "input_tokens_details": {"cached_tokens": 512, "cache_write_tokens": 0},
    "output_tokens": 250, "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 1150,
}  # fmt: skip
ANTHROPIC_USAGE = {
    "input_tokens": 50, "cache_creation_input_tokens": 2000, "cache_read_input_tokens": 8000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500}, "output_tokens": 120,
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0}, "service_tier": "priority",
    "speed": "fast", "inference_geo": "us",
}  # fmt: skip
GEMINI_USAGE = {
    "promptTokenCount": 700, "cachedContentTokenCount": 300, "candidatesTokenCount": 80, "thoughtsTokenCount": 40,
    "totalTokenCount": 820, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 700}],
    "trafficType": "ON_DEMAND",
}  # fmt: skip
BEDROCK_USAGE = {
    "inputTokens": 100, "outputTokens": 60, "totalTokens": 3160, "cacheReadInputTokens": 2500,
    "cacheWriteInputTokens": 500,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 400}, {"ttl": "1h", "inputTokens": 100}],
}  # fmt: skip
MISTRAL_USAGE = {"prompt_tokens": 210, "completion_tokens": 90, "total_tokens": 300}
COHERE_USAGE = {
    "billed_units": {"input_tokens": 40, "output_tokens": 25}, "tokens": {"input_tokens": 410, "output_tokens": 30},
}  # fmt: skip
DEEPSEEK_USAGE = {
    "prompt_tokens": 640, "completion_tokens": 200, "total_tokens": 840, "prompt_cache_hit_tokens": 512,
    "prompt_cache_miss_tokens": 128, "prompt_tokens_details": {"cached_tokens": 512},
    "completion_tokens_details": {"reasoning_tokens": 150},
}  # fmt: skip
VLLM_USAGE = {"prompt_tokens": 33, "completion_tokens": 21, "total_tokens": 54, "prompt_tokens_details": None}
EMBEDDING_USAGE = {"prompt_tokens": 16, "total_tokens": 16}
# The parts of each of these that do not overlap, by hand.
EXPECTED = {
    # 1200 − 1024 cached = 176; 300 − 128 of reasoning = 172
    "openai chat": {"input_tokens": 176, "cache_read_tokens": 1024, "output_tokens": 172,
                    "output_reasoning_tokens": 128},
    # 900 − 512 = 388; 250 − 64 = 186
    "openai responses": {"input_tokens": 388, "cache_read_tokens": 512, "output_tokens": 186,
                         "output_reasoning_tokens": 64},
    "openai embeddings": {"input_tokens": 16},
    # 50 beside the caches; 2000 written = 1500 for 5 minutes + 500 for an hour; two searches
    "anthropic": {"input_tokens": 50, "cache_read_tokens": 8000, "cache_write_5m_tokens": 1500,
                  "cache_write_1h_tokens": 500, "output_tokens": 120, "web_searches": 2},
    # all 700 are text, so the 300 cached are; 80 written + 40 thought, beside them (700 + 80 + 40 = 820)
    "google": {"input_text_tokens": 400, "cache_text_read_tokens": 300, "output_tokens": 80,
               "output_reasoning_tokens": 40},
    "mistral": {"input_tokens": 210, "output_tokens": 90},
    # billed: 40 and 25, not the 410 and 30 of its tokenizer
    "cohere": {"input_tokens": 40, "output_tokens": 25},
    # 640 − 512 hits = 128 misses; 200 − 150 = 50
    "deepseek": {"input_tokens": 128, "cache_read_tokens": 512, "output_tokens": 50, "output_reasoning_tokens": 150},
    "vllm": {"input_tokens": 33, "output_tokens": 21},
    # 100 beside the caches; 500 written = 400 for 5 minutes + 100 for an hour
    "bedrock": {"input_tokens": 100, "cache_read_tokens": 2500, "cache_write_5m_tokens": 400,
                "cache_write_1h_tokens": 100, "output_tokens": 60},
}  # fmt: skip


class FakeServer(ThreadingHTTPServer):
    """Serves on a free port of 127.0.0.1 as long as the block lasts."""

    daemon_threads = True

    def __init__(self, answers_after_s: float = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers_after_s = answers_after_s
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, Json]] = []  # path and body of each request
        self.modes: list[str] = []
        self.released = threading.Event()

    def then(self, *modes: str) -> None:
        self.modes += modes

    def release(self) -> None:
        self.released.set()

    def __enter__(self) -> FakeServer:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        request = json.loads(body) if body[:1] == b"{" else {}
        path = urlsplit(self.path).path  # what is asked of a proxy has its host before it
        self.server.asked.append((path, request))
        mode = self.server.modes.pop(0) if self.server.modes else "plain"
        time.sleep(self.server.answers_after_s)
        if mode == "silent":
            self.server.released.wait(WAIT_S)
        elif mode in ("429", "500"):
            self._json(int(mode), error(path.split("/")[1], int(mode)))
        elif mode == "malformed":
            self._send(200, "text/html", b"<html>the proxy of a hotel</html>")
        elif is_stream(path, request):
            self._stream(mode, *stream(path, request, with_usage=mode != "no usage"))
        else:
            self._json(200, plain(path, request, with_usage=mode != "no usage"), mode)

    def do_GET(self) -> None:
        self._json(200, {"object": "list", "data": [], "usage": {"prompt_tokens": 1}})

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def _json(self, status: int, answer: Any, mode: str = "plain") -> None:
        self._send(status, "application/json", json.dumps(answer).encode(), mode)

    def _send(self, status: int, content_type: str, body: bytes, mode: str = "plain") -> None:
        self.send_response(status)
        if mode == "gzip":
            body = gzip.compress(body)
            self.send_header("content-encoding", "gzip")
        for name, value in (("retry-after-ms", "1"), ("x-planted", "PLANTED-HEADER"), ("content-type", content_type)):
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, mode: str, content_type: str, pieces: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("transfer-encoding", "chunked")
        packer = zlib.compressobj(wbits=31) if mode == "gzip" else None
        if packer:
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        for number, piece in enumerate(pieces):
            if number == len(pieces) // 2 and mode in ("cut", "hold"):
                if mode == "hold":
                    self.server.released.wait(WAIT_S)
                self.close_connection = True
                return
            sent = packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) if packer else piece
            self._chunk(sent)
        self._chunk(packer.flush() if packer else b"")
        if packer:
            self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def is_stream(path: str, request: Json) -> bool:
    return bool(request.get("stream")) or ":stream" in path or path.endswith("-stream")


def error(vendor: str, status: int) -> Any:
    """What an error looks like; its text must never be written anywhere."""
    text = "PLANTED-ERROR about your prompt"
    if vendor == "anthropic":
        return {
            "type": "error",
            "error": {"type": "rate_limit_error" if status == 429 else "api_error", "message": text},
        }
    if vendor == "google":
        return {"error": {"code": status, "status": "RESOURCE_EXHAUSTED", "message": text}}
    if vendor == "bedrock":
        return {"message": text, "__type": "ThrottlingException"}
    if vendor == "cohere":
        return {"id": "e-1", "message": text}
    return {"error": {"message": text, "type": "requests" if status == 429 else "server_error", "code": None}}


def plain(path: str, request: Json, with_usage: bool) -> Any:
    vendor = path.split("/")[1]
    if path.endswith("/embeddings"):
        vector = base64.b64encode(struct.pack("<2f", 0.25, -0.5)).decode()
        data = [{"object": "embedding", "index": 0, "embedding": vector}]
        return {"object": "list", "model": "text-embedding-3-small", "data": data, **_used(EMBEDDING_USAGE, with_usage)}
    if path.endswith("/responses"):
        return _response(ANSWER, with_usage)
    return _PLAIN["anthropic" if path.endswith("/invoke") else vendor](with_usage)


def stream(path: str, request: Json, with_usage: bool) -> tuple[str, list[bytes]]:
    """The type of a stream, and its pieces."""
    vendor = path.split("/")[1]
    if vendor == "bedrock":
        invoke = path.endswith("/invoke-with-response-stream")
        return "application/vnd.amazon.eventstream", _invoke_frames() if invoke else _converse_frames(with_usage)
    if path.endswith("/responses"):
        return "text/event-stream", [_sse(event, event["type"]) for event in _response_events(with_usage)]
    if vendor in _STREAMS:
        return "text/event-stream", list(_STREAMS[vendor](with_usage))
    options = request.get("stream_options") or {}
    is_told = with_usage and (options.get("include_usage") or vendor in ("mistral", "deepseek", "vllm"))
    return "text/event-stream", list(_chat_chunks(vendor, bool(is_told)))


def _used(usage: Json, with_usage: bool) -> Json:
    return {"usage": usage} if with_usage else {}


def _sse(data: Any, event: str | None = None) -> bytes:
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {json.dumps(data)}\n\n".encode()


# Chat completions, of OpenAI and of those who speak like it.

_MODELS = {
    "openai": "gpt-4o-2024-08-06", "mistral": "mistral-small-2603", "deepseek": "deepseek-chat", "vllm": "tiny-llama",
}  # fmt: skip
_CHAT_USAGE = {
    "openai": OPENAI_USAGE, "mistral": MISTRAL_USAGE, "deepseek": DEEPSEEK_USAGE, "vllm": VLLM_USAGE,
}  # fmt: skip


def _chat(vendor: str, with_usage: bool) -> Json:
    message = {"role": "assistant", "content": ANSWER}
    choices = [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}]
    tier = {"service_tier": "flex"} if vendor == "openai" else {}
    about = {"id": "chat-1", "object": "chat.completion", "created": 1_767_225_600, "model": _MODELS[vendor]}
    return {**about, "choices": choices, **tier, **_used(_CHAT_USAGE[vendor], with_usage)}


def _chat_chunks(vendor: str, with_usage: bool) -> Iterator[bytes]:
    """OpenAI sends its usage in a chunk of its own; the others, in the last one that has a choice."""
    about = {"id": "chat-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": _MODELS[vendor]}
    about |= {"service_tier": "flex"} if vendor == "openai" else {}
    nothing = {"usage": None} if with_usage and vendor == "openai" else {}

    def chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
        return _sse({**about, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

    yield chunk({"role": "assistant", "content": ""}, **nothing)
    for word in WORDS:
        yield chunk({"content": word}, **nothing)
    if vendor == "openai":
        yield chunk({}, "stop", **nothing)
        if with_usage:
            yield _sse({**about, "choices": [], "usage": OPENAI_USAGE})
    else:
        yield chunk({}, "stop", **_used(_CHAT_USAGE[vendor], with_usage))
    yield b"data: [DONE]\n\n"


# OpenAI's responses.


def _response(text: str, with_usage: bool, status: str = "completed") -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    output = [{"type": "message", "id": "msg-1", "role": "assistant", "status": "completed", "content": content}]
    about = {"id": "resp-1", "object": "response", "created_at": 1_767_225_600, "model": "gpt-5-2025-08-07"}
    more = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None, "metadata": {}}
    usage = RESPONSES_USAGE if with_usage else None
    tier = {"service_tier": "default"}
    return {**about, **more, **tier, "status": status, "output": output if text else [], "usage": usage}


def _response_events(with_usage: bool) -> list[Json]:
    place = {"item_id": "msg-1", "output_index": 0, "content_index": 0}
    events: list[Json] = [{"type": "response.created", "response": _response("", False, "in_progress")}]
    events += [{"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in WORDS]
    events += [
        {"type": "response.output_text.done", **place, "text": ANSWER, "logprobs": []},
        {"type": "response.completed", "response": _response(ANSWER, with_usage)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


# Anthropic.

_ANTHROPIC = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929"}


def _anthropic(with_usage: bool) -> Json:
    content = [{"type": "text", "text": ANSWER}]
    return {**_ANTHROPIC, "content": content, "stop_reason": "end_turn", "stop_sequence": None,
            **_used(ANTHROPIC_USAGE, with_usage)}  # fmt: skip


def _anthropic_events(with_usage: bool = True) -> list[Json]:
    """The usage of the end is cumulative and has no split of the cache."""
    start = {**ANTHROPIC_USAGE, "output_tokens": 1, "server_tool_use": None}
    end = {"output_tokens": 120, "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0}}
    message = {**_ANTHROPIC, "content": [], "stop_reason": None, "stop_sequence": None, **_used(start, with_usage)}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": one}} for one in WORDS
    ]
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            **_used(end, with_usage),
        },
        {"type": "message_stop"},
    ]


def _anthropic_stream(with_usage: bool) -> Iterator[bytes]:
    return (_sse(event, event["type"]) for event in _anthropic_events(with_usage))


# Gemini: cumulative usage in every chunk.


def _gemini(with_usage: bool, text: str = ANSWER, share: float = 1.0, finish: str | None = "STOP") -> Json:
    candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    usage = {**GEMINI_USAGE, "candidatesTokenCount": round(80 * share), "totalTokenCount": 740 + round(80 * share)}
    about = {"modelVersion": "gemini-2.5-pro", "responseId": "gem-1"}
    done = {"finishReason": finish} if finish else {}
    return {"candidates": [{**candidate, **done}], **about, **({"usageMetadata": usage} if with_usage else {})}


def _gemini_stream(with_usage: bool) -> Iterator[bytes]:
    for number, word in enumerate(WORDS, 1):
        is_last = number == len(WORDS)
        yield _sse(_gemini(with_usage, word, number / len(WORDS), "STOP" if is_last else None))


# Cohere.


def _cohere(with_usage: bool) -> Json:
    message = {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}
    return {"id": "co-1", "finish_reason": "COMPLETE", "message": message, **_used(COHERE_USAGE, with_usage)}


def _cohere_stream(with_usage: bool) -> Iterator[bytes]:
    start = {"type": "message-start", "id": "co-1", "delta": {"message": {"role": "assistant"}}}
    texts = [{"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": one}}}} for one in WORDS]
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", **_used(COHERE_USAGE, with_usage)}}
    events: list[Json] = [start, *texts, end]
    return (_sse(event, event["type"]) for event in events)


# Bedrock: its own frames.


def _converse(with_usage: bool) -> Json:
    message = {"role": "assistant", "content": [{"text": ANSWER}]}
    more = {"metrics": {"latencyMs": 12}, "serviceTier": {"type": "priority"}}
    return {"output": {"message": message}, "stopReason": "end_turn", **more, **_used(BEDROCK_USAGE, with_usage)}


def _converse_frames(with_usage: bool) -> list[bytes]:
    deltas = [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in WORDS]
    usage = _used(BEDROCK_USAGE, with_usage)
    end = {**usage, "metrics": {"latencyMs": 12}, "serviceTier": {"type": "priority"}}
    events = [("messageStart", {"role": "assistant"}), *deltas, ("messageStop", {"stopReason": "end_turn"}),
              ("metadata", end)]  # fmt: skip
    return [frame(name, event) for name, event in events]


def _invoke_frames() -> list[bytes]:
    metrics = {"inputTokenCount": 50, "outputTokenCount": 120, "invocationLatency": 9, "firstByteLatency": 3}
    *before, last = _anthropic_events()
    events = [*before, {**last, "amazon-bedrock-invocationMetrics": metrics}]
    return [frame("chunk", {"bytes": base64.b64encode(json.dumps(one).encode()).decode()}) for one in events]


def frame(event_type: str, payload: Json) -> bytes:
    """A message of `application/vnd.amazon.eventstream`, with both its checksums."""
    named = {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    message = prelude + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


_PLAIN = {
    **{vendor: (lambda with_usage, vendor=vendor: _chat(vendor, with_usage)) for vendor in _MODELS},
    "anthropic": _anthropic, "google": _gemini, "cohere": _cohere, "bedrock": _converse,
}  # fmt: skip
_STREAMS = {"anthropic": _anthropic_stream, "google": _gemini_stream, "cohere": _cohere_stream}
