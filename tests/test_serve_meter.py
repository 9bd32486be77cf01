"""`joulebook serve-meter`: what passes is what came, each call is noted, and energy is shared over the calls."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from handmade import START_NS, HandmadeJournal
from hypothesis import given
from hypothesis import strategies as st
from recording import events, fresh_settings, of, wait_until

from joulebook import configure, track
from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.accounting.served import Ends, Open, Piece, shared
from joulebook.collectors.api import server_meter
from joulebook.collectors.api.server_meter import Meter, Upstream, upstream_of
from joulebook.reports import as_json, views

USAGE = {"prompt_tokens": 8, "completion_tokens": 24, "total_tokens": 32}
ANSWER = {"id": "chatcmpl-1", "object": "chat.completion", "model": "tiny", "usage": USAGE,
          "choices": [{"index": 0, "message": {"role": "assistant", "content": "a secret answer"}}]}  # fmt: skip
ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "a secret question"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def settings():
    with fresh_settings():
        yield


# Sharing ----------------------------------------------------------------------------------------------------------


def even(*pieces):
    return [Piece(from_s, to_s, Ends(energy_j, energy_j, energy_j)) for from_s, to_s, energy_j in pieces]


# 10 W, 20 W and 3 W, for 10 s each. A: 100 tokens in 10 s, 10 a second. B: 300 in 10 s, 30 a second.
PIECES = even((0, 10, 100), (10, 20, 200), (20, 30, 30))
A, B, UNTOLD = Open(5, 15, 100), Open(10, 20, 300), Open(22, 24, None)


def test_energy_is_shared_by_the_tokens_per_second_of_the_calls_that_are_open():
    shares = shared(PIECES, [A, B, UNTOLD])
    # A: 5 s alone at 10 W, then a quarter (10 of 40 tokens a second) of 5 s at 20 W. B: three quarters, then 5 s alone.
    assert shares.calls == [
        pytest.approx((50, 50 + 25, 50 + 100)),
        pytest.approx((100, 75 + 100, 100 + 100)),
        (0, 0, 0),
    ]
    assert shares.served.mid == pytest.approx(75 + 175)
    assert shares.untold.mid == pytest.approx(2 * 3)  # 2 s at 3 W
    assert shares.idle.mid == pytest.approx(5 * 10 + 8 * 3)
    assert 75 + 175 + 6 + 74 == 330  # all of it


def test_a_call_of_unknown_tokens_takes_nothing_from_others_but_makes_them_less_sure():
    (a, _) = shared(PIECES, [A, Open(0, 30, None)]).calls
    assert a == pytest.approx((0, 50 + 100, 50 + 100))


def test_each_end_of_the_range_is_shared_at_its_own_end():
    pieces = [Piece(0, 10, Ends(50, 100, 400))]
    (first, second) = shared(pieces, [Open(0, 10, 10), Open(5, 10, 15)]).calls
    # 10 s of 1 token a second beside 5 s of 3: alone for 5 s at 5 W; 5 s at 10 W and a quarter of 5; all at 40 W
    assert first == pytest.approx((25, 50 + 12.5, 400))
    assert second == pytest.approx((0, 37.5, 200))


TIMES = st.floats(0, 1e5)
ENERGIES = st.floats(0, 1e6)


@given(
    st.lists(st.tuples(TIMES, TIMES, ENERGIES), max_size=12),
    st.lists(st.tuples(TIMES, TIMES, st.none() | st.floats(0, 1e6)), max_size=12),
)
def test_shares_and_idle_time_add_up_to_the_energy_of_the_run(pieces, calls):
    given_pieces = even(*[(min(a, b), max(a, b), energy) for a, b, energy in pieces])
    shares = shared(given_pieces, [Open(min(a, b), max(a, b), tokens) for a, b, tokens in calls])
    whole = sum(piece.energy_j.mid for piece in given_pieces)
    parts = sum(call.mid for call in shares.calls) + shares.idle.mid + shares.untold.mid
    assert parts == pytest.approx(whole, rel=1e-6, abs=1e-3)
    assert sum(call.mid for call in shares.calls) == pytest.approx(shares.served.mid, rel=1e-6, abs=1e-3)
    assert all(call.low <= call.mid * (1 + 1e-6) + 1e-3 for call in shares.calls)
    assert all(call.mid <= call.high * (1 + 1e-6) + 1e-3 for call in shares.calls)


def test_what_is_used_in_no_time_late_in_a_run_is_all_told():
    assert shared([Piece(65536, 65536, Ends(145, 145, 145))], []).idle == pytest.approx((145, 145, 145), rel=1e-12)


def a_served_run(home):
    journal = HandmadeJournal(home, version=3)
    journal.sensor("plug", "J", method="measured")
    run_id = journal.start(0, "server", counters={"plug": 0})
    for from_s, to_s, tokens in (A, B, UNTOLD):
        units = {"units": [["input_tokens", "20"], ["output_tokens", str(tokens - 20)]]} if tokens else {}
        journal.event("call", to_s, call_id=uuid7(), source="server", run_id=run_id, span_id=run_id,
                      request_model="tiny", status=200, outcome="ok", started_ns=START_NS + from_s * 10**9,
                      duration_s=to_s - from_s, **units)  # fmt: skip
    journal.tick(10, plug=100)
    journal.tick(20, plug=300)
    journal.end(30, run_id, counters={"plug": 330})
    journal.write()
    ingest(home)
    return as_json.plain(as_json.run(views.run(open_ledger(home), run_id)))


def test_a_run_shows_what_its_calls_used(home):
    told = a_served_run(home)
    calls, idle, unknown = told["served"]
    assert (calls["what"], calls["calls"], calls["input_tokens"], calls["output_tokens"]) == ("calls", 2, 40, 360)
    assert calls["energy_j"]["mid"] == pytest.approx(250)
    per_token = calls["energy_per_token_j"]
    assert (per_token["mid"], per_token["unit"], per_token["method"]) == (
        pytest.approx(250 / 400), "J/token", "measured")  # fmt: skip
    assert (idle["what"], idle["energy_j"]["mid"]) == ("idle", pytest.approx(74))
    assert (unknown["what"], unknown["calls"], unknown["energy_j"]["mid"]) == ("unknown", 1, pytest.approx(6))
    assert told["energy_j"]["mid"] == pytest.approx(250 + 74 + 6)
    b, a, untold = told["served_calls"]  # the largest first
    assert (a["energy_j"]["mid"], a["energy_per_token_j"]["mid"]) == (pytest.approx(75), pytest.approx(0.75))
    assert (b["energy_j"]["low"], b["energy_j"]["mid"], b["energy_j"]["high"]) == pytest.approx((100, 175, 200))
    assert (b["method"], b["rests_on"]) == ("attributed", "measured")
    assert untold["energy_j"]["mid"] is None
    assert untold["energy_j"]["reason"] == "nobody knows its tokens"
    assert any("The energy of this run is measured." in remark for remark in told["remarks"])


# The meter --------------------------------------------------------------------------------------------------------


class Server(BaseHTTPRequestHandler):
    """An inference server that answers what its path says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen: list[tuple[str, str, dict[str, str], bytes]]
    step: threading.Semaphore  # one event of a stream for each
    is_left: threading.Event

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, dict(self.headers), body))
        path = self.path.partition("?")[0]
        asked = json.loads(body or b"{}")
        if path == "/silent/v1/chat/completions":
            assert not self.connection.recv(1)  # until whoever asked goes away
            self.is_left.set()
            self.close_connection = True
        elif asked.get("stream"):
            self.stream(path)
        elif path == "/broken/v1/chat/completions":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"id":')
            self.close_connection = True
        else:
            self.answer(429 if path.startswith("/busy") else 200, ANSWER)

    do_GET = do_HEAD = do_DELETE = do_POST  # noqa: N815

    def answer(self, status, told):
        data = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Own", "kept")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def stream(self, path):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        deltas = [{"id": "chatcmpl-1", "model": "tiny", "choices": [{"delta": {"content": "ab"}}]}] * 3
        try:
            for event in (*deltas, {"id": "chatcmpl-1", "model": "tiny", "choices": [], "usage": USAGE}):
                self.step.acquire()
                data = b"data: %b\n\n" % json.dumps(event).encode()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            if path.startswith("/broken"):
                self.close_connection = True
            else:
                self.wfile.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        except OSError:
            self.is_left.set()
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    own = {"seen": [], "step": threading.Semaphore(0), "is_left": threading.Event()}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Server,), own)) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.RequestHandlerClass, server.server_port
        server.shutdown()


