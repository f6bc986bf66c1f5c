"""CSV to numbers, line by line: a bad cell is named by its place, and memory holds the numbers, not the text."""

import csv
import io
from array import array
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.media.limits import MAX_SERIES_CHANNELS, MAX_SERIES_VALUES

LARGEST = float(np.finfo(np.float32).max)
MAX_LINE = 40 * MAX_SERIES_CHANNELS
"""Characters of a line: forty for every channel that is allowed."""


def read_csv(file: BinaryIO, name: str) -> NDArray[np.float64]:
    """The numbers of an open file, (rows, columns); empty when there are none.

    Cells are separated by whichever of comma, semicolon and tab is most frequent in the first line. A first row without
    any number is a header; empty lines are passed over.

    Raises:
        InputError: not UTF-8, a line beyond `MAX_LINE`, rows of different lengths, a cell that is no finite number of
            float32, or more than `MAX_SERIES_VALUES` of them.
        csv.Error: quotes that do not close.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        return _read(text, name)
    finally:
        text.detach()  # the file is not ours to close


def _read(text: io.TextIOWrapper, name: str) -> NDArray[np.float64]:
    lines = _lines(text, name)
    first = next((line for line in lines if line.strip()), "")
    text.seek(0)
    reader = csv.reader(_lines(text, name), delimiter=max(",;\t", key=first.count), strict=True)
    values, width, begun = array("d"), 0, False
    for cells in reader:
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        if not begun and all(_number(cell) is None for cell in cells):
            width, begun = len(cells), True
            continue
        begun, width = True, width or len(cells)
        if len(cells) != width:
            raise InputError(f"{name}, line {reader.line_num}: {len(cells)} cells, but {width} before; make them equal")
        values.extend(_value(cell, name, reader.line_num, at) for at, cell in enumerate(cells, 1))
        if len(values) > MAX_SERIES_VALUES:
            raise InputError(f"{name} has more than {MAX_SERIES_VALUES:,} values at line {reader.line_num}; cut it")
    return np.frombuffer(values, np.float64).reshape(-1, width) if values else np.zeros((0, width))


def _lines(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        try:
            line = text.readline(MAX_LINE + 1)
        except UnicodeDecodeError:
            raise InputError(f"{name} is not text at line {number} or soon after; give a CSV file in UTF-8") from None
        if not line:
            return
        if len(line) > MAX_LINE:
            raise InputError(f"{name}, line {number}: more than {MAX_LINE:,} characters; give one time step in a line")
        yield line


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _value(cell: str, name: str, line: int, column: int) -> float:
    value = _number(cell)
    if value is None or not abs(value) <= LARGEST:
        shown = " ".join(cell.split())[:40]
        raise InputError(f"{name}, line {line}, column {column}: {shown!r} is not a finite number; correct or drop it")
    return value
