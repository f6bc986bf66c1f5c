"""What tells one data set from another, so that nothing computed from it is taken for another's. Knows no format."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from midstream.data.rows import Row, media_of

SAMPLED = 16


def spread(rows: Sequence[Row]) -> list[Row]:
    """A few rows, evenly spread over all of them."""
    count = min(SAMPLED, len(rows))
    return [rows[number * (len(rows) - 1) // max(1, count - 1)] for number in range(count)]


def identity(rows: Sequence[Row]) -> str:
    """12 hexadecimal digits of the rows' text and of where their media lie, all of them, and of a few media's content.

    Opening every picture would take as long as what a cache is to save; so a picture that changes under its old name
    is noticed only if it is among the few.
    """
    found = hashlib.sha256(str(getattr(rows, "version", "")).encode())
    for record in getattr(rows, "records", rows):
        found.update(json.dumps(record, default=_content).encode())
    for row in spread(rows):
        found.update(json.dumps(row, default=_content).encode())
        for item in media_of(row):
            found.update(_content(item).encode())
    return found.hexdigest()[:12]


def _content(item: Any) -> str:
    """A digest of a medium: a path, bytes, a picture, an array."""
    if isinstance(item, str | Path):
        path = Path(item)
        item = path.read_bytes() if path.is_file() else str(item).encode()
    content = item if isinstance(item, bytes) else item.tobytes() if hasattr(item, "tobytes") else repr(item).encode()
    return hashlib.sha256(content).hexdigest()
