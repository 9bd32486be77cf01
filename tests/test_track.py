"""Spans: whose child each is, how it ended, and what a decorated function is."""

from __future__ import annotations

import asyncio
import re
import threading

import pytest
from recording import (
    Mute,
    events,
    fresh_settings,
    names_and_parents,
    of,
    span,
    wait_until,
)
from twin import powercap

from joulebook import configure, track

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(autouse=True)
def settings():
    """Each test begins and ends with no settings of its own, and closes what it opens."""
    with fresh_settings():
        yield


def test_a_span_inside_another_is_its_child(home):
    with track("run", project="search", tags={"team": "nlp", 1: None}) as run:
        with track("epoch") as epoch, track("batch", project="other") as batch:
            pass
        with track("after") as after:
            pass
    found = events(home)
    assert all(UUID7.fullmatch(one.span_id) for one in (run, epoch, batch, after))
    assert [one.run_id for one in (run, epoch, batch, after)] == [run.span_id] * 4
    assert [one.parent_id for one in (run, epoch, batch, after)] == [None, run.span_id, epoch.span_id, run.span_id]
    start = span(found, "run")[0]
    assert (start["project"], start["tags"]) == ("search", [["team", "nlp"], ["1", "None"]])
    assert "parent_id" not in start
    assert [(span(found, name)[0].get("project"), span(found, name)[0].get("tags")) for name in ("epoch", "batch")] == [
        ("search", None),
        ("other", None),
    ]
    assert [event["open"] for event in found if "open" in event] == [1, 1, 1, 1, 1, 1, 1, 0]
    assert all(end["ok"] for end in of(found, "span_end"))


def test_what_is_recorded_is_on_file_in_the_order_it_came(home):
    with track("run") as run:
        run.record("token", 4096, "token")
        run.record("energy", 1.5, "J", method="modelled")
        run.step()
        run.step(10)
        run.quality("loss", -0.25)
        run.note("first\nsecond")
    ids = {"span_id": run.span_id, "run_id": run.run_id}
    said = [event for event in events(home) if event["event"] in ("usage", "quality", "note")]
    assert all(ids.items() <= event.items() for event in said)
    assert [(e.get("kind"), e.get("amount"), e.get("unit"), e.get("method"), e.get("text")) for e in said] == [
        ("token", 4096.0, "token", "measured", None),
        ("energy", 1.5, "J", "modelled", None),
        ("step", 1.0, "step", "measured", None),
        ("step", 10.0, "step", "measured", None),
        ("loss", -0.25, None, None, None),
        (None, None, None, None, "first\nsecond"),
    ]


def test_one_object_may_be_entered_again_and_inside_itself(home):
    work = track("work")
    with work as first, work as second:
        pass
    with work as third:
        pass
    assert len({first.span_id, second.span_id, third.span_id}) == 3
    assert (second.parent_id, third.parent_id) == (first.span_id, None)


def test_an_exception_is_recorded_and_goes_on(home):
    error = ValueError("x" * 600)
    with pytest.raises(ValueError, match="xxx") as caught, track("run"):
        raise error
    assert caught.value is error
    end = span(events(home), "run")[1]
    assert (end["ok"], end["error"]) == (False, ("ValueError: " + "x" * 600)[:500])


@pytest.mark.parametrize(
    ("error", "ok", "told"),
    [
        (SystemExit(), True, None),
        (SystemExit(0), True, None),
        (SystemExit(3), False, "SystemExit: 3"),
        (SystemExit("bad input"), False, "SystemExit: bad input"),
        (KeyboardInterrupt(), False, "KeyboardInterrupt"),
        (asyncio.CancelledError(), False, "CancelledError"),
        (StopIteration(), True, None),
        (GeneratorExit(), True, None),
        (Mute(), False, "Mute: (its message cannot be read)"),
    ],
)
def test_how_a_span_ended(home, error, ok, told):
    with pytest.raises(type(error)), track("run"):
        raise error
    end = span(events(home), "run")[1]
    assert (end["ok"], end.get("error")) == (ok, told)


