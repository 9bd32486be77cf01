"""What can be typed of factors and impacts: factors, impact, embodied, sci, scopes."""

from __future__ import annotations

from joulebook.cli.options import Add, period, reading, when

FORMATS = ("electricitymaps", "entsoe", "watttime", "own")


def factors(add: Add) -> None:
    parser = add(
        "factors",
        "list the factors in force here, or all of a kind; import hourly or monthly ones from a file, or fetch them",
        "joulebook factors import FR_2026_hourly.csv --format electricitymaps --region FR",
    )
    parser.add_argument(
        "action", nargs="?", choices=("import", "fetch"),
        help="import FILE into the home, whole or not at all; fetch: ask Electricity Maps or WattTime over the "
        "network, with your key, and import what comes",
    )  # fmt: skip
    parser.add_argument("file", nargs="?", metavar="FILE", help="the file to import")
    parser.add_argument("--kind", help="all rows of this kind, e.g. carbon_intensity; of an own file: what it is of")
    parser.add_argument("--region", help="all rows of this region or provider; of an import: where it holds")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--regions", action="store_true", help="instead, the regions of clouds and their grids")
    shown.add_argument("--hardware", action="store_true", help="instead, what making hardware takes, and its sources")
    shown.add_argument("--series", action="store_true", help="instead, the hourly and monthly factors of this home")
    shown.add_argument("--sets", action="store_true", help="instead, the factor sets that were used here, for `assess`")
    parser.add_argument("--format", choices=FORMATS, help="whose file it is")
    parser.add_argument("--zone", help="of a fetch: the service's name for the place (default: the region)")
    parser.add_argument("--since", type=when, metavar="TIME", help="of a fetch: from then on, e.g. 30d or 2026-01-01")
    parser.add_argument("--until", type=when, metavar="TIME", help="of a fetch: before then (default: now)")
    parser.add_argument("--address", metavar="URL", help="of a fetch: where the service is, if not at its own address")
    parser.add_argument("--licence", help="under which the file was given to you (default: not to be passed on)")


def _subject(parser_help: str, name: str, example: str, add: Add) -> None:
    parser = add(name, parser_help, example)
    parser.add_argument("run_id", nargs="?", metavar="RUN", help="a run's id, its beginning or end, or `last`")
    period(parser)
    reading(parser)
    if name == "sci":
        parser.add_argument(
            "--per", required=True, metavar="UNIT",
            help="what jobs recorded, e.g. correct_answers; or tokens, requests, runs",
        )  # fmt: skip


def impact(add: Add) -> None:
    what = "tell what a run or period did: carbon, primary energy, minerals, water; running it and making its hardware"
    _subject(what, "impact", "joulebook impact last", add)


def sci(add: Add) -> None:
    what = "tell the Software Carbon Intensity of a run or period, per any unit"
    _subject(what, "sci", "joulebook sci last --per correct_answers", add)


def embodied(add: Add) -> None:
    parser = add(
        "embodied", "tell what making the hardware took: by time, and whole in the year of purchase",
        "joulebook embodied --since 365d",
    )  # fmt: skip
    period(parser)
    reading(parser)


def scopes(add: Add) -> None:
    parser = add(
        "scopes",
        "tell greenhouse gas by the scopes of the GHG Protocol, scope 2 both ways",
        "joulebook scopes --since 365d",
    )
    period(parser)
    reading(parser)


ALL = (factors, impact, embodied, sci, scopes)