@pytest.fixture
def metered():
    """A run, in it a meter, and behind that a server. Counters are not read by the second."""
    configure(interval_s=3600)
    with serving() as (server, port), Meter(0, Upstream("127.0.0.1", port)) as meter, track("server"), meter.serving():
        yield server, meter


def ask(meter, path=CHAT, body=ASKED, method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", meter.server_port, timeout=10)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    return connection, connection.getresponse()


def answered(meter, *args, **kwargs):
    connection, response = ask(meter, *args, **kwargs)
    with closing(connection), closing(response):
        return response.status, response.read()


def the_call(home):
    (call,) = wait_until(lambda: of(events(home), "call"))
    return call


def test_an_answer_passes_as_it_came_and_its_call_is_noted(home, metered):
    server, meter = metered
    path = f"{CHAT}?key=sk-planted-secret"
    connection, response = ask(meter, path, **{"Authorization": "Bearer sk-planted-secret", "X-Own": "1"})
    assert (response.status, response.getheader("X-Own")) == (200, "kept")
    assert json.loads(response.read()) == ANSWER
    method, seen_path, headers, body = server.seen[0]
    assert (method, seen_path, json.loads(body)) == ("POST", path, ASKED)
    assert (headers["Authorization"], headers["X-Own"]) == ("Bearer sk-planted-secret", "1")
    call = the_call(home)
    (run,) = of(events(home), "span_start")
    assert (call["run_id"], call["span_id"]) == (run["run_id"], run["span_id"])
    assert json.loads(call["usage_json"]) == {"usage": USAGE}
    told = ("source", "path", "operation", "status", "outcome", "response_id", "request_model")
    assert [call[name] for name in told] == ["server", CHAT, "chat", 200, "ok", "chatcmpl-1", "tiny"]
    assert "secret" not in json.dumps(events(home))
    connection.request("POST", CHAT, json.dumps(ASKED))  # the connection stays open for another
    assert connection.getresponse().status == 200
    connection.close()


def test_each_piece_of_a_stream_passes_when_it_comes(home, metered):
    server, meter = metered
    connection, response = ask(meter, body=ASKED | {"stream": True})
    for _ in range(4):
        server.step.release()  # the server sends one event, and no more before we have it
        assert response.readline().startswith(b"data: {")
        assert response.readline() == b"\n"
    assert response.read() == b"data: [DONE]\n\n"
    connection.close()
    call = the_call(home)
    assert (call["is_stream"], call["outcome"], json.loads(call["usage_json"])) == (True, "ok", {"usage": USAGE})
    assert call["chunks"] >= 4


def test_streaming_and_not_give_the_same_tokens(home, metered):
    server, meter = metered
    server.step.release(4)
    answered(meter)
    answered(meter, body=ASKED | {"stream": True})
    wait_until(lambda: len(of(events(home), "call")) == 2)
    ingest(home)
    told = open_ledger(home).rows("select input_tokens, output_tokens, usage_method from api_call")
    assert [tuple(row.values()) for row in told] == [(8, 24, "measured")] * 2


def test_a_client_that_leaves_a_stream_takes_it_from_the_server(home, metered):
    server, meter = metered
    connection, response = ask(meter, body=ASKED | {"stream": True})
    server.step.release()
    response.readline()
    response.close()
    connection.close()
    server.step.release(3)
    call = the_call(home)
    assert call["outcome"] == "aborted"
    assert "usage_json" not in call


def test_a_client_that_leaves_before_the_answer_takes_its_request_from_the_server(home, metered):
    server, meter = metered
    connection = http.client.HTTPConnection("127.0.0.1", meter.server_port, timeout=10)
    connection.request("POST", "/silent/v1/chat/completions", json.dumps(ASKED))
    wait_until(lambda: server.seen)
    connection.close()
    assert server.is_left.wait(10)
    assert the_call(home)["outcome"] == "aborted"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_breaks_off_breaks_off(home, metered, stream):
    server, meter = metered
    server.step.release(4)
    with pytest.raises(http.client.IncompleteRead):
        answered(meter, f"/broken{CHAT}", ASKED | {"stream": stream})
    assert the_call(home)["outcome"] == "aborted"


def test_an_error_of_the_server_passes(home, metered):
    _, meter = metered
    status, body = answered(meter, f"/busy{CHAT}")
    assert (status, json.loads(body)) == (429, ANSWER)
    assert (the_call(home)["status"], the_call(home)["outcome"]) == (429, "error")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_what_is_no_call_passes_and_is_not_noted(home, metered, method):
    server, meter = metered
    status, body = answered(meter, "/v1/models", None, method)
    assert (status, body) == (200, b"" if method == "HEAD" else json.dumps(ANSWER).encode())
    assert server.seen[0][:2] == (method, "/v1/models")
    assert of(events(home), "call") == []


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [
        (403, CHAT, {"Host": "evil.example"}),
        (400, "v1/chat/completions", {}),
        (413, CHAT, {"Content-Length": "256000001"}),
    ],
)
def test_what_is_not_for_us_is_refused(home, metered, status, path, headers):
    server, meter = metered
    assert answered(meter, path, **headers)[0] == status
    assert server.seen == []


