"""A file as rows, one at a time, each with the line on which it begins. What is wrong with one row stops no other.

    is it text in UTF-8 to its end, or Parquet? ─> CSV, JSON, JSON lines or Parquet, by what is in it ─> Row or BadRow

Names of columns are written one way: `startTime`, `StartTime` and `start_time` are `start_time`. An empty cell is not
there at all. A file of any size takes the memory of a few rows.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from joulebook.accounting.errors import InputError, MissingExtra

CHUNK = 1 << 20
LARGEST = 64 << 20  # characters of one cell or one JSON value
_PARQUET = b"PAR1"
_WHOLE_JSON = json.JSONDecoder(parse_float=Decimal)
_BETWEEN = re.compile(r"[\s,\[\]]*")  # values of an array, or one after the other


class Row(NamedTuple):
    """What stands in a row, by the name of its column."""

    line: int
    values: dict[str, Any]
    where: str = ""  # inside what stands on that line


class BadRow(NamedTuple):
    """A row that cannot be used, and why. The reason repeats nothing of what stands in it."""

    line: int
    reason: str
    path: Path | None = None  # of its file, where the importer was given a folder


class RowError(ValueError):
    """What is wrong with a row."""


def rows(path: Path, needs: Sequence[str] = ()) -> Iterator[Row | BadRow]:
    """The rows of a file. Raises InputError, before the first, for one without what it needs (`a|b`: one of two)."""
    kind = _kind(path)
    if kind == "parquet":
        yield from _parquet_rows(path, needs)
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        if kind == "csv":
            yield from _csv_rows(path, file, needs)
        else:
            yield from _checked(path, _whole_values(file) if kind == "json" else _lines(file), needs)


def each(found: Iterator[Row | BadRow], make: Callable[[Row], Any]) -> Iterator[Any]:
    """What `make` makes of each good row; where it raises RowError the row is a bad one."""
    for row in found:
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            made = make(row)
        except RowError as error:
            made = BadRow(row.line, f"{row.where}{error}")
        yield made


def results(found: Iterator[Row | BadRow]) -> Iterator[Row | BadRow]:
    """The same, and of a page of a provider's API each result of its buckets, with the times of its bucket."""
    for row in found:
        if isinstance(row, BadRow) or not isinstance(row.values.get("data"), list):
            yield row
            continue
        for at, bucket in enumerate(row.values["data"], start=1):
            yield from _of_bucket(row.line, at, bucket)


def _of_bucket(line: int, at: int, bucket: Any) -> Iterator[Row | BadRow]:
    if not isinstance(bucket, dict) or not isinstance(bucket.get("results"), list):
        yield BadRow(line, f"bucket {at} has no results")
        return
    times = {name: value for name, value in bucket.items() if name not in ("results", "object")}
    for number, result in enumerate(bucket["results"], start=1):
        where = f"bucket {at}, result {number}: "
        if isinstance(result, dict):
            yield Row(line, filled(times | result), where)
        else:
            yield BadRow(line, f"{where}is no JSON object")


@cache
def snake(name: str) -> str:
    """`lineItem/UsageType` as `line_item_usage_type`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^0-9A-Za-z]+", "_", parted).lower().strip("_")


def filled(values: dict[str, Any]) -> dict[str, Any]:
    """Without the cells that are empty."""
    return {snake(name): value for name, value in values.items() if name and value is not None and value != ""}


# What kind of file ------------------------------------------------------------------------------------------------


def _kind(path: Path) -> str:
    """Of a file that can be read to its end. Raises InputError for any other."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the files in it")
    try:
        with path.open("rb") as file:
            if file.read(4) == _PARQUET:
                return "parquet"
            file.seek(0)
            _decode_all(path, iter(lambda: file.read(CHUNK), b""))
        with path.open(encoding="utf-8-sig") as text:
            return _kind_of_text(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); nothing was imported") from error


