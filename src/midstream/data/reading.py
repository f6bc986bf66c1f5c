"""Files of text, JSON and CSV, and the checks that name the place of what is wrong. Knows no layout and no row."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midstream.errors import InputError


def read_text(path: Path) -> str:
    """A UTF-8 file, with or without a byte-order mark.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path} cannot be read ({reason}); check the paths in the recipe's `data`") from None


def parse_json(text: str, where: str, lines: bool = False) -> Any:
    """JSON from outside.

    Args:
        text: the JSON.
        where: where it stands.
        lines: whether `where` is a file of which the text is all, so that the line counts.

    Raises:
        InputError: names `where` and what is wrong.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f":{error.lineno}" if lines else ""
        raise InputError(f"{where}{line}: not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, thousands of brackets
        raise InputError(f"{where}: not JSON that can be read ({' '.join(str(error).split())})") from None


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it cannot be read or is not JSON.
    """
    return parse_json(read_text(path), str(path), lines=True)


def entries(value: Any, where: str) -> list[Any]:
    """The value, if it is a list that is not empty.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, list) or not value:
        raise InputError(f"{where} must be a list with at least one entry")
    return value


def some(records: list[Any], path: Path) -> list[Any]:
    """The records, if there are any.

    Raises:
        InputError: there are none.
    """
    if not records:
        raise InputError(f"{path} holds no rows")
    return records


def fields(entry: Any, where: str, **wanted: type) -> Mapping[str, Any]:
    """The entry, if it is an object whose fields have the wanted types.

    Raises:
        InputError: names the first field that has not.
    """
    if not isinstance(entry, dict):
        raise InputError(f"{where} must be an object, not {type(entry).__name__}")
    for field, kind in wanted.items():
        if not isinstance(entry.get(field), kind):
            found = "missing" if field not in entry else f"{type(entry[field]).__name__}"
            raise InputError(f"{where}: field `{field}` must be {kind.__name__}, but it is {found}")
    return entry