def test_a_body_of_unknown_length_is_refused(metered):
    _, meter = metered
    with closing(http.client.HTTPConnection("127.0.0.1", meter.server_port, timeout=10)) as connection:
        connection.putrequest("POST", CHAT)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()  # and no more: what is sent to who does not read it may break the answer off
        with closing(connection.getresponse()) as response:
            assert response.status == 411


def test_an_old_client_gets_a_stream_that_ends_with_its_connection(metered):
    server, meter = metered
    server.step.release(4)
    body = json.dumps(ASKED | {"stream": True}).encode()
    with socket.create_connection(("127.0.0.1", meter.server_port)) as client:
        host = f"127.0.0.1:{meter.server_port}"
        client.sendall(b"POST %b HTTP/1.0\r\nHost: %b\r\nContent-Length: %d\r\n\r\n%b"
                       % (CHAT.encode(), host.encode(), len(body), body))  # fmt: skip
        told = client.makefile("rb").read()
    head, _, data = told.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert data.endswith(b"data: [DONE]\n\n")


def test_before_the_server_listens_a_call_has_failed(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        upstream = Upstream("127.0.0.1", free.getsockname()[1])
    with Meter(0, upstream) as meter, track("server"), meter.serving():
        assert answered(meter) == (502, f"joulebook: the server does not answer on {upstream.port}\n".encode())
        assert the_call(home)["outcome"] == "failed"


def test_counters_are_read_where_idle_time_ends_and_begins(home, metered, monkeypatch):
    monkeypatch.setattr(server_meter, "READ_AGAIN_S", 0)
    server, meter = metered
    connection, response = ask(meter, body=ASKED | {"stream": True})
    wait_until(lambda: of(events(home), "reading"))  # while the server holds its answer back
    server.step.release(4)
    response.read()
    connection.close()
    wait_until(lambda: len(of(events(home), "reading")) == 2)
    call = the_call(home)
    before, after = of(events(home), "reading")
    assert call["started_ns"] <= before["at_ns"]
    assert before["seq"] < call["seq"] < after["seq"]


def test_at_the_end_calls_under_way_are_noted(home, monkeypatch):
    monkeypatch.setattr(server_meter, "LEAVE_S", 0.1)
    with serving() as (server, port), Meter(0, Upstream("127.0.0.1", port)) as meter, track("server"):
        with meter.serving():
            connection, response = ask(meter, body=ASKED | {"stream": True})
            server.step.release()
            response.readline()
        assert the_call(home)["outcome"] == "aborted"
        response.close()
        connection.close()


# The command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "command", "upstream"),
    [
        ("http://127.0.0.1:8001", [], ("127.0.0.1", 8001)),
        ("http://localhost:8001/", ["serve", "--port", "9"], ("localhost", 8001)),
        ("http://[::1]:8001", [], ("::1", 8001)),
        (None, ["vllm", "serve", "m", "--port", "8001"], ("127.0.0.1", 8001)),
        (None, ["llama-server", "--port=8001"], ("127.0.0.1", 8001)),
    ],
)
def test_where_the_server_listens(url, command, upstream):
    assert upstream_of(url, command) == upstream