def _decode_all(path: Path, chunks: Iterator[bytes]) -> None:
    decoder, is_empty = codecs.getincrementaldecoder("utf-8-sig")(), True
    try:
        for chunk in chunks:
            text = decoder.decode(chunk)
            is_empty = is_empty and not text.strip()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8; nothing was imported. Save it as UTF-8 first") from None
    if is_empty:
        raise InputError(f"{path}: is empty; nothing was imported")


def _kind_of_text(file: TextIO) -> str:
    """JSON lines are told by one of the first two: a value that begins there also ends there."""
    heads = (line for line in file if line.strip())
    first = next(heads)
    if first.lstrip()[0] not in "{[":
        return "csv"
    return "lines" if any(isinstance(_value(line), dict) for line in (first, next(heads, ""))) else "json"


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


# Each kind --------------------------------------------------------------------------------------------------------


def _csv_rows(path: Path, file: TextIO, needs: Sequence[str]) -> Iterator[Row | BadRow]:
    csv.field_size_limit(LARGEST)
    reader = csv.reader(file, strict=True)
    try:
        names = [snake(name) for name in next(reader)]
    except csv.Error as error:
        raise InputError(f"{path}: its first line is no header of a CSV file ({error})") from None
    _check_columns(path, names, needs)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(line, f"is no row of a CSV file: {error}")
            continue
        if len(cells) == len(names):
            yield Row(line, {name: cell for name, cell in zip(names, cells, strict=True) if cell and name})
        elif cells:
            yield BadRow(line, f"has {len(cells)} cells where the header has {len(names)}")


def _check_columns(path: Path, names: Sequence[str], needs: Sequence[str]) -> None:
    missing = [need for need in needs if not _has(names, need)]
    if missing:
        listed = ", ".join(need.replace("|", " or ") for need in missing)
        raise InputError(f"{path}: has no column {listed}; nothing was imported. Is it an export of another kind?")


def _has(names: Sequence[str] | dict[str, Any], need: str) -> bool:
    return any(name in names for name in need.split("|"))


def _checked(path: Path, found: Iterator[Row | BadRow], needs: Sequence[str]) -> Iterator[Row | BadRow]:
    """The same; raises InputError where the first object has nothing of what is needed: rows never differ so much."""
    is_first = True
    for row in found:
        if is_first and isinstance(row, Row):
            is_first = False
            if needs and "data" not in row.values and not any(_has(row.values, need) for need in needs):
                raise InputError(f"{path}: its first object has no {needs[0].split('|')[0]}; nothing was imported."
                                 " Is it an export of another kind?")  # fmt: skip
        yield row


def _lines(file: TextIO) -> Iterator[Row | BadRow]:
    for line, text in enumerate(file, start=1):
        if text.strip():
            value = _value(text)
            yield Row(line, filled(value)) if isinstance(value, dict) else BadRow(line, "is no JSON object")


def _whole_values(file: TextIO) -> Iterator[Row | BadRow]:
    """The values of an array, or those that stand one after the other, read a piece at a time."""
    text, at, line = "", 0, 1
    while True:
        begins = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] - it matches nothing at least
        line += text.count("\n", at, begins)
        try:
            value, end = _WHOLE_JSON.raw_decode(text, begins)
        except (ValueError, RecursionError):
            rest = text[begins:]
            more = file.read(max(CHUNK, len(rest))) if len(rest) <= LARGEST else ""
            if not more:
                if rest:
                    yield BadRow(line, "the JSON breaks off in what begins here; nothing after it was read")
                return
            text, at = rest + more, 0
            continue
        yield Row(line, filled(value)) if isinstance(value, dict) else BadRow(line, "is no JSON object")
        line += text.count("\n", begins, end)
        at = end


def _parquet_rows(path: Path, needs: Sequence[str]) -> Iterator[Row]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtra("reading Parquet", "ledger") from error
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, [snake(name) for name in file.schema_arrow.names], needs)
            line = 0
            for batch in file.iter_batches(batch_size=5_000):
                for values in batch.to_pylist():
                    line += 1
                    yield Row(line, filled(values))
    except pa.ArrowInvalid:
        raise InputError(f"{path}: cannot be read as Parquet; nothing was imported") from None