def test_a_decorated_function_is_a_span_at_each_call(home):
    @track
    def bare(x):
        """What it does."""
        return x + 1

    @track()
    def empty():
        return "empty"

    @track("given", project="p", tags={"a": "b"})
    def given():
        return [empty(), bare(1)]

    class Model:
        @track
        def fit(self):
            return self

        @track
        @staticmethod
        def static():
            return "static"

        @track
        @classmethod
        def made(cls):
            return cls

    model = Model()
    assert (given(), model.fit(), model.static(), Model.made()) == (["empty", 2], model, "static", Model)
    assert (bare.__name__, bare.__doc__) == ("bare", "What it does.")
    here = "test_a_decorated_function_is_a_span_at_each_call.<locals>."
    assert names_and_parents(home) == {
        "given": None, f"{here}empty": "given", f"{here}bare": "given",
        f"{here}Model.fit": None, f"{here}Model.static": None, f"{here}Model.made": None,
    }  # fmt: skip
    bare(1)
    bare(1)
    assert len(of(events(home), "span_start")) == 8


def test_recursion_nests(home):
    @track("down")
    def down(n):
        return n if n == 0 else down(n - 1)

    assert down(3) == 0
    starts = of(events(home), "span_start")
    assert [start.get("parent_id") for start in starts] == [None, *[start["span_id"] for start in starts[:3]]]


@pytest.mark.parametrize("thing", [int, "text", 3])
def test_only_functions_are_decorated(thing):
    with pytest.raises(TypeError, match="decorates functions"):
        track("name")(thing)


def test_a_generator_is_a_span_from_its_first_item_to_its_end(home):
    @track("numbers")
    def numbers():
        with track("body"):
            yield 1
        got = yield 2
        try:
            yield got
        except KeyError:
            yield "caught"
        return "result"

    with track("run"):
        items = numbers()
        assert of(events(home), "span_start")[-1]["name"] == "run"  # it has not begun
        assert next(items) == 1
        with track("consumer"):  # of the run, though the generator is in the middle of its body
            assert next(items) == 2
        assert items.send("sent") == "sent"
        assert items.throw(KeyError("k")) == "caught"
        with pytest.raises(StopIteration) as stop:
            next(items)
        assert stop.value.value == "result"
        with track("after"):
            pass
    assert names_and_parents(home) == {
        "run": None, "numbers": "run", "body": "numbers", "consumer": "run", "after": "run",
    }  # fmt: skip
    assert [end["ok"] for end in of(events(home), "span_end")] == [True] * 5


def test_generators_side_by_side_do_not_meet(home):
    @track
    def one():
        for _ in range(2):
            with track("inside one"):
                yield

    @track
    def two():
        for _ in range(2):
            with track("inside two"):
                yield

    with track("run"):
        list(zip(one(), two(), strict=True))
    here = "test_generators_side_by_side_do_not_meet.<locals>."
    assert names_and_parents(home) == {
        "run": None, f"{here}one": "run", f"{here}two": "run",
        "inside one": f"{here}one", "inside two": f"{here}two",
    }  # fmt: skip


def test_a_generator_that_is_closed_ends_well_and_one_that_fails_does_not(home):
    cleaned = []

    @track("endless")
    def endless():
        try:
            while True:
                yield
        finally:
            cleaned.append(True)

    @track("broken")
    def broken():
        yield
        raise ValueError("broken")

    items = endless()
    next(items)
    items.close()
    with pytest.raises(ValueError, match="broken"):
        list(broken())
    found = events(home)
    assert cleaned == [True]
    assert span(found, "endless")[1]["ok"] is True
    assert span(found, "broken")[1]["error"] == "ValueError: broken"