@pytest.mark.parametrize(
    ("url", "command", "says"),
    [
        (None, ["vllm", "serve", "m"], "the command names no --port"),
        (None, ["vllm", "--port"], "the command names no --port"),
        (None, ["vllm", "--port", "many"], "is no address"),
        ("https://127.0.0.1:8001", [], "is not like http://127.0.0.1:8001"),
        ("http://api.openai.com", [], "a server on this machine"),
        ("http://127.0.0.1:8001/v1", [], "no path"),
        ("http://127.0.0.1:99999", [], "is no address"),
    ],
)
def test_an_upstream_that_is_none_is_one_sentence(url, command, says):
    with pytest.raises(InputError, match=says):
        upstream_of(url, command)


A_SERVER = """
import json, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"id": "chatcmpl-1", "model": "tiny", "choices": [],
                           "usage": {"prompt_tokens": 8, "completion_tokens": 24, "total_tokens": 32}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
with HTTPServer(("127.0.0.1", int(sys.argv[2])), Server) as server:
    print("listening", flush=True)
    server.serve_forever()
"""


def test_the_command_runs_the_server_notes_its_calls_and_exits_as_it_did(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    joulebook = Path(sys.executable).with_name("joulebook")
    command = [joulebook, "serve-meter", "--name", "tiny", "--json", "--", sys.executable, "-c", A_SERVER,
               "--port", port]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        began = json.loads(process.stderr.readline())
        assert process.stdout.readline() == "listening\n"
        assert began["upstream"] == f"http://127.0.0.1:{port}"
        connection = http.client.HTTPConnection("127.0.0.1", began["port"], timeout=10)
        connection.request("POST", CHAT, json.dumps(ASKED))
        assert json.loads(connection.getresponse().read())["usage"] == USAGE
        connection.close()
        process.send_signal(signal.SIGTERM)
        ended = json.loads(process.stderr.readline())
    assert (process.returncode, ended["exit_code"]) == (7, 7)
    ingest(home)
    (call,) = open_ledger(home).rows("select run_id::varchar as run_id, input_tokens, output_tokens from api_call")
    assert (call["input_tokens"], call["output_tokens"]) == (8, 24)
    told = as_json.plain(as_json.run(views.run(open_ledger(home), call["run_id"])))
    assert told["name"] == "tiny"
    assert told["served"][0]["energy_per_token_j"]["method"] == told["energy_j"]["method"]
    parts = [row["energy_j"]["mid"] for row in told["served"]]
    assert sum(parts) == pytest.approx(told["energy_j"]["mid"])


def test_a_port_in_use_begins_no_run(home):
    with Meter(0, Upstream("127.0.0.1", 1)) as meter:
        command = [Path(sys.executable).with_name("joulebook"), "serve-meter", "--port", str(meter.server_port),
                   "--upstream", "http://127.0.0.1:1", "--", "true"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{meter.server_port}" in done.stderr
    assert events(home) == []
