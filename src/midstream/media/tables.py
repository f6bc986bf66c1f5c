"""A table row (a mapping, JSON, or `a=1,b=2`) to column -> number or word."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midstream.errors import InputError

MAX_COLUMNS = 4096
"""Most columns of a row."""

MAX_ROW_BYTES = 1_000_000
"""Longest text of a row."""

MISSING = ("", "nan", "na", "n/a", "null", "none", "?")
"""How a missing value is written, in any case; such a column is left out of the row."""


def load_row(source: Any) -> dict[str, float | str]:
    """A row as column -> number (float) or word (str); columns without a value are left out.

    Args:
        source: a mapping; the text of a JSON object; `age=63, colour=red`; or the path of a JSON file that holds one
            object. Numbers in text are numbers; truth values are 0 and 1; None, "" and "nan" are missing values.

    Raises:
        InputError: not a row, a column that is given twice, a value that is neither number nor word, infinite, or more
            than `MAX_COLUMNS` columns.
    """
    pairs = list(source.items()) if isinstance(source, Mapping) else _pairs(source)
    if len(pairs) > MAX_COLUMNS:
        raise InputError(f"the row has {len(pairs):,} columns, more than the {MAX_COLUMNS:,} allowed; leave some out")
    row: dict[str, float | str] = {}
    seen: set[str] = set()
    for column, given in pairs:
        if not isinstance(column, str) or not column:
            raise InputError(f"a column of the row is called {column!r}; give each a name")
        if column in seen:
            raise InputError(f"the row gives column {column!r} twice; leave one out")
        seen.add(column)
        if (value := _value(column, given)) is not None:
            row[column] = value
    if not row:
        raise InputError("the row has no value in any column; give at least one, for example age=63")
    return row


def _pairs(source: Any) -> list[tuple[str, Any]]:
    if isinstance(source, bytes | bytearray):
        try:
            source = source.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"the row is not text at byte {error.start:,}; give JSON or a=1,b=2") from None
    if not isinstance(source, str | Path):
        raise InputError(f"a table row must be a mapping, JSON or a=1,b=2, not {type(source).__name__}")
    text = _text(source).strip()
    if len(text) > MAX_ROW_BYTES:
        raise InputError(f"the row has {len(text):,} characters, more than the {MAX_ROW_BYTES:,} allowed; shorten it")
    return _from_json(text) if text.startswith(("{", "[")) else _from_words(text)


def _text(source: str | Path) -> str:
    """What stands in the row, or in the file that is named."""
    path = Path(source)
    if isinstance(source, str) and (not source.endswith(".json") or "=" in source or source.lstrip().startswith("{")):
        return source
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; check the path")
    if path.stat().st_size > MAX_ROW_BYTES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes, more than the {MAX_ROW_BYTES:,} of one row")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read as text; give a JSON file with one object") from None


def _from_json(text: str) -> list[tuple[str, Any]]:
    try:
        made = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        raise InputError(f'the row {text[:40]!r} is not valid JSON; write it as {{"a": 1, "b": 2}}') from None
    if not isinstance(made, _Pairs):
        raise InputError(f"the row is a JSON {type(made).__name__}, not an object; name the column of each value")
    return list(made)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, repeated columns included."""


def _from_words(text: str) -> list[tuple[str, Any]]:
    pairs = []
    for piece in text.split(","):
        column, equals, value = piece.partition("=")
        if not equals:
            raise InputError(f"{piece.strip()[:40]!r} is no column of a row; write a=1,b=2")
        pairs.append((column.strip(), value.strip()))
    return pairs


def _value(column: str, given: Any) -> float | str | None:
    """A number, a word, or None for what is missing."""
    if given is None or (isinstance(given, str) and given.strip().lower() in MISSING):
        return None
    if isinstance(given, str):
        try:
            number = float(given) if "_" not in given else None
        except ValueError:
            number = None
        if number is None:
            return given.strip()
    elif hasattr(given, "__float__") and not hasattr(given, "__len__"):  # int, float, bool, NumPy's scalars
        try:
            number = float(given)
        except (OverflowError, TypeError, ValueError):
            number = math.inf
    else:
        kind = type(given).__name__.strip("_").lower()
        raise InputError(f"column {column!r} holds {kind}, but a value is a number or a word; take it apart")
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise InputError(f"column {column!r} is infinite or too large for a float; give a finite number")
    return number
