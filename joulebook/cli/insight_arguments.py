"""What can be typed of Explore and Compare."""

from __future__ import annotations

from joulebook.cli.options import Add, period, reading

MEASURES = ("carbon", "energy", "facility-energy", "water", "electricity", "api-cost", "tokens", "calls")
GRAINS = ("day", "week", "month")


def explore(add: Add) -> None:
    parser = add(
        "explore",
        "one measure of a period by what caused it, in days, weeks or months",
        "joulebook explore --measure tokens --by model --per week --since 90d",
    )
    parser.add_argument("--measure", choices=MEASURES, default="carbon", help="what is measured (default: carbon)")
    parser.add_argument("--by", metavar="WHAT", help="project, name, host, sensor, …; of calls: model, provider, …")
    parser.add_argument("--per", choices=GRAINS, default="day", help="how long a step is (default: day)")
    period(parser)
    reading(parser)


def compare(add: Add) -> None:
    parser = add(
        "compare",
        "two runs, two models, or a period and the time before it: each amount with the range of the difference",
        "joulebook compare --since 30d --until 2026-11-26",
    )
    parser.add_argument("what", nargs="*", metavar="RUN|MODEL", help="two runs, or with --models two models")
    parser.add_argument("--models", action="store_true", help="the two are models, over the calls of the period")
    period(parser)
    reading(parser)


ALL = (explore, compare)
