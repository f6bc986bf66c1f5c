"""Table rows as tokens: one token a column. Has no weights; knows column statistics, no connector and no LM.

An encoder of one's own (`midstream.own`) like any user's, known by the name `table` through an entry point. What it
must know of the training data, the mean and spread of each number and the words of each category, are its options,
which are saved with every model; a fingerprint of them is compared when connectors are loaded.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from midstream.errors import InputError
from midstream.media.tables import load_row
from midstream.own import OwnEncoder

LIMIT = 8.0
"""Standardised values are cut to plus and minus this."""


class TableEncoder(OwnEncoder):
    """The features of a column: whether it is there, its standardised value, waves of it, its category, which it is.

        there  z  |  sin(f z) cos(f z) for each frequency f  |  one-hot category  |  one-hot column

    The waves are Fourier features (arXiv 2006.10739; of table columns: arXiv 2203.05556), so that a linear map behind
    them can draw a threshold. A missing value gives zeros and its column.

    Tokens are in the alphabetical order of their columns.

    Args:
        columns: column -> [mean, standard deviation] of a number, or the list of its words; see `column_statistics`.
        frequencies: waves per number; their frequencies are pi / 8 times 1, 2, 4, ...

    Raises:
        InputError: no columns, or statistics that are neither.
    """

    name = "table"
    frequencies: Tensor

    def __init__(self, columns: Mapping[str, list[Any]], frequencies: int = 6) -> None:
        super().__init__()
        if not columns or not isinstance(columns, Mapping):
            raise InputError("the table encoder has no columns; give the option columns, such as {age: [50.0, 12.5]}")
        self.numbers = {name: _mean_and_spread(name, given) for name, given in columns.items() if _is_number(given)}
        self.words = {name: _distinct(name, given) for name, given in columns.items() if not _is_number(given)}
        self.columns = sorted(columns)  # a config's JSON sorts them too
        self.most_words = max((len(words) for words in self.words.values()), default=0)
        self.width = 2 + 2 * frequencies + self.most_words + len(self.columns)
        # Parameters, though never trained: so a connector's fingerprint holds the statistics it was trained with.
        spread = [self.numbers.get(name, (0.0, 1.0)) for name in self.columns]
        self.mean_C = nn.Parameter(torch.tensor([mean for mean, _ in spread]), requires_grad=False)
        self.spread_C = nn.Parameter(torch.tensor([deviation for _, deviation in spread]), requires_grad=False)
        self.register_buffer("frequencies", torch.pi / 8 * 2.0 ** torch.arange(frequencies))

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """A row (see `load_row`) to `values` (C,), `codes` (C,), -1 for numbers, and `there` (C,).

        Raises:
            InputError: a column or a category that was not in the training data, or a word where a number belongs.
        """
        row = load_row(item)
        if unknown := [name for name in row if name not in self.numbers and name not in self.words]:
            shown = ", ".join(self.columns[:6]) + (", ..." if len(self.columns) > 6 else "")
            raise InputError(f"the row has a column {unknown[0]!r}, but the columns are {shown}")
        values, codes, there = [], [], []
        for name in self.columns:
            value, code = 0.0, -1
            if name in row and name in self.words:
                code = self._code(name, row[name])
            elif name in row:
                value = _number(name, row[name])
            values.append(value)
            codes.append(code)
            there.append(float(name in row))
        return {"values": torch.tensor(values), "codes": torch.tensor(codes), "there": torch.tensor(there)}

    def forward(self, *args: Any, **tensors: Tensor) -> Tensor:
        """`values`, `codes` and `there`, (N, C) each, to features (N, C, width)."""
        values, codes, there = tensors["values"], tensors["codes"], tensors["there"]
        is_number = (codes < 0).to(values.dtype) * there
        z_NC = ((values - self.mean_C) / self.spread_C).clamp(-LIMIT, LIMIT) * is_number
        angles_NCF = z_NC.unsqueeze(-1) * self.frequencies
        waves_NCF = torch.cat([angles_NCF.sin(), angles_NCF.cos()], dim=-1) * is_number.unsqueeze(-1)
        parts = [there.unsqueeze(-1), z_NC.unsqueeze(-1), waves_NCF]
        if self.most_words:
            one_hot = torch.nn.functional.one_hot(codes.clamp(min=0), self.most_words).to(values.dtype)
            parts.append(one_hot * (codes >= 0).unsqueeze(-1))
        identity = torch.eye(len(self.columns), dtype=values.dtype, device=values.device)
        return torch.cat([*parts, identity.expand(len(values), -1, -1)], dim=-1)

    def _code(self, name: str, value: float | str) -> int:
        word = _word(value)
        if word not in self.words[name]:
            shown = ", ".join(self.words[name][:6])
            raise InputError(f"column {name!r} is {word!r}, but its categories are {shown}; give one of them")
        return self.words[name].index(word)


def column_statistics(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """The option `columns` for rows such as these (use training rows only).

    Args:
        rows: see `load_row`.

    Returns:
        column -> [mean, standard deviation (1 for a constant column)], or its sorted words where any value is a word.

    Raises:
        InputError: no rows, or one that is none.
    """
    found: dict[str, list[float | str]] = {}
    for row in rows:
        for name, value in load_row(row).items():
            found.setdefault(name, []).append(value)
    if not found:
        raise InputError("there are no rows to take column statistics from; give at least one")
    return {name: _statistics(values) for name, values in found.items()}


def _statistics(values: list[float | str]) -> list[Any]:
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        return sorted({_word(value) for value in values})
    mean = math.fsum(numbers) / len(numbers)
    deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))
    return [float(f"{mean:.6g}"), float(f"{deviation:.6g}") or 1.0]


def _is_number(given: Any) -> bool:
    return len(given) == 2 and not any(isinstance(value, str) for value in given)


def _mean_and_spread(name: str, given: list[Any]) -> tuple[float, float]:
    mean, spread = float(given[0]), float(given[1])
    if not (math.isfinite(mean) and math.isfinite(spread) and spread > 0):
        raise InputError(f"column {name!r} has the statistics {list(given)}; give its mean and a deviation above 0")
    return mean, spread


def _distinct(name: str, given: list[Any]) -> list[str]:
    words = [_word(value) for value in given]
    if not words or len(set(words)) < len(words):
        raise InputError(f"column {name!r} has the categories {words}; give at least one, each once")
    return words


def _word(value: Any) -> str:
    """A category as text: numbers that stand among words are written without a trailing .0."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _number(name: str, value: float | str) -> float:
    if isinstance(value, str):
        raise InputError(f"column {name!r} is {value!r}, but holds numbers; give one, or leave it out")
    return value
