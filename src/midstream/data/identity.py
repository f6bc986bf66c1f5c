"""What tells one data set from another, so that nothing computed from it is taken for another's. Knows no format."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
    for part in getattr(rows, "parts", ()):
        found.update(identity(part).encode())
    for record in getattr(rows, "records", rows):
        found.update(json.dumps(record, default=content_of).encode())
    for row in spread(rows):
        found.update(json.dumps(row, default=content_of).encode())
        for item in media_of(row):
            found.update(content_of(item).encode())
    return found.hexdigest()[:12]


def content_of(item: Any) -> str:
    """A digest of a medium: of what is in a file or a folder of files, or of values, kinds and shapes of what is given.

    Args:
        item: a path, text, bytes, a picture, an array, a number, or lists and dictionaries of such.
    """
    return _digest(item).hex()


def _digest(item: Any) -> bytes:
    if isinstance(item, str | Path):
        content = file_bytes(item)
        return _hashed(b"text", *_folder(item)) if content is None else _digest(content)
    if isinstance(item, bytes | bytearray | memoryview):
        return _hashed(b"bytes", bytes(item))
    if isinstance(item, Mapping):
        return _hashed(b"mapping", *(_digest(str(key)) + _digest(item[key]) for key in sorted(item, key=str)))
    if isinstance(item, list | tuple):
        return _hashed(b"list", *(_digest(value) for value in item))
    if hasattr(item, "mode") and hasattr(item, "tobytes"):  # a picture of PIL's
        return _hashed(b"picture", f"{item.mode}{item.size}".encode(), item.tobytes())
    if hasattr(item, "__array__") and not isinstance(item, np.generic):
        array = np.asarray(item)
        if array.dtype != object:
            return _hashed(b"array", f"{array.dtype.str}{array.shape}".encode(), array.tobytes())
        return _digest(array.tolist())
    return _hashed(b"value", f"{type(item).__name__} {item!r}".encode())


def file_bytes(path: str | Path) -> bytes | None:
    """What is in a file; None where a path leads to none."""
    try:
        return Path(path).read_bytes() if Path(path).is_file() else None
    except (OSError, ValueError):  # too long for a path, or with characters that none has
        return None


def _folder(path: str | Path) -> list[bytes]:
    """The files of a folder, such as a video's frames; of text that leads nowhere, the text."""
    try:
        there = sorted(Path(path).iterdir()) if str(path) and Path(path).is_dir() else []
    except (OSError, ValueError):
        there = []
    if not there:
        return [str(path).encode()]
    return [part for file in there for part in (file.name.encode(), file_bytes(file) or b"")]


def _hashed(*pieces: bytes) -> bytes:
    """Pieces with their lengths, so that no two lists of pieces run together to the same bytes."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(len(piece).to_bytes(8, "big") + piece)
    return found.digest()
