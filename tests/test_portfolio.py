"""Portfolios: a questionnaire with its gaps, what is wrong in it by line and field, and the ledger's own history."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from handmade import HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.cli import main
from joulebook.models.projection import history
from joulebook.models.projection.ask import Asked, portfolio_of
from joulebook.models.projection.history import of_the_ledger
from joulebook.models.projection.money import priced
from joulebook.models.projection.portfolio import FIELDS, KINDS, TEMPLATE, of_the_paper, read
from joulebook.reports import views

QUESTIONS = """name,kind,users,requests_per_user_day,regions
Help,chat,50,4,FR=0.6 US=0.4
Find,rag,,,
"""
PRICED = """name,kind,provider,model,input_tokens,output_tokens,calls
a,agents,openai,gpt-4o,1000,500,2
"""


def written(tmp_path, text, name="portfolio.csv"):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_a_questionnaire_with_gaps(tmp_path):
    path = written(
        tmp_path, "name,kind,users,requests_per_user_day,regions\nHelp,chat,50,4,FR=0.6 US=0.4\nFind,rag,,,\n"
    )
    told = read(path, 2026, "DE")
    helps, finds = told.use_cases
    # 1 × 50 users × 4 a day × the study's 250 days
    assert helps.requests_per_year == 50_000
    assert helps.regions == {"FR": 0.6, "US": 0.4}
    assert helps.defaults == ("use_cases", "days_per_year", "input_tokens", "output_tokens", "calls", "model_sizes")
    # the study's 2,341 users × 6.92 × 250, at the place of this site
    assert finds.requests_per_year == pytest.approx(2341 * 6.92 * 250)
    assert (finds.regions, finds.output_tokens) == ({"DE": 1.0}, 363)
    assert finds.model_sizes == {"low": 0.131, "medium": 0.011, "high": 0.858}
    assert told.base_year == 2026


def test_the_same_in_toml_and_with_semicolons(tmp_path):
    as_toml = '[[use_case]]\nname = "Help"\nkind = "chat"\nusers = 50\nmodel_sizes = {low = 0.5, high = 0.5}\n'
    as_csv = "name;kind;users;model_sizes\nHelp;chat;50;low=0.5 high=0.5\n"
    one, other = (read(written(tmp_path, text, name), 2026).use_cases
                  for text, name in ((as_toml, "a.toml"), (as_csv, "a.csv")))  # fmt: skip
    assert one == other


def test_the_template_is_a_portfolio(tmp_path, capsys):
    assert main(["portfolio", "template"]) == 0
    assert capsys.readouterr().out == TEMPLATE
    told = read(written(tmp_path, TEMPLATE), 2026)
    assert [each.kind for each in told.use_cases] == ["chat", "rag", "agents", "cv"]
    assert tuple(TEMPLATE.split("\n", 1)[0].split(",")) == FIELDS


BAD = {
    "name,kind,regions\na,chat,FR\nb,chat,Atlantis": ", line 3, regions: the region 'Atlantis' is not known",
    "name,kind,regions\na,chat,XX": ", line 2, regions: the region 'XX' is not known",
    "name,kind,users\na,chat,-5": ", line 2, users: '-5' is not a number from 0 up",
    "name,kind,users\na,chat,nan": ", line 2, users: 'nan' is not a number",
    "name,kind,users\na,chat,1e99": ", line 2, users: '1e99' is not a number",
    "name,kind,regions\na,chat,FR=1.5": ", line 2, regions: '1.5' is not a share from 0 to 1, of FR",
    "name,kind,regions\na,chat,FR=0.7 US=0.6": ", line 2, regions: the shares 'FR=0.7 US=0.6' add up to 1.3, not to 1",
    "name,kind,regions\na,chat,FR=0.7": ", line 2, regions: the shares 'FR=0.7' add up to 0.7, not to 1",
    "name,kind,regions\na,chat,FR=0.5 FR=0.5": ", line 2, regions: names one of its parts twice",
    "name,kind,regions\na,chat,FR=1 fr=1": ", line 2, regions: names one of its parts twice",
    "name,kind,days_per_year\na,chat,400": ", line 2, days_per_year: '400' is more than the 366 days of a year",
    "name,kind,users\n,,\n ,,": ": has no use case",
    "name,kind,model_sizes\na,chat,huge": ", line 2, model_sizes: 'huge' is no size of a model; write low, medium",
    "name,kind\na,poetry": ", line 2, kind: 'poetry' is no kind of use; write one of chat",
    "name,kind\n,chat": ", line 2, name: must be a text",
    "name,kind,user\na,chat,5": ", line 1: 'user' is no field of a use case; did you mean users?",
    "name,kind,users,users\na,chat,5,6": ", line 1: users stands there twice",
    "name,users\na,5": ", line 1: kind must be there",
    "name,kind,users\na,chat": ", line 2: does not have the 3 cells of the header",
    "name,kind": ": has no use case; write a line for each below the header",
    "": ": has no use case",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_named_with_its_line_and_field(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read(path, 2026)
    assert str(caught.value).startswith(f"{path}{BAD[text]}")


def test_the_command_says_it_in_one_sentence(tmp_path, capsys):
    path = written(tmp_path, "name,kind,users\na,chat,5\nb,chat,-5")
    for command in (("project", "--portfolio", str(path)), ("portfolio", str(path), "--json")):
        assert main(["--home", str(tmp_path), *command]) == 2
        told = capsys.readouterr()
        assert (told.out, told.err) == ("", f"joulebook: {path}, line 3, users: '-5' is not a number from 0 up\n")


FIRST = '[[use_case]]\nname = "a"\nkind = "chat"'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'{FIRST}\n\n[[use_case]]\nname = "b"\nkind = "rag"\nusers = -3', "line 8, users: -3 is"),
        (f'{FIRST}\nregions = ["FR"]', "line 4, regions: ['FR'] is not written as"),
        (f'{FIRST}\nusrs = 3', "line 4: 'usrs' is no field"),
        (f'[[use_case]]\nname = "b"\n\n{FIRST}', "line 1, kind: must be a text"),  # not the kind of the next one
        ('title = "ours"', "a portfolio is written as tables [[use_case]]"),
        ("a = = 1", "is not TOML"),
    ],
)  # fmt: skip
def test_the_same_of_toml(tmp_path, text, says):
    path = written(tmp_path, text, "portfolio.toml")
    with pytest.raises(InputError) as caught:
        read(path, 2026)
    assert says in str(caught.value)


@settings(max_examples=25)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=30))
def test_any_name_is_data(name):

    lines = StringIO()
    csv.writer(lines).writerows([["name", "kind"], [f"x{name}", "chat"]])
    with TemporaryDirectory() as folder:
        told = read(written(Path(folder), lines.getvalue()), 2026)
    assert [each.name for each in told.use_cases] == [f"x{name}".strip()]


def test_the_study_s_portfolio():
    told = of_the_paper("calibrated")
    assert [each.kind for each in told.use_cases] == list(KINDS[:-1])
    assert sum(each.use_cases for each in told.use_cases) == pytest.approx(100)
    # 29 use cases × 2,341 users × 6.92 × 250, and 71 × 73 × 6.92 × 250
    assert sum(each.requests_per_year for each in told.use_cases) == pytest.approx((29 * 2341 + 71 * 73) * 6.92 * 250)


# The ledger -------------------------------------------------------------------------------------------------------

DAY = 86_400.0
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}


@pytest.fixture
def ledger(home):
    """Ten days: two runs of 7.2 MJ each, and four calls of 1,000 tokens in and 500 out."""
    journal = HandmadeJournal(home, version=3)
    journal.sensor("energy", "J", device="node", boundary="it")
    for day in (0, 4):
        run = journal.start(day * DAY, "train", project="search", counters={"energy": day * 1e6})
        journal.end(day * DAY + 3600, run, counters={"energy": day * 1e6 + 7.2e6})
    for number in range(4):
        journal.event(
            "call", number * DAY, call_id=uuid7(), source="http", host="api.openai.com", path="/v1/chat/completions",
            request_model="gpt-4o", status=200, outcome="ok", duration_s=1.0, project="help",
            tags=[["workload", "agents"]], usage_json=json.dumps({"usage": USAGE}),
        )  # fmt: skip
    journal.write()
    ingest(home)
    return open_ledger(home)


def test_the_history_of_the_ledger(ledger):
    told = of_the_ledger(ledger, datetime(2026, 1, 11, tzinfo=UTC))
    by_name = {each.name: each for each in told.use_cases}
    train = by_name["search · train"]
    # two runs in ten days: 73 a year, of 7.2 MJ each
    assert (train.kind, train.defaults) == ("job", ("kind",))
    assert train.requests_per_year == pytest.approx(73)
    assert train.energy_j.mid == pytest.approx(7.2e6)
    assert told.notes == ("10.0 days on record are carried to 365: as much is taken to go on all year.",)
    assert told.base_year == 2026


def test_calls_of_the_history(ledger):
    told = of_the_ledger(ledger, datetime(2026, 1, 11, tzinfo=UTC))
    agents = next(each for each in told.use_cases if each.model == "gpt-4o")
    # four in ten days; the kind is that of the tag
    assert (agents.kind, agents.defaults, agents.regions) == ("agents", (), {"US": 1.0})
    assert agents.requests_per_year == pytest.approx(146)
    assert (agents.input_tokens, agents.output_tokens) == (1000, 500)
    # the list's 2.50 and 10 dollars a million tokens
    assert (agents.price.input_usd, agents.price.output_usd) == pytest.approx((0.0025, 0.005))


def test_tokens_that_nobody_told_are_not_none(home):
    # of three calls one told its tokens and one was refused (429), so is no request; of the small model none told any
    journal = HandmadeJournal(home, version=3)
    usage = {"usage_json": json.dumps({"usage": USAGE})}
    for number, (model, status, more) in enumerate(
        (("gpt-4o", 200, usage), ("gpt-4o", 200, {}), ("gpt-4o", 429, {}), ("gpt-4o-mini", 200, {}))
    ):
        journal.event(
            "call", number * DAY, call_id=uuid7(), source="http", host="api.openai.com", path="/v1/chat/completions",
            request_model=model, status=status, outcome="ok" if status == 200 else "error", duration_s=1.0, **more,
        )  # fmt: skip
    journal.write()
    ingest(home)
    told = {each.model: each for each in of_the_ledger(open_ledger(home), datetime(2026, 1, 11, tzinfo=UTC)).use_cases}
    large, small = told["gpt-4o"], told["gpt-4o-mini"]
    assert large.requests_per_year == pytest.approx(2 / 10 * 365)
    assert (large.input_tokens, large.output_tokens, large.price) == (1000, 500, None)
    assert (small.input_tokens, small.output_tokens) == (126.89, 208.45)
    assert small.defaults == ("kind", "input_tokens", "output_tokens")


def test_the_ledger_is_the_default_where_it_has_a_history(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(history, "LOOKED_BACK", timedelta(days=36_500))
    assert portfolio_of(ledger, Asked()).name == "the ledger"
    assert portfolio_of(ledger, Asked(engine="paper2501")).name == "the study's 100 use cases"
    assert portfolio_of(open_ledger(tmp_path / "empty"), Asked()).name == "the study's 100 use cases"
    with pytest.raises(InputError, match="has no call and no energy of the last year"):
        portfolio_of(open_ledger(tmp_path / "empty"), Asked(portfolio="ledger"))


def test_use_cases_with_a_model_are_priced_by_the_lists(tmp_path):
    path = written(tmp_path, PRICED)
    (told,) = priced(read(path, 2026), tmp_path).use_cases
    assert (told.price.input_usd, told.price.output_usd) == pytest.approx((0.005, 0.010))


def test_the_view_of_a_portfolio(tmp_path, capsys):
    path = written(
        tmp_path, "name,kind,users,provider,model,output_tokens,regions\nHelp,chat,10,openai,gpt-4o,300,FR\n"
    )
    view = views.portfolio(open_ledger(tmp_path), Asked(portfolio=str(path)))
    (row,) = view.rows
    # 10 × 6.92 × 250 requests
    assert row["requests_per_year"] == pytest.approx(17_300)
    assert row["energy"].mid == pytest.approx(row["energy_per_request"].mid * 17_300)
    assert row["engine"] == "ecologits-0.11.3"
    assert "1 use case with 17,300 requests a year" in view.sentence
    assert main(["--home", str(tmp_path), "portfolio", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["use_case"] == "Help"