def test_asyncio_tasks_are_children_of_where_they_were_made(home):
    @track("load")
    async def load(n):
        await asyncio.sleep(0)
        with track(f"inside {n}"):
            await asyncio.sleep(0)
        return n

    @track("stream")
    async def stream():
        for n in range(3):
            with track(f"item {n}"):
                await asyncio.sleep(0)
            got = yield n
            assert got == ("sent" if n == 0 else None)

    async def main():
        async with track("run"):
            assert await asyncio.gather(load(0), load(1)) == [0, 1]
            items = stream()
            assert [await anext(items), await items.asend("sent")] == [0, 1]
            with track("consumer"):
                pass
            await items.aclose()

    asyncio.run(main())
    parents = names_and_parents(home)
    assert parents == {
        "run": None, "load": "run", "inside 0": "load", "inside 1": "load", "stream": "run", "item 0": "stream",
        "item 1": "stream", "consumer": "run",
    }  # fmt: skip
    loads = [start["span_id"] for start in of(events(home), "span_start") if start["name"] == "load"]
    inside = {s["name"]: s["parent_id"] for s in of(events(home), "span_start") if s["name"].startswith("inside")}
    assert set(inside.values()) == set(loads)  # each in its own
    assert all(end["ok"] for end in of(events(home), "span_end"))


def test_tasks_may_share_one_object(home):
    shared = track("shared")

    async def work(first, second):
        await first.wait()
        with shared as mine:
            second.set()
            await asyncio.sleep(0)
            with track("child") as child:
                assert child.parent_id == mine.span_id
            return mine.span_id

    async def main():
        now, then, never = asyncio.Event(), asyncio.Event(), asyncio.Event()
        now.set()
        return await asyncio.gather(work(now, then), work(then, never))

    assert len(set(asyncio.run(main()))) == 2
    assert len(of(events(home), "span_end")) == 4


def test_what_outlives_its_run_is_a_run_of_its_own(home):
    async def late(begun):
        await begun.wait()
        with track("late"):
            pass

    async def main():
        begun = asyncio.Event()
        with track("run"):
            task = asyncio.create_task(late(begun))
            await asyncio.sleep(0)
        begun.set()
        await task

    asyncio.run(main())
    assert names_and_parents(home) == {"run": None, "late": None}  # inside "run" nobody would count it


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def tracked(name):
    def work():
        with track(name):
            pass

    return work


def test_a_thread_joins_the_only_run_that_is_open(home):
    with track("run"):
        in_thread(tracked("of the run"))
        with track("epoch"):
            in_thread(tracked("of the epoch"))
        in_thread(tracked("of the run again"))
    in_thread(tracked("alone"))
    assert names_and_parents(home) == {
        "run": None, "of the run": "run", "epoch": "run", "of the epoch": "epoch", "of the run again": "run",
        "alone": None,
    }  # fmt: skip


def test_a_thread_does_not_choose_between_two_runs(home):
    first, second = track("first"), track("second")

    async def main():
        await asyncio.gather(hold(first), hold(second))

    entered = []

    async def hold(one):
        with one:
            entered.append(one)
            while len(entered) < 2:
                await asyncio.sleep(0)
            if one is second:
                in_thread(tracked("which"))
            entered.append(one)
            while len(entered) < 4:
                await asyncio.sleep(0)

    asyncio.run(main())
    assert names_and_parents(home) == {"first": None, "second": None, "which": None}


def test_the_innermost_span_is_the_one_of_who_opened_the_run(home):
    async def other():
        with track("of another task"):
            in_thread(tracked("in a thread"))

    async def main():
        with track("run"):
            await asyncio.create_task(other())

    asyncio.run(main())
    assert names_and_parents(home) == {"run": None, "of another task": "run", "in a thread": "run"}


def test_the_main_thread_joins_nobody(home):
    go_on, opened = threading.Event(), threading.Event()

    def work():
        with track("in a thread"):
            opened.set()
            go_on.wait()

    thread = threading.Thread(target=work)
    thread.start()
    opened.wait()
    with track("main"):
        pass
    go_on.set()
    thread.join()
    assert names_and_parents(home) == {"in a thread": None, "main": None}


def test_a_span_may_be_used_from_any_thread(home):
    with track("run") as run:
        in_thread(lambda: run.record("token", 1, "token"))
    (usage,) = of(events(home), "usage")
    assert usage["span_id"] == run.span_id


def flop_events(home) -> list[tuple[str, float, str, str, float | None, str | None]]:
    return [
        (e["kind"], e["amount"], e["unit"], e["method"], e.get("coverage"), e.get("source"))
        for e in of(events(home), "usage")
    ]


def test_flop_are_written_with_what_they_cover_and_who_counted_them(home):
    with track("run") as run:
        run.flops(6 * 7e9 * 1000)  # 6ND: 7 billion parameters, 1,000 tokens
        run.flops(2e12, method="analytic", kind="hardware", coverage=0.9)
        run.flops(3e12, method="flop_counter", coverage=None)
        run.flops(4e12, "fp_arith", 0.5, "hardware")
        run.flops(5e12, method="nsight")
        run.flops(6e12, method="analytic", source="my sheet")
        run.flops(7e12, method="measured", source="the board")
    assert flop_events(home) == [
        ("model_flop", 4.2e13, "FLOP", "declared", 1.0, None),
        ("hardware_flop", 2e12, "FLOP", "modelled", 0.9, "analytic"),
        ("model_flop", 3e12, "FLOP", "modelled", None, "flop_counter"),
        ("hardware_flop", 4e12, "FLOP", "measured", 0.5, "fp_arith"),
        ("model_flop", 5e12, "FLOP", "declared", 1.0, "nsight"),
        ("model_flop", 6e12, "FLOP", "modelled", 1.0, "my sheet"),
        ("model_flop", 7e12, "FLOP", "measured", 1.0, "the board"),
    ]


def test_a_step_has_the_flop_that_were_said_before_it(home):
    """1 step without; then 1 × 100, 3 × 100; then of both kinds, 2 × 200 and 2 × 250; then 1 step of hardware only."""
    with track("run") as run:
        run.step()
        run.flops_per_step(100.0, method="analytic", coverage=0.8)
        run.step()
        run.step(3)
        run.flops_per_step(200.0)
        run.flops_per_step(250.0, kind="hardware")
        run.step(2)
        with track("part") as part:
            part.step()  # a span of its own: nothing was said of its steps
        run.flops_per_step(0)
        run.step()
    assert [(kind, amount, coverage) for kind, amount, _, _, coverage, _ in flop_events(home)] == [
        ("step", 1.0, None),
        ("step", 1.0, None),
        ("model_flop", 100.0, 0.8),
        ("step", 3.0, None),
        ("model_flop", 300.0, 0.8),
        ("step", 2.0, None),
        ("model_flop", 400.0, 1.0),
        ("hardware_flop", 500.0, 1.0),
        ("step", 1.0, None),
        ("step", 1.0, None),
        ("hardware_flop", 250.0, 1.0),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"amount": -1}, "the amount is negative"),
        ({"amount": float("inf")}, "the amount is not finite"),
        ({"amount": "many"}, "the amount is not a number"),
        ({"amount": 1, "coverage": 1.5}, "the coverage is not between 0 and 1"),
        ({"amount": 1, "kind": "tensor"}, "the kind of FLOP is none of model, hardware"),
    ],
)
@pytest.mark.parametrize("method", ["flops", "flops_per_step"])
def test_bad_flop_are_told_and_left_out(home, given, told, method):
    with track("run") as run:
        getattr(run, method)(**given)
        run.step()
    found = events(home)
    assert [event["kind"] for event in of(found, "usage")] == ["step"]
    (gap,) = of(found, "gap")
    assert gap["reason"].startswith(f"{method}: ")
    assert told in gap["reason"]


def test_the_hardware_is_looked_for_where_configure_says(home, tmp_path):
    """A machine with one package and its DRAM: their sensors are in the journal of the run."""
    powercap.build(tmp_path / "sys", powercap.INTEL_SERVER)
    configure(sysfs_root=tmp_path / "sys")
    with track("run"):
        wait_until(lambda: {"powercap:package-0", "powercap:dram-0"} <= sensors(home))
    configure()


def sensors(home) -> set[str]:
    return {event["sensor"] for event in of(events(home), "sensor")}


def test_a_span_left_open_by_an_exception_ends_with_the_block_around_it(home):
    """Whoever opened it cannot end it any more; the next run is a run of its own."""

    @track("outer")
    def fail():
        track("left open").__enter__()
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    with track("next"):
        pass
    assert names_and_parents(home) == {"outer": None, "left open": "outer", "next": None}
    assert [span(events(home), name)[1]["ok"] for name in ("left open", "outer", "next")] == [False, False, True]
